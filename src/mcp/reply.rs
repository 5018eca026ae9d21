//! Answers that toolgate gives itself, as bytes.
//!
//! Shapes measured on five SDKs: only the text of an `isError` result reaches the model
//! everywhere; an `id` of `null` hangs three clients, so an unknown id is left out;
//! `structuredContent` breaks one, so it is never sent.

/// What stands in `_meta["toolgate/decision"]` of a refused call, and in `data` of an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decision<'a> {
    /// One of the closed set of outcomes, e.g. `limited`.
    pub outcome: &'a str,
    /// The JSON Pointer of the rule, or a word in parentheses.
    pub rule: &'a str,
    /// Milliseconds until the call could be admitted; left out where never or not known.
    pub retry_after_ms: Option<u64>,
    /// The id of the decision in log and audit.
    pub id: &'a str,
    /// The request for approval that it waits for.
    pub approval: Option<Approval<'a>>,
}

/// A request for approval, as the agent is told of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Approval<'a> {
    pub id: &'a str,
    /// RFC 3339: until when it stands.
    pub expires: &'a str,
}

/// The answer to a `tools/call` that was not executed: a tool error that the model reads.
/// `id` are the bytes of the request's id. `modern`: the request is of 2026-07-28 or later,
/// where a result says `resultType`.
pub fn tool_error(id: &str, text: &str, decision: &Decision<'_>, modern: bool) -> Vec<u8> {
    let mut out = start(Some(id));
    push(&mut out, ",\"result\":{");
    if modern {
        push(&mut out, "\"resultType\":\"complete\",");
    }
    push(&mut out, "\"content\":[{\"type\":\"text\",\"text\":");
    quote(&mut out, text);
    push(&mut out, "}],\"isError\":true,\"_meta\":{\"toolgate/decision\":");
    push_decision(&mut out, decision);
    push(&mut out, "}}}");
    out
}

/// What the client is to do before its call goes on (2026-07-28).
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    /// Names it among the client's answers.
    pub name: &'a str,
    pub text: &'a str,
    /// Where the user is to go.
    pub url: &'a str,
    /// What the client brings back.
    pub state: &'a str,
}

/// The answer to a `tools/call` whose user is to go to a URL before it is sent again.
pub fn input_required(id: &str, question: &Question<'_>, decision: &Decision<'_>) -> Vec<u8> {
    let mut out = start(Some(id));
    push(
        &mut out,
        ",\"result\":{\"resultType\":\"input_required\",\"inputRequests\":{",
    );
    quote(&mut out, question.name);
    push(
        &mut out,
        ":{\"method\":\"elicitation/create\",\"params\":{\"mode\":\"url\",\"message\":",
    );
    quote(&mut out, question.text);
    push(&mut out, ",\"url\":");
    quote(&mut out, question.url);
    push(&mut out, "}}},\"requestState\":");
    quote(&mut out, question.state);
    push(&mut out, ",\"_meta\":{\"toolgate/decision\":");
    push_decision(&mut out, decision);
    push(&mut out, "}}}");
    out
}

/// A JSON-RPC error. `id` are the bytes of the request's id, left out where unknown.
pub fn error(id: Option<&str>, code: i64, message: &str, data: Option<&Decision<'_>>) -> Vec<u8> {
    let mut out = start(id);
    push(&mut out, ",\"error\":{\"code\":");
    push(&mut out, &code.to_string());
    push(&mut out, ",\"message\":");
    quote(&mut out, message);
    if let Some(decision) = data {
        push(&mut out, ",\"data\":");
        push_decision(&mut out, decision);
    }
    push(&mut out, "}}");
    out
}

/// The answer for a tool that is hidden or that nothing lists: what a server itself says
/// (MCP, "Tools", error handling), and nothing that would tell the two apart.
pub fn unknown_tool(id: &str, name: &str) -> Vec<u8> {
    error(Some(id), -32602, &format!("Unknown tool: {name}"), None)
}

/// The notification that the list of tools changed. On a `subscriptions/listen` stream
/// (2026-07-28) it carries the bytes of that request's id.
pub fn list_changed(subscription: Option<&str>) -> Vec<u8> {
    let mut out = b"{\"jsonrpc\":\"2.0\",\"method\":\"notifications/tools/list_changed\"".to_vec();
    if let Some(id) = subscription {
        push(
            &mut out,
            ",\"params\":{\"_meta\":{\"io.modelcontextprotocol/subscriptionId\":",
        );
        push(&mut out, id);
        push(&mut out, "}}");
    }
    push(&mut out, "}");
    out
}

/// The notification that a request is to stop. `id` are the bytes of the request's id.
pub fn cancelled(id: &str, reason: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(512);
    push(
        &mut out,
        "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/cancelled\",\"params\":{\"requestId\":",
    );
    push(&mut out, id);
    push(&mut out, ",\"reason\":");
    quote(&mut out, reason);
    push(&mut out, "}}");
    out
}

fn start(id: Option<&str>) -> Vec<u8> {
    let mut out = Vec::with_capacity(512);
    push(&mut out, "{\"jsonrpc\":\"2.0\"");
    if let Some(id) = id {
        push(&mut out, ",\"id\":");
        push(&mut out, id);
    }
    out
}

fn push_decision(out: &mut Vec<u8>, decision: &Decision<'_>) {
    push(out, "{\"outcome\":");
    quote(out, decision.outcome);
    push(out, ",\"rule\":");
    quote(out, decision.rule);
    if let Some(ms) = decision.retry_after_ms {
        push(out, ",\"retryAfterMs\":");
        push(out, &ms.to_string());
    }
    if let Some(approval) = &decision.approval {
        push(out, ",\"approvalId\":");
        quote(out, approval.id);
        push(out, ",\"expiresAt\":");
        quote(out, approval.expires);
    }
    push(out, ",\"executed\":false,\"id\":");
    quote(out, decision.id);
    push(out, "}");
}

fn push(out: &mut Vec<u8>, text: &str) {
    out.extend_from_slice(text.as_bytes());
}

/// `text` as a JSON string. Lone NULs, quotes and control characters are escaped.
fn quote(out: &mut Vec<u8>, text: &str) {
    let written = serde_json::to_writer(&mut *out, text);
    debug_assert!(written.is_ok(), "a string is written to memory without errors");
}

#[cfg(test)]
mod tests;
