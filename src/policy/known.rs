//! What a record tells of a call, and what can be decided from that: the same decision, in which a rule that
//! needs a value that is not on record is noted and passed over.

use std::borrow::Cow;
use std::cell::RefCell;
use std::sync::Arc;

use super::charging::same_usage;
use super::compiled::{Asking, Policy, Rated, Rule};
use super::decide::{Call, Plan, decide_on};
use super::facts::Facts;
use super::fold::is_lookalike;
use super::json::Json;
use super::path::{Path, Root, Step};
use super::types::{Ask, Caller, Charge, Denial, Limit};
use super::watch::{Said, Tried, Watch};

/// A longer index is not taken from a record: it would make a list of as many elements.
const MAX_INDEX: usize = 1_000;

/// What is on record of one call's arguments.
pub struct OnRecord<'r> {
    /// The names of the arguments.
    keys: &'r [String],
    /// Whether there are no others, and none is cut.
    complete: bool,
    values: Vec<(Path, Json<'r>)>,
    /// Whether the grant's claims are known.
    claims: bool,
    /// The first path that was asked for in vain since the last look.
    asked: RefCell<Option<String>>,
}

/// A rule that cannot be told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unknown {
    /// As in [`Denial`].
    pub rule: String,
    /// What it reads: a path, or `args` for all arguments.
    pub path: String,
}

/// A limit whose charge cannot be told.
#[derive(Clone, Debug)]
pub struct Uncounted {
    pub limit: Arc<Limit>,
    /// The largest charge that it may make; none where it is not known whose counter it is.
    pub charge: Option<Charge>,
    /// What it reads, as in [`Unknown`].
    pub path: String,
}

/// What can be told of a call.
#[derive(Clone, Debug, Default)]
pub struct Told {
    /// It is refused, whatever is not known. An earlier rule of `unknown` may be the one that does.
    pub refused: Option<Denial>,
    /// The rules in force that cannot be told, in their order.
    pub unknown: Vec<Unknown>,
    /// People must agree to it, if nothing refuses it.
    pub ask: Option<Ask>,
    /// What it charges if it passes, as far as that is known.
    pub charges: Vec<Charge>,
    /// The limits in force whose charges are not known.
    pub uncounted: Vec<Uncounted>,
    /// What rules in shadow would have refused, as far as that is known.
    pub shadow: Vec<Denial>,
}

/// Decides a recorded `tools/call` as [`super::plan_tool`] does.
pub fn plan_on_record(
    policies: &[Arc<Policy>],
    caller: &Caller<'_>,
    tool: &str,
    known: &OnRecord<'_>,
) -> Told {
    let call = Call {
        tool,
        arguments: None,
    };
    let mut hearing = Hearing {
        known,
        several: policies.len() > 1,
        unknown: Vec::new(),
        uncounted: Vec::new(),
    };
    let facts = Facts::on_record(caller, &call, known);
    let decision = decide_on(policies, caller, &facts, tool, &mut hearing);
    let mut uncounted = hearing.uncounted;
    let (refused, ask, mut charges) = match decision.plan {
        Plan::Refuse(denial) => (Some(denial), None, Vec::new()),
        Plan::Admit(charges) => (None, None, charges),
        Plan::Ask { charges, ask } => (None, Some(ask), charges),
    };
    // of charges that were merged, the one with the smallest `max` is the one that stands
    for unknown in &mut uncounted {
        let stands = |charge: &&Charge| {
            let sought = unknown.charge.as_ref();
            sought.is_some_and(|sought| same_usage(sought, charge))
        };
        unknown.charge = charges.iter().find(stands).map(|charge| Charge {
            weight: charge.limit.max,
            ..charge.clone()
        });
    }
    charges.retain(|charge| {
        let unsure = uncounted.iter().filter_map(|unknown| unknown.charge.as_ref());
        !unsure.into_iter().any(|unsure| same_usage(unsure, charge))
    });
    Told {
        refused,
        unknown: hearing.unknown,
        ask,
        charges,
        uncounted,
        shadow: decision.shadow,
    }
}

impl<'r> OnRecord<'r> {
    /// `keys`: the names of the arguments; `complete`: there are no others, and none is cut. `recorded`: path, as a
    /// policy's `record` writes it, and the JSON text of the value there. `claims`: whether the grant's claims are
    /// known. Paths that are none, stand for several values, or contradict others are left out.
    pub fn new(keys: &'r [String], complete: bool, recorded: &'r [(String, String)], claims: bool) -> Self {
        let read = |(path, json): &'r (String, String)| {
            let path = Path::read(path).ok().filter(is_plain)?;
            Some((path, Json::read(json)?))
        };
        let mut values: Vec<(Path, Json<'r>)> = recorded.iter().filter_map(read).collect();
        // what reaches deeper goes first, so that a whole value takes the place of its parts
        values.sort_by_key(|(path, _)| std::cmp::Reverse(path.steps().map_or(0, <[Step]>::len)));
        Self {
            keys,
            complete,
            values,
            claims,
            asked: RefCell::new(None),
        }
    }

