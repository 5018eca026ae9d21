//! Wiring: settings → bind → run until shutdown → drain.

mod pins;
pub mod wrap;

use std::collections::BTreeMap;
use std::io::Write;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, anyhow};
use arc_swap::ArcSwap;
use data_encoding::HEXLOWER;
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::admin::{self, Admin};
use crate::counters::{FileStore, RedisOptions, Store, StoreError};
use crate::document::{self, Level};
use crate::grants::{Grants, GrantsFile};
use crate::policy::{self, Pins, Policy};
use crate::proxy::{self, Fallback, Gate, SessionKey, Snapshot, Streams, Upstream};
use crate::record::{Lines, Metrics, Recorder};
use crate::settings::{Counters, Files, Secret, Settings};

/// Multiplexed connections to Redis of one replica.
const STORE_CONNECTIONS: usize = 2;
/// Under this name replicas share the key that signs session ids.
const SESSION_SECRET: &str = "session-key";

/// A gate that listens but does not serve yet.
pub struct App {
    gate: Arc<Gate>,
    proxy: TcpListener,
    admin: TcpListener,
    looks: Vec<pins::Looks>,
}

/// The policies, grants and warnings that the settings' files hold.
pub struct Loaded {
    pub policies: BTreeMap<String, Arc<Policy>>,
    pub grants: Grants,
    /// The accepted tools, by server.
    pub pins: BTreeMap<String, Pins>,
    /// Problems that do not stop the gate, rendered.
    pub warnings: Vec<String>,
}

/// Reads policies and grants. Every problem in every file is told at once.
pub fn load_files<'s>(files: &Files, servers: impl Iterator<Item = &'s str>) -> anyhow::Result<Loaded> {
    let mut problems = Vec::new();
    let mut warnings = Vec::new();
    let mut policies = BTreeMap::new();
    for (name, path) in &files.policies {
        let shown = path.display().to_string();
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) => {
                let settings = files.settings.display();
                problems.push(format!(
                    "{shown}: cannot read the policy `{name}` that {settings} names: {error}"
                ));
                continue;
            }
        };
        match policy::load(name, &shown, &text) {
            Ok(loaded) => {
                warnings.extend(
                    loaded
                        .warnings
                        .iter()
                        .map(|problem| document::render(problem, Level::Warning, Some(&text))),
                );
                if loaded.policy.is_shadow() {
                    warnings.push(format!(
                        "{shown}: the policy `{name}` is in shadow: it blocks nothing"
                    ));
                }
                policies.insert(name.clone(), Arc::new(loaded.policy));
            }
            Err(found) => problems.extend(
                found
                    .iter()
                    .map(|problem| document::render(problem, Level::Error, Some(&text))),
            ),
        }
    }
    let pins = pins::read_all(files, &mut problems);
    if !problems.is_empty() {
        return Err(anyhow!(problems.join("\n")));
    }
    let grants = match &files.grants {
        None => Grants::default(),
        Some(path) => read_grants(path, servers, &policies)?,
    };
    Ok(Loaded {
        policies,
        grants,
        pins,
        warnings,
    })
}

fn read_grants<'s>(
    path: &Path,
    servers: impl Iterator<Item = &'s str>,
    policies: &BTreeMap<String, Arc<Policy>>,
) -> anyhow::Result<Grants> {
    let text = std::fs::read_to_string(path).map_err(|error| {
        anyhow!(
            "{}: cannot read the grants: {error}; make the file with `toolgate grant new`",
            path.display()
        )
    })?;
    Ok(GrantsFile::parse(path, &text)?.resolve(path, servers, policies)?)
}

impl App {
    /// Builds everything and binds both ports. Does not need the store or the upstreams to be there.
    /// `lines`: where decision lines go, if anywhere.
    pub async fn bind(settings: Settings, loaded: Loaded, lines: Option<Lines>) -> anyhow::Result<Self> {
        let proxy = listen("listen", settings.front.listen).await?;
        let admin = listen("admin", settings.front.admin).await?;
        let metrics = Arc::new(Metrics::new(env!("CARGO_PKG_VERSION"))?);
        let tls = upstream_tls(
            settings
                .servers
                .values()
                .any(|server| server.upstream.scheme_str() == Some("https")),
        );
        let mut servers = BTreeMap::new();
        for (name, server) in &settings.servers {
            let upstream = Upstream::new(name, server, &tls).map_err(|error| {
                anyhow!(
                    "{}: `servers.{name}.upstream`: {error}",
                    settings.files.settings.display()
                )
            })?;
            metrics.in_flight(name).set(0);
            servers.insert(name.clone(), Arc::new(upstream));
        }
        for grant in loaded.grants.iter() {
            for server in &grant.servers {
                for policy in &grant.policies {
                    metrics.tools().learn(server, policy.tool_names());
                }
            }
        }
        let pinned = pins::pinned(loaded.pins, &metrics);
        let looks = pins::looks(&settings, &pinned, &tls);
        let session_key = SessionKey::default();
        if let Some(key) = settings.front.session_key.clone() {
            session_key.set(key);
        }
        let gate = Arc::new(Gate {
            snapshot: ArcSwap::from_pointee(Snapshot {
                servers,
                grants: loaded.grants,
            }),
            store: store(&settings.counters)?,
            fallback: Fallback::new(expected_replicas(&settings.counters)),
            recorder: Recorder::new(metrics, lines),
            session_key,
            legacy: Streams::default(),
            pins: pinned,
            front: settings.front,
            limits: settings.limits,
            replica: replica_name()?,
        });
        Ok(Self {
            gate,
            proxy,
            admin,
            looks,
        })
    }

