//! Spend caps, and limits that count by what the arguments hold.

use std::collections::BTreeSet;

use toolgate::counters::keys::{SlotGroup, names};
use toolgate::policy::{Charge, Outcome, Plan, Subject, load};

use super::asked::{ask, passes, problems, refused, tool, whole};

const CAP: &str = r#"{"limits": [{"counter": "spend", "window": "day", "max": 100, "increment_from": "args.amount", "scale": 2}]}"#;

fn charges(entry: &str, arguments: &str) -> Vec<Charge> {
    match ask(&tool(entry), arguments) {
        Plan::Admit(charges) => charges,
        other => panic!("{arguments}: {other:?}"),
    }
}

#[test]
fn an_amount_is_charged_exactly_as_it_is_written() {
    for (amount, units) in [
        ("0.99", 99),
        ("1", 100),
        ("1.50", 150),
        ("1e1", 1000),
        ("100", 10_000),
        ("0.01", 1),
        ("99.99", 9_999),
    ] {
        let charges = charges(CAP, &format!(r#"{{"amount": {amount}}}"#));
        assert_eq!(charges.len(), 1, "{amount}");
        assert_eq!(
            (charges[0].weight, charges[0].limit.max, charges[0].limit.scale),
            (units, 10_000, 2),
            "{amount}"
        );
    }
}

#[test]
fn an_amount_that_cannot_be_charged_refuses_the_call() {
    for (arguments, part) in [
        (r#"{"amount": -1}"#, "is negative"),
        (r#"{"amount": -0.01}"#, "is negative"),
        (r#"{"amount": -1e300}"#, "is negative"),
        (r#"{"amount": 0.999}"#, "more than 2 decimal places"),
        (r#"{"amount": 0.10000000000000000001}"#, "more digits"),
        (r#"{"amount": 9007199254740993}"#, "more digits"),
        (r#"{"amount": "5"}"#, "is not a number"),
        (r#"{"amount": [5]}"#, "is not a number"),
        (r#"{"amount": null}"#, "is not a number"),
        (r#"{"Amount": 5}"#, "in case only"),
        ("{}", "is missing"),
        ("[]", "cannot be read"),
    ] {
        let denial = refused(&tool(CAP), arguments);
        assert_eq!(
            (denial.outcome, denial.rule.as_str()),
            (Outcome::Denied, "/tools/t/limits/spend"),
            "{arguments}"
        );
        assert!(denial.message.contains(part), "{arguments}: {}", denial.message);
    }
}

#[test]
fn an_amount_above_the_cap_is_refused_before_the_store_and_never_told() {
    for amount in ["100.01", "777123", "1e15", "1e300"] {
        let denial = refused(&tool(CAP), &format!(r#"{{"amount": {amount}}}"#));
        assert_eq!(
            (denial.outcome, denial.retry_after_ms),
            (Outcome::Limited, None),
            "{amount}"
        );
        assert_eq!(
            denial.message,
            "[POLICY DENIED] t: this call alone counts more than the 100 units per day for this grant. The call was not executed."
        );
    }
}

#[test]
fn nothing_is_written_for_an_amount_of_zero_and_other_limits_still_count() {
    let entry = r#"{"limits": [{"counter": "spend", "window": "day", "max": 100, "increment_from": "args.amount"},
                               {"counter": "calls", "window": "day", "max": 5}]}"#;
    for zero in ["0", "-0", "0.00", "0e5"] {
        let charges = charges(entry, &format!(r#"{{"amount": {zero}}}"#));
        assert_eq!(
            charges
                .iter()
                .map(|charge| charge.limit.counter.as_str())
                .collect::<Vec<_>>(),
            ["calls"],
            "{zero}"
        );
    }
    assert_eq!(charges(entry, r#"{"amount": 7}"#).len(), 2);
    assert!(!passes(&tool(entry), r#"{"amount": 0.5}"#));
}

#[test]
fn a_weight_counts_in_units_of_max_whatever_the_scale() {
    let entry = r#"{"limits": [{"counter": "c", "window": "day", "max": 10, "weight": 3, "scale": 2}]}"#;
    let charges = charges(entry, "{}");
    assert_eq!((charges[0].weight, charges[0].limit.max), (300, 1_000));
}

fn key(entry: &str, arguments: &str) -> String {
    names("p", &charges(entry, arguments)[0]).key
}

#[test]
fn each_value_of_an_argument_has_a_count_of_its_own_within_the_grant() {
    let entry = r#"{"limits": [{"counter": "refunds", "window": "day", "max": 2, "scope": "arg:customer.id", "max_values": 7}]}"#;
    let of = |id: &str| key(entry, &format!(r#"{{"customer": {{"id": {id}}}}}"#));
    for same in ["1e2", "100.0", "\"100\"", "\"\\u0031\\u0030\\u0030\""] {
        assert_eq!(of(same), of("100"), "{same}");
    }
    let keys: BTreeSet<String> = ["100", "101", "\"a\"", "\"A\"", "true", "false", "\"\""]
        .map(of)
        .into();
    assert_eq!(keys.len(), 7);
    let charge = &charges(entry, r#"{"customer": {"id": "secret-7"}}"#)[0];
    assert_eq!(charge.limit.max_values, Some(7));
    assert_eq!(SlotGroup::of(&charge.subject), SlotGroup::Grant("ci".into()));
    assert!(names("p", charge).bound.is_some());
    assert!(!format!("{charge:?}").contains("secret-7"));
    for arguments in [
        "{}",
        r#"{"customer": {}}"#,
        r#"{"customer": {"id": null}}"#,
        r#"{"customer": {"id": [1]}}"#,
        r#"{"customer": {"id": {}}}"#,
        r#"{"customer": {"ID": 1}}"#,
        r#"{"customer": "1"}"#,
        r#"{"customer": {"id": 9007199254740993}}"#,
    ] {
        let denial = refused(&tool(entry), arguments);
        assert_eq!(
            (denial.outcome, denial.rule.as_str()),
            (Outcome::Denied, "/tools/t/limits/refunds"),
            "{arguments}"
        );
    }
}

#[test]
fn two_arguments_of_one_value_are_two_usages() {
    let entry = r#"{"limits": [{"counter": "c", "window": "day", "max": 2, "scope": "arg:from"},
                               {"counter": "c", "window": "day", "max": 2, "scope": "arg:to"}]}"#;
    let charges = charges(entry, r#"{"from": 1, "to": 1}"#);
    let of = |charge: &Charge| names("p", charge);
    assert_eq!(charges.len(), 2);
    assert_ne!(of(&charges[0]).key, of(&charges[1]).key);
    assert_ne!(of(&charges[0]).bound, of(&charges[1]).bound);
}

#[test]
fn the_same_call_again_is_counted_by_its_arguments() {
    let entry = r#"{"limits": [{"counter": "loop", "window": "minute", "max": 3, "scope": "arguments"}]}"#;
    assert_eq!(
        key(entry, r#"{"a": 1, "b": "x"}"#),
        key(entry, r#"{ "b":"x", "a":1.0 }"#)
    );
    assert_ne!(key(entry, r#"{"a": 1}"#), key(entry, r#"{"a": 2}"#));
    assert_eq!(charges(entry, "{}")[0].limit.max_values, Some(1_000));
    assert!(matches!(&charges(entry, "{}")[0].subject, Subject::Arguments { grant, .. } if grant == "ci"));
    assert!(!passes(&tool(entry), r#"{"a":1,"a":2}"#));
}

#[test]
fn what_cannot_be_counted_is_a_problem_of_the_policy() {
    let limit =
        |more: &str| format!(r#"{{"limits": [{{"counter": "c", "window": "day", "max": 100, {more}}}]}}"#);
    for (more, part) in [
        (r#""increment_from": "args.a", "weight": 2"#, "exclude each other"),
        (
            r#""increment_from": "args.list[*].a""#,
            "does not lead to one argument",
        ),
        (r#""increment_from": "grant.id""#, "does not lead to one argument"),
        (r#""increment_from": "amount""#, "starts with none of"),
        (r#""increment_from": 5"#, "must be a path"),
        (r#""scale": 16"#, "must be a whole number"),
        (r#""scale": 15"#, "2^53"),
        (r#""scope": "arg:""#, "is not a path"),
        (r#""scope": "arg:a[*]""#, "does not lead to one argument"),
    ] {
        let found = problems(&limit(more));
        assert!(
            found.lines().count() == 1 && found.contains(part),
            "{more}: {found}"
        );
    }
    let two = |first: &str, second: &str| {
        problems(&format!(
            r#"{{"limits": [{{"counter": "c", "window": "day", "max": 100, {first}}}, {{"counter": "c", "window": "day", "max": 100, {second}}}]}}"#
        ))
    };
    assert!(two(r#""increment_from": "args.a""#, r#""increment_from": "args.b""#).contains("two weights"));
    assert!(two(r#""increment_from": "args.a""#, r#""weight": 1"#).contains("two weights"));
    assert!(two(r#""scale": 2"#, r#""scale": 1"#).contains("decimal places"));
    assert_eq!(
        two(
            r#""scope": "arg:a", "scale": 2"#,
            r#""scope": "arg:b", "scale": 1"#
        ),
        ""
    );
}

#[test]
fn a_policy_for_every_tool_counts_amounts_too() {
    let policy = whole(
        r#"{"version": "1", "default": "allow", "all_tools": {"limits": [
            {"counter": "c", "window": "day", "max": 5, "scope": "arg:user"}]}}"#,
    );
    assert!(passes(&policy, r#"{"user": "a"}"#));
    assert_eq!(refused(&policy, "{}").rule, "/all_tools/limits/c");
}

#[test]
fn limits_that_an_agent_escapes_are_warned_of() {
    let warnings = |entry: &str| -> String {
        let text = format!(r#"{{"version": "1", "default": "deny", "tools": {{"t": {entry}}}}}"#);
        let warnings = load("p", "p.json", &text).unwrap().warnings;
        warnings.iter().map(|warning| format!("{warning}\n")).collect()
    };
    let limit = |scope: &str| format!(r#"{{"counter": "c", "window": "day", "max": 5, "scope": "{scope}"}}"#);
    assert!(
        warnings(&format!(r#"{{"limits": [{}]}}"#, limit("arguments"))).contains("changing any argument")
    );
    assert!(warnings(&format!(r#"{{"limits": [{}]}}"#, limit("arg:id"))).contains("each spelling"));
    let patterned = format!(
        r#"{{"arguments": {{"properties": {{"id": {{"type": "string", "pattern": "^[0-9]{{4}}$"}}}}}}, "limits": [{}]}}"#,
        limit("arg:id")
    );
    assert_eq!(warnings(&patterned), "");
    let required = format!(
        r#"{{"require": [{{"conditions": [{{"path": "args.id", "op": "regex", "value": "^[0-9]+$"}}]}}], "limits": [{}]}}"#,
        limit("arg:id")
    );
    assert_eq!(warnings(&required), "");
}
