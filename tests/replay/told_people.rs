//! Calls that people decide about: what they said then is what they are taken to say now.

use serde_json::{Value, json};
use toolgate::replay::Report;

use super::history::{policy, replay};
use super::told::{answer, entry, line, told};

const ASKS: &str = r#"{"action":"require_approval","limits":[{"counter":"c","window":"day","max":1}]}"#;
const ABOVE: &str = r#"{"approve_if":[{"conditions":[{"path":"args.amount","op":"gt","value":100}]}]}"#;

/// What is decided of several calls under the first policy.
fn all(fields: &[Value]) -> Report {
    let lines: Vec<String> = fields
        .iter()
        .zip(1..)
        .map(|(fields, second)| line(second, fields.clone()))
        .collect();
    replay(&policy(&entry(ASKS)), &lines)
}

fn counts(report: &Report) -> (u64, u64, u64, u64) {
    let totals = &report.totals;
    (
        totals.alike,
        totals.newly_denied,
        totals.newly_allowed,
        totals.refused_otherwise,
    )
}

#[test]
fn a_call_that_nobody_was_asked_about_would_wait_for_people() {
    let report = told(ASKS, json!({}));
    assert_eq!(answer(&report), "/tools/pay/action");
    assert_eq!(report.differences[0].now, "needs_approval");
}

#[test]
fn what_was_approved_then_passes_and_is_charged() {
    let approved = json!({"approval": "a1"});
    assert_eq!(counts(&all(std::slice::from_ref(&approved))), (1, 0, 0, 0));
    let report = all(&[approved.clone(), approved]);
    assert_eq!(counts(&report), (1, 1, 0, 0));
    assert_eq!(
        report.differences[0].now_rule.as_deref(),
        Some("/tools/pay/limits/c")
    );
}

#[test]
fn what_waited_or_was_refused_by_people_is_alike() {
    let waited =
        json!({"outcome": "needs_approval", "rule": "/tools/pay/action", "approval": "a1", "upstream": null});
    let refused =
        json!({"outcome": "denied", "rule": "/tools/pay/action", "approval": "a1", "upstream": null});
    assert_eq!(counts(&all(&[waited.clone(), waited, refused])), (3, 0, 0, 0));
}

#[test]
fn a_call_that_waits_charges_nothing_and_one_that_is_limited_is_put_before_nobody() {
    let approved = json!({"approval": "a1"});
    let waited =
        json!({"outcome": "needs_approval", "rule": "/tools/pay/action", "approval": "a2", "upstream": null});
    assert_eq!(counts(&all(&[waited.clone(), approved.clone()])), (2, 0, 0, 0));
    let report = all(&[approved, waited]);
    assert_eq!(counts(&report), (1, 0, 0, 1));
    assert_eq!(report.differences[0].now, "limited");
}

#[test]
fn without_the_rule_that_asked_a_call_that_waited_is_newly_allowed() {
    let fields =
        json!({"outcome": "needs_approval", "rule": "/tools/pay/action", "approval": "a1", "upstream": null});
    assert_eq!(counts(&told("{}", fields)), (0, 0, 1, 0));
}

#[test]
fn a_block_that_asks_is_told_where_its_values_are_on_record() {
    let with = |amount: Value| json!({"argument_keys": ["amount"], "recorded": {"args.amount": amount}});
    assert_eq!(answer(&told(ABOVE, with(json!(100)))), "allowed");
    assert_eq!(answer(&told(ABOVE, with(json!(101)))), "/tools/pay/approve_if/0");
    assert_eq!(
        answer(&told(ABOVE, json!({"argument_keys": ["amount"]}))),
        "? /tools/pay/approve_if/0"
    );
    assert_eq!(answer(&told(ABOVE, json!({}))), "allowed");
}
