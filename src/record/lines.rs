//! Decision lines on their way to the sinks of the audit log.

use std::io::{self, Write};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::DecisionRecord;
use super::channel::{Channel, Overflow};
use super::fold::Fold;
use super::sink::{Plain, Sink};
use crate::audit::Head;

/// How often folded denials are looked at.
const TICK: Duration = Duration::from_millis(100);
/// How long the end waits for the sinks.
const FLUSH: Duration = Duration::from_secs(10);

/// What happens to calls where lines cannot be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnError {
    /// Calls with limits, and those that need people, are refused until lines are written again.
    Refuse,
    /// Calls go on; what does not fit into the queue is dropped and counted.
    Continue,
}

/// A cloneable handle on the sinks.
#[derive(Clone)]
pub struct Lines {
    inner: Arc<Inner>,
}

struct Inner {
    channels: Vec<Arc<Channel>>,
    fold: Fold,
    on_error: OnError,
}

impl Lines {
    /// One stream without a name, such as stdout; calls go on where it breaks.
    ///
    /// # Errors
    /// Where the system gives no thread or no random bytes.
    pub fn to(sink: impl Write + Send + 'static) -> io::Result<Self> {
        Self::open(vec![Self::stdout(sink)], Overflow::Wait, OnError::Continue)
    }

    /// The sink `stdout`.
    pub fn stdout(sink: impl Write + Send + 'static) -> (&'static str, Box<dyn Sink>) {
        ("stdout", Box::new(Plain(sink)))
    }

    /// Several sinks, each with its name.
    ///
    /// # Errors
    /// As [`Lines::to`].
    pub fn open(
        sinks: Vec<(&'static str, Box<dyn Sink>)>,
        overflow: Overflow,
        on_error: OnError,
    ) -> io::Result<Self> {
        let channels = sinks
            .into_iter()
            .map(|(name, sink)| Channel::start(name, sink, overflow));
        let inner = Arc::new(Inner {
            channels: channels.collect::<io::Result<_>>()?,
            fold: Fold::default(),
            on_error,
        });
        let theirs = Arc::downgrade(&inner);
        std::thread::Builder::new()
            .name("audit-fold".to_owned())
            .spawn(move || tick(&theirs))?;
        Ok(Self { inner })
    }

    /// Appends one decision, or folds it with those that are like it. Never blocks on the sinks. `known`: the
    /// tool's name is one that a policy or the server's list holds.
    pub fn write(&self, record: &DecisionRecord<'_>, known: bool) {
        if self.inner.fold.note(record, known, Instant::now()) {
            return;
        }
        match serde_json::to_vec(record) {
            Ok(line) => self.inner.push(line.into()),
            Err(error) => tracing::error!(%error, "a decision could not be written as JSON"),
        }
    }

    /// Appends something that is no decision.
    pub fn event(&self, event: &impl serde::Serialize) {
        match serde_json::to_vec(event) {
            Ok(line) => self.inner.push(line.into()),
            Err(error) => tracing::error!(%error, "an event could not be written as JSON"),
        }
    }

    /// Waits while a queue is full.
    pub async fn room(&self) {
        for channel in &self.inner.channels {
            channel.room().await;
        }
    }

    /// Waits until everything is written, for 10 s at most.
    pub async fn flush(&self) {
        self.inner.push_all(self.inner.fold.rest());
        for channel in &self.inner.channels {
            if tokio::time::timeout(FLUSH, channel.flush()).await.is_err() {
                let (bytes, _) = channel.waits();
                tracing::error!(
                    sink = channel.name,
                    bytes,
                    "the end came before the audit log was written"
                );
            }
        }
    }

    /// Opens files anew, after somebody has moved them away.
    pub fn reopen(&self) {
        self.inner.channels.iter().for_each(|channel| channel.reopen());
    }

    /// Whether calls with limits, and those that need people, are to be refused, because a sink takes no lines.
    pub fn refuses(&self) -> bool {
        self.inner.on_error == OnError::Refuse && self.inner.channels.iter().any(|channel| channel.failing())
    }

    /// Each chain's name and its last line that is written.
    pub fn heads(&self) -> Vec<(String, Head)> {
        let heads = self.inner.channels.iter().map(|channel| channel.head());
        heads.map(|(boot, head)| (boot.to_owned(), head)).collect()
    }

    pub(super) fn channels(&self) -> &[Arc<Channel>] {
        &self.inner.channels
    }

    /// Decisions that became part of another's line.
    pub(super) fn folded(&self) -> u64 {
        self.inner.fold.folded()
    }
}

impl Inner {
    fn push(&self, line: Bytes) {
        for channel in &self.channels {
            channel.push(line.clone());
        }
    }

    fn push_all(&self, lines: Vec<Vec<u8>>) {
        lines.into_iter().for_each(|line| self.push(line.into()));
    }
}

fn tick(theirs: &Weak<Inner>) {
    while let Some(inner) = theirs.upgrade() {
        inner.push_all(inner.fold.due(Instant::now()));
        drop(inner);
        std::thread::sleep(TICK);
    }
}
