//! An approval runs one call: it is used up when the call is charged, and given back where surely nothing was sent.

use std::sync::Arc;

use jiff::Timestamp;
use tracing::Instrument;

use super::Agreed;
use crate::approvals::{Approval, Consumed, Ticket};
use crate::policy;
use crate::proxy::Gate;
use crate::proxy::exchange::form_of;
use crate::proxy::stage::{Charged, STORE_RETRY_MS};
use crate::proxy::weigh::{Denied, NotCharged};
use crate::record::{ApprovalOf, ApprovalRecord};

/// Uses the approval up for the charged call. Runs in a task of its own: a client that hangs up in the middle leaves
/// neither a charge nor a used approval behind.
pub async fn use_up(charged: Charged, agreed: Box<Agreed>, task: bool) -> Result<Charged, NotCharged> {
    let using = tokio::spawn(used(charged, agreed, task).in_current_span());
    using.await.unwrap_or_else(|error| {
        // a fault below us, or the runtime is going down: nothing was forwarded
        tracing::error!(%error, "the use of an approval did not end");
        Err(NotCharged::Lost)
    })
}

async fn used(charged: Charged, agreed: Box<Agreed>, task: bool) -> Result<Charged, NotCharged> {
    let Some(gate) = charged.ledger().map(|ledger| Arc::clone(ledger.gate())) else {
        return Err(NotCharged::Lost);
    };
    let Agreed { approval, ask } = *agreed;
    match gate.approvals.consume(approval.id, &approval.digest).await {
        Ok(Consumed::Yes(ticket)) => {
            if let Some(ledger) = charged.ledger() {
                tell(&gate, &approval, "consumed", &ledger.id.to_string());
            }
            Ok(charged.under(Used { ticket, approval }))
        }
        // another call has used it up: this one is looked at again
        Ok(Consumed::No(_)) => match charged.take_back().await {
            Some(ledger) => Err(NotCharged::Again(Box::new(ledger))),
            None => Err(NotCharged::Lost),
        },
        Err(error) => {
            tracing::warn!(%error, error.code = error.code(), "an approval could not be used up");
            let denial = policy::people_unreachable(&approval.tool, &ask, Some(STORE_RETRY_MS));
            let ledger = charged.take_back().await;
            Err(NotCharged::Denied(Box::new(Denied {
                form: form_of(&denial, task),
                denial,
                ledger,
                approval: None,
            })))
        }
    }
}

/// An approval that a call has used up.
pub struct Used {
    ticket: Ticket,
    approval: Approval,
}

/// Surely nothing of its call was sent.
pub async fn give_back(gate: &Gate, used: &Used, call: &str) {
    match gate.approvals.give_back(&used.ticket).await {
        Ok(true) => tell(gate, &used.approval, "returned", call),
        Ok(false) => {}
        Err(error) => {
            tracing::warn!(%error, error.code = error.code(), "an approval could not be given back");
        }
    }
}

/// What stands of a request in the record.
pub fn approval_of(approval: &Approval) -> ApprovalOf<'_> {
    ApprovalOf {
        id: &approval.id,
        grant: &approval.grant,
        grant_key: approval.grant_key.as_deref(),
        server: &approval.server,
        tool: &approval.tool,
        digest: &approval.digest,
    }
}

fn tell(gate: &Gate, approval: &Approval, state: &'static str, call: &str) {
    let record = ApprovalRecord::new(now(), approval_of(approval), state, &gate.replica).call(call);
    gate.recorder.approval(&record);
}

#[expect(clippy::disallowed_methods, reason = "records say when something happened")]
fn now() -> String {
    format!("{:.3}", Timestamp::now())
}
