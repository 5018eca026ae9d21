//! TLS on both sides, credentials for upstreams, and what bounds a client: a real gate in this process, raw clients.
#![cfg(test)]
#![allow(
    clippy::string_slice,
    clippy::too_many_lines,
    reason = "texts here are ASCII, and a table of cases reads best in one piece"
)]

mod support;
#[allow(dead_code, reason = "shared with the tests on the wire")]
mod wire;

#[path = "network/credentials.rs"]
mod credentials;
#[path = "network/egress.rs"]
mod egress;
#[path = "network/egress_beside.rs"]
mod egress_beside;
#[path = "network/egress_proxy.rs"]
mod egress_proxy;
#[path = "network/inbound.rs"]
mod inbound;
#[path = "network/limits.rs"]
mod limits;
#[path = "network/pki.rs"]
mod pki;
#[path = "network/proxies.rs"]
mod proxies;
#[path = "network/upstream.rs"]
mod upstream;
