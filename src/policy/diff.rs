//! What two policies decide differently, per tool, in words.
//!
//! Sound: where nothing is found, every call is admitted or refused alike and charged alike. Tool names are without
//! end, so they are taken in classes ([`classes`]): all names of a class are matched by the same globs, and one of
//! them stands for all. Rules are compared by what they say ([`facts`]), not by where they stand or in which order.

mod classes;
mod facts;
mod say;
mod words;

use std::collections::BTreeSet;

use super::compiled::{Fallback, Mode, Policy};
use classes::{TooMany, representatives};
use facts::{Standing, Treatment};
use words::{Change, changes};

/// One thing that two policies decide differently.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Difference {
    /// What it is about: a tool's name, `tools that … matches`, `tools not named`, `every tool`, `the policy`,
    /// `method …`.
    pub about: String,
    /// `was allowed, now denied`, `limit c: 10 per minute → 5 per minute`.
    pub text: String,
    /// JSON Pointer of the rule in the old policy, where there is one.
    pub was: Option<String>,
    /// The same in the new policy.
    pub now: Option<String>,
}

impl Difference {
    fn of_policy(about: &str, text: String, pointer: &str) -> Self {
        let pointer = Some(pointer.to_owned());
        Self {
            about: about.to_owned(),
            text,
            was: pointer.clone(),
            now: pointer,
        }
    }
}

/// What `new` decides differently from `old`; empty where it is nothing. `names` are tools that are looked at one by
/// one, beside those that the policies name.
pub fn diff(old: &Policy, new: &Policy, names: &[&str]) -> Vec<Difference> {
    let mut found = of_policies(old, new);
    match subjects(old, new, names) {
        Ok(subjects) => found.extend(of_subjects(subjects)),
        Err(TooMany) if say_the_same(old, new) => {}
        Err(TooMany) => found.push(Difference {
            about: "tools that globs match".to_owned(),
            text:
                "cannot be compared: more globs overlap than can be told apart; name the tools with --against"
                    .to_owned(),
            was: None,
            now: None,
        }),
    }
    found.extend(of_methods(old, new));
    found
}

/// Names that are treated alike, and what is decided for them.
struct Subject {
    about: String,
    /// Exact names come before classes, and these before all that is not named.
    rank: u8,
    changes: Vec<Change>,
    /// Whether calls may pass in both policies.
    passes: bool,
}

fn subjects(old: &Policy, new: &Policy, names: &[&str]) -> Result<Vec<Subject>, TooMany> {
    let (mut exact, mut globs): (BTreeSet<&str>, BTreeSet<&str>) = (BTreeSet::new(), BTreeSet::new());
    for policy in [old, new] {
        for key in policy.tools.keys().chain(policy.hide.keys()) {
            let is_glob = key.contains(['*', '?']);
            if is_glob { &mut globs } else { &mut exact }.insert(key);
        }
    }
    exact.extend(names);
    let classes = representatives(&globs, &exact)?;
    let exactly = exact.iter().map(|name| (*name, true));
    let classes = classes.iter().map(|name| (name.as_str(), false));
    let subject = |(name, is_exact): (&str, bool)| {
        let (was, now) = (Treatment::new(old, name), Treatment::new(new, name));
        let (about, rank) = about(name, is_exact, [was.decided_by, now.decided_by]);
        let passes = matches!(was.standing, Standing::Passes) && matches!(now.standing, Standing::Passes);
        Subject {
            about,
            rank,
            changes: changes(&was, &now),
            passes,
        }
    };
    Ok(exactly.chain(classes).map(subject).collect())
}

fn about(name: &str, is_exact: bool, decided_by: [Option<&str>; 2]) -> (String, u8) {
    if is_exact {
        return (crate::document::shown(name), 2);
    }
    let shown = crate::document::quoted;
    match decided_by {
        [Some(was), Some(now)] if was != now => (
            format!("tools that both {} and {} match", shown(was), shown(now)),
            3,
        ),
        [_, Some(glob)] | [Some(glob), None] => (format!("tools that {} matches", shown(glob)), 3),
        [None, None] => ("tools not named".to_owned(), 4),
    }
}

