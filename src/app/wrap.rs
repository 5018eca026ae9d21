//! Wiring of `toolgate wrap`: one client on stdin and stdout, one grant, one server.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, anyhow};
use arc_swap::ArcSwap;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::approvals;
use super::pins::{self, load_pins};
use super::store::{expected_replicas, with_approvals};
use super::store_state;
use super::{load_files, replica_name, tls};
use crate::counters::CallId;
use crate::grants::{Grant, Grants};
use crate::policy::{Pins, Policy};
use crate::proxy::{
    self, BodyMemory, Caller, Callers, Changes, Fallback, Gate, Leaving, Places, SessionKey, Signal,
    Snapshot, Streams, Upstream, exit_code, signal_code, wrap_command, wrap_upstream,
};
use crate::record::{FileOptions, FileSink, Lines, Metrics, OnError, Overflow, Recorder};
use crate::settings::{Counters, Files, Settings};

/// Who calls under `wrap`.
const GRANT: &str = "local";

/// What to wrap.
pub struct Wrap {
    pub settings: Settings,
    pub server: String,
    pub policies: Vec<PathBuf>,
    /// Where decision lines go; `None`: stderr.
    pub record: Option<PathBuf>,
    pub far: Far,
}

/// What is behind the gate.
pub enum Far {
    Command(ServerCommand),
    /// The one server of the settings.
    Upstream,
}

/// What to start.
pub struct ServerCommand {
    pub program: OsString,
    pub arguments: Vec<OsString>,
    /// All of the child's environment.
    pub environment: Vec<(OsString, OsString)>,
}

/// Reads the policies, starts the server and serves the client on stdin and stdout. Returns the exit code.
///
/// # Errors
/// A policy that cannot be read or is wrong, a record that cannot be opened, or a server that cannot be
/// started. Before the server is started everything else was found to be right.
pub async fn run(wrap: Wrap) -> anyhow::Result<u8> {
    let policies = policies(&wrap)?;
    // people decide at the console of another gate, which reads the same store
    if !matches!(wrap.settings.counters, Counters::Redis(_)) {
        let remedy = "`wrap` has no console; set `counters.store: redis` and `approvals.key` as a gate with a `console` has them";
        approvals::warn_of_nobody(&policies, remedy);
    }
    let pins = load_pins(&wrap.settings.files)?;
    let lines = match &wrap.record {
        None => Lines::to(std::io::stderr()),
        Some(path) => record_in(path),
    };
    let asked = wrap.settings.clone();
    let upstream = upstream(&asked)?;
    let gate = gate(wrap.settings, pins, lines.context("the record cannot start")?)?;
    let upstreams = upstream
        .iter()
        .map(|upstream| (wrap.server.clone(), Arc::clone(upstream)));
    let mut helpers = vec![
        tokio::spawn(store_state::watch_store(Arc::clone(&gate))),
        tokio::spawn(store_state::tell_store(Arc::clone(&gate))),
        tokio::spawn(approvals::follow(Arc::clone(&gate))),
        tokio::spawn(approvals::expire(Arc::clone(&gate))),
    ];
    let looks = pins::looks(&asked, &gate.pins, &upstreams.collect()).into_iter();
    helpers.extend(looks.map(|looks| tokio::spawn(looks.run())));
    let followed = upstream.clone();
    helpers.extend(followed.map(|upstream| tokio::spawn(tls::follow_one(upstream))));
    let metrics = Arc::clone(&gate.recorder.metrics);
    metrics.serves(&wrap.server);
    for policy in &policies {
        metrics.tools().learn(&wrap.server, policy.tool_names());
    }
    let caller = Caller {
        gate: Arc::clone(&gate),
        grant: Arc::new(Grant {
            id: GRANT.to_owned(),
            servers: vec![wrap.server.clone()],
            policies,
            ..Grant::default()
        }),
        server: wrap.server,
        session: CallId::random()?.to_string(),
        place: place(&wrap.far, upstream.as_deref()),
    };
    let ended = serve(caller, wrap.far, upstream).await;
    helpers.iter().for_each(JoinHandle::abort);
    gate.recorder.flush().await;
    ended
}

/// Where the server is: its URL, or its command with NUL between the words.
fn place(far: &Far, upstream: Option<&Upstream>) -> String {
    match (far, upstream) {
        (Far::Upstream, Some(upstream)) => upstream.base().to_string(),
        (Far::Upstream, None) => String::new(),
        (Far::Command(command), _) => {
            let arguments = command.arguments.iter().map(|word| word.to_string_lossy());
            let words: Vec<_> = std::iter::once(command.program.to_string_lossy())
                .chain(arguments)
                .collect();
            words.join("\0")
        }
    }
}

