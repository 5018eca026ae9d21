//! A converted policy never lets through what the old proxy refused, and always loads.
#![cfg(test)]

use std::sync::Arc;

use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::{Config, TestRunner};
use serde_json::{Value, json};
use toolgate::convert::convert;
use toolgate::policy::{Call, Caller, Plan, Policy, load, plan_tool};

const TOOLS: [&str; 3] = ["a", "b", "c"];

fn condition() -> impl Strategy<Value = Value> {
    let paths = prop::sample::select(vec!["args.x", "args.y", "args.o.k", "args.l", "args.l[0]"]);
    let asked = prop::sample::select(vec![
        ("eq", json!(1)),
        ("eq", json!("1")),
        ("eq", json!(null)),
        ("eq", json!([1, "a"])),
        ("neq", json!(1)),
        ("neq", json!("main")),
        ("in", json!([1, "main", true])),
        ("in", json!([])),
        ("not_in", json!(["main", 2])),
        ("not_in", json!([])),
        ("lt", json!(2.5)),
        ("lte", json!(1)),
        ("gt", json!(0)),
        ("gte", json!(-1)),
        ("regex", json!("^ma")),
        ("contains", json!("a")),
        ("contains", json!(1)),
        ("exists", json!(true)),
        ("exists", json!(true)),
        ("exists", json!(true)),
        ("exists", json!(false)),
    ]);
    (paths, asked).prop_map(|(path, (op, value))| json!({"path": path, "op": op, "value": value}))
}

fn rule() -> impl Strategy<Value = Value> {
    let evaluate = prop::collection::vec(condition(), 1..3)
        .prop_map(|conditions| json!({"name": "r", "conditions": conditions}));
    let windows = prop::sample::select(vec!["minute", "hour", "day"]);
    let rate = (1_u32..9, windows)
        .prop_map(|(max, window)| json!({"name": "rate", "rate_limit": format!("{max}/{window}")}));
    let deny = Just(json!({"name": "no", "action": "deny", "on_deny": "never"}));
    prop_oneof![6 => evaluate, 2 => rate, 1 => deny]
}

fn old_policy() -> impl Strategy<Value = Value> {
    let names = prop::sample::select(vec!["a", "b", "*"]);
    let tools = prop::collection::btree_map(names, prop::collection::vec(rule(), 0..2), 0..3);
    let hide = prop::collection::vec(prop::sample::select(vec!["a", "c", "*"]), 0..2);
    (
        prop::option::of(any::<bool>()),
        prop::option::weighted(0.3, hide),
        tools,
    )
        .prop_map(|(allow, hide, tools)| {
            let tools: serde_json::Map<String, Value> = tools
                .into_iter()
                .map(|(name, rules)| (name.to_owned(), json!({"rules": rules})))
                .collect();
            let mut policy = json!({"version": "1", "tools": tools});
            if let Some(allow) = allow {
                policy["default"] = json!(if allow { "allow" } else { "deny" });
            }
            if let Some(hide) = hide {
                policy["hide"] = json!(hide);
            }
            policy
        })
}

/// Whether the old proxy lets a first call through, by its own reference. Its counters are empty then.
fn old_allows(policy: &Value, tool: &str, arguments: &Value) -> bool {
    let hidden = policy["hide"].as_array().into_iter().flatten();
    if hidden.into_iter().any(|name| name == tool || name == "*") {
        return false;
    }
    if policy["default"] == "deny" && policy["tools"].get(tool).is_none() {
        return false;
    }
    let rules = [tool, "*"].map(|name| {
        policy["tools"][name]["rules"]
            .as_array()
            .cloned()
            .unwrap_or_default()
    });
    rules.iter().flatten().all(|rule| {
        let conditions = rule["conditions"].as_array().cloned().unwrap_or_default();
        rule["action"] != "deny" && conditions.iter().all(|condition| old_holds(condition, arguments))
    })
}

