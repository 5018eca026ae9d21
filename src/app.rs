//! Wiring: settings → bind → run until shutdown → drain.

mod approvals;
mod audit;
mod background;
mod console;
mod files;
mod issuers;
mod limits_of;
mod otlp;
mod pins;
mod probes;
mod reached;
mod reload;
mod start;
mod store;
mod store_state;
mod tls;
mod watch;
mod webhooks;
pub mod wrap;

use console::People;

pub use approvals::warn_of_nobody;
pub use audit::{KeptHead, audit_lines, journal, reopen_at_hangup};
pub use files::{FileProblem, Loaded, file_problems, load_files};
pub use limits_of::{charges_of, is_chosen, window_of};
pub use reload::Reload;
pub use start::start_problems;
pub use store::store;

use std::collections::BTreeMap;
use std::io::Write;
use std::net::SocketAddr;
use std::panic::resume_unwind;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, anyhow};
use arc_swap::ArcSwap;
use data_encoding::HEXLOWER;
use tokio::net::TcpListener;
use tokio::sync::watch::{Receiver, channel};
use tokio::task::{JoinError, JoinHandle};

use crate::admin;
use crate::approvals::Approvals;
use crate::grants::Grants;
use crate::proxy::{
    self, BodyMemory, Callers, Changes, Fallback, Gate, Host, Leaving, Places, Resources, SessionKey,
    Snapshot, Streams, Upstream,
};
use crate::record::{Lines, Metrics, Recorder};
use crate::settings::{CommandServer, Front, Settings};
use crate::tls::ServerTls;

/// A gate that listens but does not serve yet.
pub struct App {
    gate: Arc<Gate>,
    proxy: TcpListener,
    admin: TcpListener,
    tls: Option<Arc<ServerTls>>,
    looks: Vec<pins::Looks>,
    heads: Option<audit::Heads>,
    reload: Option<Reload>,
    exporter: Option<otlp::Exporter>,
    around: Vec<reached::Around>,
    people: People,
}

impl App {
    /// Builds everything and binds both ports. Does not need the store or the upstreams to be there.
    /// `lines`: where decision lines go, if anywhere.
    pub async fn bind(settings: Settings, loaded: Loaded, lines: Option<Lines>) -> anyhow::Result<Self> {
        let proxy = listen("listen", settings.front.listen).await?;
        let admin = listen("admin", settings.front.admin).await?;
        let metrics = Arc::new(Metrics::new(env!("CARGO_PKG_VERSION"))?);
        let tls = tls::inbound(&settings.files.settings, settings.front.tls.as_ref())?;
        let servers = upstreams(&settings, &metrics)?;
        let commands = commands(&settings.commands, settings.limits.line_bytes, &metrics);
        metrics.tools().written(reload::tool_names(&loaded.grants));
        metrics.reload().started(reload::now());
        let changes = Arc::new(Changes::default());
        let pinned = pins::pinned(loaded.pins, &metrics, &changes);
        let looks = pins::looks(&settings, &pinned, &servers);
        let callers = callers(&settings, &loaded.grants, proxy.local_addr()?)?;
        let around = around(&settings, &servers)?;
        let replica = replica_name()?;
        let people = People::bind(&settings, loaded.approvers, &metrics, &replica).await?;
        let (spans, exporter) = otlp::exporting(settings.tracing.as_ref(), metrics.spans(), &replica)?;
        let (store, approvals) = store::with_approvals(&settings)?;
        let gate = Arc::new(Gate {
            commands,
            snapshot: ArcSwap::from_pointee(Snapshot {
                servers,
                grants: loaded.grants,
            }),
            store,
            fallback: Fallback::new(store::expected_replicas(&settings.counters)),
            recorder: Recorder::new(metrics, lines)
                .tracing(spans)
                .remembering(people.recent()),
            session_key: session_key(&settings.front),
            legacy: Streams::default(),
            listening: Places::new(settings.limits.streams, settings.limits.streams_per_grant),
            held: Arc::default(),
            hold: settings.approvals.hold,
            approval_page: people.page()?,
            approvals,
            bodies: BodyMemory::new(settings.limits.body_memory_bytes),
            callers,
            leaving: Leaving::default(),
            changes,
            pins: pinned,
            front: settings.front,
            limits: settings.limits,
            replica,
        });
        let heads = audit::Heads::new(&settings.counters, &gate.recorder, &gate.replica)?;
        Ok(Self {
            gate,
            proxy,
            admin,
            tls,
            looks,
            heads,
            reload: None,
            exporter,
            around,
            people,
        })
    }

