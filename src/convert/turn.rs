//! The old rules → what toolgate says for them.

use std::collections::BTreeMap;

use super::Faults;
use super::counters::{Counter, Key, counters, path, rate_counter, whole_below};
use super::read::{ALL, Condition, Kind, Old, Rule, State, Tool};
use crate::document::{Node, Place, Value, quoted};

/// The largest number that toolgate's counters hold.
const LARGEST: u64 = 1 << 53;

/// A toolgate policy, ready to be written. Every part knows the place that it comes from.
pub(super) struct New<'n> {
    pub(super) description: Option<&'n str>,
    pub(super) allow: bool,
    pub(super) hide: Vec<(Place, &'n str)>,
    pub(super) all_tools: Entry<'n>,
    pub(super) tools: Vec<(Place, &'n str, Entry<'n>)>,
    pub(super) notes: Vec<(Place, String)>,
}

#[derive(Default)]
pub(super) struct Entry<'n> {
    /// The rule that denies the tool.
    pub(super) denied: Option<&'n Rule<'n>>,
    pub(super) require: Vec<Block<'n>>,
    /// Rules that nothing in toolgate is equal to: they refuse every call.
    pub(super) refuse: Vec<Block<'n>>,
    pub(super) limits: Vec<Limit<'n>>,
    pub(super) notes: Vec<String>,
}

pub(super) struct Block<'n> {
    pub(super) rule: &'n Rule<'n>,
    pub(super) conditions: Vec<Asked<'n>>,
}

/// A condition of toolgate's.
pub(super) struct Asked<'n> {
    pub(super) path: String,
    pub(super) op: &'n str,
    pub(super) value: Option<&'n Node>,
}

pub(super) struct Limit<'n> {
    pub(super) rule: &'n Rule<'n>,
    pub(super) counter: String,
    pub(super) window: &'n str,
    pub(super) max: u64,
    pub(super) weight: u64,
    pub(super) from: Option<String>,
}

pub(super) fn turn<'n>(old: &'n Old<'n>, faults: &mut Faults<'_>) -> New<'n> {
    let counters = counters(old, faults);
    let mut new = New {
        description: old.description,
        allow: old.allow,
        hide: old.hide.clone(),
        all_tools: Entry::default(),
        tools: Vec::new(),
        notes: Vec::new(),
    };
    for (place, name) in &old.hide {
        if *name != ALL && name.contains(['*', '?']) {
            let note = format!(
                "{} is the name of one tool there and a glob here: it may hide more",
                quoted(name)
            );
            new.notes.push((*place, note));
        }
    }
    for tool in &old.tools {
        let mut turning = Turning {
            tool,
            counters: &counters,
            entry: Entry::default(),
            bounds: BTreeMap::new(),
            notes: &mut new.notes,
            faults,
        };
        turning.rules();
        let entry = turning.entry;
        if tool.name == ALL {
            new.all_tools = entry;
        } else {
            new.tools.push((tool.place, tool.name, entry));
        }
    }
    new
}

/// What one rule says of a counter.
#[derive(Clone, Copy)]
struct Bound<'n> {
    rule: &'n Rule<'n>,
    /// `None`: nothing is small enough.
    max: Option<u64>,
}

/// One tool on its way.
struct Turning<'t, 'n, 'f> {
    tool: &'n Tool<'n>,
    counters: &'t BTreeMap<Key<'n>, Counter<'n>>,
    entry: Entry<'n>,
    bounds: BTreeMap<Key<'n>, Bound<'n>>,
    notes: &'t mut Vec<(Place, String)>,
    faults: &'t mut Faults<'f>,
}

impl<'n> Turning<'_, 'n, '_> {
    fn note(&mut self, place: Place, note: String) {
        self.entry.notes.push(note.clone());
        self.notes.push((place, note));
    }

    fn refuse(&mut self, rule: &'n Rule<'n>, place: Place, why: &str) {
        self.note(
            place,
            format!("{}: {why}, so every call is refused", quoted(rule.name)),
        );
        self.entry.refuse.push(Block {
            rule,
            conditions: Vec::new(),
        });
    }

    fn rules(&mut self) {
        let denying = |rule: &&Rule<'_>| matches!(rule.kind, Kind::Deny);
        let denied = self.tool.rules.iter().find(denying);
        if let (Some(rule), false) = (denied, self.tool.name == ALL) {
            self.entry.denied = Some(rule);
            for other in self.tool.rules.iter().filter(|other| !std::ptr::eq(*other, rule)) {
                let note = format!("{} is left out: the tool is denied anyway", quoted(other.name));
                self.note(other.place, note);
            }
            return;
        }
        for rule in &self.tool.rules {
            match &rule.kind {
                // For all tools: there is no `action` for them.
                Kind::Deny => self.entry.refuse.push(Block {
                    rule,
                    conditions: Vec::new(),
                }),
                Kind::Rate(count, window) => {
                    self.bound(
                        (self.tool.name, rate_counter(window)),
                        rule,
                        Some((*count).min(LARGEST)),
                    );
                }
                Kind::Evaluate(conditions, _) => self.conditions(rule, conditions),
            }
        }
        self.limits();
        for rule in &self.tool.rules {
            if let Kind::Evaluate(_, Some(state)) = &rule.kind {
                self.unlimited(rule, state);
            }
        }
    }

