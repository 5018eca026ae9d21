//! Nothing that a client or an upstream sends stops the gate.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Frame, Incoming};
use hyper::client::conn::http2::SendRequest;
use hyper_util::rt::{TokioExecutor, TokioIo};
use proptest::collection::vec;
use proptest::prelude::{Strategy, any};
use proptest::prop_oneof;
use proptest::sample::Index;
use proptest::test_runner::{Config, RngSeed, TestRunner};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::wire::client::{Client, call, call_body, post, request};
use crate::wire::gate::{Gate, Setup};
use crate::wire::upstream::{self, LAST_CHUNK, Latch, Step, Upstream, chunk, stream_head};
use crate::wire::{CI, until, within};

async fn open(setup: Setup) -> (Gate, Upstream) {
    let upstream = Upstream::start().await;
    let gate = setup.before(upstream.addr).await;
    (gate, upstream)
}

/// A good request, changed in some places; or just bytes.
fn garbage() -> impl Strategy<Value = Vec<u8>> {
    let good = [
        call("run").bytes(),
        post(r#"[{"jsonrpc":"2.0","id":1,"method":"tools/list"}]"#).bytes(),
        request("GET", "").header("Last-Event-ID", "1").bytes(),
        request("DELETE", "").header("Mcp-Session-Id", "a.b").bytes(),
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0\0\0\x05\x01\x05\0\0\0\x01\x82\x84\x86\x41\x8c"
            .to_vec(),
    ];
    let changed = (
        0..good.len(),
        vec((any::<Index>(), any::<u8>()), 0..6),
        any::<Option<Index>>(),
    )
        .prop_map(move |(which, changes, cut)| {
            let mut bytes = good[which].clone();
            for (place, byte) in changes {
                let place = place.index(bytes.len());
                bytes[place] = byte;
            }
            if let Some(cut) = cut {
                bytes.truncate(cut.index(bytes.len()));
            }
            bytes
        });
    prop_oneof![3 => changed, 1 => vec(any::<u8>(), 0..400)]
}

fn runner(cases: u32) -> TestRunner {
    TestRunner::new(Config {
        cases,
        failure_persistence: None,
        rng_seed: RngSeed::Fixed(7),
        ..Config::default()
    })
}

#[test]
fn random_bytes_as_requests_neither_stop_the_gate_nor_reach_the_upstream_unjudged() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let policy = r#"{"version":"1","default":"deny","tools":{"fine":{}}}"#;
    let (gate, upstream) = runtime.block_on(open(
        Setup::policy(policy).settings("limits: { header_timeout_ms: 300 }"),
    ));
    let ran = runner(400).run(&garbage(), |bytes| {
        runtime.block_on(async {
            let mut client = gate.client().await;
            // the gate may answer and close before it has read all
            let _ = client.stream.write_all(&bytes).await;
            let _ = client.stream.shutdown().await;
            client.rest().await;
        });
        Ok(())
    });
    ran.unwrap();
    runtime.block_on(async {
        assert!(gate.ask(&call("fine")).await.ran());
        for seen in upstream.seen() {
            let text = seen.text();
            assert!(
                !text.contains("tools/call") || text == call_body("fine"),
                "{text}"
            );
        }
        until_closed(&gate).await;
    });
}

