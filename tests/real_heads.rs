//! Paths, methods, hosts and header lines, as exact bytes on the wire: what passes, what is refused, and that nothing
//! refused reaches the server. Answers that no server should give are not passed on either.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "in a test and its helpers a failed unwrap is a failed test"
)]

mod support;

use serde_json::{Value, json};
use support::canned::Canned;
use support::gate::{Gate, Setup};
use support::http::{Wire, exchange};
use support::mcp::Reply;
use support::servers::{Era, Fixture};

const TOKEN: &str = "tg_agent";

fn gate(upstream: &str) -> Gate {
    Setup::new()
        .server("fixture", upstream)
        .policy(
            "p",
            json!({ "version": "1", "default": "allow", "hide": ["secret-*"] }),
        )
        .grant("agent", TOKEN, "fixture", "p")
        .key("allowed_origins", json!(["https://app.example"]))
        .start()
}

const BODY: &str = r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#;

/// A POST with exactly these header lines (`Host` and `Authorization` only where they are among them).
fn post(target: &str, lines: &[&str]) -> String {
    let mut head = format!("POST {target} HTTP/1.1\r\nContent-Length: {}\r\n", BODY.len());
    for line in lines {
        head += &format!("{line}\r\n");
    }
    format!("{head}\r\n{BODY}")
}

const HOST: &str = "Host: 127.0.0.1";
const BEARER: &str = "Authorization: Bearer tg_agent";
const JSON: &str = "Content-Type: application/json";
const ACCEPT: &str = "Accept: application/json, text/event-stream";

#[tokio::test]
async fn only_the_exact_path_and_three_methods_exist() {
    let fixture = Fixture::start(Era::Session);
    let gate = gate(&fixture.url);
    for target in [
        "/MCP/fixture",
        "/mcp/fixture/",
        "/mcp//fixture",
        "/%6dcp/fixture",
        "/mcp/fixtur%65",
        "/mcp/fixture/../admin",
        "/mcp/fixture/..%2fadmin",
        "/mcp/fixture;x=1",
        "/mcp/FIXTURE",
        "/mcp/other",
        "/mcp/",
        "/message?sessionId=1",
        "/",
    ] {
        let answer = exchange(
            &gate.proxy,
            post(target, &[HOST, BEARER, JSON, ACCEPT]).as_bytes(),
        )
        .await;
        assert_eq!(answer.status, 404, "{target}: {}", answer.text());
    }
    for method in ["PUT", "PATCH", "HEAD", "TRACE"] {
        let request = post("/mcp/fixture", &[HOST, BEARER, JSON]).replacen("POST", method, 1);
        let mut wire = Wire::open(&gate.proxy).await;
        wire.send(request.as_bytes()).await;
        assert_eq!(wire.head().await.status, 405, "{method}");
    }
    assert_eq!(
        fixture.state().await["requests"],
        0,
        "a refused request reached the server"
    );
}

/// Header lines that one reader takes one way and the next another.
const AMBIGUOUS: [(&str, &[&str]); 12] = [
    ("two tokens", &[HOST, BEARER, "Authorization: Bearer tg_other"]),
    ("two hosts", &[HOST, "Host: localhost", BEARER]),
    ("two types", &[HOST, BEARER, "Content-Type: text/plain"]),
    (
        "two session ids",
        &[HOST, BEARER, "Mcp-Session-Id: a", "Mcp-Session-Id: b"],
    ),
    ("two tool names", &[HOST, BEARER, "Mcp-Name: a", "Mcp-Name: b"]),
    (
        "two origins",
        &[
            HOST,
            BEARER,
            "Origin: https://app.example",
            "Origin: https://app.example",
        ],
    ),
    (
        "two event ids",
        &[HOST, BEARER, "Last-Event-ID: 1", "Last-Event-ID: 2"],
    ),
    (
        "a coding other than chunked",
        &[HOST, BEARER, "Transfer-Encoding: gzip, chunked"],
    ),
    (
        "a Connection that names Mcp-Name",
        &[HOST, BEARER, "Connection: close, Mcp-Name"],
    ),
    (
        "a Connection that names Authorization",
        &[HOST, BEARER, "Connection: authorization"],
    ),
    (
        "a Connection that names Content-Type",
        &[HOST, BEARER, "Connection: Content-Type"],
    ),
    ("no host", &[BEARER]),
];

