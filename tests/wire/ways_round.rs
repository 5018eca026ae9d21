//! The table of ways round: each is refused, or read as the server will read it.

use serde_json::json;

use crate::wire::client::{Req, call, call_body, post, request};
use crate::wire::gate::{Gate, Setup};
use crate::wire::upstream::{self, Step, Upstream};

const POLICY: &str = r#"{"version":"1","default":"allow","tools":{"drop":{"action":"deny"}}}"#;

async fn guarded() -> (Gate, Upstream) {
    let upstream = Upstream::start().await;
    let gate = Setup::policy(POLICY).before(upstream.addr).await;
    (gate, upstream)
}

async fn all_are(status: u16, requests: impl IntoIterator<Item = Req>) {
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
async fn doubled_headers_that_are_judged_are_400() {
    let doubled = [
        ("Authorization", "Bearer x"),
        ("Host", "localhost"),
        ("Content-Type", "text/plain"),
        ("Mcp-Method", "tools/call"),
        ("Mcp-Session-Id", "b"),
        ("Mcp-Param-Region", "b"),
        ("Last-Event-ID", "2"),
        ("Origin", "http://a.example"),
    ];
    let twice = |(name, value): &(&str, &str)| {
        let request = call("fine");
        let have = request.headers.iter().any(|(key, _)| key == name);
        let request = if have {
            request
        } else {
            request.header(name, value)
        };
        request.header(name, value)
    };
    let upstream = Upstream::start().await;
    let gate = Setup::default()
        .settings("allowed_origins: ['http://a.example']")
        .before(upstream.addr)
        .await;
    for header in &doubled {
        assert_eq!(gate.ask(&twice(header)).await.status, 400, "{header:?}");
    }
    assert_eq!(upstream.accepted(), 0);
}

#[tokio::test]
async fn a_connection_header_that_names_what_is_judged_is_400() {
    let tokens = [
        "Mcp-Session-Id",
        "close, authorization",
        "HOST",
        "content-length",
        "Content-Type",
        "keep-alive,mcp-name",
    ];
    all_are(
        400,
        tokens
            .iter()
            .map(|token| call("fine").header("Connection", token)),
    )
    .await;
}

#[tokio::test]
async fn other_transfer_codings_and_doubled_lengths_are_never_forwarded() {
    let (gate, upstream) = guarded().await;
    let chunked = |coding: &[(&str, &str)]| {
        let body = call_body("fine");
        let mut request = call("fine").unframed();
        for (name, value) in coding {
            request = request.header(name, value);
        }
        request.body = format!("{:x}\r\n{body}\r\n0\r\n\r\n", body.len()).into_bytes();
        request
    };
    for coding in [
        &[("Transfer-Encoding", "gzip, chunked")][..],
        &[("Transfer-Encoding", "chunked"), ("Transfer-Encoding", "chunked")],
        &[("Transfer-Encoding", "identity")],
        &[("Transfer-Encoding", "xchunked")],
    ] {
        let answer = gate.ask(&chunked(coding)).await;
        assert_eq!(answer.status, 400, "{coding:?}");
    }
    let mut lengths = call("fine").header("Content-Length", "3");
    assert_eq!(gate.ask(&lengths).await.status, 400);
    lengths = call("fine").header("Content-Length", "+3").unframed();
    assert_eq!(gate.ask(&lengths).await.status, 400);
    assert_eq!(upstream.accepted(), 0);
    // both at once: refused, or read as chunked and written anew with one length
    let both = chunked(&[("Content-Length", "5"), ("Transfer-Encoding", "chunked")]);
    if gate.ask(&both).await.status != 400 {
        assert_eq!(
            (
                upstream.last().text(),
                upstream.last().all("content-length").len()
            ),
            (call_body("fine"), 1)
        );
    }
    assert!(
        gate.ask(&chunked(&[("Transfer-Encoding", "chunked")]))
            .await
            .ran()
    );
}

#[tokio::test]
async fn trailers_and_expectations_are_not_forwarded() {
    let (gate, upstream) = guarded().await;
    let body = call_body("fine");
    let mut request = call("fine")
        .unframed()
        .header("Transfer-Encoding", "chunked")
        .header("Trailer", "Authorization");
    request.body = format!(
        "{:x}\r\n{body}\r\n0\r\nAuthorization: Bearer x\r\nMcp-Name: y\r\n\r\n",
        body.len()
    )
    .into_bytes();
    assert!(gate.ask(&request).await.ran());
    let seen = upstream.last();
    for name in ["trailer", "authorization", "mcp-name", "te", "transfer-encoding"] {
        assert_eq!(seen.header(name), None, "{name}");
    }
    let mut client = gate.client().await;
    let mut expecting = call("fine").header("Expect", "100-continue");
    let body = std::mem::take(&mut expecting.body);
    client
        .send(
            &expecting
                .unframed()
                .header("Content-Length", &body.len().to_string())
                .bytes(),
        )
        .await;
    assert_eq!(client.head().await.status, 100);
    client.send(&body).await;
    assert!(client.answer().await.ran());
    assert_eq!(upstream.last().header("expect"), None);
}

#[tokio::test]
async fn an_upgrade_is_ignored_and_not_forwarded() {
    let (gate, upstream) = guarded().await;
    let asking = call("fine")
        .header("Connection", "Upgrade, HTTP2-Settings")
        .header("Upgrade", "h2c")
        .header("HTTP2-Settings", "AAMAAABkAARAAAAAAAIAAAAA");
    assert!(gate.ask(&asking).await.ran());
    for name in ["upgrade", "http2-settings", "connection"] {
        assert_eq!(upstream.last().header(name), None, "{name}");
    }
    let socket = request("GET", "")
        .header("Connection", "Upgrade")
        .header("Upgrade", "websocket");
    upstream.next(vec![Step::Send(upstream::answer(
        "200 OK",
        &[("Content-Type", "text/event-stream")],
        b"",
    ))]);
    assert_eq!(gate.ask(&socket).await.status, 200);
    assert_eq!(upstream.last().header("upgrade"), None);
}

#[tokio::test]
async fn an_upstream_that_switches_protocols_is_not_followed() {
    let switch = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n";
    let upstream = Upstream::always(vec![Step::Send(switch.to_vec())]).await;
    let gate = Setup::default()
        .server(", response_timeout_ms: 1000")
        .before(upstream.addr)
        .await;
    let answer = gate.ask(&call("x")).await;
    assert_eq!(
        (answer.status, &answer.json()["error"]["code"]),
        (200, &json!(502))
    );
    let answer = gate
        .ask(
            &request("GET", "")
                .header("Connection", "Upgrade")
                .header("Upgrade", "h2c"),
        )
        .await;
    assert!(matches!(answer.status, 502 | 504), "{}", answer.head);
}

#[tokio::test]
async fn a_body_on_get_or_delete_is_400() {
    let mut with_length = request("GET", call_body("drop"));
    with_length.framed = true;
    let chunked = request("DELETE", "0\r\n\r\n").header("Transfer-Encoding", "chunked");
    all_are(400, [with_length, chunked]).await;
    let (gate, upstream) = guarded().await;
    upstream.next(vec![Step::Send(upstream::answer(
        "200 OK",
        &[("Content-Type", "text/event-stream")],
        b"",
    ))]);
    assert_eq!(
        gate.ask(&request("GET", "").header("Content-Length", "0"))
            .await
            .status,
        200
    );
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
