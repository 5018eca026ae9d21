//! What upstreams are shown: fixed headers that follow their files, and tokens by the client-credentials grant.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::wire::client::call;
use crate::wire::gate::{Gate, Setup};
use crate::wire::logs;
use crate::wire::until;
use crate::wire::upstream::{Latch, Step, Upstream, answer, dead_address, json};

const SECRET: &str = "s3cret/with:odd chars";

fn token(name: &str, expires_in: u32) -> Vec<Step> {
    vec![Step::Send(json(&format!(
        r#"{{"access_token":"{name}","token_type":"Bearer","expires_in":{expires_in}}}"#
    )))]
}

fn oauth(tokens: SocketAddr, more: &str) -> Setup {
    Setup::runs(100, "grant").file("secret", SECRET).server(&format!(
        ", oauth: {{ token_url: 'http://{tokens}/token', client_id: 'gate id', client_secret: {{ file: secret }}{more} }}"
    ))
}

/// A gate, its upstream, and the server of its tokens, which answers with these.
async fn with_tokens(replies: Vec<Vec<Step>>) -> (Gate, Upstream, Upstream) {
    let (upstream, tokens) = (Upstream::start().await, Upstream::start().await);
    for reply in replies {
        tokens.next(reply);
    }
    let gate = oauth(tokens.addr, ", scope: 'a b', resource: 'https://up.example/mcp'")
        .before(upstream.addr)
        .await;
    (gate, upstream, tokens)
}

