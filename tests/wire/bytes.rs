//! What passes, passes byte for byte; what does not pass is named here.

use serde_json::json;

use crate::wire::client::{Client, call, call_body, post, request};
use crate::wire::gate::{Gate, Setup};
use crate::wire::upstream::{self, LAST_CHUNK, Latch, Step, Upstream, chunk, stream_head};
use crate::wire::{CI, until};

async fn open() -> (Gate, Upstream) {
    let upstream = Upstream::start().await;
    let gate = Setup::default().before(upstream.addr).await;
    (gate, upstream)
}

#[tokio::test]
async fn a_call_reaches_the_upstream_byte_for_byte() {
    let (gate, upstream) = open().await;
    let bodies = [
        "\t{ \"x-trace\" : {\"deep\":[1.10,-0,1E+2,12345678901234567890.12345]},\r\n \"jsonrpc\":\"2.0\" , \"params\":\n{\"arguments\":{\"big\":1234567890123456789012345,\"s\":\"\\u00e9\\/é\",\"\":null},\"name\":\"run\",\"future\":[{}]},\"id\":\"\\u0061 b\",\"method\":\"tools/call\"}\n\n ",
        r#"{"method":"tools/call","params":{"name":"a/b.c-d","_meta":{"progressToken":1e2}},"id":99999999999999999999999999999,"jsonrpc":"2.0"}"#,
        r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":12345678901234567890123}}"#,
    ];
    for body in bodies {
        let answer = gate.ask(&post(body)).await;
        assert!(answer.status < 300, "{}", answer.text());
        assert_eq!(upstream.last().text(), body);
        assert_eq!(
            upstream.last().header("content-length"),
            Some(body.len().to_string().as_str())
        );
    }
}

#[tokio::test]
async fn unknown_and_mcp_headers_pass_and_credentials_and_hop_by_hop_headers_do_not() {
    let (gate, upstream) = open().await;
    let stays = [
        ("Cookie", "a=b"),
        ("Forwarded", "for=1.2.3.4"),
        ("X-Forwarded-For", "1.2.3.4"),
        ("X-Forwarded-Host", "evil"),
        ("X-Forwarded-Prefix", "/x"),
        ("X-Original-URL", "/admin"),
        ("X-Rewrite-URL", "/admin"),
        ("X-HTTP-Method-Override", "DELETE"),
        ("X-HTTP-Method", "DELETE"),
        ("X-Method-Override", "DELETE"),
        ("X-Toolgate-Grant", "root"),
        ("Mcp_Session_Id", "x"),
        ("X_Forwarded_For", "1"),
        ("Proxy-Authorization", "Basic eDp5"),
        ("Keep-Alive", "timeout=5"),
        ("TE", "trailers"),
        ("Proxy-Connection", "keep-alive"),
        ("X-Real-IP", "1.2.3.4"),
        ("Connection", "keep-alive, x-named"),
        ("X-Named", "1"),
        ("Last-Event-ID", "7"),
    ];
    let passes = [
        ("MCP-Protocol-Version", "2025-06-18"),
        ("Mcp-Param-Region", "eu west"),
        ("X-Request-Id", "abc"),
        ("traceparent", "00-1-2-01"),
        ("User-Agent", "unit/1"),
        ("Accept-Language", "de"),
        ("X-Twice", "one"),
        ("X-Twice", "two"),
    ];
    let asked = stays
        .iter()
        .chain(&passes)
        .fold(call("run"), |request, (name, value)| request.header(name, value));
    assert!(gate.ask(&asked).await.ran());
    let seen = upstream.last();
    for (name, _) in stays {
        assert_eq!(seen.header(name), None, "{name}");
    }
    for (name, value) in passes {
        assert!(seen.all(name).contains(&value), "{name}: {}", seen.head);
    }
    assert_eq!(seen.all("x-twice"), ["one", "two"]);
    assert_eq!(
        (seen.header("authorization"), seen.header("accept-encoding")),
        (None, Some("identity"))
    );
    assert_eq!(seen.header("content-type"), Some("application/json"));
    assert_eq!(seen.header("accept"), Some("application/json, text/event-stream"));
    assert!(!seen.head.contains(CI));
}

#[tokio::test]
async fn configured_headers_replace_what_the_client_sent_and_are_set_on_every_request() {
    let upstream = Upstream::start().await;
    let mut setup =
        Setup::default().server(", headers: { Authorization: { env: CRED }, X-Tenant: { env: TENANT } }");
    setup
        .env
        .insert("CRED".to_owned(), "Bearer upstream-credential".to_owned());
    setup.env.insert("TENANT".to_owned(), "acme".to_owned());
    let gate = setup.before(upstream.addr).await;
    gate.ask(&call("run").header("X-Tenant", "evil").header("x-tenant", "worse"))
        .await;
    gate.ask(&request("DELETE", "")).await;
    for seen in upstream.seen() {
        assert_eq!(seen.all("authorization"), ["Bearer upstream-credential"]);
        assert_eq!(seen.all("x-tenant"), ["acme"]);
    }
    assert_eq!(upstream.count(), 2);
}

