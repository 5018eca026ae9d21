//! Who calls: tokens of issuers, grants made of their claims, revocation, and the way of OAuth clients to the gate.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::too_many_lines,
    reason = "in a test and its helpers a failed unwrap is a failed test, and a table of cases reads best in one piece"
)]

mod support;
#[allow(dead_code, reason = "shared with the tests on the wire, which use all of it")]
mod wire;

#[path = "identity/apart/mod.rs"]
mod apart;
#[path = "identity/documented.rs"]
mod documented;
#[path = "identity/ending.rs"]
mod ending;
#[path = "identity/forwarded.rs"]
mod forwarded;
#[path = "identity/isolation.rs"]
mod isolation;
#[path = "identity/issuer.rs"]
mod issuer;
#[path = "identity/keys.rs"]
mod keys;
#[path = "identity/mapped.rs"]
mod mapped;
#[path = "identity/metadata.rs"]
mod metadata;
#[path = "identity/oauth.rs"]
mod oauth;
#[path = "identity/signer.rs"]
mod signer;
#[path = "identity/standing.rs"]
mod standing;
#[path = "identity/verified.rs"]
mod verified;
