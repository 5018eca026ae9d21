//! Who calls: grants, found by the hash of the bearer token.

mod file;
mod token;

pub use file::{GrantsError, GrantsFile};
pub use token::{TokenHash, new_token};

use std::collections::HashMap;
use std::sync::Arc;

use jiff::Timestamp;

use crate::policy::{Claims, Policy};

/// A caller that may reach some servers under some policies.
#[derive(Debug)]
pub struct Grant {
    pub id: String,
    pub servers: Vec<String>,
    /// Each must allow a call; without any, every call is denied.
    pub policies: Vec<Arc<Policy>>,
    pub expires: Option<Timestamp>,
    /// What is known of it beside its id.
    pub claims: Option<Claims>,
}

impl Grant {
    /// Whether the grant may reach `server` at `now`.
    pub fn reaches(&self, server: &str, now: Timestamp) -> bool {
        self.servers.iter().any(|name| name == server) && self.expires.is_none_or(|expires| now < expires)
    }
}

/// All grants of one snapshot.
#[derive(Debug, Default)]
pub struct Grants {
    by_token: HashMap<TokenHash, Arc<Grant>>,
}

impl Grants {
    /// Builds the table. Tokens are unique; [`GrantsFile`] has checked that.
    pub fn new(entries: impl IntoIterator<Item = (TokenHash, Arc<Grant>)>) -> Self {
        Self {
            by_token: entries.into_iter().collect(),
        }
    }

    /// The grant of a bearer token. Only the token's SHA-256 is compared: what a caller can learn from the
    /// time of the look-up is about a digest that it cannot steer.
    pub fn of_token(&self, token: &[u8]) -> Option<&Arc<Grant>> {
        self.by_token.get(&TokenHash::of(token))
    }

    pub fn iter(&self) -> impl Iterator<Item = &Arc<Grant>> {
        self.by_token.values()
    }
}
