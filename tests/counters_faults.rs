//! What goes wrong around a real Redis: every call is answered in time, and nothing is charged that was
//! given up.
#![cfg(test)]

#[path = "support/mute_relay.rs"]
mod mute_relay;
#[path = "support/redis.rs"]
mod redis_server;

use std::sync::Arc;
use std::time::{Duration, Instant};

use mute_relay::Relay;
use redis_server::RedisServer;
use toolgate::counters::{Admission, CallId, RedisOptions, Store, StoreError, Verdict};
use toolgate::policy::{Charge, Limit, Scope, Subject, Window};

const DEADLINE: Duration = Duration::from_millis(200);
/// What a busy machine may add to a deadline before a test calls it missed.
const SLACK: Duration = Duration::from_millis(800);
/// How long service may take to come back by itself.
const BACK: Duration = Duration::from_secs(15);

fn store(url: String) -> Arc<Store> {
    store_within(url, DEADLINE)
}

fn store_within(url: String, deadline: Duration) -> Arc<Store> {
    Arc::new(
        Store::redis(RedisOptions {
            deadline,
            ..RedisOptions::single(url, "t")
        })
        .unwrap(),
    )
}

fn call() -> Admission {
    call_of(100, 3_600_000)
}

fn call_of(max: u64, ms: u64) -> Admission {
    let window = Window::Sliding { ms };
    let (rule, counter) = ("/c".to_owned(), "c".to_owned());
    let limit = Limit {
        rule,
        counter,
        window,
        max,
        scope: Scope::Grant,
        scale: 0,
        max_values: None,
        shadow: false,
        on_deny: None,
        on_store_error: toolgate::policy::OnStoreError::Deny,
    };
    let subject = Subject::Grant { grant: "ci".into() };
    let charge = Charge {
        limit: Arc::new(limit),
        weight: 1,
        subject,
    };
    Admission {
        id: CallId::random().unwrap(),
        charges: vec![charge],
    }
}

fn left(verdict: Verdict) -> u64 {
    match verdict {
        Verdict::Admitted { states, .. } | Verdict::Limited { states, .. } => states[0].left,
    }
}

/// Answered in time, whatever the answer.
async fn in_time(store: &Store) -> Result<Verdict, StoreError> {
    let started = Instant::now();
    let answer = store.admit(&call()).await;
    let took = started.elapsed();
    assert!(took < DEADLINE + SLACK, "answered after {took:?}: {answer:?}");
    answer
}

