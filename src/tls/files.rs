//! PEM files, and what can be wrong with them.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use sha2::{Digest, Sha256};

/// The most bytes that one file may have.
const FILE_BYTES: u64 = 1 << 20;

/// What is wrong with a certificate or a key. The text names file and remedy, and nothing of a key.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    #[error("{}: cannot be read: {source}; look at the path and at who may read it", path.display())]
    Unreadable { path: PathBuf, source: std::io::Error },
    #[error("{}: more than {FILE_BYTES} bytes, which is no certificate or key; name the right file", .0.display())]
    TooLarge(PathBuf),
    #[error(
        "{}: holds no certificate that can be read: give PEM, which begins with -----BEGIN CERTIFICATE-----",
        .0.display()
    )]
    NoCertificate(PathBuf),
    #[error(
        "{}: holds no private key that can be read: give PEM in PKCS#8, PKCS#1 or SEC1, not encrypted",
        .0.display()
    )]
    NoKey(PathBuf),
    #[error("{}: does not go with the key {}: {why}; name a certificate chain and its own key", cert.display(), key.display())]
    Pair {
        cert: PathBuf,
        key: PathBuf,
        why: String,
    },
    #[error("{}: cannot be used as a certificate authority: {why}", path.display())]
    Authority { path: PathBuf, why: String },
    #[error("TLS cannot be set up: {0}")]
    Setup(String),
}

/// Some files, read at one moment.
pub(super) struct Contents(BTreeMap<PathBuf, Vec<u8>>);

impl Contents {
    pub(super) fn read(paths: &[PathBuf]) -> Result<Self, TlsError> {
        let files = paths.iter().map(|path| Ok((path.clone(), read(path)?)));
        Ok(Self(files.collect::<Result<_, TlsError>>()?))
    }

    /// Equal for equal contents.
    pub(super) fn fingerprint(&self) -> [u8; 32] {
        let mut hash = Sha256::new();
        for bytes in self.0.values() {
            hash.update(Sha256::digest(bytes));
        }
        hash.finalize().into()
    }

    fn of(&self, path: &Path) -> &[u8] {
        self.0.get(path).map(Vec::as_slice).unwrap_or_default()
    }

    /// At least one certificate.
    pub(super) fn chain(&self, path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
        let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(self.of(path)).collect();
        match found {
            Ok(chain) if !chain.is_empty() => Ok(chain),
            _ => Err(TlsError::NoCertificate(path.to_owned())),
        }
    }

    pub(super) fn key(&self, path: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
        PrivateKeyDer::from_pem_slice(self.of(path)).map_err(|_| TlsError::NoKey(path.to_owned()))
    }

    /// The authorities of a file, each of them usable.
    pub(super) fn authorities(&self, path: &Path) -> Result<RootCertStore, TlsError> {
        let mut roots = RootCertStore::empty();
        for certificate in self.chain(path)? {
            roots.add(certificate).map_err(|error| TlsError::Authority {
                path: path.to_owned(),
                why: error.to_string(),
            })?;
        }
        Ok(roots)
    }
}

fn read(path: &Path) -> Result<Vec<u8>, TlsError> {
    let unreadable = |source| TlsError::Unreadable {
        path: path.to_owned(),
        source,
    };
    let file = File::open(path).map_err(unreadable)?;
    let mut bytes = Vec::new();
    file.take(FILE_BYTES + 1)
        .read_to_end(&mut bytes)
        .map_err(unreadable)?;
    if bytes.len() as u64 > FILE_BYTES {
        return Err(TlsError::TooLarge(path.to_owned()));
    }
    Ok(bytes)
}
