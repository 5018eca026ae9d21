//! How the store answers.

use std::time::Instant;

use prometheus::{HistogramVec, IntCounterVec, Registry};

use super::metrics::{counter, histogram};

const BUCKETS: [f64; 12] = [
    1e-4, 2.5e-4, 5e-4, 1e-3, 2.5e-3, 5e-3, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0,
];

/// Time and errors of store operations.
pub(super) struct StoreMetrics {
    seconds: HistogramVec,
    errors: IntCounterVec,
}

impl StoreMetrics {
    pub(super) fn new(registry: &Registry) -> prometheus::Result<Self> {
        let seconds = ("toolgate_store_seconds", "Time that the store took to answer.");
        let errors = "Store operations that failed, by what went wrong.";
        Ok(Self {
            seconds: histogram(registry, seconds, &BUCKETS, &["operation"])?,
            errors: counter(
                registry,
                "toolgate_store_errors_total",
                errors,
                &["operation", "error"],
            )?,
        })
    }

    pub(super) fn start(&self, operation: &'static str) -> StoreTimer<'_> {
        StoreTimer {
            metrics: self,
            operation,
            start: Instant::now(),
        }
    }
}

/// Measures one store operation.
pub struct StoreTimer<'a> {
    metrics: &'a StoreMetrics,
    operation: &'static str,
    start: Instant,
}

impl StoreTimer<'_> {
    /// `error` is the closed code of what went wrong, if anything.
    pub fn end(self, error: Option<&'static str>) {
        let seconds = self.start.elapsed().as_secs_f64();
        let StoreMetrics {
            seconds: measured,
            errors,
        } = self.metrics;
        measured.with_label_values(&[self.operation]).observe(seconds);
        if let Some(error) = error {
            errors.with_label_values(&[self.operation, error]).inc();
        }
    }
}
