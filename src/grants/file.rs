//! `grants.yaml` as written.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Deserialize;

use super::check::resolve;
use super::{Grants, certificate};
use crate::policy::Policy;

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
pub(super) struct GrantEntry {
    pub(super) id: String,
    token_sha256: Option<String>,
    tokens_sha256: Option<Vec<String>>,
    pub(super) jwt: Option<JwtEntry>,
    pub(super) client_certificate: Option<certificate::Written>,
    pub(super) server: OneOrMany,
    policy: Option<OneOrMany>,
    pub(super) expires: Option<String>,
    #[serde(default)]
    pub(super) revoked: bool,
    pub(super) label: Option<String>,
    pub(super) claims: Option<serde_json::Map<String, serde_json::Value>>,
}

/// Which tokens of an issuer's an entry is for.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct JwtEntry {
    pub(super) issuer: String,
    #[serde(default)]
    pub(super) claims: serde_json::Map<String, serde_json::Value>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

impl OneOrMany {
    pub(super) fn as_slice(&self) -> &[String] {
        match self {
            Self::One(item) => std::slice::from_ref(item),
            Self::Many(items) => items,
        }
    }
}

impl GrantEntry {
    pub(super) fn policies(&self) -> &[String] {
        self.policy.as_ref().map_or(&[][..], OneOrMany::as_slice)
    }

    /// The hashes as written, each with its key.
    pub(super) fn tokens(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let one = self
            .token_sha256
            .iter()
            .map(|hash| ("token_sha256", hash.as_str()));
        let many = self.tokens_sha256.iter().flatten();
        one.chain(many.map(|hash| ("tokens_sha256", hash.as_str())))
    }

    /// Whether the entry says that it has tokens, be it an empty list: the grant is then shut on purpose.
    pub(super) const fn names_tokens(&self) -> bool {
        self.token_sha256.is_some() || self.tokens_sha256.is_some()
    }
}

/// What grants may refer to.
#[derive(Debug)]
pub struct Named<'a> {
    pub servers: Vec<&'a str>,
    pub policies: &'a BTreeMap<String, Arc<Policy>>,
    pub issuers: Vec<&'a str>,
    /// By server, the id of the grant that calls without a token act as.
    pub anonymous: &'a BTreeMap<String, String>,
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

    pub(super) fn entries(&self) -> &[GrantEntry] {
        self.grants.as_deref().unwrap_or_default()
    }

    /// The ids, in the file's order.
    pub fn ids(&self) -> impl Iterator<Item = &str> {
        self.entries().iter().map(|entry| entry.id.as_str())
    }

    /// Resolves what the entries name, with every problem at once.
    pub fn resolve(&self, path: &Path, named: &Named<'_>) -> Result<Grants, GrantsError> {
        resolve(self, path, named)
    }
}

#[cfg(test)]
mod tests;
