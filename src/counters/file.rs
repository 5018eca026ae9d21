//! Counters in one file of the user's, for gates that come and go on one machine: the model, read and
//! written whole under a lock that all of them take.

use std::collections::BTreeMap;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use super::command::Held;
use super::model::Model;
use super::{CallId, StoreError};

/// The form of the file. Another one is not read.
const VERSION: u32 = 1;
/// The largest file that is read, in bytes. Policies bound how many counters there are.
const SIZE_AT_MOST: u64 = 64 << 20;
/// How long to wait before the lock is tried again.
const LOCK_PAUSE: Duration = Duration::from_millis(1);
/// How long after its deadline an answer may still come.
const SLACK: Duration = Duration::from_millis(50);

/// Counters in a file.
pub struct FileStore {
    place: Arc<Place>,
    deadline: Duration,
}

struct Place {
    path: PathBuf,
    clock: Box<dyn Fn() -> u64 + Send + Sync>,
}

/// What the file holds.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Saved {
    version: u32,
    /// Store time in ms of the last change. Time does not run back behind it, whatever the clock says.
    swept: u64,
    model: Model,
    secrets: BTreeMap<String, [u8; 32]>,
}

impl FileStore {
    /// Counters in the file at `path`, on the machine's clock. Each use waits at most `deadline` for the lock.
    /// Nothing is opened yet.
    pub fn new(path: PathBuf, deadline: Duration) -> Self {
        #[expect(
            clippy::disallowed_methods,
            reason = "this is the store's clock: processes that share the file share no other"
        )]
        let clock = || {
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            u64::try_from(now.as_millis()).unwrap_or(u64::MAX)
        };
        Self::with_clock(path, deadline, clock)
    }

    /// The same on a clock of the caller's, in ms.
    pub fn with_clock(
        path: PathBuf,
        deadline: Duration,
        clock: impl Fn() -> u64 + Send + Sync + 'static,
    ) -> Self {
        let clock = Box::new(clock);
        Self {
            place: Arc::new(Place { path, clock }),
            deadline,
        }
    }

    pub(super) const fn deadline(&self) -> Duration {
        self.deadline
    }

    /// Runs `act` on the counters at a store time in ms, alone among all processes. It says whether it has
    /// changed them; only then the file is replaced.
    pub(super) async fn with<T: Send + 'static>(
        &self,
        until: tokio::time::Instant,
        act: impl FnOnce(&mut Model, u64) -> (T, bool) + Send + 'static,
    ) -> Result<T, StoreError> {
        self.exclusively(until, |saved, now| act(&mut saved.model, now))
            .await
    }

    pub(super) async fn refund(
        &self,
        keys: Vec<String>,
        id: CallId,
        until: tokio::time::Instant,
    ) -> Result<bool, StoreError> {
        let removed = move |model: &mut Model, _| {
            let removed = model.refund(&keys, id) > 0;
            (removed, removed)
        };
        self.with(until, removed).await
    }

    pub(super) async fn renew(
        &self,
        leases: Vec<Held>,
        id: CallId,
        until: tokio::time::Instant,
    ) -> Result<Vec<bool>, StoreError> {
        let renewed = move |model: &mut Model, now| (model.renew(now, id, &leases), true);
        self.with(until, renewed).await
    }

    pub(super) async fn shared_secret(
        &self,
        name: &str,
        candidate: [u8; 32],
        until: tokio::time::Instant,
    ) -> Result<[u8; 32], StoreError> {
        let name = name.to_owned();
        self.exclusively(until, move |saved, _| {
            (*saved.secrets.entry(name).or_insert(candidate), true)
        })
        .await
    }

    pub(super) async fn ping(&self, until: tokio::time::Instant) -> Result<(), StoreError> {
        self.with(until, |_, _| ((), false)).await
    }

    async fn exclusively<T: Send + 'static>(
        &self,
        until: tokio::time::Instant,
        act: impl FnOnce(&mut Saved, u64) -> (T, bool) + Send + 'static,
    ) -> Result<T, StoreError> {
        let place = Arc::clone(&self.place);
        let work = tokio::task::spawn_blocking(move || place.exclusively(until.into_std(), act));
        match tokio::time::timeout_at(until + SLACK, work).await {
            Ok(Ok(result)) => result,
            Ok(Err(_)) => Err(StoreError::Unavailable("the work on its file was stopped")),
            Err(_) => Err(StoreError::Timeout),
        }
    }
}

