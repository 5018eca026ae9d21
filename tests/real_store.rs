//! The store fails for real: killed, stalled, cut off, back again.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "in a test and its helpers a failed unwrap is a failed test"
)]

mod support;

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use support::gate::{Gate, Setup, limited, token_sha256};
use support::mcp::Reply;
use support::redis::RedisServer;
use support::relay::Relay;
use support::servers::{Era, Fixture};
use support::wait::until;

const DEADLINE_MS: u64 = 200;
/// The deadline, and what a busy machine adds to it.
const REFUSED_WITHIN: Duration = Duration::from_millis(DEADLINE_MS + 800);

fn gate(fixture: &Fixture, store: &str) -> Gate {
    Setup::new()
        .server("fixture", &fixture.url)
        .policy("p", limited("start_run", 1_000, json!("hour")))
        .grant("agent", "tg_agent", "fixture", "p")
        .redis(store, DEADLINE_MS)
        .start()
}

async fn start_run(gate: &Gate) -> Reply {
    gate.caller("fixture", "tg_agent")
        .call("start_run", &json!({}))
        .await
}

async fn echo(gate: &Gate) -> Reply {
    gate.caller("fixture", "tg_agent")
        .call("echo", &json!({ "message": "hi" }))
        .await
}

/// Waits until limited calls run (again).
async fn until_served(gate: &Gate) {
    until("limited calls are served", || async {
        (start_run(gate).await.outcome() == "executed").then_some(())
    })
    .await;
}

/// A limited call is refused in time and says why, an unlimited one runs.
async fn assert_refused_in_time(gate: &Gate, fixture: &Fixture) {
    let ran = fixture.executions("start_run").await;
    for _ in 0..5 {
        let asked = Instant::now();
        let reply = start_run(gate).await;
        let took = asked.elapsed();
        assert_eq!(reply.outcome(), "store_error", "{:?}", reply.message);
        assert!(
            took < REFUSED_WITHIN,
            "the refusal took {took:?} at a deadline of {DEADLINE_MS} ms"
        );
        assert_eq!(reply.status, 200);
        assert_eq!(reply.message["result"]["isError"], true);
        assert_eq!(reply.decision()["executed"], false);
        assert!(reply.decision()["retryAfterMs"].is_u64(), "{:?}", reply.message);
        assert!(reply.text().contains("not executed"), "{}", reply.text());
        assert_eq!(
            echo(gate).await.outcome(),
            "executed",
            "an unlimited call needs no store"
        );
    }
    assert_eq!(fixture.executions("start_run").await, ran, "a refused call ran");
}

#[tokio::test]
async fn with_redis_killed_limited_calls_are_refused_in_time_and_service_resumes_when_it_is_back() {
    let (fixture, mut redis) = (Fixture::start(Era::Current), RedisServer::start());
    let gate = gate(&fixture, &redis.url());
    until_served(&gate).await;
    redis.kill();
    assert_refused_in_time(&gate, &fixture).await;
    redis.restart();
    until_served(&gate).await;
}

#[tokio::test]
async fn with_a_stalled_wire_to_redis_limited_calls_are_refused_in_time_and_service_resumes() {
    let (fixture, redis) = (Fixture::start(Era::Current), RedisServer::start());
    let relay = Relay::start(&format!("127.0.0.1:{}", redis.port)).await;
    let gate = gate(&fixture, &format!("redis://{}", relay.address));
    until_served(&gate).await;
    relay.stall();
    assert_refused_in_time(&gate, &fixture).await;
    relay.heal();
    until_served(&gate).await;
    relay.cut();
    assert_refused_in_time(&gate, &fixture).await;
    relay.heal();
    until_served(&gate).await;
}

#[tokio::test]
async fn toolgate_starts_without_redis_and_serves_when_it_comes() {
    let (fixture, mut redis) = (Fixture::start(Era::Current), RedisServer::start());
    redis.kill();
    let gate = gate(&fixture, &redis.url());
    assert_refused_in_time(&gate, &fixture).await;
    redis.restart();
    until_served(&gate).await;
}

#[tokio::test]
async fn a_store_error_is_logged_with_its_outcome() {
    let (fixture, mut redis) = (Fixture::start(Era::Current), RedisServer::start());
    let gate = gate(&fixture, &redis.url());
    redis.kill();
    assert_eq!(start_run(&gate).await.outcome(), "store_error");
    let lines = gate
        .until_decisions("the refusal is logged", 1, |line| {
            line["outcome"] == "store_error"
        })
        .await;
    assert_eq!(
        (lines[0]["grant"].as_str(), lines[0]["tool"].as_str()),
        (Some("agent"), Some("start_run"))
    );
}

#[tokio::test]
async fn repeated_denials_are_counted_as_remembered_and_tell_when_to_retry() {
    let (fixture, redis) = (Fixture::start(Era::Current), RedisServer::start());
    let gate = Setup::new()
        .server("fixture", &fixture.url)
        .policy("p", limited("start_run", 1, json!("hour")))
        .grant("agent", "tg_agent", "fixture", "p")
        .redis(&redis.url(), 5_000)
        .start();
    until_served(&gate).await;
    for _ in 0..50 {
        let reply = start_run(&gate).await;
        assert_eq!(reply.outcome(), "limited");
        let retry = reply.decision()["retryAfterMs"].as_u64().unwrap();
        assert!((3_000_000..=3_600_001).contains(&retry), "{retry}");
    }
    let (_, metrics) = gate.admin("/metrics").await;
    let remembered = metrics
        .lines()
        .find_map(|line| line.strip_prefix("toolgate_store_remembered_total "))
        .and_then(|count| count.parse::<u64>().ok());
    assert!(remembered.is_some_and(|count| count >= 1), "{metrics}");
}

