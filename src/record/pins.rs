//! Metrics of servers whose tools are pinned.

use prometheus::{IntCounterVec, IntGauge, IntGaugeVec, Registry};

use super::metrics::{counter, gauge};

/// How a server's tools stand to what is accepted, and how often the gate asked for them.
pub struct PinMetrics {
    tools: IntGaugeVec,
    looks: IntCounterVec,
}

impl PinMetrics {
    pub(super) fn new(registry: &Registry) -> prometheus::Result<Self> {
        let tools = "Tools of servers with `pin: true`: as accepted, changed, new or gone. Changed and new ones are hidden.";
        let looks = "How often the gate asked a server with `pin: true` for its list, by what came of it.";
        Ok(Self {
            tools: gauge(registry, "toolgate_pinned_tools", tools, &["server", "state"])?,
            looks: counter(registry, "toolgate_pin_looks_total", looks, &["server", "result"])?,
        })
    }

    /// How many tools of the server are in this state, one of a closed set.
    pub fn tools(&self, server: &str, state: &'static str) -> IntGauge {
        self.tools.with_label_values(&[server, state])
    }

    /// The gate asked a server for its list so many times more, with this result of a closed set.
    pub fn looked(&self, server: &str, result: &'static str, times: u64) {
        self.looks.with_label_values(&[server, result]).inc_by(times);
    }
}
