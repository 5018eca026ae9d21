//! The store that the settings ask for.

use crate::counters::{FileStore, RedisOptions, Store};
use crate::settings::Counters;

/// Multiplexed connections to Redis of one replica.
const STORE_CONNECTIONS: usize = 2;

pub(super) const fn expected_replicas(counters: &Counters) -> u64 {
    match counters {
        Counters::Memory | Counters::File { .. } => 1,
        Counters::Redis {
            expected_replicas, ..
        } => *expected_replicas,
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
        Counters::Redis {
            url,
            prefix,
            deadline,
            ..
        } => Ok(Store::redis(RedisOptions {
            url: url.expose().clone(),
            prefix: prefix.clone(),
            deadline: *deadline,
            connections: STORE_CONNECTIONS,
            by_slot_group: false,
        })?),
    }
}
