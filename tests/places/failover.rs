//! A server that took another's place lacks what the other had not handed over: its keys are held for one window.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use toolgate::counters::{AfterFailover, Place, RedisOptions, Store, StoreError, Verdict};
use toolgate::policy::{Charge, Scope, Window};

use crate::charges::{HOUR, admit, call, grant_of, limit};
use crate::history::worst_window;
use crate::redis_cluster::RedisCluster;
use crate::redis_server::RedisServer;
use crate::{PATIENT, open, until};

fn within(ms: u64, max: u64) -> Charge {
    grant_of(limit("c", max, Window::Sliding { ms }, Scope::Grant), 1)
}

fn options(place: Place, after_failover: AfterFailover) -> RedisOptions {
    RedisOptions {
        deadline: PATIENT,
        after_failover,
        ..RedisOptions::new(place, "t")
    }
}

async fn retry_of_quarantine(store: &Store, charge: Charge) -> Option<u64> {
    match store.admit(&call(&[charge])).await {
        Err(StoreError::Quarantined { retry_ms }) => Some(retry_ms),
        _ => None,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_that_lost_everything_holds_short_windows_and_lets_long_ones_go_on() {
    let mut server = RedisServer::start();
    let store = open(options(Place::Single(server.url()), AfterFailover::Quarantine));
    // nobody waits at the first server that is met
    assert_eq!(admit(&store, &[within(60_000, 1)]).await, Ok(vec![0]));
    server.restart();
    let held = async || retry_of_quarantine(&store, within(60_000, 1)).await;
    let retry = until("the key is held", held, Option::is_some).await.unwrap();
    assert!((40_000..=60_020).contains(&retry), "{retry}");
    let longer = grant_of(limit("long", 5, HOUR, Scope::Grant), 1);
    assert_eq!(admit(&store, &[longer]).await, Ok(vec![4]));
    let health = store.health();
    assert_eq!((health.failovers, health.quarantined), (1, true));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_that_dies_loses_nothing_that_its_log_has_whenever_that_is_synced() {
    for sync in ["always", "everysec", "no"] {
        let mut server = RedisServer::start_with(&["--appendonly", "yes", "--appendfsync", sync]);
        let store = open(options(Place::Single(server.url()), AfterFailover::Quarantine));
        let longer = || grant_of(limit("long", 5, HOUR, Scope::Grant), 1);
        assert_eq!(admit(&store, &[within(60_000, 1)]).await, Ok(vec![0]));
        assert_eq!(admit(&store, &[longer()]).await, Ok(vec![4]));
        // the power stays on: what the process has handed to the system is written
        server.restart();
        let held = async || retry_of_quarantine(&store, within(60_000, 1)).await;
        until("the key is held", held, Option::is_some).await;
        assert_eq!(admit(&store, &[longer()]).await, Ok(vec![3]), "{sync}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_it_is_set_to_continue_what_was_lost_is_lost() {
    let mut server = RedisServer::start();
    let store = open(options(Place::Single(server.url()), AfterFailover::Continue));
    assert_eq!(admit(&store, &[within(60_000, 1)]).await, Ok(vec![0]));
    assert_eq!(admit(&store, &[within(60_000, 1)]).await, Err(0));
    server.restart();
    // a denial may be remembered for a second
    let again = async || {
        matches!(
            store.admit(&call(&[within(60_000, 1)])).await,
            Ok(Verdict::Admitted { .. })
        )
    };
    until("the limit starts again", again, |admitted| *admitted).await;
    until(
        "it was noticed",
        async || store.health().failovers,
        |seen| *seen == 1,
    )
    .await;
    assert!(!store.health().quarantined);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_lost_is_charged_again_before_anything_is_admitted_and_nobody_waits_for_a_window() {
    let mut server = RedisServer::start();
    let options = || options(Place::Single(server.url()), AfterFailover::Restore);
    let (one, other) = (open(options()), open(options()));
    for store in [&one, &other] {
        tokio::spawn(looking(Arc::clone(store)));
    }
    let longer = || grant_of(limit("long", 5, HOUR, Scope::Grant), 1);
    for _ in 0..2 {
        admit(&one, &[within(60_000, 5), longer()]).await.unwrap();
        admit(&other, &[within(60_000, 5), longer()]).await.unwrap();
    }
    let Ok(Verdict::Admitted { receipt, .. }) = one.admit(&call(&[within(60_000, 5)])).await else {
        panic!("there is room");
    };
    assert!(one.refund(&receipt).await.unwrap());
    server.restart();
    for store in [&one, &other] {
        let again = async || store.admit(&call(&[within(60_000, 4)])).await;
        let limited = until("it is asked again", again, |answer| {
            assert!(!matches!(answer, Ok(Verdict::Admitted { .. })), "{answer:?}");
            matches!(answer, Ok(Verdict::Limited { .. }))
        });
        limited.await.unwrap();
    }
    // one place is left in each, not two: what was taken back is not told, what was told is told once
    assert_eq!(admit(&one, &[within(60_000, 5), longer()]).await, Ok(vec![0, 0]));
    assert!(admit(&other, &[within(60_000, 5)]).await.is_err());
    assert!(admit(&other, &[longer()]).await.is_err());
}

/// A gate looks twice a second who answers, whether it has calls or not.
async fn looking(store: Arc<Store>) {
    loop {
        store.meet().await;
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_server_has_kept_is_not_charged_twice() {
    let mut server = RedisServer::start_with(&["--appendonly", "yes", "--appendfsync", "always"]);
    let store = open(options(Place::Single(server.url()), AfterFailover::Restore));
    for _ in 0..3 {
        admit(&store, &[within(60_000, 5)]).await.unwrap();
    }
    server.restart();
    let next = async || store.admit(&call(&[within(60_000, 5)])).await;
    let admitted = until("it is asked again", next, |answer| {
        matches!(answer, Ok(Verdict::Admitted { .. }))
    });
    let Ok(Verdict::Admitted { states, .. }) = admitted.await else {
        panic!("it was admitted");
    };
    assert_eq!(states.iter().map(|state| state.left).collect::<Vec<_>>(), [1]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn restarts_that_lose_everything_under_load_break_no_window_that_is_restored() {
    lose_everything_under_load(AfterFailover::Restore, 6_000).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn restarts_that_lose_everything_under_load_break_no_window() {
    lose_everything_under_load(AfterFailover::Quarantine, 1_500).await;
}

async fn lose_everything_under_load(after: AfterFailover, window: u64) {
    let mut server = RedisServer::start();
    let stop = Arc::new(AtomicBool::new(false));
    let workers: Vec<_> = (0..4)
        .map(|_| {
            let place = Place::Single(server.url());
            let store = open(RedisOptions {
                deadline: Duration::from_millis(500),
                ..options(place, after)
            });
            tokio::spawn(worker(store, Arc::clone(&stop), window))
        })
        .collect();
    for _ in 0..3 {
        // so long that the window is full, and charges stand that the restart loses
        tokio::time::sleep(Duration::from_millis(window * 4 / 5)).await;
        let (restarted, back) = tokio::sync::oneshot::channel();
        let mut moved = server;
        std::thread::spawn(move || {
            moved.restart();
            restarted.send(moved).ok()
        });
        server = back.await.unwrap();
    }
    tokio::time::sleep(Duration::from_millis(2 * window)).await;
    stop.store(true, Ordering::Relaxed);
    let mut history = Vec::new();
    for worker in workers {
        history.extend(worker.await.unwrap());
    }
    let worst = worst_window(&history, window);
    assert!(worst <= 10, "{worst} in one window");
    assert!(history.len() >= 20, "{} were admitted", history.len());
}

/// Admissions that the replica was told of.
async fn worker(store: Arc<Store>, stop: Arc<AtomicBool>, window: u64) -> Vec<u64> {
    let mut history = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        if let Ok(Verdict::Admitted { receipt, .. }) = store.admit(&call(&[within(window, 10)])).await {
            history.push(receipt.at_ms());
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    history
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_place_among_calls_in_flight_is_not_given_twice_and_not_lost_for_longer_than_its_lease() {
    const LEASE: Duration = Duration::from_secs(2);
    let mut server = RedisServer::start();
    let store = open(options(Place::Single(server.url()), AfterFailover::Quarantine));
    let place = || grant_of(limit("at once", 1, Window::Lease { ms: 2_000 }, Scope::Grant), 1);
    let asked = Instant::now();
    let Verdict::Admitted { receipt, .. } = store.admit(&call(&[place()])).await.unwrap() else {
        panic!("the first call has a place")
    };
    server.restart();
    let renewed = async || store.renew(&receipt).await;
    // the call learns that its place is gone, and is cut
    assert_eq!(
        until("the server is back", renewed, Result::is_ok).await,
        Ok(false)
    );
    let again = async || store.admit(&call(&[place()])).await.is_ok();
    until("the place is given again", again, |admitted| *admitted).await;
    assert!(asked.elapsed() >= LEASE, "the first call may still have run");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_a_cluster_the_promoted_replica_is_held_and_other_nodes_are_not() {
    let mut cluster = RedisCluster::start();
    let store = open(options(Place::Cluster(cluster.urls()), AfterFailover::Quarantine));
    let charge = |number: u32| Charge {
        limit: within(60_000, 5).limit,
        ..crate::charges::grant_named(number, 5)
    };
    for number in 0..12 {
        assert_eq!(admit(&store, &[charge(number)]).await, Ok(vec![4]));
    }
    let lost = cluster.owner(0);
    cluster.add_replica(lost, &[]);
    // as the gate does twice a second: a node's history begins with its first replica
    store.meet().await;
    cluster.nodes[lost].kill();
    let states = async || {
        let (mut held, mut admitted) = (0, 0);
        for number in 0..12 {
            match store.admit(&call(&[charge(number)])).await {
                Err(StoreError::Quarantined { .. }) => held += 1,
                Ok(_) => admitted += 1,
                Err(_) => {}
            }
        }
        (held, admitted)
    };
    let (held, admitted) = until("all keys answer", states, |(held, admitted)| {
        held + admitted == 12
    })
    .await;
    assert!(held > 0 && admitted > 0, "{held} held, {admitted} not");
    assert_eq!(store.health().failovers, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slot_that_only_moves_is_not_held() {
    let cluster = RedisCluster::start();
    let store = open(options(Place::Cluster(cluster.urls()), AfterFailover::Quarantine));
    let charge = within(60_000, 5);
    assert_eq!(admit(&store, std::slice::from_ref(&charge)).await, Ok(vec![4]));
    let mut keys = cluster.nodes.iter().enumerate().filter_map(|(index, node)| {
        let keys: Vec<String> = redis::cmd("KEYS")
            .arg("t:*")
            .query(&mut node.connection())
            .unwrap();
        keys.into_iter().next().map(|key| (index, key))
    });
    let (from, key) = keys.next().unwrap();
    let mut slot = redis::cmd("CLUSTER");
    let slot: u16 = slot
        .arg("KEYSLOT")
        .arg(key)
        .query(&mut cluster.nodes[0].connection())
        .unwrap();
    cluster.migrate(slot, from, (from + 1) % 3);
    assert_eq!(admit(&store, &[charge]).await, Ok(vec![3]));
    assert_eq!(store.health().failovers, 0);
}