#[tokio::test]
async fn heads_that_could_be_read_in_two_ways_are_refused() {
    let fixture = Fixture::start(Era::Session);
    let gate = gate(&fixture.url);
    for (what, lines) in AMBIGUOUS {
        let lines = [lines, &[JSON, ACCEPT]].concat();
        let answer = exchange(&gate.proxy, post("/mcp/fixture", &lines).as_bytes()).await;
        assert_eq!(answer.status, 400, "{what}: {}", answer.text());
    }
    let absolute = post("http://localhost/mcp/fixture", &[HOST, BEARER, JSON, ACCEPT]);
    assert_eq!(
        exchange(&gate.proxy, absolute.as_bytes()).await.status,
        400,
        "a target and a Host that disagree"
    );
    for method in ["GET", "DELETE"] {
        let request = post("/mcp/fixture", &[HOST, BEARER, ACCEPT]).replacen("POST", method, 1);
        assert_eq!(
            exchange(&gate.proxy, request.as_bytes()).await.status,
            400,
            "a {method} with a body"
        );
    }
    assert_eq!(
        fixture.state().await["requests"],
        0,
        "a refused request reached the server"
    );
}

#[tokio::test]
async fn foreign_hosts_and_origins_are_turned_away_and_a_listed_origin_gets_its_preflight() {
    let fixture = Fixture::start(Era::Session);
    let gate = gate(&fixture.url);
    let foreign: [&[&str]; 4] = [
        &["Host: evil.example", BEARER],
        &["Host: evil.example:8080", BEARER],
        &[HOST, BEARER, "Origin: https://evil.example"],
        &[HOST, BEARER, "Origin: null"],
    ];
    for lines in foreign {
        let answer = exchange(
            &gate.proxy,
            post("/mcp/fixture", &[lines, &[JSON, ACCEPT]].concat()).as_bytes(),
        )
        .await;
        assert_eq!(answer.status, 403, "{lines:?}: {}", answer.text());
        assert_eq!(answer.header("access-control-allow-origin"), None, "{lines:?}");
    }
    let preflight = "OPTIONS /mcp/fixture HTTP/1.1\r\nHost: localhost\r\nOrigin: https://app.example\r\n\
        Access-Control-Request-Method: POST\r\nAccess-Control-Request-Headers: authorization, mcp-session-id\r\n\r\n";
    let answer = exchange(&gate.proxy, preflight.as_bytes()).await;
    assert!(matches!(answer.status, 200 | 204), "{}", answer.status);
    assert_eq!(
        answer.header("access-control-allow-origin"),
        Some("https://app.example")
    );
    let exposed = answer
        .header("access-control-expose-headers")
        .unwrap_or_default()
        .to_lowercase();
    assert!(exposed.contains("mcp-session-id"), "{exposed}");
    assert_eq!(
        fixture.state().await["requests"],
        0,
        "a refused request reached the server"
    );
}

#[tokio::test]
async fn an_upgrade_is_ignored_and_never_forwarded() {
    let fixture = Fixture::start(Era::Session);
    let gate = gate(&fixture.url);
    let hello = json!({ "jsonrpc": "2.0", "id": 0, "method": "initialize", "params": { "protocolVersion": "2025-11-25",
        "capabilities": {}, "clientInfo": { "name": "java", "version": "1" } } });
    let headers = [
        ("Connection", "Upgrade, HTTP2-Settings"),
        ("Upgrade", "h2c"),
        ("HTTP2-Settings", "AAMAAABkAAQAAP__"),
    ];
    let request = gate
        .caller("fixture", TOKEN)
        .request("POST", &headers, hello.to_string().as_bytes());
    let answer = exchange(&gate.proxy, &request).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let arrived = fixture.requests().await.pop().unwrap();
    let names: Vec<&Value> = arrived["headers"]
        .as_array()
        .unwrap()
        .iter()
        .map(|pair| &pair[0])
        .collect();
    assert!(
        !names
            .iter()
            .any(|name| *name == "upgrade" || *name == "http2-settings"),
        "{names:?}"
    );
}

#[tokio::test]
async fn pipelined_requests_are_decided_one_by_one() {
    let fixture = Fixture::start(Era::Current);
    let gate = gate(&fixture.url);
    let caller = gate.caller("fixture", TOKEN);
    let echo = caller.current_request("echo", &json!({ "message": "hi" }), 1);
    let hidden = caller.current_request("secret-show", &json!({}), 2);
    let mut wire = Wire::open(&gate.proxy).await;
    wire.send(&[echo.as_slice(), &hidden, &echo].concat()).await;
    assert_eq!(
        wire.answer().await.json()["result"]["content"][0]["text"],
        "Echo: hi"
    );
    assert_eq!(wire.answer().await.json()["error"]["code"], -32602);
    assert_eq!(
        wire.answer().await.json()["result"]["content"][0]["text"],
        "Echo: hi"
    );
    assert_eq!(fixture.state().await["executions"], json!({ "echo": 2 }));
}

