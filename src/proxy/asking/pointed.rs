//! Clients of 2026-07-28 that can send their user to a URL: they are pointed to the page where people decide, and come back
//! with a state that only the gate can have made.

use bytes::Bytes;
use http::Response;

use super::Waits;
use crate::approvals::{Approvals, Resumed, STATE_MARKER};
use crate::mcp::beside::beside;
use crate::mcp::envelope;
use crate::mcp::input_required::{self, takes_urls};
use crate::mcp::reply::{self, Question};
use crate::proxy::body::GateBody;
use crate::proxy::known::Known;
use crate::proxy::respond::{self, Refusal};
use crate::proxy::told;

type Answer = Response<GateBody>;

const FOREIGN: &str = "the `requestState` is none that this grant was given: call again without `requestState` and `inputResponses`";
const INVALID_PARAMS: i64 = -32602;

/// The answer to a question of the gate's own that a call brings.
#[derive(Clone, Debug)]
pub struct Brought {
    pub resumed: Resumed,
    /// The user went on.
    pub accepted: bool,
}

/// Takes the answer to a question of the gate's own out of a message: what is judged and forwarded is the call without
/// it.
///
/// # Errors
/// The refusal of one that was not given to this grant; it is recorded.
pub fn brought(known: &Known<'_>, body: Bytes) -> Result<(Bytes, Option<Brought>), Box<Answer>> {
    if memchr::memmem::find(&body, STATE_MARKER.as_bytes()).is_none() {
        return Ok((body, None));
    }
    // what cannot be read is refused when it is judged
    let Ok(message) = envelope::read(&body) else {
        return Ok((body, None));
    };
    let text = str::from_utf8(&body).unwrap_or_default();
    let is_call = matches!(message.tool_call(), Ok(Some(_)));
    let Some(answer) = input_required::answer(text, STATE_MARKER).filter(|_| is_call) else {
        return Ok((body, None));
    };
    let resumed = known
        .gate
        .approvals
        .resumed(known.grant.identity(), &answer.state);
    let (Some(resumed), Some(call)) = (resumed, input_required::without_answer(text)) else {
        let refusal = Refusal::Unreadable {
            code: INVALID_PARAMS,
            reason: FOREIGN.to_owned(),
            id: message.id,
        };
        return Err(Box::new(
            known.invalid(&refusal, "a request state that this grant was not given"),
        ));
    };
    let accepted = answer.accepted;
    Ok((Bytes::from(call), Some(Brought { resumed, accepted })))
}

/// Where a client is pointed to.
pub struct Pointer {
    page: String,
    identity: String,
}

impl Pointer {
    /// For a client that takes URLs, where there is a page. A call that answers a question of the server's is not
    /// pointed anywhere: a second state would take the place of the server's own.
    pub fn wanted(known: &Known<'_>, body: &[u8]) -> Option<Self> {
        let page = known.gate.approval_page.as_ref()?;
        let text = str::from_utf8(body).ok()?;
        let modern = envelope::read(body).ok()?.is_modern(known.version());
        let points = modern && takes_urls(text) && beside(text).as_deref() == Some("{}");
        points.then(|| Self {
            page: page.clone(),
            identity: known.grant.identity().to_owned(),
        })
    }

    /// The answer: which input is required.
    ///
    /// # Errors
    /// The call, where no state can be made.
    pub fn answer(&self, approvals: &Approvals, waits: Waits, id: &str) -> Result<Answer, Box<Waits>> {
        let Ok(state) = approvals.state_for(&self.identity, &waits.approval) else {
            return Err(Box::new(waits));
        };
        let url = format!("{}/#{}", self.page, waits.approval.id);
        let refused = waits.into_denied();
        let decision_id = refused.decision_id();
        let decision = told::decision(&refused.denial, &decision_id, refused.approval.as_ref());
        let question = Question {
            name: input_required::QUESTION,
            text: &refused.denial.message,
            url: &url,
            state: &state,
        };
        let answer = respond::addressed(reply::input_required(id, &question, &decision));
        if let Some(ledger) = refused.ledger {
            ledger.refused(&refused.denial);
        }
        Ok(answer)
    }
}
