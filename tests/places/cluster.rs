//! A cluster of three nodes: slots that move under load, nodes that die.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use toolgate::counters::{Place, RedisOptions, Store, Verdict};
use toolgate::policy::{Charge, Scope, Window};

use crate::charges::{HOUR, admit, call, global, grant, grant_of, limit, peek};
use crate::history::worst_window;
use crate::redis_cluster::RedisCluster;
use crate::{PATIENT, open, until};

const MANY: u64 = 1_000_000;
const WINDOW: u64 = 300;

fn options(urls: Vec<String>) -> RedisOptions {
    RedisOptions {
        deadline: PATIENT,
        ..RedisOptions::new(Place::Cluster(urls), "t")
    }
}

/// A narrow limit of a short window, and one that counts everything: two keys of one slot.
fn charges() -> [Charge; 2] {
    let short = limit("load", 10, Window::Sliding { ms: WINDOW }, Scope::Grant);
    [
        grant_of(short, 1),
        grant_of(limit("all", MANY, HOUR, Scope::Grant), 1),
    ]
}

/// The slot of the grant's keys: where the one that was written lives.
fn slot_in_use(cluster: &RedisCluster) -> u16 {
    let keys = cluster.nodes.iter().find_map(|node| {
        let keys: Vec<String> = redis::cmd("KEYS").arg("*").query(&mut node.connection()).unwrap();
        keys.into_iter().next().map(|key| {
            let mut slot = redis::cmd("CLUSTER");
            slot.arg("KEYSLOT")
                .arg(key)
                .query(&mut node.connection())
                .unwrap()
        })
    });
    keys.expect("a key was written")
}

/// Calls until told to stop, and what was admitted.
async fn worker(store: Arc<Store>, stop: Arc<AtomicBool>, admitted: Arc<AtomicU64>) -> Vec<u64> {
    let mut history = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        match store.admit(&call(&charges())).await.unwrap() {
            Verdict::Admitted { receipt, .. } => {
                admitted.fetch_add(1, Ordering::Relaxed);
                history.push(receipt.at_ms());
            }
            Verdict::Limited { .. } => tokio::time::sleep(Duration::from_millis(2)).await,
        }
    }
    history
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slots_that_move_under_load_keep_every_limit_and_every_charge() {
    let cluster = RedisCluster::start();
    // each replica knows another node at first
    let replicas: Vec<_> = cluster
        .urls()
        .into_iter()
        .map(|url| open(options(vec![url])))
        .collect();
    assert_eq!(admit(&replicas[0], &charges()).await, Ok(vec![9, MANY - 1]));
    let slot = slot_in_use(&cluster);
    let (stop, admitted) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(1)));
    let workers = replicas.iter().cycle().take(6).map(|store| {
        tokio::spawn(worker(
            Arc::clone(store),
            Arc::clone(&stop),
            Arc::clone(&admitted),
        ))
    });
    let workers: Vec<_> = workers.collect();
    let grown = |since: u64| {
        let admitted = Arc::clone(&admitted);
        async move {
            until(
                "more is admitted",
                async || admitted.load(Ordering::Relaxed),
                |now| *now > since + 12,
            )
            .await
        }
    };
    let mut from = cluster.owner(slot);
    for _ in 0..6 {
        let to = (from + 1) % 3;
        cluster.begin_migration(slot, from, to);
        // calls come while both nodes keep a part of it
        tokio::time::sleep(Duration::from_millis(100)).await;
        cluster.move_keys(slot, from, to);
        tokio::time::sleep(Duration::from_millis(50)).await;
        cluster.move_keys(slot, from, to);
        cluster.end_migration(slot, from, to);
        grown(admitted.load(Ordering::Relaxed)).await;
        from = to;
    }
    stop.store(true, Ordering::Relaxed);
    let mut history = Vec::new();
    for worker in workers {
        history.extend(worker.await.unwrap());
    }
    assert_eq!(worst_window(&history, WINDOW), 10);
    let left = MANY - admitted.load(Ordering::Relaxed);
    let all = [charges()[1].clone()];
    for store in &replicas {
        assert_eq!(peek(store, &all).await, Ok(vec![left]));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_wider_scope_denies_is_given_back_while_its_slot_is_on_its_way() {
    let cluster = RedisCluster::start();
    let store = open(options(cluster.urls()));
    let both = [grant("own", 9), global("wide", 1)];
    assert_eq!(admit(&store, &[grant("own", 9)]).await, Ok(vec![8]));
    let slot = slot_in_use(&cluster);
    let from = cluster.owner(slot);
    let to = (from + 1) % 3;
    assert_eq!(admit(&store, &both).await, Ok(vec![7, 0]));
    cluster.begin_migration(slot, from, to);
    assert_eq!(admit(&store, &both).await, Err(1));
    cluster.move_keys(slot, from, to);
    // the key is over there now, and the slot not yet
    assert_eq!(admit(&store, &both).await, Err(1));
    assert_eq!(peek(&store, &[grant("own", 9)]).await, Ok(vec![7]));
    cluster.end_migration(slot, from, to);
    assert_eq!(admit(&store, &both).await, Err(1));
    assert_eq!(peek(&store, &[grant("own", 9)]).await, Ok(vec![7]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_dies_is_followed_by_its_replica_and_the_others_go_on() {
    let mut cluster = RedisCluster::start();
    let store = open(options(cluster.urls()));
    assert_eq!(admit(&store, &[grant("own", 9)]).await, Ok(vec![8]));
    let owner = cluster.owner(slot_in_use(&cluster));
    cluster.add_replica(owner, &[]);
    cluster.nodes[owner].kill();
    let quick = open(RedisOptions {
        deadline: Duration::from_millis(300),
        ..options(cluster.urls())
    });
    let answered = async || quick.peek(&call(&[grant("own", 9)])).await;
    let verdict = until("the replica answers", answered, Result::is_ok)
        .await
        .unwrap();
    let Verdict::Admitted { states, .. } = verdict else {
        panic!("{verdict:?}")
    };
    assert_eq!(states[0].left, 8, "the replica has what its primary had");
    let again = async || store.admit(&call(&[grant("own", 9)])).await.is_ok();
    until("the other replica follows too", again, |admitted| *admitted).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_that_is_taken_for_a_single_server_says_what_to_set() {
    let cluster = RedisCluster::start();
    let mut told = Vec::new();
    for url in cluster.urls() {
        let store = open(RedisOptions {
            deadline: PATIENT,
            ..RedisOptions::single(url, "t")
        });
        if let Err(error) = store.admit(&call(&[grant("own", 9)])).await {
            told.push(error.to_string());
        }
    }
    assert!(
        !told.is_empty() && told.iter().all(|told| told.contains("`counters.cluster`")),
        "{told:?}"
    );
}
