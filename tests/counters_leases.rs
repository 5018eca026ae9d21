//! Calls in flight, in every store: taken with a call's other charges, renewed, given back.
#![cfg(test)]

#[path = "support/redis_cluster.rs"]
mod redis_cluster;
#[path = "support/redis_sentinel.rs"]
mod redis_sentinel;
#[path = "support/redis.rs"]
mod redis_server;
#[path = "support/stores.rs"]
mod stores;

use std::sync::Arc;
use std::time::Duration;

use redis_server::RedisServer;
use stores::{PATIENT, stores};
use tokio::time::{Instant, sleep_until};
use toolgate::counters::{Admission, CallId, Receipt, RedisOptions, Store, Verdict};
use toolgate::policy::{Charge, Limit, OnStoreError, Scope, Subject, Window};

/// Long enough that no test runs into its end.
const LONG: u64 = 600_000;

fn charge(max: u64, window: Window, subject: Subject) -> Charge {
    let (scope, max_values) = match &subject {
        Subject::Session { .. } => (Scope::Session, Some(1)),
        Subject::Global => (Scope::Global, None),
        _ => (Scope::Grant, None),
    };
    let limit = Limit {
        rule: "/runs".into(),
        counter: "runs".into(),
        window,
        max,
        scope,
        scale: 0,
        max_values,
        shadow: false,
        on_deny: None,
        on_store_error: OnStoreError::Deny,
    };
    Charge {
        limit: Arc::new(limit),
        weight: 1,
        subject,
    }
}

fn grant() -> Subject {
    Subject::Grant { grant: "ci".into() }
}

fn session(id: &str) -> Subject {
    Subject::Session {
        grant: "ci".into(),
        server: "s".into(),
        session: Some(id.into()),
    }
}

fn lease(max: u64, ms: u64) -> Charge {
    charge(max, Window::Lease { ms }, grant())
}

fn hourly(max: u64) -> Charge {
    charge(max, Window::Sliding { ms: 3_600_000 }, grant())
}

async fn admit(store: &Store, charges: &[Charge]) -> Verdict {
    let admission = Admission {
        id: CallId::random().unwrap(),
        charges: charges.to_vec(),
    };
    store.admit(&admission).await.unwrap()
}

#[track_caller]
fn taken(verdict: Verdict) -> Receipt {
    match verdict {
        Verdict::Admitted { receipt, .. } => receipt,
        Verdict::Limited { .. } => panic!("{verdict:?}"),
    }
}

async fn is_full(store: &Store, charges: &[Charge]) -> bool {
    let admission = Admission {
        id: CallId::random().unwrap(),
        charges: charges.to_vec(),
    };
    matches!(store.peek(&admission).await.unwrap(), Verdict::Limited { .. })
}

#[tokio::test]
async fn as_many_calls_run_at_once_as_max_and_one_that_ends_makes_room() {
    let (stores, _server) = stores();
    for store in stores {
        let first = taken(admit(&store, &[lease(2, LONG)]).await);
        let second = taken(admit(&store, &[lease(2, LONG)]).await);
        assert!(is_full(&store, &[lease(2, LONG)]).await);
        store.release(&first).await.unwrap();
        store.release(&first).await.unwrap();
        let third = taken(admit(&store, &[lease(2, LONG)]).await);
        assert!(is_full(&store, &[lease(2, LONG)]).await);
        for ended in [second, third] {
            store.release(&ended).await.unwrap();
        }
        assert!(!is_full(&store, &[lease(1, LONG)]).await);
    }
}

#[tokio::test]
async fn a_lease_and_a_limit_of_one_name_count_apart_and_stand_or_fall_together() {
    let (stores, _server) = stores();
    for store in stores {
        let both = [lease(1, LONG), hourly(2)];
        let running = taken(admit(&store, &both).await);
        for _ in 0..3 {
            assert!(matches!(
                admit(&store, &both).await,
                Verdict::Limited { charge: 0, .. }
            ));
        }
        // What was refused was not charged; what has ended stays charged.
        store.release(&running).await.unwrap();
        let running = taken(admit(&store, &both).await);
        assert!(is_full(&store, &[hourly(2)]).await);
        // A refund takes both back.
        assert!(store.refund(&running).await.unwrap());
        assert!(!is_full(&store, &both).await);
        // And what a limit refuses takes no place.
        taken(admit(&store, &both).await);
        let elsewhere = [charge(9, Window::Lease { ms: LONG }, Subject::Global), hourly(2)];
        assert!(matches!(
            admit(&store, &elsewhere).await,
            Verdict::Limited { charge: 1, .. }
        ));
        assert!(!is_full(&store, &[charge(1, Window::Lease { ms: LONG }, Subject::Global)]).await);
    }
}

#[tokio::test]
async fn who_is_refused_because_others_run_may_try_again_within_a_second() {
    let (stores, _server) = stores();
    for store in stores {
        taken(admit(&store, &[lease(1, LONG)]).await);
        let verdict = admit(&store, &[lease(1, LONG)]).await;
        let Verdict::Limited { retry_after_ms, .. } = verdict else {
            panic!("{verdict:?}")
        };
        assert_eq!(retry_after_ms, Some(1_000));
    }
}

#[tokio::test]
async fn a_lease_that_nobody_renews_lapses_and_one_that_is_renewed_does_not() {
    let (stores, _server) = stores();
    let tests: Vec<_> = stores
        .into_iter()
        .map(|store| tokio::spawn(lapses_unless_renewed(store)))
        .collect();
    for test in tests {
        test.await.unwrap();
    }
}

