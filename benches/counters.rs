//! Microseconds of Redis time per admission and denial, and bytes per key: `cargo bench --bench counters`.
//!
//! Starts a `redis-server` of its own. Times are `usec_per_call` of EVALSHA from `INFO commandstats`, so
//! neither the network nor this program is in them. Needs `taskset` for nothing; pin it for quiet figures.
//! With the argument `store` (`make bench-store`) also decisions per second, also of a cluster, and all of it is
//! written to docs/performance-store.md.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::indexing_slicing,
    reason = "a measuring program: what fails must stop it, and its table goes to stdout"
)]

#[path = "counters/load.rs"]
mod load;
#[path = "counters/page.rs"]
mod page;
#[path = "../tests/support/redis_cluster.rs"]
mod redis_cluster;
#[path = "../tests/support/redis.rs"]
mod redis_server;

use std::fmt::Write as _;

use redis::{Connection, Script};
use redis_server::RedisServer;
use toolgate::counters::CallId;
use toolgate::counters::command::{Bound, Command, Held, KeyCharge, Span};
use toolgate::counters::wire;

/// Calls measured for one figure, and rounds of which the median is shown.
const CALLS: u64 = 20_000;
const ROUNDS: usize = 5;
const MINUTE: u64 = 60_000;

fn main() {
    let tables = tables();
    println!("{tables}");
    if std::env::args().any(|argument| argument == "store") {
        page::write(&tables);
    }
}

fn tables() -> String {
    let server = RedisServer::start();
    let mut connection = server.connection();
    let mut text = String::from("| Redis time per call | µs |\n| --- | --- |\n");
    let mut row = |what: &str, figure: &str| writeln!(text, "| {what} | {figure} |").unwrap();
    row(
        "a script that does nothing",
        &format!("{:.1}", noop(&mut connection)),
    );
    for keys in [1, 3, 8] {
        // on keys of their own, which the rows before have not filled
        let of = |turn| command(turn, keys, 10, (keys << 32) + turn / 5, false);
        let admitted = median(&mut connection, &of);
        let what = format!("admission, {keys} limit(s), at most 10 entries");
        row(&what, &format!("{admitted:.1}"));
    }
    for keys in [1, 3, 8] {
        let denied = median(&mut connection, &|turn| {
            command(turn, keys, 10, 1_u64 << 60, false)
        });
        row(&format!("denial, {keys} limit(s)"), &format!("{denied:.1}"));
    }
    for (keys, admitted) in grow(&mut connection) {
        let what = format!("admission, 1 limit, {keys} keys in the store");
        row(&what, &format!("{admitted:.1}"));
    }
    for max in [1_000, 1_000_000] {
        let many = median(&mut connection, &|turn| {
            command(turn, 1, max, (1 << 61) + max + turn / max, false)
        });
        row(&format!("admission, 1 limit, max {max}"), &format!("{many:.1}"));
    }
    let bounded = median(&mut connection, &|turn| {
        command(turn, 1, 10, (1 << 40) + turn / 5, true)
    });
    row("admission, 1 session limit", &format!("{bounded:.1}"));
    for held in [2, 100, 1_000] {
        let (admit, renew, release) = leases(&mut connection, held);
        let what = format!("a lease beside {} others: taken, renewed, given back", held - 1);
        row(&what, &format!("{admit:.1}, {renew:.1}, {release:.1}"));
    }
    text += "\n| bytes per key | at the end of a full window | at most on the way |\n| --- | --- | --- |\n";
    for max in [10, 1_000, 1_000_000] {
        let (fresh, worst) = bytes(&mut connection, max);
        writeln!(text, "| max {max} | {fresh} | {worst} |").unwrap();
    }
    text
}

/// Microseconds of an admission with few and with many keys in the store, and how many those were.
fn grow(connection: &mut Connection) -> Vec<(u64, f64)> {
    let size = |connection: &mut Connection| -> u64 { redis::cmd("DBSIZE").query(connection).unwrap() };
    let script = Script::new(wire::ADMIT);
    let grown = [0_u64, 300_000].map(|more| {
        (0..more).for_each(|turn| {
            send(
                connection,
                &script,
                &command(turn, 1, 10, (1 << 50) + turn, false),
            )
        });
        let admitted = median(connection, &|turn| {
            command(turn, 1, 10, (1 << 49) + more + turn / 5, false)
        });
        (size(connection), admitted)
    });
    grown.into()
}

