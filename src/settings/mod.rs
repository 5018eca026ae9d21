//! `toolgate.yaml` and its environment overrides. The only reader of the environment.

mod approvals;
mod audit;
mod command;
mod console;
mod counters;
mod egress;
mod environment;
mod file;
mod front;
mod issuers;
mod limits;
mod load;
mod oauth;
mod proxies;
mod secret;
mod server;
mod tls;
mod tracing;
mod wrap;
mod written;

pub use counters::{AfterFailover, Counters, Place, Redis, StoreTls};
pub use egress::{Egress, EgressProxy};
pub use environment::child_environment;
pub use issuers::{Algorithm, Issuer, KeySource, is_loopback, trusted_url};
pub use load::{Settings, SettingsError, for_one_server, load, load_with};
pub use oauth::{CredentialSource, OAuth};
pub use proxies::{ForwardedBy, TrustedProxies};
pub use secret::{Secret, SecretSource, secret_from_env};
pub use server::check_server_name;
pub use tls::{ListenTls, UpstreamTls};
pub use wrap::{Wrapped, for_wrap, for_wrap_with};
pub use written::Written;

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Where decisions are recorded.
#[derive(Debug, Clone)]
pub struct Audit {
    pub stdout: bool,
    pub file: Option<PathBuf>,
    /// The file is turned over above so many bytes; 0: never.
    pub rotate_bytes: u64,
    /// How many files that were turned over are kept, 1 to 10000.
    pub keep: u32,
    pub redis_stream: Option<AuditStream>,
    /// A full queue drops lines, and counts them; otherwise it slows calls.
    pub drops: bool,
    /// Calls with limits, and those that need people, go on while lines cannot be written; otherwise they are refused.
    pub goes_on: bool,
}

/// A stream in the store that all replicas share.
#[derive(Debug, Clone)]
pub struct AuditStream {
    pub name: String,
    /// About how many lines are kept.
    pub lines: u64,
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
    /// The way there.
    pub egress: Egress,
    /// Keep the client's `Host` instead of the upstream's.
    pub pass_host: bool,
    pub connect_timeout: Duration,
    /// Until the head of the answer.
    pub response_timeout: Duration,
    /// Between two pieces of an answer.
    pub idle_timeout: Duration,
    /// Pass the client's token on, where the server's own resource identifier is its audience.
    pub forward: bool,
    /// The resource identifier (RFC 8707); `None`: the URL that clients use.
    pub resource: Option<String>,
    /// OAuth scopes that clients are told to ask for.
    pub scopes: Vec<String>,
}

/// One MCP server that is a program: it is started, and spoken to over its stdin and stdout.
#[derive(Clone)]
pub struct CommandServer {
    pub program: String,
    pub arguments: Vec<String>,
    /// All of its environment.
    pub environment: Vec<(OsString, OsString)>,
    pub sessions: Sessions,
    /// How many of it may run at once, at least 1.
    pub processes: usize,
    /// A process that nothing was asked of for so long ends.
    pub process_idle: Duration,
    /// For its start, and its answer to a handshake.
    pub connect_timeout: Duration,
    /// Until the head of an answer.
    pub response_timeout: Duration,
    /// Between two pieces of an answer.
    pub idle_timeout: Duration,
}

/// How many clients' sessions one process serves. It serves one grant in any case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sessions {
    /// A process for each session.
    Each,
    /// One process for all sessions of a grant.
    Shared,
}

// the environment may hold secrets
impl fmt::Debug for CommandServer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("CommandServer")
            .field("program", &self.program)
            .finish_non_exhaustive()
    }
}

/// The listener where people decide.
#[derive(Debug, Clone)]
pub struct Console {
    pub listen: SocketAddr,
    /// Further values of `Host` that it answers to, in lower case.
    pub hosts: Vec<String>,
    /// What people type to reach it.
    pub url: Option<http::Uri>,
}

