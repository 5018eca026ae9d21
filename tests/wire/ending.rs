//! The end of a gate: open calls end, what is left is cut, everything is recorded.

use std::time::Duration;

use http::{Method, Response};
use hyper::body::Incoming;
use tokio::net::TcpStream;

use crate::charging::behind_a_relay;
use crate::http2::{h2, h2_request, whole};
use crate::wire::client::{call, call_body};
use crate::wire::gate::{Gate, Setup, open};
use crate::wire::upstream::{LAST_CHUNK, Latch, Step, Upstream, chunk, stream_head};
use crate::wire::{until, within};

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
    upstream.keeps_answering(vec![Step::Wait(Latch::new())]);
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
async fn the_end_waits_for_a_refund_that_is_under_way() {
    let upstream = Upstream::start().await;
    let (gate, relay, _redis) = behind_a_relay(upstream.addr).await;
    relay.stall();
    let mut client = gate.client().await;
    client.send(&call("run").bytes()).await;
    until(|| relay.held() > 0).await;
    drop(client);
    while gate.metric("toolgate_open_connections").await > 0 {
        tokio::task::yield_now().await;
    }
    gate.stop();
    until_refused(&gate).await;
    let healing = tokio::spawn(async move {
        tokio::time::sleep(Duration::from_millis(100)).await;
        relay.heal();
        relay
    });
    let records = gate.ended().await;
    assert_eq!(records.len(), 2, "{records:?}");
    assert_eq!(records[1]["upstream"]["refunded"], true, "{}", records[1]);
    drop(healing.await.unwrap());
}
