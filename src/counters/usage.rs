//! Looking at counters, and setting them back by hand. Keys follow from policies and grants; nothing is searched for,
//! and of values that callers chose only the hashes are known.

use tokio::time::Instant;

use super::command::{Fit, Reply};
use super::keys::{self, Names};
use super::prepare;
use super::{Admission, CallId, ChargeState, RedisStore, Store, StoreError};
use crate::policy::Charge;

/// Most values of one limit that are looked at.
pub const VALUES_SHOWN: usize = 100;
/// Most resets that wait to be recorded; beyond them no more are made.
const RESETS_WAITING: u64 = 1_000;
/// The last of the resets that a replica takes at once, counted from 0.
const RESETS_AT_ONCE: &str = "15";
/// The list of resets that no replica has written down yet.
const RESETS: &str = "resets";

/// One value of a scope that callers choose, and where its counter stands.
#[derive(Clone, Debug)]
pub struct ValueUsage {
    /// The end of its key: a hash.
    pub value: String,
    pub state: ChargeState,
}

impl Store {
    /// Where the counter of one charge stands; changes nothing.
    ///
    /// # Errors
    /// Any [`StoreError`].
    pub async fn usage(&self, charge: &Charge) -> Result<ChargeState, StoreError> {
        let admission = Admission {
            id: CallId::random()?,
            charges: vec![charge.clone()],
        };
        let states = match self.peek(&admission).await? {
            super::Verdict::Admitted { states, .. } | super::Verdict::Limited { states, .. } => states,
        };
        states
            .first()
            .copied()
            .ok_or(StoreError::Protocol("no state of a charge"))
    }

    /// The live values of a limit by a value that callers choose, at most [`VALUES_SHOWN`]; changes nothing.
    /// Nothing where the store is of this process alone, or the limit has no such values.
    ///
    /// # Errors
    /// Any [`StoreError`].
    pub async fn values(&self, charge: &Charge) -> Result<Vec<ValueUsage>, StoreError> {
        let Self::Redis(redis) = self else {
            return Ok(Vec::new());
        };
        redis.values(charge, Instant::now() + redis.deadline()).await
    }

    /// Sets back what is counted for the charge, its values and their overflow included, once `record` waits for the
    /// replicas to write it down. How many keys there were.
    ///
    /// # Errors
    /// Any [`StoreError`]; where the record could not be left, nothing was set back.
    pub async fn reset(&self, charges: &[Charge], record: &str) -> Result<u64, StoreError> {
        let Self::Redis(redis) = self else {
            return Err(StoreError::Unavailable("counters of one process end with it"));
        };
        redis.leave_reset(record).await?;
        let mut gone = 0_u64;
        for charge in charges {
            gone = gone.saturating_add(redis.unlink(charge).await?);
        }
        Ok(gone)
    }

    /// Resets that no replica has written down yet, oldest first.
    ///
    /// # Errors
    /// Any [`StoreError`].
    pub async fn resets(&self) -> Result<Vec<String>, StoreError> {
        match self {
            Self::Redis(redis) => {
                let key = keys::list_key(redis.prefix(), RESETS);
                read(redis.ask_key("LRANGE", &key, &["0", RESETS_AT_ONCE]).await?)
            }
            Self::Memory(_) | Self::File(_) => Ok(Vec::new()),
        }
    }

    /// A replica has written this one down.
    ///
    /// # Errors
    /// Any [`StoreError`]: it will be written down again, by this or another replica.
    pub async fn reset_recorded(&self, record: &str) -> Result<(), StoreError> {
        match self {
            Self::Redis(redis) => {
                let key = keys::list_key(redis.prefix(), RESETS);
                redis.ask_key("LREM", &key, &["1", record]).await.map(|_| ())
            }
            Self::Memory(_) | Self::File(_) => Ok(()),
        }
    }
}

impl RedisStore {
    async fn values(&self, charge: &Charge, until: Instant) -> Result<Vec<ValueUsage>, StoreError> {
        let Names { key, bound } = keys::names(self.prefix(), charge);
        let Some((_, index)) = bound else {
            return Ok(Vec::new());
        };
        // looked at for the store's time
        let groups = prepare::groups(self.prefix(), &admission(charge)?, false)?;
        let Some(group) = groups.first() else {
            return Ok(Vec::new());
        };
        let now = self.run(group, CallId::random()?, true, until).await?.now;
        let mut found = Vec::new();
        for value in self.live(&index, now).await? {
            let mut groups = prepare::groups(self.prefix(), &admission(charge)?, false)?;
            let Some(prepared) = groups.first_mut().and_then(|group| group.charges.first_mut()) else {
                continue;
            };
            prepared.charge.key = beside(&key, &value);
            prepared.charge.bound = None;
            for group in &groups {
                let reply = self.run(group, CallId::random()?, true, until).await?;
                found.extend(state(&reply).map(|state| ValueUsage {
                    value: value.clone(),
                    state,
                }));
            }
        }
        Ok(found)
    }

    /// The ends of the keys that an index lists and that are live.
    async fn live(&self, index: &str, now: u64) -> Result<Vec<String>, StoreError> {
        let after = format!("({now}");
        let most = VALUES_SHOWN.to_string();
        let range = [after.as_str(), "+inf", "LIMIT", "0", &most];
        read(self.ask_key("ZRANGEBYSCORE", index, &range).await?)
    }

    async fn unlink(&self, charge: &Charge) -> Result<u64, StoreError> {
        let Names { key, bound } = keys::names(self.prefix(), charge);
        let mut doomed = Vec::new();
        if let Some((overflow, index)) = bound {
            let values: Vec<String> = read(self.ask_key("ZRANGE", &index, &["0", "-1"]).await?)?;
            doomed.extend(values.iter().map(|value| beside(&key, value)));
            doomed.extend([overflow, index]);
        }
        let doomed: Vec<&str> = doomed.iter().map(String::as_str).collect();
        read(self.ask_key("UNLINK", &key, &doomed).await?)
    }

    async fn leave_reset(&self, record: &str) -> Result<(), StoreError> {
        let key = keys::list_key(self.prefix(), RESETS);
        let waiting: u64 = read(self.ask_key("LLEN", &key, &[]).await?)?;
        if waiting >= RESETS_WAITING {
            return Err(StoreError::Unavailable(
                "too many resets wait to be recorded: is a replica running?",
            ));
        }
        self.ask_key("RPUSH", &key, &[record]).await.map(|_| ())
    }
}

fn admission(charge: &Charge) -> Result<Admission, StoreError> {
    Ok(Admission {
        id: CallId::random()?,
        charges: vec![charge.clone()],
    })
}

/// The key of another value in the same slot group.
fn beside(key: &str, value: &str) -> String {
    let group = key.rsplit_once(':').map_or(key, |(group, _)| group);
    format!("{group}:{value}")
}

fn state(reply: &Reply) -> Option<ChargeState> {
    reply.states.first().map(|state| ChargeState {
        left: state.left,
        frees_ms: state.frees_ms,
        fit: Fit::Now,
    })
}

fn read<T: redis::FromRedisValue>(value: redis::Value) -> Result<T, StoreError> {
    T::from_redis_value(value).map_err(|_| StoreError::Protocol("an answer of another form"))
}
