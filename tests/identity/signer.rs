//! Real keys and the tokens that they sign.

use std::process::Command;
use std::sync::OnceLock;

use data_encoding::BASE64URL_NOPAD;
use jiff::Timestamp;
use ring::rand::SystemRandom;
use ring::rsa::PublicKeyComponents;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair,
    RSA_PKCS1_SHA256, RSA_PKCS1_SHA384, RSA_PSS_SHA256, RsaEncoding, RsaKeyPair,
};
use serde_json::{Value, json};

/// A private key, and the name of it that tokens carry.
pub struct Signer {
    pub kid: String,
    key: Private,
}

enum Private {
    Rsa(RsaKeyPair),
    P256(EcdsaKeyPair),
    P384(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
}

/// A token that is not yet signed: what is not set is good.
pub struct Draft {
    pub header: Value,
    pub claims: Value,
}

/// Seconds since 1970, this far from now.
#[expect(clippy::disallowed_methods, reason = "tokens are dated by the wall clock")]
pub fn seconds_from_now(seconds: i64) -> i64 {
    Timestamp::now().as_second() + seconds
}

pub fn b64(bytes: &[u8]) -> String {
    BASE64URL_NOPAD.encode(bytes)
}

impl Signer {
    pub fn p256(kid: &str) -> Self {
        let random = SystemRandom::new();
        let form = &ECDSA_P256_SHA256_FIXED_SIGNING;
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(form, &random).unwrap();
        let key = EcdsaKeyPair::from_pkcs8(form, pkcs8.as_ref(), &random).unwrap();
        Self::with(kid, Private::P256(key))
    }

    pub fn p384(kid: &str) -> Self {
        let random = SystemRandom::new();
        let form = &ECDSA_P384_SHA384_FIXED_SIGNING;
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(form, &random).unwrap();
        let key = EcdsaKeyPair::from_pkcs8(form, pkcs8.as_ref(), &random).unwrap();
        Self::with(kid, Private::P384(key))
    }

    pub fn ed25519(kid: &str) -> Self {
        let pkcs8 = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
        Self::with(
            kid,
            Private::Ed25519(Ed25519KeyPair::from_pkcs8(pkcs8.as_ref()).unwrap()),
        )
    }

    /// 2048 bits, made by openssl once for all tests: ring makes no RSA keys.
    pub fn rsa(kid: &str) -> Self {
        static MADE: OnceLock<Vec<u8>> = OnceLock::new();
        let made = MADE.get_or_init(|| {
            let bits = ["-pkeyopt", "rsa_keygen_bits:2048"];
            let made = Command::new("openssl")
                .args(["genpkey", "-algorithm", "RSA", "-outform", "DER"])
                .args(bits)
                .output()
                .expect("openssl is missing: run scripts/install-test-deps.sh");
            assert!(
                made.status.success(),
                "openssl: {}",
                String::from_utf8_lossy(&made.stderr)
            );
            made.stdout
        });
        // openssl writes one form or the other, by its version
        let key = RsaKeyPair::from_pkcs8(made).or_else(|_| RsaKeyPair::from_der(made));
        Self::with(kid, Private::Rsa(key.unwrap()))
    }

    fn with(kid: &str, key: Private) -> Self {
        let kid = kid.to_owned();
        Self { kid, key }
    }

    /// The public key as a set of keys holds it.
    pub fn jwk(&self) -> Value {
        let point = |curve: &str, key: &EcdsaKeyPair, bytes: usize| {
            let point = key.public_key().as_ref();
            let (x, y) = (&point[1..=bytes], &point[bytes + 1..]);
            json!({ "kty": "EC", "crv": curve, "x": b64(x), "y": b64(y) })
        };
        let mut jwk = match &self.key {
            Private::Rsa(key) => {
                let parts = PublicKeyComponents::<Vec<u8>>::from(key.public());
                json!({ "kty": "RSA", "n": b64(&parts.n), "e": b64(&parts.e) })
            }
            Private::P256(key) => point("P-256", key, 32),
            Private::P384(key) => point("P-384", key, 48),
            Private::Ed25519(key) => {
                json!({ "kty": "OKP", "crv": "Ed25519", "x": b64(key.public_key().as_ref()) })
            }
        };
        jwk["kid"] = json!(self.kid);
        jwk["use"] = json!("sig");
        jwk
    }

    /// The RSA public key in PEM, as an attacker finds it.
    pub fn public_der(&self) -> Vec<u8> {
        match &self.key {
            Private::Rsa(key) => key.public().as_ref().to_vec(),
            _ => panic!("only RSA keys are asked for"),
        }
    }

    fn default_algorithm(&self) -> &'static str {
        match &self.key {
            Private::Rsa(_) => "RS256",
            Private::P256(_) => "ES256",
            Private::P384(_) => "ES384",
            Private::Ed25519(_) => "EdDSA",
        }
    }

    /// A good draft of this key's.
    pub fn draft(&self, claims: &Value) -> Draft {
        let header = json!({ "alg": self.default_algorithm(), "kid": self.kid, "typ": "JWT" });
        let claims = claims.clone();
        Draft { header, claims }
    }

    /// A good token with these claims.
    pub fn token(&self, claims: &Value) -> String {
        self.sign(&self.draft(claims))
    }

    pub fn sign(&self, draft: &Draft) -> String {
        self.sign_text(&draft.header.to_string(), &draft.claims.to_string())
    }

    /// Signs JSON texts as they are.
    pub fn sign_text(&self, header: &str, claims: &str) -> String {
        let signed = format!("{}.{}", b64(header.as_bytes()), b64(claims.as_bytes()));
        let algorithm = serde_json::from_str::<Value>(header).unwrap()["alg"].clone();
        let signature = self.signature(algorithm.as_str().unwrap_or_default(), signed.as_bytes());
        format!("{signed}.{}", b64(&signature))
    }

    fn signature(&self, algorithm: &str, signed: &[u8]) -> Vec<u8> {
        let random = SystemRandom::new();
        match &self.key {
            Private::Rsa(key) => {
                let form: &'static dyn RsaEncoding = match algorithm {
                    "PS256" => &RSA_PSS_SHA256,
                    "RS384" => &RSA_PKCS1_SHA384,
                    _ => &RSA_PKCS1_SHA256,
                };
                let mut signature = vec![0; key.public().modulus_len()];
                key.sign(form, &random, signed, &mut signature).unwrap();
                signature
            }
            Private::P256(key) | Private::P384(key) => key.sign(&random, signed).unwrap().as_ref().to_vec(),
            Private::Ed25519(key) => key.sign(signed).as_ref().to_vec(),
        }
    }
}

/// The JSON text of a set of these keys.
pub fn set_of(signers: &[&Signer]) -> String {
    let keys: Vec<Value> = signers.iter().map(|signer| signer.jwk()).collect();
    json!({ "keys": keys }).to_string()
}
