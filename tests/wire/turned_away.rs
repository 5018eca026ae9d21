//! What is refused before it is judged, with a status of HTTP's own: nothing of it reached the upstream.

use serde_json::json;

use crate::answered::strict;
use crate::wire::client::{call, call_body, post, request};
use crate::wire::gate::{Gate, Setup};
use crate::wire::upstream::Upstream;
use crate::wire::{ELSEWHERE, LATE};

#[tokio::test]
async fn without_a_good_token_it_is_401_and_says_what_to_send() {
    let upstream = Upstream::start().await;
    let other = Upstream::start().await;
    let gate = Gate::start(
        Setup {
            second: Some(other.addr),
            ..Setup::default()
        },
        upstream.addr,
    )
    .await;
    let requests = [
        call("x").without("Authorization"),
        call("x").token("nobody"),
        call("x").token(""),
        call("x").token(LATE),
        call("x").token(ELSEWHERE),
        call("x").with("Authorization", "Basic dG9rLWNpOg=="),
        request("GET", "").without("Authorization"),
        request("DELETE", "").without("Authorization"),
        call("x").to("/mcp/t"),
    ];
    for request in &requests {
        let answer = gate.ask(request).await;
        assert_eq!(answer.status, 401, "{request:?}");
        assert!(answer.header("www-authenticate").unwrap().starts_with("Bearer"));
        assert!(answer.text().contains("Authorization: Bearer"));
        assert_eq!(answer.json().get("id"), None);
    }
    assert!(gate.ask(&call("x").token(ELSEWHERE).to("/mcp/t")).await.ran());
    assert_eq!((upstream.accepted(), other.count()), (0, 1));
    let records = gate.ended().await;
    assert!(
        records
            .iter()
            .any(|record| record["outcome"] == "unauthenticated" && record["grant"].is_null())
    );
}

#[tokio::test]
async fn a_foreign_origin_or_host_is_403() {
    let upstream = Upstream::start().await;
    let gate = Setup::default()
        .settings("allowed_origins: ['http://app.example']")
        .before(upstream.addr)
        .await;
    for request in [
        call("x").header("Origin", "http://evil.example"),
        call("x").header("Origin", "null"),
        call("x").with("Host", "evil.example"),
        call("x").with("Host", "127.0.0.1.evil.example:8080"),
        call("x")
            .header("Origin", "http://evil.example")
            .without("Authorization"),
        request("OPTIONS", "").header("Origin", "http://evil.example"),
    ] {
        let answer = gate.ask(&request).await;
        assert_eq!(answer.status, 403, "{request:?}");
        assert_eq!(answer.header("access-control-allow-origin"), None);
        assert_eq!(answer.json().get("id"), None);
    }
    assert_eq!(upstream.accepted(), 0);
    assert!(
        gate.ask(&call("x").header("Origin", "http://app.example"))
            .await
            .ran()
    );
    assert!(gate.ask(&call("x").with("Host", "localhost:1234")).await.ran());
}