async fn call_through(upstream: &Canned) -> (Gate, Reply) {
    let gate = gate(&upstream.url);
    let reply = gate
        .caller("fixture", TOKEN)
        .call("echo", &json!({ "message": "hi" }))
        .await;
    (gate, reply)
}

#[tokio::test]
async fn a_redirect_of_the_upstream_is_not_passed_on() {
    let answer = Canned::answer(
        "307 Temporary Redirect",
        &["Location: http://169.254.169.254/"],
        b"",
    );
    let upstream = Canned::start(&answer).await;
    let (_gate, reply) = call_through(&upstream).await;
    assert_eq!(
        (reply.status, &reply.message["error"]["code"]),
        (200, &json!(502)),
        "{:?}",
        reply.message
    );
    assert_eq!(reply.header("location"), None);
    assert!(
        !reply.message.to_string().contains("169.254"),
        "{:?}",
        reply.message
    );
    assert_eq!(
        upstream.requests().len(),
        1,
        "the redirect was followed or the call sent again"
    );
}

#[tokio::test]
async fn an_upstream_that_breaks_off_may_have_run_the_call_and_is_not_asked_again() {
    let upstream = Canned::start(b"").await;
    let (_gate, reply) = call_through(&upstream).await;
    assert_eq!(
        (reply.status, &reply.message["error"]["code"]),
        (200, &json!(502)),
        "{:?}",
        reply.message
    );
    assert!(
        reply.message["error"]["message"]
            .as_str()
            .unwrap()
            .contains("may have been executed")
    );
    assert_eq!(
        upstream.requests().len(),
        1,
        "a call that may have run was sent again"
    );
}

#[tokio::test]
async fn a_list_that_cannot_be_filtered_is_not_passed_on() {
    let list = br#"{"jsonrpc":"2.0","id":1,"result":{"tools":[{"name":"secret-show"},{"name":"echo"}]}}"#;
    let squeezed = Canned::answer(
        "200 OK",
        &["Content-Type: application/json", "Content-Encoding: gzip"],
        list,
    );
    let broken = Canned::answer(
        "200 OK",
        &["Content-Type: application/json"],
        &list[..list.len() - 1],
    );
    let twice = Canned::answer(
        "200 OK",
        &["Content-Type: application/json"],
        br#"{"jsonrpc":"2.0","id":1,"result":{"tools":[]},"result":{"tools":[{"name":"secret-show"}]}}"#,
    );
    for answer in [squeezed, broken, twice] {
        let upstream = Canned::start(&answer).await;
        let gate = gate(&upstream.url);
        let caller = gate.caller("fixture", TOKEN);
        let body = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/list" }).to_string();
        let answer = exchange(&gate.proxy, &caller.request("POST", &[], body.as_bytes())).await;
        assert!(
            !answer.text().contains("secret-show"),
            "a hidden tool leaks: {}",
            answer.text()
        );
        assert!(answer.json()["error"].is_object(), "{}", answer.text());
        assert_eq!(upstream.requests().len(), 1);
    }
}

#[tokio::test]
async fn random_bytes_neither_stop_nor_hang_the_proxy() {
    let fixture = Fixture::start(Era::Current);
    let gate = gate(&fixture.url);
    let mut seed = 0x9E37_79B9_7F4A_7C15_u64;
    let mut next = || {
        // xorshift64: the same bytes in each run
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed
    };
    for round in 0..200_u32 {
        let length = usize::try_from(next() % 400).unwrap();
        let noise: Vec<u8> = (0..length).map(|_| next().to_le_bytes()[3]).collect();
        let caller = gate.caller("fixture", TOKEN);
        let bytes = match round % 3 {
            0 => noise,
            1 => caller.request("POST", &[], &noise),
            _ => {
                let mut call = caller.current_request("echo", &json!({ "message": "hi" }), 1);
                for _ in 0..3 {
                    let at = usize::try_from(next()).unwrap_or(0) % call.len();
                    call[at] = next().to_le_bytes()[3];
                }
                call
            }
        };
        let mut wire = Wire::open(&gate.proxy).await;
        wire.send_all_and_close(&bytes).await;
        // an answer or a closed connection: the reader's own time-out fails the test
        if wire.try_head().await.is_some() {
            wire.until_end().await;
        }
    }
    let reply = gate
        .caller("fixture", TOKEN)
        .call("echo", &json!({ "message": "alive" }))
        .await;
    assert_eq!(reply.text(), "Echo: alive");
    assert!(!gate.stderr().contains("panicked"), "{}", gate.stderr());
}
