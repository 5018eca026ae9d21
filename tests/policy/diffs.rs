//! `diff` says nothing only where every call is decided alike, and says nothing of what is only written otherwise.

use std::collections::BTreeSet;
use std::sync::Arc;

use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::{Config, TestRunner};
use serde_json::{Value, json};
use toolgate::policy::{Call, Caller, Charge, Outcome, Plan, Policy, diff, load, plan_method, plan_tool};

/// Conditions of which some say the same in two ways, and some nearly.
fn conditions() -> Vec<Value> {
    let on = |path: &str, op: &str, value: Value| json!({"path": path, "op": op, "value": value});
    vec![
        on("args.x", "eq", json!(1)),
        on("args.x", "in", json!([1.0])),
        on("args[\"x\"]", "in", json!([1, 2])),
        on("args.x", "in", json!([2, 1, 2])),
        on("args.x", "neq", json!(1)),
        on("args.x", "lt", json!(2)),
        on("args.x", "lte", json!(1)),
        on("args.x", "exists", json!(false)),
        on("args.y", "regex", json!("^a")),
        on("args.y", "contains", json!("a")),
        on("args.l[*]", "eq", json!("a")),
        on("grant.id", "neq", json!("g")),
    ]
}

fn block() -> impl Strategy<Value = Value> {
    let some = prop::collection::vec(prop::sample::select(conditions()), 1..3);
    (some, prop::bool::weighted(0.15))
        .prop_map(|(conditions, shadow)| json!({"conditions": conditions, "shadow": shadow}))
}

fn asking() -> impl Strategy<Value = Value> {
    (block(), 1_u32..3).prop_map(|(mut block, approvers)| {
        block["approvers"] = json!(approvers);
        block
    })
}

fn limit() -> impl Strategy<Value = Value> {
    let counters = prop::sample::select(vec!["c", "d"]);
    let windows = prop::sample::select(vec![json!("minute"), json!(60), json!("1m"), json!("day")]);
    let scopes = prop::sample::select(vec!["grant", "session", "arg:x"]);
    let amounts = prop::sample::select(vec![
        json!({}),
        json!({"weight": 1}),
        json!({"increment_from": "args.x"}),
    ]);
    (
        counters,
        windows,
        3_u64..5,
        scopes,
        amounts,
        prop::bool::weighted(0.1),
    )
        .prop_map(|(counter, window, max, scope, more, shadow)| {
            let mut limit =
                json!({"counter": counter, "window": window, "max": max, "scope": scope, "shadow": shadow});
            for (key, value) in more.as_object().unwrap() {
                limit[key] = value.clone();
            }
            limit
        })
}

fn entry() -> impl Strategy<Value = Value> {
    let lists = (
        prop::collection::vec(block(), 0..2),
        prop::collection::vec(block(), 0..2),
        prop::collection::vec(asking(), 0..2),
        prop::collection::vec(limit(), 0..3),
    );
    let action = prop::sample::select(vec!["deny", "require_approval", "allow", "allow", "allow"]);
    let schema = prop::option::weighted(
        0.2,
        prop::sample::select(vec![json!({"type": "object"}), json!({"required": ["x"]})]),
    );
    (action, lists, schema).prop_map(|(action, (require, deny_if, approve_if, limits), schema)| {
        if action == "deny" {
            return json!({"action": "deny"});
        }
        let mut entry =
            json!({"action": action, "require": require, "deny_if": deny_if, "approve_if": approve_if, "limits": limits});
        if let Some(schema) = schema {
            entry["arguments"] = schema;
        }
        entry
    })
}

fn name() -> impl Strategy<Value = String> {
    "[ab*?]{1,3}"
}

fn document() -> impl Strategy<Value = Value> {
    (
        any::<bool>(),
        prop::bool::weighted(0.2),
        prop::collection::vec(name(), 0..2),
        entry(),
        prop::collection::btree_map(name(), entry(), 0..4),
        prop::option::weighted(0.3, any::<bool>()),
    )
        .prop_map(|(allow, shadow, hide, all_tools, tools, read)| {
            let word = |allow| if allow { "allow" } else { "deny" };
            let mut all_tools = all_tools;
            if let Some(all) = all_tools.as_object_mut() {
                all.remove("action");
                all.remove("arguments");
            }
            let mut policy = json!({"version": "1", "default": word(allow), "hide": hide, "all_tools": all_tools, "tools": tools});
            if shadow {
                policy["mode"] = json!("shadow");
            }
            if let Some(open) = read {
                policy["methods"] = json!({"resources/read": word(open)});
            }
            policy
        })
}

