//! Who calls: tokens of issuers, grants made of their claims, revocation, and the way of OAuth clients to the gate.
#![cfg(test)]
#![allow(clippy::too_many_lines, reason = "a table of cases reads best in one piece")]

#[path = "support/redis.rs"]
mod redis_server;
mod support;
#[allow(dead_code, reason = "shared with the tests on the wire, which use all of it")]
mod wire;

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
