//! `toolgate wrap` around a server that behaves as the test wants: what is judged, what passes, how it ends.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "in a test and its helpers a failed unwrap is a failed test"
)]

mod support;

#[path = "wrap/approvals.rs"]
mod approvals;
#[path = "wrap/at_once.rs"]
mod at_once;
#[path = "wrap/changes.rs"]
mod changes;
#[path = "wrap/counters.rs"]
mod counters;
#[path = "wrap/ends.rs"]
mod ends;
#[path = "wrap/judged.rs"]
mod judged;
#[path = "wrap/lines.rs"]
mod lines;
#[path = "wrap/resumed.rs"]
mod resumed;
#[path = "wrap/starts.rs"]
mod starts;

use serde_json::{Value, json};
use support::gate::limited;

/// Two `start_run` an hour, `secret-*` hidden, `files/write` denied, the rest allowed.
fn policy() -> Value {
    let mut policy = limited("start_run", 2, json!("hour"));
    policy["hide"] = json!(["secret-*"]);
    policy["tools"]["files/write"] = json!({ "action": "deny", "reason": "read only" });
    policy
}
