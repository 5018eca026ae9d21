//! What a policy says about a tool, as a set of facts that can be compared: the order in which rules stand, the
//! entry that they come from and the way they are written are gone.

use std::collections::BTreeSet;

use super::super::arguments::Arguments;
use super::super::compiled::{
    Action, Asking, Block, Blocks, Entry, Fallback, Mode, Policy, Rated, Rule, Weight,
};
use super::super::condition::{Condition, Test};
use super::super::json::Json;
use super::super::number::Decimal;
use super::super::types::{Limit, OnStoreError};
use super::say::{say_asking, say_block, say_limit};

/// What happens to a call before its arguments are looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// It looks as if it did not exist: hidden, or not named under `default: deny`.
    Hidden,
    Denied(Option<String>),
    Passes,
}

/// All that a policy says about one tool.
pub(super) struct Treatment<'p> {
    pub(super) standing: Standing,
    /// The rule that the standing comes from.
    pub(super) rule: Option<String>,
    /// The name or glob that decides, as it is written.
    pub(super) decided_by: Option<&'p str>,
    /// Empty unless calls may pass.
    pub(super) facts: Vec<Fact>,
    pub(super) arguments: Option<(&'p str, &'p Arguments)>,
}

/// One thing that is asked of a call, or charged for it.
#[derive(Clone, Debug)]
pub(super) struct Fact {
    /// What the fact is about: facts of one slot in two policies are one fact, before and after.
    pub(super) slot: String,
    /// Everything else that it says. Slot and detail are all there is.
    pub(super) detail: String,
    /// `limit`, `require`, `deny_if`, `approve_if`, and the counter's name with a limit.
    pub(super) kind: Kind,
    pub(super) text: String,
    pub(super) rule: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Require,
    DenyIf,
    /// A person must agree.
    ApproveIf,
    /// Its counter.
    Limit(String),
}

impl<'p> Treatment<'p> {
    pub(super) fn new(policy: &'p Policy, tool: &str) -> Self {
        if let Some(by) = policy.hide.get(tool) {
            return Self::refusing(Standing::Hidden, "/hide", Some(by.as_ref()));
        }
        match policy.tools.get(tool) {
            None if policy.default == Fallback::Deny => Self::refusing(Standing::Hidden, "/default", None),
            entry => Self::of(policy, entry),
        }
    }

    /// Of the entry that is written like this, or of a tool without one.
    pub(super) fn of_entry(policy: &'p Policy, key: &str) -> Self {
        Self::of(policy, policy.tools.written(key))
    }

    fn refusing(standing: Standing, rule: &str, decided_by: Option<&'p str>) -> Self {
        Self {
            standing,
            rule: Some(rule.to_owned()),
            decided_by,
            facts: Vec::new(),
            arguments: None,
        }
    }

    fn of(policy: &'p Policy, entry: Option<&'p Entry>) -> Self {
        let mut treatment = Self {
            standing: Standing::Passes,
            rule: entry.is_none().then(|| "/default".to_owned()),
            decided_by: None,
            facts: Vec::new(),
            arguments: None,
        };
        let mut limits: Vec<&Rated> = Vec::new();
        // Without `..`, here and below: what the language learns must be compared before this compiles again.
        if let Some(Entry {
            key,
            action,
            arguments,
            blocks,
            limits: own,
        }) = entry
        {
            if let Action::Deny { rule, reason } = action {
                return Self::refusing(Standing::Denied(reason.clone()), &rule.alone, Some(key));
            }
            treatment.decided_by = Some(key);
            if let Action::Ask {
                rule,
                reason,
                approvers,
            } = action
            {
                let said = (*approvers, reason.as_ref(), None);
                treatment.facts.push(asks(rule, &[], false, said));
            }
            treatment.arguments = arguments
                .as_ref()
                .map(|(rule, arguments)| (rule.alone.as_str(), arguments));
            add_blocks(blocks, &mut treatment.facts);
            limits.extend(own);
        }
        add_blocks(&policy.all_blocks, &mut treatment.facts);
        limits.extend(&policy.all_tools);
        add_limits(&limits, policy.mode, &mut treatment.facts);
        treatment
    }

    /// Whether every call is decided alike.
    pub(super) fn same(&self, other: &Self) -> bool {
        fn all<'f>(treatment: &'f Treatment<'_>) -> BTreeSet<(&'f str, &'f str)> {
            treatment
                .facts
                .iter()
                .map(|fact| (fact.slot.as_str(), fact.detail.as_str()))
                .collect()
        }
        let schema = |treatment: &Self| {
            treatment
                .arguments
                .map(|(_, arguments)| arguments.schema().clone())
        };
        self.standing == other.standing && all(self) == all(other) && schema(self) == schema(other)
    }
}

/// A `require` refuses where one of its conditions does not hold, so that its conditions may as well stand in
/// blocks of their own. A `deny_if` refuses where all of them hold, so that they stay together.
fn add_blocks(blocks: &Blocks, facts: &mut Vec<Fact>) {
    let Blocks {
        require,
        deny_if,
        approve_if,
    } = blocks;
    for block in require {
        for condition in &block.conditions {
            let single = std::slice::from_ref(condition);
            facts.push(fact_of_block(Kind::Require, block, single));
        }
    }
    for block in deny_if {
        facts.push(fact_of_block(Kind::DenyIf, block, &block.conditions));
    }
    for asking in approve_if {
        let Asking {
            block,
            approvers,
            reason,
        } = asking;
        let Block {
            rule,
            conditions,
            on_deny,
            shadow,
        } = block;
        // told where one of its conditions cannot be evaluated
        let on_doubt = on_deny.as_ref().filter(|_| !conditions.is_empty());
        facts.push(asks(
            rule,
            conditions,
            *shadow,
            (*approvers, reason.as_ref(), on_doubt),
        ));
    }
}