#[test]
fn random_bytes_as_bodies_are_answered_and_never_run_a_denied_tool() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let policy = r#"{"version":"1","default":"allow","tools":{"run":{"action":"deny"}}}"#;
    let (gate, upstream) = runtime.block_on(open(Setup::policy(policy)));
    let client = std::cell::RefCell::new(runtime.block_on(gate.client()));
    let pieces = [
        "{",
        "}",
        "[",
        "]",
        ":",
        ",",
        "\"jsonrpc\":\"2.0\"",
        "\"id\":1",
        "\"method\":\"tools/call\"",
        "\"Method\":\"ping\"",
        "\"params\":",
        "{\"name\":\"run\"}",
        "\"result\":{}",
        "\\u0000",
        "\"",
        "1e400",
        "-",
        "null",
        "\u{feff}",
        "é",
        " ",
    ];
    let piece = prop_oneof![6 => proptest::sample::select(pieces.to_vec()).prop_map(|piece| piece.as_bytes().to_vec()), 1 => vec(any::<u8>(), 1..4)];
    let body = prop_oneof![
        2 => vec(piece, 0..14).prop_map(|pieces| pieces.concat()),
        1 => (any::<Index>(), any::<u8>()).prop_map(|(place, byte)| {
            let mut body = call_body("run").into_bytes();
            let place = place.index(body.len());
            body[place] = byte;
            body
        }),
    ];
    runner(400)
        .run(&body, |body| {
            let answer = runtime.block_on(client.borrow_mut().ask(&post(body.clone())));
            assert!(
                matches!(answer.status, 200 | 202 | 400 | 415),
                "{}",
                answer.status
            );
            Ok(())
        })
        .unwrap();
    for seen in upstream.seen() {
        let body: Value = serde_json::from_slice(&seen.body).unwrap();
        assert!(
            body["method"] != "tools/call" || body["params"]["name"] != "run",
            "{}",
            seen.text()
        );
    }
    runtime.block_on(async { assert!(client.borrow_mut().ask(&call("fine")).await.ran()) });
}

