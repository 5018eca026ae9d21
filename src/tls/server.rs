//! The side of clients.

use std::sync::Arc;

use rustls::ServerConfig;
use rustls::server::WebPkiClientVerifier;
use tokio_rustls::TlsAcceptor;

use super::client::pair;
use super::files::{Contents, TlsError};
use super::live::Live;
use crate::settings::ListenTls;

/// The certificate that clients see, and by which authorities theirs are checked.
pub struct ServerTls(Live<ServerConfig>);

impl ServerTls {
    /// # Errors
    /// Where a file cannot be read or used.
    pub fn new(settings: &ListenTls) -> Result<Self, TlsError> {
        let settings = settings.clone();
        let files = settings.files();
        Ok(Self(Live::load(files, move |contents| {
            config(&settings, contents)
        })?))
    }

    /// For a new connection.
    pub fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(self.0.current())
    }

    /// Follows the files; true where something changed.
    ///
    /// # Errors
    /// Where they do not fit together: what was in force stays. Told once for the same contents.
    pub fn reload(&self) -> Result<bool, TlsError> {
        self.0.reload()
    }
}

fn config(settings: &ListenTls, contents: &Contents) -> Result<ServerConfig, TlsError> {
    let builder = ServerConfig::builder();
    let builder = match &settings.client_ca {
        None => builder.with_no_client_auth(),
        Some(ca) => {
            let roots = Arc::new(contents.authorities(ca)?);
            // clients with a bearer token need no certificate; one that is shown must be good
            let verifier = WebPkiClientVerifier::builder(roots).allow_unauthenticated();
            let verifier = verifier.build().map_err(|error| TlsError::Authority {
                path: ca.clone(),
                why: error.to_string(),
            })?;
            builder.with_client_cert_verifier(verifier)
        }
    };
    let (chain, private) = (contents.chain(&settings.cert)?, contents.key(&settings.key)?);
    let made = builder.with_single_cert(chain, private);
    let mut config = made.map_err(|error| pair(&settings.cert, &settings.key, &error))?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}
