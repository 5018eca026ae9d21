//! The in-memory store: the model behind a lock, for one replica.

use std::sync::{Mutex, PoisonError};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use super::CallId;
use super::StoreError;
use super::command::{Command, Held, Reply};
use super::model::Model;

/// Commands between two looks for keys that have expired, at least.
const SWEEP_EVERY: usize = 1_024;

/// Counters of one process. Its clock starts at the time of day and then only runs forward.
pub struct MemoryStore {
    clock: Box<dyn Fn() -> u64 + Send + Sync>,
    inner: Mutex<Inner>,
}

#[derive(Clone, Default)]
struct Inner {
    model: Model,
    /// The latest time seen: a clock given by a test may step back, which must not undo a sweep.
    swept: u64,
    /// Commands until the next sweep: as many as keys were left by the last, so that sweeping costs each
    /// command little and keys at most double.
    until_sweep: usize,
    secrets: std::collections::HashMap<String, [u8; 32]>,
}

/// The time of day of this call in ms, and from there on the machine's monotonic clock.
pub fn steady_clock() -> impl Fn() -> u64 + Send + Sync + 'static {
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the clock of what is kept in memory: read once, then monotonic"
    )]
    let anchor = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let started = Instant::now();
    move || {
        let now = anchor.saturating_add(started.elapsed());
        u64::try_from(now.as_millis()).unwrap_or(u64::MAX)
    }
}

impl MemoryStore {
    /// A store on the machine's [`steady_clock`].
    pub fn new() -> Self {
        Self::with_clock(steady_clock())
    }

    /// A store on a clock of the caller's, in ms.
    pub fn with_clock(clock: impl Fn() -> u64 + Send + Sync + 'static) -> Self {
        Self {
            clock: Box::new(clock),
            inner: Mutex::default(),
        }
    }

    /// What it holds, on another clock.
    pub(super) fn copy(&self, clock: impl Fn() -> u64 + Send + Sync + 'static) -> Self {
        let inner = self.with(|inner| inner.clone());
        Self {
            clock: Box::new(clock),
            inner: Mutex::new(inner),
        }
    }

    /// The store's time in ms.
    pub fn now(&self) -> u64 {
        (self.clock)()
    }

    /// How many keys are held; bounded by the keys charged within their windows, up to a sweep.
    pub fn keys(&self) -> usize {
        self.with(|inner| inner.model.len())
    }

    pub(super) fn run(&self, command: &Command) -> Reply {
        self.with(|inner| {
            // Read under the lock, so that the times of commands are in their order.
            let now = self.now().max(inner.swept);
            let reply = inner.model.admit(now, command);
            match inner.until_sweep.checked_sub(1) {
                Some(left) => inner.until_sweep = left,
                None => {
                    inner.model.purge(now);
                    inner.swept = now;
                    inner.until_sweep = inner.model.len().max(SWEEP_EVERY);
                }
            }
            reply
        })
    }

    pub(super) fn refund(&self, keys: &[String], id: CallId) -> usize {
        self.with(|inner| inner.model.refund(keys, id))
    }

    pub(super) fn renew(&self, leases: &[Held], id: CallId) -> Vec<bool> {
        self.with(|inner| inner.model.renew(self.now().max(inner.swept), id, leases))
    }

    pub(super) fn shared_secret(&self, name: &str, candidate: [u8; 32]) -> Result<[u8; 32], StoreError> {
        Ok(self.with(|inner| *inner.secrets.entry(name.to_owned()).or_insert(candidate)))
    }

    /// A panic elsewhere cannot leave the model half written: commands only insert whole logs.
    fn with<T>(&self, act: impl FnOnce(&mut Inner) -> T) -> T {
        act(&mut self.inner.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::new()
    }
}

impl std::fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MemoryStore").finish_non_exhaustive()
    }
}
