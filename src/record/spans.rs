//! Spans that have ended, on their way to whoever exports them. A full queue drops them: it never slows a call.

use prometheus::{IntCounterVec, Registry};
use tokio::sync::mpsc;

use super::metrics::counter;
use crate::mcp::trace::TraceContext;

/// Spans that wait to be exported.
const QUEUE: usize = 4_096;

/// OpenTelemetry's kinds of spans, as far as they are used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SpanKind {
    /// A message, as its client waited for it.
    Server,
    /// The same message at the upstream.
    Client,
}

/// One span that has ended.
#[derive(Clone, Debug)]
pub struct Span {
    pub context: TraceContext,
    pub parent: Option<[u8; 8]>,
    /// A span that led here too, but is not the parent.
    pub link: Option<TraceContext>,
    pub kind: SpanKind,
    pub name: String,
    /// Nanoseconds since 1970.
    pub start_ns: u64,
    pub end_ns: u64,
    pub attributes: Vec<(&'static str, String)>,
    /// Why it failed; empty: it did not.
    pub error: String,
}

/// Where spans go.
#[derive(Clone)]
pub struct Spans {
    queue: mpsc::Sender<Span>,
    results: SpanMetrics,
    /// Of traces that begin here, those with a smaller number are exported; `None`: all.
    below: Option<u64>,
}

impl Spans {
    /// `sample`: which part of the traces that begin here is exported, 0 to 1. Traces of clients are exported
    /// where they say so.
    pub fn new(results: &SpanMetrics, sample: f64) -> (Self, mpsc::Receiver<Span>) {
        let (queue, ended) = mpsc::channel(QUEUE);
        let spans = Self {
            queue,
            results: results.clone(),
            below: below(sample),
        };
        (spans, ended)
    }

    pub(super) fn samples(&self, trace: [u8; 16]) -> bool {
        let [low @ .., _, _, _, _, _, _, _, _] = trace;
        self.below.is_none_or(|below| u64::from_be_bytes(low) < below)
    }

    pub(super) fn send(&self, span: Span) {
        if self.queue.try_send(span).is_err() {
            self.results.count("dropped", 1);
        }
    }
}

/// The bound for random numbers of 64 bits.
fn below(sample: f64) -> Option<u64> {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "a share of a random number need not be exact"
    )]
    (sample < 1.0).then_some((sample.max(0.0) * u64::MAX as f64) as u64)
}

/// What became of spans.
#[derive(Clone)]
pub struct SpanMetrics(IntCounterVec);

impl SpanMetrics {
    pub(super) fn new(registry: &Registry) -> prometheus::Result<Self> {
        let help = "Spans by what became of them: `exported`, `failed` (the collector did not take them), `dropped` (the queue was full).";
        counter(registry, "toolgate_spans_total", help, &["result"]).map(Self)
    }

    pub fn count(&self, result: &'static str, spans: u64) {
        self.0.with_label_values(&[result]).inc_by(spans);
    }
}

#[cfg(test)]
mod tests {
    use prometheus::Registry;

    use super::{SpanMetrics, Spans};

    fn sampled(sample: f64) -> usize {
        let metrics = SpanMetrics::new(&Registry::new()).unwrap();
        let (spans, _ended) = Spans::new(&metrics, sample);
        let trace = |n: u8| {
            let mut trace = [0xff; 16];
            trace[0] = n;
            trace
        };
        (0..=255).filter(|n| spans.samples(trace(*n))).count()
    }

    #[test]
    fn a_share_of_the_traces_is_taken() {
        assert_eq!([0.0, 0.25, 1.0].map(sampled), [0, 64, 256]);
    }
}