    pub fn proxy_addr(&self) -> std::io::Result<SocketAddr> {
        self.proxy.local_addr()
    }

    pub fn admin_addr(&self) -> std::io::Result<SocketAddr> {
        self.admin.local_addr()
    }

    /// Serves until `shutdown` is true, drains, and flushes the record.
    pub async fn run(self, shutdown: watch::Receiver<bool>) {
        let Self {
            gate,
            proxy,
            admin,
            looks,
        } = self;
        let mut helpers = vec![
            tokio::spawn(admin::serve(admin_of(&gate, shutdown.clone()), admin)),
            tokio::spawn(share_session_key(Arc::clone(&gate))),
            tokio::spawn(reap_connections(Arc::clone(&gate))),
        ];
        helpers.extend(looks.into_iter().map(|looks| tokio::spawn(looks.run())));
        let drain = gate.front.drain;
        let cut = proxy::accept(Arc::clone(&gate), proxy, shutdown, drain).await;
        if cut > 0 {
            tracing::warn!(
                connections = cut,
                drain_ms = drain.as_millis(),
                "connections were cut at the end of the drain"
            );
        }
        for helper in helpers {
            helper.abort();
        }
        gate.recorder.flush().await;
    }
}

async fn listen(key: &str, address: SocketAddr) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).await.with_context(|| {
        format!("cannot listen on {address}: change `{key}` in the settings, or stop what uses the port")
    })
}

const fn expected_replicas(counters: &Counters) -> u64 {
    match counters {
        Counters::Memory | Counters::File { .. } => 1,
        Counters::Redis {
            expected_replicas, ..
        } => *expected_replicas,
    }
}

fn store(counters: &Counters) -> anyhow::Result<Store> {
    match counters {
        Counters::Memory => Ok(Store::memory()),
        Counters::File { path, deadline } => Ok(Store::File(FileStore::new(path.clone(), *deadline))),
        Counters::Redis {
            url,
            prefix,
            deadline,
            ..
        } => Ok(Store::redis(RedisOptions {
            url: url.expose().clone(),
            prefix: prefix.clone(),
            deadline: *deadline,
            connections: STORE_CONNECTIONS,
            by_slot_group: false,
        })?),
    }
}

/// The system's certificate authorities (`SSL_CERT_FILE` and `SSL_CERT_DIR` name others).
pub fn upstream_tls(needed: bool) -> Arc<rustls::ClientConfig> {
    let mut roots = rustls::RootCertStore::empty();
    if needed {
        let found = rustls_native_certs::load_native_certs();
        for error in &found.errors {
            tracing::warn!(%error, "a certificate authority could not be read");
        }
        let (added, ignored) = roots.add_parsable_certificates(found.certs);
        tracing::debug!(added, ignored, "certificate authorities for upstreams");
    }
    let mut config = rustls::ClientConfig::builder()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Arc::new(config)
}

/// Names this process: host name and four random bytes.
fn replica_name() -> anyhow::Result<String> {
    let mut bytes = [0; 4];
    getrandom::fill(&mut bytes)
        .map_err(|error| anyhow!("the operating system gave no random bytes: {error}"))?;
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let host = if host.trim().is_empty() {
        "toolgate"
    } else {
        host.trim()
    };
    Ok(format!("{host}-{}", HEXLOWER.encode(&bytes)))
}

fn admin_of(gate: &Arc<Gate>, stopping: watch::Receiver<bool>) -> Admin {
    let probed = Arc::clone(gate);
    Admin {
        metrics: Arc::clone(&gate.recorder.metrics),
        stopping,
        store: Arc::new(move || {
            let gate = Arc::clone(&probed);
            Box::pin(async move {
                match gate.store.ping().await {
                    Ok(()) => "up",
                    Err(_) => "down",
                }
            })
        }),
    }
}

/// Agrees with the other replicas on the session key; a process of its own makes its own.
async fn share_session_key(gate: Arc<Gate>) {
    let mut candidate = [0; 32];
    while !gate.session_key.is_known() {
        let drawn = getrandom::fill(&mut candidate).map_err(|_| StoreError::Randomness);
        let agreed = match drawn {
            Ok(()) => gate.store.shared_secret(SESSION_SECRET, candidate).await,
            Err(error) => Err(error),
        };
        match agreed {
            Ok(key) => gate.session_key.set(Secret::new(key.to_vec())),
            Err(error) => {
                tracing::warn!(%error, "no session key yet: new sessions are refused until the store answers");
                tokio::time::sleep(Duration::from_millis(500)).await;
            }
        }
    }
}

async fn reap_connections(gate: Arc<Gate>) {
    let mut tick = tokio::time::interval(Duration::from_secs(1));
    loop {
        tick.tick().await;
        for upstream in gate.snapshot.load().servers.values() {
            upstream.reap();
        }
    }
}

/// Becomes true at SIGTERM or SIGINT.
pub fn signals() -> anyhow::Result<watch::Receiver<bool>> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let (stop, stopped) = watch::channel(false);
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        // nobody listens once the gate has ended
        let _ = stop.send(true);
    });
    Ok(stopped)
}

/// The first line of `serve`: where the gate listens.
pub fn announce(out: &mut dyn Write, app: &App) -> anyhow::Result<()> {
    let (proxy, admin) = (app.proxy_addr()?, app.admin_addr()?);
    let line = format!(r#"{{"event":"listening","proxy":"{proxy}","admin":"{admin}"}}"#);
    writeln!(out, "{line}")?;
    out.flush()?;
    Ok(())
}
