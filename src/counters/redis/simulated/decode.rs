//! What the client sent, read back: the other side of `wire`.

use redis::{Arg, Cmd};

use crate::counters::CallId;
use crate::counters::command::{Bound, Command, Fit, KeyCharge, Outcome, Reply, Span};

/// The words of a command.
pub(super) fn words(cmd: &Cmd) -> Vec<Vec<u8>> {
    cmd.args_iter()
        .map(|arg| match arg {
            Arg::Simple(word) => word.to_vec(),
            _ => panic!("a cursor"),
        })
        .collect()
}

/// KEYS and ARGV of an EVALSHA.
pub(super) fn keys_and_argv(words: &[Vec<u8>]) -> (Vec<String>, Vec<Vec<u8>>) {
    let count: usize = text(&words[2]).parse().unwrap();
    let keys = words[3..3 + count].iter().map(|key| text(key)).collect();
    (keys, words[3 + count..].to_vec())
}

pub(super) fn id(argv: &[Vec<u8>]) -> CallId {
    CallId(argv[0].as_slice().try_into().unwrap())
}

/// The command of `lua/admit.lua`.
pub(super) fn command(keys: &[String], argv: &[Vec<u8>]) -> Command {
    let call = &argv[1];
    let mut companions = keys[argv.len() - 3..].iter().cloned();
    let charges = argv[3..].iter().zip(keys).map(|(bytes, key)| {
        let (a, b) = (number(&bytes[16..22]), number(&bytes[22..28]));
        let span = match bytes[0] {
            1 => Span::Window { window: a },
            2 => Span::Calendar { start: a, end: b },
            _ => Span::Lease { ttl: a },
        };
        let bound = (bytes[1] >= 2).then(|| Bound {
            overflow: companions.next().unwrap(),
            index: companions.next().unwrap(),
            max_values: u32::try_from(number(&bytes[28..32])).unwrap(),
        });
        KeyCharge {
            key: key.clone(),
            span,
            weight: number(&bytes[2..9]),
            max: number(&bytes[9..16]),
            advisory: bytes[1] % 2 == 1,
            bound,
        }
    });
    Command {
        id: id(argv),
        deadline: number(&call[..6]),
        first_sent: number(&call[6..12]),
        peek: call[12] == 1,
        charges: charges.collect(),
    }
}

/// The integers of a reply.
pub(super) fn integers(reply: &Reply) -> Vec<i64> {
    let outcome = match reply.outcome {
        Outcome::Limited => 0,
        Outcome::Admitted => 1,
        Outcome::Already => 2,
        Outcome::InDoubt => 3,
        Outcome::Late => 4,
        Outcome::Stale => 5,
        Outcome::Unsupported => 6,
    };
    let mut integers = vec![outcome, int(reply.now)];
    for state in &reply.states {
        let wait = match state.fit {
            Fit::Now => 0,
            Fit::After(ms) => int(ms),
            Fit::Never => -1,
        };
        integers.extend([int(state.left), int(state.frees_ms), wait]);
    }
    if reply.outcome == Outcome::Already {
        integers.push(int(reply.charged));
    }
    integers.extend(reply.times.iter().map(|time| int(*time)));
    integers
}

fn int(number: u64) -> i64 {
    i64::try_from(number).unwrap()
}

fn number(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .fold(0, |number, byte| number << 8 | u64::from(*byte))
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}
