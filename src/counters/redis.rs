//! The counters in Redis or Valkey (7.0 or newer), shared by all replicas.
//!
//! Every call has one deadline around everything it does; the connections themselves never retry.
//! A command is sent at most twice with one id, and carries the store time after which it must charge
//! nothing, so that a command that was frozen on the way cannot charge a call that was given up.

mod after;
mod clock;
mod journal;
mod link;

pub use journal::{Journal, StreamLine};

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use redis::{Cmd, FromRedisValue, Value};
use tokio::sync::Semaphore;
use tokio::time::Instant;

use self::clock::StoreClock;
use self::link::{Failure, Link};
use super::command::{Command, Outcome, Reply};
use super::prepare::Group;
use super::store::at_times;
use super::{CallId, StoreError, keys, wire};

/// Commands sent again because a calendar interval had just ended or the clock was unknown.
const MAX_ROUNDS: usize = 6;
/// Most connections that make sense: Redis runs scripts on one thread.
const MAX_CONNECTIONS: usize = 64;

/// Where the store is and how long a call may wait for it.
#[derive(Clone)]
pub struct RedisOptions {
    /// `redis://`, `rediss://` or `redis+unix://`; may hold a password, so it is never shown.
    pub url: String,
    /// Start of every key; no braces, since those choose a cluster slot.
    pub prefix: String,
    /// Around everything one call does with the store.
    pub deadline: Duration,
    /// Multiplexed connections, 1 to 64; 2 to 4 make sense.
    pub connections: usize,
    /// One step for each slot group, as Redis Cluster needs it, undone if a later one denies. Otherwise one
    /// step for all of a call's charges.
    pub by_slot_group: bool,
}

impl std::fmt::Debug for RedisOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            prefix,
            deadline,
            connections,
            by_slot_group,
            ..
        } = self;
        let mut shown = f.debug_struct("RedisOptions");
        shown
            .field("prefix", prefix)
            .field("deadline", deadline)
            .field("connections", connections)
            .field("by_slot_group", by_slot_group);
        shown.finish_non_exhaustive()
    }
}

/// Why a store cannot be set up. No message holds the URL.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreSetupError {
    #[error("the store's URL cannot be read: write `redis://`, `rediss://` or `redis+unix://`")]
    Url,
    #[error("the store's prefix `{0}` must be 1 to 64 printable characters without braces or blanks")]
    Prefix(String),
    #[error("{0} connections to the store: set 1 to 64")]
    Connections(usize),
    #[error("the store's deadline must be 1 ms to 60 s")]
    Deadline,
    #[error("the store must be set up inside a tokio runtime")]
    Runtime,
}

