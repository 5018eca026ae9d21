//! One multiplexed connection that comes back by itself and never repeats a command.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use redis::aio::{ConnectionLike, ConnectionManager, ConnectionManagerConfig};
use redis::io::tcp::TcpSettings;
use redis::{
    Client, Cmd, ErrorKind, IntoConnectionInfo, ProtocolVersion, RedisError, ServerErrorKind, Value,
};
use tokio::time::{Instant, timeout_at};

use super::StoreSetupError;
use crate::counters::StoreError;

/// How long one attempt to connect may take; calls wait for it only until their own deadline.
const CONNECT: Duration = Duration::from_secs(1);
/// A connection that has answered nothing for so long while asked is given up for a new one.
const STALLED: Duration = Duration::from_secs(1);

/// A command that brought no answer.
#[derive(Clone, Debug)]
pub(super) struct Failure {
    pub(super) error: StoreError,
    /// Worth sending once more.
    pub(super) again: bool,
    /// The store may have executed it, or may yet.
    pub(super) may_have_run: bool,
    /// The store does not know the script: nothing ran.
    pub(super) unknown_script: bool,
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self {
            error,
            again: false,
            may_have_run: false,
            unknown_script: false,
        }
    }
}

pub(super) struct Link {
    client: Client,
    manager: ArcSwap<ConnectionManager>,
    origin: Instant,
    /// Milliseconds from `origin` + 1 to the first of the time-outs in a row; 0: the last call answered.
    silent_since: AtomicU64,
    #[cfg(test)]
    pub(super) simulated: Option<super::simulated::Wire>,
}

impl std::fmt::Debug for Link {
    /// Without the address, which may hold a password.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Link").finish_non_exhaustive()
    }
}

impl Link {
    /// Does not connect: that happens with the first command.
    pub(super) fn new(url: &str) -> Result<Self, StoreSetupError> {
        let info = url.into_connection_info().map_err(|_| StoreSetupError::Url)?;
        let resp3 = info.redis_settings().clone().set_protocol(ProtocolVersion::RESP3);
        let tcp = TcpSettings::default().set_nodelay(true);
        let info = info.set_redis_settings(resp3).set_tcp_settings(tcp);
        let client = Client::open(info).map_err(|_| StoreSetupError::Url)?;
        let manager = manager(&client).map_err(|_| StoreSetupError::Url)?;
        Ok(Self {
            client,
            manager: ArcSwap::from_pointee(manager),
            origin: Instant::now(),
            silent_since: AtomicU64::new(0),
            #[cfg(test)]
            simulated: None,
        })
    }

    /// Sends one command once and waits for its answer until `until`.
    pub(super) async fn send(&self, cmd: &Cmd, until: Instant) -> Result<Value, Failure> {
        let answer = match timeout_at(until, self.request(cmd)).await {
            Err(_) => {
                self.note_silence();
                return Err(Failure {
                    again: true,
                    may_have_run: true,
                    ..StoreError::Timeout.into()
                });
            }
            Ok(answer) => answer.and_then(Value::extract_error),
        };
        self.silent_since.store(0, Ordering::Relaxed);
        answer.map_err(|error| {
            if matches!(error.kind(), ErrorKind::Server(ServerErrorKind::ReadOnly)) {
                // The address may lead to the new primary by now.
                self.replace();
            }
            failure(&error)
        })
    }

    async fn request(&self, cmd: &Cmd) -> Result<Value, RedisError> {
        #[cfg(test)]
        if let Some(wire) = &self.simulated {
            return wire.request(cmd).await;
        }
        let mut manager = ConnectionManager::clone(&self.manager.load());
        manager.req_packed_command(cmd).await
    }

    fn note_silence(&self) {
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
            self.replace();
        }
    }

    fn replace(&self) {
        if let Ok(manager) = manager(&self.client) {
            self.manager.store(manager.into());
        }
    }
}

fn manager(client: &Client) -> Result<ConnectionManager, RedisError> {
    let config = ConnectionManagerConfig::new()
        .set_number_of_retries(0)
        .set_connection_timeout(Some(CONNECT))
        .set_response_timeout(None);
    ConnectionManager::new_lazy_with_config(client.clone(), config)
}

/// What a failed command means. Messages of the store are not kept: they may quote keys.
fn failure(error: &RedisError) -> Failure {
    use ServerErrorKind as Server;
    let unavailable = StoreError::Unavailable;
    let nothing_ran = |error: StoreError| Failure::from(error);
    if error.is_connection_refusal() {
        return Failure {
            again: true,
            ..nothing_ran(unavailable("it refuses connections"))
        };
    }
    match error.kind() {
        ErrorKind::Server(Server::NoScript) => Failure {
            unknown_script: true,
            ..nothing_ran(StoreError::Protocol("it does not keep the script it was given"))
        },
        ErrorKind::Server(Server::BusyLoading) => nothing_ran(unavailable("it is loading its data")),
        ErrorKind::Server(Server::MasterDown | Server::ClusterDown | Server::TryAgain) => {
            nothing_ran(unavailable("its primary is down"))
        }
        // Sent again once: by then the connection is a new one.
        ErrorKind::Server(Server::ReadOnly) => Failure {
            again: true,
            ..nothing_ran(unavailable("it is a read-only replica"))
        },
        ErrorKind::Server(Server::Moved | Server::Ask | Server::CrossSlot) => {
            nothing_ran(unavailable("it is a cluster: the keys live on another node"))
        }
        ErrorKind::Server(Server::NoPerm) => nothing_ran(unavailable("the user lacks a permission")),
        ErrorKind::AuthenticationFailed => nothing_ran(unavailable("it refuses the credentials")),
        ErrorKind::RESP3NotSupported => nothing_ran(unavailable("it is older than 6.0: use 7.0 or newer")),
        _ => match error.code() {
            Some("OOM") => nothing_ran(StoreError::OutOfMemory),
            Some("NOAUTH" | "WRONGPASS") => nothing_ran(unavailable("it refuses the credentials")),
            Some("BUSY") => nothing_ran(unavailable("it is busy with another script")),
            Some("MISCONF") => nothing_ran(unavailable("it cannot save its data")),
            Some("NOREPLICAS") => nothing_ran(unavailable("it has too few replicas")),
            Some(_) => nothing_ran(StoreError::Protocol("an error reply")),
            None if error.is_timeout() => Failure {
                again: true,
                may_have_run: true,
                ..nothing_ran(StoreError::Timeout)
            },
            None => Failure {
                again: true,
                may_have_run: true,
                ..nothing_ran(unavailable("the connection broke"))
            },
        },
    }
}