#[tokio::test]
async fn what_cannot_be_read_is_400_with_the_code_that_fits_and_an_id_only_where_it_is_sure() {
    let (gate, upstream) = strict().await;
    let cases = [
        ("{", -32700, None),
        ("", -32700, None),
        ("null", -32600, None),
        (r#"[{"jsonrpc":"2.0","id":1,"method":"ping"}]"#, -32600, None),
        ("[]", -32600, None),
        (
            r#"{"jsonrpc":"2.0","id":7,"method":"a","method":"b"}"#,
            -32600,
            Some(json!(7)),
        ),
        (r#"{"jsonrpc":"2.0","id":7,"id":8,"method":"ping"}"#, -32600, None),
        (
            r#"{"jsonrpc":"2.0","id":7,"method":"ping","result":{}}"#,
            -32600,
            Some(json!(7)),
        ),
        (
            r#"{"jsonrpc":"1.0","id":7,"method":"ping"}"#,
            -32600,
            Some(json!(7)),
        ),
        (r#"{"jsonrpc":"2.0","id":null,"method":"ping"}"#, -32600, None),
        (
            r#"{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"free","arguments":[1]}}"#,
            -32602,
            Some(json!(7)),
        ),
        (
            r#"{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":5}}"#,
            -32602,
            Some(json!(7)),
        ),
        (
            r#"{"jsonrpc":"2.0","id":7,"method":"tools/call"}"#,
            -32602,
            Some(json!(7)),
        ),
    ];
    for (body, code, id) in &cases {
        let answer = gate.ask(&post(*body)).await;
        assert_eq!(answer.status, 400, "{body}");
        let json = answer.json();
        assert_eq!(
            (&json["error"]["code"], json.get("id")),
            (&json!(code), id.as_ref()),
            "{body}"
        );
    }
    assert_eq!(upstream.accepted(), 0);
    let records = gate.ended().await;
    let invalid = records
        .iter()
        .filter(|record| record["outcome"] == "invalid")
        .count();
    assert_eq!(
        (records.len(), invalid),
        (cases.len(), cases.len()),
        "each is recorded once: {records:#?}"
    );
}

#[tokio::test]
async fn headers_that_say_something_else_than_the_body_are_400() {
    let (gate, upstream) = strict().await;
    for request in [
        call("free").header("Mcp-Method", "ping"),
        call("free").header("Mcp-Name", "run"),
        call("free").header("Mcp-Name", "=?base64?cnVu?="),
        post(r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"free","_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28"}}}"#)
            .header("MCP-Protocol-Version", "2025-06-18"),
    ] {
        let answer = gate.ask(&request).await;
        assert_eq!(answer.status, 400, "{request:?}");
        assert_eq!((&answer.json()["error"]["code"], &answer.json()["id"]), (&json!(-32020), &json!(1)));
    }
    assert_eq!(upstream.accepted(), 0);
    let agreeing = call("free")
        .header("Mcp-Method", "tools/call")
        .header("Mcp-Name", "=?base64?ZnJlZQ==?=");
    assert!(gate.ask(&agreeing).await.ran());
}

#[tokio::test]
async fn a_mismatch_in_an_answer_to_the_server_is_told_without_the_servers_id() {
    let (gate, _upstream) = strict().await;
    let answer = gate
        .ask(&post(r#"{"jsonrpc":"2.0","id":1,"result":{}}"#).header("Mcp-Method", "ping"))
        .await;
    assert_eq!(
        (answer.status, answer.json().get("id")),
        (400, None),
        "{}",
        answer.text()
    );
}

#[tokio::test]
async fn too_large_encoded_and_other_methods_have_their_own_status() {
    let upstream = Upstream::start().await;
    let gate = Setup::default()
        .settings("limits: { body_bytes: 2000 }")
        .before(upstream.addr)
        .await;
    let padded = |size: usize| {
        let call = call_body("x");
        post(format!("{}{}", call, " ".repeat(size - call.len())))
    };
    assert!(gate.ask(&padded(2000)).await.ran());
    assert_eq!(gate.ask(&padded(2001)).await.status, 413);
    // announced only: answered before a byte of it came
    let announced = call("x").unframed().header("Content-Length", "900000000");
    assert_eq!(gate.ask(&announced).await.status, 413);
    let chunked = format!("7d1\r\n{}\r\n0\r\n\r\n", " ".repeat(2001));
    let mut request = call("x").unframed().header("Transfer-Encoding", "chunked");
    request.body = chunked.into_bytes();
    assert_eq!(gate.ask(&request).await.status, 413);

    assert_eq!(
        gate.ask(&call("x").header("Content-Encoding", "gzip"))
            .await
            .status,
        415
    );
    assert_eq!(
        gate.ask(&call("x").with("Content-Type", "application/json; charset=utf-16"))
            .await
            .status,
        415
    );
    for (method, allowed) in [
        ("PUT", "POST, GET, DELETE, OPTIONS"),
        ("PATCH", "POST, GET, DELETE, OPTIONS"),
    ] {
        let answer = gate.ask(&request_of(method)).await;
        assert_eq!((answer.status, answer.header("allow")), (405, Some(allowed)));
    }
    assert_eq!(upstream.count(), 1);
}

fn request_of(method: &str) -> crate::wire::client::Req {
    request(method, "")
}
