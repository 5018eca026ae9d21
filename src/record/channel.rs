//! One sink behind a queue: a thread seals the lines and writes them, in order.
//!
//! Calls append to the queue; the thread takes all of it and writes it at once, so that a busy gate makes few
//! system calls. Each channel has a chain of its own, so that one sink's trouble leaves no hole in another's.

use std::collections::VecDeque;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::Notify;

use super::sink::{Batch, Sink};
use crate::audit::{Chain, Head};

/// Above this many waiting bytes the queue is full.
const FULL: usize = 4 << 20;
/// How long the thread lets lines gather before it writes them.
const GATHER: Duration = Duration::from_millis(5);
/// How long the thread waits for a line before it looks whether somebody is left.
const PATIENCE: Duration = Duration::from_millis(200);
/// Pause after a failed write; doubled each time up to a second.
const RETRY: Duration = Duration::from_millis(50);
const RETRY_AT_MOST: Duration = Duration::from_secs(1);
/// How often a failure that lasts is logged.
const TOLD_EVERY: Duration = Duration::from_secs(10);

/// What becomes of a line that finds the queue full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overflow {
    /// It is taken, and calls are slowed; dropped only while the sink fails.
    Wait,
    /// It is dropped and counted.
    Drop,
}

/// A channel's queue and counts.
pub(super) struct Channel {
    /// Names the sink: `stdout`, `file` or `redis_stream`.
    pub(super) name: &'static str,
    boot: String,
    overflow: Overflow,
    waiting: Mutex<Waiting>,
    filled: Condvar,
    emptied: Notify,
    failing: AtomicBool,
    reopen: AtomicBool,
    pub(super) written: AtomicU64,
    pub(super) dropped: AtomicU64,
    pub(super) errors: AtomicU64,
}

struct Waiting {
    lines: VecDeque<Line>,
    bytes: usize,
    /// Lines that were dropped since the last that was taken.
    dropped: u64,
    /// Since when the oldest line that is being written waits.
    writing: Option<Instant>,
    head: Head,
}

struct Line {
    json: Bytes,
    since: Instant,
    dropped: u64,
}

impl Channel {
    /// Starts the thread. It ends when the last handle is dropped and all is written.
    pub(super) fn start(
        name: &'static str,
        sink: Box<dyn Sink>,
        overflow: Overflow,
    ) -> io::Result<Arc<Self>> {
        let mut boot = [0; 8];
        getrandom::fill(&mut boot).map_err(|error| io::Error::other(error.to_string()))?;
        let chain = Chain::new(boot);
        let channel = Arc::new(Self {
            name,
            boot: chain.boot().to_owned(),
            overflow,
            waiting: Mutex::new(Waiting {
                lines: VecDeque::new(),
                bytes: 0,
                dropped: 0,
                writing: None,
                head: chain.head(),
            }),
            filled: Condvar::new(),
            emptied: Notify::new(),
            failing: AtomicBool::new(false),
            reopen: AtomicBool::new(false),
            written: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
            errors: AtomicU64::new(0),
        });
        let theirs = Arc::downgrade(&channel);
        let mut writer = Writer {
            batch: Batch::new(&chain),
            chain,
            sink,
            told: None,
        };
        std::thread::Builder::new()
            .name(format!("audit-{name}"))
            .spawn(move || {
                while let Some(channel) = theirs.upgrade() {
                    writer.turn(&channel);
                }
            })?;
        Ok(channel)
    }

    /// Appends one line. Never blocks on the sink.
    pub(super) fn push(&self, json: Bytes) {
        let mut waiting = self.lock();
        let lossy = self.overflow == Overflow::Drop || self.failing();
        if lossy && waiting.bytes >= FULL {
            waiting.dropped = waiting.dropped.saturating_add(1);
            self.dropped.fetch_add(1, Ordering::Relaxed);
            return;
        }
        let was_empty = waiting.lines.is_empty();
        waiting.bytes = waiting.bytes.saturating_add(json.len());
        let dropped = std::mem::take(&mut waiting.dropped);
        waiting.lines.push_back(Line {
            json,
            since: Instant::now(),
            dropped,
        });
        drop(waiting);
        if was_empty {
            self.filled.notify_one();
        }
    }

    /// Waits while the queue is full, unless lines are dropped then.
    pub(super) async fn room(&self) {
        let lossy = self.overflow == Overflow::Drop;
        self.until(|waiting| lossy || self.failing() || waiting.bytes < FULL)
            .await;
    }

    /// Waits until everything is written.
    pub(super) async fn flush(&self) {
        self.until(|waiting| waiting.lines.is_empty() && waiting.writing.is_none())
            .await;
    }

