//! Upstreams that fail: what the caller is told, and that the gate goes on.

use std::time::Duration;

use proptest::collection::vec;
use proptest::prelude::any;
use serde_json::json;
use tokio::io::AsyncWriteExt;

use crate::robust::runner;
use crate::wire::client::{Client, call, post, request};
use crate::wire::gate::{Setup, open};
use crate::wire::upstream::{self, Latch, Step, Upstream, dead_address};
use crate::wire::{until, within};

#[tokio::test]
async fn an_upstream_that_cannot_be_reached_is_a_json_rpc_error_for_a_request_and_502_for_the_rest() {
    let gate = Setup::default().before(dead_address().await).await;
    let answer = gate.ask(&call("x")).await;
    let json = answer.json();
    assert_eq!(
        (answer.status, &json["id"], &json["error"]["code"]),
        (200, &json!(1), &json!(502))
    );
    let text = json["error"]["message"].as_str().unwrap();
    assert!(
        text.contains("cannot be reached") && text.contains("was not executed"),
        "{text}"
    );
    for request in [
        post(r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#),
        post(r#"{"jsonrpc":"2.0","id":1,"result":{}}"#),
        request("GET", ""),
        request("DELETE", ""),
    ] {
        let answer = gate.ask(&request).await;
        assert_eq!(answer.status, 502, "{request:?}: {}", answer.text());
        assert_eq!(answer.json().get("id"), None);
    }
}

#[tokio::test]
async fn an_upstream_that_breaks_off_is_told_as_perhaps_executed() {
    for reply in [
        vec![Step::Close],
        vec![Step::Send(b"HTTP/1.1 200 OK\r\nContent-".to_vec()), Step::Close],
        vec![Step::Send(b"no http at all\r\n\r\n".to_vec()), Step::Close],
    ] {
        let upstream = Upstream::always(reply).await;
        let gate = Setup::default().before(upstream.addr).await;
        let answer = gate.ask(&call("x")).await;
        let json = answer.json();
        assert_eq!(
            (answer.status, &json["id"], &json["error"]["code"]),
            (200, &json!(1), &json!(502))
        );
        assert!(
            json["error"]["message"]
                .as_str()
                .unwrap()
                .contains("may have been executed"),
            "{json}"
        );
        let note = gate
            .ask(&post(r#"{"jsonrpc":"2.0","method":"notifications/x"}"#))
            .await;
        assert_eq!(note.status, 502);
        assert_eq!(upstream.count(), 2, "nothing is sent twice");
        let records = gate.ended().await;
        assert_eq!(
            (&records[0]["outcome"], &records[0]["upstream"]["ended"]),
            (&json!("upstream_error"), &json!("broken"))
        );
    }
}

#[tokio::test]
async fn an_upstream_that_does_not_answer_in_time_is_told_as_perhaps_executed_and_let_go() {
    let upstream = Upstream::always(vec![Step::Wait(upstream::Latch::new())]).await;
    let gate = Setup::default()
        .server(", response_timeout_ms: 150")
        .before(upstream.addr)
        .await;
    let answer = gate.ask(&call("x")).await;
    let json = answer.json();
    assert_eq!((answer.status, &json["error"]["code"]), (200, &json!(504)));
    assert!(
        json["error"]["message"]
            .as_str()
            .unwrap()
            .contains("may have been executed")
    );
    until(|| upstream.aborted() == 1).await;
    assert_eq!(gate.ask(&request("DELETE", "")).await.status, 504);
    let records = gate.ended().await;
    assert_eq!(records[0]["upstream"]["ended"], "timeout");
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
