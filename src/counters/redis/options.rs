//! Where the store is, and how it is reached.

use std::fmt;
use std::time::Duration;

use redis::io::tcp::TcpSettings;
use redis::{
    Client, ClientTlsConfig, ConnectionAddr, ConnectionInfo, IntoConnectionInfo, ProtocolVersion,
    TlsCertificates,
};

use super::failover::AfterFailover;

/// Most connections that make sense: Redis runs scripts on one thread.
const MAX_CONNECTIONS: usize = 64;

/// Which servers hold the counters. URLs are `redis://` or `rediss://` (TLS), a single one also `redis+unix://`.
#[derive(Clone)]
pub enum Place {
    Single(String),
    /// Sentinels, and the name by which they know the primary. User and password of the URLs are the sentinels'.
    Sentinel {
        master: String,
        urls: Vec<String>,
    },
    /// Some nodes of a cluster; they name the others.
    Cluster(Vec<String>),
}

/// Where the store is and how long a call may wait for it. Never shown, since it may hold a password.
#[derive(Clone)]
pub struct RedisOptions {
    pub place: Place,
    /// In place of the URL's; required for a primary that Sentinel names, where it asks for one.
    pub username: Option<String>,
    pub password: Option<String>,
    pub tls: RedisTls,
    /// Start of every key; no braces, since those choose a cluster slot.
    pub prefix: String,
    /// Around everything one call does with the store.
    pub deadline: Duration,
    /// Multiplexed connections to each node, 1 to 64; 2 to 4 make sense.
    pub connections: usize,
    /// One step for each slot group, as a cluster needs it (and always has it), undone if a later one denies.
    /// Otherwise one step for all of a call's charges.
    pub by_slot_group: bool,
    pub after_failover: AfterFailover,
    /// Longer windows are not held after a fail-over.
    pub quarantine_max: Duration,
}

/// Certificates for `rediss://`, as PEM texts.
#[derive(Clone, Default)]
pub struct RedisTls {
    /// The only authorities to trust; left out, the system's.
    pub ca: Option<Vec<u8>>,
    /// The client's certificate chain and its key.
    pub client: Option<(Vec<u8>, Vec<u8>)>,
}

impl RedisOptions {
    /// Two connections, 100 ms, the URL's credentials and the system's authorities.
    pub fn new(place: Place, prefix: &str) -> Self {
        Self {
            place,
            username: None,
            password: None,
            tls: RedisTls::default(),
            prefix: prefix.to_owned(),
            deadline: Duration::from_millis(100),
            connections: 2,
            by_slot_group: false,
            after_failover: AfterFailover::default(),
            quarantine_max: Duration::from_secs(60),
        }
    }

    /// One server.
    pub fn single(url: impl Into<String>, prefix: &str) -> Self {
        Self::new(Place::Single(url.into()), prefix)
    }

    pub(super) fn check(&self) -> Result<(), StoreSetupError> {
        let plain = |byte: u8| byte.is_ascii_graphic() && byte != b'{' && byte != b'}';
        if self.prefix.is_empty() || self.prefix.len() > 64 || !self.prefix.bytes().all(plain) {
            return Err(StoreSetupError::Prefix(self.prefix.clone()));
        }
        if self.connections == 0 || self.connections > MAX_CONNECTIONS {
            return Err(StoreSetupError::Connections(self.connections));
        }
        if self.deadline < Duration::from_millis(1) || self.deadline > Duration::from_secs(60) {
            return Err(StoreSetupError::Deadline);
        }
        Ok(())
    }
}

impl fmt::Debug for RedisOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("RedisOptions");
        shown.field("prefix", &self.prefix);
        shown.field("deadline", &self.deadline);
        shown.finish_non_exhaustive()
    }
}

/// Why a store cannot be set up. No message holds a URL.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreSetupError {
    #[error("the store's URL cannot be read: write `redis://`, `rediss://` or `redis+unix://`")]
    Url,
    #[error("the store's URL asks not to verify certificates: name the authority in `tls.ca` instead")]
    Insecure,
    #[error("the store's URLs are of different kinds: write `rediss://` in all of them or in none")]
    MixedUrls,
    #[error("certificates for the store without TLS: write `rediss://`")]
    TlsWithoutTls,
    #[error("the certificates for the store cannot be read: give them in PEM")]
    Certificates,
    #[error("the store's prefix `{0}` must be 1 to 64 printable characters without braces or blanks")]
    Prefix(String),
    #[error("{0} connections to the store: set 1 to 64")]
    Connections(usize),
    #[error("the store's deadline must be 1 ms to 60 s")]
    Deadline,
    #[error("the store must be set up inside a tokio runtime")]
    Runtime,
}