/// Counters in Redis.
#[derive(Clone, Debug)]
pub struct RedisStore {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    links: Vec<Link>,
    next: AtomicUsize,
    prefix: String,
    deadline: Duration,
    by_slot_group: bool,
    clock: StoreClock,
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
    pub(super) fn new(options: RedisOptions) -> Result<Self, StoreSetupError> {
        let RedisOptions {
            url,
            prefix,
            deadline,
            connections,
            by_slot_group,
        } = options;
        let plain = |byte: u8| byte.is_ascii_graphic() && byte != b'{' && byte != b'}';
        if prefix.is_empty() || prefix.len() > 64 || !prefix.bytes().all(plain) {
            return Err(StoreSetupError::Prefix(prefix));
        }
        if connections == 0 || connections > MAX_CONNECTIONS {
            return Err(StoreSetupError::Connections(connections));
        }
        if deadline < Duration::from_millis(1) || deadline > Duration::from_secs(60) {
            return Err(StoreSetupError::Deadline);
        }
        if tokio::runtime::Handle::try_current().is_err() {
            return Err(StoreSetupError::Runtime);
        }
        let links = (0..connections)
            .map(|_| Link::new(&url))
            .collect::<Result<_, _>>()?;
        let inner = Inner {
            links,
            next: AtomicUsize::new(0),
            prefix,
            deadline,
            by_slot_group,
            clock: StoreClock::new(),
            admit: Script::new(wire::ADMIT),
            refund: Script::new(wire::REFUND),
            renew: Script::new(wire::RENEW),
            undoing: Arc::new(Semaphore::new(after::MAX_UNDOING)),
        };
        Ok(Self {
            inner: Arc::new(inner),
        })
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
        let may_stand = matches!(outcome, Err(StoreError::InDoubt)) || sending.first_sent > 0;
        if outcome.is_err() && may_stand && !peek {
            self.undo_later(group.keys(), id, until);
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
        for _ in 0..MAX_ROUNDS {
            let now = self.store_now(until).await?;
            // The first send is given up half way, so that a resend has time; it is late from then on.
            let give_up = if sending.resent { until } else { half_way(until) };
            let deadline = now
                .saturating_add(millis(give_up.duration_since(Instant::now())))
                .max(1);
            let known = vec![now; group.charges.len()];
            let charges = at_times(group, sending.times.as_ref().unwrap_or(&known))?;
            let first_sent = sending.first_sent;
            let command = Command {
                id,
                deadline,
                first_sent,
                peek,
                charges,
            };
            match self.eval_admit(&command, give_up).await {
                Ok(reply) => match reply.outcome {
                    Outcome::Limited | Outcome::Admitted | Outcome::Already => return Ok(reply),
                    Outcome::Stale => sending.times = Some(reply.times),
                    Outcome::Late if !sending.late => sending.late = true,
                    Outcome::Late => return Err(StoreError::Late),
                    Outcome::InDoubt => return Err(StoreError::InDoubt),
                    Outcome::Unsupported => return Err(StoreError::Protocol("a form it does not know")),
                },
                Err(failure) => {
                    if failure.may_have_run && first_sent == 0 {
                        sending.first_sent = now.max(1);
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
                }
            }
        }
        Err(StoreError::Timeout)
    }

    async fn eval_admit(&self, command: &Command, until: Instant) -> Result<Reply, Failure> {
        let (keys, argv) = (wire::keys(command), wire::argv(command, None));
        let sent = Instant::now();
        let value = self.eval(&self.inner.admit, &keys, &argv, until).await?;
        let integers = Vec::<i64>::from_redis_value(value);
        let integers = integers.map_err(|_| StoreError::Protocol("not a list of integers"))?;
        let reply = wire::reply(&integers, command.charges.len())?;
        self.inner.clock.note(sent, reply.now);
        Ok(reply)
    }

    pub(super) async fn shared_secret(
        &self,
        name: &str,
        candidate: [u8; 32],
        until: Instant,
    ) -> Result<[u8; 32], StoreError> {
        let key = keys::secret_key(&self.inner.prefix, name);
        let mut offer = redis::cmd("SET");
        offer.arg(&key).arg(&candidate[..]).arg("NX");
        self.ask(&offer, until).await?;
        let found = self.ask(redis::cmd("GET").arg(&key), until).await?;
        let found = Vec::<u8>::from_redis_value(found).ok();
        let found = found.and_then(|bytes| <[u8; 32]>::try_from(bytes).ok());
        found.ok_or(StoreError::Protocol("a shared secret of another length"))
    }

    pub(super) async fn ping(&self, until: Instant) -> Result<(), StoreError> {
        self.ask(&redis::cmd("PING"), until).await.map(|_| ())
    }

    /// The store's time at the earliest; asks for it where it is unknown or old.
    async fn store_now(&self, until: Instant) -> Result<u64, StoreError> {
        if let Some(now) = self.inner.clock.now() {
            return Ok(now);
        }
        let sent = Instant::now();
        let value = self.ask(&redis::cmd("TIME"), until).await?;
        let Ok((seconds, micros)) = <(u64, u64)>::from_redis_value(value) else {
            return Err(StoreError::Protocol("a time of another form"));
        };
        let now = seconds.saturating_mul(1_000).saturating_add(micros / 1_000);
        self.inner.clock.note(sent, now);
        Ok(now)
    }

    /// Runs a script by its hash; loads it where the store does not know it: nothing ran then.
    async fn eval(
        &self,
        script: &Script,
        keys: &[&str],
        argv: &[Vec<u8>],
        until: Instant,
    ) -> Result<Value, Failure> {
        let mut cmd = redis::cmd("EVALSHA");
        cmd.arg(&script.sha).arg(keys.len()).arg(keys).arg(argv);
        let link = self.link()?;
        match link.send(&cmd, until).await {
            Err(failure) if failure.unknown_script => {
                let mut load = redis::cmd("SCRIPT");
                load.arg("LOAD").arg(script.source);
                link.send(&load, until).await.map_err(|failure| Failure {
                    may_have_run: false,
                    ..failure
                })?;
                link.send(&cmd, until).await
            }
            answer => answer,
        }
    }

    /// A command that may be sent twice: the second time over another connection.
    async fn ask(&self, cmd: &Cmd, until: Instant) -> Result<Value, StoreError> {
        if let Ok(value) = self.link()?.send(cmd, half_way(until)).await {
            return Ok(value);
        }
        self.link()?
            .send(cmd, until)
            .await
            .map_err(|failure| failure.error)
    }

    fn link(&self) -> Result<&Link, StoreError> {
        let turn = self.inner.next.fetch_add(1, Ordering::Relaxed);
        let index = turn.checked_rem(self.inner.links.len()).unwrap_or(0);
        self.inner
            .links
            .get(index)
            .ok_or(StoreError::Unavailable("no connection"))
    }
}

fn half_way(until: Instant) -> Instant {
    let now = Instant::now();
    now + until.saturating_duration_since(now) / 2
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
