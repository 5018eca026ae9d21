//! Policies, grants, approvers and pins, read again while the gate runs: all of them or none.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context;
use arc_swap::ArcSwap;
use jiff::Timestamp;
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::files::{Loaded, load_files};
use super::watch::{Content, changed};
use crate::console::Approvers;
use crate::grants::{Grant, Grants};
use crate::proxy::{Gate, Snapshot};
use crate::settings::{self, Files, Settings, Written};

/// Files that change while they are read are read again at once, so often.
const ATTEMPTS: usize = 5;

/// Reads the files again where they changed, or at SIGHUP, and puts them in force.
pub struct Reload {
    config: PathBuf,
    /// As the gate runs with it.
    written: Option<Written>,
    hangups: Signal,
    /// What is watched.
    paths: Vec<PathBuf>,
    /// What was read last; `None` before the first time.
    seen: Option<Content>,
}

/// What one reading found.
struct Found {
    content: Content,
    paths: Vec<PathBuf>,
    read: anyhow::Result<(Settings, Loaded)>,
    /// The files held still meanwhile.
    whole: bool,
}

impl Reload {
    /// Reads the settings and the files that they name for the first time, and notices from then on what changes.
    ///
    /// # Errors
    /// Every problem of the files; or SIGHUP cannot be listened to. Needs a running runtime.
    pub fn start(config: &Path) -> anyhow::Result<(Self, Settings, Loaded)> {
        let hangups = signal(SignalKind::hangup()).context("SIGHUP cannot be listened to")?;
        let written = Written::read(config);
        let found = read(config, vec![config.to_owned()]);
        let reload = Self {
            config: config.to_owned(),
            written,
            hangups,
            paths: found.paths,
            seen: found.whole.then_some(found.content),
        };
        let (settings, loaded) = found.read?;
        Ok((reload, settings, loaded))
    }

    /// Never ends.
    pub(super) async fn run(mut self, gate: Arc<Gate>, approvers: Arc<ArcSwap<Approvers>>) {
        loop {
            let asked = tokio::select! {
                () = changed(&self.paths, self.seen) => false,
                _ = self.hangups.recv() => true,
            };
            self.again(&gate, &approvers, asked).await;
        }
    }

    async fn again(&mut self, gate: &Gate, approvers: &ArcSwap<Approvers>, asked: bool) {
        let (config, paths) = (self.config.clone(), self.paths.clone());
        let reading = tokio::task::spawn_blocking(move || read(&config, paths)).await;
        let Ok(found) = reading else {
            tracing::error!("policies and grants were not reloaded: reading them broke off");
            return;
        };
        self.paths = found.paths;
        if !found.whole {
            tracing::debug!("the files change faster than they are read");
            self.seen = None;
            return;
        }
        self.seen = Some(found.content);
        match found.read {
            Ok((_, loaded)) => {
                put_in_force(gate, loaded.grants);
                approvers.store(Arc::new(loaded.approvers));
                gate.recorder.metrics.reload().succeeded(now());
                loaded.warnings.iter().for_each(|text| tracing::warn!("{text}"));
                tracing::info!(asked, "policies and grants were read again and are in force");
                self.tell_what_needs_a_restart();
            }
            Err(problems) => {
                gate.recorder.metrics.reload().failed();
                tracing::error!(
                    problems = %problems,
                    "policies and grants were not reloaded: what was read before them stays in force"
                );
            }
        }
    }

    fn tell_what_needs_a_restart(&self) {
        let (Some(before), Some(now)) = (&self.written, Written::read(&self.config)) else {
            return;
        };
        let keys = before.needs_restart(&now);
        if !keys.is_empty() {
            tracing::warn!(
                keys = keys.join(", "),
                "settings changed that are in force only after a restart"
            );
        }
    }
}

/// Reads everything, again where it changed meanwhile. Blocks.
fn read(config: &Path, mut watched: Vec<PathBuf>) -> Found {
    let mut attempts = 0;
    loop {
        attempts += 1;
        let before = Content::read(&watched);
        let (named, read) = load(config);
        let paths = named.unwrap_or(watched);
        let content = Content::read(&paths);
        let whole = content == before;
        if whole || attempts == ATTEMPTS {
            return Found {
                content,
                paths,
                read,
                whole,
            };
        }
        watched = paths;
    }
}

/// Also the paths that the settings name, where those can be read.
fn load(config: &Path) -> (Option<Vec<PathBuf>>, anyhow::Result<(Settings, Loaded)>) {
    let settings = match settings::load(config) {
        Ok(settings) => settings,
        Err(error) => return (None, Err(error.into())),
    };
    let loaded = load_files(&settings.files, settings.server_names());
    let paths = paths(&settings.files);
    (Some(paths), loaded.map(|loaded| (settings, loaded)))
}

fn paths(files: &Files) -> Vec<PathBuf> {
    let named = files
        .policies
        .values()
        .chain(&files.grants)
        .chain(&files.approvers)
        .chain(files.pins.values());
    std::iter::once(&files.settings).chain(named).cloned().collect()
}

/// Swaps the snapshot: calls under way keep theirs.
fn put_in_force(gate: &Gate, grants: Grants) {
    let before = gate.snapshot.load_full();
    let relisted = relisted(&before.grants, &grants);
    gate.recorder.metrics.tools().written(tool_names(&grants));
    gate.snapshot.store(Arc::new(Snapshot {
        servers: before.servers.clone(),
        grants,
    }));
    for server in relisted {
        gate.tools_changed(&server);
    }
}

/// The servers of which some grant may see other tools than before.
fn relisted(before: &Grants, now: &Grants) -> BTreeSet<String> {
    let digests = |grant: &Grant| -> Vec<_> {
        let policies = grant.policies.iter();
        policies.map(|policy| policy.digest().to_owned()).collect()
    };
    let now: BTreeMap<_, _> = now
        .iter()
        .map(|grant| (grant.id.as_str(), digests(grant)))
        .collect();
    before
        .iter()
        .filter(|grant| {
            now.get(grant.id.as_str())
                .is_some_and(|now| *now != digests(grant))
        })
        .flat_map(|grant| grant.servers.iter().cloned())
        .collect()
}

/// The tools that policies name, by the servers that their grants reach.
pub(super) fn tool_names(grants: &Grants) -> BTreeMap<String, BTreeSet<String>> {
    let mut names: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for grant in grants.iter() {
        for server in &grant.servers {
            let known = names.entry(server.clone()).or_default();
            let named = grant.policies.iter().flat_map(|policy| policy.tool_names());
            known.extend(named.map(str::to_owned));
        }
    }
    names
}

#[expect(clippy::disallowed_methods, reason = "a metric says when files were read")]
pub(super) fn now() -> f64 {
    Timestamp::now().as_duration().as_secs_f64()
}
