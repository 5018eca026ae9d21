use super::super::load::load;
use super::*;

fn policy(text: &str) -> Policy {
    load("p", "p.yaml", text)
        .map_err(|problems| format!("{problems:#?}\n{text}"))
        .unwrap()
        .policy
}

fn told(old: &str, new: &str) -> Vec<String> {
    let (old, new) = (format!("version: \"1\"\n{old}"), format!("version: \"1\"\n{new}"));
    diff(&policy(&old), &policy(&new), &[])
        .into_iter()
        .map(|Difference { about, text, .. }| format!("{about}: {text}"))
        .collect()
}

#[test]
fn what_stands_elsewhere_or_is_written_otherwise_is_no_difference() {
    for (old, new) in [
        // order, and the three forms of a minute
        (
            "default: deny\ntools: { a: { limits: [{counter: c, window: minute, max: 9}, {counter: d, window: 60, max: 8}] }, b: {} }",
            "default: deny\ntools: { b: { action: allow }, a: { limits: [{counter: d, window: 1m, max: 8}, {counter: c, window: 60s, max: 9, scope: grant, weight: 1}] } }",
        ),
        (
            "default: deny\ntools: { a: { rate_limit: 10/minute } }",
            "default: deny\ntools: { a: { rate_limit: {max: 10, window: 60} } }",
        ),
        (
            "default: deny\ntools: { a: { rate_limit: 10/minute } }",
            "default: deny\ntools: { a: { limits: [{counter: a_rate, window: minute, max: 10, scope: session}] } }",
        ),
        // an exact entry equal to what its glob says
        (
            "default: deny\ntools: { \"a_*\": { action: deny, reason: no } }",
            "default: deny\ntools: { \"a_*\": { action: deny, reason: no }, a_b: { action: deny, reason: no } }",
        ),
        // hidden, or not named where nothing is allowed
        ("default: deny\nhide: [x]", "default: deny"),
        // entries that never apply
        (
            "default: allow\nhide: [\"*\"]",
            "default: allow\nhide: [\"*\"]\ntools: { a: {} }",
        ),
        // blocks and conditions in another order, one block for two
        (
            "default: deny\ntools: { a: { require: [{conditions: [{path: args.x, op: eq, value: 1}, {path: args.y, op: in, value: [2, 3]}]}] } }",
            "default: deny\ntools: { a: { require: [{conditions: [{path: args.y, op: in, value: [3.0, 2]}]}, {conditions: [{path: 'args[\"x\"]', op: in, value: [1e0]}]}] } }",
        ),
        // the same limit for all, or for each
        (
            "default: deny\nall_tools: { limits: [{counter: c, window: day, max: 5}] }\ntools: { a: {}, b: {} }",
            "default: deny\ntools: { a: { limits: [{counter: c, window: day, max: 5}] }, b: { limits: [{counter: c, window: day, max: 5}] } }",
        ),
        // the same usage twice is charged against its smallest max
        (
            "default: deny\nall_tools: { limits: [{counter: c, window: day, max: 50}] }\ntools: { a: { limits: [{counter: c, window: day, max: 5}] } }",
            "default: deny\ntools: { a: { limits: [{counter: c, window: day, max: 5}] } }",
        ),
        (
            "default: deny\nall_tools: { limits: [{counter: c, window: day, max: 5}] }\ntools: { a: { limits: [{counter: c, window: day, max: 50}] } }",
            "default: deny\ntools: { a: { limits: [{counter: c, window: day, max: 5}] } }",
        ),
        // and with the strictest answer to a store that is down
        (
            "default: deny\nall_tools: { limits: [{counter: c, window: day, max: 5}] }\ntools: { a: { limits: [{counter: c, window: day, max: 5, on_store_error: allow}] } }",
            "default: deny\ntools: { a: { limits: [{counter: c, window: day, max: 5}] } }",
        ),
        // an action that asks, or a block that always holds
        (
            "default: deny\ntools: { a: { action: require_approval, reason: money, approvers: 2 } }",
            "default: deny\ntools: { a: { approve_if: [{conditions: [], approvers: 2, on_deny: money}] } }",
        ),
    ] {
        assert_eq!(told(old, new), Vec::<String>::new(), "{old}\n{new}");
    }
}

