//! After a fail-over: what this replica was admitted lately is charged again, under the same ids.
//!
//! What the new server has kept is known by its id and charged once. What it lacks counts from now on, which is later
//! than it did and so stricter; so does what it may have merged, where no id tells.

use std::sync::{Arc, Weak};
use std::time::Duration;

use redis::FromRedisValue;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use super::lately::Call;
use super::{Inner, RedisStore, slot};
use crate::counters::command::{Command, KeyCharge, MAX_UNITS, Outcome, Span};
use crate::counters::prepare::Prepared;
use crate::counters::store::at_time;
use crate::counters::{CallId, StoreError, wire};

/// Calls told at once.
const AT_ONCE: usize = 64;
/// Between two tries; also how long the store's end may go unseen.
const PAUSE: Duration = Duration::from_millis(250);
/// Around one charge that is told.
const PATIENCE: Duration = Duration::from_secs(1);

/// Restores what is lost for as long as the store is used.
pub(super) async fn restore(store: Weak<Inner>) {
    loop {
        let Some(inner) = store.upgrade() else { return };
        let failover = Arc::clone(&inner.failover);
        let next = failover.next_lost();
        if let Some(number) = next {
            let whole = RedisStore { inner }.tell(number).await;
            match whole {
                Ok(whole) => {
                    failover.restored(number, whole);
                    continue;
                }
                Err(error) => tracing::info!(%error, "what was admitted lately could not be told yet"),
            }
            sleep(PAUSE).await;
        } else {
            drop(inner);
            // not for ever: the store may have been dropped
            let _ = timeout(PAUSE.saturating_mul(8), failover.lost()).await;
        }
    }
}

impl RedisStore {
    /// Tells all that this loss concerns. Whether it is all that was admitted in the time that is remembered.
    async fn tell(&self, loss: u64) -> Result<bool, StoreError> {
        let began = Instant::now();
        let mut told = 0;
        // what was on its way when the other server was met is answered by the end of its deadline
        let settled = began + self.inner.deadline + PAUSE;
        loop {
            let last = Instant::now() >= settled;
            let calls = self.inner.lately.since(told);
            for some in calls.chunks(AT_ONCE) {
                self.tell_some(loss, some).await?;
                told = some.last().map_or(told, |call| call.number);
            }
            if last {
                return Ok(self.inner.lately.is_whole(began));
            }
            tokio::time::sleep_until(settled).await;
        }
    }

    async fn tell_some(&self, loss: u64, calls: &[Arc<Call>]) -> Result<(), StoreError> {
        let mut telling = JoinSet::new();
        for call in calls {
            let (store, call) = (self.clone(), Arc::clone(call));
            telling.spawn(async move {
                for prepared in &call.charges {
                    store.tell_one(loss, &call, prepared).await?;
                }
                Ok(())
            });
        }
        while let Some(told) = telling.join_next().await {
            told.map_err(|_| StoreError::Unavailable("a charge that was to be told"))??;
        }
        Ok(())
    }

    async fn tell_one(&self, loss: u64, call: &Call, prepared: &Prepared) -> Result<(), StoreError> {
        let until = Instant::now() + PATIENCE;
        let charge = at_time(prepared, call.at_ms)?;
        let slot = slot::of(&charge.key);
        let aim = self.inner.route.aim(slot, until).await?;
        if !self.inner.failover.concerns(loss, &aim.node.address, slot) {
            return Ok(());
        }
        let now = self.store_now(&aim.node, until).await?;
        if !counts(&charge.span, call.at.elapsed(), now) {
            return Ok(());
        }
        match self
            .charge_again(charge.clone(), call.id, call.at_ms.clamp(1, now.max(1)), until)
            .await?
        {
            // merged there, or never charged
            Outcome::InDoubt => self.charge_again(charge, call.id, 0, until).await.map(drop),
            // its calendar interval is over
            Outcome::Admitted | Outcome::Already | Outcome::Stale => Ok(()),
            _ => Err(StoreError::Protocol("a charge that was told did not fit")),
        }
    }

    /// Charges one key whatever its `max` is, at most once for an id that was charged at `first_sent` or later.
    async fn charge_again(
        &self,
        charge: KeyCharge,
        id: CallId,
        first_sent: u64,
        until: Instant,
    ) -> Result<Outcome, StoreError> {
        let command = Command {
            id,
            deadline: 0,
            first_sent,
            peek: false,
            charges: vec![KeyCharge {
                max: MAX_UNITS,
                ..charge
            }],
        };
        let (keys, argv) = (wire::keys(&command), wire::argv(&command, None));
        let value = self.eval(&self.inner.admit, &keys, &argv, until).await;
        let integers = Vec::<i64>::from_redis_value(value.map_err(|failure| failure.error)?);
        let integers = integers.map_err(|_| StoreError::Protocol("not a list of integers"))?;
        wire::reply(&integers, 1).map(|reply| reply.outcome)
    }
}

/// Whether a charge still counts that is so old, at this time of the store.
fn counts(span: &Span, age: Duration, now: u64) -> bool {
    match span {
        Span::Window { window } => age <= Duration::from_millis(*window),
        Span::Calendar { end, .. } => now < *end,
        Span::Lease { .. } => false,
    }
}
