//! One process that reads bodies, kept for the whole run.

use std::io::{Read, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{JoinHandle, spawn};
use std::time::{Duration, Instant};

use super::judged::Batch;
use crate::shared::reading::{self, Reading};

/// How long one batch may take: a body that hangs a reader is a finding.
const PATIENCE: Duration = Duration::from_secs(30);

pub struct Reader {
    batches: SyncSender<Arc<Batch>>,
    worker: JoinHandle<Result<u64, String>>,
}

impl Reader {
    pub fn start(name: &'static str, mut command: Command) -> Result<Self, String> {
        let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let mut child =
            child.map_err(|error| format!("{name} does not start: {error}: run `make test-deps`"))?;
        let (input, output) = (child.stdin.take(), child.stdout.take());
        let (Some(input), Some(output)) = (input, output) else {
            return Err(format!("{name} has no pipes"));
        };
        let child = Guarded::new(child);
        let (batches, given) = sync_channel::<Arc<Batch>>(4);
        let worker = spawn(move || {
            let mut wire = Wire {
                name,
                input,
                output,
                child,
            };
            let mut read = 0;
            for batch in given {
                wire.batch(&batch)?;
                read += batch.len() as u64;
            }
            Ok(read)
        });
        Ok(Self { batches, worker })
    }

    /// Waits while four batches are under way. False: it has ended, and [`Reader::finish`] says why.
    pub fn give(&self, batch: &Arc<Batch>) -> bool {
        self.batches.send(Arc::clone(batch)).is_ok()
    }

    /// How many bodies it read as they were judged.
    pub fn finish(self) -> Result<u64, String> {
        drop(self.batches);
        self.worker
            .join()
            .unwrap_or_else(|_| Err("a worker panicked".to_owned()))
    }
}

struct Wire {
    name: &'static str,
    input: ChildStdin,
    output: ChildStdout,
    child: Guarded,
}

impl Wire {
    fn batch(&mut self, batch: &Batch) -> Result<(), String> {
        let answer = self
            .child
            .watched(|| exchange(&mut self.input, &mut self.output, batch));
        let answer = answer
            .map_err(|error| self.complaint(&format!("gave no answer within {PATIENCE:?}: {error}")))?;
        let readings = match str::from_utf8(&answer).ok().and_then(reading::read) {
            Some(Reading::List(readings)) if readings.len() == batch.len() => readings,
            _ => return Err(self.complaint("answered something else than a reading of each body")),
        };
        for (judged, reading) in batch.0.iter().zip(&readings) {
            if !judged.is_read_as(reading) {
                let body = judged.body.escape_ascii();
                return Err(self.complaint(&format!("reads {reading:?} in `{body}`")));
            }
        }
        Ok(())
    }

    fn complaint(&self, what: &str) -> String {
        format!("{} {what}", self.name)
    }
}

fn exchange(input: &mut ChildStdin, output: &mut ChildStdout, batch: &Batch) -> std::io::Result<Vec<u8>> {
    let mut frame = vec![0; 4];
    for judged in &batch.0 {
        frame.extend_from_slice(&length(&judged.body));
        frame.extend_from_slice(&judged.body);
    }
    let head = length(&frame[4..]);
    frame[..4].copy_from_slice(&head);
    input.write_all(&frame)?;
    input.flush()?;
    let mut head = [0; 4];
    output.read_exact(&mut head)?;
    let mut answer = vec![0; usize::try_from(u32::from_le_bytes(head)).unwrap_or_default()];
    output.read_exact(&mut answer)?;
    Ok(answer)
}

fn length(bytes: &[u8]) -> [u8; 4] {
    u32::try_from(bytes.len())
        .expect("a batch is small")
        .to_le_bytes()
}

/// A child that is killed when it is dropped, or when it takes too long: then its pipes end.
struct Guarded {
    child: Arc<Mutex<Child>>,
    /// Since when it is working on a batch.
    busy: Arc<Mutex<Option<Instant>>>,
}

impl Guarded {
    fn new(child: Child) -> Self {
        let guarded = Self {
            child: Arc::new(Mutex::new(child)),
            busy: Arc::default(),
        };
        let (child, busy) = (Arc::downgrade(&guarded.child), Arc::clone(&guarded.busy));
        spawn(move || {
            while let Some(child) = child.upgrade() {
                let since = *busy.lock().unwrap_or_else(PoisonError::into_inner);
                if since.is_some_and(|since| since.elapsed() > PATIENCE) {
                    let _ = child.lock().unwrap_or_else(PoisonError::into_inner).kill();
                }
                drop(child);
                std::thread::sleep(Duration::from_millis(500));
            }
        });
        guarded
    }

    fn watched<T>(&self, work: impl FnOnce() -> T) -> T {
        let set = |since| *self.busy.lock().unwrap_or_else(PoisonError::into_inner) = since;
        set(Some(Instant::now()));
        let done = work();
        set(None);
        done
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        let mut child = self.child.lock().unwrap_or_else(PoisonError::into_inner);
        let _ = child.kill();
        let _ = child.wait();
    }
}
