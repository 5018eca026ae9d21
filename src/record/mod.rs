//! What happened, for people and machines: one JSON line per decision, and metrics.

mod decision;
mod lines;
mod metrics;
mod sample;

pub use decision::{ChargeRecord, DecisionRecord, PolicyRecord, UpstreamRecord, shown_name};
pub use lines::Lines;
pub use metrics::{Metrics, StoreTimer, ToolNames};

use std::sync::Arc;

use sample::Sample;

/// Where decisions go.
#[derive(Clone)]
pub struct Recorder {
    pub metrics: Arc<Metrics>,
    lines: Option<Lines>,
    sample: Arc<Sample>,
}

impl Recorder {
    /// `lines: None` measures without writing lines.
    pub fn new(metrics: Arc<Metrics>, lines: Option<Lines>) -> Self {
        Self {
            metrics,
            lines,
            sample: Arc::default(),
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

    /// Waits until everything that was recorded has been written.
    pub async fn flush(&self) {
        if let Some(lines) = &self.lines {
            lines.flush().await;
        }
    }
}
