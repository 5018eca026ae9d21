//! How long operations take, as OpenTelemetry's conventions for MCP name it.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Instant;

use prometheus::{HistogramVec, Registry};

use super::Metrics;
use super::metrics::histogram;
use super::tools::OTHER;
use super::trace::Trace;

/// The conventions' buckets for `mcp.server.operation.duration`, in seconds.
const BUCKETS: [f64; 14] = [
    0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0,
];

/// Methods of every revision from 2024-11-05 to 2026-07-28, in order. Any other is a caller's invention.
const METHODS: [&str; 33] = [
    "completion/complete",
    "elicitation/create",
    "initialize",
    "logging/setLevel",
    "notifications/cancelled",
    "notifications/elicitation/complete",
    "notifications/initialized",
    "notifications/message",
    "notifications/progress",
    "notifications/prompts/list_changed",
    "notifications/resources/list_changed",
    "notifications/resources/updated",
    "notifications/roots/list_changed",
    "notifications/tasks/status",
    "notifications/tools/list_changed",
    "ping",
    "prompts/get",
    "prompts/list",
    "resources/list",
    "resources/read",
    "resources/subscribe",
    "resources/templates/list",
    "resources/unsubscribe",
    "roots/list",
    "sampling/createMessage",
    "server/discover",
    "subscriptions/listen",
    "tasks/cancel",
    "tasks/get",
    "tasks/list",
    "tasks/result",
    "tools/call",
    "tools/list",
];

/// The method as a label; `None`: no MCP message (`GET`, say, or one that was not read).
pub fn method_label(method: &str) -> Option<&'static str> {
    if let Ok(at) = METHODS.binary_search(&method) {
        return METHODS.get(at).copied();
    }
    let none = method.is_empty() || method.starts_with('(') || matches!(method, "GET" | "DELETE");
    (!none).then_some(OTHER)
}

/// `mcp_server_operation_duration_seconds`.
pub(super) struct Operations(HistogramVec);

impl Operations {
    pub(super) fn new(registry: &Registry) -> prometheus::Result<Self> {
        let named = (
            "mcp_server_operation_duration_seconds",
            "Time from the arrival of an MCP message until its answer has ended.",
        );
        let labels = ["server", "mcp_method_name", "gen_ai_tool_name", "error_type"];
        histogram(registry, named, &BUCKETS, &labels).map(Self)
    }
}

/// One message from its arrival until its answer has ended. Dropped, it is measured.
pub struct Operation {
    metrics: Arc<Metrics>,
    server: String,
    method: Option<&'static str>,
    tool: Option<String>,
    error: Cow<'static, str>,
    began: Instant,
    trace: Option<Trace>,
}

impl Operation {
    /// Begins now.
    pub fn begin(metrics: &Arc<Metrics>, server: &str) -> Self {
        Self {
            metrics: Arc::clone(metrics),
            server: server.to_owned(),
            method: None,
            tool: None,
            error: Cow::Borrowed(""),
            began: Instant::now(),
            trace: None,
        }
    }

    /// Where it stands in a trace.
    pub fn trace(&mut self, trace: Trace) {
        self.trace = Some(trace);
    }

    /// It goes to the upstream now.
    pub fn sent(&mut self) {
        if let Some(trace) = &mut self.trace {
            trace.sent();
        }
    }

    /// What was decided: attributes of its span.
    pub fn decided<'v>(&mut self, attributes: impl IntoIterator<Item = (&'static str, &'v str)>) {
        if let Some(trace) = &mut self.trace {
            trace.note(attributes);
        }
    }

    pub fn method(&mut self, method: &str) {
        self.method = method_label(method);
    }

    pub fn tool(&mut self, tool: &str) {
        self.tool = Some(self.metrics.tools().label(&self.server, tool).to_owned());
    }

    /// It failed so: a word of a closed set, or an HTTP status.
    pub fn failed(&mut self, error: impl Into<Cow<'static, str>>) {
        self.error = error.into();
    }
}

impl Drop for Operation {
    fn drop(&mut self) {
        let Some(method) = self.method else { return };
        // an empty label is an absent one
        let tool = self.tool.as_deref().unwrap_or_default();
        let labels = [self.server.as_str(), method, tool, &self.error];
        let Operations(seconds) = &self.metrics.operations;
        seconds
            .with_label_values(&labels)
            .observe(self.began.elapsed().as_secs_f64());
        if let Some(mut trace) = self.trace.take() {
            trace.note([("mcp.method.name", method), ("toolgate.server", &self.server)]);
            let mut name = method.to_owned();
            if self.tool.is_some() {
                trace.note([("gen_ai.operation.name", "execute_tool")]);
            }
            // a name that a caller invented would make a name of a span without bounds
            if let Some(tool) = self.tool.as_deref().filter(|tool| *tool != OTHER) {
                trace.note([("gen_ai.tool.name", tool)]);
                name = format!("{method} {tool}");
            }
            trace.end(&name, &self.error, self.began);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{METHODS, method_label};

    #[test]
    fn known_methods_are_labels_and_invented_ones_are_one() {
        assert!(METHODS.is_sorted());
        for method in METHODS {
            assert_eq!(method_label(method), Some(method));
        }
        for invented in ["tools/Call", "notifications/mine", "x"] {
            assert_eq!(method_label(invented), Some("_other"), "{invented}");
        }
        for none in ["", "GET", "DELETE", "(response)", "(unreadable)"] {
            assert_eq!(method_label(none), None, "{none}");
        }
    }
}
