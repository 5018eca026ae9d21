//! The sections `tls` and `servers.NAME.upstream_tls`: where certificates and keys are.

use std::path::PathBuf;

use serde::Deserialize;

use super::load::Check;

/// Inbound TLS.
#[derive(Debug, Clone)]
pub struct ListenTls {
    /// The chain, leaf first.
    pub cert: PathBuf,
    pub key: PathBuf,
    /// Who signs the certificates of clients; without it none is asked for.
    pub client_ca: Option<PathBuf>,
}

impl ListenTls {
    /// All files that it names.
    pub fn files(&self) -> Vec<PathBuf> {
        let pair = [&self.cert, &self.key].into_iter();
        pair.chain(&self.client_ca).cloned().collect()
    }
}

/// TLS to one upstream. The default: the system's authorities, and no certificate of our own.
#[derive(Debug, Clone, Default)]
pub struct UpstreamTls {
    /// The only authorities that may sign the upstream's certificate.
    pub ca: Option<PathBuf>,
    /// A certificate chain and its key, shown to an upstream that asks.
    pub identity: Option<(PathBuf, PathBuf)>,
}

impl UpstreamTls {
    /// All files that it names.
    pub fn files(&self) -> Vec<PathBuf> {
        let identity = self.identity.iter().flat_map(|(cert, key)| [cert, key]);
        self.ca.iter().chain(identity).cloned().collect()
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ListenTlsFile {
    cert: Option<PathBuf>,
    key: Option<PathBuf>,
    client_ca: Option<PathBuf>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct UpstreamTlsFile {
    ca: Option<PathBuf>,
    cert: Option<PathBuf>,
    key: Option<PathBuf>,
}

impl Check<'_> {
    pub(super) fn listen_tls(&mut self, written: Option<&ListenTlsFile>) -> Option<ListenTls> {
        let written = written?;
        let (Some(cert), Some(key)) = (&written.cert, &written.key) else {
            self.problem("tls", "write both: `tls: { cert: tls.crt, key: tls.key }`");
            return None;
        };
        Some(ListenTls {
            cert: self.base.join(cert),
            key: self.base.join(key),
            client_ca: written.client_ca.as_ref().map(|ca| self.base.join(ca)),
        })
    }

    pub(super) fn upstream_tls(
        &mut self,
        key: &str,
        written: Option<&UpstreamTlsFile>,
        is_https: bool,
    ) -> UpstreamTls {
        let Some(written) = written else {
            return UpstreamTls::default();
        };
        if !is_https {
            self.problem(
                key,
                "the upstream is not asked over TLS: write its URL with https, or remove this",
            );
        }
        let identity = match (&written.cert, &written.key) {
            (None, None) => None,
            (Some(cert), Some(private)) => Some((self.base.join(cert), self.base.join(private))),
            _ => {
                self.problem(key, "`cert` and `key` go together: write both or neither");
                None
            }
        };
        UpstreamTls {
            ca: written.ca.as_ref().map(|ca| self.base.join(ca)),
            identity,
        }
    }
}
