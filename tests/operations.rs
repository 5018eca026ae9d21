//! A gate in the hands of those who run it, started as they start it: reloads, figures, traces, starts and ends.
#![cfg(test)]

#[path = "support/mod.rs"]
mod support;

#[path = "operations/exposition.rs"]
mod exposition;
#[path = "operations/reload.rs"]
mod reload;
#[path = "operations/reload_settings.rs"]
mod reload_settings;
#[path = "operations/torn.rs"]
mod torn;
