//! What happened, for people and machines: one JSON line per decision, and metrics.

mod decision;
mod lines;
mod metrics;

pub use decision::{ChargeRecord, DecisionRecord, PolicyRecord, UpstreamRecord, shown_name};
pub use lines::Lines;
pub use metrics::{Metrics, StoreTimer, ToolNames};

use std::sync::Arc;

/// Where decisions go.
#[derive(Clone)]
pub struct Recorder {
    pub metrics: Arc<Metrics>,
    lines: Option<Lines>,
}

impl Recorder {
    /// `lines: None` measures without writing lines.
    pub const fn new(metrics: Arc<Metrics>, lines: Option<Lines>) -> Self {
        Self { metrics, lines }
    }

    /// Records one decision. Never blocks on the sink; see [`Recorder::room`] for back-pressure.
    pub fn decision(&self, record: &DecisionRecord<'_>) {
        self.metrics.decision(record);
        if let Some(lines) = &self.lines {
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
