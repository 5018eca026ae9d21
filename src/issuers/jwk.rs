//! Public keys (RFC 7517, RFC 7518 section 6, RFC 8037) and what they verify, on `ring`.

use data_encoding::BASE64URL_NOPAD;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ED25519, RSA_PKCS1_2048_8192_SHA256,
    RSA_PKCS1_2048_8192_SHA384, RSA_PKCS1_2048_8192_SHA512, RSA_PSS_2048_8192_SHA256,
    RSA_PSS_2048_8192_SHA384, RSA_PSS_2048_8192_SHA512, RsaParameters, RsaPublicKeyComponents,
    UnparsedPublicKey,
};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::policy::Claims;
use crate::settings::Algorithm;

/// The most keys of one issuer that are kept.
const KEYS: usize = 100;

/// One public key that can verify.
#[derive(Clone, PartialEq, Eq)]
pub struct Key {
    kid: Option<String>,
    /// The one algorithm that it is for, where the set says so.
    only: Option<Algorithm>,
    material: Material,
}

#[derive(Clone, PartialEq, Eq)]
enum Material {
    Rsa {
        n: Vec<u8>,
        e: Vec<u8>,
    },
    /// Uncompressed points.
    P256(Vec<u8>),
    P384(Vec<u8>),
    Ed25519(Vec<u8>),
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Key")
            .field("kid", &self.kid)
            .finish_non_exhaustive()
    }
}

#[derive(Deserialize)]
struct Set<'a> {
    #[serde(borrow)]
    keys: Vec<&'a RawValue>,
}

/// A key as it is written. What is not looked at here does not say what the key is.
#[derive(Deserialize)]
struct Written {
    kty: String,
    kid: Option<String>,
    #[serde(rename = "use")]
    used_for: Option<String>,
    key_ops: Option<Vec<String>>,
    alg: Option<String>,
    crv: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
}

/// The keys of a set that can verify signatures; others in it (for encryption, of other curves, symmetric ones) are
/// passed over, as RFC 7517 section 5 asks.
///
/// # Errors
/// What is wrong with the set, also where no key is left.
pub fn read_set(text: &[u8]) -> Result<Vec<Key>, &'static str> {
    const FAULT: &str = "it is no set of keys: `{\"keys\": […]}`";
    let text = str::from_utf8(text).map_err(|_| FAULT)?;
    // refuses keys that stand twice, which serde would pass over
    Claims::read(text).ok_or(FAULT)?;
    let set: Set<'_> = serde_json::from_str(text).map_err(|_| FAULT)?;
    if set.keys.len() > KEYS {
        return Err("it has more than 100 keys");
    }
    let keys: Vec<Key> = set.keys.iter().filter_map(|raw| Key::read(raw.get())).collect();
    if keys.is_empty() {
        return Err("none of its keys can verify a signature");
    }
    Ok(keys)
}

impl Key {
    fn read(json: &str) -> Option<Self> {
        let written: Written = serde_json::from_str(json).ok()?;
        let signs = written
            .used_for
            .as_deref()
            .is_none_or(|used_for| used_for == "sig");
        let verifies = written
            .key_ops
            .as_ref()
            .is_none_or(|ops| ops.iter().any(|op| op == "verify"));
        if !signs || !verifies {
            return None;
        }
        let only = match &written.alg {
            None => None,
            // a key for an algorithm that has no name here is for none
            Some(alg) => Some(Algorithm::named(alg)?),
        };
        Some(Self {
            only,
            material: Material::read(&written)?,
            kid: written.kid,
        })
    }

    /// Whether a token that names `kid` may be signed with it: the very key, or one of a set where neither names one.
    pub fn is_named(&self, kid: &str) -> bool {
        self.kid.as_deref() == Some(kid)
    }

    pub fn fits(&self, algorithm: Algorithm) -> bool {
        use Algorithm::{ES256, ES384, EdDSA, PS256, PS384, PS512, RS256, RS384, RS512};
        let kind = match &self.material {
            Material::Rsa { .. } => matches!(algorithm, RS256 | RS384 | RS512 | PS256 | PS384 | PS512),
            Material::P256(_) => algorithm == ES256,
            Material::P384(_) => algorithm == ES384,
            Material::Ed25519(_) => algorithm == EdDSA,
        };
        kind && self.only.is_none_or(|only| only == algorithm)
    }

    /// Whether this key made the signature over these bytes. RSA keys have 2048 to 8192 bits.
    pub fn verifies(&self, algorithm: Algorithm, signed: &[u8], signature: &[u8]) -> bool {
        if !self.fits(algorithm) {
            return false;
        }
        let verified = match &self.material {
            Material::Rsa { n, e } => rsa(algorithm).and_then(|form| {
                RsaPublicKeyComponents { n, e }
                    .verify(form, signed, signature)
                    .ok()
            }),
            Material::P256(point) => UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point)
                .verify(signed, signature)
                .ok(),
            Material::P384(point) => UnparsedPublicKey::new(&ECDSA_P384_SHA384_FIXED, point)
                .verify(signed, signature)
                .ok(),
            Material::Ed25519(key) => UnparsedPublicKey::new(&ED25519, key)
                .verify(signed, signature)
                .ok(),
        };
        verified.is_some()
    }
}

const fn rsa(algorithm: Algorithm) -> Option<&'static RsaParameters> {
    Some(match algorithm {
        Algorithm::RS256 => &RSA_PKCS1_2048_8192_SHA256,
        Algorithm::RS384 => &RSA_PKCS1_2048_8192_SHA384,
        Algorithm::RS512 => &RSA_PKCS1_2048_8192_SHA512,
        Algorithm::PS256 => &RSA_PSS_2048_8192_SHA256,
        Algorithm::PS384 => &RSA_PSS_2048_8192_SHA384,
        Algorithm::PS512 => &RSA_PSS_2048_8192_SHA512,
        Algorithm::ES256 | Algorithm::ES384 | Algorithm::EdDSA => return None,
    })
}

impl Material {
    fn read(written: &Written) -> Option<Self> {
        let point = |bytes: usize| {
            let (x, y) = (octets(written.x.as_deref()?)?, octets(written.y.as_deref()?)?);
            (x.len() == bytes && y.len() == bytes).then(|| [&[4], x.as_slice(), y.as_slice()].concat())
        };
        match (written.kty.as_str(), written.crv.as_deref()) {
            ("RSA", _) => {
                let unsigned = |text: &str| Some(without_zeros(octets(text)?));
                let (n, e) = (unsigned(written.n.as_deref()?)?, unsigned(written.e.as_deref()?)?);
                Some(Self::Rsa { n, e })
            }
            ("EC", Some("P-256")) => point(32).map(Self::P256),
            ("EC", Some("P-384")) => point(48).map(Self::P384),
            ("OKP", Some("Ed25519")) => {
                let key = octets(written.x.as_deref()?)?;
                (key.len() == 32).then_some(Self::Ed25519(key))
            }
            _ => None,
        }
    }
}

fn octets(text: &str) -> Option<Vec<u8>> {
    BASE64URL_NOPAD.decode(text.as_bytes()).ok()
}

/// Some issuers write a sign byte, which RFC 7518 section 2 forbids and `ring` refuses.
fn without_zeros(bytes: Vec<u8>) -> Vec<u8> {
    let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
    bytes.into_iter().skip(zeros).collect()
}
