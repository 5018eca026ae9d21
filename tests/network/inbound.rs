//! TLS with clients: the certificate, its renewal, ALPN, client certificates.

use std::os::unix::fs::symlink;

use http_body_util::BodyExt;
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;
use toolgate::app::{App, load_files};
use toolgate::settings;

use crate::pki::{Authority, Pair, Says, connect};
use crate::wire::client::{Req, call, call_body};
use crate::wire::gate::{Gate, Setup, open};
use crate::wire::upstream::find;
use crate::wire::{CI, until, within};

const TLS: &str = "tls: { cert: tls.crt, key: tls.key }";
const MUTUAL: &str = "tls: { cert: tls.crt, key: tls.key, client_ca: clients.crt }";

fn with_tls(line: &str, pair: &Pair) -> Setup {
    Setup::default()
        .settings(line)
        .file("tls.crt", &pair.cert)
        .file("tls.key", &pair.key)
}

/// One request on a connection that it ends with: status and whole answer.
async fn ask(stream: &mut TlsStream<TcpStream>, request: &Req) -> (u16, String) {
    let request = request.clone().header("Connection", "close");
    within(stream.write_all(&request.bytes())).await.unwrap();
    let mut answer = Vec::new();
    // the gate may close without a farewell
    let _ = within(stream.read_to_end(&mut answer)).await;
    let text = String::from_utf8(answer).unwrap();
    let status = text.split(' ').nth(1).and_then(|code| code.parse().ok());
    (status.unwrap_or(0), text)
}

fn serial(stream: &TlsStream<TcpStream>) -> Vec<u8> {
    stream.get_ref().1.peer_certificates().unwrap()[0].to_vec()
}

#[tokio::test]
async fn clients_are_served_over_tls_in_both_versions_of_http_and_in_the_clear_no_more() {
    let authority = Authority::new("ca");
    let (gate, upstream) = open(with_tls(TLS, &authority.server())).await;
    let mut stream = connect(gate.proxy, authority.client(None, &[b"http/1.1"]))
        .await
        .unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]));
    let (status, text) = ask(&mut stream, &call("run")).await;
    assert!(status == 200 && text.contains("ran"), "{text}");

    let stream = connect(gate.proxy, authority.client(None, &[b"h2", b"http/1.1"]))
        .await
        .unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    let (mut sender, connection) = within(http2::handshake(TokioExecutor::new(), TokioIo::new(stream)))
        .await
        .unwrap();
    tokio::spawn(connection);
    let request = http::Request::post(format!("https://{}/mcp/s", gate.proxy))
        .header("authorization", format!("Bearer {CI}"))
        .header("content-type", "application/json")
        .body(call_body("run"))
        .unwrap();
    let answer = within(sender.send_request(request)).await.unwrap();
    let body = within(answer.into_body().collect()).await.unwrap().to_bytes();
    assert!(find(&body, b"ran").is_some());

    let mut plain = gate.client().await;
    plain.send(&call("run").bytes()).await;
    assert!(find(&plain.rest().await, b"HTTP/1.1 200").is_none());
    assert_eq!(upstream.count(), 2);
    // somebody who trusts another authority
    assert!(
        connect(gate.proxy, Authority::new("other").client(None, &[]))
            .await
            .is_err()
    );
}

#[tokio::test]
async fn a_page_of_the_gates_own_https_address_is_no_foreign_origin() {
    let authority = Authority::new("ca");
    let (gate, _upstream) = open(with_tls(TLS, &authority.server())).await;
    for (scheme, status) in [("https", 200), ("http", 403)] {
        let host = gate.proxy.to_string();
        let request = call("run")
            .with("Host", &host)
            .header("Origin", &format!("{scheme}://{host}"));
        let mut stream = connect(gate.proxy, authority.client(None, &[])).await.unwrap();
        assert_eq!(ask(&mut stream, &request).await.0, status, "{scheme}");
    }
}