/// Waits until a look at the limit gives an answer that is awaited.
async fn wait_for_left(store: &Store, expected: u64) {
    let until = Instant::now() + BACK;
    let mut last = None;
    while Instant::now() < until {
        last = Some(store.peek(&call()).await.map(left));
        if last == Some(Ok(expected)) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("never {expected} left, last {last:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frozen_store_is_answered_in_time_and_charges_nothing_when_it_wakes() {
    let server = RedisServer::start();
    let store = store(server.url());
    wait_for_left(&store, 100).await;
    assert!(store_within(server.url(), BACK).admit(&call()).await.is_ok());
    server.signal("STOP");
    // More than are undone in the background: the late guard must hold by itself.
    let calls: Vec<_> = (0..200)
        .map(|_| {
            let store = Arc::clone(&store);
            tokio::spawn(async move { in_time(&store).await })
        })
        .collect();
    for call in calls {
        assert_eq!(call.await.unwrap().unwrap_err().code(), "timeout");
    }
    server.signal("CONT");
    // The frozen commands are run before this look, which comes over the same connections.
    wait_for_left(&store, 99).await;
    wait_for_left(&store, 99).await;
    // The background's refunds took nothing that was not theirs.
    tokio::time::sleep(2 * DEADLINE).await;
    wait_for_left(&store, 99).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_store_is_answered_in_time_and_found_again_by_itself() {
    let mut server = RedisServer::start();
    let store = store(server.url());
    wait_for_left(&store, 100).await;
    server.kill();
    for _ in 0..10 {
        assert_eq!(in_time(&store).await.unwrap_err().code(), "unavailable");
    }
    server.restart();
    wait_for_left(&store, 100).await;
    assert!(store.admit(&call()).await.is_ok());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_starts_after_us_is_found() {
    let mut server = RedisServer::start();
    server.kill();
    let store = store(server.url());
    assert_eq!(in_time(&store).await.unwrap_err().code(), "unavailable");
    server.restart();
    wait_for_left(&store, 100).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn flushed_scripts_are_loaded_again_within_the_call() {
    let server = RedisServer::start();
    let store = store_within(server.url(), BACK);
    for expected in [99, 98, 97] {
        redis::cmd("SCRIPT")
            .arg("FLUSH")
            .exec(&mut server.connection())
            .unwrap();
        assert_eq!(left(store.admit(&call()).await.unwrap()), expected);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_reply_is_asked_for_again_with_the_same_id_and_charged_once() {
    let server = RedisServer::start();
    let relay = Relay::to(server.port).await;
    let store = store_within(relay.url(), Duration::from_secs(4));
    // Both connections are open, and the script is known.
    for _ in 0..4 {
        store.admit(&call()).await.unwrap();
    }
    assert_eq!(relay.opened(), 2);
    relay.mute_one(0);
    for turn in 1..=2 {
        assert_eq!(left(store.admit(&call()).await.unwrap()), 96 - turn);
    }
    relay.heal();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stalled_wire_is_answered_in_time_and_what_it_charged_is_undone() {
    let server = RedisServer::start();
    let relay = Relay::to(server.port).await;
    let store = store(relay.url());
    let witness = store_within(server.url(), BACK);
    wait_for_left(&store, 100).await;
    relay.mute();
    for _ in 0..3 {
        assert_eq!(in_time(&store).await.unwrap_err().code(), "timeout");
    }
    assert!(
        left(witness.peek(&call()).await.unwrap()) < 100,
        "the stalled commands were executed"
    );
    relay.heal();
    wait_for_left(&witness, 100).await;
    wait_for_left(&store, 100).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn out_of_memory_denies_before_anything_is_written_and_refunds_still_work() {
    let server = RedisServer::start();
    let store = store_within(server.url(), BACK);
    let verdict = store.admit(&call()).await.unwrap();
    let Verdict::Admitted { receipt, .. } = verdict else {
        panic!("{verdict:?}")
    };
    let config = |value: &str| {
        redis::cmd("CONFIG")
            .arg("SET")
            .arg("maxmemory")
            .arg(value)
            .exec(&mut server.connection())
            .unwrap();
    };
    config("1mb");
    assert_eq!(store.admit(&call()).await.unwrap_err(), StoreError::OutOfMemory);
    assert!(store.refund(&receipt).await.unwrap());
    config("0");
    assert_eq!(left(store.peek(&call()).await.unwrap()), 100);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_read_only_replica_denies_until_it_is_a_primary() {
    let server = RedisServer::start();
    let store = store_within(server.url(), BACK);
    assert!(store.admit(&call()).await.is_ok());
    let replica_of = |host: &str, port: &str| {
        redis::cmd("REPLICAOF")
            .arg(host)
            .arg(port)
            .exec(&mut server.connection())
            .unwrap();
    };
    replica_of("127.0.0.1", "1");
    assert_eq!(store.admit(&call()).await.unwrap_err().code(), "unavailable");
    replica_of("NO", "ONE");
    // a connection that was made just before may still have met a replica; such a call is charged nothing
    let until = Instant::now() + BACK;
    let admitted = loop {
        match store.admit(&call()).await {
            Ok(verdict) => break verdict,
            Err(error) => assert!(Instant::now() < until, "{error}"),
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    };
    assert_eq!(left(admitted), 98);
}

/// How many scripts the server has run.
fn scripts_run(server: &RedisServer) -> u64 {
    let mut connection = server.connection();
    let info: String = redis::cmd("INFO")
        .arg("commandstats")
        .query(&mut connection)
        .unwrap();
    let line = info
        .lines()
        .find_map(|line| line.strip_prefix("cmdstat_evalsha:calls="));
    line.map_or(0, |line| line.split(',').next().unwrap().parse().unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_that_runs_away_costs_the_store_next_to_nothing() {
    let server = RedisServer::start();
    let store = store_within(server.url(), BACK);
    assert!(matches!(
        store.admit(&call_of(1, 3_600_000)).await,
        Ok(Verdict::Admitted { .. })
    ));
    let (before, began) = (scripts_run(&server), Instant::now());
    let mut told = 0;
    for _ in 0..20_000 {
        let verdict = store.admit(&call_of(1, 3_600_000)).await.unwrap();
        let Verdict::Limited {
            remembered,
            retry_after_ms,
            ..
        } = verdict
        else {
            panic!("{verdict:?}")
        };
        assert!(
            (3_500_000..=3_600_001).contains(&retry_after_ms.unwrap()),
            "{retry_after_ms:?}"
        );
        told += u64::from(remembered);
    }
    let asked = scripts_run(&server) - before;
    assert_eq!(told + asked, 20_000);
    // once a second
    assert!(asked <= began.elapsed().as_secs() + 1, "{asked} asked");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refund_of_this_replica_is_known_at_once_and_of_another_within_a_second() {
    let server = RedisServer::start();
    let (here, there) = (store_within(server.url(), BACK), store_within(server.url(), BACK));
    let admitted = |verdict: Verdict| match verdict {
        Verdict::Admitted { receipt, .. } => Some(receipt),
        Verdict::Limited { .. } => None,
    };
    for store in [&here, &there] {
        let call = || call_of(1, 3_600_000);
        let receipt = admitted(here.admit(&call()).await.unwrap()).unwrap();
        for store in [&here, &there] {
            assert!(admitted(store.admit(&call()).await.unwrap()).is_none());
        }
        assert!(here.refund(&receipt).await.unwrap());
        if Arc::ptr_eq(store, &here) {
            let receipt = admitted(here.admit(&call()).await.unwrap()).expect("it freed");
            assert!(here.refund(&receipt).await.unwrap());
            continue;
        }
        let began = Instant::now();
        while admitted(there.admit(&call()).await.unwrap()).is_none() {
            assert!(began.elapsed() < BACK, "never noticed");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}