async fn until_closed(gate: &Gate) {
    while gate.metric("toolgate_open_connections").await > 0.0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn random_answers_of_an_upstream_do_not_stop_the_gate() {
    let (gate, upstream) = open(Setup::default().server(", response_timeout_ms: 300")).await;
    let mut replies = Vec::new();
    runner(60)
        .run(&vec(any::<u8>(), 0..200), |bytes| {
            REPLIES.with(|replies| replies.borrow_mut().push(bytes));
            Ok(())
        })
        .unwrap();
    REPLIES.with(|all| replies.append(&mut all.borrow_mut()));
    replies.push(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nabcdef".to_vec());
    replies.push(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n".to_vec());
    replies.push(b"HTTP/1.1 999 Odd\r\nContent-Length: 0\r\n\r\n".to_vec());
    replies.push([b"HTTP/1.1 200 OK\r\n".to_vec(), b"A: b\r\n".repeat(2000)].concat());
    for reply in replies {
        upstream.next(vec![Step::Send(reply), Step::Close]);
        let mut client = gate.client().await;
        client
            .send(&call("run").header("Connection", "close").bytes())
            .await;
        client.rest().await;
    }
    assert!(gate.ask(&call("run")).await.ran());
}

thread_local! {
    static REPLIES: std::cell::RefCell<Vec<Vec<u8>>> = const { std::cell::RefCell::new(Vec::new()) };
}

#[tokio::test]
async fn slow_heads_and_silent_connections_are_closed() {
    let (gate, _upstream) = open(Setup::default().settings("limits: { header_timeout_ms: 150 }")).await;
    for start in [
        &b""[..],
        b"POST /mcp/s HT",
        b"PRI * HTTP/2",
        b"POST /mcp/s HTTP/1.1\r\nHost: localhost\r\n",
    ] {
        let mut client = gate.client().await;
        client.send(start).await;
        let rest = client.rest().await;
        assert!(
            rest.is_empty() || rest.starts_with(b"HTTP/1.1 408"),
            "{}",
            String::from_utf8_lossy(&rest)
        );
    }
    until_closed(&gate).await;
}

#[tokio::test]
async fn a_call_that_takes_longer_than_a_head_may_is_not_cut() {
    let (gate, upstream) = open(Setup::default().settings("limits: { header_timeout_ms: 100 }")).await;
    let latch = Latch::new();
    upstream.next(vec![Step::Wait(latch.clone()), Step::Answer]);
    let mut client = gate.client().await;
    client.send(&call("run").bytes()).await;
    upstream.request(1).await;
    // three times as long as a head may take
    tokio::time::sleep(Duration::from_millis(300)).await;
    latch.open();
    assert!(client.answer().await.ran());
}

#[tokio::test]
async fn a_slow_body_is_408_and_nothing_is_sent() {
    let (gate, upstream) = open(Setup::default().settings("limits: { body_timeout_ms: 150 }")).await;
    let mut client = gate.client().await;
    let bytes = call("run").bytes();
    client.send(&bytes[..bytes.len() - 5]).await;
    assert_eq!(client.answer().await.status, 408);
    assert_eq!(upstream.accepted(), 0);
    assert_eq!(gate.ended().await[0]["outcome"], "invalid");
}

#[tokio::test]
async fn a_client_that_leaves_within_its_body_leaves_nothing_behind() {
    let (gate, upstream) = open(Setup::runs(1, "grant")).await;
    let mut client = gate.client().await;
    let bytes = call("run").bytes();
    client.send(&bytes[..bytes.len() - 5]).await;
    drop(client);
    until_closed(&gate).await;
    assert!(gate.ask(&call("run")).await.ran());
    assert_eq!(upstream.count(), 1);
}

#[tokio::test]
async fn connections_above_the_caps_are_closed_and_room_comes_back() {
    for limits in ["connections_per_peer: 2", "connections: 2"] {
        let (gate, _upstream) = open(Setup::default().settings(&format!("limits: {{ {limits} }}"))).await;
        let (mut one, mut two) = (gate.client().await, gate.client().await);
        assert!(one.ask(&call("run")).await.ran() && two.ask(&call("run")).await.ran());
        let mut third = gate.client().await;
        assert!(third.rest().await.is_empty(), "closed without an answer");
        assert!(one.ask(&call("run")).await.ran());
        drop(two);
        while gate.metric("toolgate_open_connections").await > 1.0 {
            tokio::task::yield_now().await;
        }
        assert!(gate.ask(&call("run")).await.ran());
    }
}

#[tokio::test]
async fn too_many_or_too_large_headers_are_refused() {
    let (gate, upstream) =
        open(Setup::default().settings("limits: { headers: 20, header_bytes: 8192 }")).await;
    let many = (0..30).fold(call("run"), |request, number| {
        request.header(&format!("X-{number}"), "1")
    });
    assert!(matches!(gate.ask(&many).await.status, 400 | 431));
    let large = call("run").header("X-Large", &"x".repeat(20_000));
    let mut client = gate.client().await;
    client.send(&large.bytes()).await;
    let rest = client.rest().await;
    assert!(
        rest.is_empty() || rest.starts_with(b"HTTP/1.1 431") || rest.starts_with(b"HTTP/1.1 400"),
        "{}",
        String::from_utf8_lossy(&rest)
    );
    assert_eq!(upstream.accepted(), 0);
}

type H2Body = BoxBody<Bytes, Infallible>;

async fn h2(gate: &Gate) -> SendRequest<H2Body> {
    let stream = TcpStream::connect(gate.proxy).await.unwrap();
    let (sender, connection) = within(hyper::client::conn::http2::handshake(
        TokioExecutor::new(),
        TokioIo::new(stream),
    ))
    .await
    .unwrap();
    tokio::spawn(connection);
    sender
}

fn h2_request(method: Method, gate: &Gate, body: H2Body) -> Request<H2Body> {
    Request::builder()
        .method(method)
        .uri(format!("http://{}/mcp/s", gate.proxy))
        .header("authorization", format!("Bearer {CI}"))
        .header("content-type", "application/json")
        .body(body)
        .unwrap()
}

fn whole(body: &str) -> H2Body {
    Full::new(Bytes::copy_from_slice(body.as_bytes())).boxed()
}

async fn h2_ask(
    sender: &mut SendRequest<H2Body>,
    request: Request<H2Body>,
) -> (StatusCode, String, Response<()>) {
    let answer = within(sender.send_request(request)).await.unwrap();
    let (head, body) = answer.into_parts();
    let body = within(body.collect()).await.unwrap().to_bytes();
    (
        head.status,
        String::from_utf8(body.to_vec()).unwrap(),
        Response::from_parts(head, ()),
    )
}

#[tokio::test]
async fn http_2_with_prior_knowledge_is_judged_alike() {
    let policy = r#"{"version":"1","default":"allow","tools":{"drop":{"action":"deny"},"run":{"limits":[{"counter":"runs","window":"hour","max":1}]}}}"#;
    let (gate, upstream) = open(
        Setup::policy(policy)
            .server(", host: pass")
            .settings("limits: { body_bytes: 2000 }"),
    )
    .await;
    let mut sender = h2(&gate).await;
    let body = call_body("run");
    let (status, text, head) = h2_ask(&mut sender, h2_request(Method::POST, &gate, whole(&body))).await;
    assert_eq!((status, text.contains("ran")), (StatusCode::OK, true));
    assert!(head.headers().contains_key("ratelimit"));
    let seen = upstream.last();
    assert_eq!(
        (seen.text(), seen.header("host")),
        (body.clone(), Some(gate.proxy.to_string().as_str()))
    );
    let (_, text, _) = h2_ask(&mut sender, h2_request(Method::POST, &gate, whole(&body))).await;
    assert!(text.contains("used up"), "{text}");
    let (_, text, _) = h2_ask(
        &mut sender,
        h2_request(Method::POST, &gate, whole(&call_body("drop"))),
    )
    .await;
    assert!(text.contains("POLICY DENIED"), "{text}");

    let large = " ".repeat(2001);
    let (status, ..) = h2_ask(&mut sender, h2_request(Method::POST, &gate, whole(&large))).await;
    assert_eq!(status, StatusCode::PAYLOAD_TOO_LARGE);
    // without a content-length
    let frames = unannounced(&call_body("drop"));
    let (status, ..) = h2_ask(&mut sender, h2_request(Method::GET, &gate, frames)).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    let mut foreign = h2_request(Method::POST, &gate, whole(&body));
    *foreign.uri_mut() = "http://evil.example/mcp/s".parse().unwrap();
    assert_eq!(h2_ask(&mut sender, foreign).await.0, StatusCode::FORBIDDEN);
    let mut two_hosts = h2_request(Method::POST, &gate, whole(&body));
    two_hosts
        .headers_mut()
        .insert("host", "localhost".parse().unwrap());
    assert_eq!(h2_ask(&mut sender, two_hosts).await.0, StatusCode::BAD_REQUEST);
    let mut stranger = h2_request(Method::POST, &gate, whole(&body));
    stranger.headers_mut().remove("authorization");
    assert_eq!(h2_ask(&mut sender, stranger).await.0, StatusCode::UNAUTHORIZED);
    assert_eq!(upstream.count(), 1);
}

/// A body of no announced length.
fn unannounced(text: &str) -> H2Body {
    Unannounced(Some(Bytes::copy_from_slice(text.as_bytes()))).boxed()
}

struct Unannounced(Option<Bytes>);

impl Body for Unannounced {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(self.0.take().map(|data| Ok(Frame::data(data))))
    }
}

#[tokio::test]
async fn a_stream_that_an_http_2_client_resets_aborts_the_upstream_and_the_others_live_on() {
    let (gate, upstream) = open(Setup::default()).await;
    let mut sender = h2(&gate).await;
    upstream.next(vec![Step::Wait(Latch::new())]);
    let open = tokio::spawn(sender.send_request(h2_request(Method::POST, &gate, whole(&call_body("run")))));
    upstream.request(1).await;
    open.abort();
    until(|| upstream.aborted() == 1).await;
    assert!(
        h2_ask(
            &mut sender,
            h2_request(Method::POST, &gate, whole(&call_body("run")))
        )
        .await
        .1
        .contains("ran")
    );
    let records = gate.ended().await;
    assert_eq!(records.len(), 2);
    assert_eq!(
        records
            .iter()
            .filter(|record| record["upstream"]["ended"] == "aborted")
            .count(),
        1
    );
}

#[tokio::test]
async fn a_drain_lets_open_calls_end_and_takes_no_new_ones() {
    let (gate, upstream) = open(Setup::default()).await;
    let latch = Latch::new();
    upstream.next(vec![
        Step::Send(stream_head("")),
        Step::Send(chunk("data: 1\n\n")),
        Step::Wait(latch.clone()),
        Step::Send(chunk("data: 2\n\n")),
        Step::Send(LAST_CHUNK.to_vec()),
    ]);
    let mut client = gate.client().await;
    client.send(&call("run").bytes()).await;
    client.head().await;
    client.chunks_until("data: 1").await;
    let mut idle = gate.client().await;
    assert!(idle.ask(&call("run")).await.ran());
    assert_eq!(gate.admin("/readyz").await.status, 200);
    gate.stop();
    while gate.admin("/readyz").await.status != 503 {
        tokio::task::yield_now().await;
    }
    assert!(gate.admin("/readyz").await.text().contains("stopping"));
    assert_eq!(gate.admin("/livez").await.status, 200);
    until_refused(&gate).await;
    assert!(
        idle.rest().await.is_empty(),
        "an idle connection is closed at once"
    );
    assert!(gate.is_running());
    latch.open();
    assert!(client.chunks_until("data: 2").await.contains("data: 2"));
    assert_eq!(client.chunk().await, None);
    assert_eq!(gate.ended().await.len(), 2);
}

async fn until_refused(gate: &Gate) {
    while TcpStream::connect(gate.proxy).await.is_ok() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn what_is_left_after_the_drain_is_cut_and_still_recorded() {
    let (gate, upstream) = open(Setup::default().settings("drain_ms: 150")).await;
    upstream.from_now_on(vec![Step::Wait(Latch::new())]);
    let mut client = gate.client().await;
    client.send(&call("run").bytes()).await;
    let mut sender = h2(&gate).await;
    let over_h2 =
        tokio::spawn(sender.send_request(h2_request(Method::POST, &gate, whole(&call_body("run")))));
    upstream.request(2).await;
    let start = std::time::Instant::now();
    let records = gate.ended().await;
    assert!(start.elapsed() < Duration::from_secs(3), "{:?}", start.elapsed());
    assert!(client.rest().await.is_empty());
    assert!(
        within(over_h2)
            .await
            .unwrap()
            .map(|answer: Response<Incoming>| answer.status())
            .is_err()
    );
    until(|| upstream.aborted() == 2).await;
    assert_eq!(records.len(), 2, "{records:?}");
    assert!(
        records
            .iter()
            .all(|record| record["upstream"]["ended"] == "aborted")
    );
}

#[tokio::test]
async fn an_upstream_that_stalls_within_an_answer_is_cut_after_the_idle_time() {
    let (gate, upstream) = open(Setup::default().server(", idle_timeout_ms: 150")).await;
    for listing in [false, true] {
        upstream.next(vec![
            Step::Send(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{\"jsonrpc\"".to_vec()),
            Step::Wait(Latch::new()),
        ]);
        let mut client = gate.client().await;
        let asked = if listing {
            post(r#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#)
        } else {
            call("run")
        };
        client.send(&asked.header("Connection", "close").bytes()).await;
        let text = String::from_utf8(client.rest().await).unwrap();
        if listing {
            assert!(
                text.contains("\"code\":502") && text.contains("broke off"),
                "{text}"
            );
        } else {
            assert!(text.ends_with("{\"jsonrpc\""), "{text}");
        }
    }
    until(|| upstream.aborted() == 2).await;
}

#[tokio::test]
async fn an_upstream_that_closes_at_once_is_an_error_for_each_call_and_then_serves_again() {
    let upstream = Upstream::start().await;
    upstream.slam_the_door(true);
    let gate = Setup::default().before(upstream.addr).await;
    for _ in 0..5 {
        let answer = gate.ask(&call("run")).await;
        assert_eq!(
            (answer.status, &answer.json()["error"]["code"]),
            (200, &json!(502))
        );
    }
    upstream.slam_the_door(false);
    assert!(gate.ask(&call("run")).await.ran());
}

#[tokio::test]
async fn an_upstream_that_answers_before_it_has_read_leaves_the_next_call_alone() {
    // small buffers, so that the body cannot hide in the network
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(65_536).unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = socket.listen(8).unwrap();
    let addr = listener.local_addr().unwrap();
    let early = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        stream
            .write_all(&upstream::answer("413 Too Large", &[], b"no"))
            .await
            .unwrap();
        let (second, _) = listener.accept().await.unwrap();
        (stream, second)
    });
    let gate = Setup::default()
        .settings("limits: { body_bytes: 16000000 }")
        .before(addr)
        .await;
    let big = post(format!(
        r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":"run","pad":"{}"}}}}"#,
        "x".repeat(10 << 20)
    ));
    let answer = gate.ask(&big).await;
    assert!(
        answer.status == 413 || answer.text().contains("502"),
        "{}",
        answer.status
    );
    let start = std::time::Instant::now();
    let mut next = Client::connect(gate.proxy).await;
    next.send(&call("run").bytes()).await;
    within(early).await.unwrap();
    assert!(
        start.elapsed() < Duration::from_secs(2),
        "the next call waited for a connection that was in use: {:?}",
        start.elapsed()
    );
}
