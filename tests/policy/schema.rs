//! The JSON Schema says what the reader does.

use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::TestRunner;
use serde_json::{Value, json};
use toolgate::policy::{load, schema, schema_text};

use super::samples::samples;

fn validator() -> jsonschema::Validator {
    jsonschema::options()
        .with_draft(jsonschema::Draft::Draft202012)
        .build(&schema())
        .unwrap()
}

#[test]
fn the_schema_that_is_checked_in_is_current() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/schema/policy.schema.json");
    let recorded = std::fs::read_to_string(path).unwrap_or_default();
    assert!(
        recorded == schema_text(),
        "schema/policy.schema.json is out of date; run `make schema`"
    );
}

#[test]
fn the_schema_is_a_schema() {
    assert!(jsonschema::meta::is_valid(&schema()));
}

#[test]
fn every_key_and_word_of_the_schema_is_described() {
    fn look(value: &Value, at: &str, found: &mut usize) {
        if let Some(properties) = value.get("properties").and_then(Value::as_object) {
            for (key, property) in properties {
                let about = property
                    .get("description")
                    .and_then(Value::as_str)
                    .unwrap_or_default();
                assert!(about.len() > 10, "{at}/{key} is not described");
                *found += 1;
            }
        }
        if value.get("const").is_some() {
            assert!(
                value.get("description").is_some_and(|about| about != ""),
                "{at} is not described"
            );
        }
        match value {
            Value::Object(map) => map
                .iter()
                .for_each(|(key, inner)| look(inner, &format!("{at}/{key}"), found)),
            Value::Array(items) => items.iter().for_each(|inner| look(inner, at, found)),
            _ => {}
        }
    }
    let mut found = 0;
    look(&schema(), "", &mut found);
    assert!(found >= 20, "only {found} keys were looked at");
}

#[test]
fn every_valid_json_sample_satisfies_the_schema() {
    let validator = validator();
    let mut looked_at = 0;
    for path in samples("valid", 12).iter().chain(&samples("warned", 5)) {
        if path.extension().is_some_and(|ending| ending == "json") {
            let text = std::fs::read_to_string(path).unwrap();
            let value: Value = serde_json::from_str(&text).unwrap();
            assert!(validator.is_valid(&value), "{}", path.display());
            looked_at += 1;
        }
    }
    assert!(looked_at >= 8, "only {looked_at} samples are JSON");
}

/// Whether a problem is one of shape, which a schema can express.
fn of_shape(message: &str) -> bool {
    ["unknown key", "must be", "needs the key", "is not supported yet"]
        .iter()
        .any(|part| message.contains(part))
}

#[test]
fn every_invalid_json_sample_with_a_wrong_shape_breaks_the_schema() {
    let validator = validator();
    let mut looked_at = 0;
    for path in samples("invalid", 35) {
        let text = std::fs::read_to_string(&path).unwrap();
        let problems = load("x", path.to_str().unwrap(), &text).unwrap_err();
        let wrong = problems.iter().any(|problem| of_shape(&problem.message));
        if let (true, Ok(value)) = (wrong, serde_json::from_str::<Value>(&text)) {
            assert!(!validator.is_valid(&value), "{}", path.display());
            looked_at += 1;
        }
    }
    assert!(looked_at >= 7, "only {looked_at} samples were looked at");
}

/// Values that fit somewhere and nowhere else, and values that fit nowhere.
fn scrap() -> impl Strategy<Value = Value> {
    prop::sample::select(vec![
        json!(null),
        json!(true),
        json!(0),
        json!(-1),
        json!(3),
        json!(1.5),
        json!(9_007_199_254_740_993_u64),
        json!(""),
        json!("1"),
        json!("x"),
        json!("allow"),
        json!("deny"),
        json!("require_approval"),
        json!("minute"),
        json!("15m"),
        json!("10/minute"),
        json!("grant"),
        json!("claim:team"),
        json!("calendar"),
        json!("local"),
        json!([]),
        json!({}),
        json!(["x", "a*"]),
        json!([{}]),
        json!({"t": {}}),
        json!({"limits": []}),
        json!({"max": 3, "window": 60}),
        json!([{"counter": "c", "window": "hour", "max": 9}]),
        json!("args.b"),
        json!("exists"),
        json!([{"conditions": []}]),
        json!([{"conditions": [{"path": "tool.name", "op": "eq", "value": 1}]}]),
        json!([{"path": "args.a", "op": "nothing"}]),
    ])
}

const KEYS: [&str; 33] = [
    "$schema",
    "version",
    "default",
    "mode",
    "hide",
    "all_tools",
    "tools",
    "methods",
    "record",
    "limits",
    "require",
    "deny_if",
    "conditions",
    "on_deny",
    "path",
    "op",
    "value",
    "action",
    "reason",
    "rate_limit",
    "arguments",
    "concurrency",
    "lease",
    "counter",
    "window",
    "max",
    "scope",
    "weight",
    "scale",
    "on_store_error",
    "max_values",
    "shadow",
    "maxx",
];

/// A sound policy with up to three keys, anywhere in it, set to scrap or taken out.
fn broken() -> impl Strategy<Value = Value> {
    let places = prop::sample::select(vec![
        "",
        "/all_tools",
        "/tools/t",
        "/tools/t/limits/0",
        "/tools/t/rate_limit",
        "/tools/t/concurrency",
        "/tools/t/require/0",
        "/tools/t/require/0/conditions/0",
    ]);
    let change = (
        places,
        prop::sample::select(KEYS.to_vec()),
        prop::option::weighted(0.9, scrap()),
    );
    prop::collection::vec(change, 0..4).prop_map(|changes| {
        let mut policy = json!({
            "version": "1", "default": "deny", "all_tools": {"limits": []},
            "tools": {"t": {
                "limits": [{"counter": "c", "window": "hour", "max": 9}],
                "rate_limit": {"max": 3, "window": 60},
                "concurrency": {"counter": "c", "max": 2, "scope": "session", "lease": "10s"},
                "require": [{"conditions": [{"path": "args.a", "op": "exists"}]}]
            }}
        });
        for (place, key, value) in changes {
            if let Some(Value::Object(object)) = policy.pointer_mut(place) {
                match value {
                    Some(value) => object.insert(key.to_owned(), value),
                    None => object.remove(key),
                };
            }
        }
        policy
    })
}

#[test]
fn the_reader_and_the_schema_refuse_the_same_shapes() {
    let validator = validator();
    let mut runner = TestRunner::deterministic();
    let (mut sound, mut unsound) = (0, 0);
    for _ in 0..2_000 {
        let value = broken().new_tree(&mut runner).unwrap().current();
        let text = value.to_string();
        let found = load("x", "x.json", &text).err().unwrap_or_default();
        let wrong: Vec<_> = found
            .iter()
            .filter(|problem| of_shape(&problem.message))
            .collect();
        // An empty name is a matter of spelling to the reader and of shape to the schema.
        let spelling = found
            .iter()
            .any(|problem| problem.message.contains("name \"\"") || problem.message.contains("the path "));
        assert_eq!(
            validator.is_valid(&value),
            wrong.is_empty() && !spelling,
            "{text}\n{found:?}"
        );
        if wrong.is_empty() {
            sound += 1
        } else {
            unsound += 1
        }
    }
    assert!(
        sound > 200 && unsound > 200,
        "{sound} sound and {unsound} unsound policies: too few of one kind"
    );
}
