//! Faults of comparable products that must not exist here, each with a test.

use toolgate::mcp::envelope::read;
use toolgate::policy::load;

use super::asked::{passes, problems, refused, tool};

fn required(op: &str, value: &str) -> std::sync::Arc<toolgate::policy::Policy> {
    tool(&format!(
        r#"{{"require": [{{"conditions": [{{"path": "args.name", "op": "{op}", "value": {value}}}]}}]}}"#
    ))
}

#[test]
fn a_list_does_not_pass_for_a_text_that_differs() {
    let policy = required("neq", "\"main\"");
    assert!(passes(&policy, r#"{"name": "feature"}"#));
    for name in [r#"["main"]"#, r#"{"main": 1}"#, "null", "5", r#""main""#] {
        assert!(!passes(&policy, &format!(r#"{{"name": {name}}}"#)), "{name}");
    }
}

#[test]
fn a_key_in_another_case_is_not_overlooked() {
    let policy =
        tool(r#"{"deny_if": [{"conditions": [{"path": "args.name", "op": "eq", "value": "prod"}]}]}"#);
    assert!(passes(&policy, r#"{"name": "test"}"#));
    for key in ["Name", "NAME", "nam\\u0045", "\\u004eame"] {
        let denial = refused(&policy, &format!(r#"{{"{key}": "prod"}}"#));
        assert!(
            denial.message.contains("in case only"),
            "{key}: {}",
            denial.message
        );
        assert!(
            !passes(&policy, &format!(r#"{{"name": "test", "{key}": "prod"}}"#)),
            "{key}"
        );
    }
}

#[test]
fn arguments_that_are_a_list_are_neither_read_nor_passed() {
    let body = br#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"t","arguments":[]}}"#;
    assert!(read(body).unwrap().tool_call().is_err());
    assert!(!passes(&required("exists", "false"), "[]"));
}

#[test]
fn a_bound_with_a_fraction_is_compared_as_it_is_written() {
    let policy = required("lt", "2.5");
    for (given, allowed) in [
        ("2", true),
        ("2.4", true),
        ("2.5", false),
        ("3", false),
        ("1e1", false),
        ("-0", true),
    ] {
        assert_eq!(
            passes(&policy, &format!(r#"{{"name": {given}}}"#)),
            allowed,
            "{given}"
        );
    }
}

#[test]
fn unknown_keys_are_never_accepted() {
    for (key, meant) in [("defualt", "default"), ("hidden", "hide"), ("rulez", "tools")] {
        let text = format!(r#"{{"version": "1", "default": "deny", "tools": {{}}, "{key}": []}}"#);
        let problems = load("p", "p.json", &text).unwrap_err();
        assert!(
            problems[0].message.contains(&format!("unknown key `{key}`")),
            "{meant}: {problems:?}"
        );
    }
    assert!(problems(r#"{"requires": []}"#).contains("did you mean `require`?"));
    assert!(problems(r#"{"deny_if": [{"condition": []}]}"#).contains("did you mean `conditions`?"));
    let operator = r#"{"require": [{"conditions": [{"path": "args.a", "op": "neqq", "value": 1}]}]}"#;
    assert!(problems(operator).contains("did you mean `\"neq\"`?"));
}

#[test]
fn numbers_that_doubles_cannot_tell_apart_are_not_told_apart() {
    let policy = required("neq", "9007199254740992");
    assert!(passes(&policy, r#"{"name": 9007199254740990}"#));
    assert!(!passes(&policy, r#"{"name": 9007199254740992}"#));
    assert!(!passes(&policy, r#"{"name": 9007199254740993}"#));
    assert!(!passes(
        &required("lte", "100"),
        r#"{"name": 100.00000000000000001}"#
    ));
}

#[test]
fn limits_on_dotted_names_count_and_tools_and_counters_with_dots_do_not_meet() {
    let text = r#"{"version": "1", "default": "deny", "tools": {
        "a": {"limits": [{"counter": "b.c", "window": "hour", "max": 5}]},
        "a.b": {"limits": [{"counter": "c", "window": "hour", "max": 5}], "rate_limit": "3/minute"}}}"#;
    let policy = [std::sync::Arc::new(load("p", "p.json", text).unwrap().policy)];
    let names = |tool: &str| -> Vec<String> {
        let call = toolgate::policy::Call {
            tool,
            arguments: None,
        };
        match toolgate::policy::plan_tool(&policy, &super::asked::CALLER, &call).plan {
            toolgate::policy::Plan::Admit(charges) => charges
                .iter()
                .map(|charge| toolgate::counters::keys::names("p", charge).key)
                .collect(),
            other => panic!("{other:?}"),
        }
    };
    let (dotted_counter, dotted_tool) = (names("a"), names("a.b"));
    assert_eq!((dotted_counter.len(), dotted_tool.len()), (1, 2));
    assert!(!dotted_tool.contains(&dotted_counter[0]));
}
