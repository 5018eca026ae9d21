//! The counters in Redis or Valkey (7.0 or newer), shared by all replicas.
//!
//! Every call has one deadline around everything it does; the connections themselves never retry.
//! A command is sent at most twice with one id, and carries the store time after which it must charge
//! nothing, so that a command that was frozen on the way cannot charge a call that was given up.

mod after;
mod aside;
mod ask;
mod breaker;
mod clock;
mod connection;
mod failover;
mod failure;
mod guide;
mod health;
mod identity;
mod journal;
mod lately;
mod link;
mod node;
mod options;
mod restore;
mod route;
#[cfg(test)]
mod simulated;
mod slot;

pub use aside::OtherScript;
pub use journal::{Journal, StreamLine};

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use redis::{FromRedisValue, Value};
use tokio::sync::Semaphore;
use tokio::time::Instant;

use self::ask::ask_node;
pub use self::failover::AfterFailover;
use self::failover::Failover;
use self::failure::Failure;
pub use self::health::{StoreHealth, StoreWarning};
use self::lately::Lately;
pub use self::options::{Place, RedisOptions, RedisTls, StoreSetupError};
use self::route::{Aim, Route};
use super::command::{Command, Outcome, Reply};
use super::memo::{Asked, Memo};
use super::prepare::Group;
use super::store::at_times;
use super::{CallId, StoreError, keys, wire};

/// Commands sent again because a calendar interval had just ended or the clock was unknown.
const MAX_ROUNDS: usize = 6;
/// Counters in Redis.
#[derive(Clone, Debug)]
pub struct RedisStore {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    route: Route,
    failover: Arc<Failover>,
    lately: Lately,
    /// What was wrong when it was last looked at.
    warnings: Mutex<BTreeSet<StoreWarning>>,
    prefix: String,
    deadline: Duration,
    by_slot_group: bool,
    memo: Memo,
    admit: Script,
    refund: Script,
    renew: Script,
    undoing: Arc<Semaphore>,
}

#[derive(Debug)]
struct Script {
    source: &'static str,
    sha: String,
}

impl Script {
    fn new(source: &'static str) -> Self {
        Self {
            source,
            sha: redis::Script::new(source).get_hash().to_owned(),
        }
    }
}

/// One admission on its way: what the next send must say.
struct Sending {
    /// Store times that the calendar intervals must hold.
    times: Option<Vec<u64>>,
    /// Lower bound of the store time of the first send that may have been executed; 0: none.
    first_sent: u64,
    resent: bool,
    late: bool,
}

impl RedisStore {
    pub(super) fn new(options: &RedisOptions) -> Result<Self, StoreSetupError> {
        options.check()?;
        if tokio::runtime::Handle::try_current().is_err() {
            return Err(StoreSetupError::Runtime);
        }
        let is_cluster = matches!(options.place, Place::Cluster(_));
        let failover = Failover::new(options.after_failover, options.quarantine_max, is_cluster);
        let failover = Arc::new(failover);
        let restores = options.after_failover == AfterFailover::Restore;
        let span = if restores {
            options.quarantine_max
        } else {
            Duration::ZERO
        };
        let inner = Inner {
            route: Route::new(options, Arc::clone(&failover))?,
            failover,
            lately: Lately::new(span),
            warnings: Mutex::default(),
            prefix: options.prefix.clone(),
            deadline: options.deadline,
            by_slot_group: options.by_slot_group || is_cluster,
            memo: Memo::new(),
            admit: Script::new(wire::ADMIT),
            refund: Script::new(wire::REFUND),
            renew: Script::new(wire::RENEW),
            undoing: Arc::new(Semaphore::new(after::MAX_UNDOING)),
        };
        let inner = Arc::new(inner);
        if restores {
            tokio::spawn(restore::restore(Arc::downgrade(&inner)));
        }
        Ok(Self { inner })
    }

    pub(super) fn prefix(&self) -> &str {
        &self.inner.prefix
    }

    pub(super) fn deadline(&self) -> Duration {
        self.inner.deadline
    }

    pub(super) fn by_slot_group(&self) -> bool {
        self.inner.by_slot_group
    }

    /// Runs one group's command, with at most one resend, until `until`.
    pub(super) async fn run(
        &self,
        group: &Group,
        id: CallId,
        peek: bool,
        until: Instant,
    ) -> Result<Reply, StoreError> {
        let mut sending = Sending {
            times: None,
            first_sent: 0,
            resent: false,
            late: false,
        };
        let outcome = self.send_until_judged(group, id, peek, until, &mut sending).await;
        let in_doubt = matches!(outcome, Err(StoreError::InDoubt)) || sending.first_sent > 0;
        // what was sent first may come yet, also where what was sent again was denied
        let charged = matches!(&outcome, Ok(reply) if reply.outcome != Outcome::Limited);
        match &outcome {
            Ok(reply) if charged && !peek => self.inner.lately.note(group, id, reply.now),
            _ if in_doubt && !peek => self.undo_later(group.keys(), id, until),
            _ => {}
        }
        outcome
    }

