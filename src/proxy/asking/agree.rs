//! Whether people have agreed to a call; asks them where nobody was asked.

use std::sync::Arc;

use jiff::Timestamp;

use crate::approvals::{Approval, Asked, Request, State};
use crate::counters::{Admission, Verdict};
use crate::mcp::beside::beside;
use crate::policy::{self, Ask, Charge, Denial, canonical};
use crate::proxy::Gate;
use crate::proxy::exchange::{Exchange, form_of};
use crate::proxy::ledger::Ledger;
use crate::proxy::stage::{STORE_RETRY_MS, store_failed};
use crate::proxy::weigh::{Denied, Noted, Weighed};

/// What people agreed to: it can be used up by one call.
#[derive(Debug)]
pub struct Agreed {
    pub approval: Approval,
    pub ask: Ask,
}

/// Why a call does not go on.
pub enum NotAgreed {
    Denied(Box<Denied>),
    Waits(Box<Waits>),
}

/// A call whose request is pending.
pub struct Waits {
    pub approval: Approval,
    /// Here it is told and recorded that it waits, unless it is looked at again.
    pub ledger: Ledger,
    ask: Ask,
    tool: String,
    task: bool,
}

impl Waits {
    /// The refusal of a call that nobody decided about in time.
    pub fn into_denied(self) -> Denied {
        let denial = waiting(&self.tool, &self.ask, &self.approval);
        Denied {
            form: form_of(&denial, self.task),
            denial,
            ledger: Some(self.ledger),
            approval: Some(noted(&self.approval)),
        }
    }
}

fn waiting(tool: &str, ask: &Ask, approval: &Approval) -> Denial {
    policy::waits_for_people(tool, ask, &approval.id.to_string(), &written(approval.expires_ms))
}

fn noted(approval: &Approval) -> Noted {
    Noted {
        id: approval.id.to_string(),
        expires: written(approval.expires_ms),
    }
}

/// A time of the store in RFC 3339.
pub fn written(ms: u64) -> String {
    let time = i64::try_from(ms)
        .ok()
        .and_then(|ms| Timestamp::from_millisecond(ms).ok());
    time.map(|time| format!("{time:.3}")).unwrap_or_default()
}

/// Lets a call on that needs nobody, or that people agreed to. Limits come first: a call that none admits is put
/// before nobody.
pub async fn agreed<'m>(mut weighed: Weighed<'m>, exchange: &Exchange<'_>) -> Result<Weighed<'m>, NotAgreed> {
    let Some(ask) = weighed.ask.take() else {
        return Ok(weighed);
    };
    let gate = Arc::clone(weighed.ledger.gate());
    let tool = weighed.tool;
    if gate.recorder.refuses() {
        let denial = policy::not_recorded(tool, Some(STORE_RETRY_MS));
        return Err(denied(weighed, denial, None));
    }
    if let Some(denial) = limited(&gate, &mut weighed).await {
        return Err(denied(weighed, denial, None));
    }
    let asked = match request(&gate, exchange, tool, &ask) {
        Some(request)
            if exchange
                .resumed
                .is_some_and(|state| !state.is_of(&request.digest)) =>
        {
            return Err(denied(weighed, policy::another_call(tool), None));
        }
        Some(request) => gate.approvals.ask(&request).await,
        // it went through the strict reading: this is a fault of ours
        None => Ok(Asked::Full),
    };
    let (approval, opened) = match asked {
        Ok(Asked::Stands { approval, opened }) => (*approval, opened),
        Ok(Asked::Full) => return Err(denied(weighed, policy::too_many_wait(tool, &ask), None)),
        Err(error) => {
            tracing::warn!(%error, error.code = error.code(), "an approval could not be looked for");
            let denial = policy::people_unreachable(tool, &ask, Some(STORE_RETRY_MS));
            return Err(denied(weighed, denial, None));
        }
    };
    if opened {
        let metrics = gate.recorder.metrics.approvals();
        metrics.came(exchange.server, State::Pending.as_str());
    }
    weighed.ledger.approval(approval.id.to_string());
    match approval.state {
        State::Approved => {
            weighed.agreed = Some(Box::new(Agreed { approval, ask }));
            Ok(weighed)
        }
        State::Pending => Err(waits(weighed, approval, ask)),
        // one that has ended otherwise does not stand
        State::Denied | State::Expired | State::Consumed => {
            let said = approval.decisions.iter().rev().find(|decision| !decision.approve);
            let reason = said.map(|decision| decision.reason.as_str()).unwrap_or_default();
            let denial = policy::people_refused(tool, &ask, reason, &written(approval.expires_ms));
            Err(denied(weighed, denial, Some(noted(&approval))))
        }
    }
}

