//! The answer to a request that is nobody's.

use std::sync::Arc;

use http::Response;

use super::Gate;
use super::body::GateBody;
use super::ledger::Ledger;
use super::resource::Told;
use super::respond::{Refusal, refuse};
use super::who::Stranger;
use crate::counters::CallId;
use crate::policy::Outcome;

/// Refuses a request that is nobody's, and records why.
pub fn turn_away(
    gate: &Arc<Gate>,
    id: CallId,
    server: &str,
    path: &str,
    stranger: Stranger,
) -> Response<GateBody> {
    let challenge = |told| gate.callers.resources.challenge(server, path, told);
    let unmapped;
    let (message, refusal) = match stranger {
        Stranger::NoCredential => {
            let (reason, challenge) = ("no token was sent", challenge(Told::SendToken));
            (reason, Refusal::Unauthenticated { challenge, reason })
        }
        Stranger::Bad(reason) => {
            let challenge = challenge(Told::InvalidToken(reason));
            (reason, Refusal::Unauthenticated { challenge, reason })
        }
        Stranger::Unmapped(why) => {
            unmapped = why.to_string();
            let (reason, challenge) = (unmapped.as_str(), challenge(Told::InsufficientScope(&unmapped)));
            (reason, Refusal::NoGrant { challenge, reason })
        }
        Stranger::NoKeys => ("the issuer's keys are not known now", Refusal::NoIssuerKeys),
    };
    Ledger::open(gate, id, server).invalid(Outcome::Unauthenticated, message);
    refuse(&refusal)
}
