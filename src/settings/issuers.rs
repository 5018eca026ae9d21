//! The section `issuers`, and what servers and the front say of who calls.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;

use http::Uri;

use super::Front;
use super::file::{IssuerFile, ServerFile, SettingsFile};
use super::load::Check;

/// How a token may be signed (RFC 7518, RFC 8037). Symmetric algorithms and `none` have no name here, so that no
/// setting can allow them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    RS256,
    RS384,
    RS512,
    PS256,
    PS384,
    PS512,
    ES256,
    ES384,
    EdDSA,
}

impl Algorithm {
    const ALL: [Self; 9] = [
        Self::RS256,
        Self::RS384,
        Self::RS512,
        Self::PS256,
        Self::PS384,
        Self::PS512,
        Self::ES256,
        Self::ES384,
        Self::EdDSA,
    ];
    const DEFAULT: [Self; 5] = [Self::RS256, Self::PS256, Self::ES256, Self::ES384, Self::EdDSA];

    /// As `alg` writes it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::RS256 => "RS256",
            Self::RS384 => "RS384",
            Self::RS512 => "RS512",
            Self::PS256 => "PS256",
            Self::PS384 => "PS384",
            Self::PS512 => "PS512",
            Self::ES256 => "ES256",
            Self::ES384 => "ES384",
            Self::EdDSA => "EdDSA",
        }
    }

    /// The algorithm of this name, letter for letter.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|algorithm| algorithm.name() == name)
    }
}

/// Where an issuer's keys are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeySource {
    Url(Uri),
    File(PathBuf),
    /// In the document at the issuer's well-known place.
    Discovery,
}

/// Who signs tokens, and what is asked of them.
#[derive(Clone, Debug)]
pub struct Issuer {
    /// The exact `iss` of its tokens.
    pub issuer: String,
    pub keys: KeySource,
    /// Certificate authorities (PEM) for fetching the keys, in place of the system's.
    pub keys_ca: Option<PathBuf>,
    /// A bearer token that is sent when the keys are fetched, read anew each time.
    pub keys_token: Option<PathBuf>,
    /// A token is for one of these; empty: for the server's own resource identifier.
    pub audience: Vec<String>,
    pub algorithms: Vec<Algorithm>,
    /// Whether clients are told to get their tokens here.
    pub advertise: bool,
}

