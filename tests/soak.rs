//! The gate under a long load: thousands of open event streams, clients that vanish, servers that stall, and calls all
//! the while. Memory stays flat, descriptors come back, and each call that a client counted stands in the decision
//! lines exactly once.
//!
//! `make soak MINUTES=30` runs the long form and writes `docs/soak.md`; `cargo test` runs 20 seconds of it.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "in a test and its helpers a failed unwrap is a failed test"
)]

#[path = "soak/book.rs"]
mod book;
#[path = "soak/calls.rs"]
mod calls;
#[path = "soak/page.rs"]
mod page;
#[path = "soak/run.rs"]
mod run;
#[path = "soak/server.rs"]
mod server;
#[path = "soak/streams.rs"]
mod streams;
mod support;
#[path = "soak/watch.rs"]
mod watch;

use std::time::Duration;

use run::{Plan, run};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_call_is_accounted_for_and_every_descriptor_comes_back() {
    let plan = Plan {
        streams: 200,
        load: Duration::from_secs(14),
        sample: Duration::from_millis(500),
        life: Duration::from_secs(6),
        pause: Duration::from_millis(100),
        patience: Duration::from_secs(6),
    };
    let seen = run(&plan).await;
    seen.books.assert_balanced();
    seen.assert_descriptors_came_back();
    // too short to call it flat: only what runs away shows here
    let (first, last) = seen.thirds();
    assert!(
        last < 2 * first,
        "memory went from {first} to {last} KB in {:?}",
        plan.load
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes MINUTES (30), and writes docs/soak.md: `make soak`"]
async fn soak() {
    let plan = Plan {
        streams: 2_000,
        load: Duration::from_secs(60 * minutes()),
        sample: Duration::from_secs(5),
        life: Duration::from_secs(120),
        pause: Duration::from_millis(200),
        // on a busy machine streams that say something every 2 s may be late
        patience: Duration::from_secs(45),
    };
    let seen = run(&plan).await;
    page::write(&plan, &seen);
    seen.books.assert_balanced();
    seen.assert_descriptors_came_back();
    seen.assert_memory_is_flat();
}

#[expect(
    clippy::disallowed_methods,
    reason = "how long a soak takes is for whoever starts it"
)]
fn minutes() -> u64 {
    let wanted = std::env::var("MINUTES").unwrap_or_else(|_| "30".to_owned());
    wanted
        .parse()
        .expect("MINUTES is a whole number of minutes, e.g. `make soak MINUTES=30`")
}
