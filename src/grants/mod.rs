//! Who calls: grants, found by what a request shows for itself.

mod certificate;
mod check;
mod file;
mod rule;
mod token;

pub use certificate::{CertificateName, ClientCertificate};
pub use file::{GrantsError, GrantsFile, Named};
pub use rule::Unmapped;
pub use token::{TokenHash, new_token};

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use jiff::Timestamp;

use crate::policy::{Claims, Policy};
use rule::Rule;

/// A caller that may reach some servers under some policies.
#[derive(Debug, Default)]
pub struct Grant {
    /// Its name for people and for conditions on `grant.id`.
    pub id: String,
    /// What it is counted, signed and recorded under where that is not the id: of a grant that a rule made from
    /// claims. See [`Grant::identity`].
    pub identity: Option<String>,
    /// The entry's `id` as the file writes it, where that is a pattern.
    pub entry: Option<String>,
    pub servers: Vec<String>,
    /// Each must allow a call; without any, every call is denied.
    pub policies: Vec<Arc<Policy>>,
    pub expires: Option<Timestamp>,
    pub revoked: bool,
    /// What people call it.
    pub label: Option<String>,
    /// What is known of it beside its id.
    pub claims: Option<Arc<Claims>>,
}

impl Grant {
    /// Whether the grant may reach `server` at `now`.
    pub fn reaches(&self, server: &str, now: Timestamp) -> bool {
        self.is_for(server) && !self.revoked && self.expires.is_none_or(|expires| now < expires)
    }

    pub fn is_for(&self, server: &str) -> bool {
        self.servers.iter().any(|name| name == server)
    }

    /// What counters, sessions and records know it by. Two grants never share it, whatever their ids look like: an id
    /// that was rendered from claims is never one.
    pub fn identity(&self) -> &str {
        self.identity.as_deref().unwrap_or(&self.id)
    }

    /// The names under which it can be blocked: its own, and that of the entry which made it.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        let entry = self.entry.as_deref().into_iter();
        [self.id.as_str(), self.identity()].into_iter().chain(entry)
    }
}

/// What a request shows for itself.
#[derive(Clone, Debug)]
pub enum Credential {
    /// A token of toolgate's own.
    Token(TokenHash),
    /// A token of an issuer's that verified.
    Claims { issuer: String, claims: Arc<Claims> },
    /// A client certificate that was checked in the handshake.
    Certificate(Arc<ClientCertificate>),
    /// Nothing at all.
    None,
}

/// All grants of one snapshot.
#[derive(Debug, Default)]
pub struct Grants {
    all: Vec<Arc<Grant>>,
    by_token: HashMap<TokenHash, Arc<Grant>>,
    by_certificate: HashMap<CertificateName, Arc<Grant>>,
    /// In the file's order.
    rules: Vec<Rule>,
    /// By server, the grant that calls without a credential act as.
    anonymous: BTreeMap<String, Arc<Grant>>,
    /// Ids that are no patterns.
    ids: HashSet<String>,
}

impl Grants {
    /// Grants with one token each. Tokens are unique; [`GrantsFile`] has checked that.
    pub fn new(entries: impl IntoIterator<Item = (TokenHash, Arc<Grant>)>) -> Self {
        let mut grants = Self::default();
        for (hash, grant) in entries {
            grants.add(Arc::clone(&grant), &[hash]);
        }
        grants
    }

    fn add(&mut self, grant: Arc<Grant>, tokens: &[TokenHash]) {
        self.ids.insert(grant.id.clone());
        for hash in tokens {
            self.by_token.insert(*hash, Arc::clone(&grant));
        }
        self.all.push(grant);
    }

    fn add_certificate(&mut self, name: CertificateName, grant: Arc<Grant>) {
        self.by_certificate.insert(name, grant);
    }

    fn add_rule(&mut self, rule: Rule) {
        self.all.push(Arc::clone(rule.grant()));
        self.rules.push(rule);
    }

    /// The grant of a bearer token. Only the token's SHA-256 is compared, in constant time: what a caller can learn
    /// from the time of the look-up is about a digest that it cannot steer.
    pub fn of_token(&self, token: &[u8]) -> Option<&Arc<Grant>> {
        self.by_token.get(&TokenHash::of(token))
    }

    /// The grant that has a token with this hash.
    pub fn of_hash(&self, hash: &TokenHash) -> Option<&Arc<Grant>> {
        self.by_token.get(hash)
    }

    /// The grant that a credential stands for at `server`. It may have ended: ask [`Grant::reaches`].
    ///
    /// # Errors
    /// [`Unmapped`] where there is none.
    pub fn find(&self, credential: &Credential, server: &str) -> Result<Arc<Grant>, Unmapped> {
        match credential {
            Credential::Token(hash) => {
                let found = self.by_token.get(hash).filter(|grant| grant.is_for(server));
                found.cloned().ok_or(Unmapped::NoGrant)
            }
            Credential::Claims { issuer, claims } => self.of_claims(issuer, claims, server),
            Credential::Certificate(certificate) => {
                let found = self
                    .of_certificate(certificate)
                    .filter(|grant| grant.is_for(server));
                found.cloned().ok_or(Unmapped::NoGrant)
            }
            Credential::None => self.anonymous.get(server).cloned().ok_or(Unmapped::NoGrant),
        }
    }

    /// The grant of a certificate's URI, or else of its subject.
    fn of_certificate(&self, certificate: &ClientCertificate) -> Option<&Arc<Grant>> {
        let by_uri = certificate.uri().map(|uri| CertificateName::Uri(uri.to_owned()));
        let by_uri = by_uri.and_then(|uri| self.by_certificate.get(&uri));
        by_uri.or_else(|| {
            let subject = CertificateName::Subject(certificate.subject.clone());
            self.by_certificate.get(&subject)
        })
    }

    /// The first rule of the file for this server that the claims match decides.
    fn of_claims(&self, issuer: &str, claims: &Arc<Claims>, server: &str) -> Result<Arc<Grant>, Unmapped> {
        let mut matching = self
            .rules
            .iter()
            .filter(|rule| rule.matches(issuer, claims, server));
        let grant = matching
            .next()
            .ok_or(Unmapped::NoGrant)?
            .grant_of(issuer, claims)?;
        if self.ids.contains(&grant.id) && grant.identity.is_some() {
            // a condition on `grant.id` could not tell the two apart
            return Err(Unmapped::TakenId);
        }
        Ok(grant)
    }

    /// Every entry once; of a pattern the entry itself.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Grant>> {
        self.all.iter()
    }

    /// The servers that are open without a credential, with the grants that calls act as.
    pub fn anonymous(&self) -> impl Iterator<Item = (&str, &Arc<Grant>)> {
        self.anonymous
            .iter()
            .map(|(server, grant)| (server.as_str(), grant))
    }
}
