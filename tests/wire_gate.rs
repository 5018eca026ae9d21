//! The gate's behaviour on the wire: a real gate in this process, a scripted upstream, raw clients.
#![cfg(test)]

#[path = "support/redis.rs"]
#[expect(dead_code, reason = "shared with tests that use more of it")]
mod redis_server;
mod wire;

#[path = "wire/answered.rs"]
mod answered;
#[path = "wire/bytes.rs"]
mod bytes;
#[path = "wire/charging.rs"]
mod charging;
#[path = "wire/front.rs"]
mod front;
#[path = "wire/lists.rs"]
mod lists;
#[path = "wire/robust.rs"]
mod robust;
#[path = "wire/sessions.rs"]
mod sessions;
#[path = "wire/ways_round.rs"]
mod ways_round;
