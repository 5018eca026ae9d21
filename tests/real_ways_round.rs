//! The ways round a narrower reader, tried on real servers with a tool that leaves a trace: what ran or was seen when it
//! was sent directly, and that nothing of it did through toolgate. The tables in `docs/security.md` are what these tests
//! saw.
//!
//! `cargo test --test real_ways_round -- --ignored bless` writes the tables anew.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "in a test and its helpers a failed unwrap is a failed test"
)]

#[path = "ways_round/columns.rs"]
mod columns;
#[path = "ways_round/lines.rs"]
mod lines;
#[path = "ways_round/page.rs"]
mod page;
#[path = "ways_round/post.rs"]
mod post;
#[path = "ways_round/sse.rs"]
mod sse;
#[path = "ways_round/steps.rs"]
mod steps;
mod support;
#[path = "ways_round/table.rs"]
mod table;
#[path = "ways_round/ways.rs"]
mod ways;

use page::{Page, Transport};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_gets_round_over_streamable_http() {
    let page = Page::read();
    page.compare(Transport::Http, &table::http(&page).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_gets_round_over_the_transport_of_2024_11_05() {
    let page = Page::read();
    page.compare(Transport::Sse, &table::sse(&page).await);
}

#[tokio::test]
async fn nothing_gets_round_over_stdio() {
    let page = Page::read();
    page.compare(Transport::Stdio, &lines::table().await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "writes the tables anew"]
async fn bless() {
    let mut page = Page::unknown();
    page.put(Transport::Http, &table::http(&page).await);
    page.write();
    page.put(Transport::Sse, &table::sse(&page).await);
    page.write();
    page.put(Transport::Stdio, &lines::table().await);
    page.write();
}
