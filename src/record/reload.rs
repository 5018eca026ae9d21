//! Metrics of reloads. They exist from the start.

use prometheus::{Gauge, IntCounterVec, IntGauge, Opts, Registry};

use super::metrics::{counter, gauge};

/// Whether what stands in the files is in force.
pub struct ReloadMetrics {
    success: IntGauge,
    timestamp: Gauge,
    reloads: IntCounterVec,
}

impl ReloadMetrics {
    pub(super) fn new(registry: &Registry) -> prometheus::Result<Self> {
        let success = "1: the policies, grants and pins in force are those in the files; 0: the files have problems, and what was read before them is in force.";
        let timestamp = Gauge::with_opts(Opts::new(
            "toolgate_policy_reload_timestamp_seconds",
            "When policies, grants and pins were last read and found right, in seconds since 1970.",
        ))?;
        registry.register(Box::new(timestamp.clone()))?;
        let reloads = "How often policies, grants and pins were read again, by what came of it.";
        let reloads = counter(registry, "toolgate_policy_reloads_total", reloads, &["result"])?;
        for result in ["success", "failure"] {
            reloads.with_label_values(&[result]).inc_by(0);
        }
        Ok(Self {
            success: gauge(registry, "toolgate_policy_reload_success", success, &[])?
                .with_label_values::<&str>(&[]),
            timestamp,
            reloads,
        })
    }

    /// The files were read at the start, at `unix_seconds`.
    pub fn started(&self, unix_seconds: f64) {
        self.success.set(1);
        self.timestamp.set(unix_seconds);
    }

    /// Whether what is in force is what the files hold.
    pub fn is_current(&self) -> bool {
        self.success.get() == 1
    }

    /// The files were read again and are in force since `unix_seconds`.
    pub fn succeeded(&self, unix_seconds: f64) {
        self.started(unix_seconds);
        self.reloads.with_label_values(&["success"]).inc();
    }

    /// The files were read again and have problems.
    pub fn failed(&self) {
        self.success.set(0);
        self.reloads.with_label_values(&["failure"]).inc();
    }
}
