//! What happened, for people and machines: one JSON line per decision, and metrics.

mod approval;
mod audit_metrics;
mod channel;
mod children;
mod console;
mod decision;
mod file;
mod fold;
mod limits;
mod lines;
mod metrics;
mod operations;
mod pending;
mod pins;
mod process;
mod recent;
mod reload;
mod reset;
mod sample;
mod series;
mod sink;
mod spans;
mod store;
mod store_state;
mod tools;
mod trace;

pub use approval::{ApprovalMetrics, ApprovalOf, ApprovalRecord};
pub use channel::Overflow;
pub use children::Children;
pub use console::ConsoleMetrics;
pub use decision::{
    ChargeRecord, DecisionRecord, PolicyRecord, RecordedValues, ShadowRecord, UpstreamRecord, WindowRecord,
    shown_message, shown_name,
};
pub use file::{FileOptions, FileSink, turned_over};
pub use lines::{Lines, OnError};
pub use metrics::Metrics;
pub use operations::Operation;
pub use pending::Pending;
pub use pins::PinMetrics;
pub use recent::{Recent, Seen};
pub use reload::ReloadMetrics;
pub use reset::ResetRecord;
pub use series::Series;
pub use sink::{Batch, Sink};
pub use spans::{Span, SpanKind, SpanMetrics, Spans};
pub use store::StoreTimer;
pub use tools::ToolNames;
pub use trace::Trace;

use std::sync::Arc;
use std::time::Duration;

use crate::audit::Head;
use pending::Count;
use sample::Sample;

/// How long the end waits for decisions that are still being made: refunds that a store is slow to answer.
const SETTLE: Duration = Duration::from_secs(5);

/// Where decisions go.
#[derive(Clone)]
pub struct Recorder {
    pub metrics: Arc<Metrics>,
    lines: Option<Lines>,
    spans: Option<Spans>,
    recent: Option<Arc<Recent>>,
    sample: Arc<Sample>,
    pending: Count,
}

impl Recorder {
    /// `lines: None` measures without writing lines.
    pub fn new(metrics: Arc<Metrics>, lines: Option<Lines>) -> Self {
        if let Some(lines) = &lines {
            metrics.audit().watch(lines);
        }
        Self {
            metrics,
            lines,
            spans: None,
            recent: None,
            sample: Arc::default(),
            pending: Count::default(),
        }
    }

    /// Spans of calls go there.
    #[must_use]
    pub fn tracing(mut self, spans: Option<Spans>) -> Self {
        self.spans = spans;
        self
    }

    /// Decisions are kept there for a while too.
    #[must_use]
    pub fn remembering(mut self, recent: Option<Arc<Recent>>) -> Self {
        self.recent = recent;
        self
    }

    /// Where spans go, if anywhere.
    pub const fn spans(&self) -> Option<&Spans> {
        self.spans.as_ref()
    }

    /// Records one decision. Never blocks on the sinks; see [`Recorder::room`] for back-pressure. All are
    /// counted. Of requests without a known grant only a sample becomes lines, and of equal denials one line
    /// stands for many: neither strangers nor an agent in a loop can fill the disk.
    pub fn decision(&self, record: &DecisionRecord<'_>) {
        self.metrics.decision(record);
        if let Some(recent) = &self.recent {
            recent.note(record);
        }
        if let Some(lines) = &self.lines
            && (record.grant.is_some() || self.sample.take())
        {
            let tools = self.metrics.tools();
            let known = record.tool.is_none_or(|tool| tools.knows(record.server, tool));
            lines.write(record, known);
        }
    }

    /// Records something that is no decision; a JSON object with an `event`.
    pub fn event(&self, event: &impl serde::Serialize) {
        if let Some(lines) = &self.lines {
            lines.event(event);
        }
    }

    /// Records what became of a request for approval.
    pub fn approval(&self, record: &ApprovalRecord<'_>) {
        self.metrics.approvals().came(record.server(), record.state());
        self.event(record);
    }

    /// Waits until every line is written.
    pub async fn written(&self) {
        if let Some(lines) = &self.lines {
            lines.flush().await;
        }
    }

    /// Whether calls with limits, and those that need people, are to be refused, because they could not be recorded.
    pub fn refuses(&self) -> bool {
        self.lines.as_ref().is_some_and(Lines::refuses)
    }

    /// The chains of the lines that are written: each one's name and last line.
    pub fn heads(&self) -> Vec<(String, Head)> {
        self.lines.as_ref().map(Lines::heads).unwrap_or_default()
    }

    /// Waits until the sink has room for another line: a slow disk slows calls instead of losing lines.
    pub async fn room(&self) {
        if let Some(lines) = &self.lines {
            lines.room().await;
        }
    }

    /// Announces a decision that will be recorded; hold it until then.
    pub fn begin(&self) -> Pending {
        self.pending.begin()
    }

    /// Waits until every decision that began was recorded (at most 5 s) and written.
    pub async fn flush(&self) {
        if tokio::time::timeout(SETTLE, self.pending.none()).await.is_err() {
            tracing::error!("some decisions were not made in time and are not in the record");
        }
        if let Some(lines) = &self.lines {
            lines.flush().await;
        }
        self.metrics.audit().forget();
    }
}
