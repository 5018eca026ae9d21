//! What runs beside the calls.

use std::sync::Arc;
use std::time::Duration;

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
    }
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
