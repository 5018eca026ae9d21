//! Heads that two readers could understand in two ways.

use serde_json::json;

use crate::ways_round::{all_are, guarded};
use crate::wire::client::{call, call_body, request};
use crate::wire::gate::Setup;
use crate::wire::upstream::{self, Step, Upstream};

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