#[tokio::test]
async fn a_header_follows_its_file_and_an_empty_file_changes_nothing() {
    let upstream = Upstream::start().await;
    let setup = Setup::default()
        .file("key", "Bearer one\n")
        .server(", headers: { Authorization: { file: key } }");
    let gate = setup.before(upstream.addr).await;
    let shown = async || {
        assert!(gate.ask(&call("run")).await.ran());
        upstream.last().header("authorization").unwrap().to_owned()
    };
    assert_eq!(shown().await, "Bearer one");
    std::fs::write(gate.folder.join("key"), "").unwrap();
    tokio::time::sleep(Duration::from_millis(1_200)).await;
    assert_eq!(shown().await, "Bearer one");
    std::fs::write(gate.folder.join("key"), "Bearer two").unwrap();
    let start = Instant::now();
    while shown().await != "Bearer two" {
        assert!(start.elapsed().as_secs() < 15, "the new credential is not used");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn one_token_is_fetched_for_many_calls_and_only_the_upstream_sees_it() {
    let latch = Latch::new();
    let slow = [vec![Step::Wait(latch.clone())], token("tok-up-1", 3600)].concat();
    let (gate, upstream, tokens) = with_tokens(vec![slow]).await;
    let request = call("run");
    let calls = async { tokio::join!(gate.ask(&request), gate.ask(&request), gate.ask(&request)) };
    let opened = async {
        tokens.request(1).await;
        latch.open();
    };
    let ((one, two, three), ()) = tokio::join!(calls, opened);
    assert!(one.ran() && two.ran() && three.ran());
    assert_eq!((tokens.count(), upstream.count()), (1, 3));
    for seen in upstream.seen() {
        assert_eq!(seen.all("authorization"), ["Bearer tok-up-1"]);
    }
    let asked = tokens.last();
    assert_eq!(asked.request_line(), "POST /token HTTP/1.1");
    assert_eq!(
        asked.text(),
        "grant_type=client_credentials&scope=a+b&resource=https%3A%2F%2Fup.example%2Fmcp"
    );
    // RFC 6749 section 2.3.1: id and secret are form-encoded, then joined
    let basic = data_encoding::BASE64.encode(b"gate+id:s3cret%2Fwith%3Aodd+chars");
    assert_eq!(
        asked.header("authorization"),
        Some(format!("Basic {basic}").as_str())
    );
}

#[tokio::test]
async fn the_secret_goes_into_the_form_where_that_is_set() {
    let (upstream, tokens) = (Upstream::start().await, Upstream::start().await);
    tokens.next(token("tok", 60));
    let gate = oauth(tokens.addr, ", client_auth: form")
        .before(upstream.addr)
        .await;
    assert!(gate.ask(&call("run")).await.ran());
    let asked = tokens.last();
    assert_eq!(asked.header("authorization"), None);
    assert!(
        asked
            .text()
            .ends_with("&client_id=gate+id&client_secret=s3cret%2Fwith%3Aodd+chars")
    );
}

#[tokio::test]
async fn a_token_is_renewed_while_it_still_serves() {
    let latch = Latch::new();
    let renewed = [vec![Step::Wait(latch.clone())], token("second", 3600)].concat();
    // good for 10 s, renewed after 8
    let (gate, upstream, tokens) = with_tokens(vec![token("first", 10), renewed]).await;
    let start = Instant::now();
    assert!(gate.ask(&call("run")).await.ran());
    while tokens.count() < 2 {
        assert!(start.elapsed().as_secs() < 30, "it is not renewed");
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert!(gate.ask(&call("run")).await.ran());
        // nobody waits for the second one
        assert_eq!(upstream.last().header("authorization"), Some("Bearer first"));
    }
    latch.open();
    let start = Instant::now();
    loop {
        assert!(gate.ask(&call("run")).await.ran());
        if upstream.last().header("authorization") == Some("Bearer second") {
            break;
        }
        assert!(start.elapsed().as_secs() < 15, "the second token is not used");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(tokens.count(), 2);
}

#[tokio::test]
async fn without_a_token_nothing_is_sent_nothing_is_charged_and_no_text_of_the_answer_is_told() {
    let refused = answer(
        "400 Bad Request",
        &[],
        br#"{"error":"invalid_client","error_description":"s3cret-echo"}"#,
    );
    let redirect = answer(
        "302 Found",
        &[("Location", "http://127.0.0.1:1/s3cret-echo")],
        b"",
    );
    let endless = [
        b"HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n".to_vec(),
        vec![b'x'; 100_000],
    ]
    .concat();
    for (reply, wanted) in [
        (vec![Step::Send(refused)], "answered 400 invalid_client"),
        (vec![Step::Send(redirect)], "answered 302"),
        (vec![Step::Send(endless)], "has more than"),
        (
            vec![Step::Send(json(r#"{"access_token":"x","token_type":"mac"}"#))],
            "another type",
        ),
        (vec![Step::Send(json("s3cret-echo"))], "no token"),
        (vec![Step::Close], "failed after the request was written"),
        (vec![Step::Wait(Latch::new())], "within 300ms"),
    ] {
        let logs = logs();
        let _listening = logs.listen();
        let (upstream, tokens) = (Upstream::start().await, Upstream::start().await);
        tokens.next(reply);
        let patience = if wanted == "within 300ms" { 300 } else { 15_000 };
        let setup = oauth(tokens.addr, &format!(", timeout_ms: {patience}"));
        let gate = setup.before(upstream.addr).await;
        let answer = gate.ask(&call("run")).await;
        assert!(
            answer.text().contains("not executed"),
            "{wanted}: {}",
            answer.text()
        );
        assert_eq!(upstream.count(), 0, "{wanted}");
        let records = gate.ended().await;
        assert_eq!(records[0]["outcome"], "upstream_error", "{wanted}");
        assert_eq!(records[0]["upstream"]["ended"], "unsent", "{wanted}");
        let all = format!("{}{}{records:?}", logs.text(), answer.text());
        assert!(all.contains(wanted), "{wanted}: {all}");
        assert!(!all.contains("s3cret"), "{wanted}: {all}");
    }
}

#[tokio::test]
async fn a_dead_token_server_is_asked_once_in_a_while_and_calls_go_on_when_it_is_back() {
    let upstream = Upstream::start().await;
    let dead = dead_address().await;
    let gate = oauth(dead, "").before(upstream.addr).await;
    for _ in 0..3 {
        assert!(!gate.ask(&call("run")).await.ran());
    }
    let tokens = Upstream::at(dead).await;
    tokens.keeps_answering(token("back", 3600));
    let start = Instant::now();
    while !gate.ask(&call("run")).await.ran() {
        assert!(start.elapsed().as_secs() < 15, "it does not come back");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(tokens.count(), 1);
}

#[tokio::test]
async fn a_client_that_leaves_does_not_stop_the_fetching_for_those_who_wait() {
    let latch = Latch::new();
    let slow = [vec![Step::Wait(latch.clone())], token("tok", 3600)].concat();
    let (gate, upstream, tokens) = with_tokens(vec![slow]).await;
    let mut leaves = gate.client().await;
    leaves.send(&call("run").bytes()).await;
    tokens.request(1).await;
    let request = call("run");
    let waits = gate.ask(&request);
    let rest = async {
        drop(leaves);
        until(|| gate.sink.records().len() == 1).await;
        latch.open();
    };
    assert!(tokio::join!(waits, rest).0.ran());
    assert_eq!((tokens.count(), tokens.aborted(), upstream.count()), (1, 0, 1));
}

#[tokio::test]
async fn a_new_secret_is_used_for_the_next_token() {
    let (gate, _upstream, tokens) = with_tokens(vec![vec![Step::Close]]).await;
    assert!(!gate.ask(&call("run")).await.ran());
    std::fs::write(gate.folder.join("secret"), "new").unwrap();
    tokens.keeps_answering(vec![Step::Send(answer("401 Unauthorized", &[], b"{}"))]);
    let basic = format!("Basic {}", data_encoding::BASE64.encode(b"gate+id:new"));
    let start = Instant::now();
    while tokens.last().header("authorization") != Some(basic.as_str()) {
        assert!(start.elapsed().as_secs() < 15, "the new secret is not used");
        assert!(!gate.ask(&call("run")).await.ran());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[test]
fn settings_that_would_lose_the_secret_are_refused() {
    use toolgate::settings::load_with;
    let folder = std::env::temp_dir().join(format!("toolgate-oauth-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let path = folder.join("toolgate.yaml");
    let problem = |server: &str| {
        let text = format!("servers: {{ s: {{ upstream: 'https://up.example/mcp', {server} }} }}\n");
        std::fs::write(&path, text).unwrap();
        let env = std::collections::BTreeMap::from([("S".to_owned(), "v".to_owned())]);
        load_with(&path, &env).map(|_| ()).unwrap_err().to_string()
    };
    let good = "client_id: c, client_secret: { env: S }";
    for (server, wanted) in [
        (
            format!("oauth: {{ token_url: 'http://login.example/token', {good} }}"),
            "in the clear",
        ),
        (format!("oauth: {{ {good} }}"), "oauth.token_url"),
        (
            "oauth: { token_url: 'https://l.example/t', client_secret: { env: S } }".to_owned(),
            "oauth.client_id",
        ),
        (
            "oauth: { token_url: 'https://l.example/t', client_id: c }".to_owned(),
            "oauth.client_secret",
        ),
        (
            format!(
                "headers: {{ authorization: {{ env: S }} }}, oauth: {{ token_url: 'https://l.example/t', {good} }}"
            ),
            "remove one of them",
        ),
        ("upstream_tls: { cert: a }".to_owned(), "go together"),
    ] {
        let text = problem(&server);
        assert!(text.contains(wanted), "{server}: {text}");
    }
    std::fs::remove_dir_all(&folder).unwrap();
}
