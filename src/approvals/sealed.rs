//! What the store is given to keep: records that only a replica with the key can have made, and arguments that
//! only such a one can read.

use std::fmt;

use data_encoding::HEXLOWER;
use hmac::{Hmac, KeyInit, Mac};
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use sha2::Sha256;

use super::ApprovalsError;
use super::approval::ApprovalId;
use super::life::Record;

/// The form of a record; one of another form counts as none.
const FORM: u8 = 1;
/// Bytes of HMAC-SHA-256 behind a record.
const TAG: usize = 32;

/// The keys, all made from one secret that the store never holds.
pub struct Seal {
    /// Parts the stores' prefixes: a record of one counts for nothing in another.
    realm: String,
    records: [u8; 32],
    calls: [u8; 32],
    states: [u8; 32],
    arguments: LessSafeKey,
}

impl fmt::Debug for Seal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Seal").finish_non_exhaustive()
    }
}

impl Seal {
    /// # Errors
    /// [`ApprovalsError::Sealing`] for a key that cannot be used, which no 32 bytes are.
    pub fn new(secret: &[u8], realm: &str) -> Result<Self, ApprovalsError> {
        let key = |purpose: &str| mac(secret, &[b"toolgate approvals v1", purpose.as_bytes()]);
        let arguments = UnboundKey::new(&AES_256_GCM, &key("arguments")?);
        Ok(Self {
            realm: realm.to_owned(),
            records: key("records")?,
            calls: key("calls")?,
            states: key("states")?,
            arguments: LessSafeKey::new(arguments.map_err(|_| ApprovalsError::Sealing)?),
        })
    }

    /// Keys that nobody else has.
    ///
    /// # Errors
    /// [`ApprovalsError::Randomness`]
    pub fn random() -> Result<Self, ApprovalsError> {
        let mut secret = [0; 32];
        getrandom::fill(&mut secret).map_err(|_| ApprovalsError::Randomness)?;
        Self::new(&secret, "")
    }

    /// A name for what these parts say together, which tells nobody without the key what they are.
    ///
    /// # Errors
    /// [`ApprovalsError::Sealing`]
    pub fn digest(&self, parts: &[&[u8]]) -> Result<String, ApprovalsError> {
        mac(&self.calls, parts).map(|tag| HEXLOWER.encode(&tag))
    }

    /// A signature for what is given out and comes back.
    ///
    /// # Errors
    /// [`ApprovalsError::Sealing`]
    pub fn sign(&self, parts: &[&[u8]]) -> Result<[u8; TAG], ApprovalsError> {
        mac(&self.states, parts)
    }

    /// Whether [`Seal::sign`] made it of these parts.
    pub fn verifies(&self, parts: &[&[u8]], tag: &[u8]) -> bool {
        verifies(&self.states, parts, tag)
    }

    /// # Errors
    /// [`ApprovalsError::Sealing`]
    pub fn record(&self, id: ApprovalId, record: &Record) -> Result<Vec<u8>, ApprovalsError> {
        let mut bytes = vec![FORM];
        serde_json::to_writer(&mut bytes, record).map_err(|_| ApprovalsError::Sealing)?;
        let tag = mac(&self.records, &self.named(&id.to_string(), &bytes))?;
        bytes.extend_from_slice(&tag);
        Ok(bytes)
    }

    /// What is written in a record; `None` where no replica with this key made it for this id.
    pub fn read(&self, id: ApprovalId, sealed: &[u8]) -> Option<Record> {
        let (bytes, tag) = sealed.split_at_checked(sealed.len().checked_sub(TAG)?)?;
        if !verifies(&self.records, &self.named(&id.to_string(), bytes), tag) {
            return None;
        }
        match bytes.split_first() {
            Some((&FORM, json)) => serde_json::from_slice(json).ok(),
            _ => None,
        }
    }

    /// Hides a call's arguments; those of a call without any too.
    ///
    /// # Errors
    /// [`ApprovalsError::Randomness`] and [`ApprovalsError::Sealing`]
    pub fn hide(&self, id: ApprovalId, arguments: Option<&str>) -> Result<Vec<u8>, ApprovalsError> {
        let mut nonce = [0; NONCE_LEN];
        getrandom::fill(&mut nonce).map_err(|_| ApprovalsError::Randomness)?;
        let mut hidden = match arguments {
            Some(arguments) => [b"+", arguments.as_bytes()].concat(),
            None => b"-".to_vec(),
        };
        let aad = self.aad(id);
        let unique = Nonce::assume_unique_for_key(nonce);
        let sealed = self
            .arguments
            .seal_in_place_append_tag(unique, Aad::from(aad), &mut hidden);
        sealed.map_err(|_| ApprovalsError::Sealing)?;
        Ok([&nonce[..], &hidden].concat())
    }

