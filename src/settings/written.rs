//! The settings file as it is written, to tell what of it a running gate cannot take over.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::{Map, Value};

/// Keys that a running gate takes over.
const RELOADED: [&str; 4] = ["anonymous", "approvals.approvers", "grants", "policies"];
/// Sections whose entries are told one by one.
const BY_ENTRY: [&str; 2] = ["approvals", "servers"];

/// A settings file's keys and values. It may hold passwords: it has no `Debug`.
pub struct Written(Map<String, Value>);

impl Written {
    /// `None` where the file cannot be read as settings: whoever loads it says why.
    pub fn read(path: &Path) -> Option<Self> {
        let text = std::fs::read_to_string(path).ok()?;
        serde_saphyr::from_str(&text).ok().map(Self)
    }

    /// The keys that differ in `now` and are in force only after a restart, in order.
    pub fn needs_restart(&self, now: &Self) -> Vec<String> {
        let keys = differing(&self.0, &now.0).into_iter();
        let keys = keys.flat_map(|key| {
            if !BY_ENTRY.contains(&key) {
                return vec![key.to_owned()];
            }
            let (before, now) = (entries(self.0.get(key)), entries(now.0.get(key)));
            let entries = differing(&before, &now).into_iter();
            entries.map(|entry| format!("{key}.{entry}")).collect()
        });
        keys.filter(|key| !RELOADED.contains(&key.as_str())).collect()
    }
}

/// A section that is left out has none.
fn entries(section: Option<&Value>) -> Map<String, Value> {
    let entries = section.and_then(Value::as_object);
    entries.cloned().unwrap_or_default()
}

fn differing<'v>(one: &'v Map<String, Value>, other: &'v Map<String, Value>) -> BTreeSet<&'v str> {
    let keys = one.keys().chain(other.keys());
    let keys = keys.filter(|key| one.get(*key) != other.get(*key));
    keys.map(String::as_str).collect()
}

#[cfg(test)]
mod tests {
    use super::Written;

    fn written(text: &str) -> Written {
        Written(serde_saphyr::from_str(text).unwrap())
    }

    #[test]
    fn what_needs_a_restart_is_named_and_what_is_reloaded_is_not() {
        let before = written(
            "listen: 127.0.0.1:1\nservers: {a: {upstream: x}, b: {upstream: y}}\npolicies: {p: p.json}\n",
        );
        let now = written(
            "drain_ms: 5\nservers: {a: {upstream: x}, b: {upstream: z}, c: {upstream: y}}\npolicies: {q: q.json}\ngrants: g.yaml\n",
        );
        assert_eq!(
            before.needs_restart(&now),
            ["drain_ms", "listen", "servers.b", "servers.c"]
        );
        assert!(before.needs_restart(&before).is_empty());
    }

    #[test]
    fn of_approvals_the_approvers_are_taken_over_and_the_rest_is_named() {
        let before = written("approvals: {approvers: a.yaml, hold_ms: 1}\n");
        let other = written("approvals: {approvers: b.yaml, hold_ms: 1}\n");
        assert!(before.needs_restart(&other).is_empty());
        let more = written("approvals: {approvers: b.yaml, hold_ms: 2, expires: 1h}\n");
        let keys = ["approvals.expires", "approvals.hold_ms"];
        assert_eq!(before.needs_restart(&more), keys);
        let none = written("grants: g.yaml\n");
        assert_eq!(before.needs_restart(&none), ["approvals.hold_ms"]);
        assert_eq!(none.needs_restart(&before), ["approvals.hold_ms"]);
    }
}
