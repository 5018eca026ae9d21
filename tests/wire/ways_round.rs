//! The table of ways round: each is refused, or read as the server will read it.

use serde_json::json;

use crate::wire::client::{Req, call, call_body, post, request};
use crate::wire::gate::{Gate, Setup};
use crate::wire::upstream::{self, Step, Upstream};

const POLICY: &str = r#"{"version":"1","default":"allow","tools":{"drop":{"action":"deny"}}}"#;

pub async fn guarded() -> (Gate, Upstream) {
    let upstream = Upstream::start().await;
    let gate = Setup::policy(POLICY).before(upstream.addr).await;
    (gate, upstream)
}

pub async fn all_are(status: u16, requests: impl IntoIterator<Item = Req>) {
    let (gate, upstream) = guarded().await;
    for request in requests {
        let answer = gate.ask(&request).await;
        assert_eq!(answer.status, status, "{request:?}: {}", answer.text());
    }
    assert_eq!(upstream.accepted(), 0, "nothing may reach the upstream");
    assert!(gate.ask(&call("fine")).await.ran());
}

#[tokio::test]
async fn batches_duplicate_keys_lookalikes_and_double_messages_are_400() {
    let bodies = [
        r#"[{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"drop"}}]"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"fine","name":"drop"}}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"fine"},"params":{"name":"drop"}}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"ping","m\u0065thod":"tools/call","params":{"name":"drop"}}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"fine","arguments":{"a":1,"a":2}}}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"fine","arguments":{"x":{"a":1,"\u0061":2}}}}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"ping","Method":"tools/call","params":{"name":"drop"}}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"fine","Name":"drop"}}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"fine"},"param\u017f":{"name":"drop"}}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"drop"},"result":{}}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":["drop",{}]}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"ping"}{"jsonrpc":"2.0","id":2,"method":"tools/call","params":{"name":"drop"}}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"fine","arguments":{"n":1e999}}}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"fine","arguments":{"n":NaN}}}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"fine","arguments":{"n":"\ud800"}}}"#,
    ];
    let deep = format!(
        r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":"fine","arguments":{{"x":{}{}}}}}}}"#,
        "[".repeat(5000),
        "]".repeat(5000)
    );
    all_are(400, bodies.iter().map(|body| post(*body)).chain([post(deep)])).await;
}

#[tokio::test]
async fn other_encodings_are_415() {
    let utf16: Vec<u8> = call_body("drop")
        .encode_utf16()
        .flat_map(u16::to_le_bytes)
        .collect();
    let marked = [b"\xef\xbb\xbf", call_body("drop").as_bytes()].concat();
    all_are(
        415,
        [
            post(utf16),
            post(marked),
            call("drop").header("Content-Encoding", "gzip"),
            call("drop")
                .header("Content-Encoding", "identity")
                .header("Content-Encoding", "br"),
            call("drop").with("Content-Type", "application/json;charset=utf-16le"),
            call("drop").with("Content-Type", "application/json; Charset=\"UTF-7\""),
        ],
    )
    .await;
    all_are(
        400,
        [post(
            b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"\xff\"}".to_vec(),
        )],
    )
    .await;
}

#[tokio::test]
async fn escaped_keys_and_values_are_judged_as_what_they_mean() {
    let (gate, upstream) = guarded().await;
    let escaped = |tool: &str| {
        post(format!(
            r#"{{"jsonrpc":"2.0","\u0069d":1,"m\u0065thod":"tools\/c\u0061ll","params":{{"n\u0061me":"{tool}"}}}}"#
        ))
    };
    assert!(
        gate.ask(&escaped(r"dr\u006fp"))
            .await
            .tool_error()
            .contains("drop")
    );
    assert_eq!(upstream.count(), 0);
    let good = escaped(r"f\u0069ne");
    assert_eq!(gate.ask(&good).await.status, 200);
    assert_eq!(
        upstream.last().body,
        good.body,
        "the bytes judged are the bytes forwarded"
    );
}

#[tokio::test]
async fn every_post_is_read_whatever_its_content_type_says() {
    let (gate, upstream) = guarded().await;
    for kind in [
        "text/plain; x=application/json",
        "APPLICATION/JSON",
        "application/octet-stream",
        "application/json; charset=UTF-8",
    ] {
        assert!(
            gate.ask(&call("drop").with("Content-Type", kind))
                .await
                .tool_error()
                .contains("drop"),
            "{kind}"
        );
    }
    assert!(
        gate.ask(&call("drop").without("Content-Type"))
            .await
            .tool_error()
            .contains("drop")
    );
    assert_eq!(upstream.count(), 0);
}

