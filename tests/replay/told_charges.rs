//! Which recorded calls are charged anew, and where that leaves limits open.

use serde_json::json;

use super::history::{policy, replay};
use super::told::{answer, entry, line, told};

#[test]
fn calls_that_were_never_charged_then_are_not_charged_now() {
    let one = r#"{"limits":[{"counter":"c","window":"minute","max":1}]}"#;
    let ended = |ended: &str, ms: f64, refunded: bool| json!({"outcome": "upstream_error", "upstream": {"status": null, "ms": ms, "ended": ended, "refunded": refunded}});
    let charged = json!([{"rule": "/r", "counter": "c", "weight": 1, "max": 1, "left": 0, "store_ms": 1_767_225_601_000_u64}]);
    let mut refunded = ended("unsent", 2.0, true);
    refunded["charges"] = charged.clone();
    let mut stands = ended("unsent", 2.0, false);
    stands["charges"] = charged;
    for (first, wanted) in [
        (ended("unsent", 0.0, false), (2, 0)),
        (ended("unsent", 2.0, false), (2, 0)),
        (refunded, (2, 0)),
        (stands, (1, 1)),
        (ended("broken", 2.0, false), (1, 1)),
        (
            json!({"upstream": {"status": null, "ms": 0.0, "ended": "aborted", "refunded": false}}),
            (2, 0),
        ),
        (
            json!({"upstream": {"status": null, "ms": 5.0, "ended": "aborted", "refunded": false}}),
            (1, 1),
        ),
    ] {
        let lines = [line(1, first.clone()), line(2, json!({}))];
        let report = replay(&policy(&entry(one)), &lines);
        assert_eq!(
            (report.totals.alike, report.totals.newly_denied),
            wanted,
            "{first}"
        );
    }
}

#[test]
fn a_call_that_was_refused_and_is_allowed_now_is_charged() {
    let one = r#"{"limits":[{"counter":"c","window":"minute","max":1}]}"#;
    let refused = json!({"outcome": "denied", "rule": "/tools/pay/action", "upstream": null});
    let report = replay(&policy(&entry(one)), &[line(1, refused), line(2, json!({}))]);
    assert_eq!((report.totals.newly_allowed, report.totals.newly_denied), (1, 1));
}

#[test]
fn without_the_store_s_answer_limits_cannot_be_told_and_everything_else_can() {
    let one = r#"{"limits":[{"counter":"c","window":"minute","max":1}]}"#;
    let down = json!({"outcome": "store_error", "rule": "/r", "upstream": null});
    let report = replay(&policy(&entry(one)), &[line(1, down.clone()), line(2, json!({}))]);
    assert_eq!(
        (report.totals.cannot_be_told, report.totals.alike),
        (1, 1),
        "{report:?}"
    );
    let report = replay(&policy(&entry("{}")), &[line(1, down.clone())]);
    assert_eq!(report.totals.newly_allowed, 1);
    let report = replay(&policy(&entry(one)), &[line(1, json!({"degraded": true}))]);
    assert_eq!(report.totals.cannot_be_told, 1);
}

#[test]
fn a_line_that_comes_too_late_leaves_its_limits_open_and_is_counted() {
    let one = r#"{"limits":[{"counter":"c","window":"minute","max":2}]}"#;
    let lines = [
        line(0, json!({})),
        line(3_000, json!({})),
        line(3_700, json!({})),
        line(2, json!({})),
    ];
    let report = replay(&policy(&entry(one)), &lines[..]);
    assert_eq!(
        (
            report.totals.late,
            report.totals.cannot_be_told,
            report.totals.alike
        ),
        (1, 1, 3),
        "{report:?}"
    );
}

#[test]
fn a_limit_on_calls_in_flight_is_told_where_the_call_was_admitted_under_one_as_strict() {
    let at_once = |max: u32| format!(r#"{{"concurrency":{{"counter":"jobs","max":{max}}}}}"#);
    let of = |rule: &str, max: u32| json!([{"rule": rule, "counter": "jobs", "weight": 1, "max": max, "left": 0, "store_ms": 1_767_225_601_000_u64}]);
    let admitted = json!({ "charges": of("/tools/pay/concurrency", 2) });
    assert_eq!(answer(&told(&at_once(2), admitted.clone())), "allowed");
    assert_eq!(answer(&told(&at_once(3), admitted.clone())), "allowed");
    let rule = "? /tools/pay/concurrency";
    assert_eq!(answer(&told(&at_once(1), admitted)), rule);
    let other = json!({ "charges": of("/tools/pay/limits/concurrency", 2) });
    assert_eq!(answer(&told(&at_once(2), other)), rule);
    assert_eq!(answer(&told(&at_once(1), json!({}))), rule);
    let limited = json!({ "charges": of("/tools/pay/concurrency", 2), "outcome": "limited", "rule": "/tools/pay/concurrency", "upstream": null });
    let report = told(&at_once(2), limited);
    assert_eq!(answer(&report), rule);
    assert!(
        report.cannot_be_told[0]
            .why
            .contains("calls in flight are not simulated")
    );
}
