//! Prometheus metrics in a registry of their own. Labels come from closed sets only.

use prometheus::{
    Encoder, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts,
    Registry, TextEncoder,
};

use super::DecisionRecord;
use super::approval::ApprovalMetrics;
use super::audit_metrics::AuditMetrics;
use super::children::{ChildMetrics, Children};
use super::console::ConsoleMetrics;
use super::limits::LimitMetrics;
use super::operations::Operations;
use super::pins::PinMetrics;
use super::process::ProcessMetrics;
use super::reload::ReloadMetrics;
use super::series::{Series, all};
use super::spans::SpanMetrics;
use super::store::{StoreMetrics, StoreTimer};
use super::store_state::StoreState;
use super::tools::{NONE, ToolNames};

/// Everything that `/metrics` shows.
pub struct Metrics {
    registry: Registry,
    decisions: IntCounterVec,
    degraded: IntCounterVec,
    refunds: IntCounterVec,
    remembered: IntCounter,
    upstream_seconds: HistogramVec,
    in_flight: IntGaugeVec,
    open_streams: IntGaugeVec,
    reached_around: IntGaugeVec,
    open_connections: IntGauge,
    judge_seconds: Histogram,
    limits: LimitMetrics,
    pub(super) operations: Operations,
    pins: PinMetrics,
    approvals: ApprovalMetrics,
    audit: AuditMetrics,
    children: ChildMetrics,
    console: ConsoleMetrics,
    process: ProcessMetrics,
    reload: ReloadMetrics,
    spans: SpanMetrics,
    store: StoreMetrics,
    store_state: StoreState,
    tools: ToolNames,
}

const UPSTREAM_BUCKETS: [f64; 14] = [
    1e-3, 2.5e-3, 5e-3, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 30.0, 120.0,
];
const JUDGE_BUCKETS: [f64; 11] = [5e-5, 1e-4, 2.5e-4, 5e-4, 1e-3, 2.5e-3, 5e-3, 0.01, 0.05, 0.1, 0.5];

/// Registers a metric under its name and help.
pub(super) fn counter(
    registry: &Registry,
    name: &str,
    help: &str,
    labels: &[&str],
) -> prometheus::Result<IntCounterVec> {
    let metric = IntCounterVec::new(Opts::new(name, help), labels)?;
    registry.register(Box::new(metric.clone()))?;
    Ok(metric)
}

pub(super) fn gauge(
    registry: &Registry,
    name: &str,
    help: &str,
    labels: &[&str],
) -> prometheus::Result<IntGaugeVec> {
    let metric = IntGaugeVec::new(Opts::new(name, help), labels)?;
    registry.register(Box::new(metric.clone()))?;
    Ok(metric)
}

pub(super) fn histogram(
    registry: &Registry,
    (name, help): (&str, &str),
    buckets: &[f64],
    labels: &[&str],
) -> prometheus::Result<HistogramVec> {
    let metric = HistogramVec::new(HistogramOpts::new(name, help).buckets(buckets.to_vec()), labels)?;
    registry.register(Box::new(metric.clone()))?;
    Ok(metric)
}

fn build_info(registry: &Registry, version: &str) -> prometheus::Result<()> {
    let about = "1, labelled with the version.";
    let info = gauge(registry, "toolgate_build_info", about, &["version"])?;
    info.with_label_values(&[version]).set(1);
    Ok(())
}

fn open_connections(registry: &Registry) -> prometheus::Result<IntGauge> {
    let gauge = IntGauge::new("toolgate_open_connections", "Client connections that are open.")?;
    registry.register(Box::new(gauge.clone()))?;
    Ok(gauge)
}

fn judge_seconds(registry: &Registry) -> prometheus::Result<Histogram> {
    let help = "Time from a read body to forwarding, the store included.";
    let all = histogram(registry, ("toolgate_judge_seconds", help), &JUDGE_BUCKETS, &[])?;
    Ok(all.with_label_values::<&str>(&[]))
}

fn reached_around(registry: &Registry) -> prometheus::Result<IntGaugeVec> {
    let help = "1: the upstream answers whoever reaches it, `by` leaving out the credential or by this machine's own address.";
    gauge(
        registry,
        "toolgate_upstream_reached_around",
        help,
        &["server", "by"],
    )
}

fn remembered(registry: &Registry) -> prometheus::Result<IntCounter> {
    let help = "Denials that this replica knew from one of the last second, without asking the store.";
    let counts = counter(registry, "toolgate_store_remembered_total", help, &[])?;
    Ok(counts.with_label_values::<&str>(&[]))
}

