//! A decision with its reasons: every rule that was tried, in order, and what it saw. The decision is made by
//! the code that decides for the proxy; this only watches it.

mod place;
mod seen;
mod steps;
mod words;

use std::sync::Arc;

use super::compiled::Policy;
use super::decide::{Call, Decision, Plan, decide, decide_method};
use super::types::{Ask, Caller, Charge, Denial, Limit};

pub use place::place_of;
pub use seen::{Answer, Leaf, Led, Read};
use steps::Steps;
pub use words::{counting_in_words, scope_as_written, subject_in_words, units_in_whole, window_in_words};

/// A decision and how it came about.
#[derive(Debug)]
pub struct Explanation {
    pub decision: Decision,
    /// Every rule that was tried. The first denial in force is the last of them.
    pub steps: Vec<Step>,
}

impl Explanation {
    /// The rule that refused the call or puts it before people, if one does. `(no policy)` is not one.
    pub fn bit(&self) -> Option<&Step> {
        let asks = match &self.decision.plan {
            Plan::Ask { ask, .. } => Some(ask),
            Plan::Refuse(_) | Plan::Admit(_) => None,
        };
        self.steps.iter().find(|step| match &step.said {
            Heard::Refused(_) => true,
            Heard::Asks(own) => asks == Some(own),
            Heard::Passed | Heard::Charges(..) | Heard::Noted(_) => false,
        })
    }
}

/// One rule that was tried.
#[derive(Debug)]
pub struct Step {
    /// Which of the policies, from 0.
    pub policy: usize,
    /// JSON Pointer into the policy's file, for [`place_of`].
    pub pointer: String,
    pub asked: Asked,
    pub said: Heard,
}

/// What a rule looked at.
#[derive(Debug)]
pub enum Asked {
    /// `hide` and `default`.
    Known(Known),
    /// The entry's `action`.
    Action,
    /// The entry's schema, with what the arguments break in it: none where it is satisfied.
    Arguments(Vec<Broken>),
    Require(Vec<Condition>),
    DenyIf(Vec<Condition>),
    /// The entry's `action: require_approval`.
    Ask,
    ApproveIf(Vec<Condition>),
    Limit(Counting),
    /// `methods` and `default`, for a method other than `tools/call`.
    Method,
}

/// Which entry applies to a tool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Known {
    /// The name or glob under `hide`, as written.
    Hidden(String),
    /// The key of the entry, as written, and the keys of those that match the tool too and are beaten, the most
    /// specific first.
    Entry { key: String, beaten: Vec<String> },
    /// No entry: `default` decides, and `true` allows.
    Default(bool),
}

/// A keyword of a schema that the arguments break.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broken {
    /// JSON Pointer into the arguments; the whole of them where it is empty.
    pub at: String,
    /// The keyword, or why nothing could be said.
    pub what: Result<String, &'static str>,
    /// JSON Pointer of the keyword in the policy's file.
    pub pointer: String,
}

/// One condition of a block.
#[derive(Debug)]
pub struct Condition {
    /// JSON Pointer into the policy's file.
    pub pointer: String,
    /// As refusals tell it: `args.amount lte 100`.
    pub text: String,
    pub answer: Answer,
    pub read: Read,
}

/// A limit and the values that it read.
#[derive(Debug)]
pub struct Counting {
    pub limit: Arc<Limit>,
    /// The amount of `increment_from`, and the value by which the scope counts.
    pub reads: Vec<Read>,
}

/// What a rule said.
#[derive(Debug)]
pub enum Heard {
    Passed,
    /// The limit asks for a charge.
    Charges(Charge, Fate),
    /// A person must agree.
    Asks(Ask),
    Refused(Denial),
    /// It would have refused, but is in shadow.
    Noted(Denial),
}

/// What became of the charge that a limit asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It is charged.
    Counted,
    /// The call meets the same usage twice: it is charged once, for the rule of this name.
    Merged(String),
    /// Nothing is charged: the call is refused, or the limit's policy is in shadow and has refused it.
    Dropped,
}

/// Explains what [`super::plan_tool`] decides.
pub fn explain_tool(policies: &[Arc<Policy>], caller: &Caller<'_>, call: &Call<'_>) -> Explanation {
    let mut steps = Steps::of_call(policies, caller, call);
    let decision = decide(policies, caller, call, &mut steps);
    steps.end(decision)
}

/// Explains what [`super::plan_method`] decides.
pub fn explain_method(policies: &[Arc<Policy>], method: &str) -> Explanation {
    let caller = Caller {
        grant: "",
        server: "",
        session: None,
        claims: None,
    };
    let call = Call {
        tool: method,
        arguments: None,
    };
    let mut steps = Steps::of_call(policies, &caller, &call);
    let decision = decide_method(policies, method, &mut steps);
    steps.end(decision)
}
