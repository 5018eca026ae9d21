//! What is wrong with the store although it answers.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use redis::{FromRedisValue, Value};
use tokio::time::Instant;

use super::ask::ask_node;
use super::identity::Identity;
use super::node::Node;
use super::{RedisStore, millis};
use crate::counters::StoreError;

/// A clock that is further away than this is worth a look.
const CLOCK_MS: u64 = 5_000;
/// A window longer than this should outlive a restart.
const LONG_WINDOW: Duration = Duration::from_secs(3_600);

/// How the store stands, as far as this process has seen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StoreHealth {
    /// Nodes that calls do not wait for, because they did not answer.
    pub not_asked: usize,
    /// How often another server was found in a node's place.
    pub failovers: u64,
    /// Whether keys deny because of that.
    pub quarantined: bool,
    pub warnings: BTreeSet<StoreWarning>,
}

/// What an operator should change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum StoreWarning {
    /// The store may drop counters when it is full.
    Eviction,
    /// A window is longer than an hour, and a restart would begin it anew.
    Persistence,
    /// The store's clock is far from this machine's.
    Clock,
    /// The store runs no scripts.
    Scripts,
    /// The user may not ask who the server is: a fail-over goes unnoticed.
    Identity,
}

impl StoreWarning {
    /// Every one, for metrics that exist from the start.
    pub const ALL: [Self; 5] = [
        Self::Eviction,
        Self::Persistence,
        Self::Clock,
        Self::Scripts,
        Self::Identity,
    ];

    /// One word for metric labels.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Eviction => "eviction",
            Self::Persistence => "persistence",
            Self::Clock => "clock",
            Self::Scripts => "scripts",
            Self::Identity => "identity",
        }
    }

    /// What is wrong and what to do.
    pub const fn text(self) -> &'static str {
        match self {
            Self::Eviction => {
                "the store may evict counters, and a limit whose counter is gone starts again: set `maxmemory-policy noeviction`"
            }
            Self::Persistence => {
                "the store keeps nothing on disk, and a restart begins windows of more than an hour anew: set `appendonly yes`"
            }
            Self::Clock => {
                "the store's clock is more than 5 s from this machine's: look at the time service of both"
            }
            Self::Scripts => {
                "the store runs no scripts, which every limit needs: use Redis or Valkey 7.0 or newer"
            }
            Self::Identity => {
                "the store's user may not run INFO, so that a fail-over is not noticed: grant `+info`"
            }
        }
    }
}

impl RedisStore {
    /// How the store stands; asks nobody.
    pub(in super::super) fn health(&self) -> StoreHealth {
        let (failovers, quarantined, _) = self.inner.failover.seen(Instant::now());
        let nodes = self.inner.route.nodes();
        let known = self.inner.warnings.lock();
        let warnings = known.unwrap_or_else(std::sync::PoisonError::into_inner).clone();
        StoreHealth {
            not_asked: nodes.iter().filter(|node| node.is_asked().is_err()).count(),
            failovers,
            quarantined,
            warnings,
        }
    }

    /// Asks each node that answers how it is set up, and who it is. What the user may not ask is left out.
    pub(in super::super) async fn inspect(&self, longest_window: Duration) {
        let mut warnings = BTreeSet::new();
        for node in self.inner.route.nodes() {
            if node.is_asked().is_ok() {
                let until = Instant::now() + self.inner.deadline.max(Duration::from_secs(1));
                // a node that does not answer is the breaker's
                let _ = inspect_node(&node, longest_window, until, &mut warnings).await;
            }
        }
        // connections that were opened for it have met their servers
        let (_, _, identified) = self.inner.failover.seen(Instant::now());
        if !identified {
            warnings.insert(StoreWarning::Identity);
        }
        let mut known = self
            .inner
            .warnings
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        for warning in warnings.difference(&known) {
            tracing::warn!(warning = warning.code(), "{}", warning.text());
        }
        *known = warnings;
    }

    /// Meets each node again: one that was replaced behind a connection that stayed open is noticed.
    pub(in super::super) async fn meet(&self) {
        for node in self.inner.route.nodes() {
            let until = Instant::now() + self.inner.deadline.max(Duration::from_millis(200));
            let mut info = redis::cmd("INFO");
            info.arg("server").arg("replication");
            if node.is_asked().is_err() {
                continue;
            }
            if let Ok(text) = text(ask_node(&node, &info, until).await) {
                let identity = Identity::read(&text);
                if !identity.is_replica {
                    self.inner.failover.met(&node.address, &identity, Instant::now());
                }
            }
        }
    }
}

async fn inspect_node(
    node: &Arc<Node>,
    longest_window: Duration,
    until: Instant,
    warnings: &mut BTreeSet<StoreWarning>,
) -> Result<(), StoreError> {
    let mut memory = redis::cmd("INFO");
    if let Ok(memory) = text(ask_node(node, memory.arg("memory"), until).await) {
        let policy = memory
            .lines()
            .find_map(|line| line.strip_prefix("maxmemory_policy:"));
        if policy.is_some_and(|policy| policy.trim() != "noeviction") {
            warnings.insert(StoreWarning::Eviction);
        }
    }
    if longest_window > LONG_WINDOW && !keeps_on_disk(node, until).await {
        warnings.insert(StoreWarning::Persistence);
    }
    let here = unix_ms();
    let (seconds, _) = <(u64, u64)>::from_redis_value(ask_node(node, &redis::cmd("TIME"), until).await?)
        .map_err(|_| StoreError::Protocol("a time of another form"))?;
    if here.abs_diff(seconds.saturating_mul(1_000)) > CLOCK_MS {
        warnings.insert(StoreWarning::Clock);
    }
    let mut load = redis::cmd("SCRIPT");
    load.arg("LOAD").arg("#!lua\nreturn 1");
    if let Err(StoreError::Protocol(_)) = ask_node(node, &load, until).await {
        warnings.insert(StoreWarning::Scripts);
    }
    Ok(())
}

/// Also where it may not be asked.
async fn keeps_on_disk(node: &Arc<Node>, until: Instant) -> bool {
    for (name, off) in [("appendonly", "no"), ("save", "")] {
        let mut get = redis::cmd("CONFIG");
        let answer = ask_node(node, get.arg("GET").arg(name), until).await;
        let value = answer.ok().and_then(|value| {
            let pairs = std::collections::HashMap::<String, String>::from_redis_value(value);
            pairs.ok()?.remove(name)
        });
        if value.is_none_or(|value| value != off) {
            return true;
        }
    }
    false
}

fn text(answer: Result<Value, StoreError>) -> Result<String, StoreError> {
    String::from_redis_value(answer?).map_err(|_| StoreError::Protocol("a text of another form"))
}

#[expect(
    clippy::disallowed_methods,
    reason = "compared with the store's clock, for a warning"
)]
fn unix_ms() -> u64 {
    millis(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default())
}
