//! A store that fails denies limited calls within its deadline; the others pass.

use std::time::{Duration, Instant};

use serde_json::json;
use tokio::net::TcpListener;

use crate::answered::POLICY;
use crate::redis_server::RedisServer;
use crate::wire::client::call;
use crate::wire::gate::{Gate, Setup};
use crate::wire::upstream::{Upstream, dead_address};

#[tokio::test]
async fn a_store_that_refuses_connections_denies_limited_calls_within_the_deadline_and_lets_others_pass() {
    let upstream = Upstream::start().await;
    let gate = Setup::policy(POLICY)
        .redis(dead_address().await, 150)
        .before(upstream.addr)
        .await;
    denied_by_the_store(&gate, Duration::from_millis(150)).await;
    assert_eq!(upstream.count(), 0);
    assert!(gate.ask(&call("free")).await.ran());
    // another limit of the policy is refused all the same
    let records = gate.ended().await;
    assert_eq!(records[0]["outcome"], "store_error");
    assert_eq!(records[0]["charges"][0]["left"], json!(null));
    assert_eq!(records[1]["outcome"], "allowed");
}

#[tokio::test]
async fn a_store_that_never_answers_denies_limited_calls_within_the_deadline() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let upstream = Upstream::start().await;
    let gate = Setup::policy(POLICY)
        .redis(silent.local_addr().unwrap(), 150)
        .before(upstream.addr)
        .await;
    for _ in 0..2 {
        denied_by_the_store(&gate, Duration::from_millis(150)).await;
    }
    assert!(gate.ask(&call("free")).await.ran());
    assert_eq!(upstream.count(), 1);
    assert!(
        gate.metric(
            r#"toolgate_decisions_total{mode="enforce",outcome="store_error",server="s",tool="run"}"#
        )
        .await
            == 2
    );
}

#[tokio::test]
async fn a_store_that_is_killed_denies_and_serves_again_when_it_is_back() {
    let mut redis = RedisServer::start();
    let upstream = Upstream::start().await;
    let addr = format!("127.0.0.1:{}", redis.port).parse().unwrap();
    let gate = Setup::runs(1000, "grant")
        .redis(addr, 1_500)
        .before(upstream.addr)
        .await;
    assert!(gate.ask(&call("run")).await.ran());
    redis.kill();
    denied_by_the_store(&gate, Duration::from_millis(1_500)).await;
    redis.restart();
    let start = Instant::now();
    while !gate.ask(&call("run")).await.ran() {
        assert!(
            start.elapsed() < Duration::from_secs(15),
            "service did not resume"
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn denied_by_the_store(gate: &Gate, deadline: Duration) {
    let start = Instant::now();
    let answer = gate.ask(&call("run")).await;
    // twice the deadline: a loaded machine may wake us late
    assert!(
        start.elapsed() < deadline * 2 + Duration::from_millis(300),
        "{:?}",
        start.elapsed()
    );
    let text = answer.tool_error();
    assert!(
        text.contains("could not be checked") && text.contains("not executed"),
        "{text}"
    );
    let decision = answer.decision();
    assert_eq!(decision["outcome"], "store_error");
    assert!(decision["retryAfterMs"].as_u64().unwrap() > 0);
}
