//! Lines to a sink from a thread of their own, in order, bounded.
//!
//! Calls append to a buffer; the thread takes the whole buffer and writes it at once, so that a busy gate
//! makes few system calls. A full buffer makes calls wait ([`Lines::room`]).

use std::io::Write;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use serde::Serialize;
use tokio::sync::Notify;

/// Above this many waiting bytes calls wait.
const FULL: usize = 4 << 20;
/// Room for a usual line.
const LINE: usize = 1024;
/// How long the thread lets lines gather before it writes them.
const GATHER: Duration = Duration::from_millis(5);

/// A cloneable handle on the sink's buffer.
#[derive(Clone)]
pub struct Lines {
    shared: Arc<Shared>,
}

struct Shared {
    waiting: Mutex<Waiting>,
    filled: Condvar,
    emptied: Notify,
}

#[derive(Default)]
struct Waiting {
    bytes: Vec<u8>,
    writing: bool,
}

impl Lines {
    /// Starts the thread. It ends when the last handle is dropped and all is written.
    pub fn to(sink: impl Write + Send + 'static) -> std::io::Result<Self> {
        let waiting = Mutex::default();
        let shared = Arc::new(Shared {
            waiting,
            filled: Condvar::new(),
            emptied: Notify::new(),
        });
        let theirs = Arc::downgrade(&shared);
        std::thread::Builder::new()
            .name("record".to_owned())
            .spawn(move || {
                let mut sink = sink;
                let mut taken = Vec::new();
                while let Some(shared) = theirs.upgrade() {
                    shared.take(&mut taken);
                    if let Err(error) = sink.write_all(&taken).and_then(|()| sink.flush()) {
                        tracing::error!(%error, bytes = taken.len(), "decision lines could not be written");
                    }
                    shared.written(&mut taken);
                }
            })?;
        Ok(Self { shared })
    }

    /// Appends one JSON line.
    pub fn write(&self, record: &impl Serialize) {
        // written out before the lock is taken: all calls share the buffer
        let mut line = Vec::with_capacity(LINE);
        if let Err(error) = serde_json::to_writer(&mut line, record) {
            tracing::error!(%error, "a decision could not be written as JSON");
            return;
        }
        line.push(b'\n');
        let mut waiting = self.shared.lock();
        let was_empty = waiting.bytes.is_empty();
        waiting.bytes.extend_from_slice(&line);
        drop(waiting);
        if was_empty {
            self.shared.filled.notify_one();
        }
    }

    /// Waits while the buffer is full.
    pub async fn room(&self) {
        self.until(|waiting| waiting.bytes.len() < FULL).await;
    }

    /// Waits until everything is written.
    pub async fn flush(&self) {
        self.until(|waiting| waiting.bytes.is_empty() && !waiting.writing)
            .await;
    }

    async fn until(&self, done: impl Fn(&Waiting) -> bool) {
        loop {
            let emptied = self.shared.emptied.notified();
            tokio::pin!(emptied);
            // enabled before the look, so that no wake-up is lost between the two
            emptied.as_mut().enable();
            if done(&self.shared.lock()) {
                return;
            }
            emptied.await;
        }
    }
}

impl Shared {
    fn lock(&self) -> std::sync::MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes what waits; gives up after a while so that the thread can see that nobody is left.
    fn take(&self, into: &mut Vec<u8>) {
        let mut waiting = self.lock();
        if waiting.bytes.is_empty() {
            let patience = Duration::from_millis(200);
            waiting = self
                .filled
                .wait_timeout(waiting, patience)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
        if !waiting.bytes.is_empty() {
            drop(waiting);
            std::thread::sleep(GATHER);
            waiting = self.lock();
        }
        waiting.writing = true;
        std::mem::swap(&mut waiting.bytes, into);
    }

    fn written(&self, taken: &mut Vec<u8>) {
        taken.clear();
        // a burst's buffer is not kept for ever
        taken.shrink_to(FULL / 4);
        self.lock().writing = false;
        self.emptied.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::{Arc, Mutex};

    use super::Lines;

    #[derive(Clone, Default)]
    struct Sink(Arc<Mutex<Vec<u8>>>);

    impl Write for Sink {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[tokio::test]
    async fn a_flush_waits_until_every_line_is_written_in_order() {
        let sink = Sink::default();
        let lines = Lines::to(sink.clone()).unwrap();
        for number in 0..1000 {
            lines.room().await;
            lines.write(&number);
        }
        lines.flush().await;
        let written = String::from_utf8(sink.0.lock().unwrap().clone()).unwrap();
        let numbers: Vec<u32> = written.lines().map(|line| line.parse().unwrap()).collect();
        assert_eq!(numbers, (0..1000).collect::<Vec<_>>());
    }
}
