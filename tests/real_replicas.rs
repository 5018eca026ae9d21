//! Several replicas, one Redis: the limit holds for all of them together, exactly.

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
use support::gate::{Gate, Setup, limited};
use support::history::{Span, surely_within, worst_window};
use support::mcp::{Caller, Reply};
use support::redis::RedisServer;
use support::servers::{Era, Fixture};
use tokio::sync::Barrier;
use tokio::task::JoinSet;

const REPLICAS: usize = 4;
const MAX: usize = 10;
/// The window of the recorded histories.
const WINDOW_MS: u64 = 2_000;
/// Tests of exactness give the store all the time it needs.
const PATIENT_STORE_MS: u64 = 5_000;

fn setup(fixture: &Fixture, redis: &RedisServer, window: Value) -> Setup {
    Setup::new()
        .server("fixture", &fixture.url)
        .policy("p", limited("start_run", MAX as u64, window))
        .grant("first", "tg_first", "fixture", "p")
        .grant("second", "tg_second", "fixture", "p")
        .redis(&redis.url(), PATIENT_STORE_MS)
}

/// `count` calls at once, spread over the replicas, each on its own connection: all are connected before the first is sent.
async fn storm(gates: &[Gate], token: &str, count: usize) -> Vec<Reply> {
    let ready = Arc::new(Barrier::new(count));
    let mut calls = JoinSet::new();
    for gate in gates.iter().cycle().take(count) {
        let (caller, ready) = (gate.caller("fixture", token), Arc::clone(&ready));
        calls.spawn(async move {
            let mut line = caller.connect().await;
            ready.wait().await;
            line.call("start_run", &json!({})).await
        });
    }
    calls.join_all().await
}

fn count(replies: &[Reply], outcome: &str) -> usize {
    replies.iter().filter(|reply| reply.outcome() == outcome).count()
}

