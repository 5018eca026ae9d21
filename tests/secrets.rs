//! No secret and no argument stands in what toolgate writes down or answers by itself.
//!
//! Every secret that a scenario uses holds [`MARK`]. Each scenario runs a gate of its own at `RUST_LOG=trace`; then its
//! log, its decision lines, its admin pages and its answers are searched for the mark, plain and in other clothes. To add a
//! scenario, add a line to [`scenarios`](scenarios::scenarios): how the gate is set up, what is sent, and a text that shows that it happened.
#![cfg(test)]
#[path = "secrets/scenarios.rs"]
mod scenarios;
#[path = "secrets/search.rs"]
mod search;
mod support;

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::{Value, json};
use tokio::net::TcpStream;

use scenarios::{Scenario, Upstream, base, scenarios};
use search::search;
use support::canned::Canned;
use support::gate::{Gate, Setup};
use support::http::exchange;
use support::wait::{until, within};

const MARK: &str = "zqmark";
const TOKEN: &str = "zqmark-token";
const ARGUMENT: &str = "zqmark-argument";
const ENV: [(&str, &str); 6] = [
    // nobody listens there, and only what is not on loopback is asked through it
    ("HTTPS_PROXY", "http://zqmark-user:zqmark-password@127.0.0.1:1"),
    ("RUST_LOG", "trace"),
    ("UPSTREAM_KEY", "Bearer zqmark-upstream"),
    ("OAUTH_SECRET", "zqmark-secret"),
    ("SESSION_KEY", "zqmark-session-key-of-some-length"),
    ("APPROVALS_KEY", "zqmark-approvals-key-of-some-length"),
];

/// What the server answers with; `None`: nobody listens.
fn answer_of(upstream: Upstream) -> Option<Vec<u8>> {
    match upstream {
        Upstream::Down | Upstream::Elsewhere => None,
        Upstream::Good | Upstream::NoTls => {
            let body = br#"{"jsonrpc":"2.0","id":1,"result":{"content":[{"type":"text","text":"ran"}]}}"#;
            Some(Canned::answer(
                "200 OK",
                &["Content-Type: application/json"],
                body,
            ))
        }
        Upstream::Echoes(status) => {
            let headers = [
                "Location: http://127.0.0.1:1/zqmark",
                "WWW-Authenticate: Bearer zqmark",
                "Set-Cookie: a=zqmark",
            ];
            Some(Canned::answer(status, &headers, b"zqmark"))
        }
    }
}

async fn start(scenario: &Scenario) -> (Gate, Option<Canned>) {
    let canned = match answer_of(scenario.upstream) {
        None => None,
        Some(answer) => Some(Canned::start(&answer).await),
    };
    let url = canned
        .as_ref()
        .map_or("http://127.0.0.1:1/mcp".to_owned(), |canned| canned.url.clone());
    let url = match scenario.upstream {
        Upstream::NoTls => url.replace("http://", "https://"),
        Upstream::Elsewhere => "https://mcp.example/mcp".to_owned(),
        _ => url,
    };
    let mut server = scenario.server.clone();
    server["upstream"] = json!(format!("{url}?key=zqmark-query"));
    let mut setup = Setup::new()
        .policy("p", scenario.policy.clone())
        .grant("worker", TOKEN, "s", "p")
        .key("servers", json!({ "s": server }));
    for (key, value) in &scenario.settings {
        setup = setup.key(key, value.clone());
    }
    (Setup::start_in_with(setup.write(), &ENV), canned)
}

async fn run(scenario: Scenario) {
    let name = scenario.name;
    let (mut gate, canned) = start(&scenario).await;
    let mut answers = String::new();
    for request in &scenario.send {
        let answer = exchange(&gate.proxy, request).await;
        answers += &format!(
            "HTTP {} {:?}\n{}\n",
            answer.status,
            answer.head.headers,
            answer.text()
        );
    }
    let mut pages = String::new();
    for path in [
        "/livez",
        "/readyz",
        "/readyz?verbose",
        "/metrics",
        "/zqmark",
        "/config",
        "/debug",
    ] {
        pages += &gate.admin(path).await.1;
    }
    let happened = |gate: &Gate| {
        let lines: Vec<String> = gate.decisions().iter().map(Value::to_string).collect();
        format!("{answers}{}{}", gate.stderr(), lines.join("\n")).contains(scenario.happened)
    };
    until(&format!("{name}: `{}`", scenario.happened), || async {
        happened(&gate).then_some(())
    })
    .await;
    gate.terminate(Duration::from_secs(30));
    search(&format!("{name}, the log"), &gate.stderr());
    search(&format!("{name}, the decision lines"), &gate.stdout());
    search(&format!("{name}, an admin page"), &pages);
    search(&format!("{name}, an answer"), &answers);
    if let (Some(canned), Upstream::Good) = (canned, scenario.upstream)
        && scenario.happened == "\"allowed\""
    {
        // the search would find it: the server did get it
        let seen = canned.requests().join("");
        assert!(
            seen.contains("zqmark-upstream") && seen.contains(ARGUMENT) && !seen.contains(TOKEN),
            "{seen}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_secret_stands_in_a_log_a_decision_a_metric_an_admin_page_or_an_answer() {
    let mut running = tokio::task::JoinSet::new();
    for scenario in scenarios() {
        // a few at a time
        if running.len() == 4 {
            running.join_next().await.unwrap().unwrap();
        }
        running.spawn(run(scenario));
    }
    while let Some(ended) = running.join_next().await {
        ended.unwrap();
    }
}

#[tokio::test]
async fn http_2_at_its_loudest_shows_no_header() {
    let scenario = base("HTTP/2", Vec::new(), "");
    let (mut gate, _canned) = start(&scenario).await;
    let stream = TcpStream::connect(&gate.proxy).await.unwrap();
    let (mut sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
        .await
        .unwrap();
    tokio::spawn(connection);
    let body = format!(
        r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":"run","arguments":{{"x":"{ARGUMENT}"}}}}}}"#
    );
    let request = http::Request::post(format!("http://{}/mcp/s", gate.proxy))
        .header("authorization", format!("Bearer {TOKEN}"))
        .header("content-type", "application/json")
        .body(Full::new(Bytes::from(body)))
        .unwrap();
    let answer = within("the call", Duration::from_secs(20), sender.send_request(request))
        .await
        .unwrap();
    let body = answer.into_body().collect().await.unwrap().to_bytes();
    assert!(String::from_utf8_lossy(&body).contains("ran"));
    drop(sender);
    gate.terminate(Duration::from_secs(30));
    assert!(gate.stderr().contains("h2"), "HTTP/2 is not in the log");
    search("HTTP/2, the log", &gate.stderr());
}

#[test]
fn settings_in_debug_output_show_no_secret() {
    let folder = support::gate::Folder::new("debug");
    folder.write("key", "zqmark-file");
    folder.write(
        "toolgate.yaml",
        "session_key: { env: SESSION_KEY }\ncounters: { store: redis, url: 'redis://u:zqmark@127.0.0.1:1/' }\nservers:\n  s:\n    \
         upstream: 'https://h/mcp?key=zqmark-query'\n    headers: { X-Key: { file: key } }\n    \
         oauth: { token_url: 'https://h/t', client_id: c, client_secret: { env: OAUTH_SECRET } }\n",
    );
    let env: BTreeMap<String, String> = ENV
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect();
    let settings = toolgate::settings::load_with(&folder.path().join("toolgate.yaml"), &env).unwrap();
    search("Debug of the settings", &format!("{settings:?}{settings:#?}"));
}
