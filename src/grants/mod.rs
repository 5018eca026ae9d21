//! Who calls: grants, found by the hash of the bearer token.

mod certificate;
mod file;
mod token;

pub use certificate::{CertificateName, ClientCertificate};
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
    all: Vec<Arc<Grant>>,
    by_token: HashMap<TokenHash, Arc<Grant>>,
    by_certificate: HashMap<CertificateName, Arc<Grant>>,
}

impl Grants {
    /// Grants with one token each. Tokens are unique; [`GrantsFile`] has checked that.
    pub fn new(entries: impl IntoIterator<Item = (TokenHash, Arc<Grant>)>) -> Self {
        let mut grants = Self::default();
        for (hash, grant) in entries {
            grants.add(grant, Some(hash), None);
        }
        grants
    }

    fn add(&mut self, grant: Arc<Grant>, token: Option<TokenHash>, certificate: Option<CertificateName>) {
        let token = token.map(|token| (token, Arc::clone(&grant)));
        self.by_token.extend(token);
        let certificate = certificate.map(|name| (name, Arc::clone(&grant)));
        self.by_certificate.extend(certificate);
        self.all.push(grant);
    }

    /// The grant of a bearer token. Only the token's SHA-256 is compared: what a caller can learn from the
    /// time of the look-up is about a digest that it cannot steer.
    pub fn of_token(&self, token: &[u8]) -> Option<&Arc<Grant>> {
        self.by_token.get(&TokenHash::of(token))
    }

    /// The grant of a client certificate: that of its URI, or else that of its subject.
    pub fn of_certificate(&self, certificate: &ClientCertificate) -> Option<&Arc<Grant>> {
        let uri = certificate.uri().map(|uri| CertificateName::Uri(uri.to_owned()));
        let by_uri = uri.and_then(|uri| self.by_certificate.get(&uri));
        by_uri.or_else(|| {
            let subject = CertificateName::Subject(certificate.subject.clone());
            self.by_certificate.get(&subject)
        })
    }

    pub fn iter(&self) -> impl Iterator<Item = &Arc<Grant>> {
        self.all.iter()
    }
}
