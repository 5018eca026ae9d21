//! Names and globs → values: which entry applies to a tool, found without looking at all of them.

use std::collections::HashMap;

use super::glob::Glob;

/// A map from exact names and globs. An exact name beats a glob; a glob with the longer literal
/// prefix beats a shorter one, then the one with more literal characters. Two globs that are still
/// equal must not overlap: `compile` refuses such a policy.
#[derive(Debug)]
pub(super) struct Names<T> {
    exact: HashMap<Box<str>, T>,
    /// Longest prefix first.
    levels: Vec<Level<T>>,
}

/// The globs whose literal prefix has one length in bytes, by that prefix, most literals first.
#[derive(Debug)]
struct Level<T> {
    length: usize,
    by_prefix: HashMap<Box<str>, Vec<(Glob, T)>>,
}

impl<T> Names<T> {
    pub(super) fn new(written: impl IntoIterator<Item = (String, T)>) -> Self {
        let mut names = Self {
            exact: HashMap::new(),
            levels: Vec::new(),
        };
        for (name, value) in written {
            match Glob::new(&name) {
                Some(glob) => names.insert_glob(glob, value),
                None => {
                    names.exact.insert(name.into_boxed_str(), value);
                }
            }
        }
        names
            .levels
            .sort_unstable_by_key(|level| std::cmp::Reverse(level.length));
        for globs in names
            .levels
            .iter_mut()
            .flat_map(|level| level.by_prefix.values_mut())
        {
            globs.sort_by_key(|(glob, _)| std::cmp::Reverse(glob.literals()));
        }
        names
    }

    fn insert_glob(&mut self, glob: Glob, value: T) {
        let prefix = glob.prefix();
        let length = prefix.len();
        let found = self.levels.iter().position(|level| level.length == length);
        let index = found.unwrap_or_else(|| {
            self.levels.push(Level {
                length,
                by_prefix: HashMap::new(),
            });
            self.levels.len() - 1
        });
        if let Some(level) = self.levels.get_mut(index) {
            level
                .by_prefix
                .entry(Box::from(prefix))
                .or_default()
                .push((glob, value));
        }
    }

    /// Every value, in no order.
    pub(super) fn values(&self) -> impl Iterator<Item = &T> {
        let globs = self.levels.iter().flat_map(|level| level.by_prefix.values());
        let of_globs = globs.flatten().map(|(_, value)| value);
        self.exact.values().chain(of_globs)
    }

    /// The one value that applies to `name`.
    pub(super) fn get(&self, name: &str) -> Option<&T> {
        self.exact
            .get(name)
            .or_else(|| self.levels.iter().find_map(|level| level.get(name)))
    }

    /// Every value whose name or glob matches, the one that applies first.
    pub(super) fn matching(&self, name: &str) -> impl Iterator<Item = &T> {
        let globs = self.levels.iter().flat_map(move |level| level.matching(name));
        self.exact.get(name).into_iter().chain(globs)
    }

    /// The value of the name or glob that is written like this.
    pub(super) fn written(&self, key: &str) -> Option<&T> {
        let of_glob = |glob: Glob| {
            let prefix = glob.prefix();
            let level = self.levels.iter().find(|level| level.length == prefix.len())?;
            let globs = level.by_prefix.get(prefix)?;
            globs
                .iter()
                .find(|(other, _)| other.text() == key)
                .map(|(_, value)| value)
        };
        match Glob::new(key) {
            Some(glob) => of_glob(glob),
            None => self.exact.get(key),
        }
    }

    /// Every name and glob, as written, in no order.
    pub(super) fn keys(&self) -> impl Iterator<Item = &str> {
        let globs = self.levels.iter().flat_map(|level| level.by_prefix.values());
        let globs = globs.flatten().map(|(glob, _)| glob.text());
        self.exact_names().chain(globs)
    }

    pub(super) fn exact_names(&self) -> impl Iterator<Item = &str> {
        self.exact.keys().map(AsRef::as_ref)
    }
}

impl<T> Level<T> {
    fn get(&self, name: &str) -> Option<&T> {
        self.matching(name).next()
    }

    fn matching(&self, name: &str) -> impl Iterator<Item = &T> {
        let globs = name
            .get(..self.length)
            .and_then(|prefix| self.by_prefix.get(prefix));
        let globs = globs.into_iter().flatten();
        globs
            .filter(move |(glob, _)| glob.matches(name))
            .map(|(_, value)| value)
    }
}

#[cfg(test)]
mod tests;