    async fn send_until_judged(
        &self,
        group: &Group,
        id: CallId,
        peek: bool,
        until: Instant,
        sending: &mut Sending,
    ) -> Result<Reply, StoreError> {
        let slot = group
            .charges
            .first()
            .map_or(0, |first| slot::of(&first.charge.key));
        let mut aim = self.inner.route.aim(slot, until).await?;
        aim.node.is_asked()?;
        let (mut rounds, mut redirects) = (0, 0);
        while rounds < MAX_ROUNDS {
            let now = self.store_now(&aim.node, until).await?;
            // The first send is given up half way, so that a resend has time; it is late from then on.
            let give_up = if sending.resent { until } else { half_way(until) };
            let command = command(group, id, peek, now, give_up, sending)?;
            let failure = match self.eval_admit(&aim, slot, &command, now, give_up).await {
                Ok(reply) => match judged(reply, sending)? {
                    Some(reply) => return Ok(reply),
                    None => {
                        rounds += 1;
                        continue;
                    }
                },
                Err(failure) => failure,
            };
            if failure.may_have_run && sending.first_sent == 0 {
                sending.first_sent = now.max(1);
            }
            if let Some(next) = self.redirected(&aim, &failure, until, &mut redirects).await {
                aim = next;
                continue;
            }
            if sending.resent || !failure.again {
                return Err(failure.error);
            }
            // what a doubtful end came from is known only here
            tracing::info!(
                error = %failure.error,
                error.code = failure.error.code(),
                may_have_run = failure.may_have_run,
                "a store command is sent again"
            );
            sending.resent = true;
            rounds += 1;
            // by now another node may keep the slot
            aim = self.inner.route.aim(slot, until).await?;
        }
        Err(StoreError::Timeout)
    }

    async fn eval_admit(
        &self,
        aim: &Aim,
        slot: u16,
        command: &Command,
        now: u64,
        until: Instant,
    ) -> Result<Reply, Failure> {
        let (keys, argv) = (wire::keys(command), wire::argv(command, None));
        let sent = Instant::now();
        let trusted = || {
            let now = (Instant::now(), now);
            self.inner.failover.check(&aim.node.address, slot, command, now)
        };
        let value = self
            .eval_at(aim, &self.inner.admit, &keys, &argv, until, trusted)
            .await?;
        let integers = Vec::<i64>::from_redis_value(value);
        let integers = integers.map_err(|_| StoreError::Protocol("not a list of integers"))?;
        let reply = wire::reply(&integers, command.charges.len())?;
        aim.node.clock.note(sent, reply.now);
        let answered = Instant::now();
        self.inner.memo.note(command, &reply, Asked { sent, answered });
        Ok(reply)
    }

    /// The denial of a call that the store need not be asked about.
    pub(super) fn remembered(&self, groups: &[Group]) -> Option<Reply> {
        let charges = groups.iter().flat_map(|group| &group.charges);
        let charges = charges.map(|prepared| &prepared.charge);
        self.inner.memo.answer(charges, Instant::now())
    }

    pub(super) async fn shared_secret(
        &self,
        name: &str,
        candidate: [u8; 32],
        until: Instant,
    ) -> Result<[u8; 32], StoreError> {
        let key = keys::secret_key(&self.inner.prefix, name);
        let slot = slot::of(&key);
        let mut offer = redis::cmd("SET");
        offer.arg(&key).arg(&candidate[..]).arg("NX");
        self.ask(slot, &offer, until).await?;
        let found = self.ask(slot, redis::cmd("GET").arg(&key), until).await?;
        let found = Vec::<u8>::from_redis_value(found).ok();
        let found = found.and_then(|bytes| <[u8; 32]>::try_from(bytes).ok());
        found.ok_or(StoreError::Protocol("a shared secret of another length"))
    }

    /// One command on one key, which may run twice, within the deadline of one call.
    pub(super) async fn ask_key(&self, command: &str, key: &str, more: &[&str]) -> Result<Value, StoreError> {
        let mut cmd = redis::cmd(command);
        cmd.arg(key).arg(more);
        let until = Instant::now() + self.inner.deadline;
        self.ask(slot::of(key), &cmd, until).await
    }

    /// Asks every node.
    pub(super) async fn ping(&self, until: Instant) -> Result<(), StoreError> {
        self.inner.route.aim(0, until).await?;
        for node in self.inner.route.nodes() {
            node.is_asked()?;
            ask_node(&node, &redis::cmd("PING"), until).await?;
        }
        Ok(())
    }
}

fn command(
    group: &Group,
    id: CallId,
    peek: bool,
    now: u64,
    give_up: Instant,
    sending: &Sending,
) -> Result<Command, StoreError> {
    let left = millis(give_up.saturating_duration_since(Instant::now()));
    let known = vec![now; group.charges.len()];
    Ok(Command {
        id,
        deadline: now.saturating_add(left).max(1),
        // another node's clock may be behind the one that was asked first
        first_sent: sending.first_sent.min(now),
        peek,
        charges: at_times(group, sending.times.as_ref().unwrap_or(&known))?,
    })
}

/// The reply where it is a judgement; `None`: the command must be sent again.
fn judged(reply: Reply, sending: &mut Sending) -> Result<Option<Reply>, StoreError> {
    match reply.outcome {
        Outcome::Limited | Outcome::Admitted | Outcome::Already => return Ok(Some(reply)),
        Outcome::Stale => sending.times = Some(reply.times),
        Outcome::Late if !sending.late => sending.late = true,
        Outcome::Late => return Err(StoreError::Late),
        Outcome::InDoubt => return Err(StoreError::InDoubt),
        Outcome::Unsupported => return Err(StoreError::Protocol("a form it does not know")),
    }
    Ok(None)
}

fn half_way(until: Instant) -> Instant {
    let now = Instant::now();
    now + until.saturating_duration_since(now) / 2
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
