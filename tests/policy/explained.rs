//! What an explanation shows of single rules.

use std::sync::Arc;

use toolgate::document::parse;
use toolgate::policy::{
    Answer, Asked, Call, Explanation, Fate, Heard, Known, Policy, Step, explain_tool, load, place_of,
};

use super::asked::{CALLER, tool, tools, whole};

fn explain(policies: &[Arc<Policy>], arguments: &str) -> Explanation {
    let call = Call {
        tool: "t",
        arguments: Some(arguments),
    };
    explain_tool(policies, &CALLER, &call)
}

fn one(policy: &Arc<Policy>, arguments: &str) -> Explanation {
    explain(std::slice::from_ref(policy), arguments)
}

fn step<'e>(explained: &'e Explanation, pointer: &str) -> &'e Step {
    let found = explained.steps.iter().find(|step| step.pointer == pointer);
    found.unwrap_or_else(|| panic!("{pointer} was not tried: {explained:#?}"))
}

#[test]
fn a_hidden_tool_is_explained_by_the_line_that_hides_it() {
    let policy = whole(r#"{"version": "1", "default": "allow", "hide": ["x", "t*"], "tools": {"t": {}}}"#);
    let explained = one(&policy, "{}");
    let bit = explained.bit().unwrap();
    assert_eq!(bit.pointer, "/hide/t*");
    assert!(matches!(&bit.asked, Asked::Known(Known::Hidden(name)) if name == "t*"));
}

#[test]
fn a_tool_that_nothing_names_is_explained_by_the_default() {
    let explained = one(&tools(r#"{"other": {}}"#), "{}");
    let bit = explained.bit().unwrap();
    assert_eq!(bit.pointer, "/default");
    assert!(matches!(bit.asked, Asked::Known(Known::Default(false))));
}

#[test]
fn the_entry_that_applies_is_named_and_so_are_those_that_it_beats() {
    let explained = one(&tools(r#"{"*": {"action": "deny"}, "t*": {}, "x*": {}}"#), "{}");
    let Asked::Known(known) = &explained.steps[0].asked else {
        panic!("{explained:#?}")
    };
    let expected = Known::Entry {
        key: "t*".to_owned(),
        beaten: vec!["*".to_owned()],
    };
    assert_eq!(*known, expected);
    assert_eq!(explained.steps[0].pointer, "/tools/t*");
}

#[test]
fn every_condition_of_a_block_is_shown_also_after_one_that_does_not_hold() {
    let policy = tool(
        r#"{"require": [{"conditions": [
            {"path": "args.a", "op": "eq", "value": 1},
            {"path": "args.b", "op": "exists"},
            {"path": "args.c", "op": "lt", "value": 3}]}]}"#,
    );
    let explained = one(&policy, r#"{"a": 2, "c": "2"}"#);
    let Asked::Require(seen) = &explained.bit().unwrap().asked else {
        panic!("{explained:#?}")
    };
    let kinds: Vec<_> = seen
        .iter()
        .map(|seen| seen.read.led.as_ref().unwrap().leaf.kind)
        .collect();
    assert_eq!(kinds, [Some("number"), None, Some("string")]);
    assert_eq!(seen[0].answer, Answer::Fails);
    assert_eq!(seen[1].answer, Answer::Fails);
    assert_eq!(
        seen[2].answer,
        Answer::Doubtful("the value has another JSON type")
    );
    assert_eq!(seen[2].pointer, "/tools/t/require/0/conditions/2");
}

#[test]
fn under_deny_if_one_value_of_many_is_enough_and_is_the_one_that_is_shown() {
    let policy = tool(
        r#"{"require": [{"conditions": [{"path": "args.to", "op": "exists"}]}],
            "deny_if": [{"conditions": [{"path": "args.to[*]", "op": "eq", "value": "b"}]}]}"#,
    );
    let explained = one(&policy, r#"{"to": ["a", "b", "c"]}"#);
    let Asked::DenyIf(seen) = &explained.bit().unwrap().asked else {
        panic!("{explained:#?}")
    };
    assert_eq!(seen[0].answer, Answer::Holds);
    assert_eq!(seen[0].read.led.as_ref().unwrap().index, 1);
}

#[test]
fn of_many_values_the_one_that_decides_is_shown() {
    let policy =
        tool(r#"{"require": [{"conditions": [{"path": "args.to[*]", "op": "regex", "value": "^a$"}]}]}"#);
    let explained = one(&policy, r#"{"to": ["a", "a", "b", "a", "c"]}"#);
    let Asked::Require(seen) = &explained.bit().unwrap().asked else {
        panic!("{explained:#?}")
    };
    let led = seen[0].read.led.as_ref().unwrap();
    assert_eq!((led.total, led.index), (5, 2));
    assert_eq!(led.leaf.json.as_deref(), Some("\"b\""));
}

#[test]
fn a_schema_is_explained_by_each_keyword_that_is_broken_and_its_place() {
    let text = r##"{"version": "1", "default": "deny", "tools": {"t": {"arguments": {
"properties": {"a": {"$ref": "#/$defs/n"}, "b": {"type": "string",
"maxLength": 2}}, "$defs": {"n": {
"type": "number"}}}}}}"##;
    let policy = Arc::new(load("p", "p.json", text).unwrap().policy);
    let explained = one(&policy, r#"{"a": "1", "b": "long"}"#);
    let Asked::Arguments(broken) = &explained.bit().unwrap().asked else {
        panic!("{explained:#?}")
    };
    let root = parse("p.json", text).unwrap().root;
    let mut found: Vec<_> = broken
        .iter()
        .map(|broken| {
            let keyword = broken.what.clone().unwrap();
            (broken.at.as_str(), keyword, place_of(&root, &broken.pointer).line)
        })
        .collect();
    found.sort();
    assert_eq!(
        found,
        [("/a", "type".to_owned(), 4), ("/b", "maxLength".to_owned(), 3)]
    );
}

#[test]
fn a_usage_that_a_call_meets_twice_is_said_to_be_charged_once() {
    let org = load(
        "org",
        "p.json",
        r#"{"version": "1", "default": "allow", "all_tools": {"limits": [{"counter": "c", "window": "day", "max": 5}]}}"#,
    );
    let team = load(
        "team",
        "p.json",
        r#"{"version": "1", "default": "deny", "tools": {"t": {"limits": [{"counter": "c", "window": "day", "max": 3}]}}}"#,
    );
    let policies = [org, team].map(|loaded| Arc::new(loaded.unwrap().policy));
    let explained = explain(&policies, "{}");
    let merged = step(&explained, "/all_tools/limits/c");
    let into = "team#/tools/t/limits/c".to_owned();
    assert!(
        matches!(&merged.said, Heard::Charges(_, fate) if *fate == Fate::Merged(into)),
        "{merged:#?}"
    );
    let counted = step(&explained, "/tools/t/limits/c");
    assert!(matches!(counted.said, Heard::Charges(_, Fate::Counted)));
    assert_eq!((merged.policy, counted.policy), (0, 1));
}

#[test]
fn what_a_policy_in_shadow_would_charge_before_it_refuses_is_said_to_be_dropped() {
    let policy = whole(
        r#"{"version": "1", "default": "deny", "mode": "shadow", "tools": {"t": {"limits": [
            {"counter": "c", "window": "day", "max": 5},
            {"counter": "s", "window": "day", "max": 5, "increment_from": "args.a"}]}}}"#,
    );
    let explained = one(&policy, r#"{"a": "1"}"#);
    assert!(explained.bit().is_none());
    let dropped = &step(&explained, "/tools/t/limits/c").said;
    assert!(
        matches!(dropped, Heard::Charges(_, Fate::Dropped)),
        "{dropped:#?}"
    );
    assert!(matches!(
        step(&explained, "/tools/t/limits/s").said,
        Heard::Noted(_)
    ));
}

