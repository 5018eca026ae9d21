//! Blocks of conditions: order, rules, reasons, and what holds for all of them.

use std::sync::Arc;

use proptest::prelude::*;
use toolgate::policy::{Call, Outcome, Plan, Policy, check_together, plan_tool};

use super::asked::{CALLER, ask, passes, problems, refused, tool, whole};

fn condition(path: &str, op: &str, value: &str) -> String {
    format!(r#"{{"path": "{path}", "op": "{op}", "value": {value}}}"#)
}

#[test]
fn a_refusal_names_the_block_and_gives_its_reason() {
    let policy = tool(
        r#"{"require": [{"conditions": []},
                        {"conditions": [{"path": "args.amount", "op": "lte", "value": 100}], "on_deny": "At most 100"}],
            "deny_if": [{"conditions": [{"path": "args.force", "op": "eq", "value": true}]}]}"#,
    );
    let denial = refused(&policy, r#"{"amount": 101, "force": false}"#);
    assert_eq!(
        (denial.outcome, denial.rule.as_str()),
        (Outcome::Denied, "/tools/t/require/1")
    );
    assert_eq!(
        denial.message,
        "[POLICY DENIED] t: At most 100. The call was not executed."
    );
    assert_eq!(denial.retry_after_ms, None);
    let denial = refused(&policy, r#"{"amount": 99, "force": true}"#);
    assert_eq!(denial.rule, "/tools/t/deny_if/0");
    assert_eq!(
        denial.message,
        "[POLICY DENIED] t: the policy denies calls with `args.force eq true`. The call was not executed."
    );
    assert!(passes(&policy, r#"{"amount": 99, "force": false}"#));
}

#[test]
fn a_condition_in_doubt_says_why_and_never_tells_the_value() {
    let policy = tool(
        r#"{"deny_if": [{"conditions": [{"path": "args.amount", "op": "gt", "value": 100}], "on_deny": "Too much."}]}"#,
    );
    let denial = refused(&policy, r#"{"amount": "s3cret"}"#);
    assert_eq!(
        denial.message,
        "[POLICY DENIED] t: Too much (`args.amount gt 100` could not be evaluated: the value has another JSON type). The call was not executed."
    );
}

#[test]
fn a_condition_in_doubt_refuses_wherever_it_stands() {
    let sure = condition("args.mode", "eq", "\"delete\"");
    let doubtful = condition("args.amount", "gt", "100");
    for conditions in [format!("{sure}, {doubtful}"), format!("{doubtful}, {sure}")] {
        let policy = tool(&format!(r#"{{"deny_if": [{{"conditions": [{conditions}]}}]}}"#));
        assert!(!passes(&policy, r#"{"mode": "read", "amount": "200"}"#));
        assert!(passes(&policy, r#"{"mode": "read", "amount": 200}"#));
        assert!(!passes(&policy, r#"{"mode": "delete", "amount": 200}"#));
    }
}

#[test]
fn require_asks_every_element_and_deny_if_any() {
    let small = condition("args.list[*].n", "lt", "10");
    let require = tool(&format!(r#"{{"require": [{{"conditions": [{small}]}}]}}"#));
    let deny_if = tool(&format!(r#"{{"deny_if": [{{"conditions": [{small}]}}]}}"#));
    for (arguments, required, allowed) in [
        (r#"{"list": [{"n": 1}, {"n": 2}]}"#, true, false),
        (r#"{"list": [{"n": 1}, {"n": 20}]}"#, false, false),
        (r#"{"list": [{"n": 10}, {"n": 20}]}"#, false, true),
        (r#"{"list": [{"n": 10}, {}]}"#, false, true),
        (r#"{"list": [{"n": 1}, {}]}"#, false, false),
        (r#"{"list": []}"#, false, true),
        (r#"{}"#, false, true),
        (r#"{"list": {"n": 1}}"#, false, false),
        (r#"{"list": [{"n": 10}, 3]}"#, false, false),
        (r#"{"list": "[]"}"#, false, false),
    ] {
        assert_eq!(passes(&require, arguments), required, "{arguments}");
        assert_eq!(passes(&deny_if, arguments), allowed, "{arguments}");
    }
}

#[test]
fn the_first_denial_wins_in_the_order_of_the_language() {
    let text = r#"{"version": "1", "default": "allow",
        "all_tools": {"require": [{"conditions": [{"path": "args.a", "op": "exists"}]}],
                      "deny_if": [{"conditions": [{"path": "args.c", "op": "exists"}]}],
                      "limits": [{"counter": "all", "window": "hour", "max": 1}]},
        "tools": {"t": {"require": [{"conditions": [{"path": "args.b", "op": "exists"}]}],
                        "deny_if": [{"conditions": [{"path": "args.d", "op": "exists"}]}],
                        "limits": [{"counter": "own", "window": "hour", "max": 1}]},
                  "gone": {"action": "deny", "require": [{"conditions": [{"path": "args.b", "op": "exists"}]}]}}}"#;
    let policy = whole(text);
    let rule = |arguments: &str| refused(&policy, arguments).rule;
    assert_eq!(rule("{}"), "/tools/t/require/0");
    assert_eq!(rule(r#"{"b": 1, "c": 1, "d": 1}"#), "/all_tools/require/0");
    assert_eq!(rule(r#"{"a": 1, "b": 1, "c": 1, "d": 1}"#), "/tools/t/deny_if/0");
    assert_eq!(rule(r#"{"a": 1, "b": 1, "c": 1}"#), "/all_tools/deny_if/0");
    let Plan::Admit(charges) = ask(&policy, r#"{"a": 1, "b": 1}"#) else {
        panic!()
    };
    assert_eq!(charges.len(), 2);
    let gone = Call {
        tool: "gone",
        arguments: None,
    };
    let Plan::Refuse(denial) = plan_tool(std::slice::from_ref(&policy), &CALLER, &gone).plan else {
        panic!()
    };
    assert_eq!(denial.rule, "/tools/gone/action");
}

#[test]
fn of_several_policies_the_rule_names_its_own() {
    let block = |key: &str| {
        let text = format!(
            r#"{{"version": "1", "default": "allow", "all_tools": {{"{key}": [{{"conditions": [{}]}}]}}}}"#,
            condition("args.a", "eq", "1")
        );
        let name = if key == "require" { "org" } else { "team" };
        Arc::new(toolgate::policy::load(name, "p.json", &text).unwrap().policy)
    };
    let policies = [block("deny_if"), block("require")];
    assert!(check_together(&policies).is_empty());
    let rule = |arguments: &str| {
        let call = Call {
            tool: "t",
            arguments: Some(arguments),
        };
        match plan_tool(&policies, &CALLER, &call).plan {
            Plan::Refuse(denial) => denial.rule,
            Plan::Admit(_) => "admitted".to_owned(),
            Plan::Ask { ask, .. } => format!("asked by {}", ask.rule),
        }
    };
    assert_eq!(rule(r#"{"a": 1}"#), "team#/all_tools/deny_if/0");
    assert_eq!(rule(r#"{"a": 2}"#), "org#/all_tools/require/0");
}

#[test]
fn the_caller_and_the_tool_can_be_asked_about() {
    let policy = tool(&format!(
        r#"{{"require": [{{"conditions": [{}, {}]}}]}}"#,
        condition("grant.id", "in", r#"["ci", "laptop"]"#),
        condition("tool.name", "regex", r#""^t$""#)
    ));
    assert!(passes(&policy, "{}"));
    let claims = condition("grant.claims.team", "eq", "\"data\"");
    assert!(!passes(
        &tool(&format!(r#"{{"require": [{{"conditions": [{claims}]}}]}}"#)),
        "{}"
    ));
    assert!(passes(
        &tool(&format!(r#"{{"deny_if": [{{"conditions": [{claims}]}}]}}"#)),
        "{}"
    ));
}

#[test]
fn rules_that_do_not_look_at_arguments_do_not_read_them() {
    let policy = tool(&format!(
        r#"{{"require": [{{"conditions": [{}]}}]}}"#,
        condition("grant.id", "eq", "\"ci\"")
    ));
    assert!(passes(&policy, "not even JSON"));
    let policy = tool(&format!(
        r#"{{"deny_if": [{{"conditions": [{}]}}]}}"#,
        condition("args.a", "eq", "1")
    ));
    assert!(!passes(&policy, "not even JSON"));
    assert!(!passes(&policy, "[]"));
}

#[test]
fn a_value_of_the_wrong_type_for_its_operator_is_a_problem_of_the_policy() {
    for (op, value) in [
        ("lt", "\"5\""),
        ("gte", "null"),
        ("in", "5"),
        ("in", "[]"),
        ("not_in", "{}"),
        ("exists", "1"),
        ("regex", "5"),
        ("regex", "\"(\""),
        ("regex", "\"(?=a)\""),
        ("regex", "\"(a)\\\\1\""),
        ("under", "\"work\""),
        ("under", "[]"),
        ("under", "[\"/a/../b\"]"),
        ("under", "5"),
        ("eq", "1e999"),
        ("regex", "\"(a{1000}){1000}\""),
    ] {
        let entry = format!(
            r#"{{"require": [{{"conditions": [{}]}}]}}"#,
            condition("args.a", op, value)
        );
        let found = problems(&entry);
        assert_eq!(found.lines().count(), 1, "{op} {value}: {found}");
    }
    assert!(
        problems(r#"{"deny_if": [{"conditions": [{"path": "args.a", "op": "eq"}]}]}"#)
            .contains("nothing to compare")
    );
    assert!(
        problems(r#"{"deny_if": [{"conditions": [{"path": "amount", "op": "exists"}]}]}"#)
            .contains("starts with none")
    );
}

#[test]
fn a_long_text_is_searched_in_linear_time() {
    let policy = tool(&format!(
        r#"{{"deny_if": [{{"conditions": [{}]}}]}}"#,
        condition("args.a", "regex", "\"^(a+)+$\"")
    ));
    let text = "a".repeat(200_000) + "!";
    assert!(passes(&policy, &format!(r#"{{"a": "{text}"}}"#)));
}

fn json() -> impl Strategy<Value = String> {
    let leaf = prop::sample::select(vec![
        "null",
        "true",
        "false",
        "0",
        "-1",
        "5",
        "5.5",
        "1e3",
        "9007199254740993",
        "9007199254740992",
        "\"\"",
        "\"a\"",
        "\"5\"",
        "\"/w/a\"",
        "\"\\u0041\"",
        "1e-400",
    ])
    .prop_map(str::to_owned);
    leaf.prop_recursive(3, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(|items| format!("[{}]", items.join(","))),
            prop::collection::btree_map(prop::sample::select(vec!["a", "b", "A", "x"]), inner, 0..4)
                .prop_map(|entries| {
                    let entries: Vec<_> = entries
                        .iter()
                        .map(|(key, value)| format!("\"{key}\":{value}"))
                        .collect();
                    format!("{{{}}}", entries.join(","))
                }),
        ]
    })
}

pub fn arguments() -> impl Strategy<Value = String> {
    prop::collection::btree_map(prop::sample::select(vec!["a", "b", "A"]), json(), 0..3).prop_map(|entries| {
        let entries: Vec<_> = entries
            .iter()
            .map(|(key, value)| format!("\"{key}\":{value}"))
            .collect();
        format!("{{{}}}", entries.join(","))
    })
}

fn any_condition() -> impl Strategy<Value = String> {
    let path = prop::sample::select(vec![
        "args.a",
        "args.b",
        "args.a[*]",
        "args.a.b",
        "args.a[0]",
        "args.a[*].x",
        "tool.name",
    ]);
    let asked = prop_oneof![
        (
            prop::sample::select(vec!["eq", "neq", "contains", "not_contains"]),
            json()
        )
            .prop_map(|(op, value)| (op, value)),
        (
            prop::sample::select(vec!["lt", "lte", "gt", "gte"]),
            prop::sample::select(vec!["0", "5.5", "9007199254740992"])
        )
            .prop_map(|(op, value)| (op, value.to_owned())),
        (prop::sample::select(vec!["in", "not_in"]), json())
            .prop_map(|(op, value)| (op, format!("[{value}]"))),
        Just(("exists", "true".to_owned())),
        Just(("exists", "false".to_owned())),
        (
            prop::sample::select(vec!["regex", "not_regex"]),
            Just("\"^[a5]\"".to_owned())
        ),
        Just(("under", "\"/w\"".to_owned())),
    ];
    (path, asked).prop_map(|(path, (op, value))| condition(path, op, &value))
}

pub fn block() -> impl Strategy<Value = String> {
    prop::collection::vec(any_condition(), 1..3)
        .prop_map(|all| format!(r#"{{"conditions": [{}]}}"#, all.join(", ")))
}

pub fn blocks() -> impl Strategy<Value = Vec<String>> {
    prop::collection::vec(block(), 0..4)
}

fn of(require: &[String], deny_if: &[String]) -> Arc<Policy> {
    tool(&format!(
        r#"{{"require": [{}], "deny_if": [{}]}}"#,
        require.join(", "),
        deny_if.join(", ")
    ))
}

pub fn config() -> ProptestConfig {
    ProptestConfig {
        cases: 512,
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn adding_a_block_never_widens(require in blocks(), deny_if in blocks(), more in block(), given in arguments()) {
        let before = passes(&of(&require, &deny_if), &given);
        let mut stricter = deny_if.clone();
        stricter.push(more.clone());
        prop_assert!(before || !passes(&of(&require, &stricter), &given));
        let mut stricter = require;
        stricter.push(more);
        prop_assert!(before || !passes(&of(&stricter, &deny_if), &given));
    }

    #[test]
    fn the_order_of_blocks_and_conditions_changes_no_decision(
        require in blocks(), deny_if in blocks(), conditions in prop::collection::vec(any_condition(), 1..4), given in arguments(),
    ) {
        let turned = |list: &[String]| list.iter().rev().cloned().collect::<Vec<_>>();
        let block = |conditions: &[String]| vec![format!(r#"{{"conditions": [{}]}}"#, conditions.join(", "))];
        let one = passes(&of(&require, &deny_if), &given);
        prop_assert_eq!(one, passes(&of(&turned(&require), &turned(&deny_if)), &given));
        let back = turned(&conditions);
        prop_assert_eq!(passes(&of(&block(&conditions), &[]), &given), passes(&of(&block(&back), &[]), &given));
        prop_assert_eq!(passes(&of(&[], &block(&conditions)), &given), passes(&of(&[], &block(&back)), &given));
    }

    #[test]
    fn what_is_denied_where_it_holds_is_never_what_is_required(asked in any_condition(), given in arguments()) {
        let block = [format!(r#"{{"conditions": [{asked}]}}"#)];
        let (required, allowed) = (passes(&of(&block, &[]), &given), passes(&of(&[], &block), &given));
        prop_assert!(!(required && allowed), "{asked} both holds and does not");
    }

    #[test]
    fn no_arguments_make_a_decision_panic(require in blocks(), deny_if in blocks(), given in arguments(), text in "\\PC{0,40}") {
        let policy = of(&require, &deny_if);
        ask(&policy, &given);
        ask(&policy, &text);
        for (cut, _) in given.char_indices() {
            ask(&policy, given.get(..cut).unwrap());
        }
    }
}
