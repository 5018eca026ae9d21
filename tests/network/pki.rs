//! Certificate authorities of the test's own, and both ends of TLS by them.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    SanType, date_time_ymd,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_rustls::client::TlsStream;
use tokio_rustls::{TlsAcceptor, TlsConnector};

use crate::wire::within;

pub struct Authority(CertifiedIssuer<'static, KeyPair>);

/// A certificate and its key, in PEM.
#[derive(Clone)]
pub struct Pair {
    pub cert: String,
    pub key: String,
}

/// What a certificate says.
#[derive(Clone, Default)]
pub struct Says<'a> {
    pub names: &'a [&'a str],
    pub uris: &'a [&'a str],
    pub common_name: &'a str,
    pub expired: bool,
}

impl Authority {
    pub fn new(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    pub fn pem(&self) -> String {
        self.0.pem()
    }

    pub fn issue(&self, says: &Says<'_>) -> Pair {
        let names: Vec<String> = says.names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).unwrap();
        for uri in says.uris {
            params
                .subject_alt_names
                .push(SanType::URI((*uri).try_into().unwrap()));
        }
        params.distinguished_name = rcgen::DistinguishedName::new();
        params
            .distinguished_name
            .push(DnType::OrganizationName, "Example");
        params
            .distinguished_name
            .push(DnType::CommonName, says.common_name);
        params.extended_key_usages = vec![
            ExtendedKeyUsagePurpose::ServerAuth,
            ExtendedKeyUsagePurpose::ClientAuth,
        ];
        if says.expired {
            params.not_after = date_time_ymd(2020, 1, 1);
        }
        let key = KeyPair::generate().unwrap();
        let cert = params.signed_by(&key, &self.0).unwrap();
        Pair {
            cert: cert.pem(),
            key: key.serialize_pem(),
        }
    }

    /// For a server on loopback.
    pub fn server(&self) -> Pair {
        self.issue(&Says {
            names: &["127.0.0.1", "localhost"],
            common_name: "server",
            ..Says::default()
        })
    }

    fn roots(&self) -> Arc<RootCertStore> {
        let mut roots = RootCertStore::empty();
        roots.add(self.0.der().clone()).unwrap();
        Arc::new(roots)
    }

    /// A client that trusts this authority and shows a certificate, if it is given one.
    pub fn client(&self, shows: Option<&Pair>, alpn: &[&[u8]]) -> ClientConfig {
        let builder = ClientConfig::builder().with_root_certificates(self.roots());
        let mut config = match shows {
            None => builder.with_no_client_auth(),
            Some(pair) => builder
                .with_client_auth_cert(pair.chain(), pair.private())
                .unwrap(),
        };
        config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
        config
    }
}

impl Pair {
    fn chain(&self) -> Vec<CertificateDer<'static>> {
        CertificateDer::pem_slice_iter(self.cert.as_bytes())
            .collect::<Result<_, _>>()
            .unwrap()
    }

    fn private(&self) -> PrivateKeyDer<'static> {
        PrivateKeyDer::from_pem_slice(self.key.as_bytes()).unwrap()
    }
}

/// TLS with the gate.
pub async fn connect(gate: SocketAddr, config: ClientConfig) -> std::io::Result<TlsStream<TcpStream>> {
    let stream = TcpStream::connect(gate).await?;
    let name = ServerName::try_from("127.0.0.1").unwrap();
    within(TlsConnector::from(Arc::new(config)).connect(name, stream)).await
}

/// TLS in front of a server that speaks none. Can be given another certificate at any time.
pub struct Terminator {
    pub addr: SocketAddr,
    config: watch::Sender<Arc<ServerConfig>>,
    /// How many connections came with a certificate.
    pub shown: Arc<Mutex<usize>>,
    accepting: JoinHandle<()>,
}

impl Drop for Terminator {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

fn server_config(pair: &Pair, clients: Option<&Authority>) -> Arc<ServerConfig> {
    let builder = ServerConfig::builder();
    let builder = match clients {
        None => builder.with_no_client_auth(),
        Some(authority) => builder
            .with_client_cert_verifier(WebPkiClientVerifier::builder(authority.roots()).build().unwrap()),
    };
    Arc::new(builder.with_single_cert(pair.chain(), pair.private()).unwrap())
}

impl Terminator {
    /// `clients`: who must have signed the certificate that each client shows.
    pub async fn before(server: SocketAddr, pair: &Pair, clients: Option<&Authority>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let (config, current) = watch::channel(server_config(pair, clients));
        let shown = Arc::new(Mutex::new(0));
        let seen = Arc::clone(&shown);
        let accepting = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let mut current = current.clone();
                let acceptor = TlsAcceptor::from(Arc::clone(&current.borrow_and_update()));
                let seen = Arc::clone(&seen);
                tokio::spawn(async move {
                    let Ok(mut stream) = acceptor.accept(stream).await else {
                        return;
                    };
                    if stream.get_ref().1.peer_certificates().is_some() {
                        *seen.lock().unwrap() += 1;
                    }
                    let mut behind = TcpStream::connect(server).await.unwrap();
                    tokio::select! {
                        // ends with either side
                        _ = copy_bidirectional(&mut stream, &mut behind) => {}
                        _ = current.changed() => {}
                    }
                });
            }
        });
        Self {
            addr,
            config,
            shown,
            accepting,
        }
    }

    /// Ends the connections of before, too.
    pub fn change(&self, pair: &Pair, clients: Option<&Authority>) {
        self.config.send_replace(server_config(pair, clients));
    }

    pub fn shown(&self) -> usize {
        *self.shown.lock().unwrap()
    }
}
