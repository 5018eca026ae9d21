//! Policies and calls out of the bytes of an input.

use serde_json::{Map, Value, json};

use super::decide::push;
use super::dice::Dice;

pub const NAMES: [&str; 10] = ["a", "b", "ab", "a.b", "a/b", "*", "a*", "*b", "?", "a?"];
const KEYS: [&str; 7] = ["a", "b", "A", "amount", "x y", "0", "\u{17f}"];
const TEXTS: [&str; 14] = [
    "",
    "a",
    "main",
    "/work",
    "/work/a",
    "/work/../etc",
    "//x",
    "~/x",
    "100",
    "1e2",
    "\u{e9}\u{301}",
    "\0",
    "Main",
    "cus_1",
];
const NUMBERS: [&str; 24] = [
    "0",
    "-0",
    "1",
    "2",
    "2.5",
    "100",
    "0.99",
    "1.005",
    "-1",
    "1e2",
    "1E+2",
    "100.0",
    "9007199254740992",
    "9007199254740993",
    "-9007199254740993",
    "123456789012345678901234567890",
    "0.1",
    "0.30000000000000004",
    "1e308",
    "5e-324",
    "1e-400",
    "4611686018427387904",
    "18446744073709551616",
    "0.10",
];
const PATHS: [&str; 13] = [
    "args.a",
    "args.b",
    "args.a.b",
    "args.a[0]",
    "args.a[*]",
    "args.a[*].b",
    "args[\"x y\"]",
    "args.amount",
    "args.b[1].a",
    "grant.id",
    "grant.claims.team",
    "tool.name",
    "args.a.b.a.b",
];
const OPS: [&str; 16] = [
    "eq",
    "neq",
    "lt",
    "lte",
    "gt",
    "gte",
    "in",
    "not_in",
    "exists",
    "regex",
    "not_regex",
    "contains",
    "not_contains",
    "under",
    "not_in",
    "eq",
];
const PATTERNS: [&str; 10] = [
    "a", "^a$", "(?i)main", "^(a|b)*$", "\\d+", "[^a]", "", ".{0,40}", "(", "^/work/",
];

pub fn policy(dice: &mut Dice<'_>) -> Value {
    let mut policy = json!({"version": "1", "default": dice.one_of(&["allow", "deny"])});
    for _ in 0..dice.up_to(2) {
        push(&mut policy["hide"], json!(dice.one_of(&NAMES)));
    }
    for _ in 0..dice.up_to(2) {
        push(&mut policy["record"], json!(dice.one_of(&PATHS[..9])));
    }
    policy["all_tools"] = rules(dice);
    policy["tools"] = json!({});
    for _ in 0..dice.up_to(3) {
        let mut entry = rules(dice);
        if dice.rarely(5) {
            entry["action"] = json!(dice.one_of(&["deny", "require_approval"]));
        } else if dice.rarely(4) {
            entry["arguments"] = schema(dice);
        }
        policy["tools"][dice.one_of(&NAMES)] = entry;
    }
    policy
}

fn rules(dice: &mut Dice<'_>) -> Value {
    let mut rules = json!({});
    for (key, most) in [("require", 1), ("deny_if", 2)] {
        for _ in 0..dice.up_to(most) {
            push(&mut rules[key], block(dice));
        }
    }
    if dice.rarely(3) {
        push(&mut rules["approve_if"], asking(dice));
    }
    for _ in 0..dice.up_to(2) {
        push(&mut rules["limits"], limit(dice));
    }
    if dice.rarely(5) {
        let scope = dice.one_of(&["grant", "session", "server", "global"]);
        rules["concurrency"] = json!({"counter": "c", "max": 1 + dice.up_to(3), "scope": scope});
    }
    rules
}

pub fn block(dice: &mut Dice<'_>) -> Value {
    let conditions: Vec<Value> = (0..=dice.up_to(1)).map(|_| condition(dice)).collect();
    let mut block = json!({ "conditions": conditions });
    if dice.rarely(6) {
        block["shadow"] = json!(true);
    }
    block
}

pub fn asking(dice: &mut Dice<'_>) -> Value {
    let mut block = block(dice);
    if dice.rarely(2) {
        block["approvers"] = json!(1 + dice.up_to(2));
    }
    block
}