/// `toolgate counters …` on the gate's own settings.
fn counters(gate: &Gate, arguments: &[&str]) -> (i32, String, String) {
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_toolgate"))
        .arg("counters")
        .args(arguments)
        .arg("--config")
        .arg(gate.folder.path().join("toolgate.yaml"))
        .output()
        .unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (
        output.status.code().unwrap(),
        text(output.stdout),
        text(output.stderr),
    )
}

/// A gate with a limit on runs and one on each message, of which two runs and one message were admitted.
async fn counted(redis: &RedisServer, fixture: &Fixture) -> Gate {
    let policy = json!({ "version": "1", "default": "allow", "tools": {
        "start_run": { "limits": [ { "counter": "runs", "window": "hour", "max": 2, "scope": "grant" } ] },
        "echo": { "limits": [ { "counter": "echoes", "window": "hour", "max": 5, "scope": "arg:message" } ] } } });
    let gate = Setup::new()
        .server("fixture", &fixture.url)
        .policy("p", policy)
        .grant("agent", "tg_agent", "fixture", "p")
        .redis(&redis.url(), 5_000)
        .start();
    until_served(&gate).await;
    assert_eq!(start_run(&gate).await.outcome(), "executed");
    assert_eq!(start_run(&gate).await.outcome(), "limited");
    assert_eq!(echo(&gate).await.outcome(), "executed");
    gate
}

/// The row of a counter that `toolgate counters list` shows.
fn listed(gate: &Gate, counter: &str) -> Value {
    let (code, out, err) = counters(gate, &["list", "--grant", "agent", "--format", "json"]);
    assert_eq!(code, 0, "{err}");
    let rows: Vec<Value> = serde_json::from_str(&out).unwrap();
    let found = rows.into_iter().find(|row| row["counter"] == counter);
    found.unwrap_or_default()
}

#[tokio::test]
async fn counters_are_listed_from_the_store_without_the_values_that_callers_chose() {
    let (fixture, redis) = (Fixture::start(Era::Current), RedisServer::start());
    let gate = counted(&redis, &fixture).await;
    let runs = listed(&gate, "runs");
    assert_eq!((&runs["used"], &runs["max"]), (&json!(2), &json!(2)));
    assert!(runs["next_free_ms"].as_u64().unwrap() > 3_000_000);
    let value = listed(&gate, "echoes");
    assert_eq!(value["used"], 1);
    let shown = value["value"].as_str().unwrap();
    assert_eq!(shown.len(), 22, "a hash and no value: {value}");
}

#[tokio::test]
async fn a_counter_by_a_claim_is_listed_for_every_grant_that_carries_it() {
    let (fixture, redis) = (Fixture::start(Era::Current), RedisServer::start());
    let policy = json!({ "version": "1", "default": "allow", "tools": { "start_run": { "limits": [
        { "counter": "team_runs", "window": "hour", "max": 5, "scope": "claim:team" } ] } } });
    let grant = |id: &str, team: &str| {
        json!({ "id": id, "token_sha256": token_sha256(&format!("tg_{id}")), "server": "fixture", "policy": "p",
            "claims": { "team": team } })
    };
    let gate = Setup::new()
        .server("fixture", &fixture.url)
        .policy("p", policy)
        .entry(grant("agent", "data"))
        .entry(grant("other", "sales"))
        .redis(&redis.url(), 5_000)
        .start();
    until_served(&gate).await;
    let runs = listed(&gate, "team_runs");
    assert_eq!((&runs["used"], &runs["scope"]), (&json!(1), &json!("claim")));
    let (_, out, _) = counters(&gate, &["list", "--grant", "other", "--format", "json"]);
    let rows: Vec<Value> = serde_json::from_str(&out).unwrap();
    assert_eq!(rows[0]["used"], 0, "another team's: {out}");
}

#[tokio::test]
async fn a_reset_of_a_counter_says_why_or_is_refused() {
    let (fixture, redis) = (Fixture::start(Era::Current), RedisServer::start());
    let gate = counted(&redis, &fixture).await;
    let (code, _, err) = counters(&gate, &["reset", "--grant", "agent", "--reason", " "]);
    assert!(code == 1 && err.contains("--reason"), "{err}");
    let (code, _, err) = counters(&gate, &["reset", "--grant", "nobody", "--reason", "x"]);
    assert!(code == 1 && err.contains("no grant `nobody`"), "{err}");
    assert_eq!(listed(&gate, "runs")["used"], 2);
}

#[tokio::test]
async fn a_reset_frees_the_one_counter_and_lands_in_the_record() {
    let (fixture, redis) = (Fixture::start(Era::Current), RedisServer::start());
    let gate = counted(&redis, &fixture).await;
    let asked = "reset --grant agent --counter runs --reason agreed";
    let (code, out, err) = counters(&gate, &asked.split(' ').collect::<Vec<_>>());
    assert_eq!(code, 0, "{err}");
    let told: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(
        (&told["grant"], &told["reason"]),
        (&json!("agent"), &json!("agreed"))
    );
    // a denial may be remembered for a second
    until_served(&gate).await;
    assert_eq!(listed(&gate, "runs")["used"], 1);
    assert_eq!(
        listed(&gate, "echoes")["used"],
        1,
        "another counter was set back too"
    );
    until("the reset is in the record", || async {
        let lines = gate.stdout();
        let mut lines = lines
            .lines()
            .filter_map(|line| serde_json::from_str::<Value>(line).ok());
        lines.find(|line| {
            line["event"] == "counters_reset" && line["id"] == told["id"] && line["reason"] == "agreed"
        })
    })
    .await;
}
