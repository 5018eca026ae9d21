//! The side of upstreams.

use std::path::Path;
use std::sync::{Arc, OnceLock};

use rustls::{ClientConfig, RootCertStore};

use super::files::{Contents, TlsError};
use super::live::Live;
use crate::settings::UpstreamTls;

/// How upstreams' certificates are checked, and what they are shown. Clones share what is in force.
#[derive(Clone)]
pub struct ClientTls(Arc<Live<ClientConfig>>);

impl ClientTls {
    /// `ca` in place of the system's authorities, and a certificate to show, as far as they are set.
    ///
    /// # Errors
    /// Where a file cannot be read or used.
    pub fn new(settings: &UpstreamTls) -> Result<Self, TlsError> {
        let settings = settings.clone();
        let files = settings.files();
        let live = Live::load(files, move |contents| config(&settings, contents))?;
        Ok(Self(Arc::new(live)))
    }

    /// For a new connection.
    pub fn config(&self) -> Arc<ClientConfig> {
        self.0.current()
    }

    /// Follows the files; true where something changed.
    ///
    /// # Errors
    /// Where they do not fit together: what was in force stays. Told once for the same contents.
    pub fn reload(&self) -> Result<bool, TlsError> {
        self.0.reload()
    }
}

/// The system's certificate authorities (`SSL_CERT_FILE` and `SSL_CERT_DIR` name others), read once.
fn system() -> Arc<RootCertStore> {
    static SYSTEM: OnceLock<Arc<RootCertStore>> = OnceLock::new();
    Arc::clone(SYSTEM.get_or_init(read_system))
}

fn read_system() -> Arc<RootCertStore> {
    let found = rustls_native_certs::load_native_certs();
    for error in &found.errors {
        tracing::warn!(%error, "a certificate authority could not be read");
    }
    let mut roots = RootCertStore::empty();
    let (added, ignored) = roots.add_parsable_certificates(found.certs);
    tracing::debug!(added, ignored, "certificate authorities for upstreams");
    Arc::new(roots)
}

fn config(settings: &UpstreamTls, contents: &Contents) -> Result<ClientConfig, TlsError> {
    let roots = match &settings.ca {
        None => system(),
        Some(ca) => Arc::new(contents.authorities(ca)?),
    };
    let builder = ClientConfig::builder().with_root_certificates(roots);
    let mut config = match &settings.identity {
        None => builder.with_no_client_auth(),
        Some((cert, key)) => {
            let (chain, private) = (contents.chain(cert)?, contents.key(key)?);
            let made = builder.with_client_auth_cert(chain, private);
            made.map_err(|error| pair(cert, key, &error))?
        }
    };
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

pub(super) fn pair(cert: &Path, key: &Path, error: &rustls::Error) -> TlsError {
    TlsError::Pair {
        cert: cert.to_owned(),
        key: key.to_owned(),
        why: error.to_string(),
    }
}
