//! The rules, over what `scan` read.

use std::collections::BTreeSet;

use crate::scan::{Kind, Mention, Scan};

/// One file: its path below `src/`, with `/`, and its text.
#[derive(Clone, Debug)]
pub struct Source {
    pub path: String,
    pub text: String,
}

/// The tables of `tests/architecture.rs`.
pub struct House {
    /// Each room, and the rooms that it may import, with blanks between.
    pub rooms: &'static [(&'static str, &'static str)],
    pub must_exist: &'static [&'static str],
    pub pure_rooms: &'static [&'static str],
    pub impure: &'static [&'static str],
    pub pure_crates: &'static [&'static str],
    pub may_read_env: &'static [&'static str],
    pub may_name_status: &'static [&'static str],
    pub max_lines: usize,
    pub dependencies: Vec<String>,
}

/// The name under which the binary and the tests see the library.
const CRATE: &str = "toolgate";

impl House {
    /// Every problem, each with file, line and remedy.
    pub fn check(&self, sources: &[Source]) -> Vec<String> {
        let mut problems = self.check_rooms(sources);
        let test_modules = test_modules(sources);
        for source in sources {
            let module = module_of(&source.path);
            let in_test = test_modules.iter().any(|tests| module.starts_with(tests));
            let lines = source.text.lines().count();
            if lines > self.max_lines {
                let max = self.max_lines;
                problems.push(format!(
                    "src/{}: {lines} lines, more than {max}; split the file",
                    source.path
                ));
            }
            match Scan::read(&source.text, &module, in_test) {
                Ok(scan) => problems.extend(self.check_file(source, &scan)),
                Err(why) => problems.push(format!("src/{} {why}", source.path)),
            }
        }
        problems
    }

    fn check_rooms(&self, sources: &[Source]) -> Vec<String> {
        let present: BTreeSet<&str> = sources.iter().map(|s| room_of(&s.path)).collect();
        let missing = self.must_exist.iter().filter(|room| !present.contains(*room));
        let unknown = present.iter().filter(|room| self.arrows(room).is_none());
        missing
            .map(|room| format!("src/{room}: the room is missing"))
            .chain(
                unknown
                    .map(|room| format!("src/{room}: a room that is not in the table `ROOMS`; add it there")),
            )
            .collect()
    }

    fn check_file(&self, source: &Source, scan: &Scan) -> BTreeSet<String> {
        let mut problems = BTreeSet::new();
        for mention in &scan.mentions {
            for path in scan.meanings(mention) {
                let found = [
                    self.arrow(source, mention, &path),
                    self.purity(source, mention, &path),
                    self.environment(source, mention, &path),
                    self.status(source, mention, &path),
                    layout(mention, &path),
                ];
                for problem in found.into_iter().flatten() {
                    problems.insert(format!("src/{}:{}: {problem}", source.path, mention.line));
                }
            }
        }
        problems
    }

    fn arrows(&self, room: &str) -> Option<Vec<&'static str>> {
        let (_, to) = self.rooms.iter().find(|(name, _)| *name == room)?;
        Some(to.split_whitespace().collect())
    }

    /// Rooms import only what the table allows, test code included: a test that needs more belongs into tests/.
    fn arrow(&self, source: &Source, mention: &Mention, path: &[String]) -> Option<String> {
        let room = room_of(&source.path);
        let target = self.target(room, mention, path)?;
        if target == room {
            return None;
        }
        let allowed = self.arrows(room).unwrap_or_default();
        if target.is_empty() {
            return Some(format!(
                "`{}` is the crate root; name the room that is meant",
                path.join("::")
            ));
        }
        if self.arrows(&target).is_none() {
            return Some(format!(
                "`{}` is not in a room of the table `ROOMS`",
                path.join("::")
            ));
        }
        if !allowed.contains(&target.as_str()) {
            return Some(format!(
                "`{room}` must not import `{target}`; it may import {}",
                listed(&allowed)
            ));
        }
        if matches!(mention.kind, Kind::Reexport) {
            return Some(format!(
                "`{room}` re-exports `{}`, which hides an arrow to `{target}`",
                path.join("::")
            ));
        }
        None
    }

    /// The room that a path leads to; `None` where it leads out of the crate or stays in its own module.
    fn target(&self, room: &str, mention: &Mention, path: &[String]) -> Option<String> {
        let (first, mut rest) = path.split_first()?;
        let is_use = !matches!(mention.kind, Kind::Code | Kind::Macro);
        let mut at = mention.module.clone();
        // A bare `crate` or `super` in code is the `pub(crate)` of something.
        if !is_use && rest.is_empty() {
            return None;
        }
        match first.as_str() {
            // The binary is a crate of its own, without rooms.
            "crate" if room == "main" => return None,
            "crate" | CRATE => at.clear(),
            "self" => {}
            "super" => {
                at.pop();
                while let Some((_, deeper)) = rest.split_first().filter(|(word, _)| *word == "super") {
                    at.pop();
                    rest = deeper;
                }
            }
            // In the crate root the rooms are names like any other.
            _ if at.is_empty() && room == "lib" && self.arrows(first).is_some() => rest = path,
            _ => return None,
        }
        at.extend(rest.iter().cloned());
        // `crate::` with nothing behind it is the root, except in the root itself.
        Some(at.into_iter().next().unwrap_or_else(|| {
            if room == "lib" {
                room.to_owned()
            } else {
                String::new()
            }
        }))
    }

    /// A pure room names no I/O, no clock, and only dependencies that compute. Its tests may read samples.
    fn purity(&self, source: &Source, mention: &Mention, path: &[String]) -> Option<String> {
        let room = room_of(&source.path);
        if mention.in_test || !self.pure_rooms.contains(&room) {
            return None;
        }
        let named = path.join("::");
        if self.impure.iter().any(|impure| {
            is_at_or_below(&named, impure) || mention.kind == Kind::Glob && is_at_or_below(impure, &named)
        }) {
            return Some(format!(
                "`{named}` in the pure room `{room}`; take the value as an argument"
            ));
        }
        let first = path.first()?;
        let is_path = path.len() > 1 || mention.kind != Kind::Code;
        let is_foreign = self.dependencies.contains(first) && !self.pure_crates.contains(&first.as_str());
        (is_path && is_foreign)
            .then(|| format!("`{first}` in the pure room `{room}`; it is not in the table `PURE_CRATES`"))
    }

    fn environment(&self, source: &Source, mention: &Mention, path: &[String]) -> Option<String> {
        let named = path.join("::");
        // `std::env!` is read when compiling.
        let is_env = is_at_or_below(&named, "std::env") && mention.kind != Kind::Macro;
        (is_env && !mention.in_test && !listed_file(&source.path, self.may_read_env)).then(|| {
            format!(
                "`{named}`: only {} may read the environment",
                listed(self.may_read_env)
            )
        })
    }

    fn status(&self, source: &Source, mention: &Mention, path: &[String]) -> Option<String> {
        let is_status = mention.kind == Kind::StatusNumber || path.iter().any(|name| name == "StatusCode");
        (is_status && !mention.in_test && !listed_file(&source.path, self.may_name_status)).then(|| {
            format!(
                "a status code; only {} may name one, so return a type instead",
                listed(self.may_name_status)
            )
        })
    }
}

