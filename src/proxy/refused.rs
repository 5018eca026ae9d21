//! Refusals that have a decision of their own: recorded, and answered.

use http::Response;

use super::body::GateBody;
use super::exchange::Exchange;
use super::ledger::Ledger;
use super::ratelimit;
use super::respond::{Refusal, refuse};
use super::weigh::Denied;
use crate::mcp::envelope::{Fault, Unreadable};
use crate::policy::Outcome;

type Answer = Response<GateBody>;

/// Refuses a body that cannot be read, and records it in the one ledger that the message has.
pub(super) fn unreadable_in(ledger: Ledger, unreadable: &Unreadable<'_>) -> Answer {
    let reason = unreadable.reason();
    ledger.invalid(Outcome::Invalid, reason);
    if unreadable.fault == Fault::Encoded {
        return refuse(&Refusal::Encoded);
    }
    refuse(&Refusal::Unreadable {
        code: unreadable.code(),
        reason: reason.to_owned(),
        id: unreadable.id,
    })
}

/// Refuses, records, and tells what is left where that concerns the grant alone.
pub(super) fn denied(exchange: &Exchange<'_>, refused: Denied) -> Answer {
    let mut answer = refuse(&Refusal::Denied {
        denial: &refused.denial,
        form: refused.form,
        id: exchange.message.id,
        modern: exchange.modern,
        decision_id: &refused.decision_id(),
    });
    if let Some(ledger) = refused.ledger {
        ratelimit::add(answer.headers_mut(), ledger.charged());
        ledger.refused(&refused.denial);
    }
    answer
}
