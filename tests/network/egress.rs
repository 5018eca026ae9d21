//! Servers that are reached through an egress proxy: tunnels by CONNECT, and TLS from end to end.

use crate::egress_proxy::{Does, HOST, Proxy, REFUSES};
use crate::pki::{Authority, Pair, Says, Terminator};
use crate::wire::client::call;
use crate::wire::gate::{Gate, Setup};
use crate::wire::until;
use crate::wire::upstream::{Upstream, dead_address, json};

pub fn named(authority: &Authority, name: &str) -> Pair {
    authority.issue(&Says {
        names: &[name],
        ..Says::default()
    })
}

/// A server that is asked through the proxy.
fn asked_through(proxy: &Proxy, mut setup: Setup) -> Setup {
    setup.env.insert("HTTPS_PROXY".to_owned(), proxy.url());
    setup.host = Some(HOST);
    setup.https()
}

/// An upstream there, its authority, and a gate that asks it through the proxy.
async fn behind(proxy: &Proxy, server: &str) -> (Gate, Upstream, Terminator, Authority) {
    let upstream = Upstream::start().await;
    let authority = Authority::new("ca");
    let terminator = Terminator::before(upstream.addr, &named(&authority, HOST), None).await;
    let setup = Setup::runs(2, "grant")
        .server(", upstream_tls: { ca: up.crt }")
        .server(server)
        .file("up.crt", &authority.pem());
    let gate = asked_through(proxy, setup).before(terminator.addr).await;
    (gate, upstream, terminator, authority)
}

#[tokio::test]
async fn an_https_server_is_reached_through_a_tunnel_and_only_the_proxy_sees_the_proxys_password() {
    let proxy = Proxy::start().await;
    let (gate, upstream, terminator, _) = behind(&proxy, "").await;
    for _ in 0..2 {
        assert!(gate.ask(&call("run")).await.ran());
    }
    let heads = proxy.heads();
    assert_eq!(heads.len(), 1, "a tunnel serves many calls: {heads:?}");
    let head = heads[0].to_lowercase();
    let target = format!("connect {HOST}:{} http/1.1\r\n", terminator.addr.port());
    assert!(head.starts_with(&target), "{head}");
    assert!(
        head.contains("\r\nproxy-authorization: basic dxnlcjpwqhnz\r\n"),
        "{head}"
    );
    assert!(!head.contains("bearer") && !head.contains("mcp-"), "{head}");
    for seen in upstream.seen() {
        assert_eq!(seen.header("proxy-authorization"), None);
        assert!(seen.header("host").unwrap().starts_with(HOST));
    }
}

#[tokio::test]
async fn the_certificate_is_the_servers_own_however_it_is_reached() {
    let proxy = Proxy::start().await;
    let (gate, upstream, terminator, right) = behind(&proxy, "").await;
    let wrong = Authority::new("ca");
    for (why, pair) in [
        ("another authority", named(&wrong, HOST)),
        ("another name", named(&right, "proxy.example")),
        ("the proxy's address", named(&right, "127.0.0.1")),
    ] {
        terminator.change(&pair, None);
        let text = gate.ask(&call("run")).await.text();
        assert!(text.contains("cannot be reached"), "{why}: {text}");
    }
    assert_eq!((upstream.count(), proxy.heads().len()), (0, 3));
}

#[tokio::test]
async fn a_proxy_that_opens_no_tunnel_is_not_gone_round_and_nothing_is_charged() {
    const LONG: &str = "HTTP/1.1 200 OK\r\nA: ";
    let proxy = Proxy::start().await;
    let (gate, upstream, _terminator, _) = behind(&proxy, ", connect_timeout_ms: 500").await;
    let endless: &'static str = Box::leak(format!("{LONG}{}", "a".repeat(64 << 10)).into_boxed_str());
    for does in [
        REFUSES,
        Does::Says("HTTP/1.1 302 Found\r\nLocation: http://elsewhere.example/\r\nContent-Length: 0\r\n\r\n"),
        Does::Says("HTTP/1.1 200 OK\r\n\r\nand more"),
        Does::Says("SSH-2.0-x\r\n"),
        Does::Says(endless),
        Does::Nothing,
    ] {
        proxy.does(does);
        let text = gate.ask(&call("run")).await.text();
        assert!(
            text.contains("cannot be reached") || text.contains("not executed"),
            "{text}"
        );
        assert!(!text.contains("proxy"), "{text}");
    }
    assert_eq!((upstream.count(), proxy.heads().len()), (0, 6));
    proxy.does(Does::Tunnel);
    for _ in 0..2 {
        assert!(gate.ask(&call("run")).await.ran());
    }
}

#[tokio::test]
async fn servers_on_loopback_are_asked_directly() {
    let upstream = Upstream::start().await;
    let authority = Authority::new("ca");
    let terminator = Terminator::before(upstream.addr, &authority.server(), None).await;
    let mut setup = Setup::default()
        .server(", upstream_tls: { ca: up.crt }")
        .file("up.crt", &authority.pem())
        .https();
    let nobody = dead_address().await;
    setup
        .env
        .insert("HTTPS_PROXY".to_owned(), format!("http://{nobody}"));
    let gate = setup.before(terminator.addr).await;
    assert!(gate.ask(&call("run")).await.ran());
}

#[tokio::test]
async fn tokens_and_keys_come_through_the_proxy_too() {
    let (proxy, tokens) = (Proxy::start().await, Upstream::start().await);
    tokens.keeps_answering(vec![crate::wire::upstream::Step::Send(json(
        r#"{"access_token":"t","token_type":"Bearer","expires_in":3600}"#,
    ))]);
    let authority = Authority::new("ca");
    let login = Terminator::before(tokens.addr, &named(&authority, "login.example"), None).await;
    let port = login.addr.port();
    let upstream = Upstream::start().await;
    let mut setup = Setup::default()
        .file("login.crt", &authority.pem())
        .file("secret", "s")
        .server(&format!(
            ", oauth: {{ token_url: 'https://login.example:{port}/token', client_id: c, client_secret: {{ file: secret }}, ca: login.crt }}"
        ))
        .settings(&format!(
            "public_url: https://gate.example\nissuers: {{ i: {{ issuer: x, jwks: 'https://login.example:{port}/keys', jwks_ca: login.crt }} }}"
        ));
    setup.env.insert("https_proxy".to_owned(), proxy.addr.to_string());
    let gate = setup.before(upstream.addr).await;
    assert!(gate.ask(&call("run")).await.ran());
    assert_eq!(upstream.last().header("authorization"), Some("Bearer t"));
    let asked = |path: &str| {
        tokens
            .seen()
            .iter()
            .any(|seen| seen.request_line().contains(path))
    };
    until(|| asked("/token") && asked("/keys")).await;
    let heads = proxy.heads();
    assert!(
        heads
            .iter()
            .all(|head| head.starts_with(&format!("CONNECT login.example:{port} "))),
        "{heads:?}"
    );
}
