//! Where requests are kept.

use std::sync::{Mutex, MutexGuard, PoisonError};

use redis::FromRedisValue;

use super::approval::ApprovalId;
use super::model::{Change, Found, Model, Open, Written};
use super::wire::{self, Names};
use crate::counters::{OtherScript, RedisStore, StoreError};

const NO_KEY: StoreError = StoreError::Unavailable("requests for approval need `approvals.key`");
/// Ids that one look at Redis takes.
const AT_ONCE: usize = 50;

pub enum Shelf {
    Memory(InMemory),
    Redis(Box<InRedis>),
    /// Nothing can be kept.
    Nowhere,
}

/// This process alone.
pub struct InMemory {
    clock: Box<dyn Fn() -> u64 + Send + Sync>,
    model: Mutex<Model>,
}

/// Shared by all replicas.
pub struct InRedis {
    store: RedisStore,
    names: Names,
    open: OtherScript,
    change: OtherScript,
    read: OtherScript,
}

/// What was found under some ids, in their order, at one time of the store.
pub struct Looked {
    /// The store's time in ms.
    pub now: u64,
    /// Names the server that answered; it changes when that one restarts. Empty where it does not say.
    pub run: String,
    pub found: Vec<Found>,
}

impl InMemory {
    pub fn new(clock: impl Fn() -> u64 + Send + Sync + 'static) -> Self {
        Self {
            clock: Box::new(clock),
            model: Mutex::default(),
        }
    }

    /// The time is read under the lock: times are in the order of what happens.
    fn at(&self) -> (MutexGuard<'_, Model>, u64) {
        let model = self.model.lock().unwrap_or_else(PoisonError::into_inner);
        (model, (self.clock)())
    }
}

impl InRedis {
    pub fn new(store: RedisStore) -> Self {
        Self {
            names: Names::new(store.name_prefix()),
            store,
            open: OtherScript::new(wire::OPEN),
            change: OtherScript::new(wire::CHANGE),
            read: OtherScript::new(wire::READ),
        }
    }

    async fn look(&self, ids: &[ApprovalId]) -> Result<Looked, StoreError> {
        let keys = self.names.read(ids);
        let argv = wire::read_argv(None);
        let value = self.store.run_other(&self.read, &texts(&keys), &argv).await?;
        let (now, run, found) = wire::read(value, ids.len())?;
        Ok(Looked { now, run, found })
    }

    async fn last(&self, call: &str) -> Result<Option<ApprovalId>, StoreError> {
        let value = self.store.ask_other("GET", &self.names.call(call), &[]).await?;
        let value = Option::<Vec<u8>>::from_redis_value(value);
        let value = value.map_err(|_| StoreError::Protocol("a call of another form"))?;
        // the time until which it stands comes first
        let id = value.as_deref().and_then(|value| value.get(6..));
        Ok(id
            .and_then(|id| str::from_utf8(id).ok())
            .and_then(ApprovalId::parse))
    }

    async fn range(&self, command: &str, key: &str, at_most: usize) -> Result<Vec<ApprovalId>, StoreError> {
        let last = at_most.saturating_sub(1).to_string();
        let value = self.store.ask_other(command, key, &["0", &last]).await?;
        let ids = Vec::<String>::from_redis_value(value);
        let ids = ids.map_err(|_| StoreError::Protocol("a list of another form"))?;
        Ok(ids.iter().filter_map(|id| ApprovalId::parse(id)).collect())
    }

    async fn changes(&self) -> Result<u64, StoreError> {
        let value = self.store.ask_other("GET", &self.names.changes(), &[]).await?;
        let count = Option::<u64>::from_redis_value(value);
        let count = count.map_err(|_| StoreError::Protocol("a count of another form"))?;
        Ok(count.unwrap_or(0))
    }

