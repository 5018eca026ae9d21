//! What runs beside the calls for the store: who it is, how it is set up, and what it does not know yet.

use std::sync::Arc;
use std::time::Duration;

use crate::counters::StoreWarning;
use crate::proxy::{Fallback, Gate};

/// Between two looks whether the store is still the same server, and still answers.
const WATCH: Duration = Duration::from_millis(500);
/// Of so many of these one also asks how the store is set up.
const INSPECT_EVERY: u32 = 20;

/// Between two tries to tell the store what it does not know.
const TELL: Duration = Duration::from_millis(100);

/// Follows how the store stands: into the metrics, and with warnings where it is set up in a way that may break limits.
pub(super) async fn watch_store(gate: Arc<Gate>) {
    let mut tick = tokio::time::interval(WATCH);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut round = 0_u32;
    loop {
        tick.tick().await;
        if round.checked_rem(INSPECT_EVERY) == Some(0) {
            gate.store.inspect(longest_window(&gate)).await;
        } else {
            gate.store.meet().await;
        }
        round = round.wrapping_add(1);
        let health = gate.store.health();
        let metrics = gate.recorder.metrics.store_state();
        metrics.stands(health.not_asked, health.failovers, health.quarantined);
        for warning in StoreWarning::ALL {
            metrics.warns(warning.code(), health.warnings.contains(&warning));
        }
    }
}

/// Tells the store of calls that were admitted without it, soon after it is back.
pub(super) async fn tell_store(gate: Arc<Gate>) {
    let mut tick = tokio::time::interval(TELL);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        Fallback::tell(&gate).await;
        gate.recorder.metrics.store_state().owes(gate.fallback.owes());
    }
}

fn longest_window(gate: &Gate) -> Duration {
    let snapshot = gate.snapshot.load();
    let policies = snapshot.grants.iter().flat_map(|grant| &grant.policies);
    Duration::from_millis(
        policies
            .map(|policy| policy.longest_window_ms())
            .max()
            .unwrap_or(0),
    )
}
