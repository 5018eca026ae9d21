//! What happened, for people and machines: one JSON line per decision, and metrics.

mod decision;
mod lines;
mod metrics;
mod pending;
mod pins;
mod reload;
mod sample;
mod tools;

pub use decision::{
    ChargeRecord, DecisionRecord, PolicyRecord, RecordedValues, ShadowRecord, UpstreamRecord, shown_message,
    shown_name,
};
pub use lines::Lines;
pub use metrics::{Metrics, StoreTimer};
pub use pending::Pending;
pub use pins::PinMetrics;
pub use reload::ReloadMetrics;
pub use tools::ToolNames;

use std::sync::Arc;
use std::time::Duration;

use pending::Count;
use sample::Sample;

/// How long the end waits for decisions that are still being made: refunds that a store is slow to answer.
const SETTLE: Duration = Duration::from_secs(5);

/// Where decisions go.
#[derive(Clone)]
pub struct Recorder {
    pub metrics: Arc<Metrics>,
    lines: Option<Lines>,
    sample: Arc<Sample>,
    pending: Count,
}

impl Recorder {
    /// `lines: None` measures without writing lines.
    pub fn new(metrics: Arc<Metrics>, lines: Option<Lines>) -> Self {
        Self {
            metrics,
            lines,
            sample: Arc::default(),
            pending: Count::default(),
        }
    }

    /// Records one decision. Never blocks on the sink; see [`Recorder::room`] for back-pressure. Requests
    /// without a known grant are all counted, but only a sample of them becomes lines: strangers cannot fill
    /// the disk.
    pub fn decision(&self, record: &DecisionRecord<'_>) {
        self.metrics.decision(record);
        if let Some(lines) = &self.lines
            && (record.grant.is_some() || self.sample.take())
        {
            lines.write(record);
        }
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
    }
}
