//! One message's place in a trace, and the spans that it becomes.

use std::time::{Duration, Instant};

use data_encoding::HEXLOWER;
use jiff::Timestamp;

use super::spans::{Span, SpanKind, Spans};
use crate::mcp::trace::TraceContext;

/// Where one message stands in a trace.
pub struct Trace {
    /// Our own span where spans are exported, else the client's.
    here: TraceContext,
    /// Set where spans are exported.
    spans: Option<Begun>,
}

struct Begun {
    to: Spans,
    parent: Option<[u8; 8]>,
    link: Option<TraceContext>,
    /// The span of the request to the upstream.
    upstream: [u8; 8],
    sent: Option<Instant>,
    attributes: Vec<(&'static str, String)>,
}

impl Trace {
    /// The trace that the message's `_meta` says, or else its header; or one that begins here, where spans are
    /// exported. `None`: no trace.
    pub fn begin(
        spans: Option<&Spans>,
        meta: Option<TraceContext>,
        header: Option<TraceContext>,
    ) -> Option<Self> {
        let parent = meta.or(header);
        let untraced = || parent.map(|here| Self { here, spans: None });
        let Some(to) = spans else { return untraced() };
        let mut random = [0; 32];
        if getrandom::fill(&mut random).is_err() {
            return untraced();
        }
        let [
            trace @ ..,
            s0,
            s1,
            s2,
            s3,
            s4,
            s5,
            s6,
            s7,
            u0,
            u1,
            u2,
            u3,
            u4,
            u5,
            u6,
            u7,
        ] = random;
        let trace = parent.map_or(trace, |parent| parent.trace);
        if !parent.map_or_else(|| to.samples(trace), |parent| parent.sampled) {
            return untraced();
        }
        let here = TraceContext {
            trace,
            span: [s0, s1, s2, s3, s4, s5, s6, s7],
            sampled: true,
        };
        let begun = Begun {
            to: to.clone(),
            parent: parent.map(|parent| parent.span),
            link: header.filter(|header| Some(*header) != parent),
            upstream: [u0, u1, u2, u3, u4, u5, u6, u7],
            sent: None,
            attributes: Vec::with_capacity(8),
        };
        Some(Self {
            here,
            spans: Some(begun),
        })
    }

    /// The trace's id, in hexadecimal digits.
    pub fn trace_id(&self) -> String {
        HEXLOWER.encode(&self.here.trace)
    }

    /// The id of our own span where spans are exported, else of the client's.
    pub fn span_id(&self) -> String {
        HEXLOWER.encode(&self.here.span)
    }

    /// The `traceparent` that the upstream is sent in place of the client's; `None`: that passes as it came.
    pub fn to_upstream(&self) -> Option<String> {
        let begun = self.spans.as_ref()?;
        let context = TraceContext {
            span: begun.upstream,
            ..self.here
        };
        Some(context.to_string())
    }

    pub(super) fn sent(&mut self) {
        if let Some(begun) = &mut self.spans {
            begun.sent = Some(Instant::now());
        }
    }

    /// Adds attributes, where spans are exported.
    pub fn note<'v>(&mut self, attributes: impl IntoIterator<Item = (&'static str, &'v str)>) {
        if let Some(begun) = &mut self.spans {
            let owned = attributes.into_iter().map(|(key, value)| (key, value.to_owned()));
            begun.attributes.extend(owned);
        }
    }

    /// Both spans end now. `began`: when the message came.
    pub(super) fn end(self, name: &str, error: &str, began: Instant) {
        let Some(begun) = self.spans else { return };
        let end_ns = now_ns();
        let since = |then: Instant| end_ns.saturating_sub(nanos(then.elapsed()));
        let span = Span {
            context: self.here,
            parent: begun.parent,
            link: begun.link,
            kind: SpanKind::Server,
            name: name.to_owned(),
            start_ns: since(began),
            end_ns,
            attributes: begun.attributes,
            error: error.to_owned(),
        };
        if let Some(sent) = begun.sent {
            begun.to.send(Span {
                context: TraceContext {
                    span: begun.upstream,
                    ..span.context
                },
                parent: Some(span.context.span),
                link: None,
                kind: SpanKind::Client,
                start_ns: since(sent),
                ..span.clone()
            });
        }
        begun.to.send(span);
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

#[expect(clippy::disallowed_methods, reason = "spans say when they were")]
fn now_ns() -> u64 {
    u64::try_from(Timestamp::now().as_nanosecond()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use prometheus::Registry;

    use super::Trace;
    use crate::mcp::trace::TraceContext;
    use crate::record::spans::{SpanKind, SpanMetrics, Spans};

    fn context(trace: u8, sampled: bool) -> TraceContext {
        TraceContext {
            trace: [trace; 16],
            span: [trace; 8],
            sampled,
        }
    }

    #[test]
    fn meta_is_the_parent_and_another_header_is_linked() {
        let metrics = SpanMetrics::new(&Registry::new()).unwrap();
        let (spans, mut ended) = Spans::new(&metrics, 0.0);
        let (meta, header) = (context(1, true), context(2, true));
        let mut trace = Trace::begin(Some(&spans), Some(meta), Some(header)).unwrap();
        let upstream = TraceContext::read(&trace.to_upstream().unwrap()).unwrap();
        trace.sent();
        trace.end("tools/call x", "", Instant::now());
        let (client, server) = (ended.try_recv().unwrap(), ended.try_recv().unwrap());
        assert_eq!(
            (server.parent, server.link, server.kind),
            (Some([1; 8]), Some(header), SpanKind::Server)
        );
        assert_eq!(client.parent, Some(server.context.span));
        assert_eq!(client.context, upstream);
        assert!(server.context.trace == [1; 16] && client.context.trace == [1; 16]);
    }

    #[test]
    fn what_nobody_samples_is_not_exported_and_its_header_passes() {
        let metrics = SpanMetrics::new(&Registry::new()).unwrap();
        let (spans, mut ended) = Spans::new(&metrics, 0.0);
        assert!(Trace::begin(Some(&spans), None, None).is_none());
        let mut trace = Trace::begin(Some(&spans), None, Some(context(3, false))).unwrap();
        trace.sent();
        assert_eq!(trace.to_upstream(), None);
        assert_eq!(trace.trace_id(), "03".repeat(16));
        trace.end("ping", "", Instant::now());
        assert!(ended.try_recv().is_err());
    }
}
