//! One multiplexed connection that comes back by itself and never repeats a command.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use redis::{AsyncConnectionConfig, Client, Cmd, PushInfo, PushKind, Value};
use tokio::sync::watch;
use tokio::time::{Instant, timeout, timeout_at};

use super::connection::Connection;
use super::failure::{Failure, READ_ONLY};
use super::identity::Identity;
use crate::counters::StoreError;

/// How long one attempt to connect may take; calls wait for it only until their own deadline.
const CONNECT: Duration = Duration::from_secs(1);
/// A connection that has answered nothing for so long while asked is given up for a new one.
const STALLED: Duration = Duration::from_secs(1);

/// Learns who is at the other end of each new connection, before anything is sent on it.
pub(super) type Meet = Arc<dyn Fn(&Identity) + Send + Sync>;

pub(super) struct Link {
    client: Client,
    meet: Meet,
    /// None until the first command.
    current: Mutex<Option<Arc<Attempt>>>,
    origin: Instant,
    /// Milliseconds from `origin` + 1 to the first of the time-outs in a row; 0: the last call answered.
    silent_since: AtomicU64,
    #[cfg(test)]
    pub(super) simulated: std::sync::OnceLock<super::simulated::Wire>,
}

/// One connection, from the attempt to make it on.
struct Attempt {
    outcome: watch::Receiver<Option<Result<Connection, Failure>>>,
}

/// An open connection, for the commands of one call.
pub(super) struct Wire {
    link: Arc<Link>,
    attempt: Arc<Attempt>,
    connection: Connection,
}

impl std::fmt::Debug for Link {
    /// Without the address, which may hold a password.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Link").finish_non_exhaustive()
    }
}

impl Link {
    /// Does not connect: that happens with the first command.
    pub(super) fn new(client: Client, meet: Meet) -> Self {
        Self {
            client,
            meet,
            current: Mutex::new(None),
            origin: Instant::now(),
            silent_since: AtomicU64::new(0),
            #[cfg(test)]
            simulated: std::sync::OnceLock::new(),
        }
    }

    /// The connection, once it is there.
    pub(super) async fn wire(self: &Arc<Self>, until: Instant) -> Result<Wire, Failure> {
        let attempt = self.attempt();
        let mut outcome = attempt.outcome.clone();
        let known = timeout_at(until, outcome.wait_for(Option::is_some)).await;
        let known = match known {
            Err(_) => return Err(Failure::timeout(false)),
            // the runtime goes down
            Ok(Err(_)) => return Err(Failure::lost("the connection was given up")),
            Ok(Ok(known)) => known.clone(),
        };
        let connection = known.unwrap_or_else(|| Err(Failure::lost("no connection")))?;
        let link = Arc::clone(self);
        Ok(Wire {
            link,
            attempt,
            connection,
        })
    }

    /// The current attempt; a new one where the last has failed.
    fn attempt(self: &Arc<Self>) -> Arc<Attempt> {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        let usable = current.as_ref().filter(|attempt| !attempt.has_failed());
        if let Some(attempt) = usable {
            return Arc::clone(attempt);
        }
        let attempt = self.begin();
        *current = Some(Arc::clone(&attempt));
        attempt
    }

    /// Connects anew, unless somebody else has begun to.
    fn replace(self: &Arc<Self>, gone: &Weak<Attempt>) {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        if current
            .as_ref()
            .is_some_and(|attempt| Weak::ptr_eq(&Arc::downgrade(attempt), gone))
        {
            *current = Some(self.begin());
        }
    }

    fn begin(self: &Arc<Self>) -> Arc<Attempt> {
        let (done, outcome) = watch::channel(None);
        let attempt = Arc::new(Attempt { outcome });
        #[cfg(test)]
        if let Some(wire) = self.simulated.get() {
            done.send_replace(Some(Ok(Connection::Simulated(wire.clone()))));
            return attempt;
        }
        let (link, gone) = (Arc::downgrade(self), Arc::downgrade(&attempt));
        let (client, meet) = (self.client.clone(), Arc::clone(&self.meet));
        tokio::spawn(async move {
            let when_closed = move |push: PushInfo| {
                if let (PushKind::Disconnection, Some(link)) = (&push.kind, link.upgrade()) {
                    link.replace(&gone);
                }
                Ok::<(), redis::aio::SendError>(())
            };
            done.send_replace(Some(connect(&client, &meet, when_closed).await));
        });
        attempt
    }

    fn note_silence(self: &Arc<Self>, gone: &Weak<Attempt>) {
        let now = u64::try_from(self.origin.elapsed().as_millis())
            .unwrap_or(u64::MAX)
            .saturating_add(1);
        let first = self
            .silent_since
            .compare_exchange(0, now, Ordering::Relaxed, Ordering::Relaxed);
        let Err(since) = first else { return };
        let stalled = u64::try_from(STALLED.as_millis()).unwrap_or(u64::MAX);
        if now.saturating_sub(since) >= stalled
            && self
                .silent_since
                .compare_exchange(since, now, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok()
        {
            self.replace(gone);
        }
    }
}

impl Attempt {
    fn has_failed(&self) -> bool {
        match &*self.outcome.borrow() {
            Some(outcome) => outcome.is_err(),
            // whoever was to say how it ended is gone
            None => self.outcome.has_changed().is_err(),
        }
    }
}

impl Wire {
    /// Sends one command once and waits for its answer until `until`; `asking` where the node takes over the
    /// command's slot just now.
    pub(super) async fn send(&mut self, cmd: &Cmd, asking: bool, until: Instant) -> Result<Value, Failure> {
        let answer = timeout_at(until, self.connection.send(cmd, asking)).await;
        self.read(answer.map(|answer| answer.and_then(Value::extract_error)))
    }

    fn read(
        &self,
        answer: Result<redis::RedisResult<Value>, tokio::time::error::Elapsed>,
    ) -> Result<Value, Failure> {
        let gone = Arc::downgrade(&self.attempt);
        let Ok(answer) = answer else {
            self.link.note_silence(&gone);
            return Err(Failure::timeout(true));
        };
        self.link.silent_since.store(0, Ordering::Relaxed);
        answer.map_err(|error| {
            let failure = Failure::of(&error);
            // A read-only server's address may lead to the new primary by now.
            if error.is_unrecoverable_error() || failure.is_read_only() {
                self.link.replace(&gone);
            }
            failure
        })
    }
}

/// Connects and learns who answers. A replica is no place for counters.
async fn connect(
    client: &Client,
    meet: &Meet,
    when_closed: impl redis::aio::AsyncPushSender,
) -> Result<Connection, Failure> {
    let config = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(CONNECT))
        .set_response_timeout(None)
        .set_push_sender(when_closed);
    let connection = client.get_multiplexed_async_connection_with_config(&config);
    let mut connection = connection.await.map_err(|error| Failure {
        // whatever failed, no command of a call was sent
        may_have_run: false,
        ..Failure::of(&error)
    })?;
    let identity = timeout(CONNECT, Identity::ask(&mut connection)).await;
    let identity = identity
        .unwrap_or(Err(StoreError::Timeout))
        .map_err(|error| Failure {
            again: true,
            node_lost: true,
            ..error.into()
        })?;
    if identity.is_replica {
        return Err(Failure::lost(READ_ONLY));
    }
    meet(&identity);
    Ok(Connection::Redis(connection))
}
