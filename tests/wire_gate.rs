//! The gate's behaviour on the wire: a real gate in this process, a scripted upstream, raw clients.
#![cfg(test)]
#![allow(
    clippy::string_slice,
    clippy::too_many_lines,
    reason = "texts here are ASCII, and a table of cases reads best in one piece"
)]

#[path = "support/redis.rs"]
mod redis_server;
#[allow(dead_code, reason = "shared with the tests of the network")]
mod wire;

#[path = "wire/answered.rs"]
mod answered;
#[path = "wire/approvals.rs"]
mod approvals;
#[path = "wire/approvals_held.rs"]
mod approvals_held;
#[path = "wire/approvals_pointed.rs"]
mod approvals_pointed;
#[path = "wire/approvals_shared.rs"]
mod approvals_shared;
#[path = "wire/at_once.rs"]
mod at_once;
#[path = "wire/at_once_leases.rs"]
mod at_once_leases;
#[path = "wire/bytes.rs"]
mod bytes;
#[path = "wire/changes.rs"]
mod changes;
#[path = "wire/charging.rs"]
mod charging;
#[path = "wire/degraded.rs"]
mod degraded;
#[path = "wire/ending.rs"]
mod ending;
#[path = "wire/framing.rs"]
mod framing;
#[path = "wire/front.rs"]
mod front;
#[path = "wire/http2.rs"]
mod http2;
#[path = "wire/legacy.rs"]
mod legacy;
#[path = "wire/lists.rs"]
mod lists;
#[path = "wire/misplaced.rs"]
mod misplaced;
#[path = "wire/pins.rs"]
mod pins;
#[path = "wire/records.rs"]
mod records;
#[path = "wire/replayed.rs"]
mod replayed;
#[path = "wire/robust.rs"]
mod robust;
#[path = "wire/sessions.rs"]
mod sessions;
#[path = "wire/store.rs"]
mod store;
#[path = "wire/tasks.rs"]
mod tasks;
#[path = "wire/trial.rs"]
mod trial;
#[path = "wire/turned_away.rs"]
mod turned_away;
#[path = "wire/upstreams.rs"]
mod upstreams;
#[path = "wire/ways_round.rs"]
mod ways_round;