fn logged(gates: &[Gate], grant: &str, outcome: &str) -> usize {
    let holds =
        |line: &Value| line["grant"] == grant && line["outcome"] == outcome && line["tool"] == "start_run";
    gates
        .iter()
        .map(|gate| gate.decisions().iter().filter(|line| holds(line)).count())
        .sum()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn four_replicas_admit_exactly_ten_of_four_hundred_calls_for_each_grant() {
    let (fixture, redis) = (Fixture::start(Era::Current), RedisServer::start());
    let gates = setup(&fixture, &redis, json!("hour")).start_many(REPLICAS);

    let first = storm(&gates, "tg_first", 400).await;
    assert_eq!(
        (count(&first, "executed"), count(&first, "limited")),
        (MAX, 400 - MAX)
    );
    assert_eq!(
        fixture.executions("start_run").await,
        MAX as u64,
        "other calls than the admitted ones ran"
    );
    assert!(
        first.iter().all(|reply| reply.status == 200),
        "a refusal came with an HTTP error"
    );

    let second = storm(&gates, "tg_second", 100).await;
    assert_eq!(
        (count(&second, "executed"), count(&second, "limited")),
        (MAX, 100 - MAX)
    );
    assert_eq!(fixture.executions("start_run").await, 2 * MAX as u64);

    support::wait::until("every admission is logged once", || async {
        let admitted = (
            logged(&gates, "first", "allowed"),
            logged(&gates, "second", "allowed"),
        );
        (admitted == (MAX, MAX)).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_is_limited_with_its_grant_on_whichever_replica_it_calls() {
    let (fixture, redis) = (Fixture::start(Era::Session), RedisServer::start());
    let gates = setup(&fixture, &redis, json!("hour")).start_many(2);
    let mut outcomes = Vec::new();
    for gate in gates.iter().cycle().take(3) {
        let session = gate.caller("fixture", "tg_first").open_session().await;
        for _ in 0..5 {
            outcomes.push(session.call("start_run", &json!({})).await.outcome().to_owned());
        }
    }
    assert_eq!(outcomes, [vec!["executed"; MAX], vec!["limited"; 5]].concat());
    assert_eq!(fixture.executions("start_run").await, MAX as u64);
}

/// One call as its caller saw it.
struct Recorded {
    span: Span,
    outcome: String,
}

/// Calls one after the other on one connection until told to stop.
async fn hammer(caller: Caller, began: Instant, stop: Arc<AtomicBool>) -> Vec<Recorded> {
    let mut line = caller.connect().await;
    let mut recorded = Vec::new();
    let now = || u64::try_from(began.elapsed().as_millis()).unwrap();
    while !stop.load(Ordering::Relaxed) {
        let sent_ms = now();
        let reply = line.call("start_run", &json!({})).await;
        let span = Span {
            sent_ms,
            answered_ms: now(),
        };
        recorded.push(Recorded {
            span,
            outcome: reply.outcome().to_owned(),
        });
    }
    recorded
}

/// Every call was admitted or limited. A machine that stood still for longer than the window may leave a few in
/// doubt, which are refused and do not run; more than a few are a fault.
fn assert_decided(recorded: &[Recorded]) {
    let count = |outcome: &str| recorded.iter().filter(|call| call.outcome == outcome).count();
    let (decided, doubtful) = (count("executed") + count("limited"), count("store_error"));
    let known = ["executed", "limited", "store_error"];
    let others: Vec<_> = recorded
        .iter()
        .map(|call| call.outcome.as_str())
        .filter(|outcome| !known.contains(outcome))
        .collect();
    assert_eq!(
        decided + doubtful,
        recorded.len(),
        "calls ended otherwise: {others:?}"
    );
    let longest = recorded
        .iter()
        .map(|call| call.span.answered_ms - call.span.sent_ms)
        .max();
    assert!(
        doubtful * 100 <= decided,
        "{doubtful} store errors of {decided}; the longest call took {longest:?} ms"
    );
}

/// The store's time of each admission, from the decision log of all replicas.
fn admissions_ms(gates: &[Gate]) -> Vec<u64> {
    let lines = gates.iter().flat_map(Gate::decisions);
    let admitted = lines.filter(|line| line["outcome"] == "allowed" && line["tool"] == "start_run");
    admitted
        .map(|line| {
            line["charges"][0]["store_ms"]
                .as_u64()
                .unwrap_or_else(|| panic!("no store time in {line}"))
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_two_second_window_of_a_recorded_history_exceeds_the_limit_and_the_worst_reaches_it() {
    const LOAD_MS: u64 = 20_000;
    let (fixture, redis) = (Fixture::start(Era::Current), RedisServer::start());
    let gates = setup(&fixture, &redis, json!(2)).start_many(REPLICAS);

    let mut load = Load::new();
    for gate in gates.iter().cycle().take(2 * REPLICAS) {
        load.add(gate);
    }
    tokio::time::sleep(Duration::from_millis(LOAD_MS)).await;
    let recorded = load.end().await;
    assert_decided(&recorded);
    let admitted = admitted(&recorded);

    let ran = fixture.executions("start_run").await;
    assert_eq!(ran, admitted.len() as u64);
    assert!(
        surely_within(&admitted, WINDOW_MS) <= MAX,
        "more than {MAX} calls surely ran within {WINDOW_MS} ms"
    );
    let times = support::wait::until("every admission is logged", || async {
        Some(admissions_ms(&gates)).filter(|times| times.len() == admitted.len())
    })
    .await;
    assert_eq!(
        worst_window(&times, WINDOW_MS),
        MAX,
        "the worst window of the store's own times"
    );
    // Under steady demand each window is used up, or the limit is tighter than it says.
    let full = LOAD_MS / (WINDOW_MS + 100) * MAX as u64;
    assert!(
        ran >= full,
        "only {ran} of at least {full} calls were admitted under load"
    );
}

/// Load on several replicas at once, recorded until it is told to stop.
struct Load {
    began: Instant,
    stop: Arc<AtomicBool>,
    tasks: JoinSet<Vec<Recorded>>,
}

impl Load {
    fn new() -> Self {
        Self {
            began: Instant::now(),
            stop: Arc::default(),
            tasks: JoinSet::new(),
        }
    }

    /// One more caller of this replica, not yet running.
    fn caller(&self, gate: &Gate) -> impl Future<Output = Vec<Recorded>> + use<> {
        hammer(
            gate.caller("fixture", "tg_first"),
            self.began,
            Arc::clone(&self.stop),
        )
    }

    fn add(&mut self, gate: &Gate) {
        self.tasks.spawn(self.caller(gate));
    }

    async fn end(self) -> Vec<Recorded> {
        self.stop.store(true, Ordering::Relaxed);
        self.tasks.join_all().await.into_iter().flatten().collect()
    }
}

/// When the calls that ran were sent and answered.
fn admitted(recorded: &[Recorded]) -> Vec<Span> {
    let ran = recorded.iter().filter(|call| call.outcome == "executed");
    ran.map(|call| call.span).collect()
}

/// Four faults under load, a window apart: a replica dies, another joins, Redis freezes, Redis forgets its scripts.
async fn cause_faults(gates: &mut Vec<Gate>, setup: &Setup, redis: &RedisServer, load: &mut Load) {
    let pause = |ms| tokio::time::sleep(Duration::from_millis(ms));
    pause(WINDOW_MS).await;
    gates[REPLICAS - 1].kill();
    pause(WINDOW_MS).await;
    gates.push(setup.start());
    load.add(&gates[REPLICAS]);
    pause(WINDOW_MS).await;
    redis.signal("STOP");
    // longer than a window: a full one is remembered, and nobody asks the store before it has room again
    pause(WINDOW_MS * 3 / 2).await;
    redis.signal("CONT");
    pause(WINDOW_MS).await;
    redis::cmd("SCRIPT")
        .arg("FLUSH")
        .exec(&mut redis.connection())
        .unwrap();
    pause(2 * WINDOW_MS).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn faults_during_the_record_never_open_a_window() {
    let (fixture, redis) = (Fixture::start(Era::Current), RedisServer::start());
    // A short deadline: commands that a frozen Redis holds back are given up, and come late when it wakes.
    let setup = setup(&fixture, &redis, json!(2)).redis(&redis.url(), 250);
    let mut gates = setup.start_many(REPLICAS);
    let mut load = Load::new();
    for gate in gates.iter().take(REPLICAS - 1).cycle().take(2 * REPLICAS) {
        load.add(gate);
    }
    let doomed = tokio::spawn(load.caller(&gates[REPLICAS - 1]));
    cause_faults(&mut gates, &setup, &redis, &mut load).await;
    let recorded = load.end().await;
    assert!(doomed.await.is_err(), "the killed replica went on answering");

    let count = |outcome: &str| recorded.iter().filter(|call| call.outcome == outcome).count();
    let (executed, failed) = (count("executed"), count("store_error"));
    let known = ["executed", "limited", "store_error"];
    let others: Vec<_> = recorded.iter().map(|call| call.outcome.as_str()).collect();
    let others: Vec<_> = others
        .into_iter()
        .filter(|outcome| !known.contains(outcome))
        .collect();
    // a server that closes a connection at the very moment of a call leaves that call in doubt
    let in_doubt = others.iter().all(|outcome| *outcome == "upstream_error");
    assert!(in_doubt && others.len() <= 3, "calls ended otherwise: {others:?}");
    assert!(failed > 0, "the frozen Redis was not noticed");
    // The killed replica may have admitted calls whose answer was lost, so more may have run.
    let ran = fixture.executions("start_run").await;
    assert!(ran >= executed as u64, "{ran} ran of {executed} admitted");
    assert!(surely_within(&admitted(&recorded), WINDOW_MS) <= MAX);
    support::wait::until("every admission is logged", || async {
        (admissions_ms(&gates).len() >= executed).then_some(())
    })
    .await;
    assert_eq!(worst_window(&admissions_ms(&gates), WINDOW_MS), MAX);
}
