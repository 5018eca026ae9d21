//! The counters of an old policy, the names that they get, and the bounds that conditions set them.

use std::collections::{BTreeMap, BTreeSet};

use super::Faults;
use super::read::{ALL, Kind, Old};
use crate::document::quoted;

/// A counter of the old policy: the tool that it belongs to, and its name.
pub(super) type Key<'n> = (&'n str, &'n str);

/// What charges a counter.
pub(super) struct Counter<'n> {
    pub(super) name: String,
    pub(super) window: &'n str,
    pub(super) weight: u64,
    pub(super) from: Option<String>,
}

/// Every counter, under a name that no other has: tool `a` with counter `b.c` is not tool `a.b` with counter `c`.
pub(super) fn counters<'n>(old: &'n Old<'n>, faults: &mut Faults<'_>) -> BTreeMap<Key<'n>, Counter<'n>> {
    let mut counters = BTreeMap::new();
    let mut taken = BTreeSet::new();
    for tool in &old.tools {
        for rule in &tool.rules {
            let (key, window, weight, from) = match &rule.kind {
                Kind::Rate(_, window) => ((tool.name, rate_counter(window)), *window, 1, None),
                Kind::Evaluate(_, Some(state)) => {
                    let from = state.from.map(path);
                    ((tool.name, state.counter), state.window, state.increment, from)
                }
                Kind::Deny | Kind::Evaluate(_, None) => continue,
            };
            if counters.contains_key(&key) {
                if matches!(rule.kind, Kind::Evaluate(..)) {
                    let message = format!("two rules of this tool count under {}", quoted(key.1));
                    faults.add(rule.place, message);
                }
                continue;
            }
            let owner = if tool.name == ALL { "all" } else { tool.name };
            let plain = |c: char| {
                if c.is_whitespace() || c.is_control() || c == '`' {
                    '_'
                } else {
                    c
                }
            };
            let base: String = format!("{owner}:{}", key.1).chars().map(plain).collect();
            let mut name = base.clone();
            let mut number: u32 = 2;
            while !taken.insert(name.clone()) {
                name = format!("{base}~{number}");
                number = number.saturating_add(1);
            }
            counters.insert(
                key,
                Counter {
                    name,
                    window,
                    weight,
                    from,
                },
            );
        }
    }
    counters
}

/// The other proxy's own name for the counter of a `rate_limit`.
pub(super) fn rate_counter(window: &str) -> &'static str {
    match window {
        "minute" => "_rate_minute",
        "hour" => "_rate_hour",
        _ => "_rate_day",
    }
}

/// `args.a.b` there: keys between dots, whatever they hold.
pub(super) fn path(text: &str) -> String {
    let odd =
        |c: char| c.is_whitespace() || c.is_control() || matches!(c, '"' | '[' | ']' | '*' | '`' | '\\');
    let steps = text.strip_prefix("args.").unwrap_or(text).split('.');
    let step = |key: &str| {
        if key.is_empty() || key.contains(odd) {
            format!("[{}]", serde_json::Value::from(key))
        } else {
            format!(".{key}")
        }
    };
    format!("args{}", steps.map(step).collect::<String>())
}

/// The largest whole number that is below `number`, or equal to it where `or_equal`. `None` below zero.
pub(super) fn whole_below(number: &str, or_equal: bool) -> Option<u64> {
    if let Ok(whole) = number.parse::<u64>() {
        return if or_equal {
            Some(whole)
        } else {
            whole.checked_sub(1)
        };
    }
    let (mantissa, exponent) = number.split_once(['e', 'E']).unwrap_or((number, "0"));
    let exponent: i32 = exponent.parse().ok()?;
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    if whole.starts_with('-') {
        return None;
    }
    // All digits, with the decimal point moved by the exponent.
    let digits = format!("{whole}{fraction}");
    let point = i64::try_from(whole.len())
        .ok()?
        .saturating_add(i64::from(exponent));
    let split = usize::try_from(point.clamp(0, 40)).ok()?;
    let padded = format!("{digits:0<split$}");
    let (before, after) = padded.split_at_checked(split)?;
    let before = before.trim_start_matches('0');
    let floor = match before.parse::<u64>() {
        Ok(floor) => floor,
        Err(_) if before.is_empty() => 0,
        Err(_) => u64::MAX,
    };
    let exact = after.bytes().all(|digit| digit == b'0');
    if exact && !or_equal {
        floor.checked_sub(1)
    } else {
        Some(floor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bound_becomes_the_largest_whole_number_that_it_admits() {
        for (number, lt, lte) in [
            ("5", Some(4), Some(5)),
            ("2.5", Some(2), Some(2)),
            ("2.0", Some(1), Some(2)),
            ("1e3", Some(999), Some(1000)),
            ("1.5e1", Some(14), Some(15)),
            ("0.5", Some(0), Some(0)),
            ("5e-1", Some(0), Some(0)),
            ("0", None, Some(0)),
            ("-1", None, None),
            ("1e30", Some(u64::MAX - 1), Some(u64::MAX)),
        ] {
            assert_eq!(whole_below(number, false), lt, "lt {number}");
            assert_eq!(whole_below(number, true), lte, "lte {number}");
        }
    }

    #[test]
    fn what_stands_between_dots_is_a_key() {
        assert_eq!(path("args.a.b"), "args.a.b");
        assert_eq!(path("args.list[0].x y"), "args[\"list[0]\"][\"x y\"]");
        assert_eq!(path("args..a"), "args[\"\"].a");
    }
}
