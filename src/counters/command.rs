//! What `lua/admit.lua` is asked and what it answers, as types. The model takes and gives the same.

use super::CallId;

/// Largest weight, `max` and sum: Lua counts in doubles, which are exact up to here.
pub const MAX_UNITS: u64 = 1 << 53;
/// Longest window, in milliseconds (about 34 years): times are kept in 48 bits with room to add.
pub const MAX_WINDOW_MS: u64 = 1 << 40;
/// Most calls in flight on one key: its value has 14 bytes for each, and is written whole each time (at 10 000
/// that took a millisecond of Redis).
pub const MAX_LEASES: u64 = 1_000;

/// One call to the script: every charge of one slot group, judged and charged in one step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Command {
    pub id: CallId,
    /// Store time in ms after which the command must charge nothing; 0: none.
    pub deadline: u64,
    /// 0 for a first send. For a resend: a store time in ms at or before the first send.
    pub first_sent: u64,
    /// Look and charge nothing.
    pub peek: bool,
    pub charges: Vec<KeyCharge>,
}

/// What one call adds to one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyCharge {
    pub key: String,
    pub span: Span,
    /// 1 ..= 2^53.
    pub weight: u64,
    /// 1 ..= 2^53.
    pub max: u64,
    /// A shadow charge: never denies, and is charged only where it fits.
    pub advisory: bool,
    /// Present for scopes whose values the caller chooses.
    pub bound: Option<Bound>,
}

#[cfg(test)]
impl KeyCharge {
    /// One call of one that may run.
    pub fn one(key: &str, span: Span) -> Self {
        Self {
            key: key.into(),
            span,
            weight: 1,
            max: 1,
            advisory: false,
            bound: None,
        }
    }
}

/// How long a charge counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Span {
    /// Never more than `max` in any interval of `window` ms (1 ..= 2^40).
    Window { window: u64 },
    /// From `start` up to, not including, `end`: store time in ms.
    Calendar { start: u64, end: u64 },
    /// While the call is in flight, `ttl` ms (1 ..= 2^40) after it was taken or renewed at most. The weight
    /// is 1 and `max` at most [`MAX_LEASES`].
    Lease { ttl: u64 },
}

/// Keeps the number of keys of one limit bounded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bound {
    /// The key that values share once `max_values` of them are live.
    pub overflow: String,
    /// The key that lists the live values.
    pub index: String,
    pub max_values: u32,
}

/// A lease that a call holds: where to renew it, and for how long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    pub key: String,
    pub bound: Option<Bound>,
    /// Milliseconds, 1 ..= 2^40.
    pub ttl: u64,
}

/// The script's first integer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// A charge does not fit: nothing was charged.
    Limited,
    /// All charges were made (under `peek`: would be made).
    Admitted,
    /// A resend whose id is still held: it was admitted before, nothing changed.
    Already,
    /// A resend whose id may have been forgotten: nothing was charged now.
    InDoubt,
    /// The command came after its deadline: nothing was charged.
    Late,
    /// A calendar charge named another interval than its key's time is in: nothing was charged.
    Stale,
    /// The command or a stored value has a form that this script does not know: nothing was charged.
    Unsupported,
}

/// The script's answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    pub outcome: Outcome,
    /// The store's time in ms.
    pub now: u64,
    /// One for each charge under `Limited`, `Admitted` and `Already`, else empty.
    pub states: Vec<KeyState>,
    /// Under `Already`: when the call was charged, in ms (the earliest of its keys' times; 0: it holds leases
    /// alone). Else 0.
    pub charged: u64,
    /// Under `Stale`: the time, in ms, that each charge's interval must hold. Else empty.
    pub times: Vec<u64>,
}

impl Reply {
    /// Without anything on single charges.
    pub const fn plain(outcome: Outcome, now: u64) -> Self {
        Self {
            outcome,
            now,
            states: Vec::new(),
            charged: 0,
            times: Vec::new(),
        }
    }
}

/// Where one key stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyState {
    /// Units left, after this call where it was charged.
    pub left: u64,
    /// Milliseconds until the next unit frees; 0 where nothing is held. A lease that is renewed frees later,
    /// one that is released earlier.
    pub frees_ms: u64,
    pub fit: Fit,
}

/// Whether a charge fits its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fit {
    Now,
    /// After this many ms, if nothing else comes.
    After(u64),
    /// The weight is above `max`.
    Never,
}