#[test]
fn what_becomes_of_a_tool_is_told_in_words() {
    let old =
        "default: allow\ntools: { delete_all: {}, push: {}, gone: { action: deny }, x: { action: deny } }";
    let new = "default: allow
hide: [gone]
tools:
  delete_all: { action: deny }
  push: { require: [{conditions: [{path: args.branch, op: neq, value: main}]}] }
  x: { arguments: { type: object }, limits: [{counter: c, window: hour, max: 3}] }";
    let expected = [
        "delete_all: was allowed, now denied",
        "gone: was denied, now hidden",
        "push: new require: args.branch neq \"main\"",
        "x: was denied, now allowed under a schema for its arguments; limit c: 3 per hour for each grant",
    ];
    assert_eq!(told(old, new), expected);
    let back: Vec<String> = told(new, old);
    assert_eq!(back[2], "push: no longer require: args.branch neq \"main\"");
}

#[test]
fn asking_is_told_as_a_rule_more_than_allowing_and_as_less_than_denying() {
    let entry = |rest: &str| format!("default: deny\ntools: {{ pay: {{ {rest} }} }}");
    let above = "approve_if: [{conditions: [{path: args.amount, op: gt, value: 100}]}]";
    for (old, new, text) in [
        ("", "action: require_approval", "new approval: every call"),
        ("action: require_approval", "", "no longer approval: every call"),
        ("", above, "new approval: args.amount gt 100"),
        (
            "action: deny",
            "action: require_approval, approvers: 2",
            "was denied, now allowed under approval: every call, by 2 people",
        ),
        (
            "action: require_approval",
            "action: deny",
            "was allowed, now denied",
        ),
        (
            "action: require_approval",
            "action: require_approval, approvers: 3",
            "approval: every call → every call, by 3 people",
        ),
        (
            "action: require_approval",
            "action: require_approval, reason: money",
            "approval: every call, told otherwise where it asks",
        ),
        (
            "approve_if: [{conditions: []}]",
            "approve_if: [{conditions: [], shadow: true}]",
            "no longer approval: every call|new approval: every call, in shadow",
        ),
    ] {
        let expected: Vec<String> = text.split('|').map(|text| format!("pay: {text}")).collect();
        let mut found = told(&entry(old), &entry(new));
        found.sort_by_key(|line| line.contains(": new "));
        assert_eq!(found, expected);
    }
}

#[test]
fn a_limit_is_told_before_and_after() {
    let limit =
        |rest: &str| format!("default: deny\ntools: {{ run: {{ limits: [{{counter: c, {rest}}}] }} }}");
    for (old, new, text) in [
        (
            "window: minute, max: 10",
            "window: minute, max: 5",
            "limit c: 10 per minute for each grant → 5 per minute for each grant",
        ),
        (
            "window: minute, max: 10",
            "window: hour, max: 10, mode: calendar",
            "limit c: 10 per minute for each grant → 10 per calendar hour for each grant",
        ),
        (
            "window: day, max: 10",
            "window: day, max: 10, scope: server, weight: 2",
            "limit c: 10 per day for each grant → 10 per day for all grants of the server, 2 a call",
        ),
        (
            "window: day, max: 10",
            "window: day, max: 10, increment_from: args.amount, scale: 2",
            "limit c: 10 per day for each grant → 10 per day for each grant, counting `args.amount`, 2 decimal places",
        ),
        (
            "window: day, max: 10",
            "window: day, max: 10, on_deny: enough",
            "limit c: 10 per day for each grant, told otherwise where it refuses",
        ),
        (
            "window: day, max: 10",
            "window: day, max: 10, on_store_error: allow",
            "limit c: 10 per day for each grant → 10 per day for each grant, passing uncounted without the store",
        ),
        (
            "window: day, max: 10",
            "window: day, max: 10, shadow: true",
            "limit c: 10 per day for each grant → 10 per day for each grant, in shadow",
        ),
    ] {
        assert_eq!(told(&limit(old), &limit(new)), [format!("run: {text}")]);
    }
}

