//! From the file as written to grants, with every problem at once.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::Arc;

use jiff::Timestamp;

use super::file::{GrantEntry, GrantsFile, JwtEntry, Named};
use super::rule::{MADE, Pattern, Rule};
use super::{CertificateName, Grant, Grants, GrantsError, TokenHash};
use crate::policy::{Claims, Policy};

/// Checks the file's entries against the settings.
pub(super) fn resolve(file: &GrantsFile, path: &Path, named: &Named<'_>) -> Result<Grants, GrantsError> {
    let mut check = Check {
        path,
        named,
        problems: Vec::new(),
        tokens: HashMap::new(),
        certificates: HashMap::new(),
        grants: Grants::default(),
    };
    let mut ids = HashMap::new();
    for (index, entry) in file.entries().iter().enumerate() {
        let place = format!("grants[{index}] (`{}`)", entry.id);
        if let Some(first) = ids.insert(entry.id.as_str(), index) {
            check.problem(
                &place,
                format!("the id stands at grants[{first}] too: give each grant its own"),
            );
        }
        check.entry(&place, entry);
    }
    check.anonymous();
    if check.problems.is_empty() {
        Ok(check.grants)
    } else {
        Err(GrantsError::Invalid(check.problems))
    }
}

struct Check<'a> {
    path: &'a Path,
    named: &'a Named<'a>,
    problems: Vec<String>,
    tokens: HashMap<TokenHash, String>,
    certificates: HashMap<CertificateName, String>,
    grants: Grants,
}

impl Check<'_> {
    fn problem(&mut self, place: &str, message: impl std::fmt::Display) {
        self.problems
            .push(format!("{}: {place}: {message}", self.path.display()));
    }

    fn entry(&mut self, place: &str, entry: &GrantEntry) {
        if entry.id.is_empty() || entry.id.chars().any(|c| c.is_control() || c.is_whitespace()) {
            self.problem(place, "an id must be some characters without blanks");
        }
        if entry.id.starts_with(MADE) {
            self.problem(
                place,
                "an id does not start with `#`: such names are made from claims",
            );
        }
        let grant = Arc::new(self.grant(place, entry));
        let tokens = self.tokens(place, entry);
        let certificate = self.certificate(place, entry);
        match &entry.jwt {
            Some(jwt) => {
                if !tokens.is_empty() || certificate.is_some() {
                    self.problem(
                        place,
                        "a grant of an issuer's tokens has none of its own: remove one of them",
                    );
                }
                let rule = self.rule(place, entry, jwt, grant);
                rule.into_iter().for_each(|rule| self.grants.add_rule(rule));
            }
            None => {
                let open = self.named.anonymous.values().any(|id| *id == entry.id);
                if tokens.is_empty() && !entry.names_tokens() && entry.client_certificate.is_none() && !open {
                    self.problem(
                        place,
                        "nobody can act as this grant: add `token_sha256` (make it with `toolgate grant new`) or `jwt`",
                    );
                }
                if let Some(name) = certificate {
                    self.grants.add_certificate(name, Arc::clone(&grant));
                }
                self.grants.add(grant, &tokens);
            }
        }
    }

    fn grant(&mut self, place: &str, entry: &GrantEntry) -> Grant {
        for server in entry.server.as_slice() {
            if !self.named.servers.contains(&server.as_str()) {
                let known = self.named.servers.join(", ");
                self.problem(
                    place,
                    format!("the settings have no server `{server}`; they have: {known}"),
                );
            }
        }
        let policies = entry
            .policies()
            .iter()
            .filter_map(|name| self.policy(place, name))
            .collect::<Vec<_>>();
        for message in crate::policy::check_together(&policies) {
            self.problem(place, message);
        }
        let expires = entry.expires.as_deref();
        let claims = entry.claims.as_ref();
        Grant {
            id: entry.id.clone(),
            servers: entry.server.as_slice().to_vec(),
            policies,
            expires: expires.and_then(|text| self.expires(place, text)),
            claims: claims.and_then(|claims| self.claims(place, claims)).map(Arc::new),
            revoked: entry.revoked,
            label: entry.label.clone(),
            ..Grant::default()
        }
    }

    fn policy(&mut self, place: &str, name: &str) -> Option<Arc<Policy>> {
        let found = self.named.policies.get(name);
        if found.is_none() {
            let known: Vec<&str> = self.named.policies.keys().map(String::as_str).collect();
            self.problem(
                place,
                format!(
                    "the settings have no policy `{name}`; they have: {}",
                    known.join(", ")
                ),
            );
        }
        found.cloned()
    }

    /// The hashes of the entry's tokens. A token that stands twice would be two grants'.
    fn tokens(&mut self, place: &str, entry: &GrantEntry) -> Vec<TokenHash> {
        let mut hashes = Vec::new();
        for (key, text) in entry.tokens() {
            let Some(hash) = TokenHash::from_hex(text) else {
                self.problem(
                    place,
                    format!("`{key}` must be 64 hexadecimal digits: make it with `toolgate grant hash`"),
                );
                continue;
            };
            if let Some(other) = self.tokens.insert(hash, place.to_owned()) {
                self.problem(
                    place,
                    format!("the token is that of {other} too: each grant needs its own"),
                );
            }
            hashes.push(hash);
        }
        hashes
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

    fn rule(&mut self, place: &str, entry: &GrantEntry, jwt: &JwtEntry, grant: Arc<Grant>) -> Option<Rule> {
        if !self.named.issuers.contains(&jwt.issuer.as_str()) {
            let known = self.named.issuers.join(", ");
            let message = format!("the settings have no issuer `{}`; they have: {known}", jwt.issuer);
            self.problem(place, message);
        }
        if entry.claims.is_some() {
            self.problem(
                place,
                "its claims are those of the token: remove `claims` beside `jwt`",
            );
        }
        let mut wanted = Vec::new();
        for (name, value) in &jwt.claims {
            if value.is_string() || value.is_boolean() || value.is_u64() || value.is_i64() {
                wanted.push((name.clone(), value.to_string()));
            } else {
                let message = format!("the claim `{name}` must be a text, a boolean or a whole number");
                self.problem(place, message);
            }
        }
        match Pattern::read(&entry.id) {
            Ok(pattern) => Some(Rule::new(grant, jwt.issuer.clone(), wanted, pattern)),
            Err(message) => {
                self.problem(place, message);
                None
            }
        }
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

    /// Each server that is open without a token needs a grant of the file that reaches it.
    fn anonymous(&mut self) {
        let named = self.named;
        let anonymous: BTreeMap<_, _> = named
            .anonymous
            .iter()
            .filter_map(|(server, id)| {
                let grants = self.grants.all.iter();
                let mut own = grants.filter(|grant| self.grants.ids.contains(&grant.id) && grant.id == *id);
                let found = own.next().filter(|grant| grant.is_for(server)).cloned();
                if found.is_none() {
                    let message = format!(
                        "`anonymous` in the settings names `{id}` for the server `{server}`: no grant of this id and without `jwt` reaches it"
                    );
                    self.problems.push(format!("{}: {message}", self.path.display()));
                }
                Some((server.clone(), found?))
            })
            .collect();
        self.grants.anonymous = anonymous;
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