impl Metrics {
    /// Fails only where a name is registered twice, which a test excludes.
    pub fn new(version: &str) -> prometheus::Result<Self> {
        let registry = Registry::new();
        let r = &registry;
        build_info(r, version)?;
        let upstream = (
            "toolgate_upstream_seconds",
            "Time from sending to the head of the answer.",
        );
        Ok(Self {
            decisions: counter(
                r,
                "toolgate_decisions_total",
                "Decisions by server, tool and outcome; in mode `shadow`, what rules in shadow would have refused.",
                &["server", "tool", "outcome", "mode"],
            )?,
            degraded: counter(
                r,
                "toolgate_degraded_total",
                "Calls that `on_store_error` judged without the store.",
                &["server", "tool"],
            )?,
            refunds: counter(
                r,
                "toolgate_refunds_total",
                "Refunds of calls that never reached the upstream.",
                &["server", "result"],
            )?,
            remembered: remembered(r)?,
            in_flight: gauge(
                r,
                "toolgate_in_flight",
                "Requests whose answer has not ended, open streams included.",
                &["server"],
            )?,
            open_streams: gauge(
                r,
                "toolgate_open_streams",
                "Event streams that are open.",
                &["server"],
            )?,
            reached_around: reached_around(r)?,
            open_connections: open_connections(r)?,
            limits: LimitMetrics::new(r)?,
            operations: Operations::new(r)?,
            pins: PinMetrics::new(r)?,
            approvals: ApprovalMetrics::new(r)?,
            audit: AuditMetrics::new(r)?,
            children: ChildMetrics::new(r)?,
            console: ConsoleMetrics::new(r)?,
            process: ProcessMetrics::new(r)?,
            reload: ReloadMetrics::new(r)?,
            spans: SpanMetrics::new(r)?,
            store: StoreMetrics::new(r)?,
            store_state: StoreState::new(r)?,
            upstream_seconds: histogram(r, upstream, &UPSTREAM_BUCKETS, &["server"])?,
            judge_seconds: judge_seconds(r)?,
            tools: ToolNames::default(),
            registry,
        })
    }

    /// The exposition in Prometheus' text format.
    pub fn text(&self) -> Vec<u8> {
        self.audit.look();
        self.process.read();
        let mut out = Vec::new();
        if let Err(error) = TextEncoder::new().encode(&self.registry.gather(), &mut out) {
            tracing::error!(%error, "metrics could not be encoded");
        }
        out
    }

    /// The same as plain values.
    pub fn series(&self) -> Vec<Series> {
        self.process.read();
        all(&self.registry)
    }

    pub(super) fn decision(&self, record: &DecisionRecord<'_>) {
        let tool = record.tool.map(|tool| self.tools.label(record.server, tool));
        let tool = tool.unwrap_or(NONE);
        let count = |outcome, mode| {
            self.decisions
                .with_label_values(&[record.server, tool, outcome, mode])
                .inc();
        };
        self.limits.decision(record);
        count(record.outcome, "enforce");
        record
            .shadow
            .iter()
            .for_each(|shadow| count(shadow.outcome, "shadow"));
        if record.degraded {
            self.degraded.with_label_values(&[record.server, tool]).inc();
        }
    }

    /// Starts the clock of one store operation.
    pub fn store(&self, operation: &'static str) -> StoreTimer<'_> {
        self.store.start(operation)
    }

    pub fn refund(&self, server: &str, result: &'static str) {
        self.refunds.with_label_values(&[server, result]).inc();
    }

    /// Counts a denial for which the store was not asked.
    pub fn remembered(&self) {
        self.remembered.inc();
    }

    pub fn upstream(&self, server: &str, seconds: f64) {
        self.upstream_seconds
            .with_label_values(&[server])
            .observe(seconds);
    }

    pub fn judged(&self, seconds: f64) {
        self.judge_seconds.observe(seconds);
    }

    /// The gauge of a server's requests in flight.
    pub fn in_flight(&self, server: &str) -> IntGauge {
        self.in_flight.with_label_values(&[server])
    }

    pub(super) const fn audit(&self) -> &AuditMetrics {
        &self.audit
    }

    /// The gauge of a server's open event streams.
    pub fn open_streams(&self, server: &str) -> IntGauge {
        self.open_streams.with_label_values(&[server])
    }

    /// Whether the upstream answered around the gate.
    pub fn reached_around(&self, server: &str, by: &'static str, answered: bool) {
        let gauge = self.reached_around.with_label_values(&[server, by]);
        gauge.set(i64::from(answered));
    }

    /// Shows a server's metrics from the start, so that their first increase is seen.
    pub fn serves(&self, server: &str) {
        self.in_flight(server).set(0);
        self.open_streams(server).set(0);
        for result in ["refunded", "stands"] {
            self.refunds.with_label_values(&[server, result]).inc_by(0);
        }
    }

    /// Of a server that is a command: its processes.
    pub fn children(&self, server: &str) -> Children {
        self.children.of(server)
    }

    pub const fn approvals(&self) -> &ApprovalMetrics {
        &self.approvals
    }

    pub const fn pins(&self) -> &PinMetrics {
        &self.pins
    }

    pub const fn console(&self) -> &ConsoleMetrics {
        &self.console
    }

    pub const fn reload(&self) -> &ReloadMetrics {
        &self.reload
    }

    pub const fn store_state(&self) -> &StoreState {
        &self.store_state
    }

    pub const fn spans(&self) -> &SpanMetrics {
        &self.spans
    }

    pub const fn open_connections(&self) -> &IntGauge {
        &self.open_connections
    }

    pub const fn tools(&self) -> &ToolNames {
        &self.tools
    }
}

#[cfg(test)]
mod tests {
    use super::Metrics;

    #[test]
    fn every_metric_registers_and_shows() {
        let metrics = Metrics::new("1.2.3").unwrap();
        metrics.in_flight("s").set(0);
        let text = String::from_utf8(metrics.text()).unwrap();
        assert!(
            text.contains("toolgate_build_info{version=\"1.2.3\"} 1"),
            "{text}"
        );
        assert!(text.contains("toolgate_in_flight{server=\"s\"} 0"), "{text}");
    }
}
