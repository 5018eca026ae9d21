//! Metrics of servers that are commands.

use prometheus::{IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Registry};

use super::metrics::{counter, gauge};

/// The processes of all servers that are commands.
pub(super) struct ChildMetrics {
    running: IntGaugeVec,
    failures: IntCounterVec,
}

/// Those of one server.
#[derive(Clone)]
pub struct Children {
    running: IntGauge,
    failures: IntCounter,
}

impl ChildMetrics {
    pub(super) fn new(registry: &Registry) -> prometheus::Result<Self> {
        let running = "Processes of a server that is a command.";
        let failures = "Processes of a server that ended by themselves, or could not be started.";
        Ok(Self {
            running: gauge(registry, "toolgate_children", running, &["server"])?,
            failures: counter(registry, "toolgate_child_failures_total", failures, &["server"])?,
        })
    }

    /// From here on they are shown.
    pub(super) fn of(&self, server: &str) -> Children {
        Children {
            running: self.running.with_label_values(&[server]),
            failures: self.failures.with_label_values(&[server]),
        }
    }
}

impl Children {
    /// So many run.
    pub fn run(&self, count: usize) {
        self.running.set(i64::try_from(count).unwrap_or(i64::MAX));
    }

    /// One ended and nobody had asked it to, or could not be started.
    pub fn failed(&self) {
        self.failures.inc();
    }
}