/// An `action: require_approval` is a block without conditions. `said`: before how many a call is put, and what is
/// told where it is and where it is refused.
fn asks(
    rule: &Rule,
    conditions: &[Condition],
    shadow: bool,
    said: (u32, Option<&String>, Option<&String>),
) -> Fact {
    let kind = Kind::ApproveIf;
    let all: BTreeSet<String> = conditions.iter().map(canonical).collect();
    Fact {
        slot: format!("{kind:?} {all:?} {shadow}"),
        detail: format!("{said:?}"),
        text: say_asking(conditions, shadow, said.0),
        rule: rule.alone.clone(),
        kind,
    }
}

fn fact_of_block(kind: Kind, block: &Block, conditions: &[Condition]) -> Fact {
    let Block {
        rule,
        conditions: _,
        on_deny,
        shadow,
    } = block;
    let all: BTreeSet<String> = conditions.iter().map(canonical).collect();
    Fact {
        slot: format!("{kind:?} {all:?} {shadow}"),
        detail: format!("{on_deny:?}"),
        text: say_block(conditions, block.shadow),
        rule: rule.alone.clone(),
        kind,
    }
}

/// The same usage twice is charged once: against the first of its smallest `max`, and with its strictest
/// `on_store_error`. See `charging`.
fn add_limits(limits: &[&Rated], mode: Mode, facts: &mut Vec<Fact>) {
    let mut known: Vec<(String, &Rated, OnStoreError)> = Vec::new();
    for rated in limits {
        let usage = usage(rated);
        let strictness = rated.alone.on_store_error;
        match known.iter_mut().find(|(other, ..)| *other == usage) {
            None => known.push((usage, rated, strictness)),
            Some((_, first, strictest)) => {
                if rated.alone.max < first.alone.max {
                    *first = rated;
                }
                *strictest = strictness.max(*strictest);
            }
        }
    }
    facts.extend(known.into_iter().map(|(usage, rated, strictest)| {
        let limit = &rated.alone;
        Fact {
            slot: usage,
            detail: detail(rated, limit, strictest),
            kind: Kind::Limit(limit.counter.clone()),
            text: say_limit(rated, strictest),
            rule: limit.rule.clone(),
        }
    }));
    // A policy in shadow merges what is in shadow by itself with what is not, and only the latter ends its trial:
    // there each limit counts, in its place.
    if mode == Mode::Shadow && limits.iter().any(|rated| rated.shadow) {
        facts.extend(limits.iter().enumerate().map(|(index, rated)| {
            let own = rated.alone.on_store_error;
            Fact {
                slot: format!("{index} {} {}", usage(rated), detail(rated, &rated.alone, own)),
                detail: String::new(),
                kind: Kind::Limit(rated.alone.counter.clone()),
                text: say_limit(rated, own),
                rule: rated.alone.rule.clone(),
            }
        }));
    }
}

/// What makes two charges one.
fn usage(rated: &Rated) -> String {
    let Limit {
        counter,
        window,
        scope,
        scale,
        // What `detail` says.
        max: _,
        max_values: _,
        on_deny: _,
        on_store_error: _,
        // Where it stands, and what follows from the policy's mode and the limit's own `shadow`.
        rule: _,
        shadow: _,
    } = &*rated.alone;
    let value = rated.value.as_ref().map(|path| &path.text);
    format!(
        "{counter:?} {window:?} {scope:?} {value:?} {scale} {}",
        rated.shadow
    )
}

fn detail(rated: &Rated, limit: &Limit, strictest: OnStoreError) -> String {
    let Rated {
        alone: _,
        among_several: _,
        weight,
        value: _,
        shadow: _,
    } = rated;
    let weight = match weight {
        Weight::Fixed(weight) => weight.to_string(),
        Weight::From(path) => format!("{:?}", path.root),
    };
    format!(
        "{} {weight} {:?} {:?} {strictest:?}",
        limit.max, limit.max_values, limit.on_deny
    )
}

/// One text for all conditions that ask the same.
fn canonical(condition: &Condition) -> String {
    let test = match &condition.test {
        Test::Exists(wanted) => format!("exists {wanted}"),
        // One value is a list of one.
        Test::Equal { value, negated } => format!("in {negated} {:?}", BTreeSet::from([value_text(value)])),
        Test::In { values, negated } => {
            let values: BTreeSet<String> = values.iter().map(value_text).collect();
            format!("in {negated} {values:?}")
        }
        Test::Order { number, wanted } => format!("order {wanted:?} {}", number_text(number)),
        Test::Regex { regex, negated } => format!("regex {negated} {:?}", regex.as_str()),
        Test::Contains { value, negated } => format!("contains {negated} {}", value_text(value)),
        Test::Under(folders) => format!("under {:?}", folders.sorted()),
    };
    format!("{:?} {test}", condition.path.root)
}

fn value_text(value: &Json<'_>) -> String {
    match value {
        Json::Null => "null".to_owned(),
        Json::Bool(value) => value.to_string(),
        Json::Number(text) => number_text(text),
        Json::Text(text) => format!("{text:?}"),
        Json::List(items) => {
            let items: Vec<String> = items.iter().map(value_text).collect();
            format!("[{}]", items.join(","))
        }
        Json::Object(entries) => {
            let entries: BTreeSet<String> = entries
                .iter()
                .map(|(key, value)| format!("{key:?}:{}", value_text(value)))
                .collect();
            format!("{{{}}}", entries.into_iter().collect::<Vec<_>>().join(","))
        }
    }
}

fn number_text(text: &str) -> String {
    Decimal::read(text).map_or_else(|| text.to_owned(), |decimal| decimal.canonical())
}
