//! Where a message stands in a trace, and the span that its lines in the log stand in.

use http::HeaderMap;
use tracing::Span;

use super::Gate;
use super::headers::TRACEPARENT;
use crate::mcp::envelope::Envelope;
use crate::mcp::trace::TraceContext;
use crate::record::Trace;

/// What the body says comes before what the header says (SEP-414).
pub fn traced(gate: &Gate, headers: &HeaderMap, message: &Envelope<'_>) -> (Option<Trace>, Span) {
    let header = headers.get(TRACEPARENT).and_then(|value| value.to_str().ok());
    let header = header.and_then(TraceContext::read);
    let trace = Trace::begin(gate.recorder.spans(), message.trace_context(), header);
    let span = trace.as_ref().map_or_else(Span::none, |trace| {
        tracing::info_span!("message", trace_id = trace.trace_id(), span_id = trace.span_id())
    });
    (trace, span)
}