fn of_subjects(subjects: Vec<Subject>) -> Vec<Difference> {
    // What `all_tools` says is told once, where it holds for all that pass.
    let passing: Vec<&Subject> = subjects.iter().filter(|subject| subject.passes).collect();
    let mut common: Vec<Change> = Vec::new();
    if let (Some(first), true) = (passing.first(), passing.len() > 1) {
        let everywhere = |change: &&Change| {
            change.is_of_all_tools() && passing.iter().all(|subject| subject.changes.contains(change))
        };
        common.extend(first.changes.iter().filter(everywhere).cloned());
    }
    let mut found: BTreeSet<(u8, Difference)> = BTreeSet::new();
    for change in &common {
        found.insert((1, change.about("every tool")));
    }
    for subject in subjects {
        let own = subject
            .changes
            .iter()
            .filter(|change| !(subject.passes && common.contains(change)));
        found.extend(own.map(|change| (subject.rank, change.about(&subject.about))));
    }
    found.into_iter().map(|(_, difference)| difference).collect()
}

/// Whether both have the same names with the same rules: enough to be equal, whatever the names match.
fn say_the_same(old: &Policy, new: &Policy) -> bool {
    let keys = |policy: &Policy| -> (BTreeSet<String>, BTreeSet<String>) {
        let own = |key: &str| key.to_owned();
        (
            policy.tools.keys().map(own).collect(),
            policy.hide.keys().map(own).collect(),
        )
    };
    let same_entry = |key: &str| Treatment::of_entry(old, key).same(&Treatment::of_entry(new, key));
    old.default == new.default
        && keys(old) == keys(new)
        && old.tools.keys().all(same_entry)
        && Treatment::of_entry(old, "").same(&Treatment::of_entry(new, ""))
}

fn of_policies(old: &Policy, new: &Policy) -> Vec<Difference> {
    // Without `..`: what the language learns must be compared before this compiles again.
    let Policy {
        mode: _,
        record: _,
        // By `of_methods` and `Treatment`.
        default: _,
        methods: _,
        hide: _,
        tools: _,
        all_tools: _,
        all_blocks: _,
        // What a policy is called decides nothing, and `usages` repeat the limits.
        name: _,
        file: _,
        digest: _,
        usages: _,
    } = old;
    let mut found = Vec::new();
    if old.mode != new.mode {
        let word = |mode| match mode {
            Mode::Enforce => "in force",
            Mode::Shadow => "in shadow, where it blocks nothing",
        };
        let text = format!("was {}, now {}", word(old.mode), word(new.mode));
        found.push(Difference::of_policy("the policy", text, "/mode"));
    }
    let recorded = |policy: &Policy| -> BTreeSet<String> {
        policy.record.iter().map(|(text, _)| text.to_string()).collect()
    };
    let (was, now) = (recorded(old), recorded(new));
    for path in was.symmetric_difference(&now) {
        let verb = if now.contains(path) {
            "is now"
        } else {
            "is no longer"
        };
        let text = format!("the value of {} {verb} recorded", crate::document::quoted(path));
        found.push(Difference::of_policy("the policy", text, "/record"));
    }
    found
}

fn of_methods(old: &Policy, new: &Policy) -> Vec<Difference> {
    let mut found = Vec::new();
    let named: BTreeSet<&str> = old
        .methods
        .keys()
        .chain(new.methods.keys())
        .map(AsRef::as_ref)
        .collect();
    let is_open = |policy: &Policy, name: &str| match policy.methods.get(name) {
        Some(method) => method.allowed,
        None => policy.default == Fallback::Allow,
    };
    let rule = |policy: &Policy, name: &str| match policy.methods.get(name) {
        Some(method) => Some(method.rule.alone.clone()),
        None => Some("/default".to_owned()),
    };
    let mut compare = |name: &str, about: String| {
        let word = |open| if open { "open" } else { "closed" };
        let (was, now) = (is_open(old, name), is_open(new, name));
        if was != now {
            found.push(Difference {
                about,
                text: format!("was {}, now {}", word(was), word(now)),
                was: rule(old, name),
                now: rule(new, name),
            });
        }
    };
    for name in named {
        compare(name, format!("method {}", crate::document::quoted(name)));
    }
    // No method is called like this.
    compare("", "methods not named".to_owned());
    found
}

#[cfg(test)]
mod tests;