/// A change of one part of a policy, so that most pairs are nearly equal.
fn nearly(old: &Value, part: usize, name: String, entry: &Value, at: prop::sample::Index) -> Value {
    let mut new = old.clone();
    match part {
        0 => new["tools"][name] = entry.clone(),
        1 => {
            let copied = new["tools"].as_object().unwrap().values().next().cloned();
            new["tools"][name] = copied.unwrap_or(json!({}));
        }
        2 => new["hide"].as_array_mut().unwrap().push(json!(name)),
        3 => drop(new["hide"].as_array_mut().unwrap().pop()),
        4 => drop(new["tools"].as_object_mut().unwrap().remove(&name)),
        5 => new["default"] = json!("deny"),
        6 => new["mode"] = json!("shadow"),
        _ => within(&mut new, part, entry, at),
    }
    new
}

/// One part of a limit with another value.
fn another_part(at: prop::sample::Index) -> (&'static str, Value) {
    let mut parts = vec![
        ("max", json!(5)),
        ("window", json!("hour")),
        ("scope", json!("server")),
        ("on_deny", json!("no")),
        ("on_store_error", json!("allow")),
        ("max_values", json!(7)),
        ("counter", json!("e")),
    ];
    parts.swap_remove(at.index(7))
}

/// A change within one entry, or within `all_tools`.
fn within(new: &mut Value, part: usize, entry: &Value, at: prop::sample::Index) {
    let (all, tools) = (new["all_tools"].take(), new["tools"].take());
    let mut entries: Vec<(String, Value)> = vec![(String::new(), all)];
    let Value::Object(tools) = tools else {
        panic!("no tools")
    };
    entries.extend(tools);
    let count = entries.len();
    let (_, chosen) = &mut entries[at.index(count)];
    let list = match part % 4 {
        0 => "limits",
        1 => "require",
        2 => "approve_if",
        _ => "deny_if",
    };
    let given = entry
        .get(list)
        .and_then(Value::as_array)
        .cloned()
        .unwrap_or_default();
    match (chosen.get_mut(list).and_then(Value::as_array_mut), part % 5) {
        (None, _) => {}
        (Some(items), 0) => items.extend(given),
        (Some(items), 1) => drop(items.pop()),
        (Some(items), _) if list == "limits" => {
            let (key, value) = another_part(at);
            items.iter_mut().for_each(|item| item[key] = value.clone());
        }
        (Some(items), 2) => {
            // Each condition a block of its own: the same for `require`, and another thing for `deny_if`.
            let apart = items.iter().flat_map(|block| {
                let conditions = block["conditions"].as_array().unwrap().clone();
                let shadow = block["shadow"].clone();
                conditions
                    .into_iter()
                    .map(move |condition| json!({"conditions": [condition], "shadow": shadow}))
            });
            *items = apart.collect();
        }
        (Some(items), 3) if list == "approve_if" => {
            items.iter_mut().for_each(|block| block["approvers"] = json!(3))
        }
        (Some(items), 3) => items.iter_mut().for_each(|block| block["shadow"] = json!(true)),
        (Some(items), _) => {
            let conditions = conditions();
            for block in items {
                block["conditions"][0] = conditions[at.index(conditions.len())].clone();
            }
        }
    }
    let mut tools = serde_json::Map::new();
    for (name, entry) in entries {
        if name.is_empty() {
            new["all_tools"] = entry;
        } else {
            tools.insert(name, entry);
        }
    }
    new["tools"] = Value::Object(tools);
}

fn pair() -> impl Strategy<Value = (Value, Value)> {
    let change = (0_usize..60, name(), entry(), any::<prop::sample::Index>());
    let near = (document(), change)
        .prop_map(|(old, (part, name, entry, at))| (old.clone(), nearly(&old, part, name, &entry, at)));
    prop_oneof![7 => near, 1 => (document(), document())]
}

fn loaded(document: &Value) -> Option<Arc<Policy>> {
    load("p", "p.json", &document.to_string())
        .ok()
        .map(|loaded| Arc::new(loaded.policy))
}

/// Every name of up to three letters that the globs are about, and of one that they are not.
fn probes() -> Vec<String> {
    let letters = ["a", "b", "z"];
    let mut names = vec![String::new()];
    for length in 0..3 {
        let longest: Vec<String> = names
            .iter()
            .filter(|name| name.len() == length)
            .cloned()
            .collect();
        names.extend(
            longest
                .iter()
                .flat_map(|name| letters.map(|letter| format!("{name}{letter}"))),
        );
    }
    names
}

const ARGUMENTS: [&str; 9] = [
    "{}",
    r#"{"x":1}"#,
    r#"{"x":2,"y":"ab"}"#,
    r#"{"x":0,"y":"ba"}"#,
    r#"{"x":-1}"#,
    r#"{"x":9,"l":["a"]}"#,
    r#"{"x":"1","y":1,"l":[]}"#,
    r#"{"X":1,"y":"b","l":["a","b"]}"#,
    r#"{"x":null,"y":"a","l":"a"}"#,
];