/// Microseconds to take, renew and give back a lease on a key that then holds `held` of them.
fn leases(connection: &mut Connection, held: u64) -> (f64, f64, f64) {
    let scripts = [wire::ADMIT, wire::RENEW, wire::REFUND].map(Script::new);
    let one = |turn: u64| {
        let mut command = command(turn, 1, 1_000, (1 << 59) + held, false);
        command.charges[0].span = Span::Lease { ttl: 600_000 };
        command
    };
    (1..held).for_each(|turn| send(connection, &scripts[0], &one(turn)));
    let mut times = [Vec::new(), Vec::new(), Vec::new()];
    for turn in 0..300_u64 {
        let command = one((1 << 40) + turn);
        let lease = Held {
            key: command.charges[0].key.clone(),
            bound: None,
            ttl: 600_000,
        };
        reset(connection);
        send(connection, &scripts[0], &command);
        times[0].push(usec_per_call(connection));
        let mut renew = scripts[1].prepare_invoke();
        renew.key(&lease.key);
        wire::renew_argv(command.id, std::slice::from_ref(&lease), None)
            .into_iter()
            .for_each(|arg| {
                renew.arg(arg);
            });
        reset(connection);
        let _: Vec<i64> = renew.invoke(connection).unwrap();
        times[1].push(usec_per_call(connection));
        reset(connection);
        let _: Vec<i64> = scripts[2]
            .key(&lease.key)
            .arg(&command.id.0[..])
            .invoke(connection)
            .unwrap();
        times[2].push(usec_per_call(connection));
    }
    let middle = |times: &mut Vec<f64>| {
        times.sort_by(f64::total_cmp);
        times[times.len() / 2]
    };
    let [admit, renew, release] = &mut times;
    (middle(admit), middle(renew), middle(release))
}

/// A command like the proxy's, on keys as long as real ones. `spread` picks the keys.
fn command(turn: u64, keys: u64, max: u64, spread: u64, bounded: bool) -> Command {
    let name = |key: u64| format!("toolgate:1:{{{spread:032x}}}:{key:_>22}");
    let charges = (0..keys).map(|key| KeyCharge {
        key: name(key),
        span: Span::Window { window: MINUTE },
        weight: 1,
        max,
        advisory: false,
        bound: bounded.then(|| Bound {
            overflow: name(100),
            index: name(101),
            max_values: 1_000,
        }),
    });
    let id = CallId((turn + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes());
    Command {
        id,
        deadline: (1 << 48) - 1,
        first_sent: 0,
        peek: false,
        charges: charges.collect(),
    }
}

fn noop(connection: &mut Connection) -> f64 {
    let script = Script::new("#!lua\nreturn 1");
    let _: i64 = script.invoke(connection).unwrap();
    reset(connection);
    for _ in 0..CALLS {
        let _: i64 = script.invoke(connection).unwrap();
    }
    usec_per_call(connection)
}

fn median(connection: &mut Connection, of: &dyn Fn(u64) -> Command) -> f64 {
    let script = Script::new(wire::ADMIT);
    let mut rounds: Vec<f64> = (0..ROUNDS as u64)
        .map(|round| {
            send(connection, &script, &of(round * CALLS));
            reset(connection);
            (0..CALLS).for_each(|turn| send(connection, &script, &of(round * CALLS + turn)));
            usec_per_call(connection)
        })
        .collect();
    rounds.sort_by(f64::total_cmp);
    rounds[ROUNDS / 2]
}

fn send(connection: &mut Connection, script: &Script, command: &Command) {
    let mut call = script.prepare_invoke();
    wire::keys(command).into_iter().for_each(|key| {
        call.key(key);
    });
    wire::argv(command, None).into_iter().for_each(|arg| {
        call.arg(arg);
    });
    let _: Vec<i64> = call.invoke(connection).unwrap();
}

fn reset(connection: &mut Connection) {
    redis::cmd("CONFIG").arg("RESETSTAT").exec(connection).unwrap();
}

fn usec_per_call(connection: &mut Connection) -> f64 {
    let info: String = redis::cmd("INFO").arg("commandstats").query(connection).unwrap();
    let line = info
        .lines()
        .find(|line| line.starts_with("cmdstat_evalsha:"))
        .unwrap();
    line.split(',')
        .find_map(|field| field.strip_prefix("usec_per_call="))
        .unwrap()
        .parse()
        .unwrap()
}

/// `MEMORY USAGE` with `max` charges (at most 100 000) at even steps over one window: at its largest, and
/// at the end.
fn bytes(connection: &mut Connection, max: u64) -> (u64, u64) {
    let script = Script::new(wire::ADMIT);
    let charges = max.min(100_000);
    let mut key = String::new();
    let (mut most, mut last) = (0, 0);
    for turn in 0..charges {
        let command = command(turn, 1, max, (1 << 62) + max, false);
        let mut call = script.prepare_invoke();
        call.key(wire::keys(&command)[0]);
        let now = 1_700_000_000_000 + turn * MINUTE / charges;
        wire::argv(&command, Some(now)).into_iter().for_each(|arg| {
            call.arg(arg);
        });
        let _: Vec<i64> = call.invoke(connection).unwrap();
        key.clone_from(&command.charges[0].key);
        if turn % (charges / 500).max(1) == 0 || turn + 1 == charges {
            last = usage(connection, &key);
            most = most.max(last);
        }
    }
    (last, most)
}

fn usage(connection: &mut Connection, key: &str) -> u64 {
    redis::cmd("MEMORY")
        .arg("USAGE")
        .arg(key)
        .query(connection)
        .unwrap()
}
