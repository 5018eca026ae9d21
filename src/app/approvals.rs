//! What goes on by itself with requests for approval.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use crate::approvals::State;
use crate::policy::Policy;
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

/// Warns of policies that put calls before people where nobody can decide them.
pub fn warn_of_nobody<'p>(policies: impl IntoIterator<Item = &'p Arc<Policy>>, remedy: &str) {
    for policy in policies.into_iter().filter(|policy| policy.makes_wait()) {
        tracing::warn!(
            "the policy `{}` has people approve calls, and nobody can decide them: {remedy}",
            policy.name()
        );
    }
}
