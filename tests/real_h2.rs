//! HTTP/2 with prior knowledge, inbound: the same decisions as over HTTP/1.1, one for each stream.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "in a test and its helpers a failed unwrap is a failed test"
)]

mod support;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::Request;
use hyper::client::conn::http2::{SendRequest, handshake};
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::{Value, json};
use support::gate::{Gate, Setup, limited};
use support::mcp::{CURRENT, current_call};
use support::servers::{Era, Fixture};
use tokio::net::TcpStream;

const TOKEN: &str = "tg_agent";

fn gate(fixture: &Fixture) -> Gate {
    let mut policy = limited("start_run", 3, json!("hour"));
    policy["hide"] = json!(["secret-*"]);
    Setup::new()
        .server("fixture", &fixture.url)
        .policy("p", policy)
        .grant("agent", TOKEN, "fixture", "p")
        .start()
}

async fn connect(gate: &Gate) -> SendRequest<Full<Bytes>> {
    let stream = TcpStream::connect(&gate.proxy).await.unwrap();
    let (sender, connection) = handshake(TokioExecutor::new(), TokioIo::new(stream))
        .await
        .unwrap();
    tokio::spawn(connection);
    sender
}

fn request(gate: &Gate, tool: &str) -> hyper::http::request::Builder {
    Request::post(gate.url("fixture"))
        .header("authorization", format!("Bearer {TOKEN}"))
        .header("content-type", "application/json")
        .header("accept", "application/json, text/event-stream")
        .header("mcp-protocol-version", CURRENT)
        .header("mcp-method", "tools/call")
        .header("mcp-name", tool)
}

async fn send(mut line: SendRequest<Full<Bytes>>, request: Request<Full<Bytes>>) -> (u16, Value) {
    let (head, body) = line.send_request(request).await.unwrap().into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    (
        head.status.as_u16(),
        serde_json::from_slice(&body).unwrap_or(Value::Null),
    )
}

fn body(tool: &str, id: u64) -> Full<Bytes> {
    Full::new(Bytes::from(
        current_call(&json!(id), tool, &json!({})).to_string(),
    ))
}

#[tokio::test]
async fn calls_side_by_side_on_one_connection_share_the_limit_and_keep_their_ids() {
    // JSON answers, so that each body is one message
    let fixture = Fixture::start_with(Era::Current, json!({ "json": true }));
    let gate = gate(&fixture);
    let line = connect(&gate).await;
    let calls: Vec<_> = (0..10)
        .map(|id| {
            let request = request(&gate, "start_run").body(body("start_run", id)).unwrap();
            tokio::spawn(send(line.clone(), request))
        })
        .collect();
    let mut ran = 0;
    for (id, call) in calls.into_iter().enumerate() {
        let (status, message) = call.await.unwrap();
        assert_eq!((status, &message["id"]), (200, &json!(id)), "{message}");
        let limited = message["result"]["_meta"]["toolgate/decision"]["outcome"] == "limited";
        ran += usize::from(!limited);
    }
    assert_eq!((ran, fixture.executions("start_run").await), (3, 3));
}

#[tokio::test]
async fn what_is_refused_over_http_1_is_refused_over_h2() {
    let fixture = Fixture::start_with(Era::Current, json!({ "json": true }));
    let gate = gate(&fixture);
    let line = connect(&gate).await;

    let hidden = request(&gate, "secret-show")
        .body(body("secret-show", 1))
        .unwrap();
    assert_eq!(send(line.clone(), hidden).await.1["error"]["code"], -32602);
    let lying = request(&gate, "echo").body(body("start_run", 1)).unwrap();
    let (status, message) = send(line.clone(), lying).await;
    assert_eq!((status, &message["error"]["code"]), (400, &json!(-32020)));
    let twice = request(&gate, "start_run").header("authorization", "Bearer tg_other");
    assert_eq!(
        send(line.clone(), twice.body(body("start_run", 1)).unwrap())
            .await
            .0,
        400
    );
    let elsewhere = request(&gate, "start_run").header("host", "localhost:1");
    assert_eq!(
        send(line.clone(), elsewhere.body(body("start_run", 1)).unwrap())
            .await
            .0,
        400
    );
    let foreign =
        Request::post("http://evil.example/mcp/fixture").header("authorization", format!("Bearer {TOKEN}"));
    assert_eq!(
        send(line, foreign.body(body("start_run", 1)).unwrap()).await.0,
        403
    );
    assert_eq!(
        fixture.state().await["requests"],
        0,
        "a refused request reached the server"
    );
}