    /// Reads policies, grants and pins again where they change. Left out, they stay as they were.
    #[must_use]
    pub fn reloading(mut self, reload: Reload) -> Self {
        self.reload = Some(reload);
        self
    }

    /// What waits for people here.
    pub fn approvals(&self) -> &Approvals {
        &self.gate.approvals
    }

    pub fn proxy_addr(&self) -> std::io::Result<SocketAddr> {
        self.proxy.local_addr()
    }

    pub fn admin_addr(&self) -> std::io::Result<SocketAddr> {
        self.admin.local_addr()
    }

    /// `None` where there is no console.
    pub fn console_addr(&self) -> std::io::Result<Option<SocketAddr>> {
        self.people.address()
    }

    /// Serves until `shutdown` is true, drains, and flushes the record.
    pub async fn run(self, shutdown: Receiver<bool>) {
        let Self {
            gate,
            proxy,
            admin,
            tls,
            looks,
            heads,
            reload,
            exporter,
            around,
            people,
        } = self;
        let (ended, ending) = channel(false);
        let exporting = exporter.map(|exporter| tokio::spawn(exporter.run(ending)));
        let mut helpers = vec![
            tokio::spawn(admin::serve(probes::admin(&gate, shutdown.clone()), admin)),
            tokio::spawn(background::share_session_key(Arc::clone(&gate))),
            tokio::spawn(background::reap_connections(Arc::clone(&gate))),
            tokio::spawn(tls::follow(Arc::clone(&gate), tls.clone())),
            tokio::spawn(background::read_revoked(Arc::clone(&gate))),
            tokio::spawn(background::record_resets(Arc::clone(&gate))),
            tokio::spawn(background::cut_ended(Arc::clone(&gate))),
            tokio::spawn(approvals::follow(Arc::clone(&gate))),
            tokio::spawn(approvals::expire(Arc::clone(&gate))),
            tokio::spawn(background::refresh_keys(Arc::clone(&gate))),
            tokio::spawn(store_state::watch_store(Arc::clone(&gate))),
            tokio::spawn(store_state::tell_store(Arc::clone(&gate))),
        ];
        let last = heads.clone();
        helpers.extend(heads.map(|heads| tokio::spawn(heads.run())));
        helpers.extend(looks.into_iter().map(|looks| tokio::spawn(looks.run())));
        let metrics = || Arc::clone(&gate.recorder.metrics);
        helpers.extend(
            around
                .into_iter()
                .map(|around| tokio::spawn(around.run(metrics()))),
        );
        let approvers = Arc::clone(&people.approvers);
        helpers.extend(reload.map(|reload| tokio::spawn(reload.run(Arc::clone(&gate), approvers))));
        helpers.extend(people.start(&gate, tls.as_ref()));
        let drain = gate.front.drain;
        // a task among the others, so that new connections take turns with calls
        let accepting = tokio::spawn(proxy::accept(Arc::clone(&gate), proxy, tls, shutdown, drain));
        match accepting.await.map_err(JoinError::try_into_panic) {
            Ok(cut) => warn_of_cut(cut, drain),
            // a gate that takes no connections ends, and not as if it had been asked to
            Err(Ok(panic)) => resume_unwind(panic),
            Err(Err(_)) => {}
        }
        helpers.iter().for_each(JoinHandle::abort);
        background::end_processes(&gate).await;
        gate.recorder.flush().await;
        if let Some(mut heads) = last {
            heads.keep().await;
        }
        ended.send_replace(true);
        if let Some(exporting) = exporting {
            // it has bounds of its own; an error means that it ended before
            drop(exporting.await);
        }
    }
}