    /// The sink is to open its place anew.
    pub(super) fn reopen(&self) {
        self.reopen.store(true, Ordering::Release);
        self.filled.notify_one();
    }

    /// Whether the last write failed.
    pub(super) fn failing(&self) -> bool {
        self.failing.load(Ordering::Acquire)
    }

    /// The chain's name, and its last line that is written.
    pub(super) fn head(&self) -> (&str, Head) {
        (&self.boot, self.lock().head)
    }

    /// Bytes that wait, and for how long the oldest line does.
    pub(super) fn waits(&self) -> (usize, Duration) {
        let waiting = self.lock();
        let oldest = waiting.writing.or(waiting.lines.front().map(|line| line.since));
        (
            waiting.bytes,
            oldest.map_or(Duration::ZERO, |since| since.elapsed()),
        )
    }

    async fn until(&self, done: impl Fn(&Waiting) -> bool) {
        loop {
            let emptied = self.emptied.notified();
            tokio::pin!(emptied);
            // enabled before the look, so that no wake-up is lost between the two
            emptied.as_mut().enable();
            if done(&self.lock()) {
                return;
            }
            emptied.await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait(&self, patience: Duration) {
        let waiting = self.lock();
        let until = |waiting: &mut Waiting| waiting.lines.is_empty() && !self.reopen.load(Ordering::Acquire);
        drop(
            self.filled
                .wait_timeout_while(waiting, patience, until)
                .unwrap_or_else(PoisonError::into_inner),
        );
    }

    /// Takes all lines that wait.
    fn take(&self) -> VecDeque<Line> {
        let mut waiting = self.lock();
        waiting.bytes = 0;
        waiting.writing = waiting.lines.front().map(|line| line.since);
        std::mem::take(&mut waiting.lines)
    }

    fn fails(&self, failing: bool) {
        if self.failing.swap(failing, Ordering::AcqRel) != failing {
            // who waits for room need wait no longer
            self.emptied.notify_waiters();
        }
    }

    fn wrote(&self, batch: &Batch) {
        let lines = u64::try_from(batch.count()).unwrap_or(u64::MAX);
        self.written.fetch_add(lines, Ordering::Relaxed);
        let mut waiting = self.lock();
        waiting.writing = None;
        waiting.head = batch.head();
        drop(waiting);
        self.emptied.notify_waiters();
    }
}

/// What the thread holds.
struct Writer {
    chain: Chain,
    batch: Batch,
    sink: Box<dyn Sink>,
    told: Option<Instant>,
}

impl Writer {
    fn turn(&mut self, channel: &Arc<Channel>) {
        channel.wait(PATIENCE);
        self.reopen(channel);
        if channel.lock().lines.is_empty() {
            return;
        }
        std::thread::sleep(GATHER);
        for line in channel.take() {
            self.batch.add(&mut self.chain, &line.json, line.dropped);
        }
        self.write(channel);
        channel.wrote(&self.batch);
        // a burst's room is not kept for ever
        self.batch.clear(FULL / 4);
    }

    /// Writes the batch, however long that takes; gives up where nobody is left who could wait for it.
    fn write(&mut self, channel: &Arc<Channel>) {
        let mut pause = RETRY;
        loop {
            let before = self.batch.done();
            let Err(error) = self.sink.write(&mut self.batch) else {
                if channel.failing() {
                    tracing::warn!(sink = channel.name, "the audit log is written again");
                    self.told = None;
                }
                return channel.fails(false);
            };
            self.failed(channel, &error, "the audit log cannot be written");
            channel.fails(true);
            if Arc::strong_count(channel) == 1 {
                return;
            }
            if self.batch.done() > before {
                pause = RETRY;
            }
            std::thread::sleep(pause);
            pause = pause.saturating_mul(2).min(RETRY_AT_MOST);
            self.reopen(channel);
        }
    }

    fn reopen(&mut self, channel: &Channel) {
        if channel.reopen.swap(false, Ordering::AcqRel)
            && let Err(error) = self.sink.reopen(&mut self.batch)
        {
            self.failed(
                channel,
                &error,
                "the audit log cannot be opened anew: the old file stays in use",
            );
        }
    }

    fn failed(&mut self, channel: &Channel, error: &io::Error, what: &str) {
        channel.errors.fetch_add(1, Ordering::Relaxed);
        if self.told.is_none_or(|told| told.elapsed() >= TOLD_EVERY) {
            self.told = Some(Instant::now());
            tracing::error!(sink = channel.name, %error, "{what}");
        }
    }
}
