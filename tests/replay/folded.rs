//! Lines that stand for several equal denials.

use serde_json::{Value, json};
use toolgate::replay::{Line, Report};

use super::history::{policy, replay};
use super::told::{entry, line};

/// Forty denials within 39 ms, and a limit that a call of its own meets two minutes later.
fn folded(more: Value) -> Vec<String> {
    let mut fields = json!({
        "outcome": "denied", "rule": "/tools/pay/action", "upstream": null,
        "count": 40, "first": "2026-01-01T00:00:01.000Z", "last": "2026-01-01T00:00:01.039Z",
    });
    for (key, value) in more.as_object().unwrap() {
        fields[key] = value.clone();
    }
    vec![line(1, fields), line(121, json!({}))]
}

fn under(policy_entry: &str, lines: &[String]) -> Report {
    replay(&policy(&entry(policy_entry)), lines)
}

#[test]
fn each_of_them_is_a_decision() {
    let report = under(r#"{"action":"deny"}"#, &folded(json!({})));
    let totals = &report.totals;
    assert_eq!((totals.lines, totals.decisions), (2, 41));
    assert_eq!((totals.alike, totals.newly_denied), (40, 1), "{report:?}");
}

#[test]
fn each_of_them_is_charged_where_it_would_be_allowed_now() {
    let limit = r#"{"limits":[{"counter":"c","window":"minute","max":10}]}"#;
    let report = under(limit, &folded(json!({})));
    let totals = &report.totals;
    assert_eq!(
        (totals.newly_allowed, totals.refused_otherwise),
        (10, 30),
        "{report:?}"
    );
    assert_eq!(totals.alike, 1, "the window is over by then");
    // spread over the time between the first and the last: a shorter window takes more of them
    let limit = r#"{"limits":[{"counter":"c","window":"second","max":1}]}"#;
    let slow = json!({ "last": "2026-01-01T00:00:04.900Z" });
    let report = under(limit, &folded(slow));
    assert_eq!(report.totals.newly_allowed, 4, "{report:?}");
}

#[test]
fn of_calls_that_differ_nothing_is_told() {
    let report = under(r#"{"action":"deny"}"#, &folded(json!({ "mixed": true })));
    assert_eq!(report.totals.cannot_be_told, 40);
    assert_eq!(report.cannot_be_told[0].rule, "(folded)");
}

#[test]
fn a_count_that_no_gate_writes_is_malformed() {
    for count in [
        json!(0),
        json!(1_000_001),
        json!(-1),
        json!(u64::MAX),
        json!("40"),
    ] {
        let lines = folded(json!({ "count": count }));
        assert!(Line::read(lines[0].as_bytes()).is_err(), "{count}");
    }
}