fn denied(weighed: Weighed<'_>, denial: Denial, approval: Option<Noted>) -> NotAgreed {
    NotAgreed::Denied(Box::new(Denied {
        form: form_of(&denial, weighed.task),
        denial,
        ledger: Some(weighed.ledger),
        approval,
    }))
}

fn waits(weighed: Weighed<'_>, approval: Approval, ask: Ask) -> NotAgreed {
    let Weighed {
        mut ledger,
        tool,
        task,
        ..
    } = weighed;
    ledger.waits(waiting(tool, &ask, &approval));
    NotAgreed::Waits(Box::new(Waits {
        approval,
        ledger,
        ask,
        tool: tool.to_owned(),
        task,
    }))
}

/// Looks at the limits without charging them.
async fn limited(gate: &Gate, weighed: &mut Weighed<'_>) -> Option<Denial> {
    if weighed.charges.is_empty() {
        return None;
    }
    let admission = Admission {
        id: weighed.ledger.id,
        charges: weighed.charges.clone(),
    };
    match gate.store.peek(&admission).await {
        Ok(Verdict::Admitted { .. }) => None,
        Ok(Verdict::Limited {
            charge,
            retry_after_ms,
            at_ms,
            states,
            ..
        }) => {
            let denial = limited_by(&admission.charges, charge, weighed.tool, retry_after_ms);
            weighed.ledger.limited(admission.charges, states, at_ms);
            Some(denial)
        }
        // whatever `on_store_error` says: what people agreed to is in the same store
        Err(error) => {
            tracing::warn!(%error, error.code = error.code(), "the store did not show a call's limits");
            Some(store_failed(weighed.tool, &admission.charges, STORE_RETRY_MS))
        }
    }
}

fn limited_by(charges: &[Charge], index: usize, tool: &str, retry_after_ms: Option<u64>) -> Denial {
    match charges.get(index) {
        Some(charge) => policy::limited(charge, tool, retry_after_ms),
        None => store_failed(tool, charges, STORE_RETRY_MS),
    }
}

/// What people are asked: the exact call of this grant, under this policy, to what is behind the gate now.
fn request(gate: &Gate, exchange: &Exchange<'_>, tool: &str, ask: &Ask) -> Option<Request> {
    let call = exchange.message.tool_call().ok()??;
    let arguments = match call.arguments {
        Some(arguments) => canonical(arguments)?,
        None => String::new(),
    };
    let beside = canonical(&beside(str::from_utf8(exchange.bytes).ok()?)?)?;
    let pinned = exchange.pins.and_then(|pins| pins.accepted(tool));
    let (identity, server) = (exchange.grant.identity(), exchange.server);
    let mut parts = vec![identity, server, exchange.place, tool, &arguments, &beside];
    parts.push(pinned.as_deref().unwrap_or_default());
    for policy in &exchange.grant.policies {
        parts.extend([policy.name(), policy.digest()]);
    }
    let parts: Vec<&[u8]> = parts.into_iter().map(str::as_bytes).collect();
    Some(Request {
        grant: exchange.grant.id.clone(),
        identity: identity.to_owned(),
        server: server.to_owned(),
        tool: tool.to_owned(),
        arguments: call.arguments.map(str::to_owned),
        digest: gate.approvals.digest(&parts).ok()?,
        needed: ask.approvers,
    })
}
