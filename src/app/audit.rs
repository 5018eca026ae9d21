//! The sinks of the audit log, and the heads of its chains in the store.

use std::collections::HashMap;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, anyhow};
use data_encoding::HEXLOWER;
use jiff::Timestamp;
use tokio::runtime::Handle;
use tokio::signal::unix::{SignalKind, signal};

use super::store;
use crate::audit::Head;
use crate::counters::{Journal, RedisOptions};
use crate::record::{Batch, FileOptions, FileSink, Lines, OnError, Overflow, Recorder, Sink};
use crate::settings::{Audit, AuditStream, Counters};

/// A write to the stream may take as long as this.
const DEADLINE: Duration = Duration::from_millis(500);
/// Most lines and bytes of one write to the stream: the store does nothing else meanwhile.
const LINES: usize = 200;
const BYTES: usize = 256 << 10;
/// How often heads go to the store.
const HEADS_EVERY: Duration = Duration::from_secs(5);
/// A head that did not move for so long is forgotten.
const HEADS_KEPT_MS: i64 = 90 * 86_400_000;

/// Opens every sink that the settings ask for. Inside a tokio runtime.
///
/// # Errors
/// A file that cannot be opened: names it and the setting.
pub fn audit_lines(audit: &Audit, counters: &Counters) -> anyhow::Result<Lines> {
    let mut sinks: Vec<(&'static str, Box<dyn Sink>)> = Vec::new();
    if audit.stdout {
        sinks.push(Lines::stdout(io::stdout()));
    }
    if let Some(path) = &audit.file {
        sinks.push(("file", Box::new(file(audit, path.clone())?)));
    }
    if let Some(AuditStream { name, lines }) = &audit.redis_stream {
        let journal = journal(counters)?.ok_or_else(|| anyhow!("`audit.redis_stream` needs Redis"))?;
        let stream = Stream {
            journal,
            name: name.clone(),
            keep: *lines,
            runtime: Handle::current(),
        };
        sinks.push(("redis_stream", Box::new(stream)));
    }
    let overflow = if audit.drops {
        Overflow::Drop
    } else {
        Overflow::Wait
    };
    let on_error = if audit.goes_on {
        OnError::Continue
    } else {
        OnError::Refuse
    };
    Lines::open(sinks, overflow, on_error).context("the record cannot start")
}

fn file(audit: &Audit, path: PathBuf) -> anyhow::Result<FileSink> {
    let options = FileOptions {
        path: path.clone(),
        rotate_bytes: audit.rotate_bytes,
        keep: audit.keep,
    };
    FileSink::open(options).with_context(|| {
        let path = path.display();
        format!("{path}: decisions cannot be written there: make its folder, and let this user write in it, or change `audit.file`")
    })
}

/// Where streams and heads are kept; `None` without Redis.
///
/// # Errors
/// Settings with which no connection can be tried.
pub fn journal(counters: &Counters) -> anyhow::Result<Option<Journal>> {
    let Counters::Redis(redis) = counters else {
        return Ok(None);
    };
    let options = RedisOptions {
        deadline: DEADLINE,
        connections: 1,
        ..store::options(redis)
    };
    Ok(Some(Journal::new(&options)?))
}

/// Opens files anew at each SIGHUP.
///
/// # Errors
/// Where the system does not let the signal be caught.
pub fn reopen_at_hangup(lines: Lines) -> anyhow::Result<()> {
    let mut hangup = signal(SignalKind::hangup())?;
    tokio::spawn(async move {
        while hangup.recv().await.is_some() {
            lines.reopen();
        }
    });
    Ok(())
}

/// A stream in Redis.
struct Stream {
    journal: Journal,
    name: String,
    keep: u64,
    runtime: Handle,
}

impl Sink for Stream {
    fn write(&mut self, batch: &mut Batch) -> io::Result<()> {
        while !batch.rest().is_empty() {
            let mut bytes = 0_usize;
            let fits = |(_, line): &(u64, &[u8])| {
                let first = bytes == 0;
                bytes = bytes.saturating_add(line.len());
                first || bytes <= BYTES
            };
            let lines: Vec<_> = batch.numbered().take(LINES).take_while(fits).collect();
            let written = lines
                .iter()
                .fold(0_usize, |sum, (_, line)| sum.saturating_add(line.len()));
            let appended = self.journal.append(
                &self.name,
                batch.boot(),
                self.keep,
                // the stream holds lines without their ends
                lines
                    .iter()
                    .map(|(number, line)| (*number, line.strip_suffix(b"\n").unwrap_or(line))),
            );
            self.runtime.block_on(appended).map_err(io::Error::other)?;
            batch.wrote(written);
        }
        Ok(())
    }
}

/// Keeps the heads of this replica's chains in the store, so that a log whose end is cut off shows.
#[derive(Clone)]
pub(super) struct Heads {
    journal: Journal,
    recorder: Recorder,
    replica: String,
    kept: HashMap<String, Head>,
}

impl Heads {
    /// `None` without Redis.
    pub(super) fn new(
        counters: &Counters,
        recorder: &Recorder,
        replica: &str,
    ) -> anyhow::Result<Option<Self>> {
        let journal = journal(counters)?;
        Ok(journal.map(|journal| Self {
            journal,
            recorder: recorder.clone(),
            replica: replica.to_owned(),
            kept: HashMap::new(),
        }))
    }

    /// Never ends.
    pub(super) async fn run(mut self) {
        self.forget_old().await;
        let mut tick = tokio::time::interval(HEADS_EVERY);
        loop {
            tick.tick().await;
            self.keep().await;
        }
    }

    /// Keeps those that have moved. What fails comes again.
    pub(super) async fn keep(&mut self) {
        for (boot, head) in self.recorder.heads() {
            if head.sequence == 0 || self.kept.get(&boot) == Some(&head) {
                continue;
            }
            let text = written(&self.replica, &boot, head, now_ms());
            match self.journal.keep_head(&boot, &text).await {
                Ok(()) => drop(self.kept.insert(boot, head)),
                Err(error) => tracing::debug!(%error, "the head of the audit log was not kept"),
            }
        }
    }

    async fn forget_old(&self) {
        let Ok(heads) = self.journal.heads().await else {
            return;
        };
        let now = now_ms();
        let old = heads.into_iter().filter(|(_, text)| {
            let kept: Option<KeptHead> = serde_json::from_str(text).ok();
            kept.is_none_or(|kept| kept.time_ms.saturating_add(HEADS_KEPT_MS) < now)
        });
        let old: Vec<_> = old.map(|(chain, _)| chain).collect();
        if !old.is_empty() && self.journal.forget_heads(&old).await.is_err() {
            tracing::debug!("old heads of the audit log were not forgotten");
        }
    }
}

/// The head of a chain as it is kept and printed.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub struct KeptHead {
    pub replica: String,
    pub boot: String,
    pub sequence: u64,
    /// 64 hexadecimal digits.
    pub hash: String,
    /// When it was kept, in ms since 1970, by the replica's clock.
    #[serde(default)]
    pub time_ms: i64,
}

impl KeptHead {
    /// The head itself; `None` where its hash is none.
    pub fn head(&self) -> Option<Head> {
        let hash = HEXLOWER.decode(self.hash.as_bytes()).ok()?;
        Some(Head {
            sequence: self.sequence,
            hash: hash.try_into().ok()?,
        })
    }
}

fn written(replica: &str, boot: &str, head: Head, time_ms: i64) -> String {
    let kept = KeptHead {
        replica: replica.to_owned(),
        boot: boot.to_owned(),
        sequence: head.sequence,
        hash: HEXLOWER.encode(&head.hash),
        time_ms,
    };
    // texts and numbers alone: it cannot fail
    serde_json::to_string(&kept).unwrap_or_default()
}

#[expect(
    clippy::disallowed_methods,
    reason = "tells when a head was kept; no limit hangs on it"
)]
fn now_ms() -> i64 {
    Timestamp::now().as_millisecond()
}