#[tokio::test]
async fn only_the_exact_path_exists() {
    let targets = [
        "/MCP/s",
        "/mcp/s/",
        "/%6dcp/s",
        "/mcp/%73",
        "//mcp/s",
        "/mcp//s",
        "/mcp/s/../admin",
        "/mcp/s/..%2fadmin",
        "/mcp/./s",
        "/mcp/s;x",
        "/mcp\\s",
        "/mcp/s%00",
        "/mcp/S",
        "/",
        "/message?sessionId=1",
        "/mcp/s/message",
        "/sse",
        "/admin",
        "/.well-known/oauth-protected-resource",
        "http://127.0.0.1/mcp/s/../x",
    ];
    all_are(404, targets.iter().map(|target| call("fine").to(target))).await;
}

#[tokio::test]
async fn a_near_miss_of_a_path_says_what_was_meant() {
    let (gate, _upstream) = guarded().await;
    for target in ["/mcp/s/s", "/mcp/s/", "/MCP/s"] {
        let answer = gate.ask(&call("fine").to(target)).await;
        assert!(answer.text().contains("`/mcp/s`"), "{target}: {}", answer.text());
    }
}

#[tokio::test]
async fn the_clients_query_is_not_forwarded_and_the_servers_own_is() {
    let upstream = Upstream::start().await;
    let gate = Setup::default().before(upstream.addr).await;
    assert!(gate.ask(&call("fine").to("/mcp/s?admin=1&x=/../y")).await.ran());
    assert_eq!(upstream.last().request_line(), "POST /upstream/mcp HTTP/1.1");
    gate.ask(&request("GET", "").to("/mcp/s?token=1")).await;
    assert_eq!(upstream.last().request_line(), "GET /upstream/mcp HTTP/1.1");
}

#[tokio::test]
async fn a_redirect_becomes_502_and_its_location_never_passes() {
    for status in [
        "301 Moved",
        "302 Found",
        "303 See Other",
        "307 Temporary Redirect",
        "308 Permanent Redirect",
    ] {
        let reply = upstream::answer(
            status,
            &[
                ("Location", "http://secret.internal/admin"),
                ("Content-Location", "/x"),
            ],
            b"moved",
        );
        let upstream = Upstream::always(vec![Step::Send(reply)]).await;
        let gate = Setup::default().before(upstream.addr).await;
        let answer = gate.ask(&call("x")).await;
        assert_eq!(
            (answer.status, &answer.json()["error"]["code"]),
            (200, &json!(502)),
            "{status}"
        );
        let stream = gate.ask(&request("GET", "")).await;
        assert_eq!(stream.status, 502);
        for answer in [answer, stream] {
            assert!(!(answer.head.clone() + &answer.text()).contains("secret.internal"));
        }
    }
    let created = upstream::answer(
        "201 Created",
        &[
            ("Location", "http://secret.internal/"),
            ("Content-Type", "application/json"),
        ],
        b"{}",
    );
    let upstream = Upstream::always(vec![Step::Send(created)]).await;
    let gate = Setup::default().before(upstream.addr).await;
    let answer = gate.ask(&call("x")).await;
    assert_eq!((answer.status, answer.header("location")), (201, None));
}

#[tokio::test]
async fn one_decision_is_made_for_each_pipelined_request() {
    let (gate, upstream) = guarded().await;
    let mut client = gate.client().await;
    client
        .send(
            &[
                call("fine").bytes(),
                call("drop").bytes(),
                call("fine").token("nobody").bytes(),
            ]
            .concat(),
        )
        .await;
    assert!(client.answer().await.ran());
    assert!(client.answer().await.tool_error().contains("drop"));
    assert_eq!(client.answer().await.status, 401);
    assert_eq!(upstream.count(), 1);
}

#[tokio::test]
async fn a_target_and_a_host_that_disagree_are_400() {
    all_are(
        400,
        [
            call("fine").to("http://localhost:9/mcp/s"),
            call("fine").without("Host"),
            call("fine")
                .with("Host", "127.0.0.1")
                .to("http://evil.example/mcp/s"),
        ],
    )
    .await;
}
