//! Random policies, and pairs of them that are nearly equal.

use proptest::prelude::*;
use serde_json::{Value, json};

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

pub fn document() -> impl Strategy<Value = Value> {
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

pub fn pair() -> impl Strategy<Value = (Value, Value)> {
    let change = (0_usize..60, name(), entry(), any::<prop::sample::Index>());
    let near = (document(), change)
        .prop_map(|(old, (part, name, entry, at))| (old.clone(), nearly(&old, part, name, &entry, at)));
    prop_oneof![7 => near, 1 => (document(), document())]
}