    /// The arguments as far as they are known; `null` stands for what is not.
    pub(super) fn arguments(&self) -> Json<'r> {
        let named = self.keys.iter().filter(|_| self.complete);
        let named = named.map(|key| (Cow::Borrowed(key.as_str()), Json::Null));
        let mut arguments = Json::Object(named.collect());
        for (path, value) in &self.values {
            place(&mut arguments, path.steps().unwrap_or_default(), value);
        }
        arguments
    }

    /// Whether the record holds what a path leads to. Notes the path where it does not. `presence`: only whether
    /// something is there is asked.
    pub(super) fn tells(&self, path: &Path, presence: bool) -> bool {
        let known = match &path.root {
            Root::GrantId | Root::ToolName => true,
            Root::Claim(_) => self.claims,
            Root::Arguments(steps) => self.holds(steps, presence),
        };
        if !known {
            self.note(&path.text);
        }
        known
    }

    /// Whether all arguments are known. Notes it where they are not.
    pub(super) fn is_whole(&self) -> bool {
        let has = |key: &String| {
            let steps = [Step::Key(key.clone())];
            self.values.iter().any(|(path, _)| path.steps() == Some(&steps))
        };
        let whole = self.complete && self.keys.iter().all(has);
        if !whole {
            self.note("args");
        }
        whole
    }

    /// Whether something was asked for in vain since the last look.
    pub(super) fn is_in_doubt(&self) -> bool {
        self.asked.borrow().is_some()
    }

    fn holds(&self, steps: &[Step], presence: bool) -> bool {
        let above = |path: &Path| path.steps().is_some_and(|own| steps.starts_with(own));
        if self.values.iter().any(|(path, _)| above(path)) {
            return true;
        }
        let (Some(Step::Key(name)), true) = (steps.first(), self.complete) else {
            return false;
        };
        // missing, or refused because of its double, whatever the value
        let missing = !self.keys.contains(name);
        missing || self.keys.iter().any(|key| is_lookalike(key, name)) || (presence && steps.len() == 1)
    }

    fn note(&self, path: &str) {
        self.asked.borrow_mut().get_or_insert_with(|| path.to_owned());
    }
}

/// Whether the path leads to one argument, whatever the arguments hold.
fn is_plain(path: &Path) -> bool {
    let short = |step: &Step| !matches!(step, Step::Index(index) if *index > MAX_INDEX);
    path.is_single() && path.steps().is_some_and(|steps| steps.iter().all(short))
}

/// Puts a value where the steps lead, through objects and lists made on the way.
fn place<'r>(into: &mut Json<'r>, steps: &[Step], value: &Json<'r>) {
    let Some((step, rest)) = steps.split_first() else {
        *into = value.clone();
        return;
    };
    match step {
        Step::Key(name) => {
            if !matches!(into, Json::Object(_)) {
                *into = Json::Object(Vec::new());
            }
            let Json::Object(entries) = into else { return };
            let found = entries.iter().position(|(key, _)| key == name);
            let at = found.unwrap_or_else(|| {
                entries.push((Cow::Owned(name.clone()), Json::Null));
                entries.len().saturating_sub(1)
            });
            if let Some((_, inner)) = entries.get_mut(at) {
                place(inner, rest, value);
            }
        }
        Step::Index(index) => {
            if !matches!(into, Json::List(_)) {
                *into = Json::List(Vec::new());
            }
            let Json::List(items) = into else { return };
            while items.len() <= *index {
                items.push(Json::Null);
            }
            if let Some(inner) = items.get_mut(*index) {
                place(inner, rest, value);
            }
        }
        // such paths are left out before
        Step::Each => {}
    }
}

/// Hears every rule, and notes those in force that asked for what is not on record.
struct Hearing<'h, 'r> {
    known: &'h OnRecord<'r>,
    several: bool,
    unknown: Vec<Unknown>,
    uncounted: Vec<Uncounted>,
}

impl Hearing<'_, '_> {
    fn shown(&self, rule: &Rule) -> String {
        let rule = if self.several {
            &rule.among_several
        } else {
            &rule.alone
        };
        rule.clone()
    }

    fn limit(&self, rated: &Rated) -> Arc<Limit> {
        let limit = if self.several {
            &rated.among_several
        } else {
            &rated.alone
        };
        Arc::clone(limit)
    }
}

impl<'p> Watch<'p> for Hearing<'_, '_> {
    fn tried(&mut self, policy: &'p Policy, tried: Tried<'p>, said: Said<'_>) {
        // a refusal is certain, whatever else the rule asked for
        let Some(path) = self.known.asked.take() else {
            return;
        };
        if policy.is_shadow() {
            return;
        }
        match (tried, said) {
            (Tried::Arguments(rule), Said::Passed) => {
                let rule = self.shown(rule);
                self.unknown.push(Unknown { rule, path });
            }
            (
                Tried::ApproveIf(Asking { block, .. }) | Tried::Require(block) | Tried::DenyIf(block),
                Said::Passed,
            ) if !block.shadow => {
                let rule = self.shown(&block.rule);
                self.unknown.push(Unknown { rule, path });
            }
            (Tried::Limit(rated), Said::Passed | Said::Charges(_)) if !rated.shadow => {
                let charge = match said {
                    Said::Charges(charge) => Some(charge.clone()),
                    _ => None,
                };
                let limit = self.limit(rated);
                self.uncounted.push(Uncounted { limit, charge, path });
            }
            _ => {}
        }
    }
}

/// Shows names alone.
impl std::fmt::Debug for OnRecord<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OnRecord")
            .field("keys", &self.keys)
            .finish_non_exhaustive()
    }
}
