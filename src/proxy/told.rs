//! Refusals as JSON-RPC, the same over every transport. HTTP puts its status codes around them (`respond`).

use super::exchange::Form;
use super::upstream::UpstreamError;
use super::weigh::Noted;
use crate::mcp::reply::{self, Approval, Decision};
use crate::policy::{Denial, Outcome};

// JSON-RPC codes of our own lie outside the reserved range -32768 … -32000.
pub const CODE_DENIED: i64 = 403;
pub const CODE_TOO_LARGE: i64 = 413;
pub const CODE_LIMITED: i64 = 429;
pub const CODE_UPSTREAM: i64 = 502;
pub const CODE_UNAVAILABLE: i64 = 503;
pub const CODE_UPSTREAM_TIMEOUT: i64 = 504;
pub const CODE_INVALID_REQUEST: i64 = -32600;

/// Without random bytes there is no id to charge under.
pub const NO_RANDOMNESS: &str = "the operating system gave no random bytes: nothing was executed";

/// What is told of a refusal beside its sentence.
pub fn decision<'a>(denial: &'a Denial, id: &'a str, approval: Option<&'a Noted>) -> Decision<'a> {
    Decision {
        outcome: denial.outcome.as_str(),
        rule: &denial.rule,
        retry_after_ms: denial.retry_after_ms,
        id,
        approval: approval.map(|noted| Approval {
            id: &noted.id,
            expires: &noted.expires,
        }),
    }
}

/// The answer to a denied message; `None`: it gets none.
pub fn denied(
    denial: &Denial,
    form: Form,
    id: Option<&str>,
    modern: bool,
    decision_id: &str,
    approval: Option<&Noted>,
) -> Option<Vec<u8>> {
    let id = id?;
    let decision = decision(denial, decision_id, approval);
    match form {
        Form::Silent => None,
        // the message is the server's own sentence
        Form::UnknownTool => Some(reply::error(Some(id), -32602, &denial.message, None)),
        Form::RpcError => {
            let code = match denial.outcome {
                Outcome::Limited => CODE_LIMITED,
                Outcome::StoreError => CODE_UNAVAILABLE,
                _ => CODE_DENIED,
            };
            Some(reply::error(Some(id), code, &denial.message, Some(&decision)))
        }
        Form::ToolError => Some(reply::tool_error(id, &denial.message, &decision, modern)),
    }
}

/// Code and sentence for a request that the server did not answer. What the operating system said is for the
/// log, not for callers.
pub const fn no_answer(error: &UpstreamError) -> (i64, &'static str) {
    let code = if error.is_timeout() {
        CODE_UPSTREAM_TIMEOUT
    } else {
        CODE_UPSTREAM
    };
    let text = match error {
        UpstreamError::Connect(_) | UpstreamError::ConnectTimeout(_) => {
            "the MCP server cannot be reached. The request was not executed"
        }
        UpstreamError::Credentials(_) => {
            "toolgate has no credentials for the MCP server at the moment. The request was not executed"
        }
        UpstreamError::Busy(_) => {
            "too many requests wait for an answer of the MCP server. The request was not executed"
        }
        UpstreamError::Processes(_) => {
            "too many processes of the MCP server run. The request was not executed"
        }
        UpstreamError::NoSession => "no session: initialize first",
        UpstreamError::SessionOver => "no such session any more: initialize again",
        UpstreamError::SessionOpen => "the session is initialized already",
        UpstreamError::Unsent => "the connection to the MCP server closed. The request was not executed",
        UpstreamError::Broken(_) => {
            "the MCP server broke off without an answer. The request may have been executed"
        }
        UpstreamError::LeaseOver => {
            "the call came too late to its place among those that may run at once. The request was not executed"
        }
        UpstreamError::LeaseLost => {
            "the call was cut, because its place among those that may run at once could not be renewed. It may have been executed"
        }
        UpstreamError::ResponseTimeout(_) => {
            "the MCP server did not answer in time. The request may have been executed"
        }
    };
    (code, text)
}

/// The sentence for an answer that cannot be passed on.
pub fn bad_answer(reason: &str) -> String {
    format!("the upstream's answer cannot be passed on: {reason}. The request was forwarded")
}