/// Somebody to tell of calls that wait for a person.
#[derive(Debug, Clone)]
pub struct Webhook {
    /// `https`, or loopback. Some services' URLs are secrets.
    pub url: Secret<http::Uri>,
    /// What messages are signed with.
    pub secret: Option<Secret<String>>,
    pub format: WebhookFormat,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WebhookFormat {
    Json,
    /// A body that Slack and what is compatible with it show.
    Slack,
}

/// What calls that need people need.
#[derive(Debug, Clone)]
pub struct ApprovalSettings {
    /// How long a call waits for people while its client waits; zero: not at all.
    pub hold: Duration,
    /// How long a request stands.
    pub expires: Duration,
    /// Seals requests; the store never holds it.
    pub key: Option<Secret<Vec<u8>>>,
}

/// Where spans are exported to.
#[derive(Debug, Clone)]
pub struct Tracing {
    /// OTLP over HTTP, in JSON.
    pub otlp: http::Uri,
    pub headers: Vec<(http::HeaderName, CredentialSource)>,
    /// The way there.
    pub egress: Egress,
    /// Which part of the traces that begin here is exported, 0 to 1.
    pub sample: f64,
}

/// How logs are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogForm {
    /// One JSON object a line.
    Json,
    /// For people.
    Text,
}

/// The query of the URL may hold a secret.
impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let host = self.upstream.authority().map(http::uri::Authority::host);
        let mut shown = f.debug_struct("Server");
        shown.field("host", &host).field("path", &self.upstream.path());
        shown.field("headers", &self.headers).field("oauth", &self.oauth);
        shown.field("tls", &self.tls);
        shown.finish_non_exhaustive()
    }
}

/// What a fresh `toolgate.yaml` leaves out gets these.
pub mod defaults {
    use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};

    pub const LISTEN: SocketAddr = SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::LOCALHOST, 8080));
    pub const ADMIN: SocketAddr = SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::LOCALHOST, 9090));
    pub const CONSOLE: SocketAddr = SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::LOCALHOST, 9091));
    pub const STORE_DEADLINE_MS: u64 = 100;
    pub const QUARANTINE_MAX: std::time::Duration = std::time::Duration::from_secs(60);
    pub const FILE_DEADLINE_MS: u64 = 1_000;
    pub const HOLD_MS: u64 = 25_000;
    pub const APPROVAL_EXPIRES: std::time::Duration = std::time::Duration::from_secs(600);
    pub const DRAIN_MS: u64 = 10_000;
    pub const AUDIT_ROTATE_BYTES: u64 = 100 << 20;
    pub const AUDIT_KEEP: u32 = 10;
    pub const AUDIT_STREAM_LINES: u64 = 100_000;
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
    /// After SIGTERM: how long connections are still taken.
    pub drain_delay: Duration,
    /// Then: how long open requests may go on.
    pub drain: Duration,
    /// Ask at the start whether upstreams can be reached around the gate.
    pub probe_upstreams: bool,
}

#[cfg(test)]
impl Front {
    /// A listener with nothing else set.
    pub fn at(listen: SocketAddr) -> Self {
        Self {
            listen,
            admin: SocketAddr::from(([127, 0, 0, 1], 0)),
            public_url: None,
            allowed_origins: Vec::new(),
            allowed_hosts: Vec::new(),
            tls: None,
            trusted_proxies: TrustedProxies::default(),
            session_key: None,
            drain: Duration::ZERO,
            drain_delay: Duration::ZERO,
            probe_upstreams: false,
        }
    }
}

impl Server {
    /// A server at this URL that is asked directly, and gets `within` for each step.
    pub const fn at(
        url: http::Uri,
        headers: Vec<(http::HeaderName, CredentialSource)>,
        within: Duration,
    ) -> Self {
        Self {
            upstream: url,
            headers,
            oauth: None,
            tls: UpstreamTls {
                ca: None,
                identity: None,
            },
            egress: Egress::direct(),
            pass_host: false,
            forward: false,
            resource: None,
            scopes: Vec::new(),
            connect_timeout: within,
            response_timeout: within,
            idle_timeout: within,
        }
    }
}

/// The files that the settings name, as absolute or settings-relative paths already resolved.
#[derive(Debug, Clone)]
pub struct Files {
    pub settings: PathBuf,
    pub policies: BTreeMap<String, PathBuf>,
    pub grants: Option<PathBuf>,
    /// Who may decide what waits for a person.
    pub approvers: Option<PathBuf>,
    /// By server, the accepted definitions of its tools; of those with `pin: true`.
    pub pins: BTreeMap<String, PathBuf>,
    /// Names of the issuers that grants may refer to.
    pub issuers: BTreeSet<String>,
    /// By server, the id of the grant that calls without a token act as.
    pub anonymous: BTreeMap<String, String>,
    /// Requests for approval can be kept.
    pub can_ask: bool,
}

/// Where a server's pins are, beside the settings.
pub fn pins_file(settings: &Path, server: &str) -> PathBuf {
    let folder = settings.parent().map_or_else(PathBuf::new, Path::to_path_buf);
    folder.join("pins").join(format!("{server}.json"))
}
