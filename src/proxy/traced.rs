//! Where a message stands in a trace, and the span that its lines in the log stand in.

use http::HeaderMap;
use tracing::Span;

use super::Gate;
use super::headers::{PROTOCOL_VERSION, TRACEPARENT};
use crate::mcp::envelope::{Envelope, Kind};
use crate::mcp::headers::is_revision;
use crate::mcp::trace::TraceContext;
use crate::record::{Trace, shown_name};

/// What the body says comes before what the header says (SEP-414).
pub fn traced(gate: &Gate, headers: &HeaderMap, message: &Envelope<'_>) -> (Option<Trace>, Span) {
    let header = headers.get(TRACEPARENT).and_then(|value| value.to_str().ok());
    let header = header.and_then(TraceContext::read);
    let mut trace = Trace::begin(gate.recorder.spans(), message.trace_context(), header);
    if let Some(trace) = &mut trace {
        let (id, revision) = (request_id(message), revision(headers, message));
        let id = id.as_deref().map(|id| ("jsonrpc.request.id", shown_name(id)));
        let revision = revision.map(|revision| ("mcp.protocol.version", revision));
        trace.note(id.into_iter().chain(revision));
    }
    let span = trace.as_ref().map_or_else(Span::none, |trace| {
        tracing::info_span!("message", trace_id = trace.trace_id(), span_id = trace.span_id())
    });
    (trace, span)
}

/// A request's id as text; a string without its quotes.
fn request_id(message: &Envelope<'_>) -> Option<String> {
    let raw = message.id.filter(|_| message.kind == Kind::Request)?;
    Some(serde_json::from_str(raw).unwrap_or_else(|_| raw.to_owned()))
}

/// The revision that the message names, if it can be one: the body's, else the header's.
fn revision<'m>(headers: &'m HeaderMap, message: &'m Envelope<'_>) -> Option<&'m str> {
    let header = || headers.get(PROTOCOL_VERSION)?.to_str().ok();
    message
        .protocol_version()
        .or_else(header)
        .filter(|text| is_revision(text))
}
