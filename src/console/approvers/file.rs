//! `approvers.yaml`: as written, then checked with every problem at once.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::Timestamp;
use serde::Deserialize;

use super::{Approver, Approvers, Role};
use crate::grants::{Grants, TokenHash};
use crate::policy::NamePattern;

/// Longest `id` and `label`, in characters: an id stands on every decision's line.
const NAME_CHARS: usize = 128;

/// What is wrong with the approvers: one line a problem, each with file, place and remedy.
#[derive(Debug, thiserror::Error)]
pub enum ApproversError {
    #[error("{}: cannot read the approvers: {source}; make an entry with `toolgate approvals token`", path.display())]
    Unreadable { path: PathBuf, source: std::io::Error },
    #[error("{}", .0.join("\n"))]
    Invalid(Vec<String>),
}

/// The file as written.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ApproversFile {
    // `approvers:` with nothing below it is null
    approvers: Option<Vec<Entry>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    id: String,
    token_sha256: Option<String>,
    tokens_sha256: Option<Vec<String>>,
    role: Role,
    servers: Option<Vec<String>>,
    tools: Option<Vec<String>>,
    expires: Option<String>,
    label: Option<String>,
}

impl Entry {
    /// The hashes as written, each with its key.
    fn tokens(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let one = self.token_sha256.iter();
        let one = one.map(|hash| ("token_sha256", hash.as_str()));
        let many = self.tokens_sha256.iter().flatten();
        one.chain(many.map(|hash| ("tokens_sha256", hash.as_str())))
    }
}

impl ApproversFile {
    /// Reads the text of `path`; the error has the line.
    ///
    /// # Errors
    /// Where it is not YAML of this form.
    pub fn parse(path: &Path, text: &str) -> Result<Self, ApproversError> {
        if text.trim().is_empty() {
            return Ok(Self::default());
        }
        serde_saphyr::from_str(text)
            .map_err(|error| ApproversError::Invalid(vec![format!("{}: {error}", path.display())]))
    }

    /// The ids, in the file's order.
    pub fn ids(&self) -> impl Iterator<Item = &str> {
        self.entries().iter().map(|entry| entry.id.as_str())
    }

    fn entries(&self) -> &[Entry] {
        self.approvers.as_deref().unwrap_or_default()
    }

    /// The approvers; `servers`: those of the settings; no token may be that of one of `grants`.
    ///
    /// # Errors
    /// Every problem at once.
    pub fn resolve(
        &self,
        path: &Path,
        servers: &[&str],
        grants: &Grants,
    ) -> Result<Approvers, ApproversError> {
        let mut check = Check {
            path,
            servers,
            grants,
            problems: Vec::new(),
            tokens: HashMap::new(),
            approvers: Approvers::default(),
        };
        let mut ids = HashMap::new();
        for (index, entry) in self.entries().iter().enumerate() {
            let place = format!("approvers[{index}] (`{}`)", entry.id);
            if let Some(first) = ids.insert(entry.id.as_str(), index) {
                let message = format!(
                    "the id stands at approvers[{first}] too: give each approver its own, since two of one id count once"
                );
                check.problem(&place, message);
            }
            check.entry(&place, entry);
        }
        if check.problems.is_empty() {
            Ok(check.approvers)
        } else {
            Err(ApproversError::Invalid(check.problems))
        }
    }
}

struct Check<'a> {
    path: &'a Path,
    servers: &'a [&'a str],
    grants: &'a Grants,
    problems: Vec<String>,
    tokens: HashMap<TokenHash, String>,
    approvers: Approvers,
}

impl Check<'_> {
    fn problem(&mut self, place: &str, message: impl std::fmt::Display) {
        self.problems
            .push(format!("{}: {place}: {message}", self.path.display()));
    }

    fn entry(&mut self, place: &str, entry: &Entry) {
        let odd = |c: char| c.is_control() || c.is_whitespace();
        if entry.id.is_empty() || entry.id.chars().count() > NAME_CHARS || entry.id.contains(odd) {
            let message = format!("an id must be 1 to {NAME_CHARS} characters without blanks");
            self.problem(place, message);
        }
        let label = entry.label.as_deref().unwrap_or_default();
        if label.chars().count() > NAME_CHARS || label.chars().any(char::is_control) {
            self.problem(
                place,
                format!("`label` must be one line of at most {NAME_CHARS} characters"),
            );
        }
        let tools = entry.tools.as_deref();
        let approver = Arc::new(Approver {
            id: entry.id.clone(),
            role: entry.role,
            servers: self.servers(place, entry),
            tools: tools.map(|tools| self.tools(place, tools)),
            expires: self.expires(place, entry),
            label: entry.label.clone(),
        });
        for hash in self.tokens(place, entry) {
            self.approvers.by_token.insert(hash, Arc::clone(&approver));
        }
    }

    fn servers(&mut self, place: &str, entry: &Entry) -> Option<Vec<String>> {
        let named = entry.servers.clone()?;
        if named.is_empty() {
            self.problem(
                place,
                "`servers` is empty: name some, or leave it out to mean all",
            );
        }
        for name in &named {
            if !self.servers.contains(&name.as_str()) {
                let known = self.servers.join(", ");
                let message = format!("the settings have no server `{name}`; they have: {known}");
                self.problem(place, message);
            }
        }
        Some(named)
    }

    fn tools(&mut self, place: &str, written: &[String]) -> Vec<NamePattern> {
        if written.is_empty() {
            self.problem(place, "`tools` is empty: name some, or leave it out to mean all");
        }
        let mut patterns = Vec::new();
        for text in written {
            match NamePattern::read(text) {
                Ok(pattern) => patterns.push(pattern),
                Err(message) => self.problem(place, format!("`tools`: {message}")),
            }
        }
        patterns
    }

    /// The hashes of the entry's tokens. One that stands twice would be two persons', and that of a grant would let
    /// an agent approve its own calls.
    fn tokens(&mut self, place: &str, entry: &Entry) -> Vec<TokenHash> {
        if entry.token_sha256.is_none() && entry.tokens_sha256.is_none() {
            self.problem(
                place,
                "nobody can act as this approver: add `token_sha256` (make it with `toolgate approvals token`)",
            );
        }
        let mut hashes = Vec::new();
        for (key, text) in entry.tokens() {
            let Some(hash) = TokenHash::from_hex(text) else {
                let message =
                    format!("`{key}` must be 64 hexadecimal digits: make it with `toolgate grant hash`");
                self.problem(place, message);
                continue;
            };
            if let Some(other) = self.tokens.insert(hash, place.to_owned()) {
                let message = format!("the token is that of {other} too: each approver needs its own");
                self.problem(place, message);
            }
            if let Some(grant) = self.grants.of_hash(&hash) {
                let message = format!(
                    "the token is that of the grant `{}` too: a grant can never approve; make another with `toolgate approvals token`",
                    grant.id
                );
                self.problem(place, message);
            }
            hashes.push(hash);
        }
        hashes
    }

    fn expires(&mut self, place: &str, entry: &Entry) -> Option<Timestamp> {
        let text = entry.expires.as_deref()?;
        let parsed = text.parse();
        if parsed.is_err() {
            self.problem(
                place,
                format!("`expires: {text}` is no time: write 2027-01-01T00:00:00Z"),
            );
        }
        parsed.ok()
    }
}

#[cfg(test)]
mod tests;