fn old_holds(condition: &Value, arguments: &Value) -> bool {
    let path = condition["path"].as_str().unwrap().strip_prefix("args.").unwrap();
    let found = path
        .split('.')
        .try_fold(arguments, |at, key| at.as_object()?.get(key));
    let wanted = &condition["value"];
    if condition["op"] == "exists" {
        return found.is_some_and(|value| !value.is_null()) == wanted.as_bool().unwrap();
    }
    let Some(found) = found else { return false };
    let numbers = found.as_f64().zip(wanted.as_f64());
    match condition["op"].as_str().unwrap() {
        "eq" => old_equal(found, wanted),
        "neq" => !old_equal(found, wanted),
        "in" => wanted.as_array().unwrap().iter().any(|own| old_equal(found, own)),
        "not_in" => !wanted.as_array().unwrap().iter().any(|own| old_equal(found, own)),
        "lt" => numbers.is_some_and(|(found, wanted)| found < wanted),
        "lte" => numbers.is_some_and(|(found, wanted)| found <= wanted),
        "gt" => numbers.is_some_and(|(found, wanted)| found > wanted),
        "gte" => numbers.is_some_and(|(found, wanted)| found >= wanted),
        "regex" => found.as_str().is_some_and(|text| text.starts_with("ma")),
        "contains" => match found {
            Value::String(text) => wanted.as_str().is_some_and(|part| text.contains(part)),
            Value::Array(items) => items.iter().any(|item| old_equal(item, wanted)),
            _ => false,
        },
        other => panic!("{other}"),
    }
}

/// Numbers by their value, all else by its printed form.
fn old_equal(found: &Value, wanted: &Value) -> bool {
    match (found.as_f64(), wanted.as_f64()) {
        #[expect(clippy::float_cmp, reason = "this is how the other proxy compares")]
        (Some(found), Some(wanted)) => found == wanted,
        _ => printed(found) == printed(wanted),
    }
}

fn printed(value: &Value) -> String {
    match value {
        Value::Null => "<nil>".to_owned(),
        Value::String(text) => text.clone(),
        Value::Array(items) => format!("[{}]", items.iter().map(printed).collect::<Vec<_>>().join(" ")),
        Value::Object(entries) => {
            let entries: Vec<String> = entries
                .iter()
                .map(|(key, value)| format!("{key}:{}", printed(value)))
                .collect();
            format!("map[{}]", entries.join(" "))
        }
        other => other.to_string(),
    }
}

fn arguments() -> Vec<Value> {
    vec![
        json!({}),
        json!({"x": 1, "y": "main"}),
        json!({"x": 2.5, "y": "draft", "l": [1, "a"]}),
        json!({"x": "1", "y": true, "l": []}),
        json!({"x": null, "y": ["main"], "l[0]": 1}),
        json!({"x": -1, "o": {"k": "mast"}, "l": ["main"]}),
        json!({"x": 0, "o": {"k": null}, "y": "1"}),
        json!({"x": 1.0, "y": 1, "o": "k", "l": {"0": 1}}),
    ]
}

fn new_allows(policy: &Arc<Policy>, tool: &str, arguments: &Value) -> bool {
    let caller = Caller {
        grant: "g",
        server: "s",
        session: None,
        claims: None,
    };
    let text = arguments.to_string();
    let call = Call {
        tool,
        arguments: Some(&text),
    };
    matches!(
        plan_tool(std::slice::from_ref(policy), &caller, &call).plan,
        Plan::Admit(_)
    )
}

fn converted(old: &Value) -> Arc<Policy> {
    let converted =
        convert("old.json", &old.to_string()).unwrap_or_else(|problems| panic!("{old}\n{problems:#?}"));
    let loaded = load("new", "new.yaml", &converted.yaml);
    Arc::new(
        loaded
            .unwrap_or_else(|problems| panic!("{}\n{problems:#?}", converted.yaml))
            .policy,
    )
}

proptest! {
    #![proptest_config(Config { cases: 600, failure_persistence: None, ..Config::default() })]

    #[test]
    fn what_the_old_proxy_refuses_the_new_policy_refuses(old in old_policy()) {
        let new = converted(&old);
        for tool in TOOLS {
            for arguments in arguments() {
                let widened = new_allows(&new, tool, &arguments) && !old_allows(&old, tool, &arguments);
                prop_assert!(!widened, "{tool} {arguments}\n{old}");
            }
        }
    }
}

/// Refusing everything would be strict too.
#[test]
fn most_of_what_the_old_proxy_lets_through_still_passes() {
    let mut runner = TestRunner::deterministic();
    let (mut passed, mut still) = (0, 0);
    for _ in 0..300 {
        let old = old_policy().new_tree(&mut runner).unwrap().current();
        let new = converted(&old);
        for tool in TOOLS {
            for arguments in arguments() {
                if old_allows(&old, tool, &arguments) {
                    passed += 1;
                    still += usize::from(new_allows(&new, tool, &arguments));
                }
            }
        }
    }
    assert!(passed > 500 && still * 10 > passed * 8, "{still} of {passed}");
}
