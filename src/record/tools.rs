//! Which tool names may be labels.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{PoisonError, RwLock, RwLockReadGuard};

/// Label of a name that neither a policy nor the server's own list knows.
pub(super) const OTHER: &str = "_other";
/// Label of a message that calls no tool.
pub(super) const NONE: &str = "_none";
/// Names learnt from one server's lists; what comes after is `_other`.
const LEARNT_AT_MOST: usize = 1_000;

/// Tool names that may be labels: from policies, and from the servers' own lists. Never a name that a
/// caller invented.
#[derive(Default)]
pub struct ToolNames {
    by_server: RwLock<BTreeMap<String, Names>>,
}

#[derive(Default)]
struct Names {
    /// In the policies that are in force.
    written: BTreeSet<String>,
    /// From lists, up to a bound.
    learnt: BTreeSet<String>,
}

impl Names {
    fn know(&self, tool: &str) -> bool {
        self.written.contains(tool) || self.learnt.contains(tool)
    }
}

impl ToolNames {
    /// The names that policies in force hold, by server, in place of those that they held before.
    pub fn written(&self, names: BTreeMap<String, BTreeSet<String>>) {
        let mut all = self.by_server.write().unwrap_or_else(PoisonError::into_inner);
        for known in all.values_mut() {
            known.written.clear();
        }
        for (server, written) in names {
            all.entry(server).or_default().written = written;
        }
    }

    /// Adds names from a list of `server`, up to a bound.
    pub fn learn<'n>(&self, server: &str, names: impl IntoIterator<Item = &'n str>) {
        let mut fresh = Vec::new();
        {
            let known = self.read();
            let known = known.get(server);
            let unknown = |name: &&str| known.is_none_or(|known| !known.know(name));
            fresh.extend(names.into_iter().filter(unknown));
        }
        if fresh.is_empty() {
            return;
        }
        let mut all = self.by_server.write().unwrap_or_else(PoisonError::into_inner);
        let learnt = &mut all.entry(server.to_owned()).or_default().learnt;
        for name in fresh {
            if learnt.len() >= LEARNT_AT_MOST {
                break;
            }
            learnt.insert(name.to_owned());
        }
    }

    /// The label that stands for the tool.
    pub(super) fn label<'t>(&self, server: &str, tool: &'t str) -> &'t str {
        if self.knows(server, tool) { tool } else { OTHER }
    }

    /// Whether the name may be shown where only known ones may.
    pub fn knows(&self, server: &str, tool: &str) -> bool {
        self.read().get(server).is_some_and(|known| known.know(tool))
    }

    fn read(&self) -> RwLockReadGuard<'_, BTreeMap<String, Names>> {
        self.by_server.read().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::{LEARNT_AT_MOST, ToolNames};

    #[test]
    fn names_are_learnt_up_to_a_bound() {
        let names = ToolNames::default();
        let many: Vec<String> = (0..LEARNT_AT_MOST + 10).map(|n| format!("t{n}")).collect();
        names.learn("s", many.iter().map(String::as_str));
        assert!(names.knows("s", "t0") && !names.knows("s", &format!("t{LEARNT_AT_MOST}")));
        assert!(!names.knows("other", "t0"));
    }

    #[test]
    fn names_of_policies_need_no_place_among_the_learnt_and_go_with_their_policies() {
        let names = ToolNames::default();
        let many: Vec<String> = (0..LEARNT_AT_MOST).map(|n| format!("t{n}")).collect();
        names.learn("s", many.iter().map(String::as_str));
        let written = |tool: &str| BTreeMap::from([("s".to_owned(), BTreeSet::from([tool.to_owned()]))]);
        names.written(written("old"));
        assert!(names.knows("s", "old"));
        names.written(written("new"));
        assert!(names.knows("s", "new") && !names.knows("s", "old") && names.knows("s", "t0"));
    }
}
