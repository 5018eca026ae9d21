//! What a replay found.

use serde::Serialize;

/// How many decisions there were, and how they compare.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Totals {
    pub lines: u64,
    /// Lines that are no decision of a policy: other events, messages that could not be read, streams.
    pub not_judged: u64,
    pub malformed: u64,
    /// Decisions that the filter left out; they were simulated all the same.
    pub filtered: u64,
    /// The sum of the five below.
    pub decisions: u64,
    pub alike: u64,
    pub newly_denied: u64,
    pub newly_allowed: u64,
    /// Refused then and now, by another rule.
    pub refused_otherwise: u64,
    pub cannot_be_told: u64,
    /// Of all these: lines that came too late to be put into the order of their times.
    pub late: u64,
}

/// Calls that would be decided differently, in one way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// The tool, or the method where no tool was called.
    pub tool: String,
    pub grant: String,
    pub then: &'static str,
    pub then_rule: Option<String>,
    pub now: &'static str,
    pub now_rule: Option<String>,
    pub count: u64,
}

/// Calls of which one rule's answer cannot be told, for one reason.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Untold {
    pub rule: String,
    pub why: String,
    pub remedy: Option<String>,
    pub count: u64,
}

/// Calls that one rule in shadow would refuse.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Noted {
    pub rule: String,
    pub count: u64,
}

/// A line that could not be read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Malformed {
    /// `file:line`.
    pub place: String,
    pub why: String,
}

/// The result of a replay.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    pub totals: Totals,
    /// The most frequent first.
    pub differences: Vec<Difference>,
    /// Decisions that differ and stand in no row: there is a bound on rows.
    pub in_other_rows: u64,
    pub cannot_be_told: Vec<Untold>,
    pub shadow: Vec<Noted>,
    /// The first few.
    pub malformed: Vec<Malformed>,
    /// Most counters and waiting lines that were held at once.
    pub held: Held,
}

/// What was held in memory at once, at most.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Held {
    pub counters: usize,
    pub lines: usize,
}

/// Why a decision cannot be told.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Why {
    /// A value that is not on record: a path, or `args` for all arguments.
    Value(String),
    /// An earlier call that cannot be told may have used up the limit.
    Earlier,
    Late,
    /// The limit is on calls in flight.
    Running,
    Store,
    Name,
    /// The line stands for several calls that differ.
    Folded,
    Uncountable(String),
}

impl Why {
    pub(super) fn sentence(&self) -> String {
        match self {
            Self::Value(path) if path == "args" => "not all arguments are on record".to_owned(),
            Self::Value(path) if path.starts_with("grant.claims") => {
                format!("`{path}` is not known: --policy stands for grants without claims")
            }
            Self::Value(path) => format!("`{path}` is not on record"),
            Self::Earlier => "earlier calls that cannot be told may have used it up".to_owned(),
            Self::Late => "the line came too late for its place in time".to_owned(),
            Self::Running => {
                "calls in flight are not simulated: the log does not say when they end".to_owned()
            }
            Self::Store => "the counters did not answer then".to_owned(),
            Self::Folded => "one line stands for several calls that differ".to_owned(),
            Self::Name => "its name is cut in the record".to_owned(),
            Self::Uncountable(error) => error.clone(),
        }
    }

    pub(super) fn remedy(&self) -> Option<String> {
        match self {
            Self::Value(path) if path == "args" => {
                Some("name every argument under `record` in the policy that is live".to_owned())
            }
            Self::Value(path) if path.starts_with("grant.claims") => {
                Some("replay with --config, whose grants carry claims".to_owned())
            }
            Self::Value(path) => Some(format!(
                "add `record: [{}]` to the policy that is live",
                serde_json::Value::from(path.as_str())
            )),
            Self::Late => Some("sort the log by `time`, or give each replica's log as a file".to_owned()),
            Self::Earlier
            | Self::Running
            | Self::Store
            | Self::Name
            | Self::Folded
            | Self::Uncountable(_) => None,
        }
    }
}
