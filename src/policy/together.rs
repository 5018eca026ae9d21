//! One usage, told in two ways: the same counter, window and scope with another mode, or with two
//! weights in one call. Checked within a policy and over all policies of a grant.

use std::collections::HashMap;
use std::collections::hash_map::Entry as Slot;
use std::sync::Arc;

use super::compiled::{Policy, Weight};
use super::glob::Glob;
use super::path::Path;
use super::shape::Report;
use super::types::{Limit, Scope, Window};
use super::window::{shown_window, unit_ms};
use crate::document::{Place, Problem, quoted};

/// A limit in force, and which calls are charged to it.
#[derive(Debug)]
pub(super) struct Usage {
    pub(super) limit: Arc<Limit>,
    pub(super) weight: Weight,
    /// The argument or claim by whose value it counts.
    pub(super) value: Option<Path>,
    /// Whether it is in shadow by itself, whatever the policy's mode.
    pub(super) shadow: bool,
    pub(super) applies: Applies,
    pub(super) place: Place,
}

#[derive(Clone, Debug)]
pub(super) enum Applies {
    /// `all_tools`.
    Everywhere,
    Exact(String),
    Glob(Glob),
}

impl Applies {
    pub(super) fn of(name: &str) -> Self {
        Glob::new(name).map_or_else(|| Self::Exact(name.to_owned()), Self::Glob)
    }

    /// The key of the entry; `None` for `all_tools`.
    pub(super) fn entry(&self) -> Option<&str> {
        match self {
            Self::Everywhere => None,
            Self::Exact(name) => Some(name),
            Self::Glob(glob) => Some(glob.text()),
        }
    }
}

/// Counter, scope (with the argument or claim that it counts by), what is counted, and whether it is in shadow.
pub(super) type Key<'u> = (&'u str, Scope, Option<&'u str>, Counted, bool);

/// What of a window tells usages apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Counted {
    /// Charges, within so many milliseconds; `None`: a month.
    Within(Option<u64>),
    /// Calls in flight, whatever the length of their leases.
    AtOnce,
}

impl Usage {
    pub(super) fn key(&self) -> Key<'_> {
        let counted = match self.limit.window {
            Window::Sliding { ms } => Counted::Within(Some(ms)),
            Window::Calendar(unit) => Counted::Within(unit_ms(unit)),
            Window::Lease { .. } => Counted::AtOnce,
        };
        let value = self.value.as_ref().map(|path| path.text.as_str());
        let limit = &self.limit;
        (&limit.counter, limit.scope, value, counted, limit.shadow)
    }
}

/// Reports every usage of one policy that contradicts an earlier one.
pub(super) fn check_within(usages: &[Usage], report: &mut Report<'_>) {
    let mut modes: HashMap<Key<'_>, &Usage> = HashMap::new();
    let mut weights: HashMap<(Key<'_>, Option<&str>), &Usage> = HashMap::new();
    for usage in usages {
        if let Some(other) = first(&mut modes, usage.key(), usage)
            && other.limit.window != usage.limit.window
        {
            report.add(usage.place, two_modes(usage, other, None));
            continue;
        }
        if let Some(other) = modes
            .get(&usage.key())
            .filter(|other| other.limit.scale != usage.limit.scale)
        {
            report.add(usage.place, two_scales(usage, other, None));
            continue;
        }
        let everywhere = weights.get(&(usage.key(), None)).copied();
        let same_entry = first(&mut weights, (usage.key(), usage.applies.entry()), usage);
        let other = [everywhere, same_entry]
            .into_iter()
            .flatten()
            .find(|other| other.weight != usage.weight);
        if let Some(other) = other {
            report.add(usage.place, two_weights(usage, other.place.line, None));
        }
    }
}

/// What was there first, if anything.
fn first<'u, K: std::hash::Hash + Eq>(
    map: &mut HashMap<K, &'u Usage>,
    key: K,
    usage: &'u Usage,
) -> Option<&'u Usage> {
    match map.entry(key) {
        Slot::Occupied(slot) => Some(slot.get()),
        Slot::Vacant(slot) => {
            slot.insert(usage);
            None
        }
    }
}

