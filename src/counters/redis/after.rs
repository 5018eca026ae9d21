//! What follows an admission: leases are renewed, and what was charged or held is given back.

use std::sync::Arc;
use std::time::Duration;

use redis::FromRedisValue;
use tokio::time::{Instant, sleep};

use super::RedisStore;
use crate::counters::command::Held;
use crate::counters::{CallId, StoreError, wire};

/// Charges that may stand after a time-out are undone in the background, at most this many at once.
pub(super) const MAX_UNDOING: usize = 64;
/// Tries of one such undo and the pause between them.
const UNDO_TRIES: u32 = 8;
const UNDO_PAUSE: Duration = Duration::from_millis(250);
impl RedisStore {
    /// Extends leases, each to its full length from a moment after this was sent. For each: whether it was
    /// still live.
    pub(in super::super) async fn renew(
        &self,
        leases: &[Held],
        id: CallId,
        until: Instant,
    ) -> Result<Vec<bool>, StoreError> {
        let (keys, argv) = (wire::renew_keys(leases), wire::renew_argv(id, leases, None));
        let value = self.eval(&self.inner.renew, &keys, &argv, until).await;
        let value = value.map_err(|failure| failure.error)?;
        let integers = Vec::<u64>::from_redis_value(value);
        let integers = integers.map_err(|_| StoreError::Protocol("not a list of integers"))?;
        wire::renewed(&integers, leases.len()).map(|(_, live)| live)
    }

    /// Takes a group's charges back; the store's time of doing so and on how many keys it was held.
    pub(in super::super) async fn refund(
        &self,
        keys: &[String],
        id: CallId,
        until: Instant,
    ) -> Result<(u64, u64), StoreError> {
        let names = keys;
        let keys: Vec<&str> = names.iter().map(String::as_str).collect();
        let value = self
            .eval(&self.inner.refund, &keys, &[id.0.to_vec()], until)
            .await;
        // also where no answer came: what the memo holds may be too strict by now
        self.inner.memo.forget(names);
        self.inner.lately.forget(id);
        let value = value.map_err(|failure| failure.error)?;
        match Vec::<u64>::from_redis_value(value).as_deref() {
            Ok(&[removed, now]) => Ok((removed, now)),
            _ => Err(StoreError::Protocol("a reply of another form than refund.lua's")),
        }
    }

    /// Undoes what a given-up call may have been charged, once its command can no longer charge.
    pub(in super::super) fn undo_later(&self, keys: Vec<String>, id: CallId, until: Instant) {
        // Beyond so many the late guard must do: what is frozen charges nothing when it wakes.
        let Ok(permit) = Arc::clone(&self.inner.undoing).try_acquire_owned() else {
            return;
        };
        let store = self.clone();
        tokio::spawn(async move {
            tokio::time::sleep_until(until).await;
            for attempt in 1..=UNDO_TRIES {
                let within = Instant::now() + store.inner.deadline.max(UNDO_PAUSE);
                if store.refund(&keys, id, within).await.is_ok() {
                    break;
                }
                sleep(UNDO_PAUSE.saturating_mul(attempt)).await;
            }
            drop(permit);
        });
    }
}
