//! Redis as it is run: behind sentinels, as a cluster, over TLS, with users that may do little. Real servers.
#![cfg(test)]

#[path = "places/acl.rs"]
mod acl;
#[path = "support/charges.rs"]
mod charges;
#[path = "places/cluster.rs"]
mod cluster;
#[path = "places/failover.rs"]
mod failover;
#[path = "places/health.rs"]
mod health;
#[allow(dead_code, reason = "one of its two measures is used here")]
#[path = "support/history.rs"]
mod history;
#[path = "support/redis_cluster.rs"]
mod redis_cluster;
#[path = "support/redis_sentinel.rs"]
mod redis_sentinel;
#[path = "support/redis.rs"]
mod redis_server;
#[path = "places/sentinel.rs"]
mod sentinel;
#[path = "places/tls.rs"]
mod tls;

use std::sync::Arc;
use std::time::{Duration, Instant};

use toolgate::counters::{RedisOptions, Store};

/// Tests of exactness do not depend on how busy the machine is.
const PATIENT: Duration = Duration::from_secs(5);
/// How long a fail-over and what follows may take on a busy machine.
const BOUND: Duration = Duration::from_secs(40);

fn open(options: RedisOptions) -> Arc<Store> {
    Arc::new(Store::redis(options).unwrap())
}

/// Asks until there is an answer that is awaited.
async fn until<T: std::fmt::Debug>(
    what: &str,
    mut ask: impl AsyncFnMut() -> T,
    wanted: impl Fn(&T) -> bool,
) -> T {
    let started = Instant::now();
    loop {
        let answer = ask().await;
        if wanted(&answer) {
            return answer;
        }
        assert!(started.elapsed() < BOUND, "{what} did not come to be: {answer:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