#[test]
fn a_refused_call_charges_nothing_whatever_its_limits_asked_for() {
    let policy = tool(
        r#"{"limits": [{"counter": "c", "window": "day", "max": 5},
            {"counter": "s", "window": "day", "max": 5, "increment_from": "args.a"}]}"#,
    );
    let explained = one(&policy, r#"{"a": 6}"#);
    assert!(matches!(
        step(&explained, "/tools/t/limits/c").said,
        Heard::Charges(_, Fate::Dropped)
    ));
    assert_eq!(explained.bit().unwrap().pointer, "/tools/t/limits/s");
}

#[test]
fn debug_shows_no_value_of_an_argument() {
    let policy = tool(
        r#"{"require": [{"conditions": [{"path": "args.a", "op": "exists"}]}],
            "limits": [{"counter": "c", "window": "day", "max": 5, "scope": "arg:a"}]}"#,
    );
    let explained = one(&policy, r#"{"a": "secret-value"}"#);
    let text = format!("{explained:?}");
    assert!(
        text.contains("args.a") && !text.contains("secret-value"),
        "{text}"
    );
}

#[test]
fn a_call_that_people_must_agree_to_is_explained_by_the_rule_that_asks_most_of_them() {
    let policy = tool(
        r#"{"action": "require_approval", "approve_if": [
            {"conditions": [{"path": "args.a", "op": "eq", "value": 1}], "approvers": 2},
            {"conditions": [{"path": "args.b", "op": "exists"}], "approvers": 3}],
            "limits": [{"counter": "c", "window": "day", "max": 1}]}"#,
    );
    let explained = one(&policy, r#"{"a": 1}"#);
    assert_eq!(explained.bit().unwrap().pointer, "/tools/t/approve_if/0");
    assert!(matches!(step(&explained, "/tools/t/action").said, Heard::Asks(_)));
    assert!(matches!(
        step(&explained, "/tools/t/approve_if/1").said,
        Heard::Passed
    ));
    let charge = &step(&explained, "/tools/t/limits/c").said;
    assert!(matches!(charge, Heard::Charges(_, Fate::Counted)), "{charge:?}");
}
