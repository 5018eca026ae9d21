//! Counters: windowed usage that all replicas share. See `ARCHITECTURE.md` and `lua/admit.lua`.
//!
//! The promise: for each counter key, on the store's own clock, the charges admitted in any interval of
//! length `window` sum to at most `max`. [`model`] states the rules in plain Rust and is the
//! specification; `lua/admit.lua` is the same in Redis, and a property test compares every reply.

mod answers;
pub mod calendar;
pub mod command;
mod file;
pub mod history;
pub mod keys;
mod memo;
mod memory;
pub mod model;
mod prepare;
mod receipt;
mod redis;
mod revoked;
mod simulation;
mod store;
mod usage;
pub mod wire;

use std::cell::RefCell;
use std::fmt;

use data_encoding::HEXLOWER;

pub use command::Fit;
pub use file::FileStore;
pub use memory::{MemoryStore, steady_clock};
pub use receipt::Receipt;
pub use redis::{
    AfterFailover, Journal, OtherScript, Place, RedisOptions, RedisStore, RedisTls, StoreHealth,
    StoreSetupError, StoreWarning, StreamLine,
};
pub use simulation::Simulation;
pub use store::Store;
pub use usage::{VALUES_SHOWN, ValueUsage};

use crate::policy::Charge;

/// The random id of one received request; a resend to the store carries the same one.
#[derive(Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub struct CallId(pub [u8; 8]);

impl CallId {
    /// Draws an id from the operating system, many at a time: a call of its own for each would cost a system
    /// call.
    ///
    /// # Errors
    /// [`StoreError::Randomness`] where the system has none: without an id a charge could not be undone.
    pub fn random() -> Result<Self, StoreError> {
        thread_local! {
            static DRAWN: RefCell<Vec<[u8; 8]>> = const { RefCell::new(Vec::new()) };
        }
        DRAWN.with_borrow_mut(|drawn| {
            if let Some(id) = drawn.pop() {
                return Ok(Self(id));
            }
            let mut bytes = [0; 512];
            getrandom::fill(&mut bytes).map_err(|_| StoreError::Randomness)?;
            let (ids, _) = bytes.as_chunks::<8>();
            drawn.extend_from_slice(ids);
            drawn.pop().map(Self).ok_or(StoreError::Randomness)
        })
    }
}

impl fmt::Display for CallId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut hex = [0; 16];
        HEXLOWER.encode_mut(&self.0, &mut hex);
        f.write_str(str::from_utf8(&hex).unwrap_or_default())
    }
}

impl fmt::Debug for CallId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CallId({self})")
    }
}

/// One call and all that it costs.
#[derive(Clone, Debug)]
pub struct Admission {
    pub id: CallId,
    pub charges: Vec<Charge>,
}

/// Where one charge's counter stands after the call was judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChargeState {
    /// Units left, in the limit's units; after this call where it was admitted.
    pub left: u64,
    /// Milliseconds until the next unit frees; 0 where nothing is held. A call in flight frees when it ends,
    /// so that of these it is only a guess.
    pub frees_ms: u64,
    /// Whether the charge fits. One of a limit in shadow that does not was not made, and denied nothing.
    pub fit: Fit,
}

/// The store's answer to one call.
#[derive(Clone, Debug)]
pub enum Verdict {
    /// Every charge stands. `states` are in the order of the admission's charges.
    Admitted {
        receipt: Receipt,
        states: Vec<ChargeState>,
    },
    /// Nothing was charged.
    Limited {
        /// Index of the first charge, in the admission's order, that does not fit.
        charge: usize,
        /// Milliseconds until the whole call would be admitted if nothing else came; `None`: never. Where
        /// only calls in flight are in the way: 1 s at most, since nobody knows when they end.
        retry_after_ms: Option<u64>,
        /// Store time of the answer in ms.
        at_ms: u64,
        states: Vec<ChargeState>,
        /// This replica knew it from an earlier denial, and the store was not asked. The states are at most a
        /// second old, and for a larger charge than that one `retry_after_ms` is the earliest that can be.
        remembered: bool,
    },
}

/// Why the store gave no verdict. No message holds a secret, a key or the store's address.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    #[error("the store did not answer within its deadline")]
    Timeout,
    #[error("the store cannot be reached: {0}")]
    Unavailable(&'static str),
    #[error("the store can no longer tell whether this call was charged")]
    InDoubt,
    #[error("the store is out of memory: raise `maxmemory` or add a node")]
    OutOfMemory,
    #[error("the store received the command after its deadline and charged nothing")]
    Late,
    #[error("the store answered something unexpected: {0}")]
    Protocol(&'static str),
    #[error("these charges cannot be counted: {0}")]
    Charges(&'static str),
    #[error("the operating system gave no random bytes")]
    Randomness,
    /// Another server took the store's place, and charges of windows that still run may be missing there.
    #[error("another server took the store's place, and may lack charges for {retry_ms} ms more")]
    Quarantined { retry_ms: u64 },
    /// This replica admitted calls while the store was away, and has not told it all of them yet.
    #[error("the store does not know yet what was admitted without it")]
    Owed,
}

impl StoreError {
    /// One word for log lines and metric labels; a closed set.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Timeout => "timeout",
            Self::Unavailable(_) => "unavailable",
            Self::InDoubt => "in_doubt",
            Self::OutOfMemory => "out_of_memory",
            Self::Late => "late",
            Self::Protocol(_) => "protocol",
            Self::Charges(_) => "charges",
            Self::Randomness => "randomness",
            Self::Quarantined { .. } => "quarantined",
            Self::Owed => "owed",
        }
    }
}
