//! The audit log of running gates: where it goes, what survives a crash or a full disk, and what its readers find.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "in a test and its helpers a failed unwrap is a failed test"
)]

mod support;

#[path = "audit/bench.rs"]
mod bench;
#[path = "audit/disk.rs"]
mod disk;
#[path = "audit/file.rs"]
mod file;
#[path = "audit/reading.rs"]
mod reading;
#[path = "audit/sinks.rs"]
mod sinks;
#[path = "audit/stream.rs"]
mod stream;