    /// The arguments of a call that had any; `None` also where they were not hidden by [`Seal::hide`] for this id.
    pub fn show(&self, id: ApprovalId, hidden: &[u8]) -> Option<String> {
        let (nonce, rest) = hidden.split_first_chunk::<NONCE_LEN>()?;
        let mut rest = rest.to_vec();
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let shown = self
            .arguments
            .open_in_place(nonce, Aad::from(self.aad(id)), &mut rest);
        match shown.ok()?.split_first()? {
            (b'+', arguments) => String::from_utf8(arguments.to_vec()).ok(),
            _ => None,
        }
    }

    fn aad(&self, id: ApprovalId) -> Vec<u8> {
        format!("{id}{}", self.realm).into_bytes()
    }

    fn named<'p>(&'p self, id: &'p str, bytes: &'p [u8]) -> [&'p [u8]; 3] {
        [self.realm.as_bytes(), id.as_bytes(), bytes]
    }
}

fn keyed(key: &[u8], parts: &[&[u8]]) -> Option<Hmac<Sha256>> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).ok()?;
    for part in parts {
        mac.update(&u64::try_from(part.len()).ok()?.to_be_bytes());
        mac.update(part);
    }
    Some(mac)
}

fn mac(key: &[u8], parts: &[&[u8]]) -> Result<[u8; TAG], ApprovalsError> {
    let mac = keyed(key, parts).ok_or(ApprovalsError::Sealing)?;
    Ok(mac.finalize().into_bytes().into())
}

fn verifies(key: &[u8], parts: &[&[u8]], tag: &[u8]) -> bool {
    keyed(key, parts).is_some_and(|mac| mac.verify_slice(tag).is_ok())
}

#[cfg(test)]
mod tests {
    use super::Seal;
    use crate::approvals::approval::{ApprovalId, State};
    use crate::approvals::life::Record;

    fn seal(secret: &[u8], realm: &str) -> Seal {
        Seal::new(secret, realm).unwrap()
    }

    fn record() -> Record {
        Record {
            state: State::Pending,
            run: "r".into(),
            grant: "g".into(),
            whose: "w".into(),
            server: "s".into(),
            tool: "t".into(),
            digest: "d".into(),
            created_ms: 1,
            expires_ms: 2,
            needed: 1,
            decisions: Vec::new(),
            mark: None,
        }
    }

    #[test]
    fn a_record_is_read_under_its_id_by_the_same_key_and_realm_alone() {
        let (id, other) = (ApprovalId::random().unwrap(), ApprovalId::random().unwrap());
        let sealed = seal(b"key", "a").record(id, &record()).unwrap();
        assert_eq!(seal(b"key", "a").read(id, &sealed), Some(record()));
        assert_eq!(seal(b"key", "a").read(other, &sealed), None);
        assert_eq!(seal(b"key", "b").read(id, &sealed), None);
        assert_eq!(seal(b"kez", "a").read(id, &sealed), None);
    }

    #[test]
    fn a_record_of_which_any_byte_was_changed_is_none() {
        let id = ApprovalId::random().unwrap();
        let seal = seal(b"key", "a");
        let sealed = seal.record(id, &record()).unwrap();
        for place in 0..sealed.len() {
            let mut forged = sealed.clone();
            forged[place] ^= 1;
            assert_eq!(seal.read(id, &forged), None, "byte {place}");
            assert_eq!(seal.read(id, &sealed[..place]), None, "cut at {place}");
        }
    }

    #[test]
    fn hidden_arguments_are_shown_under_their_id_alone_and_cannot_be_read_as_they_lie() {
        let (id, other) = (ApprovalId::random().unwrap(), ApprovalId::random().unwrap());
        let seal = seal(b"key", "a");
        let arguments = r#"{"amount":100}"#;
        let hidden = seal.hide(id, Some(arguments)).unwrap();
        assert!(!hidden.windows(6).any(|part| part == b"amount"));
        assert_eq!(seal.show(id, &hidden).as_deref(), Some(arguments));
        assert_eq!(seal.show(other, &hidden), None);
        assert_ne!(
            hidden,
            seal.hide(id, Some(arguments)).unwrap(),
            "each time otherwise"
        );
        assert_eq!(seal.show(id, &seal.hide(id, None).unwrap()), None);
        assert_eq!(seal.show(id, b"short"), None);
    }

    #[test]
    fn a_digest_depends_on_the_key_and_on_where_its_parts_end() {
        let digest = |secret: &[u8], parts: &[&[u8]]| seal(secret, "a").digest(parts).unwrap();
        assert_eq!(digest(b"k", &[b"ab", b"c"]), digest(b"k", &[b"ab", b"c"]));
        assert_ne!(digest(b"k", &[b"ab", b"c"]), digest(b"k", &[b"a", b"bc"]));
        assert_ne!(digest(b"k", &[b"ab", b"c"]), digest(b"l", &[b"ab", b"c"]));
    }
}
