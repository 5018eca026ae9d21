//! Redis over TLS with an authority of its own, which asks for the client's certificate.

use std::path::Path;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use toolgate::counters::{Place, RedisOptions, RedisTls};

use crate::charges::{admit, call, grant};
use crate::redis_server::{RedisServer, free_port};
use crate::{PATIENT, open};

struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::default();
        params
            .distinguished_name
            .push(DnType::CommonName, "the authority");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    fn pem(&self) -> Vec<u8> {
        self.0.pem().into_bytes()
    }

    /// A certificate for a name or an address, and its key.
    fn issue(&self, name: &str) -> (Vec<u8>, Vec<u8>) {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &self.0).unwrap();
        (certificate.pem().into_bytes(), key.serialize_pem().into_bytes())
    }
}

/// A server for `name`, and the port of TLS.
fn server(authority: &Authority, name: &str) -> (RedisServer, u16) {
    let mut random = [0; 8];
    getrandom::fill(&mut random).unwrap();
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("tls-{:x}", u64::from_be_bytes(random)));
    std::fs::create_dir_all(&folder).unwrap();
    let (certificate, key) = authority.issue(name);
    let file = |name: &str, text: &[u8]| {
        let path = folder.join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let (ca, cert, key) = (
        file("ca.pem", &authority.pem()),
        file("cert.pem", &certificate),
        file("key.pem", &key),
    );
    let port = free_port();
    let server = RedisServer::start_with(&[
        "--tls-port",
        &port.to_string(),
        "--tls-ca-cert-file",
        &ca,
        "--tls-cert-file",
        &cert,
        "--tls-key-file",
        &key,
    ]);
    std::fs::remove_dir_all(&folder).unwrap();
    (server, port)
}

fn options(port: u16, tls: RedisTls) -> RedisOptions {
    RedisOptions {
        deadline: PATIENT,
        tls,
        ..RedisOptions::single(format!("rediss://127.0.0.1:{port}/"), "t")
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tls_with_an_own_authority_and_a_client_certificate_serves() {
    let authority = Authority::new();
    let (_server, port) = server(&authority, "127.0.0.1");
    let tls = RedisTls {
        ca: Some(authority.pem()),
        client: Some(authority.issue("gate")),
    };
    let store = open(options(port, tls.clone()));
    assert_eq!(admit(&store, &[grant("own", 2)]).await, Ok(vec![1]));
    // without a certificate the server refuses, with a stranger's too
    for client in [None, Some(Authority::new().issue("gate"))] {
        let store = open(options(
            port,
            RedisTls {
                client,
                ..tls.clone()
            },
        ));
        assert!(store.admit(&call(&[grant("own", 2)])).await.is_err());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_whose_certificate_is_a_strangers_or_anothers_is_not_spoken_to() {
    let authority = Authority::new();
    let client = Some(authority.issue("gate"));
    let (_server, port) = server(&authority, "127.0.0.1");
    let (_other, other) = server(&authority, "elsewhere.example");
    for (port, ca) in [
        (port, Some(Authority::new().pem())),
        (port, None),
        (other, Some(authority.pem())),
    ] {
        let client = client.clone();
        let store = open(options(port, RedisTls { ca, client }));
        let error = store.admit(&call(&[grant("own", 2)])).await.unwrap_err();
        assert_eq!(error.code(), "unavailable");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_nodes_of_a_cluster_are_spoken_to_over_tls_where_the_first_one_is() {
    use crate::redis_cluster::RedisCluster;
    let authority = Authority::new();
    let (certificate, key) = authority.issue("127.0.0.1");
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("tls-cluster-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let files = [("ca", authority.pem()), ("cert", certificate), ("key", key)].map(|(name, text)| {
        let path = folder.join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    });
    let cluster = RedisCluster::start_tls(&files);
    let urls = cluster.tls_urls();
    let tls = RedisTls {
        ca: Some(authority.pem()),
        client: Some(authority.issue("gate")),
    };
    let store = open(RedisOptions {
        deadline: PATIENT,
        tls,
        ..RedisOptions::new(Place::Cluster(urls[..1].to_vec()), "t")
    });
    for number in 0..12 {
        assert_eq!(
            admit(&store, &[crate::charges::grant_named(number, 2)]).await,
            Ok(vec![1])
        );
    }
    std::fs::remove_dir_all(&folder).unwrap();
}
