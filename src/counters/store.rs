//! The way of one admission over its slot groups, the same for every store.

use std::time::Duration;

use tokio::time::Instant;

use super::answers::Answers;
use super::calendar;
use super::command::{Command, KeyCharge, Outcome, Reply, Span};
use super::prepare::{self, Group, Prepared};
use super::receipt::{Receipt, Stake};
use super::{
    Admission, CallId, FileStore, MemoryStore, RedisOptions, RedisStore, StoreError, StoreHealth,
    StoreSetupError, Verdict,
};

/// How often a command is sent again because its calendar interval had just ended.
const STALE_TRIES: usize = 3;
/// The memory store answers at once; the deadline only exists so that both stores take one.
const MEMORY_DEADLINE: Duration = Duration::from_secs(5);

/// Where the counters are kept.
#[derive(Debug)]
pub enum Store {
    Memory(MemoryStore),
    File(FileStore),
    Redis(RedisStore),
}

impl Store {
    /// Counters of this process alone.
    pub fn memory() -> Self {
        Self::Memory(MemoryStore::new())
    }

    /// Counters in Redis. Does not connect: a store that is down is noticed, and found again, by calls.
    ///
    /// # Errors
    /// [`StoreSetupError`] for options that cannot work, and outside a tokio runtime.
    pub fn redis(options: RedisOptions) -> Result<Self, StoreSetupError> {
        RedisStore::new(&options).map(Self::Redis)
    }

    /// Judges all charges of a call and makes all of them or none.
    ///
    /// Run it in a task that outlives the caller: dropped half way, it may leave a charge standing.
    ///
    /// # Errors
    /// Any [`StoreError`]: nothing may be forwarded then. What may have been charged is undone.
    pub async fn admit(&self, admission: &Admission) -> Result<Verdict, StoreError> {
        self.judge(admission, false).await
    }

    /// What [`Store::admit`] would answer now; charges nothing. The receipt it carries holds nothing.
    ///
    /// # Errors
    /// Any [`StoreError`].
    pub async fn peek(&self, admission: &Admission) -> Result<Verdict, StoreError> {
        self.judge(admission, true).await
    }

    /// Takes a call's charges back, at most once. Only for calls of which nothing reached the upstream.
    /// `false`: nothing was held any more, and the charge, if any, stands.
    ///
    /// # Errors
    /// Any [`StoreError`]: the charge may still stand.
    pub async fn refund(&self, receipt: &Receipt) -> Result<bool, StoreError> {
        let until = self.until();
        let mut removed = false;
        for stake in &receipt.groups {
            removed |= self.refund_group(&stake.keys, receipt.id, until).await?;
        }
        Ok(removed)
    }

    /// Extends a call's leases, each to its full length from a moment after this was asked. `false`: one that
    /// must be held has lapsed, and its place may be another call's by now.
    ///
    /// # Errors
    /// Any [`StoreError`]: the leases may last no longer than before.
    pub async fn renew(&self, receipt: &Receipt) -> Result<bool, StoreError> {
        let until = self.until();
        let mut held = true;
        for stake in receipt.groups.iter().filter(|stake| !stake.leases.is_empty()) {
            let live = match self {
                Self::Memory(memory) => memory.renew(&stake.leases, receipt.id),
                Self::File(file) => file.renew(stake.leases.clone(), receipt.id, until).await?,
                Self::Redis(redis) => redis.renew(&stake.leases, receipt.id, until).await?,
            };
            held &= stake
                .binding
                .iter()
                .zip(live)
                .all(|(binding, live)| live || !binding);
        }
        Ok(held)
    }

    /// Gives a call's leases back: it has ended. What it was charged stands.
    ///
    /// # Errors
    /// Any [`StoreError`]: the leases may last until they lapse.
    pub async fn release(&self, receipt: &Receipt) -> Result<(), StoreError> {
        let until = self.until();
        for stake in receipt.groups.iter().filter(|stake| !stake.leases.is_empty()) {
            self.refund_group(&stake.lease_keys(), receipt.id, until).await?;
        }
        Ok(())
    }

    /// A secret that all replicas share: the first candidate offered under `name` stays.
    ///
    /// # Errors
    /// Any [`StoreError`].
    pub async fn shared_secret(&self, name: &str, candidate: [u8; 32]) -> Result<[u8; 32], StoreError> {
        match self {
            Self::Memory(memory) => memory.shared_secret(name, candidate),
            Self::File(file) => file.shared_secret(name, candidate, self.until()).await,
            Self::Redis(redis) => redis.shared_secret(name, candidate, self.until()).await,
        }
    }

    /// Whether the store answers within its deadline.
    ///
    /// # Errors
    /// Any [`StoreError`].
    pub async fn ping(&self) -> Result<(), StoreError> {
        match self {
            Self::Memory(_) => Ok(()),
            Self::File(file) => file.ping(self.until()).await,
            Self::Redis(redis) => redis.ping(self.until()).await,
        }
    }

    /// How the store stands; asks nobody. Stores of this machine are always well.
    pub fn health(&self) -> StoreHealth {
        match self {
            Self::Memory(_) | Self::File(_) => StoreHealth::default(),
            Self::Redis(redis) => redis.health(),
        }
    }

    /// Looks whether the server is still the same one.
    pub async fn meet(&self) {
        if let Self::Redis(redis) = self {
            redis.meet().await;
        }
    }

    /// Looks how the server is set up; [`Store::health`] has what is wrong from then on. A store should outlive
    /// the longest window.
    pub async fn inspect(&self, longest_window: Duration) {
        if let Self::Redis(redis) = self {
            redis.inspect(longest_window).await;
        }
    }

