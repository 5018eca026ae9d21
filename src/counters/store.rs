//! The way of one admission over its slot groups, the same for every store.

use std::time::Duration;

use tokio::time::Instant;

use super::calendar;
use super::command::{Command, Fit, KeyCharge, KeyState, Outcome, Reply, Span};
use super::prepare::{self, Group, Prepared};
use super::{
    Admission, CallId, ChargeState, FileStore, MemoryStore, RedisOptions, RedisStore, StoreError,
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

/// What was charged, for a refund.
#[derive(Clone, Debug)]
pub struct Receipt {
    id: CallId,
    /// The keys of each slot group that was charged.
    groups: Vec<Vec<String>>,
    at_ms: u64,
}

impl Receipt {
    /// The id under which the charges are held.
    pub fn id(&self) -> CallId {
        self.id
    }

    /// Store time of the admission in ms; 0 where nothing was charged.
    pub fn at_ms(&self) -> u64 {
        self.at_ms
    }
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
        RedisStore::new(options).map(Self::Redis)
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
        for keys in &receipt.groups {
            removed |= self.refund_group(keys, receipt.id, until).await?;
        }
        Ok(removed)
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

    async fn judge(&self, admission: &Admission, peek: bool) -> Result<Verdict, StoreError> {
        let mut receipt = Receipt {
            id: admission.id,
            groups: Vec::new(),
            at_ms: 0,
        };
        let mut answers = Answers::new(admission.charges.len());
        let until = self.until();
        for group in prepare::groups(self.prefix(), admission, self.by_slot_group())? {
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
                receipt.groups.push(group.keys());
                receipt.at_ms = reply.now;
            }
        }
        if answers.denied() {
            self.undo(&receipt, until).await;
        }
        Ok(answers.verdict(receipt))
    }

    async fn run(&self, group: &Group, id: CallId, peek: bool, until: Instant) -> Result<Reply, StoreError> {
        match self {
            Self::Memory(memory) => {
                run_on_model(group, id, peek, || memory.now(), |command| memory.run(command))
            }
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
        for keys in &receipt.groups {
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

fn at_time(prepared: &Prepared, at: u64) -> Result<KeyCharge, StoreError> {
    let mut charge = prepared.charge.clone();
    if let Some(unit) = prepared.unit {
        let (start, end) =
            calendar::interval(unit, at).ok_or(StoreError::Protocol("a time beyond the calendar"))?;
        charge.span = Span::Calendar { start, end };
    }
    Ok(charge)
}

/// The states of all charges, gathered from the groups' replies.
struct Answers {
    states: Vec<ChargeState>,
    /// Lowest index of a charge that does not fit.
    first: Option<usize>,
    /// When every charge that does not fit would; `None`: never.
    retry_after_ms: Option<u64>,
}

impl Answers {
    fn new(charges: usize) -> Self {
        let states = vec![
            ChargeState {
                left: 0,
                frees_ms: 0,
                fit: Fit::Now,
            };
            charges
        ];
        Self {
            states,
            first: None,
            retry_after_ms: Some(0),
        }
    }

    const fn denied(&self) -> bool {
        self.first.is_some()
    }

    fn note(&mut self, group: &Group, reply: &Reply) -> Result<(), StoreError> {
        if group.charges.len() != reply.states.len() {
            return Err(StoreError::Protocol("not one state for each key"));
        }
        for (prepared, state) in group.charges.iter().zip(&reply.states) {
            self.note_key(prepared, *state);
        }
        if reply.outcome == Outcome::Limited && !self.denied() {
            return Err(StoreError::Protocol(
                "a denial without a charge that does not fit",
            ));
        }
        Ok(())
    }

    fn note_key(&mut self, prepared: &Prepared, state: KeyState) {
        let denies = state.fit != Fit::Now && !prepared.charge.advisory;
        for source in &prepared.sources {
            if let Some(slot) = self.states.get_mut(source.index) {
                *slot = ChargeState {
                    left: state.left,
                    frees_ms: state.frees_ms,
                    fit: state.fit,
                };
            }
            // Of charges that were merged, the one with the smallest `max` is the one that denied.
            if denies && source.max == prepared.charge.max {
                self.first = Some(self.first.map_or(source.index, |first| first.min(source.index)));
            }
        }
        if denies {
            self.retry_after_ms = match (self.retry_after_ms, state.fit) {
                (Some(known), Fit::After(ms)) => Some(known.max(ms)),
                _ => None,
            };
        }
    }

    fn verdict(self, receipt: Receipt) -> Verdict {
        let (states, retry_after_ms) = (self.states, self.retry_after_ms);
        match self.first {
            Some(charge) => Verdict::Limited {
                charge,
                retry_after_ms,
                states,
            },
            None => Verdict::Admitted { receipt, states },
        }
    }
}
