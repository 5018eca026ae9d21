//! From an admitted request to the upstream's answer.

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;

use super::answer::{self, Asked, Unusable};
use super::body::{GateBody, InFlight};
use super::ledger::Ledger;
use super::legacy::{NotHeld, RUNNING};
use super::ratelimit;
use super::respond::{Refusal, refuse};
use super::server::Way;
use super::stage::{Charged, Sent};
use super::upstream::UpstreamError;

type Answer = Response<GateBody>;

/// The upstream cannot be reached: nothing was charged.
pub fn unreachable(ledger: Ledger, error: &UpstreamError, id: Option<&str>) -> Answer {
    tracing::warn!(server = ledger.server(), %error, "the upstream cannot be reached");
    ledger.failed(&error.to_string(), None, "unsent", false);
    refuse(&Refusal::Upstream { error, id })
}

/// Sends an admitted request and passes the answer on.
pub async fn forward(
    asked: &Asked<'_>,
    way: Way,
    charged: Charged,
    request: Request<Full<Bytes>>,
    id: Option<&str>,
) -> Answer {
    let metrics = &asked.gate.recorder.metrics;
    let mut in_flight = InFlight::start(metrics.in_flight(asked.upstream.name()));
    let mut sent = charged.send();
    let mut held = sent.take_held();
    // taken only where it goes to the stream: what is dropped here would free the place of a running call
    if let (Some(endpoint), Some(id)) = (asked.endpoint, id) {
        // until the answer passes on the stream
        if let Err(not_held) = asked.gate.legacy.hold(endpoint, id, held.take()) {
            let (error, back) = match not_held {
                NotHeld::LeaseOver(back) => (UpstreamError::LeaseOver, Some(back)),
                NotHeld::Busy(back) => (UpstreamError::Busy(RUNNING), back),
            };
            sent.failed(&error, back);
            return refuse(&Refusal::Upstream {
                error: &error,
                id: Some(id),
            });
        }
    }
    let answer = match way.send(request, &mut held).await {
        Ok(answer) => answer,
        Err(error) => {
            let held = held.or_else(|| {
                asked
                    .endpoint
                    .zip(id)
                    .and_then(|(endpoint, id)| asked.gate.legacy.take(endpoint, id))
            });
            tracing::warn!(server = asked.upstream.name(), %error, "no answer from the upstream");
            sent.failed(&error, held);
            return refuse(&Refusal::Upstream { error: &error, id });
        }
    };
    let answer = answer.map(|body| match body.abort_handle() {
        Some(connection) => {
            let open = &asked.gate.callers.open;
            let watching = open.watch(asked.upstream.name(), asked.whose.clone(), connection);
            body.watched(watching)
        }
        None => body,
    });
    let status = answer.status().as_u16();
    if let (Some(endpoint), Some(id), false) = (asked.endpoint, id, answer.status().is_success()) {
        // nothing will come on the stream
        drop(asked.gate.legacy.take(endpoint, id));
    }
    let mut answer = match answer::pass_on(asked, answer).await {
        Ok(answer) => answer,
        Err(unusable) => return unusable_answer(asked.upstream.name(), &unusable, sent, status, id),
    };
    if let Some(ledger) = sent.ledger() {
        ratelimit::add(answer.headers_mut(), ledger.charged());
    }
    if answer::is_event_stream(answer.headers()) {
        in_flight.count(metrics.open_streams(asked.upstream.name()));
    }
    in_flight.measure(sent.take_operation(status));
    sent.answered(status);
    answer.map(|body| body.counted(in_flight))
}

fn unusable_answer(server: &str, unusable: &Unusable, sent: Sent, status: u16, id: Option<&str>) -> Answer {
    let reason = unusable.to_string();
    tracing::warn!(server, reason, "an answer of the upstream was not passed on");
    sent.unusable(status, &reason);
    if *unusable == Unusable::NoSessionKey {
        return refuse(&Refusal::NoSessionKey { id });
    }
    refuse(&Refusal::BadAnswer { reason: &reason, id })
}