#[tokio::test]
async fn a_new_certificate_is_served_once_the_symlink_points_to_it_and_a_bad_one_never() {
    let authority = Authority::new("ca");
    let (first, second) = (authority.server(), authority.server());
    let setup = Setup::default().settings("tls: { cert: live/tls.crt, key: live/tls.key }");
    let folder = tempdir();
    let write = |name: &str, cert: &str, key: &str| {
        let into = folder.join(name);
        std::fs::create_dir_all(&into).unwrap();
        std::fs::write(into.join("tls.crt"), cert).unwrap();
        std::fs::write(into.join("tls.key"), key).unwrap();
    };
    // as the kubelet does: a link to a folder, replaced by another
    let point_to = |name: &str| {
        let (next, live) = (folder.join("next"), folder.join("live"));
        symlink(name, &next).unwrap();
        std::fs::rename(next, live).unwrap();
    };
    write("one", &first.cert, &first.key);
    write("two", &second.cert, &second.key);
    write("torn", &second.cert, &first.key);
    write("empty", "", "");
    point_to("one");
    let setup = setup.settings("").clone();
    let line = format!(
        "tls: {{ cert: {0}/live/tls.crt, key: {0}/live/tls.key }}",
        folder.display()
    );
    let setup = Setup {
        settings: format!("{line}\n"),
        ..setup
    };
    let (gate, _upstream) = open(setup).await;
    let look = || async { serial(&connect(gate.proxy, authority.client(None, &[])).await.unwrap()) };
    let before = look().await;
    for bad in ["torn", "empty", "missing"] {
        point_to(bad);
        // longer than a round of looking at the files
        tokio::time::sleep(std::time::Duration::from_millis(1_300)).await;
        assert_eq!(look().await, before, "{bad}");
    }
    point_to("two");
    let start = std::time::Instant::now();
    while look().await == before {
        assert!(
            start.elapsed().as_secs() < 15,
            "the new certificate is not served"
        );
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    std::fs::remove_dir_all(&folder).unwrap();
}

fn tempdir() -> std::path::PathBuf {
    let mut name = [0; 8];
    getrandom::fill(&mut name).unwrap();
    let folder = std::env::temp_dir().join(format!("toolgate-tls-{:016x}", u64::from_be_bytes(name)));
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

async fn mutual(clients: &Authority, servers: &Authority) -> Gate {
    let setup = with_tls(MUTUAL, &servers.server())
        .file("clients.crt", &clients.pem())
        .grant("id: spiffe, client_certificate: { uri: 'spiffe://example.org/ci' }, server: s, policy: p")
        .grant("id: named, client_certificate: { subject: 'CN=build,O=Example' }, server: s, policy: p")
        .grant("id: over, client_certificate: { subject: 'CN=over,O=Example' }, server: s, expires: 2020-01-01T00:00:00Z");
    open(setup).await.0
}

#[tokio::test]
async fn a_client_certificate_stands_for_a_grant_by_its_uri_or_its_subject() {
    let (clients, servers) = (Authority::new("clients"), Authority::new("servers"));
    let gate = mutual(&clients, &servers).await;
    let ask_with = async |says: Says<'_>, request: Req| {
        let pair = clients.issue(&says);
        let mut stream = connect(gate.proxy, servers.client(Some(&pair), &[]))
            .await
            .unwrap();
        ask(&mut stream, &request).await
    };
    let bare = || call("run").without("Authorization");
    let ci: &[&str] = &["spiffe://example.org/ci"];
    let by_uri = Says {
        uris: ci,
        common_name: "x",
        ..Says::default()
    };
    let by_subject = Says {
        common_name: "build",
        ..Says::default()
    };
    assert_eq!(ask_with(by_uri.clone(), bare()).await.0, 200);
    assert_eq!(ask_with(by_subject, bare()).await.0, 200);
    // a token comes first, a bad one is never none at all
    assert_eq!(ask_with(by_uri.clone(), call("run")).await.0, 200);
    assert_eq!(
        ask_with(by_uri.clone(), call("run").token("tok-wrong")).await.0,
        401
    );
    let two: &[&str] = &["spiffe://example.org/ci", "spiffe://example.org/other"];
    for (why, says) in [
        (
            "another URI",
            Says {
                uris: &["spiffe://example.org/ci/x"],
                common_name: "x",
                ..Says::default()
            },
        ),
        (
            "two URIs",
            Says {
                uris: two,
                common_name: "x",
                ..Says::default()
            },
        ),
        (
            "another subject",
            Says {
                common_name: "builder",
                ..Says::default()
            },
        ),
        (
            "its grant has ended",
            Says {
                common_name: "over",
                ..Says::default()
            },
        ),
    ] {
        assert_eq!(ask_with(says, bare()).await.0, 401, "{why}");
    }
    // none at all: a token does
    let mut stream = connect(gate.proxy, servers.client(None, &[])).await.unwrap();
    assert_eq!(ask(&mut stream, &call("run")).await.0, 200);
    let records = gate.ended().await;
    let grants: Vec<_> = records
        .iter()
        .filter_map(|record| record["grant"].as_str())
        .collect();
    assert_eq!(grants, ["spiffe", "named", "ci", "ci"]);
}

#[tokio::test]
async fn a_certificate_of_a_stranger_or_one_that_expired_ends_the_handshake() {
    let (clients, servers) = (Authority::new("clients"), Authority::new("servers"));
    let gate = mutual(&clients, &servers).await;
    let ci: &[&str] = &["spiffe://example.org/ci"];
    let says = Says {
        uris: ci,
        common_name: "build",
        ..Says::default()
    };
    let stranger = Authority::new("clients").issue(&says);
    let expired = clients.issue(&Says {
        expired: true,
        ..says
    });
    for pair in [stranger, expired] {
        // in TLS 1.3 the client learns of it with its first read
        if let Ok(mut stream) = connect(gate.proxy, servers.client(Some(&pair), &[])).await {
            let _ = stream
                .write_all(&call("run").without("Authorization").bytes())
                .await;
            let mut answer = Vec::new();
            let _ = within(stream.read_to_end(&mut answer)).await;
            assert!(answer.is_empty(), "{}", String::from_utf8_lossy(&answer));
        }
    }
    until(|| gate.sink.records().is_empty()).await;
    assert!(gate.ended().await.is_empty());
}

#[tokio::test]
async fn clients_that_do_not_finish_a_handshake_are_closed() {
    let authority = Authority::new("ca");
    let setup = with_tls(TLS, &authority.server()).settings("limits: { header_timeout_ms: 150 }");
    let (gate, _upstream) = open(setup).await;
    for start in [&b""[..], b"\x16\x03\x01\x02", b"GET / HTTP/1.1\r\n\r\n"] {
        let mut client = gate.client().await;
        client.send(start).await;
        client.rest().await;
    }
    while gate.metric("toolgate_open_connections").await > 0 {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn files_that_cannot_be_used_stop_the_start_and_say_which_and_what_to_do() {
    let authority = Authority::new("ca");
    let (pair, other) = (authority.server(), authority.server());
    let good = ("tls.crt", pair.cert.as_str());
    for (files, wanted) in [
        (vec![good], "tls.key: cannot be read"),
        (
            vec![good, ("tls.key", "-----BEGIN NONSENSE-----")],
            "tls.key: holds no private key",
        ),
        (
            vec![("tls.crt", ""), ("tls.key", pair.key.as_str())],
            "tls.crt: holds no certificate",
        ),
        (
            vec![good, ("tls.key", other.key.as_str())],
            "tls.crt: does not go with the key",
        ),
    ] {
        let mut setup = Setup::default().settings(TLS);
        for (name, text) in files {
            setup = setup.file(name, text);
        }
        let error = start_error(&setup).await;
        assert!(error.contains(wanted) && error.contains("`tls`"), "{error}");
        assert!(!error.contains("PRIVATE"), "{error}");
    }
}

/// Why a gate does not start.
async fn start_error(setup: &Setup) -> String {
    let folder = tempdir();
    for (name, text) in &setup.files {
        std::fs::write(folder.join(name), text).unwrap();
    }
    let yaml = format!(
        "listen: 127.0.0.1:0\nadmin: 127.0.0.1:0\n{}servers: {{ s: {{ upstream: 'http://127.0.0.1:1/mcp' }} }}\n",
        setup.settings
    );
    let path = folder.join("toolgate.yaml");
    std::fs::write(&path, yaml).unwrap();
    let settings = settings::load_with(&path, &setup.env).unwrap();
    let loaded = load_files(&settings.files, std::iter::once("s")).unwrap();
    let error = App::bind(settings, loaded, None).await.err().expect("it started");
    std::fs::remove_dir_all(&folder).unwrap();
    format!("{error:#}")
}
