//! `arguments`: a JSON Schema in front of a tool.

use toolgate::policy::Outcome;

use super::asked::{passes, problems, refused, tool};

fn with(schema: &str) -> std::sync::Arc<toolgate::policy::Policy> {
    tool(&format!(r#"{{"arguments": {schema}}}"#))
}

#[test]
fn arguments_that_break_the_schema_are_refused_without_telling_the_value() {
    let policy = with(
        r#"{"type": "object", "required": ["amount"], "additionalProperties": false,
            "properties": {"amount": {"type": "number", "minimum": 0, "maximum": 100}, "note": {"type": "string"}}}"#,
    );
    assert!(passes(&policy, r#"{"amount": 99.5, "note": "x"}"#));
    let denial = refused(&policy, r#"{"amount": 777123}"#);
    assert_eq!(
        (denial.outcome, denial.rule.as_str()),
        (Outcome::Denied, "/tools/t/arguments")
    );
    assert_eq!(
        denial.message,
        "[POLICY DENIED] t: the argument `/amount` breaks `maximum` of the policy's schema. The call was not executed."
    );
    for arguments in [
        r#"{"amount": "5"}"#,
        r#"{"amount": -0.01}"#,
        "{}",
        r#"{"amount": 1, "x": 1}"#,
        r#"{"amount": null}"#,
        "[]",
    ] {
        assert!(!passes(&policy, arguments), "{arguments}");
    }
}

#[test]
fn a_number_that_servers_read_in_two_ways_is_refused() {
    let policy = with(r#"{"properties": {"n": {"type": "number", "maximum": 9007199254740992}}}"#);
    assert!(passes(&policy, r#"{"n": 9007199254740992}"#));
    for n in [
        "9007199254740993",
        "0.10000000000000000001",
        "1e-400",
        "18446744073709551617",
    ] {
        assert!(!passes(&policy, &format!(r#"{{"n": {n}}}"#)), "{n}");
        assert!(!passes(&policy, &format!(r#"{{"other": [{n}]}}"#)), "{n}");
    }
    let cents = with(r#"{"properties": {"n": {"type": "number", "multipleOf": 0.01}}}"#);
    for (n, allowed) in [("4.35", true), ("0.07", true), ("1.005", false), ("1e2", true)] {
        assert_eq!(passes(&cents, &format!(r#"{{"n": {n}}}"#)), allowed, "{n}");
    }
}

#[test]
fn a_key_that_only_case_tells_from_a_property_is_refused() {
    let policy =
        with(r#"{"properties": {"amount": {"type": "number", "maximum": 5}}, "required": ["memo"]}"#);
    assert!(passes(&policy, r#"{"amount": 1, "memo": "x", "other": 1}"#));
    for key in ["Amount", "AMOUNT", "amoun\\u0054", "Memo"] {
        let denial = refused(&policy, &format!(r#"{{"memo": "x", "{key}": 100}}"#));
        assert!(
            denial.message.contains("in case only"),
            "{key}: {}",
            denial.message
        );
    }
}

#[test]
fn patterns_run_in_linear_time() {
    let policy = with(r#"{"properties": {"a": {"type": "string", "pattern": "^(a+)+$"}}}"#);
    let text = "a".repeat(100_000);
    assert!(passes(&policy, &format!(r#"{{"a": "{text}"}}"#)));
    assert!(!passes(&policy, &format!(r#"{{"a": "{text}!"}}"#)));
    for pattern in ["(?=a)b", "(a)\\\\1", "(", "(a{900}){900}"] {
        let schema = format!(
            r#"{{"arguments": {{"properties": {{"a": {{"type": "string", "pattern": "{pattern}"}}}}}}}}"#
        );
        assert!(!problems(&schema).is_empty(), "{pattern}");
    }
}

#[test]
fn references_stay_within_the_schema_and_come_to_an_end() {
    let policy = with(
        r##"{"properties": {"from": {"$ref": "#/$defs/account"}}, "required": ["from"],
             "$defs": {"account": {"type": "string", "pattern": "^[0-9]{4}$"}}}"##,
    );
    assert!(passes(&policy, r#"{"from": "1234"}"#));
    assert!(!passes(&policy, r#"{"from": "12345"}"#));
    let chain = (0..20)
        .map(|n| format!(r##""d{n}": {{"$ref": "#/$defs/d{}"}}"##, n + 1))
        .collect::<Vec<_>>()
        .join(",");
    let wide = (0..30)
        .map(|n| {
            format!(
                r##""d{n}": {{"allOf": [{{"$ref": "#/$defs/d{m}"}}, {{"$ref": "#/$defs/d{m}"}}]}}"##,
                m = n + 1
            )
        })
        .collect::<Vec<_>>()
        .join(",");
    let wide_flat = (0..14)
        .map(|n| {
            format!(
                r##""d{n}": {{"allOf": [{{"$ref": "#/$defs/d{m}"}}, {{"$ref": "#/$defs/d{m}"}}]}}"##,
                m = n + 1
            )
        })
        .collect::<Vec<_>>()
        .join(",");
    for schema in [
        r##"{"$ref": "#"}"##.to_owned(),
        r##"{"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/a"}}}"##.to_owned(),
        r##"{"$ref": "#/$defs/a", "$defs": {"a": {"properties": {"x": {"$ref": "#/$defs/a"}}}}}"##.to_owned(),
        r##"{"$ref": "#/$defs/nothing"}"##.to_owned(),
        r##"{"$ref": "https://example.com/schema.json"}"##.to_owned(),
        r##"{"$ref": "file:///etc/passwd"}"##.to_owned(),
        r##"{"$id": "https://example.com/x"}"##.to_owned(),
        format!(r##"{{"$ref": "#/$defs/d0", "$defs": {{{chain}, "d20": {{}}}}}}"##),
        format!(r##"{{"$ref": "#/$defs/d0", "$defs": {{{wide}, "d30": {{}}}}}}"##),
        format!(r##"{{"$ref": "#/$defs/d0", "$defs": {{{wide_flat}, "d14": {{}}}}}}"##),
    ] {
        let found = problems(&format!(r#"{{"arguments": {schema}}}"#));
        assert_eq!(found.lines().count(), 1, "{schema}\n{found}");
    }
}

#[test]
fn a_schema_that_would_be_followed_in_part_is_a_problem_of_the_policy() {
    for (schema, part) in [
        (
            r#"{"properties": {"a": {"maximun": 5}}}"#,
            "did you mean `maximum`?",
        ),
        (r#"{"properties": {"a": {"type": "strnig"}}}"#, "no JSON Schema"),
        (r#"{"required": "a"}"#, "no JSON Schema"),
        (
            r#"{"properties": {"a": {"maximum": 9007199254740993}}}"#,
            "more digits",
        ),
        (
            r#"{"properties": {"a": {"format": "colour"}}}"#,
            "the formats are",
        ),
        (
            r#"{"$schema": "http://json-schema.org/draft-07/schema#"}"#,
            "2020-12",
        ),
        (r##"{"$dynamicRef": "#x"}"##, "unknown keyword"),
        ("[]", "must be a JSON Schema"),
        ("true", "must be a JSON Schema"),
    ] {
        let found = problems(&format!(r#"{{"arguments": {schema}}}"#));
        assert!(found.contains(part), "{schema}: {found}");
    }
}

#[test]
fn the_schema_is_asked_before_require() {
    let policy = tool(
        r#"{"arguments": {"required": ["a"]}, "require": [{"conditions": [{"path": "args.a", "op": "eq", "value": 1}]}]}"#,
    );
    assert_eq!(refused(&policy, "{}").rule, "/tools/t/arguments");
    assert_eq!(refused(&policy, r#"{"a": 2}"#).rule, "/tools/t/require/0");
    assert!(passes(&policy, r#"{"a": 1}"#));
}

#[test]
fn formats_are_checked() {
    let policy = with(r#"{"properties": {"at": {"type": "string", "format": "date"}}}"#);
    assert!(passes(&policy, r#"{"at": "2026-02-28"}"#));
    assert!(!passes(&policy, r#"{"at": "2026-02-30"}"#));
}
