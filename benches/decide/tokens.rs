//! What it costs to know a caller by an issuer's token, whose keys are known: each time the signature is verified anew.

use std::hint::black_box;
use std::time::Duration;

use serde_json::json;
use tokio::runtime::Builder;
use toolgate::issuers::{Issuers, Keys, Pace};
use toolgate::settings::{Algorithm, Issuer, KeySource};

use crate::signer::{Signer, seconds_from_now, set_of};
use crate::{each, grants, median_of};

/// A token is verified so much slower than a static one is found that fewer rounds will do.
const CALLS: u32 = 100;

pub fn tokens() {
    println!("\n| knowing a caller, in µs | |\n| --- | --- |");
    let known = grants(100_000);
    let find = || {
        black_box(known.of_token(black_box(b"token-7"))).unwrap();
    };
    println!(
        "| a static token | {:.1} |",
        median_of(|| each(1_000, find)) / 1e3
    );
    for (what, signer) in [
        ("an issuer's token, ES256", Signer::p256("k")),
        ("an issuer's token, RS256 (2048 bits)", Signer::rsa("k")),
        ("an issuer's token, EdDSA", Signer::ed25519("k")),
    ] {
        println!("| {what} | {:.1} |", verifying(&signer) / 1e3);
    }
}

/// Nanoseconds for one token.
fn verifying(signer: &Signer) -> f64 {
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    let set = set_of(&[signer]);
    let fetch = Box::new(move || -> toolgate::issuers::Fetched {
        let set = set.clone().into_bytes();
        Box::pin(async move { Ok(set) })
    });
    let issuer = Issuer {
        issuer: "https://login.example".to_owned(),
        keys: KeySource::Discovery,
        keys_ca: None,
        keys_token: None,
        audience: Vec::new(),
        algorithms: vec![Algorithm::RS256, Algorithm::ES256, Algorithm::EdDSA],
        advertise: false,
    };
    let pace = Pace {
        refresh: Duration::from_secs(3_600),
        ..Pace::default()
    };
    let issuers = Issuers::new([("i".to_owned(), issuer, Keys::new("i", fetch, pace))]);
    let claims = json!({
        "iss": "https://login.example", "aud": "https://gate.example/mcp/s", "sub": "system:serviceaccount:ci:runner",
        "exp": seconds_from_now(3_600), "nbf": seconds_from_now(-60), "jti": "8f14e45f-ceea-467f-a0e6-3b5e1d1b0f5a",
        "kubernetes.io": { "namespace": "ci", "pod": { "name": "runner-0" } },
    });
    let token = signer.token(&claims);
    let (resources, now) = (["https://gate.example/mcp/s".to_owned()], jiff::Timestamp::now());
    median_of(|| {
        each(CALLS, || {
            let verified = runtime.block_on(issuers.verify(black_box(&token), &resources, now));
            black_box(verified.unwrap());
        })
    })
}
