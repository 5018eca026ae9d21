//! What goes on by itself with requests for approval.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use crate::approvals::State;
use crate::proxy::{Gate, approval_of};
use crate::record::ApprovalRecord;

/// Between two looks for requests whose time is over.
const LOOK_PAUSE: Duration = Duration::from_secs(1);

/// Notices what other replicas decide.
pub(super) async fn follow(gate: Arc<Gate>) {
    gate.approvals.follow().await;
}

/// Ends requests whose time is over, records that, and counts those that wait.
pub(super) async fn expire(gate: Arc<Gate>) {
    loop {
        tokio::time::sleep(LOOK_PAUSE).await;
        // a store that does not answer is told of elsewhere; what is over stays over
        let Ok(ended) = gate.approvals.expire().await else {
            continue;
        };
        for approval in ended {
            let record = ApprovalRecord::new(
                now(),
                approval_of(&approval),
                State::Expired.as_str(),
                &gate.replica,
            );
            gate.recorder.approval(&record);
        }
        if let Ok(count) = gate.approvals.pending().await {
            gate.recorder.metrics.approvals().pending(count);
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "records say when something happened")]
fn now() -> String {
    format!("{:.3}", Timestamp::now())
}
