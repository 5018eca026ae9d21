//! Servers with `pin: true`: reads their pins, and asks for their lists in the background.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep, sleep_until};

use super::files::{FileProblem, told};
use crate::client::{Target, list_tools};
use crate::policy::{Definition, Pins, listing};
use crate::proxy::{Changes, Pinned, Upstream};
use crate::record::Metrics;
use crate::settings::{Files, Settings};

/// How long a server may take for its whole list.
const WITHIN: Duration = Duration::from_secs(10);
/// How long a list is believed.
const EVERY: Duration = Duration::from_secs(60);
/// After a list that could not be had; doubled each time, up to [`EVERY`].
const FIRST_RETRY: Duration = Duration::from_secs(1);
/// The least time between two lists, however often the server says that its list changed.
const APART: Duration = Duration::from_millis(500);
/// How often the file is read.
const FILE_EVERY: Duration = Duration::from_secs(1);

/// Reads the pins of every pinned server.
pub(super) fn read_all(files: &Files, problems: &mut Vec<FileProblem>) -> BTreeMap<String, Pins> {
    let mut all = BTreeMap::new();
    for (server, path) in &files.pins {
        match read(path).and_then(|text| parse(&text, server)) {
            Ok(pins) => {
                all.insert(server.clone(), pins);
            }
            Err(why) => problems.push(FileProblem {
                file: path.clone(),
                text: format!(
                    "{}: `servers.{server}.pin` needs the pins of the server, and they cannot be read: {why}; \
                     look at its tools and accept them with `toolgate pin {server} --config {}`",
                    path.display(),
                    files.settings.display()
                ),
            }),
        }
    }
    all
}

/// The same, every problem at once.
pub(super) fn load_pins(files: &Files) -> anyhow::Result<BTreeMap<String, Pins>> {
    let mut problems = Vec::new();
    let pins = read_all(files, &mut problems);
    if problems.is_empty() {
        Ok(pins)
    } else {
        Err(told(problems))
    }
}

fn read(path: &Path) -> Result<String, String> {
    std::fs::read_to_string(path).map_err(|error| error.to_string())
}

fn parse(text: &str, server: &str) -> Result<Pins, String> {
    Pins::read(text, server).map_err(|error| error.to_string())
}

pub(super) fn pinned(
    pins: BTreeMap<String, Pins>,
    metrics: &Arc<Metrics>,
    changes: &Arc<Changes>,
) -> BTreeMap<String, Arc<Pinned>> {
    let pinned = |pins| Arc::new(Pinned::new(pins, Arc::clone(metrics), Arc::clone(changes)));
    pins.into_iter()
        .map(|(server, pins)| (server, pinned(pins)))
        .collect()
}

/// What is done in the background for each pinned server.
pub(super) fn looks(
    settings: &Settings,
    pinned: &BTreeMap<String, Arc<Pinned>>,
    upstreams: &BTreeMap<String, Arc<Upstream>>,
) -> Vec<Looks> {
    let looks = pinned.iter().filter_map(|(name, pinned)| {
        Some(Looks {
            pinned: Arc::clone(pinned),
            target: settings
                .servers
                .get(name)
                .zip(upstreams.get(name))
                .map(|(server, upstream)| Target::with(server, Arc::clone(upstream))),
            path: settings.files.pins.get(name)?.clone(),
            read: None,
        })
    });
    looks.collect()
}

/// Keeps one server's tools under watch: its list, and the file of what is accepted.
pub(super) struct Looks {
    pinned: Arc<Pinned>,
    /// `None`: a wrapped command, whose lists are seen as its client asks for them.
    target: Option<Target>,
    path: PathBuf,
    /// The file as it was read last; `None` before the first time.
    read: Option<Result<String, String>>,
}

impl Looks {
    /// Never ends.
    pub(super) async fn run(mut self) {
        let mut retry = FIRST_RETRY;
        loop {
            let next = if self.look().await {
                retry = FIRST_RETRY;
                EVERY
            } else {
                let next = retry;
                retry = retry.saturating_mul(2).min(EVERY);
                next
            };
            let due = Instant::now() + next;
            sleep(APART).await;
            self.wait(due).await;
        }
    }

    async fn look(&self) -> bool {
        let Some(target) = &self.target else { return true };
        match list_tools(target, WITHIN).await {
            Ok(listed) => {
                let tools = listed.tools.into_iter();
                let definitions = tools.map(|tool| (tool.name, Definition::read(&tool.text)));
                self.pinned.listed(listing(definitions));
                true
            }
            Err(error) => {
                self.pinned.not_listed();
                tracing::warn!(
                    server = self.pinned.server(),
                    %error,
                    "the list of a pinned server cannot be had: accepted tools pass as they were seen last"
                );
                false
            }
        }
    }

    /// Until the next list is due, or the server says that its list changed. Meanwhile the file is read.
    async fn wait(&mut self, due: Instant) {
        loop {
            self.file().await;
            let pinned = Arc::clone(&self.pinned);
            tokio::select! {
                () = sleep_until(due) => return,
                () = pinned.told_of_a_change() => return,
                () = sleep(FILE_EVERY) => {}
            }
        }
    }

    /// A file that changed is in force at once; one that cannot be read changes nothing.
    async fn file(&mut self) {
        let path = self.path.clone();
        let Ok(found) = tokio::task::spawn_blocking(move || read(&path)).await else {
            return;
        };
        if self.read.as_ref() == Some(&found) {
            return;
        }
        let first = self.read.is_none();
        let server = self.pinned.server();
        match found.clone().and_then(|text| parse(&text, server)) {
            Ok(pins) => {
                self.pinned.accept(pins);
                if !first {
                    tracing::info!(server, "the pins were read again");
                }
            }
            Err(error) => tracing::warn!(
                server,
                error,
                "the pins cannot be read: what was accepted before stays in force"
            ),
        }
        self.read = Some(found);
    }
}
