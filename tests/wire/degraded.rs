//! `on_store_error`: what passes while the store is out of reach.

use std::net::SocketAddr;

use serde_json::json;

use crate::redis_server::RedisServer;
use crate::wire::client::call;
use crate::wire::gate::{Gate, Setup};
use crate::wire::relay::Relay;
use crate::wire::until;
use crate::wire::upstream::{Upstream, dead_address};

fn limit(counter: &str, max: u32, more: &str) -> String {
    format!(r#"{{"counter":"{counter}","window":"hour","max":{max}{more}}}"#)
}

async fn without_store(limits: &[String], settings: &str) -> (Gate, Upstream) {
    with_store(dead_address().await, limits, settings).await
}

async fn with_store(store: SocketAddr, limits: &[String], settings: &str) -> (Gate, Upstream) {
    let limits = limits.join(",");
    let policy = format!(r#"{{"version":"1","default":"deny","tools":{{"run":{{"limits":[{limits}]}}}}}}"#);
    let upstream = Upstream::start().await;
    let gate = Setup::policy(&policy)
        .settings(&format!(
            "counters: {{ store: redis, url: 'redis://{store}/', deadline_ms: 400{settings} }}"
        ))
        .before(upstream.addr)
        .await;
    (gate, upstream)
}

#[tokio::test]
async fn a_limit_that_allows_lets_calls_pass_uncounted_and_the_record_says_degraded() {
    let (gate, upstream) = without_store(&[limit("c", 1, r#","on_store_error":"allow""#)], "").await;
    for _ in 0..3 {
        assert!(gate.ask(&call("run")).await.ran());
    }
    assert_eq!(upstream.count(), 3);
    let line = r#"toolgate_degraded_total{server="s",tool="run"}"#;
    assert_eq!(gate.metric(line).await, 3);
    for record in gate.ended().await {
        assert_eq!(
            (&record["outcome"], &record["degraded"]),
            (&json!("allowed"), &json!(true))
        );
        assert_eq!(record["charges"][0]["store_ms"], json!(null));
    }
}

#[tokio::test]
async fn a_local_limit_admits_this_replicas_share() {
    let limits = [limit("c", 5, r#","on_store_error":"local""#)];
    let (gate, upstream) = without_store(&limits, ", expected_replicas: 2").await;
    for _ in 0..2 {
        assert!(gate.ask(&call("run")).await.ran());
    }
    let refused = gate.ask(&call("run")).await;
    assert_eq!(refused.decision()["outcome"], "limited");
    assert_eq!(refused.decision()["rule"], "/tools/run/limits/c");
    assert_eq!(upstream.count(), 2);
    let records = gate.ended().await;
    assert!(records.iter().all(|record| record["degraded"] == true));
}

#[tokio::test]
async fn a_share_of_less_than_one_call_is_one_call() {
    let limits = [limit("c", 2, r#","on_store_error":"local""#)];
    let (gate, _upstream) = without_store(&limits, ", expected_replicas: 9").await;
    assert!(gate.ask(&call("run")).await.ran());
    assert_eq!(gate.ask(&call("run")).await.decision()["outcome"], "limited");
}

#[tokio::test]
async fn one_limit_that_denies_is_enough_to_refuse() {
    let limits = [
        limit("a", 5, r#","on_store_error":"allow""#),
        limit("b", 5, ""),
        limit("c", 5, r#","on_store_error":"local""#),
    ];
    let (gate, upstream) = without_store(&limits, "").await;
    assert_eq!(gate.ask(&call("run")).await.decision()["outcome"], "store_error");
    assert_eq!(upstream.count(), 0);
    assert_eq!(gate.ended().await[0]["degraded"], false);
}

#[tokio::test]
async fn a_usage_that_two_rules_share_is_refused_where_one_of_them_denies() {
    let limits = [limit("c", 3, r#","on_store_error":"allow""#), limit("c", 5, "")];
    let (gate, _upstream) = without_store(&limits, "").await;
    assert_eq!(gate.ask(&call("run")).await.decision()["outcome"], "store_error");
}

#[tokio::test]
async fn a_limit_in_shadow_needs_no_store() {
    let (gate, upstream) = without_store(&[limit("c", 1, r#","shadow":true"#)], "").await;
    for _ in 0..2 {
        assert!(gate.ask(&call("run")).await.ran());
    }
    assert_eq!(upstream.count(), 2);
}

#[tokio::test]
async fn a_local_charge_of_a_call_whose_client_left_before_it_was_sent_is_taken_back() {
    let limits = [limit("c", 1, r#","on_store_error":"local""#)];
    let redis = RedisServer::start();
    let relay = Relay::to(format!("127.0.0.1:{}", redis.port).parse().unwrap()).await;
    let (gate, upstream) = with_store(relay.addr, &limits, "").await;
    // connections are open from here on
    assert!(gate.ask(&call("run")).await.ran());
    relay.stall();
    let mut client = gate.client().await;
    client.send(&call("run").bytes()).await;
    until(|| relay.held() > 0).await;
    drop(client);
    let record = gate.records(2).await.swap_remove(1);
    assert_eq!(
        (
            &record["upstream"]["ended"],
            &record["upstream"]["refunded"],
            &record["degraded"]
        ),
        (&json!("unsent"), &json!(true), &json!(true))
    );
    let seen = upstream.count();
    assert!(gate.ask(&call("run")).await.ran());
    assert_eq!(gate.ask(&call("run")).await.decision()["outcome"], "limited");
    assert_eq!(upstream.count(), seen + 1);
}

#[tokio::test]
async fn a_store_that_is_full_refuses_whatever_on_store_error_says() {
    let redis = RedisServer::start();
    let policy = format!(
        r#"{{"version":"1","default":"deny","tools":{{"run":{{"limits":[{}]}}}}}}"#,
        limit("c", 100, r#","on_store_error":"allow""#)
    );
    let upstream = Upstream::start().await;
    let addr = format!("127.0.0.1:{}", redis.port).parse().unwrap();
    let gate = Setup::policy(&policy)
        .redis(addr, 5_000)
        .before(upstream.addr)
        .await;
    assert!(gate.ask(&call("run")).await.ran());
    maxmemory(&redis, "1");
    assert_eq!(gate.ask(&call("run")).await.decision()["outcome"], "store_error");
    maxmemory(&redis, "0");
    assert!(gate.ask(&call("run")).await.ran());
}

fn maxmemory(redis: &RedisServer, bytes: &str) {
    let mut set = redis::cmd("CONFIG");
    let done: redis::RedisResult<()> = set
        .arg("SET")
        .arg("maxmemory")
        .arg(bytes)
        .query(&mut redis.connection());
    done.unwrap();
}

#[tokio::test]
async fn what_was_admitted_locally_counts_in_the_store_once_it_is_back() {
    let limits = [limit("c", 6, r#","on_store_error":"local""#)];
    let redis = RedisServer::start();
    let addr: SocketAddr = format!("127.0.0.1:{}", redis.port).parse().unwrap();
    let relay = Relay::to(addr).await;
    let (gate, upstream) = with_store(relay.addr, &limits, ", expected_replicas: 2").await;
    assert!(gate.ask(&call("run")).await.ran());
    relay.cut();
    // its share is 3, whatever the store has of it
    for _ in 0..3 {
        assert!(gate.ask(&call("run")).await.ran());
    }
    assert_eq!(gate.ask(&call("run")).await.decision()["outcome"], "limited");
    until_it_owes(&gate, 3).await;
    relay.heal();
    until_it_owes(&gate, 0).await;
    // the other replica sees all four
    let (beside, _kept) = with_store(addr, &limits, "").await;
    for _ in 0..2 {
        assert!(beside.ask(&call("run")).await.ran());
    }
    for gate in [&gate, &beside] {
        let refused = gate.ask(&call("run")).await;
        assert_eq!(refused.decision()["outcome"], "limited");
    }
    assert_eq!(upstream.count(), 4);
}

async fn until_it_owes(gate: &Gate, calls: u64) {
    let start = std::time::Instant::now();
    while gate.metric("toolgate_store_owed_calls").await != calls {
        assert!(
            start.elapsed() < std::time::Duration::from_secs(15),
            "it does not owe {calls} calls"
        );
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_store_that_does_not_answer_is_not_asked_by_each_call_and_the_metric_says_so() {
    let (gate, _upstream) = without_store(&[limit("c", 1, "")], "").await;
    let start = std::time::Instant::now();
    while gate.metric("toolgate_store_breaker").await == 0 {
        assert_eq!(gate.ask(&call("run")).await.decision()["outcome"], "store_error");
        assert!(start.elapsed() < std::time::Duration::from_secs(15));
    }
}
