//! What the gate says of a store that answers and is set up badly, or does not answer.

use std::collections::BTreeSet;
use std::fs::File;
use std::sync::Arc;
use std::time::Duration;

use toolgate::counters::{Place, RedisOptions, StoreWarning};

use crate::charges::{call, grant};
use crate::redis_server::RedisServer;
use crate::{PATIENT, open, until};

const WEEK: Duration = Duration::from_secs(7 * 24 * 3_600);

async fn warnings(server: &RedisServer, longest: Duration) -> BTreeSet<StoreWarning> {
    let store = open(RedisOptions {
        deadline: PATIENT,
        ..RedisOptions::new(Place::Single(server.url()), "t")
    });
    store.inspect(longest).await;
    store.health().warnings
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_may_evict_or_forget_is_warned_of() {
    let bad = RedisServer::start_with(&["--maxmemory-policy", "allkeys-lru"]);
    let both = BTreeSet::from([StoreWarning::Eviction, StoreWarning::Persistence]);
    assert_eq!(warnings(&bad, WEEK).await, both);
    // a window of an hour or less is over soon
    let evicts = BTreeSet::from([StoreWarning::Eviction]);
    assert_eq!(warnings(&bad, Duration::from_secs(3_600)).await, evicts);
    let good = RedisServer::start_with(&["--appendonly", "yes"]);
    assert_eq!(warnings(&good, WEEK).await, BTreeSet::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_without_scripts_is_warned_of() {
    let server = RedisServer::start_with(&["--rename-command", "SCRIPT", "NOSCRIPT"]);
    assert_eq!(
        warnings(&server, Duration::ZERO).await,
        BTreeSet::from([StoreWarning::Scripts])
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_user_that_may_ask_nothing_is_no_failure_and_said() {
    let server = RedisServer::start();
    let mut forbid = redis::cmd("ACL");
    forbid.arg("SETUSER").arg("default").arg("-info").arg("-config");
    forbid.exec(&mut server.connection()).unwrap();
    assert_eq!(
        warnings(&server, WEEK).await,
        BTreeSet::from([StoreWarning::Identity])
    );
}

#[tokio::test]
async fn each_warning_is_told_once_in_the_log() {
    let server = RedisServer::start_with(&["--maxmemory-policy", "allkeys-lru"]);
    let mut forbid = redis::cmd("ACL");
    forbid
        .arg("SETUSER")
        .arg("default")
        .arg("-info")
        .arg("+info|memory");
    forbid.exec(&mut server.connection()).unwrap();
    let log = server.folder().join("gate.log");
    let lines = tracing_subscriber::fmt().with_writer(Arc::new(File::create(&log).unwrap()));
    let _writing = tracing::subscriber::set_default(lines.finish());
    let store = open(RedisOptions {
        deadline: PATIENT,
        ..RedisOptions::new(Place::Single(server.url()), "t")
    });
    for _ in 0..3 {
        store.inspect(Duration::ZERO).await;
    }
    let told = std::fs::read_to_string(log).unwrap();
    for warning in [StoreWarning::Eviction, StoreWarning::Identity] {
        assert!(store.health().warnings.contains(&warning));
        assert_eq!(told.matches(warning.text()).count(), 1, "{told}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dead_store_is_soon_not_asked_any_more_and_asked_again_once_it_answers() {
    let mut server = RedisServer::start();
    let store = open(RedisOptions {
        deadline: PATIENT,
        ..RedisOptions::new(Place::Single(server.url()), "t")
    });
    assert!(store.admit(&call(&[grant("own", 100)])).await.is_ok());
    server.signal("STOP");
    let quick = open(RedisOptions {
        deadline: Duration::from_millis(50),
        ..RedisOptions::new(Place::Single(server.url()), "t")
    });
    let told = async || {
        quick
            .admit(&call(&[grant("own", 100)]))
            .await
            .unwrap_err()
            .to_string()
    };
    until("calls no longer wait", told, |told| {
        told.contains("has not answered lately")
    })
    .await;
    assert_eq!(quick.health().not_asked, 1);
    server.signal("CONT");
    until(
        "it is asked again",
        async || quick.health().not_asked,
        |open| *open == 0,
    )
    .await;
    let again = async || quick.admit(&call(&[grant("own", 100)])).await.is_ok();
    until("it serves again", again, |admitted| *admitted).await;
    server.kill();
}