fn condition(dice: &mut Dice<'_>) -> Value {
    let (path, op) = (dice.one_of(&PATHS), dice.one_of(&OPS));
    let value = match op {
        "exists" => json!(dice.up_to(1) == 0),
        "regex" | "not_regex" => json!(dice.one_of(&PATTERNS)),
        "under" => json!(dice.one_of(&["/work", "/", "/work/a"])),
        "in" | "not_in" => Value::Array((0..=dice.up_to(2)).map(|_| plain(dice)).collect()),
        "lt" | "lte" | "gt" | "gte" => number(dice),
        _ => plain(dice),
    };
    json!({"path": path, "op": op, "value": value})
}

fn limit(dice: &mut Dice<'_>) -> Value {
    let mut limit = json!({
        "counter": dice.one_of(&["c", "d"]),
        "window": dice.one_of(&["minute", "day"]),
        "max": 1 + dice.up_to(200),
        "scope": dice.one_of(&["grant", "session", "server", "global", "claim:team", "arg:a", "arg:amount", "arguments"]),
    });
    match dice.up_to(4) {
        0 => limit["weight"] = json!(1 + dice.up_to(3)),
        1 => {
            limit["increment_from"] = json!(dice.one_of(&PATHS[..9]));
            limit["scale"] = json!(dice.up_to(4));
        }
        _ => {}
    }
    if dice.rarely(6) {
        limit["shadow"] = json!(true);
    }
    limit
}

fn schema(dice: &mut Dice<'_>) -> Value {
    let mut properties = Map::new();
    for _ in 0..dice.up_to(2) {
        let kind = dice.one_of(&[
            "number", "integer", "string", "array", "object", "boolean", "null",
        ]);
        let mut property = json!({ "type": kind });
        match kind {
            "number" | "integer" => {
                property[dice.one_of(&["minimum", "maximum", "multipleOf"])] = number(dice)
            }
            "string" => property["pattern"] = json!(dice.one_of(&PATTERNS)),
            "array" => property["maxItems"] = json!(dice.up_to(3)),
            _ => property["enum"] = json!([plain(dice)]),
        }
        properties.insert(dice.one_of(&KEYS).to_owned(), property);
    }
    let mut schema = json!({ "properties": properties });
    if dice.rarely(2) {
        schema["required"] = json!([dice.one_of(&KEYS)]);
    }
    if dice.rarely(3) {
        schema["additionalProperties"] = json!(false);
    }
    schema
}

/// A value that a rule may hold.
fn plain(dice: &mut Dice<'_>) -> Value {
    match dice.up_to(5) {
        0 => Value::Null,
        1 => json!(dice.up_to(1) == 0),
        2 => number(dice),
        3 => json!([dice.one_of(&TEXTS)]),
        _ => json!(dice.one_of(&TEXTS)),
    }
}

/// A number as serde_json keeps it.
fn number(dice: &mut Dice<'_>) -> Value {
    serde_json::from_str(dice.one_of(&NUMBERS)).unwrap_or_default()
}

/// The text of an object without duplicate keys, as a client could send it.
pub fn object(dice: &mut Dice<'_>, depth: u8) -> String {
    let mut members: Vec<(String, String)> = Vec::new();
    for _ in 0..dice.up_to(3) {
        let key = if dice.rarely(12) {
            dice.text()
        } else {
            dice.one_of(&KEYS).to_owned()
        };
        let key = Value::from(key).to_string();
        let value = value(dice, depth);
        if members.iter().all(|(known, _)| *known != key) {
            members.push((key, value));
        }
    }
    let members: Vec<String> = members
        .iter()
        .map(|(key, value)| format!("{key}:{value}"))
        .collect();
    format!("{{{}}}", members.join(","))
}

fn value(dice: &mut Dice<'_>, depth: u8) -> String {
    match dice.up_to(9) {
        0 => "null".to_owned(),
        1 => "true".to_owned(),
        2 => "false".to_owned(),
        3 | 4 => dice.one_of(&NUMBERS).to_owned(),
        5 if depth < 5 => object(dice, depth + 1),
        6 if depth < 5 => {
            let items: Vec<String> = (0..dice.up_to(3)).map(|_| value(dice, depth + 1)).collect();
            format!("[{}]", items.join(","))
        }
        7 => Value::from(dice.text()).to_string(),
        _ => Value::from(dice.one_of(&TEXTS)).to_string(),
    }
}
