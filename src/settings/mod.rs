//! `toolgate.yaml` and its environment overrides. The only reader of the environment.

mod counters;
mod environment;
mod file;
mod front;
mod limits;
mod load;
mod oauth;
mod proxies;
mod secret;
mod server;
mod tls;
mod wrap;
mod written;

pub use environment::child_environment;
pub use load::{Settings, SettingsError, for_one_server, load, load_with};
pub use oauth::{CredentialSource, OAuth};
pub use proxies::{ForwardedBy, TrustedProxies};
pub use secret::{Secret, SecretSource, secret_from_env};
pub use tls::{ListenTls, UpstreamTls};
pub use wrap::{Wrapped, for_wrap, for_wrap_with};
pub use written::Written;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Where counters live.
#[derive(Debug, Clone)]
pub enum Counters {
    /// This process only.
    Memory,
    /// The gates of one user before one server: `toolgate wrap` alone.
    File {
        path: PathBuf,
        deadline: Duration,
    },
    Redis(Box<Redis>),
}

/// Counters in Redis.
#[derive(Debug, Clone)]
pub struct Redis {
    pub place: Place,
    /// In place of what stands in the URLs.
    pub username: Option<String>,
    pub password: Option<Secret<String>>,
    pub tls: StoreTls,
    pub prefix: String,
    pub deadline: Duration,
    /// Replicas that share a limit counted with `on_store_error: local`; at least 1.
    pub expected_replicas: u64,
}

/// Which Redis.
#[derive(Debug, Clone)]
pub enum Place {
    Single(Secret<String>),
    /// The sentinels, and their name of the primary.
    Sentinel {
        master: String,
        urls: Vec<Secret<String>>,
    },
    /// Some nodes of a cluster.
    Cluster(Vec<Secret<String>>),
}

/// PEM texts for a store over TLS.
#[derive(Debug, Clone, Default)]
pub struct StoreTls {
    pub ca: Option<Vec<u8>>,
    /// The client's certificates and their key.
    pub client: Option<(Vec<u8>, Secret<Vec<u8>>)>,
}

/// Bounds on what one client may send or hold. All are inclusive.
#[derive(Debug, Clone)]
pub struct Limits {
    pub body_bytes: usize,
    pub headers: usize,
    pub header_bytes: usize,
    pub connections: usize,
    pub connections_per_peer: usize,
    /// For a request's head, and for the handshake of TLS.
    pub header_timeout: Duration,
    pub body_timeout: Duration,
    /// How long a connection may be open without a request.
    pub idle_timeout: Duration,
    /// How long a client may take nothing of an answer.
    pub write_timeout: Duration,
    /// After this time a connection takes no further requests.
    pub connection_age: Duration,
    /// After that many requests likewise.
    pub requests_per_connection: usize,
    /// Requests that one HTTP/2 connection may have open.
    pub streams_per_connection: u32,
    /// Open event streams that clients listen on.
    pub streams: usize,
    pub streams_per_grant: usize,
    /// All large request bodies together, while they are held.
    pub body_memory_bytes: usize,
    /// The largest `tools/list` answer or filtered event; beyond it the answer fails closed.
    pub max_list_bytes: usize,
    /// The longest line of a stdio server.
    pub line_bytes: usize,
}

/// One upstream MCP server: exactly one URL.
#[derive(Clone)]
pub struct Server {
    pub upstream: http::Uri,
    /// Headers set on every request to the upstream, in place of what the client sent.
    pub headers: Vec<(http::HeaderName, CredentialSource)>,
    /// Where a bearer token for it comes from.
    pub oauth: Option<OAuth>,
    pub tls: UpstreamTls,
    /// Keep the client's `Host` instead of the upstream's.
    pub pass_host: bool,
    pub connect_timeout: Duration,
    /// Until the head of the answer.
    pub response_timeout: Duration,
    /// Between two pieces of an answer.
    pub idle_timeout: Duration,
}

/// The query of the URL may hold a secret.
impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let host = self.upstream.authority().map(http::uri::Authority::host);
        let shown = f
            .debug_struct("Server")
            .field("host", &host)
            .field("path", &self.upstream.path());
        let shown = shown
            .field("headers", &self.headers)
            .field("oauth", &self.oauth)
            .field("tls", &self.tls);
        shown.finish_non_exhaustive()
    }
}

impl Server {
    /// One without credentials, all of whose time-outs are `within`.
    pub fn plain(upstream: http::Uri, within: Duration) -> Self {
        Self {
            upstream,
            headers: Vec::new(),
            oauth: None,
            tls: UpstreamTls::default(),
            pass_host: false,
            connect_timeout: within,
            response_timeout: within,
            idle_timeout: within,
        }
    }
}

/// What a fresh `toolgate.yaml` leaves out gets these.
pub mod defaults {
    use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};

    pub const LISTEN: SocketAddr = SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::LOCALHOST, 8080));
    pub const ADMIN: SocketAddr = SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::LOCALHOST, 9090));
    pub const STORE_DEADLINE_MS: u64 = 100;
    pub const FILE_DEADLINE_MS: u64 = 1_000;
    pub const DRAIN_MS: u64 = 10_000;
}

/// Listen addresses and switches that are neither limits nor servers.
#[derive(Debug, Clone)]
pub struct Front {
    pub listen: SocketAddr,
    pub admin: SocketAddr,
    pub public_url: Option<http::Uri>,
    pub allowed_origins: Vec<String>,
    pub allowed_hosts: Vec<String>,
    /// Without it clients are served in the clear.
    pub tls: Option<ListenTls>,
    pub trusted_proxies: TrustedProxies,
    pub session_key: Option<Secret<Vec<u8>>>,
    pub drain: Duration,
}

/// The files that the settings name, as absolute or settings-relative paths already resolved.
#[derive(Debug, Clone)]
pub struct Files {
    pub settings: PathBuf,
    pub policies: BTreeMap<String, PathBuf>,
    pub grants: Option<PathBuf>,
    /// By server, the accepted definitions of its tools; of those with `pin: true`.
    pub pins: BTreeMap<String, PathBuf>,
}

/// Where a server's pins are, beside the settings.
pub fn pins_file(settings: &Path, server: &str) -> PathBuf {
    let folder = settings.parent().map_or_else(PathBuf::new, Path::to_path_buf);
    folder.join("pins").join(format!("{server}.json"))
}
