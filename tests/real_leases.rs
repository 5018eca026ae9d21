//! Calls in flight over real replicas, a real Redis and a real server: never more than `max`, whoever dies.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "in a test and its helpers a failed unwrap is a failed test"
)]

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use support::gate::{Gate, Setup};
use support::mcp::Caller;
use support::redis::RedisServer;
use support::servers::{Era, Fixture};
use support::wait::{PATIENCE, until};
use tokio::task::JoinSet;

const MAX: usize = 3;
const LEASE: Duration = Duration::from_secs(2);
const TOKEN: &str = "tg_agent";

fn setup(fixture: &Fixture, redis: &RedisServer) -> Setup {
    let policy = json!({ "version": "1", "default": "allow", "tools": { "slow": { "concurrency":
        { "counter": "slow_at_once", "max": MAX, "lease": LEASE.as_secs() } } } });
    Setup::new()
        .server("fixture", &fixture.url)
        .policy("p", policy)
        .grant("agent", TOKEN, "fixture", "p")
        .redis(&redis.url(), 500)
}

/// What runs at the server, by name. Calls whose connection was closed are no longer among it.
async fn waiting(fixture: &Fixture) -> Vec<String> {
    let state = fixture.state().await;
    let names = state["waiting"].as_array().unwrap();
    names
        .iter()
        .map(|name| name.as_str().unwrap().to_owned())
        .collect()
}

/// Calls one after the other, each under a name of its own, until told to stop. How many ran to their end.
async fn keep_calling(caller: Caller, who: usize, stop: Arc<AtomicBool>) -> usize {
    let mut line = caller.connect().await;
    let mut ran = 0;
    for number in 0.. {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let reply = line
            .call("slow", &json!({ "name": format!("{who}-{number}") }))
            .await;
        match reply.outcome() {
            "executed" => ran += 1,
            "limited" => {
                assert!(reply.decision()["retryAfterMs"].as_u64().unwrap() <= 1_000);
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            other => panic!("a call ended as {other}: {}", reply.message),
        }
    }
    ran
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn four_replicas_never_run_more_than_three_calls_at_once_and_use_all_three_places() {
    const ENDS: usize = 60;
    let (fixture, redis) = (Fixture::start(Era::Current), RedisServer::start());
    let gates = setup(&fixture, &redis).start_many(4);
    let stop = Arc::<AtomicBool>::default();
    let mut calls = JoinSet::new();
    for (who, gate) in gates.iter().cycle().take(12).enumerate() {
        calls.spawn(keep_calling(
            gate.caller("fixture", TOKEN),
            who,
            Arc::clone(&stop),
        ));
    }
    // As often as all places are taken, one call is let go, so that another takes its place.
    let mut let_go = 0;
    let began = Instant::now();
    while let_go < ENDS {
        let running = waiting(&fixture).await;
        assert!(running.len() <= MAX, "{running:?} ran at once");
        if running.len() == MAX {
            fixture.release(&running[let_go % MAX]).await;
            let_go += 1;
        }
        assert!(
            began.elapsed() < PATIENCE,
            "only {let_go} calls had all places taken"
        );
    }
    stop.store(true, Ordering::Relaxed);
    while !calls.is_empty() {
        for name in waiting(&fixture).await {
            fixture.release(&name).await;
        }
        while let Some(ended) = calls.try_join_next() {
            ended.unwrap();
        }
        assert!(began.elapsed() < 2 * PATIENCE, "some calls did not end");
    }
    let ran = fixture.executions("slow").await;
    assert!(ran >= ENDS as u64, "only {ran} ran");
}

/// So many calls that wait at the server, through this replica.
async fn occupy(fixture: &Fixture, gate: &Gate, names: &[&str]) -> Vec<support::http::Wire> {
    let mut wires = Vec::new();
    for name in names {
        let caller = gate.caller("fixture", TOKEN);
        let request = caller.current_request("slow", &json!({ "name": name }), 1);
        wires.push(caller.send_only(&request).await);
        fixture.until_waiting(name).await;
    }
    wires
}

async fn is_full(gate: &Gate) -> bool {
    let caller = gate.caller("fixture", TOKEN);
    let request = caller.current_request("slow", &json!({ "name": "probe" }), 1);
    !runs(&mut caller.send_only(&request).await).await
}

/// A call that runs is answered in events; a refusal is one JSON message.
async fn runs(wire: &mut support::http::Wire) -> bool {
    let head = wire.head().await;
    head.header("content-type")
        .unwrap()
        .starts_with("text/event-stream")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_places_of_a_killed_replica_come_back_after_their_lease_and_no_earlier() {
    let (fixture, redis) = (Fixture::start(Era::Current), RedisServer::start());
    let mut gates = setup(&fixture, &redis).start_many(2);
    let _wires = occupy(&fixture, &gates[0], &["a", "b", "c"]).await;
    // Longer than a lease: they are renewed.
    let began = Instant::now();
    while began.elapsed() < LEASE * 3 / 2 {
        assert!(is_full(&gates[1]).await, "free after {:?}", began.elapsed());
    }
    let alive = Instant::now();
    gates[0].kill();
    let dead = Instant::now();
    let gate = &gates[1];
    until("a place has come back", || async {
        (!is_full(gate).await).then_some(())
    })
    .await;
    let (longest, shortest) = (dead.elapsed(), alive.elapsed());
    assert!(longest < LEASE + Duration::from_secs(2), "only after {longest:?}");
    // The last renewal was at most a third of a lease ago when the replica died.
    assert!(shortest >= LEASE / 2, "already after {shortest:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_streaming_answer_holds_its_place_to_its_end_and_a_client_that_leaves_frees_it() {
    let (fixture, redis) = (Fixture::start(Era::Current), RedisServer::start());
    let gates = setup(&fixture, &redis).start_many(2);
    let mut wires = occupy(&fixture, &gates[0], &["a", "b", "c"]).await;
    fixture.step("a").await;
    fixture.until_waiting("a").await;
    assert!(is_full(&gates[1]).await);

    fixture.release("a").await;
    let mut ended = wires.remove(0);
    ended.head().await;
    ended.rest().await;
    let gate = &gates[1];
    until("the place of the call that ended is free", || async {
        (!is_full(gate).await).then_some(())
    })
    .await;

    // The probe that found it has left again; now `a` is another call.
    let again = until("the probe's place is free", || async {
        (waiting(&fixture).await == ["b", "c"]).then_some(())
    });
    again.await;
    let _more = until("another call takes it", || async {
        let caller = gate.caller("fixture", TOKEN);
        let request = caller.current_request("slow", &json!({ "name": "d" }), 1);
        let mut wire = caller.send_only(&request).await;
        runs(&mut wire).await.then_some(wire)
    })
    .await;
    fixture.until_waiting("d").await;
    assert!(is_full(gate).await);
    wires.remove(0);
    until("the place of the client that left is free", || async {
        (!is_full(gate).await).then_some(())
    })
    .await;
    let log: Vec<Value> = gates.iter().flat_map(Gate::decisions).collect();
    assert!(
        log.iter()
            .any(|line| line["rule"] == "/tools/slow/concurrency" && line["outcome"] == "limited")
    );
}
