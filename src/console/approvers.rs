//! Who may look at what waits for a person, and who may decide it: found by a token of their own.

mod file;

pub use file::{ApproversError, ApproversFile};

use std::collections::HashMap;
use std::sync::Arc;

use jiff::Timestamp;

use crate::grants::TokenHash;
use crate::policy::NamePattern;

/// What an approver may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Sees what is asked, with the names of the arguments and without their values.
    Viewer,
    /// Sees all, and decides.
    Approver,
}

impl Role {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Approver => "approver",
        }
    }
}

/// A person, or what acts for one.
#[derive(Debug)]
pub struct Approver {
    /// Stands in the record beside each of its decisions.
    pub id: String,
    pub role: Role,
    /// `None`: all.
    pub servers: Option<Vec<String>>,
    /// `None`: all.
    pub tools: Option<Vec<NamePattern>>,
    pub expires: Option<Timestamp>,
    /// What people call it.
    pub label: Option<String>,
}

impl Approver {
    pub fn reaches_server(&self, server: &str) -> bool {
        let named = |servers: &Vec<String>| servers.iter().any(|name| name == server);
        self.servers.as_ref().is_none_or(named)
    }

    pub fn reaches(&self, server: &str, tool: &str) -> bool {
        let named = |tools: &Vec<NamePattern>| tools.iter().any(|pattern| pattern.matches(tool));
        self.reaches_server(server) && self.tools.as_ref().is_none_or(named)
    }

    /// Whether nothing is out of its reach.
    pub const fn reaches_all(&self) -> bool {
        self.servers.is_none() && self.tools.is_none()
    }
}

/// All approvers of one reading of the file.
#[derive(Debug, Default)]
pub struct Approvers {
    by_token: HashMap<TokenHash, Arc<Approver>>,
}

impl Approvers {
    /// The approver of this token, unless it has ended at `now`. Hashes are compared in constant time, as those of
    /// grants are.
    pub fn find(&self, hash: &TokenHash, now: Timestamp) -> Option<&Arc<Approver>> {
        let found = self.by_token.get(hash)?;
        found.expires.is_none_or(|expires| now < expires).then_some(found)
    }

    pub fn is_empty(&self) -> bool {
        self.by_token.is_empty()
    }
}
