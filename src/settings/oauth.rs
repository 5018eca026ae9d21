//! The section `servers.NAME.oauth`: a token for the upstream by the client-credentials grant.

use std::path::{Path, PathBuf};
use std::time::Duration;

use http::Uri;
use serde::Deserialize;

use super::load::Check;
use super::{Egress, Secret, SecretSource, UpstreamTls, is_loopback};

/// Where the tokens for an upstream come from (RFC 6749 section 4.4).
#[derive(Debug, Clone)]
pub struct OAuth {
    /// `https`, or loopback.
    pub token_url: Uri,
    pub client_id: String,
    pub client_secret: CredentialSource,
    pub scope: Option<String>,
    /// RFC 8707.
    pub resource: Option<String>,
    /// The secret goes into the form instead of an `Authorization: Basic` header.
    pub secret_in_form: bool,
    /// For one request, from the name's look-up to the last byte.
    pub timeout: Duration,
    pub tls: UpstreamTls,
    /// The way to the token endpoint.
    pub egress: Egress,
}

/// A secret as it was at start, and the file to read it from again.
#[derive(Debug, Clone)]
pub struct CredentialSource {
    pub value: Secret<String>,
    /// `None`: from the environment, which does not change.
    pub file: Option<PathBuf>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct OAuthFile {
    token_url: Option<String>,
    client_id: Option<String>,
    client_secret: Option<SecretSource>,
    scope: Option<String>,
    resource: Option<String>,
    client_auth: Option<String>,
    timeout_ms: Option<u64>,
    ca: Option<PathBuf>,
}

impl Check<'_> {
    pub(super) fn oauth(&mut self, key: &str, written: &OAuthFile) -> Option<OAuth> {
        let at = |field: &str| format!("{key}.{field}");
        let token_url = match &written.token_url {
            None => {
                self.problem(
                    &at("token_url"),
                    "missing: write the authorization server's token endpoint",
                );
                None
            }
            Some(text) => self.url(&at("token_url"), text).filter(|url| {
                let safe = is_confidential(url);
                if !safe {
                    self.problem(
                        &at("token_url"),
                        "the secret would pass in the clear: write an https URL",
                    );
                }
                safe
            }),
        };
        let client_id = written.client_id.clone().filter(|id| !id.is_empty());
        if client_id.is_none() {
            self.problem(&at("client_id"), "missing: write the client's id");
        }
        let client_secret = match &written.client_secret {
            None => {
                self.problem(
                    &at("client_secret"),
                    "missing: write `{ env: NAME }` or `{ file: PATH }`",
                );
                None
            }
            Some(source) => self.credential(&at("client_secret"), source),
        };
        let secret_in_form = match written.client_auth.as_deref() {
            None | Some("basic") => false,
            Some("form") => true,
            Some(other) => {
                let hint = format!("`{other}` is not known: write `basic` or `form`");
                self.problem(&at("client_auth"), hint);
                false
            }
        };
        Some(OAuth {
            token_url: token_url?,
            client_id: client_id?,
            client_secret: client_secret?,
            scope: written.scope.clone(),
            resource: written.resource.clone(),
            secret_in_form,
            timeout: self.millis(&at("timeout_ms"), written.timeout_ms, 5_000),
            tls: UpstreamTls {
                ca: written.ca.as_ref().map(|ca| self.base.join(ca)),
                identity: None,
            },
            egress: self.egress.clone(),
        })
    }

    pub(super) fn credential(&mut self, key: &str, source: &SecretSource) -> Option<CredentialSource> {
        match source.read(self.base, &|name| self.env.get(name).cloned()) {
            Ok(value) => Some(CredentialSource {
                value,
                file: source.path(self.base),
            }),
            Err(message) => {
                self.problem(key, message);
                None
            }
        }
    }
}

impl CredentialSource {
    /// One that does not change.
    pub const fn fixed(value: Secret<String>) -> Self {
        Self { value, file: None }
    }

    /// Reads the file again; `None` where the secret comes from the environment.
    ///
    /// # Errors
    /// Where the file cannot be read or is empty; the text names the file alone.
    pub fn read_again(&self) -> Option<Result<Secret<String>, String>> {
        let file = self.file.as_ref()?;
        Some(SecretSource::of_file(file.clone()).read(Path::new(""), &|_| None))
    }
}

/// Whether what is sent there cannot be read on the way.
fn is_confidential(url: &Uri) -> bool {
    url.scheme_str() == Some("https") || url.host().is_some_and(is_loopback)
}
