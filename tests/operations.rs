//! A gate in the hands of those who run it, started as they start it: reloads, figures, traces, starts and ends.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "in a test and its helpers a failed unwrap is a failed test"
)]

mod support;

#[path = "operations/exposition.rs"]
mod exposition;
#[path = "operations/lifecycle.rs"]
mod lifecycle;
#[path = "operations/logs.rs"]
mod logs;
#[path = "operations/metrics.rs"]
mod metrics;
#[path = "operations/reload.rs"]
mod reload;
#[path = "operations/reload_settings.rs"]
mod reload_settings;
#[path = "operations/reload_streams.rs"]
mod reload_streams;
#[path = "operations/rolling.rs"]
mod rolling;
#[path = "operations/torn.rs"]
mod torn;
#[path = "operations/traces.rs"]
mod traces;
