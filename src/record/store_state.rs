//! Metrics of the store's state. They exist from the start.

use prometheus::{IntCounterVec, IntGauge, IntGaugeVec, Registry};

use super::metrics::{counter, gauge};

/// How the store stands, as this process sees it.
pub struct StoreState {
    breaker: IntGauge,
    failovers: IntCounterVec,
    quarantine: IntGauge,
    warnings: IntGaugeVec,
    owed: IntGauge,
}

impl StoreState {
    pub(super) fn new(registry: &Registry) -> prometheus::Result<Self> {
        let breaker =
            "Nodes of the store that calls do not wait for, since they did not answer; 0: all are asked.";
        let failovers = "How often another server was found in the place of one that had been charged.";
        let quarantine = "1: limits deny because a server that took over may lack charges.";
        let warnings =
            "1: the store is set up in a way that may break limits; each is explained in docs/redis.md.";
        let owed = "Calls that this process admitted by its own share and has not told the store yet.";
        let one = |name, help| -> prometheus::Result<IntGauge> {
            Ok(gauge(registry, name, help, &[])?.with_label_values::<&str>(&[]))
        };
        let failovers = counter(registry, "toolgate_store_failovers_total", failovers, &[])?;
        failovers.with_label_values::<&str>(&[]).inc_by(0);
        Ok(Self {
            breaker: one("toolgate_store_breaker", breaker)?,
            failovers,
            quarantine: one("toolgate_store_quarantine", quarantine)?,
            warnings: gauge(registry, "toolgate_store_warnings", warnings, &["warning"])?,
            owed: one("toolgate_store_owed_calls", owed)?,
        })
    }

    /// Nodes that are not asked, fail-overs so far, and whether keys deny because of one.
    pub fn stands(&self, not_asked: usize, failovers: u64, quarantined: bool) {
        self.breaker.set(i64::try_from(not_asked).unwrap_or(i64::MAX));
        let counted = self.failovers.with_label_values::<&str>(&[]);
        counted.inc_by(failovers.saturating_sub(counted.get()));
        self.quarantine.set(i64::from(quarantined));
    }

    /// Whether a warning of a closed set holds.
    pub fn warns(&self, warning: &'static str, holds: bool) {
        self.warnings.with_label_values(&[warning]).set(i64::from(holds));
    }

    /// Calls admitted without the store that it has not been told yet.
    pub fn owes(&self, calls: usize) {
        self.owed.set(i64::try_from(calls).unwrap_or(i64::MAX));
    }
}
