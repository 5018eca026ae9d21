//! What bounds a client: time, requests, streams, memory.

use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http2::{self, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::wire::client::{Answer, Client, Req, call, call_body, post, request};
use crate::wire::gate::{Gate, Setup, open};
use crate::wire::upstream::{Latch, Step, chunk, stream_head};
use crate::wire::{CI, OTHER, until, within};

async fn until_open(gate: &Gate, count: u64) {
    let start = Instant::now();
    while gate.metric("toolgate_open_connections").await != count {
        assert!(
            start.elapsed().as_secs() < 15,
            "there are not {count} connections"
        );
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

async fn h2(gate: &Gate) -> SendRequest<Full<Bytes>> {
    let stream = TcpStream::connect(gate.proxy).await.unwrap();
    let (sender, connection) = within(http2::handshake(TokioExecutor::new(), TokioIo::new(stream)))
        .await
        .unwrap();
    tokio::spawn(connection);
    sender
}

fn h2_call(gate: &Gate) -> http::Request<Full<Bytes>> {
    http::Request::post(format!("http://{}/mcp/s", gate.proxy))
        .header("authorization", format!("Bearer {CI}"))
        .header("content-type", "application/json")
        .body(Full::new(Bytes::from(call_body("run"))))
        .unwrap()
}

#[tokio::test]
async fn a_connection_may_be_idle_for_longer_than_a_head_may_take() {
    let limits = "limits: { header_timeout_ms: 200, idle_timeout_ms: 60000 }";
    let (gate, _upstream) = open(Setup::default().settings(limits)).await;
    let mut client = gate.client().await;
    for _ in 0..2 {
        assert!(client.ask(&call("run")).await.ran());
        // three times as long as a head may take
        tokio::time::sleep(Duration::from_millis(600)).await;
    }
    assert!(client.ask(&call("run")).await.ran());
    // and the head of a later request must come in time all the same
    client.send(b"POST /mcp/s HTTP/1.1\r\nHost:").await;
    client.rest().await;
    until_open(&gate, 0).await;
}

#[tokio::test]
async fn idle_connections_are_closed_in_both_versions_of_http() {
    let limits = "limits: { idle_timeout_ms: 200 }";
    let (gate, _upstream) = open(Setup::default().settings(limits)).await;
    let mut client = gate.client().await;
    assert!(client.ask(&call("run")).await.ran());
    let mut sender = h2(&gate).await;
    let answer = within(sender.send_request(h2_call(&gate))).await.unwrap();
    within(answer.into_body().collect()).await.unwrap();
    client.rest().await;
    until_open(&gate, 0).await;
    assert!(within(sender.ready()).await.is_err());
}

#[tokio::test]
async fn a_connection_serves_so_many_requests_and_says_when_it_was_the_last() {
    let (gate, _upstream) = open(Setup::default().settings("limits: { requests_per_connection: 3 }")).await;
    let mut client = gate.client().await;
    for last in [false, false, true] {
        let answer = client.ask(&call("run")).await;
        assert!(answer.ran());
        assert_eq!(answer.header("connection") == Some("close"), last);
    }
    assert!(client.rest().await.is_empty());
    let mut sender = h2(&gate).await;
    let mut served = 0;
    while let Ok(answer) = within(sender.send_request(h2_call(&gate))).await {
        within(answer.into_body().collect()).await.unwrap();
        served += 1;
        assert!(served < 100, "it never ends");
        // until the farewell is read
        if served >= 3 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    assert!(served >= 3);
    until_open(&gate, 0).await;
}

#[tokio::test]
async fn an_old_connection_takes_no_further_requests_and_what_runs_on_it_goes_on() {
    let (gate, upstream) = open(Setup::default().settings("limits: { connection_age_ms: 300 }")).await;
    let latch = Latch::new();
    upstream.next(vec![Step::Wait(latch.clone()), Step::Answer]);
    let mut client = gate.client().await;
    client.send(&call("run").bytes()).await;
    upstream.request(1).await;
    tokio::time::sleep(Duration::from_millis(600)).await;
    latch.open();
    assert!(client.answer().await.ran());
    assert!(client.rest().await.is_empty());
    until_open(&gate, 0).await;
}

#[tokio::test]
async fn a_client_that_stops_reading_is_cut_and_the_upstream_hears_of_it() {
    let (gate, upstream) = open(Setup::default().settings("limits: { write_timeout_ms: 300 }")).await;
    let head = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 50000000\r\n\r\n".to_vec();
    upstream.next(vec![Step::Send(head), Step::Flood(50_000_000)]);
    let mut client = Client::with_a_small_buffer(gate.proxy).await;
    client.send(&call("run").bytes()).await;
    until(|| upstream.aborted() == 1).await;
    // what was between the two is bounded
    assert!(upstream.written() < 20_000_000, "{}", upstream.written());
    until_open(&gate, 0).await;
}

#[tokio::test]
async fn an_http_2_client_that_leaves_one_answer_untaken_is_cut() {
    let (gate, upstream) = open(Setup::default().settings("limits: { write_timeout_ms: 300 }")).await;
    let head = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 50000000\r\n\r\n".to_vec();
    upstream.next(vec![Step::Send(head), Step::Flood(50_000_000)]);
    let mut sender = h2(&gate).await;
    let answer = within(sender.send_request(h2_call(&gate))).await.unwrap();
    until(|| upstream.aborted() == 1).await;
    assert!(within(answer.into_body().collect()).await.is_err());
}

#[tokio::test]
async fn a_client_that_reads_slowly_but_does_read_is_served() {
    let (gate, upstream) = open(Setup::default().settings("limits: { write_timeout_ms: 1000 }")).await;
    let head = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 3000000\r\n\r\n".to_vec();
    upstream.next(vec![Step::Send(head), Step::Flood(3_000_000)]);
    let mut client = Client::with_a_small_buffer(gate.proxy).await;
    client.send(&call("run").bytes()).await;
    let mut head = [0; 200];
    let mut got = within(client.stream.read(&mut head)).await.unwrap();
    let mut part = vec![0; 20_000];
    while got < 3_000_000 {
        let read = within(client.stream.read(&mut part)).await.unwrap();
        assert!(read > 0, "it was cut after {got} bytes");
        got += read;
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(upstream.aborted(), 0);
}

fn listen() -> Req {
    request("GET", "").header("Accept", "text/event-stream")
}

#[tokio::test]
async fn streams_are_counted_in_all_and_for_each_grant_and_free_their_place() {
    for (limits, others_may) in [("streams_per_grant: 2", true), ("streams: 2", false)] {
        let (gate, upstream) = open(Setup::default().settings(&format!("limits: {{ {limits} }}"))).await;
        upstream.keeps_answering(vec![
            Step::Send([stream_head(""), chunk(": hello\n\n")].concat()),
            Step::Wait(Latch::new()),
        ]);
        let mut streams = Vec::new();
        for _ in 0..2 {
            let mut client = gate.client().await;
            client.send(&listen().bytes()).await;
            assert_eq!(client.head().await.status, 200);
            streams.push(client);
        }
        let refused = gate.ask(&listen()).await;
        assert_eq!(
            (refused.status, refused.header("retry-after")),
            (429, Some("5")),
            "{limits}"
        );
        assert_eq!(gate.records(3).await[2]["outcome"], "invalid");
        let modern = post(
            r#"{"jsonrpc":"2.0","id":7,"method":"subscriptions/listen","params":{"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28"}}}"#,
        );
        let refused = gate.ask(&modern).await;
        assert_eq!((refused.status, refused.json()["id"].as_u64()), (200, Some(7)));
        assert!(refused.text().contains("streams_per_grant"));
        let mut other = gate.client().await;
        other.send(&listen().token(OTHER).bytes()).await;
        assert_eq!(other.head().await.status == 200, others_may, "{limits}");
        drop(streams);
        drop(other);
        let start = Instant::now();
        loop {
            let mut client = gate.client().await;
            client.send(&listen().bytes()).await;
            if client.head().await.status == 200 {
                break;
            }
            assert!(start.elapsed().as_secs() < 15, "the places do not come back");
        }
    }
}

/// The gate may answer, and close, before it has read all.
async fn try_ask(gate: &Gate, request: &Req) -> Option<Answer> {
    let mut client = gate.client().await;
    let _ = within(client.stream.write_all(&request.bytes())).await;
    client.try_answer().await
}

/// Sends a request slowly, and stops when the answer comes.
async fn piece_by_piece(gate: &Gate, bytes: &[u8]) -> Answer {
    let mut client = gate.client().await;
    for piece in bytes.chunks(8_192) {
        client.send(piece).await;
        let mut byte = [0];
        let answered = tokio::time::timeout(Duration::from_millis(20), client.stream.peek(&mut byte));
        if answered.await.is_ok() {
            break;
        }
    }
    client.answer().await
}

#[tokio::test]
async fn large_bodies_share_their_memory_and_small_calls_go_on() {
    let limits = "limits: { body_bytes: 4194304, body_memory_bytes: 1048576 }";
    let (gate, upstream) = open(Setup::default().settings(limits)).await;
    let large = post(format!(
        r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":"run","arguments":{{"x":"{}"}}}}}}"#,
        "x".repeat(900_000)
    ));
    let bytes = large.bytes();
    let mut slow = gate.client().await;
    slow.send(&bytes[..bytes.len() - 10]).await;
    // another one of the kind is refused once the first has its share
    let refused = piece_by_piece(&gate, &bytes).await;
    assert_eq!(refused.status, 503);
    assert_eq!(refused.header("retry-after"), Some("1"));
    assert!(gate.ask(&call("run")).await.ran());
    slow.send(&bytes[bytes.len() - 10..]).await;
    assert!(slow.answer().await.ran());
    let before = upstream.count();
    let start = Instant::now();
    while !try_ask(&gate, &large).await.is_some_and(|answer| answer.ran()) {
        assert!(start.elapsed().as_secs() < 15, "the memory does not come back");
    }
    assert_eq!(upstream.count(), before + 1);
}

#[tokio::test]
async fn http_2_has_the_same_bound_on_header_lines() {
    let (gate, upstream) = open(Setup::default().settings("limits: { headers: 20 }")).await;
    let mut request = h2_call(&gate);
    for number in 0..30 {
        let name: http::HeaderName = format!("x-{number}").parse().unwrap();
        request.headers_mut().insert(name, "1".parse().unwrap());
    }
    let answer = within(h2(&gate).await.send_request(request)).await.unwrap();
    assert_eq!(answer.status(), 400);
    assert_eq!(upstream.count(), 0);
}

#[tokio::test]
async fn a_client_that_takes_its_requests_back_in_a_loop_is_not_read_any_more_and_then_cut() {
    let (gate, upstream) = open(Setup::default()).await;
    upstream.keeps_answering(vec![Step::Wait(Latch::new())]);
    let sender = h2(&gate).await;
    let mut taken_back = 0;
    let left = loop {
        let (mut one, request) = (sender.clone(), h2_call(&gate));
        let before = upstream.count();
        let asked = tokio::spawn(async move { one.send_request(request).await });
        // far more than it takes a call to arrive
        let mut looks = 0;
        while upstream.count() == before && looks < 200 {
            assert_eq!(gate.metric("toolgate_open_connections").await, 1, "it is kept");
            looks += 1;
        }
        if upstream.count() == before {
            break asked;
        }
        asked.abort();
        taken_back += 1;
        assert!(taken_back < 1_000, "it goes on for ever");
    };
    assert!(taken_back > 100, "{taken_back}");
    assert!(within(left).await.unwrap().is_err(), "nobody read it");
    until_open(&gate, 0).await;
}

#[tokio::test]
async fn a_list_that_never_ends_is_given_up() {
    let setup = Setup::default().server(", response_timeout_ms: 300");
    let (gate, upstream) = open(setup).await;
    let head =
        b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
    upstream.next(vec![
        Step::Send([head, chunk("{\"jsonrpc\":")].concat()),
        Step::Wait(Latch::new()),
    ]);
    let answer = gate
        .ask(&post(r#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#))
        .await;
    assert!(answer.text().contains("did not end in time"), "{}", answer.text());
    until(|| upstream.aborted() == 1).await;
}