/// Checks all policies of one grant against each other; empty where they agree. Each problem stands
/// in the later policy and names the earlier one.
pub fn check_together(policies: &[Arc<Policy>]) -> Vec<Problem> {
    let mut problems = Vec::new();
    for (index, later) in policies.iter().enumerate() {
        for earlier in policies.iter().take(index) {
            check_pair(earlier, later, &mut problems);
        }
    }
    problems
}

fn check_pair(earlier: &Policy, later: &Policy, problems: &mut Vec<Problem>) {
    let mut known: HashMap<Key<'_>, Vec<&Usage>> = HashMap::new();
    for usage in &earlier.usages {
        known.entry(usage.key()).or_default().push(usage);
    }
    for usage in &later.usages {
        let others = known.get(&usage.key()).map(Vec::as_slice).unwrap_or_default();
        let file = Some(earlier.file.as_str());
        let message = if let Some(other) = others
            .iter()
            .find(|other| other.limit.window != usage.limit.window)
        {
            two_modes(usage, other, file)
        } else if let Some(other) = others.iter().find(|other| other.limit.scale != usage.limit.scale) {
            two_scales(usage, other, file)
        } else if let Some(other) = others.iter().find(|other| {
            other.weight != usage.weight && meet(earlier, &other.applies, later, &usage.applies)
        }) {
            two_weights(usage, other.place.line, file)
        } else {
            continue;
        };
        problems.push(Problem::new(&later.file, usage.place, message));
    }
}

/// Whether some call is charged to both.
fn meet(left: &Policy, ours: &Applies, right: &Policy, theirs: &Applies) -> bool {
    match (ours, theirs) {
        (Applies::Everywhere, _) | (_, Applies::Everywhere) => true,
        (Applies::Exact(name), _) => right.entry_key(name) == theirs.entry(),
        (_, Applies::Exact(name)) => left.entry_key(name) == ours.entry(),
        (Applies::Glob(ours), Applies::Glob(theirs)) => ours.overlaps(theirs),
    }
}

fn two_modes(usage: &Usage, other: &Usage, file: Option<&str>) -> String {
    let counter = quoted(&usage.limit.counter);
    let place = shown_place(other.place.line, file);
    let (here, there) = match (usage.limit.window, other.limit.window) {
        (Window::Lease { .. }, there) => {
            let (here, there) = (shown_length(usage.limit.window), shown_length(there));
            return format!(
                "the counter {counter} of calls at once has a lease of {here} here and of {there} {place}, with the same scope"
            );
        }
        (Window::Sliding { .. }, _) => ("sliding", "calendar"),
        (Window::Calendar(_), _) => ("calendar", "sliding"),
    };
    format!(
        "the counter {counter} has mode `{here}` here and `{there}` {place}, with the same window and scope"
    )
}

/// `1 hour`, `30 seconds`.
fn shown_length(window: Window) -> String {
    let shown = shown_window(window);
    if shown.starts_with(|first: char| first.is_ascii_digit()) {
        return shown;
    }
    format!("1 {shown}")
}

fn two_weights(usage: &Usage, line: u32, file: Option<&str>) -> String {
    let counter = quoted(&usage.limit.counter);
    let place = shown_place(line, file);
    let weight = match &usage.weight {
        Weight::Fixed(units) => (units / 10_u64.saturating_pow(u32::from(usage.limit.scale))).to_string(),
        Weight::From(path) => quoted(&path.text),
    };
    format!("one call would charge the counter {counter} with two weights: {weight} here, another {place}")
}

fn two_scales(usage: &Usage, other: &Usage, file: Option<&str>) -> String {
    format!(
        "the counter {} keeps {} decimal places here and {} {}, with the same window and scope",
        quoted(&usage.limit.counter),
        usage.limit.scale,
        other.limit.scale,
        shown_place(other.place.line, file)
    )
}

fn shown_place(line: u32, file: Option<&str>) -> String {
    match file {
        Some(file) => format!("at {file}:{line}"),
        None => format!("on line {line}"),
    }
}

#[cfg(test)]
mod tests;
