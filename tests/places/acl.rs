//! A user of Redis that may do what the documents say, and nothing else.

use std::time::Duration;

use toolgate::approvals::{Approvals, Asked, Consumed, Decided, Request};
use toolgate::counters::{Place, RedisOptions, Store, Verdict};

use crate::charges::{admit, call, global, grant};
use crate::redis_cluster::RedisCluster;
use crate::redis_server::RedisServer;
use crate::{PATIENT, open};

/// The line that `docs/redis.md` prints, for redis-cli.
fn documented(password: &str) -> Vec<String> {
    let page = include_str!("../../docs/redis.md");
    let line = page
        .lines()
        .find(|line| line.starts_with("ACL SETUSER toolgate "));
    let words = line.unwrap().split_whitespace();
    words
        .map(|word| word.replace(">PASSWORD", &format!(">{password}")))
        .collect()
}

fn create_user(server: &RedisServer, words: &[String]) {
    let mut command = redis::cmd(&words[0]);
    command.arg(&words[1..]);
    command.exec(&mut server.connection()).unwrap();
    // nobody else may do anything
    let nobody = redis::cmd("ACL")
        .arg("SETUSER")
        .arg("default")
        .arg("-@all")
        .arg("+acl")
        .arg("+info")
        .clone();
    nobody.exec(&mut server.connection()).unwrap();
}

fn options(place: Place) -> RedisOptions {
    RedisOptions {
        deadline: PATIENT,
        username: Some("toolgate".into()),
        password: Some("s3cret-7d".into()),
        ..RedisOptions::new(place, "toolgate")
    }
}

async fn an_approval_goes_its_way(store: &Store) {
    let Store::Redis(redis) = store else {
        panic!("not in Redis");
    };
    let expires = Duration::from_secs(600);
    let approvals = Approvals::in_redis(redis.clone(), b"a key of all replicas", expires).unwrap();
    let request = Request {
        grant: "ci".into(),
        identity: "ci".into(),
        server: "s".into(),
        tool: "refund".into(),
        arguments: Some("{}".into()),
        digest: approvals.digest(&[b"a call"]).unwrap(),
        needed: 1,
    };
    let Asked::Stands { approval, .. } = approvals.ask(&request).await.unwrap() else {
        panic!("nobody was asked");
    };
    assert_eq!(approvals.pending().await, Ok(1));
    let decided = approvals.decide(&approval.id, &approval.digest, true, "ann", "");
    assert!(matches!(decided.await, Ok(Decided::Done(_))));
    let consumed = approvals.consume(approval.id, &approval.digest).await;
    let Ok(Consumed::Yes(ticket)) = consumed else {
        panic!("{consumed:?}");
    };
    assert_eq!(approvals.give_back(&ticket).await, Ok(true));
    assert_eq!(approvals.list(None).await.unwrap().len(), 1);
    assert_eq!(approvals.expire().await, Ok(Vec::new()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_documented_user_may_do_everything_that_is_needed() {
    let server = RedisServer::start();
    create_user(&server, &documented("s3cret-7d"));
    let store = open(options(Place::Single(server.url())));
    let charges = [grant("own", 9), global("all", 9)];
    let verdict = store.admit(&call(&charges)).await.unwrap();
    let Verdict::Admitted { receipt, .. } = verdict else {
        panic!("{verdict:?}")
    };
    assert!(store.refund(&receipt).await.unwrap());
    assert_eq!(admit(&store, &charges).await, Ok(vec![8, 8]));
    store.ping().await.unwrap();
    assert!(store.revoke("somebody").await.unwrap());
    assert_eq!(store.revoked().await.unwrap().len(), 1);
    assert!(store.unrevoke("somebody").await.unwrap());
    assert_eq!(store.shared_secret("cookie", [1; 32]).await.unwrap(), [1; 32]);
    an_approval_goes_its_way(&store).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_documented_user_serves_in_a_cluster_too() {
    let cluster = RedisCluster::start();
    for node in &cluster.nodes {
        create_user(node, &documented("s3cret-7d"));
    }
    let store = open(options(Place::Cluster(cluster.urls())));
    for number in 0..8 {
        let charges = [crate::charges::grant_named(number, 9)];
        assert_eq!(admit(&store, &charges).await, Ok(vec![8]));
    }
    an_approval_goes_its_way(&store).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_user_that_may_not_ask_who_the_server_is_still_counts() {
    let server = RedisServer::start();
    let words = documented("s3cret-7d");
    let words: Vec<String> = words
        .into_iter()
        .filter(|word| word != "+info" && word != "+config|get")
        .collect();
    create_user(&server, &words);
    let store = open(options(Place::Single(server.url())));
    assert_eq!(admit(&store, &[grant("own", 9)]).await, Ok(vec![8]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wrong_credentials_and_foreign_prefixes_are_refused_and_said_without_showing_them() {
    let server = RedisServer::start();
    create_user(&server, &documented("s3cret-7d"));
    let wrong = RedisOptions {
        password: Some("hunter2".into()),
        ..options(Place::Single(server.url()))
    };
    let error = open(wrong).admit(&call(&[grant("own", 9)])).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "the store cannot be reached: it refuses the credentials"
    );
    let foreign = RedisOptions {
        prefix: "another".into(),
        ..options(Place::Single(server.url()))
    };
    let error = open(foreign).admit(&call(&[grant("own", 9)])).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "the store cannot be reached: the user lacks a permission"
    );
}
