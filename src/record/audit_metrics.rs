//! Metrics of the audit log, by sink.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use prometheus::{GaugeVec, IntCounterVec, IntGaugeVec, Opts, Registry};

use super::channel::Channel;
use super::lines::Lines;
use super::metrics::{counter, gauge};

/// What is written, dropped and waiting. Looked up when metrics are asked for.
pub struct AuditMetrics {
    lines: IntCounterVec,
    dropped: IntCounterVec,
    errors: IntCounterVec,
    folded: IntCounterVec,
    lag: GaugeVec,
    queue: IntGaugeVec,
    failing: IntGaugeVec,
    head: IntGaugeVec,
    head_hash: IntGaugeVec,
    watched: Mutex<Option<Lines>>,
}

impl AuditMetrics {
    pub(super) fn new(r: &Registry) -> prometheus::Result<Self> {
        let sink = &["sink"];
        let chain = &["sink", "boot"];
        let lag = "Seconds for which the oldest line that is not written yet waits.";
        let lag = GaugeVec::new(Opts::new("toolgate_audit_lag_seconds", lag), sink)?;
        r.register(Box::new(lag.clone()))?;
        Ok(Self {
            lines: counter(r, "toolgate_audit_lines_total", "Lines that were written.", sink)?,
            dropped: counter(
                r,
                "toolgate_audit_dropped_total",
                "Lines that found no room and are lost.",
                sink,
            )?,
            errors: counter(r, "toolgate_audit_errors_total", "Writes that failed.", sink)?,
            folded: counter(
                r,
                "toolgate_audit_folded_total",
                "Equal denials that are counted in another's line.",
                &[],
            )?,
            lag,
            queue: gauge(r, "toolgate_audit_queue_bytes", "Bytes of lines that wait.", sink)?,
            failing: gauge(
                r,
                "toolgate_audit_failing",
                "1 while lines cannot be written.",
                sink,
            )?,
            head: gauge(
                r,
                "toolgate_audit_head_sequence",
                "Number of the last line of this process's chain.",
                chain,
            )?,
            head_hash: gauge(
                r,
                "toolgate_audit_head_hash",
                "The first 48 bits of that line's hash, as a number.",
                chain,
            )?,
            watched: Mutex::default(),
        })
    }

    pub(super) fn watch(&self, lines: &Lines) {
        *self.watched.lock().unwrap_or_else(PoisonError::into_inner) = Some(lines.clone());
        self.look();
    }

    /// Ends the watch: the last handle on the lines lets their threads end.
    pub(super) fn forget(&self) {
        self.look();
        self.watched.lock().unwrap_or_else(PoisonError::into_inner).take();
    }

    /// Brings the metrics up to now.
    pub(super) fn look(&self) {
        // held on: two looks at once would count twice
        let watched = self.watched.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(lines) = &*watched else { return };
        for channel in lines.channels() {
            self.of(channel);
        }
        raise(&self.folded, &[], lines.folded());
    }

    fn of(&self, channel: &Channel) {
        let (boot, head) = channel.head();
        let (sink, chain) = (&[channel.name], &[channel.name, boot]);
        let count = |atomic: &AtomicU64| atomic.load(Ordering::Relaxed);
        raise(&self.lines, sink, count(&channel.written));
        raise(&self.dropped, sink, count(&channel.dropped));
        raise(&self.errors, sink, count(&channel.errors));
        let (bytes, lag) = channel.waits();
        self.lag.with_label_values(sink).set(lag.as_secs_f64());
        let set = |gauge: &IntGaugeVec, labels: &[&str], value: u64| {
            gauge
                .with_label_values(labels)
                .set(i64::try_from(value).unwrap_or(i64::MAX));
        };
        set(&self.queue, sink, u64::try_from(bytes).unwrap_or(u64::MAX));
        set(&self.failing, sink, u64::from(channel.failing()));
        set(&self.head, chain, head.sequence);
        let first = head.hash.iter().take(6);
        set(
            &self.head_hash,
            chain,
            first.fold(0, |number, byte| number << 8 | u64::from(*byte)),
        );
    }
}

/// Raises a counter to what was counted elsewhere.
fn raise(metric: &IntCounterVec, labels: &[&str], to: u64) {
    let metric = metric.with_label_values(labels);
    metric.inc_by(to.saturating_sub(metric.get()));
}
