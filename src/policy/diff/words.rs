//! Two treatments of one tool → what changed, in words.

use serde_json::Value;

use super::super::arguments::Arguments;
use super::Difference;
use super::facts::{Fact, Kind, Standing, Treatment};
use crate::document::{quoted, shown};

/// How many parts of a schema one line tells.
const SHOWN: usize = 4;

/// A difference that is not yet about anything.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Change {
    text: String,
    was: Option<String>,
    now: Option<String>,
}

impl Change {
    pub(super) fn about(&self, about: &str) -> Difference {
        Difference {
            about: about.to_owned(),
            text: self.text.clone(),
            was: self.was.clone(),
            now: self.now.clone(),
        }
    }

    /// Whether it comes from `all_tools` alone.
    pub(super) fn is_of_all_tools(&self) -> bool {
        let of_all = |rule: &Option<String>| rule.as_ref().is_none_or(|rule| rule.starts_with("/all_tools/"));
        of_all(&self.was) && of_all(&self.now) && (self.was.is_some() || self.now.is_some())
    }
}

/// Everything that changed; empty exactly where [`Treatment::same`] holds.
pub(super) fn changes(was: &Treatment<'_>, now: &Treatment<'_>) -> Vec<Change> {
    if was.same(now) {
        return Vec::new();
    }
    if was.standing != now.standing {
        return vec![standing(was, now)];
    }
    let mut found = Vec::new();
    found.extend(schema(was.arguments, now.arguments));
    found.extend(facts(&was.facts, &now.facts));
    found
}

fn standing(was: &Treatment<'_>, now: &Treatment<'_>) -> Change {
    let text = match (&was.standing, &now.standing) {
        (Standing::Denied(_), Standing::Denied(reason)) => {
            let reason = reason.as_deref().unwrap_or("the policy denies this tool");
            format!("is denied as before, and told {}", quoted(reason))
        }
        (before, Standing::Passes) => format!("was {}, now allowed{}", word(before), under(now)),
        (before, after) => format!("was {}, now {}", word(before), word(after)),
    };
    Change {
        text,
        was: was.rule.clone(),
        now: now.rule.clone(),
    }
}

const fn word(standing: &Standing) -> &'static str {
    match standing {
        Standing::Hidden => "hidden",
        Standing::Denied(_) => "denied",
        Standing::Passes => "allowed",
    }
}

/// What holds a tool that is now let through.
fn under(now: &Treatment<'_>) -> String {
    let mut rules: Vec<String> = now.facts.iter().map(say).collect();
    if now.arguments.is_some() {
        rules.insert(0, "a schema for its arguments".to_owned());
    }
    if rules.is_empty() {
        String::new()
    } else {
        format!(" under {}", rules.join("; "))
    }
}

fn say(fact: &Fact) -> String {
    match &fact.kind {
        Kind::Require => format!("require: {}", fact.text),
        Kind::DenyIf => format!("deny_if: {}", fact.text),
        Kind::ApproveIf => format!("approval: {}", fact.text),
        Kind::Limit(counter) => format!("limit {}: {}", shown(counter), fact.text),
    }
}

fn facts(was: &[Fact], now: &[Fact]) -> Vec<Change> {
    let missing = |from: &[Fact], facts: &[Fact]| -> Vec<Fact> {
        let same = |one: &Fact, other: &Fact| one.slot == other.slot && one.detail == other.detail;
        let gone = facts
            .iter()
            .filter(|fact| !from.iter().any(|other| same(fact, other)));
        gone.cloned().collect()
    };
    let (mut gone, new) = (missing(now, was), missing(was, now));
    let mut found = Vec::new();
    let mut added = Vec::new();
    for fact in new {
        // The same usage before, or else another limit of the same counter.
        let same_counter = |old: &&Fact| matches!(fact.kind, Kind::Limit(_)) && old.kind == fact.kind;
        let pair = gone
            .iter()
            .position(|old| old.slot == fact.slot)
            .or_else(|| gone.iter().position(|old| same_counter(&old)));
        match pair {
            Some(at) => found.push(changed(&gone.remove(at), &fact)),
            None => added.push(fact),
        }
    }
    found.extend(gone.iter().map(|fact| Change {
        text: format!("no longer {}", say(fact)),
        was: Some(fact.rule.clone()),
        now: None,
    }));
    found.extend(added.iter().map(|fact| Change {
        text: format!("new {}", say(fact)),
        was: None,
        now: Some(fact.rule.clone()),
    }));
    found
}

fn changed(was: &Fact, now: &Fact) -> Change {
    let text = match &now.kind {
        Kind::Limit(counter) if was.text != now.text => {
            format!("limit {}: {} → {}", shown(counter), was.text, now.text)
        }
        Kind::ApproveIf if was.text != now.text => format!("approval: {} → {}", was.text, now.text),
        Kind::ApproveIf => format!("{}, told otherwise where it asks", say(now)),
        _ => format!("{}, told otherwise where it refuses", say(now)),
    };
    Change {
        text,
        was: Some(was.rule.clone()),
        now: Some(now.rule.clone()),
    }
}

fn schema(was: Option<(&str, &Arguments)>, now: Option<(&str, &Arguments)>) -> Option<Change> {
    let text = match (was, now) {
        (None, None) => return None,
        (Some(_), None) => "no longer a schema for its arguments".to_owned(),
        (None, Some(_)) => "new schema for its arguments".to_owned(),
        (Some((_, was)), Some((_, now))) if was.schema() == now.schema() => return None,
        (Some((_, was)), Some((_, now))) => {
            let mut parts = Vec::new();
            compare(was.schema(), now.schema(), String::new(), &mut parts);
            let beside = parts.len().saturating_sub(SHOWN);
            parts.truncate(SHOWN);
            if beside > 0 {
                parts.push(format!("{beside} more"));
            }
            format!("schema of its arguments: {}", parts.join(", "))
        }
    };
    let rule = |of: Option<(&str, _)>| of.map(|(rule, _)| rule.to_owned());
    Some(Change {
        text,
        was: rule(was),
        now: rule(now),
    })
}

/// Where two schemas differ, by JSON Pointer.
fn compare(was: &Value, now: &Value, at: String, parts: &mut Vec<String>) {
    match (was, now) {
        (was, now) if was == now => {}
        (Value::Object(was), Value::Object(now)) => {
            for (key, before) in was {
                let at = format!("{at}/{}", key.replace('~', "~0").replace('/', "~1"));
                match now.get(key) {
                    Some(after) => compare(before, after, at, parts),
                    None => parts.push(format!("{} is gone", shown(&at))),
                }
            }
            for key in now.keys().filter(|key| !was.contains_key(*key)) {
                let at = format!("{at}/{}", key.replace('~', "~0").replace('/', "~1"));
                parts.push(format!("{} is new", shown(&at)));
            }
        }
        (was, now) => parts.push(format!(
            "{} {} → {}",
            shown(&at),
            shown(&was.to_string()),
            shown(&now.to_string())
        )),
    }
}
