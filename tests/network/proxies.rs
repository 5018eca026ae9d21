//! Limits per client behind a trusted proxy, by the PROXY protocol and by headers.

use crate::wire::client::{Client, Req, call};
use crate::wire::gate::{Gate, Setup, open};
use crate::wire::until;
use crate::wire::upstream::{Latch, Step};

const TRUSTED: &str =
    "trusted_proxies: [127.0.0.0/8]\nlimits: { connections_per_peer: 2, header_timeout_ms: 500 }";

/// A header of the PROXY protocol, version 2, for TCP over IPv4 from this address.
fn proxy_header(client: [u8; 4]) -> Vec<u8> {
    let mut bytes = b"\r\n\r\n\0\r\nQUIT\n".to_vec();
    bytes.extend_from_slice(&[0x21, 0x11, 0, 12]);
    bytes.extend_from_slice(&client);
    bytes.extend_from_slice(&[127, 0, 0, 1, 0x1f, 0x90, 0, 80]);
    bytes
}

async fn announced(gate: &Gate, client: [u8; 4]) -> Client {
    let mut connection = gate.client().await;
    connection.send(&proxy_header(client)).await;
    connection
}

#[tokio::test]
async fn a_proxy_that_announces_clients_has_a_limit_for_each() {
    let (gate, _upstream) = open(Setup::default().settings(TRUSTED)).await;
    let mut held = Vec::new();
    for _ in 0..2 {
        let mut client = announced(&gate, [192, 0, 2, 1]).await;
        assert!(client.ask(&call("run")).await.ran());
        held.push(client);
    }
    let mut third = announced(&gate, [192, 0, 2, 1]).await;
    assert!(third.is_turned_away(&call("run")).await);
    let mut other = announced(&gate, [192, 0, 2, 2]).await;
    assert!(other.ask(&call("run")).await.ran());
    // the proxy itself, as often as it likes
    for _ in 0..4 {
        let mut client = gate.client().await;
        assert!(client.ask(&call("run")).await.ran());
        held.push(client);
    }
}

#[tokio::test]
async fn a_broken_header_of_a_proxy_ends_the_connection_and_a_strangers_is_none() {
    let (gate, upstream) = open(Setup::default().settings(TRUSTED)).await;
    let good = proxy_header([192, 0, 2, 1]);
    let mut version = good.clone();
    version[12] = 0x11;
    let mut short = good.clone();
    short[15] = 2;
    let mut long = good.clone();
    long[14] = 0xff;
    for bytes in [
        b"\r\n\r\n\0\r\nQUIZ\n\x21\x11\0\0".to_vec(),
        version,
        short[..18].to_vec(),
        long,
        good[..20].to_vec(),
    ] {
        let mut client = gate.client().await;
        client.send(&bytes).await;
        assert!(client.rest().await.is_empty());
    }
    let (strict, _) = open(Setup::default()).await;
    let mut client = announced(&strict, [192, 0, 2, 1]).await;
    client.send(&call("run").bytes()).await;
    assert!(!String::from_utf8_lossy(&client.rest().await).contains("ran"));
    assert_eq!(upstream.count(), 0);
}

fn by(client: &str) -> Req {
    call("run").header("X-Forwarded-For", client)
}

#[tokio::test]
async fn a_client_behind_a_proxy_has_so_many_requests_open_and_others_have_theirs() {
    let (gate, upstream) = open(Setup::default().settings(TRUSTED)).await;
    let latch = Latch::new();
    for _ in 0..2 {
        upstream.next(vec![Step::Wait(latch.clone()), Step::Answer]);
    }
    let mut waiting = Vec::new();
    for _ in 0..2 {
        let mut client = gate.client().await;
        client.send(&by("203.0.113.9, 192.0.2.1").bytes()).await;
        waiting.push(client);
    }
    until(|| upstream.count() == 2).await;
    // what the client itself wrote before does not help
    let refused = gate.ask(&by("203.0.113.77, 192.0.2.1")).await;
    assert_eq!((refused.status, refused.header("retry-after")), (429, Some("1")));
    assert!(gate.ask(&by("192.0.2.2")).await.ran());
    assert!(gate.ask(&call("run")).await.ran());
    latch.open();
    for client in &mut waiting {
        assert!(client.answer().await.ran());
    }
    assert!(gate.ask(&by("192.0.2.1")).await.ran());
    for seen in upstream.seen() {
        assert_eq!(seen.header("x-forwarded-for"), None, "it does not pass on");
    }
}