    /// A counter that no condition looks at.
    fn unlimited(&mut self, rule: &Rule<'_>, state: &State<'n>) {
        let key = (self.tool.name, state.counter);
        if !self.bounds.contains_key(&key) {
            let note = format!(
                "{}: nothing limits the counter {}, so it is left out",
                quoted(rule.name),
                quoted(state.counter)
            );
            self.note(state.place, note);
        }
    }

    fn conditions(&mut self, rule: &'n Rule<'n>, conditions: &'n [Condition<'n>]) {
        let mut asked = Vec::new();
        for condition in conditions {
            if condition.path.starts_with("state.") {
                self.state(rule, condition);
            } else {
                asked.extend(self.ask(rule, condition));
            }
        }
        if !asked.is_empty() {
            self.entry.require.push(Block {
                rule,
                conditions: asked,
            });
        }
    }

    /// `None` where it became a refusal.
    fn ask(&mut self, rule: &'n Rule<'n>, condition: &'n Condition<'n>) -> Option<Asked<'n>> {
        let (place, value) = (condition.place, condition.value);
        if condition.path.contains('[') {
            let note = format!(
                "{}: brackets are part of a key there, and of a path here",
                quoted(condition.path)
            );
            self.note(place, note);
        }
        let asked = |op, value| {
            Some(Asked {
                path: path(condition.path),
                op,
                value,
            })
        };
        match (condition.op, &value.value) {
            // There, `null` does not exist.
            ("exists", Value::Bool(true)) => asked("neq", None),
            ("exists", _) => {
                let note = format!(
                    "{}: `null` is a value here, so it is refused",
                    quoted(condition.path)
                );
                self.note(place, note);
                asked("exists", Some(value))
            }
            ("in", Value::List(items)) if items.is_empty() => {
                self.refuse(rule, place, "no value is in an empty list");
                None
            }
            ("not_in", Value::List(items)) if items.is_empty() => asked("exists", None),
            (op, _) => asked(op, Some(value)),
        }
    }

    /// A condition on a counter: a bound, if it is one that a limit can hold.
    fn state(&mut self, rule: &'n Rule<'n>, condition: &'n Condition<'n>) {
        let shown = |(owner, counter): &Key<'_>| {
            let owner = if *owner == ALL { "_global" } else { *owner };
            format!("state.{owner}.{counter}") == condition.path
        };
        let own = self
            .counters
            .keys()
            .find(|key| key.0 == self.tool.name && shown(key));
        let key = own.or_else(|| self.counters.keys().find(|key| shown(key)));
        let Some(key) = key.copied() else {
            let message = format!("no rule counts under {}", quoted(condition.path));
            self.faults.add(condition.place, message);
            return;
        };
        // Every call of a tool charges its own counters and those of all tools, and no others.
        if key.0 != self.tool.name && key.0 != ALL {
            self.refuse(
                rule,
                condition.place,
                "it looks at a counter that another tool charges, which no limit can",
            );
            return;
        }
        let (Value::Number(number), "lt" | "lte") = (&condition.value.value, condition.op) else {
            let why = format!("a limit is `lt` or `lte`, not `{}`", condition.op);
            self.refuse(rule, condition.place, &why);
            return;
        };
        let max = whole_below(number, condition.op == "lte").map(|max| max.min(LARGEST));
        if max.is_none_or(|max| max == 0) {
            self.note(
                condition.place,
                format!("{}: no call fits below {number}", quoted(rule.name)),
            );
        } else if number.contains(['.', 'e', 'E']) {
            let note = format!(
                "`{} {number}` is a `max` of {}",
                condition.op,
                max.unwrap_or_default()
            );
            self.note(condition.place, note);
        }
        self.bound(key, rule, max);
    }

    /// The smallest bound of a counter is the one that holds.
    fn bound(&mut self, key: Key<'n>, rule: &'n Rule<'n>, max: Option<u64>) {
        let bound = self.bounds.entry(key).or_insert(Bound { rule, max });
        if max < bound.max {
            *bound = Bound { rule, max };
        }
    }

    fn limits(&mut self) {
        for (key, bound) in self.bounds.clone() {
            let Some(counter) = self.counters.get(&key) else {
                continue;
            };
            let weight = if counter.from.is_some() { 1 } else { counter.weight };
            match bound.max {
                Some(max) if max >= weight => self.entry.limits.push(Limit {
                    rule: bound.rule,
                    counter: counter.name.clone(),
                    window: counter.window,
                    max,
                    weight,
                    from: counter.from.clone(),
                }),
                _ => {
                    let why = "each call counts more than its limit";
                    self.refuse(bound.rule, bound.rule.place, why);
                }
            }
            if let Some(from) = &counter.from {
                let note = format!(
                    "{}: amounts of {} that are missing, negative or not whole are refused; for decimals write `scale`",
                    quoted(bound.rule.name),
                    quoted(from)
                );
                self.note(bound.rule.place, note);
            }
        }
        // In the order of the rules, as they stand in the old file.
        self.entry.limits.sort_by_key(|limit| limit.rule.place);
    }
}
