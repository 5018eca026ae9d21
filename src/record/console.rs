//! How the console is used, and what becomes of webhooks.

use prometheus::{IntCounter, IntCounterVec, IntGauge, Registry};

use super::metrics::{counter, gauge};

/// Metrics of the console and of webhooks.
#[derive(Clone)]
pub struct ConsoleMetrics {
    connections: IntGauge,
    refused_tokens: IntCounter,
    webhooks: IntCounterVec,
}

impl ConsoleMetrics {
    pub(super) fn new(registry: &Registry) -> prometheus::Result<Self> {
        let open = "Connections to the console that are open.";
        let refused = "Requests at the console whose token is no approver's.";
        let webhooks = "Messages to webhooks: `delivered`, `failed` (given up after some tries) or `dropped` (too many were waiting).";
        Ok(Self {
            connections: gauge(registry, "toolgate_console_connections", open, &[])?
                .with_label_values::<&str>(&[]),
            refused_tokens: counter(registry, "toolgate_console_refused_tokens_total", refused, &[])?
                .with_label_values::<&str>(&[]),
            webhooks: counter(registry, "toolgate_webhooks_total", webhooks, &["result"])?,
        })
    }

    pub const fn connections(&self) -> &IntGauge {
        &self.connections
    }

    pub fn refused_token(&self) {
        self.refused_tokens.inc();
    }

    /// Shows the results from the start, so that their first increase is seen.
    pub fn sends(&self) {
        for result in ["delivered", "failed", "dropped"] {
            self.webhook(result, 0);
        }
    }

    pub fn webhook(&self, result: &'static str, count: u64) {
        self.webhooks.with_label_values(&[result]).inc_by(count);
    }
}
