//! A key's memory is bounded whatever `max` is, and idle keys vanish.
#![cfg(test)]

#[path = "support/redis.rs"]
mod redis_server;
#[path = "support/script.rs"]
mod script;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use redis_server::RedisServer;
use script::Rig;
use toolgate::counters::command::{Bound, Command, KeyCharge, Outcome, Span};
use toolgate::counters::{Admission, CallId, MemoryStore, Store, Verdict};
use toolgate::policy::{Charge, Limit, Scope, Subject, Window};

const START: u64 = 1_700_000_000_000;
const MINUTE: u64 = 60_000;

fn command(turn: u64, key: &str, max: u64, weight: u64) -> Command {
    let charge = KeyCharge {
        key: key.to_owned(),
        span: Span::Window { window: MINUTE },
        weight,
        max,
        advisory: false,
        bound: None,
    };
    Command {
        id: CallId(turn.to_be_bytes()),
        deadline: 0,
        first_sent: 0,
        peek: false,
        charges: vec![charge],
    }
}

/// Charges `max` units (at most 20 000) over one window; the key's largest size in bytes.
fn most(rig: &mut Rig, max: u64, weight: u64) -> u64 {
    // As long as a real key under the prefix `toolgate`.
    let key = format!("toolgate:1:{{{:032x}}}:{:022x}", weight, max);
    let charges = (max / weight).min(20_000);
    let mut most = 0;
    for turn in 0..charges {
        let reply = rig
            .admit(START + turn * MINUTE / charges, &command(turn, &key, max, weight))
            .unwrap();
        assert_eq!(reply.outcome, Outcome::Admitted);
        // Not a divisor of the rhythm of merging.
        if turn % 127 == 0 || charges - turn <= 130 {
            most = most.max(rig.memory(&key));
        }
    }
    most
}

#[test]
fn a_keys_memory_is_bounded_at_any_max() {
    let server = RedisServer::start();
    let mut rig = Rig::new(server.connection());
    assert!(most(&mut rig, 10, 1) <= 250);
    for (max, weight) in [(1_000, 1), (1_000_000, 1), (1_000_000, 3), (1 << 53, 1 << 38)] {
        let bytes = most(&mut rig, max, weight);
        assert!(bytes <= 4_096, "{bytes} bytes at max {max}");
    }
}

#[test]
fn every_key_that_is_written_expires_and_a_refund_leaves_that_alone() {
    let server = RedisServer::start();
    let store_keys = ["plain", "own", "overflow", "index"];
    let script = redis::Script::new(toolgate::counters::wire::ADMIT);
    let mut connection = server.connection();
    let mut send = |command: &Command| {
        let mut call = script.prepare_invoke();
        toolgate::counters::wire::keys(command)
            .into_iter()
            .for_each(|key| {
                call.key(key);
            });
        toolgate::counters::wire::argv(command, None)
            .into_iter()
            .for_each(|arg| {
                call.arg(arg);
            });
        let reply: Vec<i64> = call.invoke(&mut connection).unwrap();
        assert_eq!(reply[0], 1);
    };
    let bound = || {
        Some(Bound {
            overflow: "overflow".into(),
            index: "index".into(),
            max_values: 1,
        })
    };
    let mut own = command(2, "own", 5, 1);
    own.charges[0].bound = bound();
    let mut other = command(3, "other", 5, 1);
    other.charges[0].bound = bound();
    for command in [command(1, "plain", 5, 1), own, other] {
        send(&command);
    }
    let mut connection = server.connection();
    for key in store_keys {
        let ms: i64 = redis::cmd("PTTL").arg(key).query(&mut connection).unwrap();
        assert!((1..=2 * 60_001).contains(&ms), "{key} {ms}");
    }
    let refund = redis::Script::new(toolgate::counters::wire::REFUND);
    let refunded: (u64, u64) = refund
        .key("plain")
        .arg(&1_u64.to_be_bytes()[..])
        .invoke(&mut connection)
        .unwrap();
    assert_eq!(refunded.0, 1);
    let ms: i64 = redis::cmd("PTTL").arg("plain").query(&mut connection).unwrap();
    assert!(
        (30_000..=60_001).contains(&ms),
        "a refund keeps the key's expiry: {ms}"
    );
    let keys: u64 = redis::cmd("DBSIZE").query(&mut connection).unwrap();
    assert_eq!(keys, 4);
}

#[tokio::test]
async fn the_memory_store_forgets_keys_whose_windows_are_over() {
    let now = Arc::new(AtomicU64::new(START));
    let clock = Arc::clone(&now);
    let store = Store::Memory(MemoryStore::with_clock(move || clock.load(Ordering::SeqCst)));
    let window = Window::Sliding { ms: 1_000 };
    for turn in 0..20_000_u64 {
        now.fetch_add(1, Ordering::SeqCst);
        let (rule, counter) = ("/c".to_owned(), "c".to_owned());
        let limit = Limit {
            rule,
            counter,
            window,
            max: 1,
            scope: Scope::Grant,
            scale: 0,
            max_values: None,
            shadow: false,
            on_deny: None,
            on_store_error: toolgate::policy::OnStoreError::Deny,
        };
        let subject = Subject::Grant {
            grant: turn.to_string(),
        };
        let charges = vec![Charge {
            limit: Arc::new(limit),
            weight: 1,
            subject,
        }];
        let verdict = store
            .admit(&Admission {
                id: CallId(turn.to_be_bytes()),
                charges,
            })
            .await
            .unwrap();
        assert!(matches!(verdict, Verdict::Admitted { .. }));
    }
    let Store::Memory(memory) = &store else {
        unreachable!()
    };
    assert!(memory.keys() <= 3_100, "{} keys", memory.keys());
}
