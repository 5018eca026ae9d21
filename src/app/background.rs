//! What runs beside the calls.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;

use crate::counters::StoreError;
use crate::proxy::Gate;
use crate::settings::Secret;

/// Under this name replicas share the key that signs session ids.
const SESSION_SECRET: &str = "session-key";

/// Agrees with the other replicas on the session key; a process of its own makes its own.
pub(super) async fn share_session_key(gate: Arc<Gate>) {
    let mut candidate = [0; 32];
    while !gate.session_key.is_known() {
        let drawn = getrandom::fill(&mut candidate).map_err(|_| StoreError::Randomness);
        let agreed = match drawn {
            Ok(()) => gate.store.shared_secret(SESSION_SECRET, candidate).await,
            Err(error) => Err(error),
        };
        match agreed {
            Ok(key) => gate.session_key.set(Secret::new(key.to_vec())),
            Err(error) => {
                tracing::warn!(%error, "no session key yet: new sessions are refused until the store answers");
                tokio::time::sleep(Duration::from_millis(500)).await;
            }
        }
    }
}

pub(super) async fn reap_connections(gate: Arc<Gate>) {
    let mut tick = tokio::time::interval(Duration::from_secs(1));
    loop {
        tick.tick().await;
        for upstream in gate.snapshot.load().servers.values() {
            upstream.reap();
        }
        gate.commands.values().for_each(|host| host.reap());
    }
}

/// Ends the processes of all servers that are commands, at the same time.
pub(super) async fn end_processes(gate: &Arc<Gate>) {
    let mut ending = JoinSet::new();
    for host in gate.commands.values() {
        let host = Arc::clone(host);
        ending.spawn(async move { host.shutdown().await });
    }
    while ending.join_next().await.is_some() {}
}
