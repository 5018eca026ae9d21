//! Sessions belong to a grant: the id that a client gets is `<upstream id>.<HMAC>`.
//!
//! To the upstream all grants look alike, so an upstream's own session id would let one grant act in
//! another's session. The proxy keeps no map: the signature is all there is.

use std::sync::OnceLock;

use data_encoding::{BASE64URL_NOPAD, HEXLOWER};
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};

use crate::settings::Secret;

/// Bytes of the HMAC-SHA-256 that stand in an id (RFC 2104 section 5 allows truncation to half).
const TAG_BYTES: usize = 16;
const SESSION: &[u8] = b"toolgate session v1";
const ENDPOINT: &[u8] = b"toolgate endpoint v1";

/// The key that signs session ids; set once, when it is known.
#[derive(Default)]
pub struct SessionKey {
    key: OnceLock<Secret<Vec<u8>>>,
}

impl SessionKey {
    pub fn set(&self, key: Secret<Vec<u8>>) {
        // the first one stays: ids that are out there must go on verifying
        let _ = self.key.set(key);
    }

    pub fn is_known(&self) -> bool {
        self.key.get().is_some()
    }

    /// The id for the client; `None` while the key is not known.
    pub fn sign(&self, server: &str, grant: &str, upstream_id: &str) -> Option<String> {
        self.signed(SESSION, [server, grant, upstream_id])
    }

    /// The token for an announced endpoint; `None` while the key is not known.
    pub fn sign_endpoint(&self, server: &str, grant: &str, endpoint: &str) -> Option<String> {
        self.signed(ENDPOINT, [server, grant, endpoint])
    }

    fn signed(&self, domain: &[u8], parts: [&str; 3]) -> Option<String> {
        let tag = self.mac(domain, parts)?.finalize().into_bytes();
        let tag = tag.get(..TAG_BYTES)?;
        let [.., text] = parts;
        Some(format!("{text}.{}", BASE64URL_NOPAD.encode(tag)))
    }

    /// The upstream's id within `id`, where this server and grant were given it.
    pub fn verify<'i>(&self, server: &str, grant: &str, id: &'i str) -> Option<&'i str> {
        self.verified(SESSION, server, grant, id)
    }

    /// The endpoint within `token`, where this server and grant were given it.
    pub fn verify_endpoint<'i>(&self, server: &str, grant: &str, token: &'i str) -> Option<&'i str> {
        self.verified(ENDPOINT, server, grant, token)
    }

    fn verified<'i>(&self, domain: &[u8], server: &str, grant: &str, text: &'i str) -> Option<&'i str> {
        let (text, tag) = text.rsplit_once('.')?;
        let tag = BASE64URL_NOPAD.decode(tag.as_bytes()).ok()?;
        if tag.len() != TAG_BYTES {
            return None;
        }
        self.mac(domain, [server, grant, text])?
            .verify_truncated_left(&tag)
            .ok()?;
        Some(text)
    }

    fn mac(&self, domain: &[u8], parts: [&str; 3]) -> Option<Hmac<Sha256>> {
        let mut mac = Hmac::<Sha256>::new_from_slice(self.key.get()?.expose()).ok()?;
        mac.update(domain);
        for part in parts {
            mac.update(&(part.len() as u64).to_be_bytes());
            mac.update(part.as_bytes());
        }
        Some(mac)
    }
}

/// What stands for a session in records: 64 bits of its hash.
pub fn shown(upstream_id: &str) -> String {
    let digest = Sha256::digest(upstream_id.as_bytes());
    HEXLOWER.encode(digest.get(..8).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::SessionKey;
    use crate::settings::Secret;

    fn key() -> SessionKey {
        let key = SessionKey::default();
        key.set(Secret::new(b"0123456789abcdef".to_vec()));
        key
    }

    #[test]
    fn an_id_verifies_for_the_grant_and_server_that_got_it() {
        let id = key().sign("s", "g", "abc.def").unwrap();
        assert_eq!(key().verify("s", "g", &id), Some("abc.def"));
    }

    #[test]
    fn an_id_of_another_grant_or_server_does_not_verify() {
        let id = key().sign("s", "g", "abc").unwrap();
        assert_eq!(key().verify("s", "h", &id), None);
        assert_eq!(key().verify("t", "g", &id), None);
        // the parts are length-prefixed: moving a letter between them changes the signature
        let shifted = key().sign("sg", "x", "abc").unwrap();
        assert_eq!(key().verify("s", "gx", &shifted), None);
    }

    #[test]
    fn an_invented_shortened_or_bare_id_does_not_verify() {
        let id = key().sign("s", "g", "abc").unwrap();
        for bad in [
            "abc",
            "abc.",
            ".",
            "",
            "abc.AAAAAAAAAAAAAAAAAAAAAA",
            id.trim_end_matches(|c| id.ends_with(c)),
            &id.replace("abc", "abd"),
        ] {
            assert_eq!(key().verify("s", "g", bad), None, "{bad}");
        }
    }

    #[test]
    fn a_session_id_is_no_endpoint_and_an_endpoint_no_session_id() {
        let (id, token) = (
            key().sign("s", "g", "abc").unwrap(),
            key().sign_endpoint("s", "g", "abc").unwrap(),
        );
        assert_eq!(key().verify_endpoint("s", "g", &token), Some("abc"));
        assert_eq!(key().verify_endpoint("s", "g", &id), None);
        assert_eq!(key().verify("s", "g", &token), None);
    }

    #[test]
    fn without_a_key_nothing_is_signed_and_nothing_verifies() {
        let id = key().sign("s", "g", "abc").unwrap();
        let none = SessionKey::default();
        assert!(!none.is_known());
        assert_eq!(none.sign("s", "g", "abc"), None);
        assert_eq!(none.verify("s", "g", &id), None);
    }
}
