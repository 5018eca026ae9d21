//! Prometheus metrics in a registry of their own. Labels come from closed sets only.

use std::time::Instant;

use prometheus::{
    Encoder, Histogram, HistogramOpts, HistogramVec, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
    TextEncoder,
};

use super::DecisionRecord;
use super::pins::PinMetrics;
use super::reload::ReloadMetrics;
use super::tools::{NONE, ToolNames};

/// Everything that `/metrics` shows.
pub struct Metrics {
    registry: Registry,
    decisions: IntCounterVec,
    degraded: IntCounterVec,
    store_seconds: HistogramVec,
    store_errors: IntCounterVec,
    refunds: IntCounterVec,
    upstream_seconds: HistogramVec,
    in_flight: IntGaugeVec,
    open_connections: IntGauge,
    judge_seconds: Histogram,
    pins: PinMetrics,
    reload: ReloadMetrics,
    tools: ToolNames,
}

const STORE_BUCKETS: [f64; 12] = [
    1e-4, 2.5e-4, 5e-4, 1e-3, 2.5e-3, 5e-3, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0,
];
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

fn histogram(
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

impl Metrics {
    /// Fails only where a name is registered twice, which a test excludes.
    pub fn new(version: &str) -> prometheus::Result<Self> {
        let registry = Registry::new();
        let r = &registry;
        build_info(r, version)?;
        let store = ("toolgate_store_seconds", "Time that the store took to answer.");
        let upstream = (
            "toolgate_upstream_seconds",
            "Time from sending to the head of the answer.",
        );
        let judge = (
            "toolgate_judge_seconds",
            "Time from a read body to forwarding, the store included.",
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
            store_errors: counter(
                r,
                "toolgate_store_errors_total",
                "Store operations that failed, by what went wrong.",
                &["operation", "error"],
            )?,
            refunds: counter(
                r,
                "toolgate_refunds_total",
                "Refunds of calls that never reached the upstream.",
                &["server", "result"],
            )?,
            in_flight: gauge(
                r,
                "toolgate_in_flight",
                "Requests whose answer has not ended, open streams included.",
                &["server"],
            )?,
            open_connections: gauge(
                r,
                "toolgate_open_connections",
                "Client connections that are open.",
                &[],
            )?
            .with_label_values::<&str>(&[]),
            pins: PinMetrics::new(r)?,
            reload: ReloadMetrics::new(r)?,
            store_seconds: histogram(r, store, &STORE_BUCKETS, &["operation"])?,
            upstream_seconds: histogram(r, upstream, &UPSTREAM_BUCKETS, &["server"])?,
            judge_seconds: histogram(r, judge, &JUDGE_BUCKETS, &[])?.with_label_values::<&str>(&[]),
            tools: ToolNames::default(),
            registry,
        })
    }

    /// The exposition in Prometheus' text format.
    pub fn text(&self) -> Vec<u8> {
        let mut out = Vec::new();
        if let Err(error) = TextEncoder::new().encode(&self.registry.gather(), &mut out) {
            tracing::error!(%error, "metrics could not be encoded");
        }
        out
    }

    pub(super) fn decision(&self, record: &DecisionRecord<'_>) {
        let tool = record.tool.map(|tool| self.tools.label(record.server, tool));
        let tool = tool.unwrap_or(NONE);
        let count = |outcome, mode| {
            self.decisions
                .with_label_values(&[record.server, tool, outcome, mode])
                .inc();
        };
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
        StoreTimer {
            metrics: self,
            operation,
            start: Instant::now(),
        }
    }

    pub fn refund(&self, server: &str, result: &'static str) {
        self.refunds.with_label_values(&[server, result]).inc();
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

    pub const fn pins(&self) -> &PinMetrics {
        &self.pins
    }

    pub const fn reload(&self) -> &ReloadMetrics {
        &self.reload
    }

    pub const fn open_connections(&self) -> &IntGauge {
        &self.open_connections
    }

    pub const fn tools(&self) -> &ToolNames {
        &self.tools
    }
}

/// Measures one store operation.
pub struct StoreTimer<'a> {
    metrics: &'a Metrics,
    operation: &'static str,
    start: Instant,
}

impl StoreTimer<'_> {
    /// `error` is the closed code of what went wrong, if anything.
    pub fn end(self, error: Option<&'static str>) {
        let seconds = self.start.elapsed().as_secs_f64();
        self.metrics
            .store_seconds
            .with_label_values(&[self.operation])
            .observe(seconds);
        if let Some(error) = error {
            self.metrics
                .store_errors
                .with_label_values(&[self.operation, error])
                .inc();
        }
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