async fn lapses_unless_renewed(store: Arc<Store>) {
    const LEASE: u64 = 1_500;
    let dead = taken(admit(&store, &[lease(2, LEASE)]).await);
    let alive = taken(admit(&store, &[lease(2, LEASE)]).await);
    assert_eq!(alive.lease(), Some(Duration::from_millis(LEASE)));
    assert!(alive.is_binding());
    let start = Instant::now();
    while start.elapsed() < Duration::from_millis(LEASE + 50) {
        let sent = Instant::now();
        assert!(
            store.renew(&alive).await.unwrap(),
            "a lease was lost while it was renewed"
        );
        sleep_until(sent + Duration::from_millis(LEASE / 15)).await;
    }
    assert!(!store.renew(&dead).await.unwrap());
    taken(admit(&store, &[lease(2, LEASE)]).await);
    assert!(is_full(&store, &[lease(2, LEASE)]).await);
    // Once lapsed it stays lapsed, though there is room.
    store.release(&alive).await.unwrap();
    assert!(!store.renew(&dead).await.unwrap());
}

#[tokio::test]
async fn leases_of_two_lengths_share_one_max() {
    let (stores, _server) = stores();
    for store in stores {
        taken(admit(&store, &[lease(2, LONG)]).await);
        let short = taken(admit(&store, &[lease(2, LONG / 2)]).await);
        assert!(is_full(&store, &[lease(2, LONG)]).await);
        assert!(store.renew(&short).await.unwrap());
        assert!(is_full(&store, &[lease(2, LONG / 2)]).await);
        store.release(&short).await.unwrap();
        assert!(!is_full(&store, &[lease(2, LONG)]).await);
    }
}

#[tokio::test]
async fn sessions_beyond_max_values_share_the_overflow_places_and_are_renewed_there() {
    let (stores, _server) = stores();
    for store in stores {
        let of = |id: &str| charge(1, Window::Lease { ms: LONG }, session(id));
        let own = taken(admit(&store, &[of("a")]).await);
        let shared = taken(admit(&store, &[of("b")]).await);
        assert!(is_full(&store, &[of("c")]).await);
        assert!(store.renew(&own).await.unwrap());
        assert!(store.renew(&shared).await.unwrap());
        store.release(&shared).await.unwrap();
        assert!(!store.renew(&shared).await.unwrap());
        taken(admit(&store, &[of("c")]).await);
    }
}

#[tokio::test]
async fn a_call_in_flight_counts_as_one_and_max_is_bounded() {
    let (stores, _server) = stores();
    for store in stores {
        let mut heavy = lease(9, LONG);
        heavy.weight = 2;
        for odd in [heavy, lease(1_001, LONG), lease(1, 0)] {
            let admission = Admission {
                id: CallId::random().unwrap(),
                charges: vec![odd],
            };
            assert_eq!(store.admit(&admission).await.unwrap_err().code(), "charges");
        }
    }
}

#[tokio::test]
async fn a_store_that_is_out_of_memory_still_renews_and_releases() {
    let server = RedisServer::start();
    let options = RedisOptions {
        deadline: PATIENT,
        connections: 1,
        ..RedisOptions::single(server.url(), "t")
    };
    let store = Store::redis(options).unwrap();
    let running = taken(admit(&store, &[lease(1, LONG)]).await);
    let mut redis = server.connection();
    let () = redis::cmd("CONFIG")
        .arg(&["SET", "maxmemory", "1"])
        .query(&mut redis)
        .unwrap();
    assert!(store.renew(&running).await.unwrap());
    store.release(&running).await.unwrap();
    let () = redis::cmd("CONFIG")
        .arg(&["SET", "maxmemory", "0"])
        .query(&mut redis)
        .unwrap();
    assert!(!is_full(&store, &[lease(1, LONG)]).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn four_replicas_that_take_renew_and_release_never_hold_more_than_max() {
    let server = RedisServer::start();
    let holding = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let tasks = (0..4).flat_map(|_| {
        let options = RedisOptions {
            deadline: PATIENT,
            ..RedisOptions::single(server.url(), "t")
        };
        let replica = Arc::new(Store::redis(options).unwrap());
        (0..4).map(move |_| Arc::clone(&replica)).collect::<Vec<_>>()
    });
    let tasks: Vec<_> = tasks
        .map(|store| tokio::spawn(worker(store, Arc::clone(&holding))))
        .collect();
    let mut admitted = 0;
    for task in tasks {
        admitted += task.await.unwrap();
    }
    assert!(admitted > 30, "only {admitted} were admitted");
}

/// Takes a place of three, as often as it is free, and looks how many others hold one.
async fn worker(store: Arc<Store>, holding: Arc<std::sync::atomic::AtomicUsize>) -> usize {
    use std::sync::atomic::Ordering::SeqCst;
    let mut admitted = 0;
    for _ in 0..60 {
        let Verdict::Admitted { receipt, .. } = admit(&store, &[lease(3, 60_000)]).await else {
            continue;
        };
        admitted += 1;
        let beside = holding.fetch_add(1, SeqCst);
        assert!(beside < 3, "{} at once", beside + 1);
        assert!(store.renew(&receipt).await.unwrap());
        holding.fetch_sub(1, SeqCst);
        store.release(&receipt).await.unwrap();
    }
    admitted
}