#[tokio::test]
async fn the_host_is_the_upstreams_unless_the_clients_is_to_pass() {
    let (gate, upstream) = open().await;
    gate.ask(&call("run").with("Host", "localhost:1234")).await;
    assert_eq!(upstream.last().all("host"), [upstream.addr.to_string().as_str()]);
    let passing = Setup::default()
        .server(", host: pass")
        .before(upstream.addr)
        .await;
    passing.ask(&call("run").with("Host", "localhost:1234")).await;
    assert_eq!(upstream.last().all("host"), ["localhost:1234"]);
}

#[tokio::test]
async fn an_answer_comes_back_byte_for_byte_with_status_and_headers() {
    let (gate, upstream) = open().await;
    let body = "{ \"id\":1 ,\"jsonrpc\":\"2.0\",\"result\":{\"n\":1234567890123456789012345.10,\"tools\":[{\"name\":\"x\"}]}}\r\n";
    let headers = [
        ("Content-Type", "application/json; charset=utf-8"),
        ("X-Custom", "a"),
        ("X-Custom", "b"),
        ("ETag", "\"1\""),
        ("Set-Cookie", "session=secret"),
        ("Connection", "x-hop"),
        ("X-Hop", "1"),
        ("WWW-Authenticate", "Basic"),
        ("Trailer", "X-T"),
    ];
    for status in [
        "200 OK",
        "418 Teapot",
        "500 Internal Server Error",
        "404 Not Found",
    ] {
        upstream.next(vec![Step::Send(upstream::answer(
            status,
            &headers,
            body.as_bytes(),
        ))]);
        let answer = gate.ask(&call("run")).await;
        assert_eq!(answer.status.to_string(), status[..3]);
        assert_eq!(answer.text(), body);
        assert_eq!(answer.all("x-custom"), ["a", "b"]);
        assert_eq!(
            (answer.header("etag"), answer.header("content-type")),
            (Some("\"1\""), Some("application/json; charset=utf-8"))
        );
        for name in ["set-cookie", "x-hop", "www-authenticate", "trailer"] {
            assert_eq!(answer.header(name), None, "{name}");
        }
    }
    // a compressed answer that holds no list is not ours to open
    let packed = [0x1f, 0x8b, 0xff, 0x00, 0x0a];
    upstream.next(vec![Step::Send(upstream::answer(
        "200 OK",
        &[("Content-Encoding", "gzip")],
        &packed,
    ))]);
    let answer = gate.ask(&call("run")).await;
    assert_eq!(
        (answer.body, answer.head.contains("gzip")),
        (packed.to_vec(), true)
    );
}

#[tokio::test]
async fn chunked_answers_pass_and_their_trailers_are_dropped() {
    let (gate, upstream) = open().await;
    let mut bytes = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTrailer: X-Late\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
    bytes.extend(chunk("{\"a\":"));
    bytes.extend(chunk("1}"));
    bytes.extend_from_slice(b"0\r\nX-Late: secret\r\n\r\n");
    upstream.next(vec![Step::Send(bytes)]);
    let mut client = gate.client().await;
    client
        .send(
            &call("run")
                .header("Connection", "close")
                .header("TE", "trailers")
                .bytes(),
        )
        .await;
    let whole = String::from_utf8(client.rest().await).unwrap();
    assert!(
        whole.contains("{\"a\":") && whole.contains("1}") && whole.ends_with("0\r\n\r\n"),
        "{whole}"
    );
    assert!(!whole.to_lowercase().contains("x-late"), "{whole}");
}