async fn serve(caller: Caller, far: Far, upstream: Option<Arc<Upstream>>) -> anyhow::Result<u8> {
    let signals = signals()?;
    let (input, output) = (tokio::io::stdin(), tokio::io::stdout());
    match (far, upstream) {
        (Far::Command(command), _) => {
            let command = proxy::ServerCommand {
                program: command.program,
                arguments: command.arguments,
                environment: command.environment,
            };
            let ended = wrap_command(caller, &command, input, output, signals).await;
            let status = ended.with_context(|| {
                let program = command.program.display();
                format!("`{program}` cannot be started: look whether it is on PATH and may be executed")
            })?;
            Ok(exit_code(status))
        }
        (Far::Upstream, Some(upstream)) => {
            let signal = wrap_upstream(caller, upstream, input, output, signals).await;
            Ok(signal.map_or(0, signal_code))
        }
        (Far::Upstream, None) => Err(anyhow!("--upstream: no server")),
    }
}

fn policies(wrap: &Wrap) -> anyhow::Result<Vec<Arc<Policy>>> {
    let named = wrap.policies.iter().map(|path| (name_of(path), path.clone()));
    let files = Files {
        can_ask: wrap.settings.files.can_ask,
        settings: PathBuf::from("--policy"),
        policies: named.collect::<BTreeMap<_, _>>(),
        grants: None,
        approvers: None,
        pins: BTreeMap::new(),
        issuers: BTreeSet::new(),
        anonymous: BTreeMap::new(),
    };
    if files.policies.len() < wrap.policies.len() {
        return Err(anyhow!(
            "two policies have the same file name: rename one, since records name policies by it"
        ));
    }
    let loaded = load_files(&files, std::iter::once(wrap.server.as_str()))?;
    for warning in &loaded.warnings {
        tracing::warn!("{warning}");
    }
    Ok(loaded.policies.into_values().collect())
}

/// A policy's name in records: its file's, without the ending.
fn name_of(path: &Path) -> String {
    let name = path.file_stem().unwrap_or(path.as_os_str());
    name.to_string_lossy().into_owned()
}

fn upstream(settings: &Settings) -> anyhow::Result<Option<Arc<Upstream>>> {
    let Some((name, server)) = settings.servers.iter().next() else {
        return Ok(None);
    };
    Ok(Some(tls::upstream(Path::new("--upstream"), name, server)?))
}

/// Decision lines in a file, which is never turned over; calls go on where it cannot be written.
fn record_in(path: &Path) -> std::io::Result<Lines> {
    let sink = FileSink::open(FileOptions {
        path: path.to_owned(),
        rotate_bytes: 0,
        keep: 1,
    });
    let named = |error| {
        let path = path.display();
        std::io::Error::other(format!("{path}: decision lines cannot be written there: {error}"))
    };
    let sink = sink.map_err(named)?;
    Lines::open(vec![("file", Box::new(sink))], Overflow::Wait, OnError::Continue)
}

fn gate(settings: Settings, pins: BTreeMap<String, Pins>, lines: Lines) -> anyhow::Result<Arc<Gate>> {
    let metrics = Arc::new(Metrics::new(env!("CARGO_PKG_VERSION"))?);
    let changes = Arc::new(Changes::default());
    let (store, approvals) = with_approvals(&settings)?;
    Ok(Arc::new(Gate {
        commands: BTreeMap::new(),
        snapshot: ArcSwap::from_pointee(Snapshot {
            servers: BTreeMap::new(),
            grants: Grants::default(),
        }),
        store,
        fallback: Fallback::new(expected_replicas(&settings.counters)),
        pins: pins::pinned(pins, &metrics, &changes),
        recorder: Recorder::new(metrics, Some(lines)),
        session_key: SessionKey::default(),
        legacy: Streams::default(),
        listening: Places::new(settings.limits.streams, settings.limits.streams_per_grant),
        held: Arc::default(),
        hold: settings.approvals.hold,
        approval_page: None,
        approvals,
        bodies: BodyMemory::new(settings.limits.body_memory_bytes),
        callers: Callers::default(),
        leaving: Leaving::default(),
        changes,
        front: settings.front,
        limits: settings.limits,
        replica: replica_name()?,
    }))
}

/// The signals that would end this process: they are for the server to judge.
fn signals() -> anyhow::Result<mpsc::Receiver<Signal>> {
    let (seen, receiver) = mpsc::channel(8);
    for (kind, meant) in [
        (SignalKind::terminate(), Signal::TERM),
        (SignalKind::interrupt(), Signal::INT),
        (SignalKind::hangup(), Signal::HUP),
        (SignalKind::quit(), Signal::QUIT),
    ] {
        let mut arrived = signal(kind)?;
        let seen = seen.clone();
        tokio::spawn(
            async move { while arrived.recv().await.is_some() && seen.send(meant).await.is_ok() {} },
        );
    }
    Ok(receiver)
}
