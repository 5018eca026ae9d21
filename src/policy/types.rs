//! The types that the rooms share: who calls, limits, charges, refusals.

use std::sync::Arc;

use super::claims::Claims;

/// The closed set of outcomes, the same in `_meta`, log, audit and metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    Allowed,
    Denied,
    Hidden,
    Limited,
    NeedsApproval,
    Invalid,
    Unauthenticated,
    StoreError,
    UpstreamError,
}

impl Outcome {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Allowed => "allowed",
            Self::Denied => "denied",
            Self::Hidden => "hidden",
            Self::Limited => "limited",
            Self::NeedsApproval => "needs_approval",
            Self::Invalid => "invalid",
            Self::Unauthenticated => "unauthenticated",
            Self::StoreError => "store_error",
            Self::UpstreamError => "upstream_error",
        }
    }
}

/// Who calls: the facts of one request that a policy may look at.
#[derive(Clone, Copy, Debug)]
pub struct Caller<'a> {
    pub grant: &'a str,
    pub server: &'a str,
    /// The upstream's session id, present only where its signature was verified.
    pub session: Option<&'a str>,
    /// What is known of the grant beside its id.
    pub claims: Option<&'a Claims>,
}

/// Over what a limit counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scope {
    Grant,
    Session,
    Server,
    Global,
    /// `claim:NAME`: per value of one claim, over all grants that carry it.
    Claim,
    /// `arg:PATH`: per value of one argument, within the grant.
    Argument,
    /// Per digest of all arguments, within the grant.
    Arguments,
}

impl Scope {
    /// One word, the same in keys and records; which claim or argument stands beside it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Grant => "grant",
            Self::Session => "session",
            Self::Server => "server",
            Self::Global => "global",
            Self::Claim => "claim",
            Self::Argument => "argument",
            Self::Arguments => "arguments",
        }
    }
}

/// Calendar units; UTC, weeks start on Monday.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Unit {
    Second,
    Minute,
    Hour,
    Day,
    Week,
    Month,
}

impl Unit {
    /// As policies write it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Second => "second",
            Self::Minute => "minute",
            Self::Hour => "hour",
            Self::Day => "day",
            Self::Week => "week",
            Self::Month => "month",
        }
    }

    /// The unit of a word that [`Unit::as_str`] gives.
    pub fn from_word(word: &str) -> Option<Self> {
        use Unit::{Day, Hour, Minute, Month, Second, Week};
        [Second, Minute, Hour, Day, Week, Month]
            .into_iter()
            .find(|unit| unit.as_str() == word)
    }
}

/// The window of a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Window {
    /// Never more than `max` in any interval of this many milliseconds.
    Sliding { ms: u64 },
    /// Resets on UTC boundaries of the unit.
    Calendar(Unit),
    /// Counts calls while they run; a call that nobody renews counts this many milliseconds.
    Lease { ms: u64 },
}

/// One limit, compiled: zero and out-of-range values cannot be represented in a sealed policy.
#[derive(Debug, PartialEq, Eq)]
pub struct Limit {
    /// The rule's JSON Pointer, e.g. `/tools/start_run/limits/start_run_rate`.
    pub rule: String,
    pub counter: String,
    pub window: Window,
    /// In counted units (whole units × 10^`scale`), 1 ..= 2^53.
    pub max: u64,
    pub scope: Scope,
    /// Decimal places kept by the counter; 0 for plain call limits.
    pub scale: u8,
    /// Live values of a caller-chosen scope that have a key of their own (default 1 000);
    /// `None` for scopes that the caller does not choose.
    pub max_values: Option<u32>,
    /// Noted and never in force: it has a counter of its own, and is charged only where it would have admitted.
    pub shadow: bool,
    /// What a refused call is told instead of what is used up.
    pub on_deny: Option<String>,
    pub on_store_error: OnStoreError,
}

/// What becomes of a call whose limit cannot be checked because the store does not answer. In order of strictness.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum OnStoreError {
    /// It passes uncounted.
    Allow,
    /// This replica counts it against its share of `max`.
    Local,
    /// It is refused.
    #[default]
    Deny,
}

impl OnStoreError {
    /// As policies write it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Local => "local",
            Self::Deny => "deny",
        }
    }
}

/// What one call adds to one counter: the output of [`super::plan_tool`], the input of the counters.
#[derive(Clone, Debug)]
pub struct Charge {
    pub limit: Arc<Limit>,
    /// 1 ..= 2^53, never above `limit.max` (such a call is refused before the store is asked).
    pub weight: u64,
    /// Whose counter: filled in from the [`Caller`] according to `limit.scope`.
    pub subject: Subject,
}

impl Charge {
    /// The same charge to the counters of the grant with this identity.
    #[must_use]
    pub fn counted_for(mut self, identity: &str) -> Self {
        match &mut self.subject {
            Subject::Grant { grant }
            | Subject::Session { grant, .. }
            | Subject::Argument { grant, .. }
            | Subject::Arguments { grant, .. } => identity.clone_into(grant),
            Subject::Server { .. } | Subject::Global | Subject::Claim { .. } => {}
        }
        self
    }
}

/// The scope's value of one charge. Everything but `Claim`, `Server` and `Global` lives in the grant's slot group.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Subject {
    Grant {
        grant: String,
    },
    /// `session: None` where the call has no verified session: the grant stands in.
    Session {
        grant: String,
        server: String,
        session: Option<String>,
    },
    Server {
        server: String,
    },
    Global,
    /// `name` is that of the claim; `digest` stands for its value.
    Claim {
        name: String,
        digest: String,
    },
    /// `digest` stands for the value, which goes no further.
    Argument {
        grant: String,
        path: String,
        digest: String,
    },
    Arguments {
        grant: String,
        digest: String,
    },
}

/// A call that a person must agree to before it is forwarded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ask {
    /// How many different people must agree, 1 ..= 16: the largest number of all rules that ask.
    pub approvers: u32,
    /// JSON Pointer of the first rule that asks for as many, with `policy#` in front as in [`Denial`].
    pub rule: String,
    /// Its author's reason, for the agent and for those who decide.
    pub reason: Option<String>,
}

/// Why a call is refused, as told to the agent, the log and the metrics.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denial {
    pub outcome: Outcome,
    /// JSON Pointer of the rule, or `(no policy)`, `(hidden)`, `(default deny)`, `(pinned)`.
    pub rule: String,
    /// The whole public sentence, e.g. `[POLICY DENIED] start_run: … The call was not executed.`
    pub message: String,
    /// When the call would be admitted if nothing else came; `None`: never, or not known.
    pub retry_after_ms: Option<u64>,
}