/// How every node of the store is connected to.
#[derive(Clone)]
pub(super) struct Door {
    /// Address aside, what the first URL says.
    info: ConnectionInfo,
    certificates: TlsCertificates,
}

impl Door {
    /// To the nodes that hold the counters; the database is the first URL's.
    pub(super) fn new(options: &RedisOptions) -> Result<(Self, Vec<ConnectionAddr>), StoreSetupError> {
        let urls = match &options.place {
            Place::Single(url) => std::slice::from_ref(url),
            Place::Cluster(urls) | Place::Sentinel { urls, .. } => urls,
        };
        let (mut door, addresses) = Self::of_urls(urls, &options.tls)?;
        let mut redis = door.info.redis_settings().clone();
        if matches!(options.place, Place::Sentinel { .. }) {
            // what stands in the URLs is for the sentinels
            redis = redis::RedisConnectionInfo::default().set_protocol(ProtocolVersion::RESP3);
        }
        if let Some(username) = &options.username {
            redis = redis.set_username(username);
        }
        if let Some(password) = &options.password {
            redis = redis.set_password(password);
        }
        door.info = door.info.set_redis_settings(redis);
        Ok((door, addresses))
    }

    /// With what stands in the URLs alone: to the sentinels.
    pub(super) fn of_urls(
        urls: &[String],
        tls: &RedisTls,
    ) -> Result<(Self, Vec<ConnectionAddr>), StoreSetupError> {
        let infos = urls.iter().map(|url| {
            url.as_str()
                .into_connection_info()
                .map_err(|_| StoreSetupError::Url)
        });
        let infos: Vec<ConnectionInfo> = infos.collect::<Result<_, _>>()?;
        let addresses: Vec<_> = infos.iter().map(|info| info.addr().clone()).collect();
        let secure = |addr: &ConnectionAddr| matches!(addr, ConnectionAddr::TcpTls { .. });
        let unverified =
            |addr: &ConnectionAddr| matches!(addr, ConnectionAddr::TcpTls { insecure: true, .. });
        if addresses.iter().any(unverified) {
            return Err(StoreSetupError::Insecure);
        }
        let info = infos.into_iter().next().ok_or(StoreSetupError::Url)?;
        let with_tls = secure(info.addr());
        if addresses.iter().any(|addr| secure(addr) != with_tls) {
            return Err(StoreSetupError::MixedUrls);
        }
        if !with_tls && (tls.ca.is_some() || tls.client.is_some()) {
            return Err(StoreSetupError::TlsWithoutTls);
        }
        let resp3 = info.redis_settings().clone().set_protocol(ProtocolVersion::RESP3);
        let tcp = TcpSettings::default().set_nodelay(true);
        let door = Self {
            info: info.set_redis_settings(resp3).set_tcp_settings(tcp),
            certificates: TlsCertificates {
                client_tls: tls
                    .client
                    .clone()
                    .map(|(client_cert, client_key)| ClientTlsConfig {
                        client_cert,
                        client_key,
                    }),
                root_cert: tls.ca.clone(),
            },
        };
        for address in &addresses {
            door.client(address.clone())?;
        }
        Ok((door, addresses))
    }

    /// A node that another one named.
    pub(super) fn address(&self, host: &str, port: u16) -> ConnectionAddr {
        let host = host.to_owned();
        match self.info.addr() {
            ConnectionAddr::TcpTls { .. } => ConnectionAddr::TcpTls {
                host,
                port,
                insecure: false,
                tls_params: None,
            },
            _ => ConnectionAddr::Tcp(host, port),
        }
    }

    /// Does not connect yet.
    pub(super) fn client(&self, address: ConnectionAddr) -> Result<Client, StoreSetupError> {
        let with_tls = matches!(address, ConnectionAddr::TcpTls { .. });
        let info = self.info.clone().set_addr(address);
        if with_tls {
            Client::build_with_tls(info, self.certificates.clone()).map_err(|_| StoreSetupError::Certificates)
        } else {
            Client::open(info).map_err(|_| StoreSetupError::Url)
        }
    }
}