#[test]
fn globs_are_told_by_what_they_match_and_the_rest_as_not_named() {
    assert_eq!(
        told("default: allow", "default: deny"),
        [
            "tools not named: was allowed, now hidden",
            "methods not named: was open, now closed"
        ]
    );
    let purge = "default: allow\ntools: { \"*_purge\": { action: deny } }";
    assert_eq!(
        told("default: allow", purge),
        ["tools that `*_purge` matches: was allowed, now denied"]
    );
    assert_eq!(
        told(
            "default: deny\ntools: { \"get_*\": {} }",
            "default: deny\ntools: { \"get_*\": {}, \"get_secret_*\": { action: deny } }"
        ),
        ["tools that both `get_*` and `get_secret_*` match: was allowed, now denied"]
    );
}

#[test]
fn what_all_tools_says_is_told_once() {
    let with = |max: u64| {
        format!(
            "default: deny\nall_tools: {{ limits: [{{counter: c, window: day, max: {max}}}] }}\ntools: {{ a: {{}}, b: {{}}, \"c_*\": {{}}, d: {{ action: deny }} }}"
        )
    };
    assert_eq!(
        told(&with(9), &with(8)),
        ["every tool: limit c: 9 per day for each grant → 8 per day for each grant"]
    );
}

#[test]
fn mode_methods_and_record_are_told() {
    assert_eq!(
        told(
            "default: deny\nmethods: { resources/read: allow }\nrecord: [args.a]",
            "default: deny\nmode: shadow\nrecord: [args.b]"
        ),
        [
            "the policy: was in force, now in shadow, where it blocks nothing",
            "the policy: the value of `args.a` is no longer recorded",
            "the policy: the value of `args.b` is now recorded",
            "method `resources/read`: was open, now closed",
        ]
    );
}

#[test]
fn a_schema_is_told_by_the_parts_that_changed() {
    let with = |max: u64| {
        format!(
            "default: deny\ntools: {{ a: {{ arguments: {{ type: object, properties: {{ n: {{ type: integer, maximum: {max} }} }} }} }} }}"
        )
    };
    assert_eq!(
        told(&with(10), &with(20)),
        ["a: schema of its arguments: /properties/n/maximum 10 → 20"]
    );
}

#[test]
fn a_list_of_tools_is_told_name_by_name() {
    let old = policy("{\"version\": \"1\", \"default\": \"deny\", \"tools\": {\"get_*\": {}}}");
    let new = policy("{\"version\": \"1\", \"default\": \"deny\"}");
    let found = diff(&old, &new, &["get_a", "put_a"]);
    let about: Vec<&str> = found.iter().map(|difference| difference.about.as_str()).collect();
    assert_eq!(about, ["get_a", "tools that `get_*` matches"]);
}

#[test]
fn more_globs_than_can_be_told_apart_are_never_called_equal() {
    let globs = |extra: &str| {
        let globs: Vec<String> = (0..24).map(|n| format!("\"*{n}a{n}b*{n}c*\"")).collect();
        let globs = globs.join(", ");
        policy(&format!(
            "{{\"version\": \"1\", \"default\": \"deny\", \"hide\": [{globs}{extra}]}}"
        ))
    };
    assert_eq!(diff(&globs(""), &globs(""), &[]), []);
    let found = diff(&globs(""), &globs(", \"x*\""), &[]);
    assert_eq!(found.len(), 1);
    assert!(found[0].text.starts_with("cannot be compared"));
}

#[test]
fn in_a_policy_in_shadow_the_order_of_limits_counts_where_some_are_in_shadow_by_themselves() {
    let (own, other) = (
        "{counter: c, window: day, max: 5, scope: session, max_values: 7, shadow: true}",
        "{counter: c, window: day, max: 5, scope: session, max_values: 8}",
    );
    let with = |first: &str, second: &str| {
        format!("default: deny\nmode: shadow\ntools: {{ a: {{ limits: [{first}, {second}] }} }}")
    };
    assert_eq!(told(&with(own, other), &with(own, other)), Vec::<String>::new());
    assert!(!told(&with(own, other), &with(other, own)).is_empty());
}

#[test]
fn calls_at_once_are_told_as_such() {
    let with = |max: u64| {
        format!("default: deny\ntools: {{ a: {{ concurrency: {{counter: c, max: {max}, lease: 10m}} }} }}")
    };
    let text = "a: limit c: 3 at once, with a lease of 10 minutes, for each grant → 2 at once, with a lease of 10 minutes, for each grant";
    assert_eq!(told(&with(3), &with(2)), [text]);
}