/// What hides an import or a file from these rules.
fn layout(mention: &Mention, path: &[String]) -> Option<String> {
    match mention.kind {
        Kind::Glob if !mention.in_test => Some(format!("`use {}::*`; name what is used", path.join("::"))),
        Kind::PathAttribute => {
            Some("`#[path]` hides in which room a file is; put the file where its module is".into())
        }
        Kind::Macro if path == ["include"] => {
            Some("`include!` hides source text from this test; use a module".into())
        }
        _ => None,
    }
}

/// Modules that some file declares as `#[cfg(test)] mod name;`: their files are test code.
fn test_modules(sources: &[Source]) -> Vec<Vec<String>> {
    let scans = sources
        .iter()
        .filter_map(|s| Scan::read(&s.text, &module_of(&s.path), false).ok());
    scans.flat_map(|scan| scan.test_modules).collect()
}

/// `policy/file.rs` → `[policy, file]`; `policy/mod.rs` → `[policy]`; `lib.rs` → `[]`.
fn module_of(path: &str) -> Vec<String> {
    let mut parts: Vec<String> = path
        .trim_end_matches(".rs")
        .split('/')
        .map(str::to_owned)
        .collect();
    if parts.last().is_some_and(|last| last == "mod") || parts == ["lib"] || parts == ["main"] {
        parts.pop();
    }
    parts
}

fn room_of(path: &str) -> &str {
    path.split('/').next().unwrap_or(path).trim_end_matches(".rs")
}

fn is_at_or_below(named: &str, prefix: &str) -> bool {
    named
        .strip_prefix(prefix)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
}

fn listed_file(path: &str, list: &[&str]) -> bool {
    list.iter().any(|entry| {
        path.strip_prefix(entry)
            .is_some_and(|rest| rest == ".rs" || rest.starts_with('/'))
    })
}

fn listed(names: &[&str]) -> String {
    if names.is_empty() {
        "nothing".into()
    } else {
        format!("`{}`", names.join("`, `"))
    }
}

/// The keys under `[dependencies]`, also of one target's, as code names them.
pub fn dependency_names(manifest: &str) -> Vec<String> {
    let mut names = Vec::new();
    let mut inside = false;
    for line in manifest.lines().map(str::trim) {
        if let Some(table) = line.strip_prefix('[') {
            let table = table.trim_end_matches(']');
            let (_, tail) = table.rsplit_once("dependencies").unwrap_or(("", "?"));
            let own = table.starts_with("dependencies")
                || table.starts_with("target.") && table.contains(".dependencies");
            inside = own && tail.is_empty();
            if let (true, Some(name)) = (own, tail.strip_prefix('.')) {
                names.push(name.replace('-', "_"));
            }
        } else if let (true, Some((key, _))) = (inside && !line.starts_with('#'), line.split_once('=')) {
            let key = key.split('.').next().unwrap_or(key);
            names.push(key.trim().trim_matches('"').replace('-', "_"));
        }
    }
    names
}
