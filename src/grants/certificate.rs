//! Client certificates: the names by which a grant can know one.

use std::str::FromStr;

use jiff::Timestamp;
use serde::Deserialize;
use x509_cert::Certificate;
use x509_cert::der::Decode;
use x509_cert::ext::pkix::SubjectAltName;
use x509_cert::ext::pkix::name::GeneralName;
use x509_cert::name::Name;

/// What a client's certificate says. Its signature was checked before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientCertificate {
    /// Every URI among its alternative names.
    pub(super) uris: Vec<String>,
    /// RFC 4514.
    pub(super) subject: String,
    ends: Timestamp,
}

impl ClientCertificate {
    /// Reads DER.
    ///
    /// # Errors
    /// Where it cannot be read as a certificate of X.509.
    pub fn read(der: &[u8]) -> Result<Self, String> {
        let read = Certificate::from_der(der).map_err(|error| error.to_string())?;
        let inner = read.tbs_certificate();
        let names = inner
            .get_extension::<SubjectAltName>()
            .map_err(|error| error.to_string())?;
        let mut uris = Vec::new();
        for name in names.into_iter().flat_map(|(_, names)| names.0) {
            if let GeneralName::UniformResourceIdentifier(uri) = name {
                uris.push(uri.as_str().to_owned());
            }
        }
        let ends = inner.validity().not_after.to_unix_duration().as_secs();
        Ok(Self {
            uris,
            subject: inner.subject().to_string(),
            // one that never ends, in effect
            ends: i64::try_from(ends)
                .ok()
                .and_then(|ends| Timestamp::from_second(ends).ok())
                .unwrap_or(Timestamp::MAX),
        })
    }

    /// When it ends: a connection may outlive its certificate.
    pub const fn ends(&self) -> Timestamp {
        self.ends
    }

    /// The one URI of a certificate that has one. SPIFFE (X.509-SVID section 2) refuses several.
    pub(super) fn uri(&self) -> Option<&str> {
        match self.uris.as_slice() {
            [uri] => Some(uri),
            _ => None,
        }
    }
}

/// `client_certificate` as written: one of the two.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Written {
    uri: Option<String>,
    subject: Option<String>,
}

/// The name that a grant asks for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum CertificateName {
    Uri(String),
    /// RFC 4514, written as certificates' subjects are.
    Subject(String),
}

impl Written {
    /// # Errors
    /// What is wrong, with the remedy.
    pub(super) fn name(&self) -> Result<CertificateName, String> {
        match (&self.uri, &self.subject) {
            (Some(uri), None) if uri.contains(':') => Ok(CertificateName::Uri(uri.clone())),
            (Some(uri), None) => Err(format!("`{uri}` is no URI: write spiffe://DOMAIN/PATH")),
            (None, Some(subject)) => match Name::from_str(subject) {
                Ok(name) if !name.is_empty() => Ok(CertificateName::Subject(name.to_string())),
                _ => Err(format!(
                    "`{subject}` is no subject: write it as RFC 4514 does, such as CN=ci,O=Example"
                )),
            },
            _ => Err("write one of them: `{ uri: spiffe://… }` or `{ subject: \"CN=…\" }`".to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{CertificateName, Written};

    fn subject(text: &str) -> Result<CertificateName, String> {
        let written = Written {
            uri: None,
            subject: Some(text.to_owned()),
        };
        written.name()
    }

    #[test]
    fn subjects_are_compared_as_names_and_not_as_texts() {
        assert_eq!(
            subject("CN=ci,O=Example"),
            Ok(CertificateName::Subject("CN=ci,O=Example".to_owned()))
        );
        for bad in ["", "ci", "CN", "=x"] {
            assert!(subject(bad).is_err(), "{bad}");
        }
    }
}