impl std::fmt::Debug for FileStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FileStore").finish_non_exhaustive()
    }
}

impl Place {
    fn exclusively<T>(
        &self,
        until: Instant,
        act: impl FnOnce(&mut Saved, u64) -> (T, bool),
    ) -> Result<T, StoreError> {
        let _locked = self.lock(until)?;
        let mut saved = self.read().map_err(said("its file cannot be read"))?;
        let now = (self.clock)().max(saved.swept);
        let (value, changed) = act(&mut saved, now);
        if changed {
            saved.model.purge(now);
            saved.swept = now;
            let text = serde_json::to_vec(&saved)
                .map_err(|_| StoreError::Protocol("counters that cannot be written"))?;
            let whole = self
                .write_beside(&text)
                .map_err(said("its file cannot be written"))?;
            if Instant::now() >= until {
                // the caller has given up: nothing may be charged behind its back
                return Err(StoreError::Late);
            }
            std::fs::rename(whole, &self.path).map_err(said("its file cannot be replaced"))?;
        }
        Ok(value)
    }

    /// Locks a file of its own: the counters' file is another one after each change.
    fn lock(&self, until: Instant) -> Result<File, StoreError> {
        let folder = self.path.parent().unwrap_or(Path::new("."));
        let opened = DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)
            .and_then(|()| private(&self.beside("lock"), false));
        let file = opened.map_err(said("its folder cannot be used"))?;
        loop {
            match flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => return Ok(file),
                Err(Errno::WOULDBLOCK) if Instant::now() < until => std::thread::sleep(LOCK_PAUSE),
                Err(Errno::WOULDBLOCK) => return Err(StoreError::Timeout),
                Err(Errno::INTR) => {}
                Err(error) => return Err(said("its file cannot be locked")(error.into())),
            }
        }
    }

    /// A file that is not there is a start from nothing; one that cannot be read is not.
    fn read(&self) -> io::Result<Saved> {
        let file = match File::open(&self.path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Ok(Saved {
                    version: VERSION,
                    swept: 0,
                    model: Model::default(),
                    secrets: BTreeMap::new(),
                });
            }
            Err(error) => return Err(error),
        };
        let mut text = Vec::new();
        file.take(SIZE_AT_MOST.saturating_add(1)).read_to_end(&mut text)?;
        if text.len() as u64 > SIZE_AT_MOST {
            return Err(io::Error::other("it is too large"));
        }
        let saved: Saved = serde_json::from_slice(&text)?;
        if saved.version != VERSION {
            return Err(io::Error::other("another version of toolgate wrote it"));
        }
        Ok(saved)
    }

    fn write_beside(&self, text: &[u8]) -> io::Result<PathBuf> {
        let path = self.beside("new");
        let mut file = private(&path, true)?;
        file.write_all(text)?;
        file.sync_data()?;
        Ok(path)
    }

    fn beside(&self, ending: &str) -> PathBuf {
        let mut name = self.path.clone().into_os_string();
        name.push(".");
        name.push(ending);
        name.into()
    }
}

/// Opens a file that only its owner may read.
fn private(path: &Path, truncate: bool) -> io::Result<File> {
    OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(truncate)
        .mode(0o600)
        .open(path)
}

/// What the caller is told; the operating system's own words go to the log.
fn said(what: &'static str) -> impl Fn(io::Error) -> StoreError {
    move |error| {
        tracing::warn!(%error, "the counters: {what}");
        StoreError::Unavailable(what)
    }
}