    async fn judge(&self, admission: &Admission, peek: bool) -> Result<Verdict, StoreError> {
        let mut receipt = Receipt::none(admission.id, admission.charges.len());
        let mut answers = Answers::new(admission.charges.len());
        let until = self.until();
        let groups = prepare::groups(self.prefix(), admission, self.by_slot_group())?;
        if let (Self::Redis(redis), false) = (self, peek)
            && let Some(reply) = redis.remembered(&groups)
        {
            answers.note_remembered(&groups, &reply);
            return Ok(answers.verdict(receipt));
        }
        for group in groups {
            // Once a group denies, the wider ones are only looked at, for the retry time.
            let peek = peek || answers.denied();
            let reply = match self.run(&group, admission.id, peek, until).await {
                Ok(reply) => reply,
                Err(error) => {
                    self.undo(&receipt, until).await;
                    return Err(error);
                }
            };
            answers.note(&group, &reply)?;
            if !peek && reply.outcome != Outcome::Limited {
                receipt.charged(&group, &reply);
            }
        }
        if answers.denied() {
            self.undo(&receipt, until).await;
        }
        Ok(answers.verdict(receipt))
    }

    async fn run(&self, group: &Group, id: CallId, peek: bool, until: Instant) -> Result<Reply, StoreError> {
        match self {
            Self::Memory(memory) => run_in_memory(memory, group, id, peek),
            Self::File(file) => run_in_file(file, group, id, peek, until).await,
            Self::Redis(redis) => redis.run(group, id, peek, until).await,
        }
    }

    async fn refund_group(&self, keys: &[String], id: CallId, until: Instant) -> Result<bool, StoreError> {
        match self {
            Self::Memory(memory) => Ok(memory.refund(keys, id) > 0),
            Self::File(file) => file.refund(keys.to_vec(), id, until).await,
            Self::Redis(redis) => redis
                .refund(keys, id, until)
                .await
                .map(|(removed, _)| removed > 0),
        }
    }

    /// Undoes what earlier groups were charged.
    async fn undo(&self, receipt: &Receipt, until: Instant) {
        for Stake { keys, .. } in &receipt.groups {
            let undone = self.refund_group(keys, receipt.id, until).await;
            if let (Self::Redis(redis), Err(_)) = (self, undone) {
                redis.undo_later(keys.clone(), receipt.id, until);
            }
        }
    }

    fn prefix(&self) -> &str {
        match self {
            Self::Memory(_) => "memory",
            Self::File(_) => "file",
            Self::Redis(redis) => redis.prefix(),
        }
    }

    fn by_slot_group(&self) -> bool {
        match self {
            Self::Memory(_) | Self::File(_) => false,
            Self::Redis(redis) => redis.by_slot_group(),
        }
    }

    fn until(&self) -> Instant {
        Instant::now()
            + match self {
                Self::Memory(_) => MEMORY_DEADLINE,
                Self::File(file) => file.deadline(),
                Self::Redis(redis) => redis.deadline(),
            }
    }
}

pub(super) fn run_in_memory(
    memory: &MemoryStore,
    group: &Group,
    id: CallId,
    peek: bool,
) -> Result<Reply, StoreError> {
    run_on_model(group, id, peek, || memory.now(), |command| memory.run(command))
}

async fn run_in_file(
    file: &FileStore,
    group: &Group,
    id: CallId,
    peek: bool,
    until: Instant,
) -> Result<Reply, StoreError> {
    let group = group.clone();
    let judged = file.with(until, move |model, now| {
        let reply = run_on_model(&group, id, peek, || now, |command| model.admit(now, command));
        let charged = matches!(&reply, Ok(reply) if !peek && reply.outcome == Outcome::Admitted);
        (reply, charged)
    });
    judged.await?
}

/// One group before a model of ours, in this process or in a file.
fn run_on_model(
    group: &Group,
    id: CallId,
    peek: bool,
    now: impl Fn() -> u64,
    mut admit: impl FnMut(&Command) -> Reply,
) -> Result<Reply, StoreError> {
    let mut times = vec![now(); group.charges.len()];
    for _ in 0..STALE_TRIES {
        let charges = at_times(group, &times)?;
        let reply = admit(&Command {
            id,
            deadline: 0,
            first_sent: 0,
            peek,
            charges,
        });
        match reply.outcome {
            Outcome::Stale => times = reply.times,
            Outcome::Limited | Outcome::Admitted | Outcome::Already => return Ok(reply),
            Outcome::InDoubt => return Err(StoreError::InDoubt),
            Outcome::Late => return Err(StoreError::Late),
            Outcome::Unsupported => return Err(StoreError::Protocol("a form it does not know")),
        }
    }
    Err(StoreError::Protocol("the calendar interval ended three times"))
}

/// The charges of a group with their calendar intervals at the given store times, one for each.
pub(super) fn at_times(group: &Group, times: &[u64]) -> Result<Vec<KeyCharge>, StoreError> {
    group
        .charges
        .iter()
        .zip(times)
        .map(|(prepared, &at)| at_time(prepared, at))
        .collect()
}

pub(super) fn at_time(prepared: &Prepared, at: u64) -> Result<KeyCharge, StoreError> {
    let mut charge = prepared.charge.clone();
    if let Some(unit) = prepared.unit {
        let (start, end) =
            calendar::interval(unit, at).ok_or(StoreError::Protocol("a time beyond the calendar"))?;
        charge.span = Span::Calendar { start, end };
    }
    Ok(charge)
}