    async fn open(&self, open: &Open) -> Result<Written, StoreError> {
        let (keys, argv) = (self.names.open(open), wire::open_argv(open, None));
        let value = self.store.run_other(&self.open, &texts(&keys), &argv).await?;
        Ok(wire::written(value)?.0)
    }

    async fn change(&self, change: &Change) -> Result<Written, StoreError> {
        let (keys, argv) = (self.names.change(change), wire::change_argv(change, None));
        let value = self.store.run_other(&self.change, &texts(&keys), &argv).await?;
        Ok(wire::written(value)?.0)
    }
}

fn texts(keys: &[String]) -> Vec<&str> {
    keys.iter().map(String::as_str).collect()
}

impl Shelf {
    /// A process' memory is one server: it cannot come back.
    const RUN: &'static str = "";

    /// What is there; of many ids not all at one time, and the time is the last one's.
    pub async fn look(&self, ids: &[ApprovalId]) -> Result<Looked, StoreError> {
        match self {
            Self::Memory(memory) => {
                let (model, now) = memory.at();
                let found = ids.iter().map(|id| model.find(now, *id)).collect();
                let run = Self::RUN.to_owned();
                Ok(Looked { now, run, found })
            }
            Self::Redis(redis) => {
                let (some, rest) = ids.split_at(ids.len().min(AT_ONCE));
                let mut looked = redis.look(some).await?;
                for more in rest.chunks(AT_ONCE) {
                    let more = redis.look(more).await?;
                    looked.found.extend(more.found);
                    (looked.now, looked.run) = (more.now, more.run);
                }
                Ok(looked)
            }
            Self::Nowhere => Err(NO_KEY),
        }
    }

    /// The last request of a call, while it stands.
    pub async fn last(&self, call: &str) -> Result<Option<ApprovalId>, StoreError> {
        match self {
            Self::Memory(memory) => {
                let (model, now) = memory.at();
                Ok(model.last(now, call))
            }
            Self::Redis(redis) => redis.last(call).await,
            Self::Nowhere => Err(NO_KEY),
        }
    }

    /// At most so many, those that are kept longest first.
    pub async fn list(&self, at_most: usize) -> Result<Vec<ApprovalId>, StoreError> {
        match self {
            Self::Memory(memory) => {
                let (model, now) = memory.at();
                Ok(model.list(now, at_most))
            }
            Self::Redis(redis) => redis.range("ZREVRANGE", &redis.names.all(), at_most).await,
            Self::Nowhere => Err(NO_KEY),
        }
    }

    /// At most so many of those that have not ended, nor were said to have expired; first those that expire first.
    pub async fn not_ended(&self, at_most: usize) -> Result<Vec<ApprovalId>, StoreError> {
        match self {
            Self::Memory(memory) => Ok(memory.at().0.not_ended(at_most)),
            Self::Redis(redis) => redis.range("ZRANGE", &redis.names.not_ended(), at_most).await,
            Self::Nowhere => Err(NO_KEY),
        }
    }

    /// Counts what was written, by whomever; 0: nothing is kept.
    pub async fn changes(&self) -> Result<u64, StoreError> {
        match self {
            Self::Memory(memory) => Ok(memory.at().0.changes()),
            Self::Redis(redis) => redis.changes().await,
            Self::Nowhere => Err(NO_KEY),
        }
    }

    pub async fn open(&self, open: Open) -> Result<Written, StoreError> {
        match self {
            Self::Memory(memory) => {
                let (mut model, now) = memory.at();
                Ok(model.open(now, Self::RUN, open))
            }
            Self::Redis(redis) => redis.open(&open).await,
            Self::Nowhere => Err(NO_KEY),
        }
    }

    pub async fn change(&self, change: Change) -> Result<Written, StoreError> {
        match self {
            Self::Memory(memory) => {
                let (mut model, now) = memory.at();
                Ok(model.change(now, Self::RUN, &change))
            }
            Self::Redis(redis) => redis.change(&change).await,
            Self::Nowhere => Err(NO_KEY),
        }
    }
}
