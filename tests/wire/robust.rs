//! Nothing that a client or an upstream sends stops the gate.

use std::time::Duration;

use proptest::collection::vec;
use proptest::prelude::{Strategy, any};
use proptest::prop_oneof;
use proptest::sample::Index;
use proptest::test_runner::{Config, RngSeed, TestRunner};
use serde_json::Value;
use tokio::io::AsyncWriteExt;

use crate::wire::client::{call, call_body, post, request};
use crate::wire::gate::{Gate, Setup, open};
use crate::wire::upstream::{Latch, Step};

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

pub fn runner(cases: u32) -> TestRunner {
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
    let mut client = client.into_inner();
    assert!(runtime.block_on(client.ask(&call("fine"))).ran());
}

async fn until_closed(gate: &Gate) {
    while gate.metric("toolgate_open_connections").await > 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
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
        assert!(third.is_turned_away(&call("run")).await);
        assert!(one.ask(&call("run")).await.ran());
        drop(two);
        while gate.metric("toolgate_open_connections").await > 1 {
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