#[tokio::test]
async fn an_event_stream_arrives_event_by_event() {
    let (gate, upstream) = open().await;
    for asked in [
        call("run"),
        post(r#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#),
        request("GET", ""),
    ] {
        let latch = Latch::new();
        let first =
            "id: 1\nevent: message\ndata: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/progress\"}\n\n";
        let second = "data: {\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{}}\r\n\r\n";
        upstream.next(vec![
            Step::Send(stream_head("X-A: b\r\n")),
            Step::Send(chunk(first)),
            Step::Wait(latch.clone()),
            Step::Send(chunk(": comment\n\n")),
            Step::Send(chunk(second)),
            Step::Send(LAST_CHUNK.to_vec()),
        ]);
        let mut client = gate.client().await;
        client.send(&asked.bytes()).await;
        let head = client.head().await;
        assert_eq!(
            (head.header("content-type"), head.header("x-a")),
            (Some("text/event-stream"), Some("b"))
        );
        let mut got = client.chunks_until("\n\n").await;
        assert_eq!(
            got, first,
            "the first event is here before the upstream sent another"
        );
        latch.open();
        while let Some(more) = client.chunk().await {
            got.push_str(std::str::from_utf8(&more).unwrap());
        }
        assert_eq!(got, format!("{first}: comment\n\n{second}"));
    }
}

#[tokio::test]
async fn an_event_stream_that_breaks_off_never_looks_whole() {
    let (gate, upstream) = open().await;
    for asked in [call("run"), request("GET", "")] {
        upstream.next(vec![
            Step::Send(stream_head("")),
            Step::Send(chunk("data: {\"jsonrpc\":\"2.0\",\"method\":\"x\"}\n\n")),
            Step::Close,
        ]);
        let mut client = gate.client().await;
        client.send(&asked.bytes()).await;
        let whole = client.rest().await;
        assert!(
            !whole.ends_with(LAST_CHUNK),
            "{}",
            String::from_utf8_lossy(&whole)
        );
    }
}

#[tokio::test]
async fn a_large_answer_is_held_back_while_the_client_does_not_read_and_then_arrives_whole() {
    const SIZE: usize = 32 << 20;
    let head = format!("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {SIZE}\r\n\r\n");
    let upstream = Upstream::always(vec![Step::Send(head.into_bytes()), Step::Flood(SIZE)]).await;
    let gate = Setup::default().before(upstream.addr).await;
    let mut client = Client::with_a_small_buffer(gate.proxy).await;
    client.send(&call("run").bytes()).await;
    assert_eq!(
        client.head().await.header("content-length"),
        Some(SIZE.to_string().as_str())
    );
    // the network's own buffers fill, and then nothing moves any more
    let (mut written, mut still) = (0, 0);
    while written == 0 || still < 5 {
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        still = if written == upstream.written() {
            still + 1
        } else {
            0
        };
        written = upstream.written();
    }
    assert!(
        written < SIZE / 2,
        "the upstream could write {written} bytes although nobody read"
    );
    let mut read = 0;
    while read < SIZE {
        read += client.some().await.len();
    }
    assert_eq!((read, upstream.written()), (SIZE, SIZE));
}

#[tokio::test]
async fn an_answer_without_an_end_of_its_own_is_ended_by_the_close() {
    let (gate, upstream) = open().await;
    upstream.next(vec![
        Step::Send(b"HTTP/1.0 200 OK\r\nContent-Type: application/json\r\n\r\n{\"a\":1}".to_vec()),
        Step::Close,
    ]);
    let answer = gate.ask(&call("run")).await;
    assert_eq!((answer.status, answer.json()), (200, json!({"a": 1})));
}

#[tokio::test]
async fn connections_to_the_upstream_are_kept_and_replaced_when_it_closed_them() {
    let (gate, upstream) = open().await;
    let mut client = gate.client().await;
    for _ in 0..5 {
        assert!(client.ask(&call("run")).await.ran());
    }
    assert_eq!(upstream.accepted(), 1);
    upstream.close_idle();
    until(|| upstream.ended() == 1).await;
    assert!(client.ask(&call("run")).await.ran());
    assert_eq!((upstream.accepted(), upstream.count()), (2, 6));
}

#[tokio::test]
async fn many_calls_at_once_each_get_their_own_answer() {
    let (gate, upstream) = open().await;
    let calls = (0..200).map(|number| {
        let gate = &gate;
        async move {
            let body = call_body("run").replace("\"id\":1", &format!("\"id\":{number}"));
            gate.ask(&post(body)).await.json()["id"].as_u64()
        }
    });
    let ids = futures_all(calls).await;
    assert_eq!(ids, (0..200).map(Some).collect::<Vec<_>>());
    assert_eq!(upstream.count(), 200);
    assert_eq!(gate.ended().await.len(), 200);
}

/// Runs futures side by side in this task.
async fn futures_all<T>(futures: impl IntoIterator<Item = impl Future<Output = T>>) -> Vec<T> {
    let mut waiting: Vec<_> = futures
        .into_iter()
        .map(|future| (Box::pin(future), None))
        .collect();
    std::future::poll_fn(|cx| {
        let mut open = false;
        for (future, done) in &mut waiting {
            if done.is_none() {
                match future.as_mut().poll(cx) {
                    std::task::Poll::Ready(value) => *done = Some(value),
                    std::task::Poll::Pending => open = true,
                }
            }
        }
        if open {
            std::task::Poll::Pending
        } else {
            std::task::Poll::Ready(())
        }
    })
    .await;
    waiting.into_iter().map(|(_, done)| done.unwrap()).collect()
}
