//! What runs beside the calls.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::task::JoinSet;

use crate::counters::StoreError;
use crate::proxy::Gate;
use crate::record::ResetRecord;
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

/// How often resets are looked for.
const LOOK_FOR_RESETS: Duration = Duration::from_secs(2);

/// Writes down what `toolgate counters reset` left in the store. At least one replica does: two that look at once both
/// do, under the same id.
pub(super) async fn record_resets(gate: Arc<Gate>) {
    let mut tick = tokio::time::interval(LOOK_FOR_RESETS);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        // a store that is away is told of elsewhere
        let Ok(resets) = gate.store.resets().await else {
            continue;
        };
        for text in resets {
            match ResetRecord::read(&text) {
                Some(reset) => gate.recorder.event(&reset.by_replica(&gate.replica)),
                None => tracing::warn!("the store holds a reset that cannot be read; it is dropped"),
            }
            gate.recorder.written().await;
            if let Err(error) = gate.store.reset_recorded(&text).await {
                tracing::warn!(%error, "a reset may be recorded twice");
            }
        }
    }
}

/// How often the list of revoked grants is read; a replica knows of a new one within twice this time.
const REVOKED_EVERY: Duration = Duration::from_secs(1);
/// How often open answers are looked at.
const ENDED_EVERY: Duration = Duration::from_millis(500);

/// Reads which grants are revoked. While the store does not answer, those that are known stay so.
pub(super) async fn read_revoked(gate: Arc<Gate>) {
    let mut tick = tokio::time::interval(REVOKED_EVERY);
    let mut failed = false;
    loop {
        tick.tick().await;
        match gate.store.revoked().await {
            Ok(names) => {
                gate.callers.block(names);
                failed = false;
            }
            Err(error) if !failed => {
                tracing::warn!(%error, "the list of revoked grants cannot be read: the last one stays in force");
                failed = true;
            }
            Err(_) => {}
        }
    }
}

/// Cuts open answers whose grant has ended.
#[expect(
    clippy::disallowed_methods,
    reason = "grants and tokens expire by the wall clock"
)]
pub(super) async fn cut_ended(gate: Arc<Gate>) {
    let mut tick = tokio::time::interval(ENDED_EVERY);
    loop {
        tick.tick().await;
        gate.callers
            .cut_ended(&gate.snapshot.load_full(), Timestamp::now());
    }
}

/// Keeps the keys of issuers fresh.
pub(super) async fn refresh_keys(gate: Arc<Gate>) {
    gate.callers.issuers.refresh().await;
}
