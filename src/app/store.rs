//! The store that the settings ask for.

use anyhow::Context;

use crate::approvals::Approvals;
use crate::counters::{self, AfterFailover, FileStore, RedisOptions, RedisTls, Store};
use crate::settings::{self, ApprovalSettings, Counters, Place, Redis, Secret, Settings};

/// Multiplexed connections of one replica to each node of Redis.
const STORE_CONNECTIONS: usize = 2;

pub(super) fn expected_replicas(counters: &Counters) -> u64 {
    match counters {
        Counters::Memory | Counters::File { .. } => 1,
        Counters::Redis(redis) => redis.expected_replicas,
    }
}

/// Does not connect; needs a tokio runtime.
///
/// # Errors
/// Settings that cannot work.
pub fn store(counters: &Counters) -> anyhow::Result<Store> {
    match counters {
        Counters::Memory => Ok(Store::memory()),
        Counters::File { path, deadline } => Ok(Store::File(FileStore::new(path.clone(), *deadline))),
        Counters::Redis(redis) => Store::redis(options(redis)).context("`counters`"),
    }
}

/// The store, and what waits for people in it.
///
/// # Errors
/// As of both.
pub(super) fn with_approvals(settings: &Settings) -> anyhow::Result<(Store, Approvals)> {
    let store = store(&settings.counters)?;
    let approvals = approvals(&store, &settings.approvals)?;
    Ok((store, approvals))
}

/// Requests for approval, kept where the counters are. In a file there are none: they are this process' own.
///
/// # Errors
/// Where the operating system gives no random bytes.
fn approvals(store: &Store, settings: &ApprovalSettings) -> anyhow::Result<Approvals> {
    let approvals = match (store, &settings.key) {
        (Store::Redis(redis), Some(key)) => {
            Approvals::in_redis(redis.clone(), key.expose(), settings.expires)
        }
        // no policy asks: a reload that brings one which does is refused
        (Store::Redis(_), None) => Approvals::nowhere(),
        (Store::Memory(_) | Store::File(_), _) => {
            Approvals::in_memory(counters::steady_clock(), settings.expires)
        }
    };
    approvals.context("`approvals`")
}

pub(super) fn options(redis: &Redis) -> RedisOptions {
    let exposed = |urls: &[Secret<String>]| urls.iter().map(|url| url.expose().clone()).collect();
    let place = match &redis.place {
        Place::Single(url) => counters::Place::Single(url.expose().clone()),
        Place::Sentinel { master, urls } => counters::Place::Sentinel {
            master: master.clone(),
            urls: exposed(urls),
        },
        Place::Cluster(urls) => counters::Place::Cluster(exposed(urls)),
    };
    let (ca, client) = (redis.tls.ca.as_ref(), redis.tls.client.as_ref());
    RedisOptions {
        username: redis.username.clone(),
        password: redis.password.as_ref().map(|password| password.expose().clone()),
        tls: RedisTls {
            ca: ca.map(|ca| ca.expose().clone()),
            client: client.map(|client| client.expose().clone()),
        },
        deadline: redis.deadline,
        connections: STORE_CONNECTIONS,
        after_failover: match redis.after_failover {
            settings::AfterFailover::Quarantine => AfterFailover::Quarantine,
            settings::AfterFailover::Restore => AfterFailover::Restore,
            settings::AfterFailover::Continue => AfterFailover::Continue,
        },
        quarantine_max: redis.quarantine_max,
        ..RedisOptions::new(place, &redis.prefix)
    }
}
