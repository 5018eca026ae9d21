//! The keys of one issuer: fetched when they are needed, refreshed before, kept for a while when it is down.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use tokio::sync::watch;

use super::NotVerified;
use super::jwk::{Key, read_set};
use crate::settings::Algorithm;

/// A set of keys as it was fetched, or why there is none, for the log.
pub type Fetched = Pin<Box<dyn Future<Output = Result<Vec<u8>, String>> + Send>>;
/// Fetches a set of keys. It ends by itself within a deadline, and its answer is bounded.
pub type Fetch = Box<dyn Fn() -> Fetched + Send + Sync>;

/// How often keys are fetched and how long they are good.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// Between two fetches while all is well.
    pub refresh: Duration,
    /// Before another try, after one that failed.
    pub retry: Duration,
    /// Between two fetches for a `kid` that is not known.
    pub unknown: Duration,
    /// Keys are used this long after they were last fetched.
    pub keep: Duration,
    /// How long one request waits for a fetch.
    pub wait: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            refresh: Duration::from_secs(300),
            retry: Duration::from_secs(5),
            unknown: Duration::from_secs(10),
            keep: Duration::from_secs(24 * 3_600),
            wait: Duration::from_secs(2),
        }
    }
}

/// The keys of one issuer.
pub struct Keys {
    /// For the log.
    issuer: String,
    fetch: Fetch,
    pace: Pace,
    known: ArcSwap<Known>,
    tries: Mutex<Tries>,
    /// Changes when a fetch has ended.
    ended: watch::Sender<()>,
}

#[derive(Default)]
struct Known {
    keys: Vec<Key>,
    fetched: Option<Instant>,
}

#[derive(Default)]
struct Tries {
    /// One at a time.
    running: bool,
    /// When the last one began.
    last: Option<Instant>,
    /// When the last one began that was for an unknown `kid`.
    unknown: Option<Instant>,
}

impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Keys")
            .field("issuer", &self.issuer)
            .finish_non_exhaustive()
    }
}

/// Why a fetch is asked for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Why {
    /// To keep the keys fresh.
    Due,
    /// A token names a key that is not known.
    UnknownKid,
    /// No keys are known at all.
    NoKeys,
}

impl Keys {
    /// Fetches nothing yet.
    pub fn new(issuer: &str, fetch: Fetch, pace: Pace) -> Arc<Self> {
        Arc::new(Self {
            issuer: issuer.to_owned(),
            fetch,
            pace,
            known: ArcSwap::default(),
            tries: Mutex::default(),
            ended: watch::channel(()).0,
        })
    }

    /// The keys that a token with this `kid` and algorithm may be signed with; never empty. Without a `kid` only
    /// where one key of the set fits.
    ///
    /// # Errors
    /// [`NotVerified`]
    pub async fn find(
        self: &Arc<Self>,
        kid: Option<&str>,
        algorithm: Algorithm,
    ) -> Result<Vec<Key>, NotVerified> {
        let found = self.among_known(kid, algorithm);
        let why = match found {
            Err(NotVerified::NoKeys) => Why::NoKeys,
            Err(NotVerified::Invalid(_)) if kid.is_some() => Why::UnknownKid,
            found => return found,
        };
        self.try_again(why).await;
        self.among_known(kid, algorithm)
    }

    fn among_known(&self, kid: Option<&str>, algorithm: Algorithm) -> Result<Vec<Key>, NotVerified> {
        let known = self.known.load();
        if known
            .fetched
            .is_none_or(|fetched| fetched.elapsed() > self.pace.keep)
        {
            return Err(NotVerified::NoKeys);
        }
        let fitting = known.keys.iter().filter(|key| key.fits(algorithm));
        let mut fitting = fitting.filter(|key| kid.is_none_or(|kid| key.is_named(kid)));
        let keys: Vec<Key> = fitting.by_ref().cloned().collect();
        match (keys.len(), kid) {
            (0, _) => Err(NotVerified::Invalid("its issuer has no such key")),
            (1, _) | (_, Some(_)) => Ok(keys),
            (_, None) => Err(NotVerified::Invalid(
                "it does not say which key it is signed with",
            )),
        }
    }

    /// Fetches, or waits for the fetch that is running, where this is not too soon. Returns when it has ended, or
    /// when the time that a request waits is over; the fetch then goes on.
    async fn try_again(self: &Arc<Self>, why: Why) {
        if let Some(mut ended) = self.begin(why) {
            drop(tokio::time::timeout(self.pace.wait, ended.changed()).await);
        }
    }

    /// Starts a fetch, or joins the one that runs; `None`: it is too soon.
    fn begin(self: &Arc<Self>, why: Why) -> Option<watch::Receiver<()>> {
        let mut tries = self.tries.lock().unwrap_or_else(PoisonError::into_inner);
        // under the lock: a fetch that runs cannot end before this listens
        let ended = self.ended.subscribe();
        if tries.running {
            return Some(ended);
        }
        let soon = |last: Option<Instant>, pause: Duration| last.is_some_and(|last| last.elapsed() < pause);
        let too_soon = match why {
            Why::Due => false,
            Why::UnknownKid => soon(tries.unknown, self.pace.unknown),
            Why::NoKeys => soon(tries.last, self.pace.retry),
        };
        if too_soon {
            return None;
        }
        let now = Instant::now();
        tries.running = true;
        tries.last = Some(now);
        if why == Why::UnknownKid {
            tries.unknown = Some(now);
        }
        drop(tries);
        // in a task of its own: the request that asked may go away
        tokio::spawn(Arc::clone(self).fetch_once());
        Some(ended)
    }

    async fn fetch_once(self: Arc<Self>) {
        let ending = Ending(Arc::clone(&self));
        let began = Instant::now();
        let fetched = (self.fetch)().await;
        let read = fetched.and_then(|text| read_set(&text).map_err(str::to_owned));
        match read {
            Ok(keys) => {
                if self.known.load().keys != keys {
                    tracing::info!(
                        issuer = self.issuer,
                        keys = keys.len(),
                        "the issuer's keys are new"
                    );
                }
                let fetched = Some(began);
                self.known.store(Arc::new(Known { keys, fetched }));
            }
            Err(error) => {
                let issuer = &self.issuer;
                tracing::warn!(
                    issuer,
                    error,
                    "the issuer's keys could not be fetched; those known are kept"
                );
            }
        }
        drop(ending);
    }

    /// Fetches now and whenever it is due; does not end.
    pub async fn refresh(self: Arc<Self>) {
        loop {
            self.try_again(Why::Due).await;
            let fetched = self.known.load().fetched;
            let fresh = fetched.is_some_and(|fetched| fetched.elapsed() < self.pace.retry);
            let pause = if fresh { self.pace.refresh } else { self.pace.retry };
            tokio::time::sleep(pause).await;
        }
    }
}

/// Says that a fetch has ended, also one that panicked.
struct Ending(Arc<Keys>);

impl Drop for Ending {
    fn drop(&mut self) {
        let Self(keys) = self;
        let mut tries = keys.tries.lock().unwrap_or_else(PoisonError::into_inner);
        tries.running = false;
        keys.ended.send_replace(());
    }
}