fn warn_of_cut(connections: usize, drain: Duration) {
    if connections > 0 {
        let drain_ms = drain.as_millis();
        tracing::warn!(
            connections,
            drain_ms,
            "connections were cut at the end of the drain"
        );
    }
}

fn commands(
    settings: &BTreeMap<String, CommandServer>,
    line_cap: usize,
    metrics: &Metrics,
) -> BTreeMap<String, Arc<Host>> {
    let commands = settings.iter().map(|(name, server)| {
        metrics.serves(name);
        let host = Host::new(name, server.clone(), line_cap, metrics.children(name));
        (name.clone(), Arc::new(host))
    });
    commands.collect()
}

/// The key of the settings; else replicas agree on one later.
fn session_key(front: &Front) -> SessionKey {
    let key = SessionKey::default();
    if let Some(known) = front.session_key.clone() {
        key.set(known);
    }
    key
}

/// What is known of who calls; `proxy`: where the gate listens.
fn callers(settings: &Settings, grants: &Grants, proxy: SocketAddr) -> anyhow::Result<Callers> {
    warn_of_open_servers(grants, proxy);
    let issuers = issuers::issuers(settings)?;
    let resources = Resources::new(
        &settings.front,
        proxy,
        &settings.servers,
        settings.commands.keys().map(String::as_str),
        issuers.advertised(),
    );
    Ok(Callers::new(issuers, resources))
}

/// Who reaches the port reaches these servers.
fn warn_of_open_servers(grants: &Grants, listen: SocketAddr) {
    for (server, grant) in grants.anonymous() {
        if !listen.ip().is_loopback() {
            let grant = grant.id.as_str();
            tracing::warn!(
                server,
                grant,
                "calls without a token are let in from everywhere, since `anonymous` names a grant for this server and `listen` is no loopback address"
            );
        }
    }
}

fn upstreams(settings: &Settings, metrics: &Metrics) -> anyhow::Result<BTreeMap<String, Arc<Upstream>>> {
    let mut servers = BTreeMap::new();
    for (name, server) in &settings.servers {
        let upstream = tls::upstream(&settings.files.settings, name, server)?;
        metrics.serves(name);
        servers.insert(name.clone(), upstream);
    }
    Ok(servers)
}

/// What is asked around the gate, where that is wanted.
fn around(
    settings: &Settings,
    upstreams: &BTreeMap<String, Arc<Upstream>>,
) -> anyhow::Result<Vec<reached::Around>> {
    let own = reached::own_address();
    let wanted = settings.servers.iter().filter(|_| settings.front.probe_upstreams);
    let around = wanted.filter_map(|(name, server)| {
        let upstream = upstreams.get(name)?;
        Some(reached::Around::new(name, server, upstream.access(), own))
    });
    around.collect()
}

async fn listen(key: &str, address: SocketAddr) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).await.with_context(|| {
        format!("cannot listen on {address}: change `{key}` in the settings, or stop what uses the port")
    })
}

/// Names this process: host name and four random bytes.
pub fn replica_name() -> anyhow::Result<String> {
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

/// Becomes true at SIGTERM or SIGINT.
pub fn signals() -> anyhow::Result<Receiver<bool>> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let (stop, stopped) = channel(false);
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
    let console = app.console_addr()?;
    let console = console.map_or_else(String::new, |address| format!(r#","console":"{address}""#));
    let line = format!(r#"{{"event":"listening","proxy":"{proxy}","admin":"{admin}"{console}}}"#);
    writeln!(out, "{line}")?;
    out.flush()?;
    Ok(())
}
