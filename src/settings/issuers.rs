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
fn is_trusted(uri: &Uri) -> bool {
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
    host == "localhost"
        || address
            .parse::<IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}

/// A `jwks_uri` that a discovery document names, where it can be trusted.
pub fn trusted_url(text: &str) -> Option<Uri> {
    text.parse::<Uri>().ok().filter(is_trusted)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::settings::load_with;

    /// The problems of a file with these lines and one server.
    fn problems(lines: &str) -> String {
        let folder = std::env::temp_dir();
        let path = folder.join(format!("toolgate-issuers-{:?}.yaml", std::thread::current().id()));
        let text = format!("servers: {{ s: {{ upstream: 'http://127.0.0.1:1/mcp' }} }}\n{lines}\n");
        std::fs::write(&path, text).unwrap();
        let found =
            load_with(&path, &BTreeMap::new()).map_or_else(|error| error.to_string(), |_| String::new());
        std::fs::remove_file(&path).unwrap();
        found
    }

    #[test]
    fn symmetric_algorithms_and_none_can_never_be_allowed() {
        for algorithm in ["none", "HS256", "HS384", "HS512", "rs256", "ES512"] {
            let lines =
                format!("issuers: {{ i: {{ issuer: x, jwks: keys.json, algorithms: [{algorithm}] }} }}");
            let found = problems(&lines);
            assert!(
                found.contains(&format!("`{algorithm}` is no algorithm that can be allowed")),
                "{found}"
            );
        }
        assert_eq!(
            problems("issuers: { i: { issuer: x, jwks: keys.json, algorithms: [ES384, RS512] } }"),
            ""
        );
    }

    #[test]
    fn keys_come_over_https_from_this_machine_or_from_a_file() {
        let with = |jwks: &str| {
            problems(&format!(
                "issuers: {{ i: {{ issuer: 'https://i.example', jwks: '{jwks}' }} }}"
            ))
        };
        for good in [
            "https://i.example/keys",
            "http://127.0.0.1:8001/keys",
            "http://[::1]/k",
            "http://localhost/k",
            "keys.json",
        ] {
            assert_eq!(with(good), "", "{good}");
        }
        for bad in [
            "http://i.example/keys",
            "ftp://i.example/keys",
            "https://u:p@i.example/keys",
            "file:///keys",
            "",
        ] {
            assert!(
                with(bad).contains("`issuers.i.jwks`: keys are fetched over https"),
                "{bad}"
            );
        }
        let found = |issuer: &str| problems(&format!("issuers: {{ i: {{ issuer: '{issuer}' }} }}"));
        assert_eq!(found("https://i.example/realm"), "");
        for bad in [
            "kubernetes/serviceaccount",
            "http://i.example",
            "https://i.example?x",
        ] {
            assert!(
                found(bad).contains("its keys cannot be found from this name: add `jwks`"),
                "{bad}"
            );
        }
        assert!(found("").contains("missing: add the exact `iss`"));
    }

    #[test]
    fn what_issuers_servers_and_the_front_say_must_fit_together() {
        let issuer = "issuers: { i: { issuer: x, jwks: k } }";
        for (lines, wanted) in [
            (
                "issuers: { i: { issuer: x, jwks: k }, j: { issuer: x, jwks: k } }",
                "this is the issuer of `issuers.i` too",
            ),
            (
                &format!("listen: '0.0.0.0:1'\n{issuer}"),
                "`public_url`: needed with `issuers`",
            ),
            (
                "anonymous: { t: guest }",
                "`anonymous.t`: there is no server `t`; there are: s",
            ),
            (
                "issuers: { i: { issuer: x, jwks: k, audiences: y } }",
                "audiences",
            ),
        ] {
            let found = problems(lines);
            assert!(found.contains(wanted), "{lines}: {found}");
        }
        assert_eq!(
            problems(&format!(
                "listen: '0.0.0.0:1'\npublic_url: 'https://g.example'\n{issuer}"
            )),
            ""
        );
    }

    fn server(keys: &str, more: &str) -> String {
        let path =
            std::env::temp_dir().join(format!("toolgate-forward-{:?}.yaml", std::thread::current().id()));
        let text = format!("servers: {{ s: {{ upstream: 'http://127.0.0.1:1/mcp', {keys} }} }}\n{more}\n");
        std::fs::write(&path, text).unwrap();
        let env = BTreeMap::from([("T".to_owned(), "x".to_owned())]);
        let found =
            load_with(Path::new(&path), &env).map_or_else(|error| error.to_string(), |_| String::new());
        std::fs::remove_file(&path).unwrap();
        found
    }

    #[test]
    fn a_token_is_passed_on_only_where_an_issuer_says_for_whom_it_is() {
        let issuer = "issuers: { i: { issuer: x, jwks: k } }";
        assert_eq!(
            server(
                "authorization: forward, resource: 'https://s.example/mcp'",
                issuer
            ),
            ""
        );
        assert_eq!(server("authorization: strip", ""), "");
        for (keys, more, wanted) in [
            (
                "authorization: forward",
                "",
                "add the `issuers` that sign such tokens",
            ),
            (
                "authorization: pass",
                issuer,
                "`pass` is not known: write `strip` or `forward`",
            ),
            (
                "authorization: forward, headers: { Authorization: { env: T } }",
                issuer,
                "`headers` sets an Authorization",
            ),
            (
                "resource: 'https://s.example/#x'",
                "",
                "not a resource identifier",
            ),
            ("resource: s", "", "not a resource identifier"),
            ("scopes: ['a b']", "", "a scope is a word"),
        ] {
            let found = server(keys, more);
            assert!(found.contains(wanted), "{keys}: {found}");
        }
    }
}
