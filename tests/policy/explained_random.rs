//! Random policies and calls for what an explanation is held against.

use proptest::prelude::*;

fn condition() -> impl Strategy<Value = String> {
    let paths = [
        "args.a",
        "args.b",
        "args.l[*]",
        "args.o.x",
        "grant.id",
        "grant.claims.team",
        "tool.name",
    ];
    let tests = [
        r#""op": "eq", "value": 1"#,
        r#""op": "neq", "value": "x""#,
        r#""op": "in", "value": [1, "x", null]"#,
        r#""op": "lt", "value": 2.5"#,
        r#""op": "exists""#,
        r#""op": "exists", "value": false"#,
        r#""op": "regex", "value": "^x$""#,
        r#""op": "not_contains", "value": "x""#,
        r#""op": "under", "value": "/w""#,
    ];
    (
        prop::sample::select(paths.to_vec()),
        prop::sample::select(tests.to_vec()),
    )
        .prop_map(|(path, test)| format!(r#"{{"path": "{path}", {test}}}"#))
}

fn block() -> impl Strategy<Value = String> {
    let conditions = prop::collection::vec(condition(), 0..3);
    (conditions, prop::bool::weighted(0.2)).prop_map(|(conditions, shadow)| {
        format!(
            r#"{{"conditions": [{}], "shadow": {shadow}}}"#,
            conditions.join(", ")
        )
    })
}

fn asking() -> impl Strategy<Value = String> {
    (block(), 1_u32..4).prop_map(|(block, approvers)| {
        let open = block.strip_suffix('}').unwrap();
        format!(r#"{open}, "approvers": {approvers}}}"#)
    })
}

/// The same counter always has the same window, scale and weight, so that most policies are sound together.
fn limit() -> impl Strategy<Value = String> {
    let counters = [
        r#""counter": "c", "window": "day""#,
        r#""counter": "d", "window": "hour", "mode": "calendar""#,
        r#""counter": "spend", "window": "day", "increment_from": "args.a", "scale": 2"#,
        r#""counter": "each", "window": "15m", "scope": "arg:b""#,
        r#""counter": "team", "window": "day", "scope": "claim:team""#,
        r#""counter": "loop", "window": "minute", "scope": "arguments""#,
        r#""counter": "7", "window": "week", "scope": "session""#,
    ];
    (
        prop::sample::select(counters.to_vec()),
        1_u64..4,
        prop::bool::weighted(0.2),
    )
        .prop_map(|(counter, max, shadow)| format!(r#"{{{counter}, "max": {max}, "shadow": {shadow}}}"#))
}

fn lists() -> impl Strategy<Value = String> {
    (
        prop::collection::vec(block(), 0..2),
        prop::collection::vec(block(), 0..2),
        prop::collection::vec(asking(), 0..2),
        prop::collection::vec(limit(), 0..3),
    )
        .prop_map(|(require, deny_if, approve_if, limits)| {
            format!(
                r#""require": [{}], "deny_if": [{}], "approve_if": [{}], "limits": [{}]"#,
                require.join(", "),
                deny_if.join(", "),
                approve_if.join(", "),
                limits.join(", ")
            )
        })
}

fn entry() -> impl Strategy<Value = String> {
    let schemas = [
        "{}",
        r#"{"required": ["a"]}"#,
        r#"{"properties": {"a": {"type": "number"}, "b": {"enum": ["x"]}}}"#,
    ];
    let at_once = ["", r#""concurrency": {"counter": "c", "max": 2}, "#];
    (
        prop::sample::select(vec![
            "deny",
            "require_approval",
            "allow",
            "allow",
            "allow",
            "allow",
        ]),
        prop::sample::select(schemas.to_vec()),
        prop::sample::select(at_once.to_vec()),
        lists(),
    )
        .prop_map(|(action, schema, at_once, lists)| {
            format!(r#"{{"action": "{action}", "arguments": {schema}, {at_once}{lists}}}"#)
        })
}

pub fn policy() -> impl Strategy<Value = String> {
    let keys = prop::sample::subsequence(vec!["t", "t*", "*", "u/v~w"], 0..4);
    let hide = prop::sample::subsequence(vec!["t", "x*", "u*"], 0..2);
    let methods = prop::sample::subsequence(
        vec![r#""resources/read": "allow""#, r#""prompts/get": "deny""#],
        0..=2,
    );
    (any::<bool>(), prop::bool::weighted(0.2), hide, lists(), keys, prop::collection::vec(entry(), 4), methods).prop_map(
        |(allow, shadow, hide, all, keys, entries, methods)| {
            let tools: Vec<String> = keys.iter().zip(entries).map(|(key, entry)| format!(r#""{key}": {entry}"#)).collect();
            let hide: Vec<String> = hide.iter().map(|name| format!("\"{name}\"")).collect();
            format!(
                r#"{{"version": "1", "default": "{}", "mode": "{}", "hide": [{}], "record": ["args.a"], "methods": {{{}}}, "all_tools": {{{all}}}, "tools": {{{}}}}}"#,
                if allow { "allow" } else { "deny" },
                if shadow { "shadow" } else { "enforce" },
                hide.join(", "),
                methods.join(", "),
                tools.join(", ")
            )
        },
    )
}

pub fn arguments() -> impl Strategy<Value = String> {
    let values = [
        "1",
        "2.25",
        "-1",
        "1e400",
        "9007199254740993",
        "\"x\"",
        "\"/w/x\"",
        "null",
        "true",
        "[]",
        "[1, \"x\"]",
        "[1, 2]",
        "{\"x\": 1}",
    ];
    let keys = ["a", "b", "l", "o", "A"];
    prop::collection::btree_map(
        prop::sample::select(keys.to_vec()),
        prop::sample::select(values.to_vec()),
        0..4,
    )
    .prop_map(|members| {
        let members: Vec<String> = members
            .iter()
            .map(|(key, value)| format!("\"{key}\": {value}"))
            .collect();
        format!("{{{}}}", members.join(", "))
    })
}