/// Everything that a decision says but the names of rules.
fn decisions(policy: &Arc<Policy>) -> Vec<String> {
    let policies = std::slice::from_ref(policy);
    let caller = Caller {
        grant: "g",
        server: "s",
        session: Some("1"),
        claims: None,
    };
    let mut all = Vec::new();
    for tool in probes() {
        for arguments in ARGUMENTS {
            let call = Call {
                tool: &tool,
                arguments: Some(arguments),
            };
            let decision = plan_tool(policies, &caller, &call);
            let plan = match &decision.plan {
                Plan::Refuse(denial) if denial.outcome == Outcome::Hidden => "hidden".to_owned(),
                Plan::Refuse(_) => "refused".to_owned(),
                Plan::Ask { charges, ask } => format!("{} of {}", ask.approvers, shown(charges)),
                Plan::Admit(charges) => shown(charges),
            };
            all.push(format!(
                "{tool} {arguments}: {plan}, noted: {}",
                !decision.shadow.is_empty()
            ));
        }
    }
    for method in ["resources/read", "prompts/get", "ping"] {
        all.push(format!(
            "{method}: {}",
            plan_method(policies, method).denial().is_none()
        ));
    }
    all
}

fn config(cases: u32) -> Config {
    Config {
        cases,
        failure_persistence: None,
        ..Config::default()
    }
}

proptest! {
    #![proptest_config(config(300))]

    #[test]
    fn where_diff_is_silent_every_call_is_decided_alike((old, new) in pair()) {
        if let (Some(was), Some(now)) = (loaded(&old), loaded(&new))
            && diff(&was, &now, &[]).is_empty()
        {
            let (was, now) = (decisions(&was), decisions(&now));
            let first = was.iter().zip(&now).find(|(was, now)| was != now);
            prop_assert!(first.is_none(), "{first:#?}\n{old}\n{new}");
        }
    }

    #[test]
    fn a_policy_does_not_differ_from_itself_in_another_writing(document in document()) {
        if let (Some(policy), Some(other)) = (loaded(&document), loaded(&rewritten(&document))) {
            prop_assert_eq!(diff(&policy, &other, &[]), vec![], "{}", document);
        }
    }
}

/// The same policy: lists turned round, blocks of `require` taken apart, one value as a list of one.
fn rewritten(document: &Value) -> Value {
    let mut other = document.clone();
    let entries = other["tools"]
        .as_object_mut()
        .unwrap()
        .values_mut()
        .collect::<Vec<_>>();
    for entry in entries {
        rewrite(entry);
    }
    rewrite(&mut other["all_tools"]);
    other["hide"].as_array_mut().unwrap().reverse();
    other
}

fn rewrite(entry: &mut Value) {
    if let Some(require) = entry.get_mut("require").and_then(Value::as_array_mut) {
        let apart = require.iter().flat_map(|block| {
            let conditions = block["conditions"].as_array().unwrap().clone();
            let shadow = block["shadow"].clone();
            conditions
                .into_iter()
                .map(move |condition| json!({"conditions": [condition], "shadow": shadow}))
        });
        *require = apart.collect();
        require.reverse();
    }
    if entry["action"] == "require_approval" {
        entry["action"] = json!("allow");
        let every = json!({"conditions": []});
        entry["approve_if"].as_array_mut().unwrap().push(every);
    }
    for list in ["deny_if", "approve_if"] {
        let Some(blocks) = entry.get_mut(list).and_then(Value::as_array_mut) else {
            continue;
        };
        blocks.reverse();
        for block in blocks {
            let conditions = block["conditions"].as_array_mut().unwrap();
            conditions.reverse();
            for condition in conditions {
                if condition["op"] == "eq" {
                    condition["op"] = json!("in");
                    condition["value"] = json!([condition["value"]]);
                }
            }
        }
    }
}

/// Without this the properties could hold because nothing is ever equal, or everything.
#[test]
fn random_pairs_are_often_equal_and_often_not_and_what_is_told_is_often_true() {
    let mut runner = TestRunner::deterministic();
    let (mut equal, mut different, mut seen) = (0, 0, 0);
    for _ in 0..250 {
        let (old, new) = pair().new_tree(&mut runner).unwrap().current();
        let (Some(was), Some(now)) = (loaded(&old), loaded(&new)) else {
            continue;
        };
        if diff(&was, &now, &[]).is_empty() {
            equal += 1;
        } else {
            different += 1;
            seen += usize::from(decisions(&was) != decisions(&now));
        }
    }
    let said = format!("{equal} equal, {different} different, of which {seen} are seen in calls");
    assert!(
        equal > 30 && different > 60 && seen * 10 > different * 7,
        "{said}"
    );
}

fn shown(charges: &[Charge]) -> String {
    let charges: BTreeSet<String> = charges
        .iter()
        .map(|charge| {
            let limit = &charge.limit;
            format!(
                "{} {:?} {} {} {:?} {} {:?} {:?} {} {:?}",
                limit.counter,
                limit.window,
                limit.max,
                limit.scale,
                limit.max_values,
                limit.shadow,
                limit.on_deny,
                limit.on_store_error,
                charge.weight,
                charge.subject
            )
        })
        .collect();
    format!("{charges:?}")
}
