//! A long log holds no more in memory than a short one.

use super::history::{START, policy};
use toolgate::replay::{Filter, Line, Replay, Report, Rulebook};

/// Calls, one every 40 ms; each of another session and with other names where `varied`.
fn long(calls: u64, varied: bool) -> Report {
    let text = r#"{"version":"1","default":"allow","all_tools":{"limits":[
        {"counter":"c","window":10,"max":5,"scope":"session"},{"counter":"d","window":10,"max":100}]}}"#;
    let mut replay = Replay::new(Rulebook::Everyone(policy(text)), Filter::default());
    for number in 0..calls {
        let at = jiff::Timestamp::from_millisecond(i64::try_from(START + number * 40).unwrap()).unwrap();
        let name = if varied { number } else { number % 7 };
        let line = format!(
            r#"{{"time":"{at:.3}","grant":"g{name}","server":"s","session":"{name}","method":"tools/call","tool":"t{name}","outcome":"denied","rule":"/r{name}"}}"#
        );
        replay.take(Line::read(line.as_bytes()).unwrap());
    }
    replay.end()
}

#[test]
fn lines_that_wait_counters_and_rows_are_bounded_whatever_the_log_holds() {
    let report = long(20_000, true);
    // ten minutes of lines wait; a counter of a session is kept for two of its windows, and they at most double
    assert!(report.held.lines <= 15_002, "{:?}", report.held);
    assert!(report.held.counters <= 4_000, "{:?}", report.held);
    assert_eq!(report.differences.len(), 1_000);
    assert_eq!(report.in_other_rows, 19_000);
    assert_eq!(
        (report.totals.decisions, report.totals.newly_allowed),
        (20_000, 20_000)
    );
}

#[test]
fn a_few_grants_hold_a_few_counters() {
    let report = long(5_000, false);
    assert!(report.held.counters <= 40, "{:?}", report.held);
}
