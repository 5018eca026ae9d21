//! Refusals that have a decision of their own: recorded, and answered.

use http::Response;
use http::header::{HeaderMap, HeaderValue};

use super::asking::Waits;
use super::body::GateBody;
use super::exchange::Exchange;
use super::headers::PROTOCOL_VERSION;
use super::ledger::Ledger;
use super::ratelimit;
use super::respond::{Refusal, refuse};
use super::weigh::Denied;
use crate::mcp::envelope::{self, Fault, Unreadable};
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
    refusal(refused, exchange.message.id, exchange.modern)
}

fn refusal(refused: Denied, id: Option<&str>, modern: bool) -> Answer {
    let mut answer = refuse(&Refusal::Denied {
        denial: &refused.denial,
        form: refused.form,
        id,
        modern,
        decision_id: &refused.decision_id(),
        approval: refused.approval.as_ref(),
    });
    if let Some(ledger) = refused.ledger {
        ratelimit::add(answer.headers_mut(), ledger.charged());
        ledger.refused(&refused.denial);
    }
    answer
}

/// Answers a call that nobody decided about in time.
pub(super) fn undecided(body: &[u8], headers: &HeaderMap, waits: Waits) -> Answer {
    let refused = waits.into_denied();
    // it was read before
    let message = envelope::read(body).ok();
    let version = headers.get(PROTOCOL_VERSION).map(HeaderValue::as_bytes);
    let id = message.as_ref().and_then(|message| message.id);
    let modern = message.as_ref().is_some_and(|message| message.is_modern(version));
    refusal(refused, id, modern)
}