impl Check<'_> {
    pub(super) fn issuers(&mut self, written: &SettingsFile, front: &Front) -> BTreeMap<String, Issuer> {
        let mut issuers: BTreeMap<String, Issuer> = BTreeMap::new();
        for (name, issuer) in &written.issuers {
            let Some(issuer) = self.issuer(name, issuer) else {
                continue;
            };
            let twin = issuers.iter().find(|(_, other)| other.issuer == issuer.issuer);
            if let Some((twin, _)) = twin {
                let message = format!("this is the issuer of `issuers.{twin}` too: write one of them");
                self.problem(&format!("issuers.{name}.issuer"), message);
            }
            issuers.insert(name.clone(), issuer);
        }
        let wildcard = front.listen.ip().is_unspecified() && front.public_url.is_none();
        if !issuers.is_empty() && wildcard && self.wrapped.is_none() {
            let hint = "needed with `issuers` on an address that is no name: set the URL that clients use, since tokens are issued for it";
            self.problem("public_url", hint);
        }
        issuers
    }

    fn issuer(&mut self, name: &str, written: &IssuerFile) -> Option<Issuer> {
        let key = |field: &str| format!("issuers.{name}.{field}");
        let Some(issuer) = written.issuer.clone().filter(|issuer| !issuer.is_empty()) else {
            self.problem(&key("issuer"), "missing: add the exact `iss` of its tokens");
            return None;
        };
        let keys = self.key_source(&key("jwks"), written.jwks.as_deref(), &key("issuer"), &issuer);
        let mut algorithms = Vec::new();
        for algorithm in &written.algorithms {
            match Algorithm::named(algorithm) {
                Some(known) => algorithms.push(known),
                None => {
                    let known = Algorithm::ALL.map(Algorithm::name).join(", ");
                    let message = format!("`{algorithm}` is no algorithm that can be allowed: {known}");
                    self.problem(&key("algorithms"), message);
                }
            }
        }
        if algorithms.is_empty() {
            algorithms.extend(Algorithm::DEFAULT);
        }
        Some(Issuer {
            issuer,
            keys: keys?,
            keys_ca: written.jwks_ca.as_ref().map(|path| self.base.join(path)),
            keys_token: written.jwks_token.as_ref().map(|path| self.base.join(path)),
            audience: written.audience.clone(),
            algorithms,
            advertise: written.advertise.unwrap_or(true),
        })
    }

    /// A URL, a path, or the issuer's own discovery document. Keys that came over a network in the clear would be
    /// anybody's.
    fn key_source(&mut self, key: &str, jwks: Option<&str>, at: &str, issuer: &str) -> Option<KeySource> {
        const HINT: &str =
            "keys are fetched over https, or http on loopback: write such a URL, or the path of a file";
        let is_url = |text: &str| text.contains("://");
        match jwks {
            None => {
                let fetchable = issuer.parse::<Uri>().is_ok_and(|uri| is_trusted(&uri));
                if !fetchable || issuer.contains(['?', '#']) {
                    self.problem(
                        at,
                        "its keys cannot be found from this name: add `jwks`, an https URL or a file",
                    );
                    return None;
                }
                Some(KeySource::Discovery)
            }
            Some(text) if is_url(text) => match text.parse::<Uri>() {
                Ok(uri) if is_trusted(&uri) => Some(KeySource::Url(uri)),
                _ => {
                    self.problem(key, HINT);
                    None
                }
            },
            Some(path) if !path.is_empty() => Some(KeySource::File(self.base.join(path))),
            Some(_) => {
                self.problem(key, HINT);
                None
            }
        }
    }

    pub(super) fn forwards(&mut self, key: &str, written: &ServerFile) -> bool {
        let forward = match written.authorization.as_deref() {
            None | Some("strip") => return false,
            Some("forward") => self.wrapped.is_none(),
            Some(other) => {
                let message = format!("`{other}` is not known: write `strip` or `forward`");
                self.problem(key, message);
                return false;
            }
        };
        let own = written.headers.keys();
        if own
            .into_iter()
            .any(|name| name.eq_ignore_ascii_case("authorization"))
        {
            self.problem(
                key,
                "`headers` sets an Authorization of its own: remove one of them",
            );
        }
        if written.oauth.is_some() {
            self.problem(
                key,
                "`oauth` gets a token for the same header: remove one of them",
            );
        }
        forward
    }

    /// RFC 8707 section 2: an absolute URI without a fragment.
    pub(super) fn resource(&mut self, key: &str, text: &str) -> Option<String> {
        match url::Url::parse(text) {
            Ok(url) if url.fragment().is_none() && matches!(url.scheme(), "http" | "https") => {
                Some(text.to_owned())
            }
            _ => {
                self.problem(
                    key,
                    "not a resource identifier: write the http or https URL that tokens are issued for",
                );
                None
            }
        }
    }

    /// RFC 6749 section 3.3.
    pub(super) fn scopes(&mut self, key: &str, scopes: &[String]) {
        let plain = |byte: u8| matches!(byte, 0x21 | 0x23..=0x5b | 0x5d..=0x7e);
        let fine = |scope: &String| !scope.is_empty() && scope.bytes().all(plain);
        if !scopes.iter().all(fine) {
            self.problem(key, "a scope is a word without blanks, quotes and backslashes");
        }
    }

    pub(super) fn anonymous(&mut self, written: &SettingsFile) -> BTreeMap<String, String> {
        for server in written.anonymous.keys() {
            if !written.servers.contains_key(server) && self.wrapped.is_none() {
                let known: Vec<&str> = written.servers.keys().map(String::as_str).collect();
                let message = format!("there is no server `{server}`; there are: {}", known.join(", "));
                self.problem(&format!("anonymous.{server}"), message);
            }
        }
        written.anonymous.clone()
    }

    /// Only tokens of an issuer say for which server they are.
    pub(super) fn forwarding(&mut self, written: &SettingsFile) {
        let forwards = |server: &ServerFile| server.authorization.as_deref() == Some("forward");
        if let Some((name, _)) = written.servers.iter().find(|(_, server)| forwards(server))
            && written.issuers.is_empty()
        {
            let hint = "only a token whose audience is this server is passed on: add the `issuers` that sign such tokens";
            self.problem(&format!("servers.{name}.authorization"), hint);
        }
    }
}

/// Whether what is fetched from there can be trusted: over https, or from this machine.
pub(super) fn is_trusted(uri: &Uri) -> bool {
    let Some(authority) = uri
        .authority()
        .filter(|authority| !authority.as_str().contains('@'))
    else {
        return false;
    };
    match uri.scheme_str() {
        Some("https") => true,
        Some("http") => is_loopback(authority.host()),
        _ => false,
    }
}

/// Whether a host's name or address is this machine's own.
pub fn is_loopback(host: &str) -> bool {
    let address = host.trim_start_matches('[').trim_end_matches(']');
    host.eq_ignore_ascii_case("localhost")
        || address
            .parse::<IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}

/// A `jwks_uri` that a discovery document names, where it can be trusted.
pub fn trusted_url(text: &str) -> Option<Uri> {
    text.parse::<Uri>().ok().filter(is_trusted)
}

#[cfg(test)]
mod tests;
