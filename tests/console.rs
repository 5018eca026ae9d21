//! The console: who is let in, what they see, what they may decide, and what they are told.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "in a test and its helpers a failed unwrap is a failed test"
)]

mod support;

#[path = "console/decide.rs"]
mod decide;
#[path = "console/entry.rs"]
mod entry;
#[path = "console/events.rs"]
mod events;
#[path = "console/gates.rs"]
mod gates;
#[path = "console/images.rs"]
mod images;
#[path = "console/page.rs"]
mod page;
#[path = "console/place.rs"]
mod place;
#[path = "console/read.rs"]
mod read;
#[path = "console/webhooks.rs"]
mod webhooks;
#[path = "console/whole.rs"]
mod whole;
