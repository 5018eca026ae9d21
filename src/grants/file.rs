//! `grants.yaml` as written, and from there to grants.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::Timestamp;
use serde::Deserialize;

use super::{CertificateName, Grant, Grants, TokenHash, certificate};
use crate::policy::{Claims, Policy};

/// What is wrong with the grants: one line a problem, each with file, place and remedy.
#[derive(Debug, thiserror::Error)]
pub enum GrantsError {
    #[error("{}: cannot read the grants: {source}; make the file with `toolgate grant new`", path.display())]
    Unreadable { path: PathBuf, source: std::io::Error },
    #[error("{}", .0.join("\n"))]
    Invalid(Vec<String>),
}

/// The file as written.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GrantsFile {
    // `grants:` with nothing below it is null
    grants: Option<Vec<GrantEntry>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct GrantEntry {
    id: String,
    token_sha256: Option<String>,
    client_certificate: Option<certificate::Written>,
    server: OneOrMany,
    policy: Option<OneOrMany>,
    expires: Option<String>,
    claims: Option<serde_json::Map<String, serde_json::Value>>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

impl OneOrMany {
    fn as_slice(&self) -> &[String] {
        match self {
            Self::One(item) => std::slice::from_ref(item),
            Self::Many(items) => items,
        }
    }
}

impl GrantsFile {
    /// Reads the text of `path`; the error has the line.
    pub fn parse(path: &Path, text: &str) -> Result<Self, GrantsError> {
        if text.trim().is_empty() {
            return Ok(Self::default());
        }
        serde_saphyr::from_str(text)
            .map_err(|error| GrantsError::Invalid(vec![format!("{}: {error}", path.display())]))
    }

    fn entries(&self) -> &[GrantEntry] {
        self.grants.as_deref().unwrap_or_default()
    }

    /// The ids, in the file's order.
    pub fn ids(&self) -> impl Iterator<Item = &str> {
        self.entries().iter().map(|entry| entry.id.as_str())
    }

    /// Resolves servers and policies by name, with every problem at once.
    pub fn resolve<'s>(
        &self,
        path: &Path,
        servers: impl IntoIterator<Item = &'s str>,
        policies: &BTreeMap<String, Arc<Policy>>,
    ) -> Result<Grants, GrantsError> {
        let servers: Vec<&str> = servers.into_iter().collect();
        let mut check = Check {
            path,
            servers,
            policies,
            problems: Vec::new(),
            tokens: HashMap::new(),
            certificates: HashMap::new(),
        };
        let mut grants = Grants::default();
        let mut ids = HashMap::new();
        for (index, entry) in self.entries().iter().enumerate() {
            let place = format!("grants[{index}] (`{}`)", entry.id);
            if let Some(first) = ids.insert(entry.id.as_str(), index) {
                check.problem(
                    &place,
                    format!("the id stands at grants[{first}] too: give each grant its own"),
                );
            }
            let token = check.token(&place, entry);
            let certificate = check.certificate(&place, entry);
            grants.add(Arc::new(check.grant(&place, entry)), token, certificate);
        }
        if check.problems.is_empty() {
            Ok(grants)
        } else {
            Err(GrantsError::Invalid(check.problems))
        }
    }
}

struct Check<'a> {
    path: &'a Path,
    servers: Vec<&'a str>,
    policies: &'a BTreeMap<String, Arc<Policy>>,
    problems: Vec<String>,
    tokens: HashMap<TokenHash, String>,
    certificates: HashMap<CertificateName, String>,
}

impl Check<'_> {
    fn problem(&mut self, place: &str, message: impl std::fmt::Display) {
        self.problems
            .push(format!("{}: {place}: {message}", self.path.display()));
    }

    fn grant(&mut self, place: &str, entry: &GrantEntry) -> Grant {
        if entry.id.is_empty() || entry.id.chars().any(|c| c.is_control() || c.is_whitespace()) {
            self.problem(place, "an id must be some characters without blanks");
        }
        for server in entry.server.as_slice() {
            if !self.servers.contains(&server.as_str()) {
                let known = self.servers.join(", ");
                self.problem(
                    place,
                    format!("the settings have no server `{server}`; they have: {known}"),
                );
            }
        }
        let names = entry.policy.as_ref().map_or(&[][..], OneOrMany::as_slice);
        let policies = names
            .iter()
            .filter_map(|name| self.policy(place, name))
            .collect::<Vec<_>>();
        for message in crate::policy::check_together(&policies) {
            self.problem(place, message);
        }
        let expires = entry
            .expires
            .as_deref()
            .and_then(|text| self.expires(place, text));
        let claims = entry
            .claims
            .as_ref()
            .and_then(|claims| self.claims(place, claims));
        Grant {
            id: entry.id.clone(),
            servers: entry.server.as_slice().to_vec(),
            policies,
            expires,
            claims,
        }
    }

    fn token(&mut self, place: &str, entry: &GrantEntry) -> Option<TokenHash> {
        let Some(text) = &entry.token_sha256 else {
            if entry.client_certificate.is_none() {
                self.problem(
                    place,
                    "nobody can act as this grant: add `token_sha256` (make it with `toolgate grant new`) or `client_certificate`",
                );
            }
            return None;
        };
        let Some(hash) = TokenHash::from_hex(text) else {
            self.problem(
                place,
                "`token_sha256` must be 64 hexadecimal digits: make it with `toolgate grant hash`",
            );
            return None;
        };
        if let Some(other) = self.tokens.insert(hash, place.to_owned()) {
            self.problem(
                place,
                format!("the token is that of {other} too: each grant needs its own"),
            );
        }
        Some(hash)
    }

    fn certificate(&mut self, place: &str, entry: &GrantEntry) -> Option<CertificateName> {
        let name = match entry.client_certificate.as_ref()?.name() {
            Ok(name) => name,
            Err(message) => {
                self.problem(place, format!("`client_certificate`: {message}"));
                return None;
            }
        };
        if let Some(other) = self.certificates.insert(name.clone(), place.to_owned()) {
            self.problem(
                place,
                format!("the certificate is that of {other} too: each grant needs its own"),
            );
        }
        Some(name)
    }

    fn policy(&mut self, place: &str, name: &str) -> Option<Arc<Policy>> {
        let found = self.policies.get(name);
        if found.is_none() {
            let known = self.policies.keys().cloned().collect::<Vec<_>>().join(", ");
            self.problem(
                place,
                format!("the settings have no policy `{name}`; they have: {known}"),
            );
        }
        found.cloned()
    }

    fn claims(&mut self, place: &str, claims: &serde_json::Map<String, serde_json::Value>) -> Option<Claims> {
        if let Some(name) = slashed(claims) {
            let message = format!(
                "the claim `{name}` holds a `/`, which separates levels: write `{}` as levels of their own",
                name.replace('/', "` and `")
            );
            self.problem(place, message);
        }
        let read = serde_json::to_string(claims)
            .ok()
            .and_then(|json| Claims::read(&json));
        if read.is_none() {
            self.problem(place, "the claims cannot be read");
        }
        read
    }

    fn expires(&mut self, place: &str, text: &str) -> Option<Timestamp> {
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

/// The first name with a slash in it, at any level of objects.
fn slashed(claims: &serde_json::Map<String, serde_json::Value>) -> Option<&str> {
    claims.iter().find_map(|(name, value)| {
        if name.contains('/') {
            return Some(name.as_str());
        }
        value.as_object().and_then(slashed)
    })
}

#[cfg(test)]
mod tests;
