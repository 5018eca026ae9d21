//! A policy after compiling: sealed. Whoever holds one knows that every rule in it is sound.

use std::collections::HashMap;
use std::sync::Arc;

use super::arguments::Arguments;
use super::charging::claim_subject;
use super::claims::Claims;
use super::condition::Condition;
use super::names::Names;
use super::path::Path;
use super::types::{Limit, Scope, Subject, Window};
use super::window::unit_ms;

/// A month of 31 days.
const LONGEST_MONTH_MS: u64 = 31 * 24 * 3_600_000;

/// A compiled policy. It can only be had through [`super::load`], and nothing after that may find it bad.
#[derive(Debug)]
pub struct Policy {
    pub(super) name: String,
    pub(super) file: String,
    pub(super) digest: String,
    pub(super) default: Fallback,
    pub(super) mode: Mode,
    /// Name or glob as written.
    pub(super) hide: Names<Box<str>>,
    pub(super) tools: Names<Entry>,
    /// Limits that apply to every call that the policy allows.
    pub(super) all_tools: Vec<Rated>,
    /// Blocks that apply to every call, after those of the tool's own entry.
    pub(super) all_blocks: Blocks,
    /// Methods other than `tools/call` that the policy opens or closes.
    pub(super) methods: HashMap<Box<str>, Method>,
    /// Arguments whose values are recorded.
    pub(super) record: Vec<(Arc<str>, Path)>,
    /// What [`super::check_together`] compares: every limit with its place in the file.
    pub(super) usages: Vec<super::together::Usage>,
}

/// What happens to a tool that no entry names, and to other methods that reach server code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fallback {
    Allow,
    Deny,
}

/// Whether a policy is in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    Enforce,
    /// Decides and is recorded, and blocks nothing.
    Shadow,
}

/// What a policy says about one method.
#[derive(Debug)]
pub(super) struct Method {
    pub(super) rule: Rule,
    pub(super) allowed: bool,
}

/// What a policy says about one tool or glob.
#[derive(Debug)]
pub(super) struct Entry {
    /// Its key, as written.
    pub(super) key: String,
    pub(super) action: Action,
    pub(super) arguments: Option<(Rule, Arguments)>,
    pub(super) blocks: Blocks,
    pub(super) limits: Vec<Rated>,
}

/// What is asked about the arguments of a call, in the order written.
#[derive(Debug)]
pub(super) struct Blocks {
    pub(super) require: Vec<Block>,
    pub(super) deny_if: Vec<Block>,
    pub(super) approve_if: Vec<Asking>,
}

/// A block that puts calls before people.
#[derive(Debug)]
pub(super) struct Asking {
    pub(super) block: Block,
    /// How many people must agree; at least 1.
    pub(super) approvers: u32,
    /// Its own, or that of its entry.
    pub(super) reason: Option<String>,
}

/// Conditions that belong together.
#[derive(Debug)]
pub(super) struct Block {
    pub(super) rule: Rule,
    pub(super) conditions: Vec<Condition>,
    pub(super) on_deny: Option<String>,
    /// Noted and never in force.
    pub(super) shadow: bool,
}

#[derive(Debug)]
pub(super) enum Action {
    Allow,
    Deny {
        rule: Rule,
        reason: Option<String>,
    },
    /// `require_approval`: a person must agree.
    Ask {
        rule: Rule,
        reason: Option<String>,
        /// How many must; at least 1.
        approvers: u32,
    },
}

/// A rule's JSON Pointer, and the same with `policy#` in front for grants that carry several policies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Rule {
    pub(super) alone: String,
    pub(super) among_several: String,
}

impl Rule {
    pub(super) fn new(policy: &str, pointer: String) -> Self {
        Self {
            among_several: format!("{policy}#{pointer}"),
            alone: pointer,
        }
    }
}

/// A limit as one entry uses it.
#[derive(Clone, Debug)]
pub(super) struct Rated {
    pub(super) alone: Arc<Limit>,
    /// The same limit, its rule with `policy#` in front. Made when the policy is compiled, so that no call pays for it.
    pub(super) among_several: Arc<Limit>,
    pub(super) weight: Weight,
    /// The argument or claim by whose value the limit counts.
    pub(super) value: Option<Path>,
    /// Whether it is in shadow by itself, whatever the policy's mode.
    pub(super) shadow: bool,
}

/// What one call charges.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Weight {
    /// In counted units; 1 ..= `limit.max`.
    Fixed(u64),
    /// The number at this path.
    From(Path),
}

impl Policy {
    /// The name that the settings give it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// SHA-256 of the file's text, in lower-case hex.
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// The key of the entry that applies to a tool.
    pub(super) fn entry_key(&self, tool: &str) -> Option<&str> {
        self.tools.get(tool).map(|entry| entry.key.as_str())
    }

    /// Whether some call of it may need people.
    pub fn may_ask(&self) -> bool {
        let asks =
            |entry: &Entry| matches!(entry.action, Action::Ask { .. }) || !entry.blocks.approve_if.is_empty();
        !self.all_blocks.approve_if.is_empty() || self.tools.values().any(asks)
    }

    /// Whether some call of it may wait for people.
    pub fn makes_wait(&self) -> bool {
        self.may_ask() && !self.is_shadow()
    }

    /// Whether the policy blocks nothing.
    pub fn is_shadow(&self) -> bool {
        self.mode == Mode::Shadow
    }

    /// Every limit of the policy, each with the argument or claim by whose value it counts.
    pub fn limits(&self) -> impl Iterator<Item = (&Arc<Limit>, Option<&str>)> {
        let usages = self.usages.iter();
        usages.map(|usage| (&usage.limit, usage.value.as_ref().map(|path| path.text.as_str())))
    }

    /// Every limit that counts by a claim, each with the counter of a grant with these claims.
    pub fn limits_by_claim(&self, claims: &Claims) -> impl Iterator<Item = (&Arc<Limit>, Subject)> {
        self.usages.iter().filter_map(|usage| {
            let by_claim = usage.value.as_ref().filter(|_| usage.limit.scope == Scope::Claim);
            Some((&usage.limit, claim_subject(by_claim?, claims)?))
        })
    }

    /// The longest window of its limits, in ms; calls in flight have none.
    pub fn longest_window_ms(&self) -> u64 {
        let windows = self.usages.iter().map(|usage| match usage.limit.window {
            Window::Sliding { ms } => ms,
            Window::Calendar(unit) => unit_ms(unit).unwrap_or(LONGEST_MONTH_MS),
            Window::Lease { .. } => 0,
        });
        windows.max().unwrap_or(0)
    }

    /// The tools that the policy names exactly: a bounded set, fit for metric labels.
    pub fn tool_names(&self) -> impl Iterator<Item = &str> {
        self.tools.exact_names()
    }
}
