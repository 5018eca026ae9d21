//! What can be told from a record, and what cannot.

use std::collections::HashMap;

use serde_json::{Value, json};
use toolgate::policy::Claims;
use toolgate::replay::{Filter, Holder, Line, Replay, Report, Rulebook, Untold};

use super::history::{policy, replay, replay_as};

/// One line; fields replace those of a call that was allowed and answered.
pub fn line(second: u32, fields: Value) -> String {
    let mut line = json!({
        "time": format!("2026-01-01T{:02}:{:02}:{:02}.000Z", second / 3_600, second / 60 % 60, second % 60),
        "id": "0", "grant": "ci", "server": "s", "session": null, "method": "tools/call", "tool": "pay",
        "argument_keys": [], "policy": [], "outcome": "allowed", "rule": null, "message": null, "charges": [],
        "upstream": {"status": 200, "ms": 2.0, "ended": "answered", "refunded": false},
        "degraded": false, "replica": "r",
    });
    for (key, value) in fields.as_object().unwrap() {
        line[key] = value.clone();
    }
    line.to_string()
}

pub fn entry(entry: &str) -> String {
    format!(r#"{{"version":"1","default":"deny","tools":{{"pay":{entry}}}}}"#)
}

pub fn told(entry_text: &str, fields: Value) -> Report {
    replay(&policy(&entry(entry_text)), &[line(1, fields)])
}

/// `allowed`, the rule that denies, or `?` and the rule that cannot be told.
pub fn answer(report: &Report) -> String {
    assert_eq!(report.totals.decisions, 1, "{report:?}");
    match (report.differences.as_slice(), report.cannot_be_told.as_slice()) {
        ([], []) => "allowed".to_owned(),
        ([denied], []) => denied.now_rule.clone().unwrap(),
        ([], [untold]) => format!("? {}", untold.rule),
        other => panic!("{other:?}"),
    }
}

const LTE: &str = r#"{"require":[{"conditions":[{"path":"args.amount","op":"lte","value":100}]}]}"#;
const DENY_IF: &str = r#"{"deny_if":[{"conditions":[{"path":"args.opts.force","op":"eq","value":true}]}]}"#;

#[test]
#[expect(clippy::too_many_lines, reason = "a table of cases reads best in one piece")]
fn a_rule_on_a_value_is_told_where_the_value_is_on_record_or_surely_missing() {
    let cases = [
        (
            LTE,
            json!({"argument_keys": ["amount"], "recorded": {"args.amount": 100}}),
            "allowed",
        ),
        (
            LTE,
            json!({"argument_keys": ["amount"], "recorded": {"args.amount": 100.5}}),
            "/tools/pay/require/0",
        ),
        (
            LTE,
            json!({"argument_keys": ["amount"], "recorded": {"args.amount": "1"}}),
            "/tools/pay/require/0",
        ),
        (
            LTE,
            json!({"argument_keys": ["amount"]}),
            "? /tools/pay/require/0",
        ),
        (
            LTE,
            json!({"argument_keys": ["amount", "x"], "recorded": {"args.x": 1}}),
            "? /tools/pay/require/0",
        ),
        (LTE, json!({"argument_keys": ["other"]}), "/tools/pay/require/0"),
        (LTE, json!({}), "/tools/pay/require/0"),
        (
            LTE,
            json!({"argument_keys": ["amount", "Amount"]}),
            "/tools/pay/require/0",
        ),
        (LTE, json!({"argument_keys": ["AMOUNT"]}), "/tools/pay/require/0"),
        (DENY_IF, json!({"argument_keys": ["id"]}), "allowed"),
        (
            DENY_IF,
            json!({"argument_keys": ["opts"]}),
            "? /tools/pay/deny_if/0",
        ),
        (
            DENY_IF,
            json!({"argument_keys": ["opts"], "recorded": {"args.opts.force": true}}),
            "/tools/pay/deny_if/0",
        ),
        (
            DENY_IF,
            json!({"argument_keys": ["opts"], "recorded": {"args.opts.force": false}}),
            "allowed",
        ),
        (
            DENY_IF,
            json!({"argument_keys": ["opts"], "recorded": {"args.opts": {"force": true}}}),
            "/tools/pay/deny_if/0",
        ),
        (
            DENY_IF,
            json!({"argument_keys": ["opts"], "recorded": {"args.opts": {}}}),
            "allowed",
        ),
        (
            DENY_IF,
            json!({"argument_keys": ["opts"], "recorded": {"args.opts": "{}"}}),
            "/tools/pay/deny_if/0",
        ),
        (
            DENY_IF,
            json!({"argument_keys": ["opts"], "recorded": {"args.opts.other": 1}}),
            "? /tools/pay/deny_if/0",
        ),
    ];
    for (policy, fields, wanted) in cases {
        let report = told(policy, fields.clone());
        assert_eq!(answer(&report), wanted, "{policy} {fields}");
    }
}

#[test]
fn what_cannot_be_told_says_which_path_to_record() {
    let report = told(LTE, json!({"argument_keys": ["amount"]}));
    let wanted = Untold {
        rule: "/tools/pay/require/0".to_owned(),
        why: "`args.amount` is not on record".to_owned(),
        remedy: Some(r#"add `record: ["args.amount"]` to the policy that is live"#.to_owned()),
        count: 1,
    };
    assert_eq!(report.cannot_be_told, [wanted]);
}

#[test]
fn presence_and_elements_are_told_as_far_as_names_and_values_go() {
    let exists = r#"{"require":[{"conditions":[{"path":"args.branch","op":"exists"}]}]}"#;
    assert_eq!(
        answer(&told(exists, json!({"argument_keys": ["branch"]}))),
        "allowed"
    );
    assert_eq!(
        answer(&told(exists, json!({"argument_keys": ["x"]}))),
        "/tools/pay/require/0"
    );
    let deeper = r#"{"require":[{"conditions":[{"path":"args.branch.name","op":"exists"}]}]}"#;
    assert_eq!(
        answer(&told(deeper, json!({"argument_keys": ["branch"]}))),
        "? /tools/pay/require/0"
    );
    let second = r#"{"require":[{"conditions":[{"path":"args.list[1]","op":"eq","value":7}]}]}"#;
    let fields = json!({"argument_keys": ["list"], "recorded": {"args.list[1]": 7}});
    assert_eq!(answer(&told(second, fields)), "allowed");
    let each = r#"{"require":[{"conditions":[{"path":"args.list[*].x","op":"eq","value":7}]}]}"#;
    // the only element of a list of one, or not: the record does not say
    let fields = json!({"argument_keys": ["list"], "recorded": {"args.list[*].x": 7, "args.list[0].x": 7}});
    assert_eq!(answer(&told(each, fields)), "? /tools/pay/require/0");
    let fields = json!({"argument_keys": ["list"], "recorded": {"args.list": [{"x": 7}, {"x": 7.0}]}});
    assert_eq!(answer(&told(each, fields)), "allowed");
}

#[test]
fn names_that_a_record_may_have_cut_prove_nothing_missing() {
    let many: Vec<String> = (0..32).map(|n| format!("k{n}")).collect();
    assert_eq!(
        answer(&told(LTE, json!({"argument_keys": many}))),
        "? /tools/pay/require/0"
    );
    assert_eq!(
        answer(&told(LTE, json!({"argument_keys": &many[..31]}))),
        "/tools/pay/require/0"
    );
    let long = ["x".repeat(64)];
    assert_eq!(
        answer(&told(LTE, json!({"argument_keys": long}))),
        "? /tools/pay/require/0"
    );
    let fields = json!({"argument_keys": many, "recorded": {"args.amount": 3}});
    assert_eq!(answer(&told(LTE, fields)), "allowed");
    let tool = "t".repeat(128);
    let report = replay(&policy(&entry("{}")), &[line(1, json!({"tool": tool}))]);
    assert_eq!(answer(&report), "? (name)");
}

#[test]
fn a_denial_that_is_certain_is_told_whatever_other_rules_would_say() {
    let before = r#"{"require":[{"conditions":[{"path":"args.a","op":"exists"}]},{"conditions":[{"path":"args.b","op":"eq","value":1}]}]}"#;
    assert_eq!(
        answer(&told(before, json!({"argument_keys": ["b"]}))),
        "/tools/pay/require/0"
    );
    let behind = r#"{"require":[{"conditions":[{"path":"args.b","op":"eq","value":1}]}],"deny_if":[{"conditions":[{"path":"args.a","op":"exists"}]}]}"#;
    assert_eq!(
        answer(&told(behind, json!({"argument_keys": ["a", "b"]}))),
        "/tools/pay/deny_if/0"
    );
    let beside = r#"{"require":[{"conditions":[{"path":"args.b","op":"eq","value":1},{"path":"args.a","op":"exists"}]}]}"#;
    assert_eq!(
        answer(&told(beside, json!({"argument_keys": ["b"]}))),
        "/tools/pay/require/0"
    );
    // a condition of `deny_if` that does not hold does not save one that may be doubtful
    let doubtful = r#"{"deny_if":[{"conditions":[{"path":"args.b","op":"eq","value":1},{"path":"args.a","op":"exists"}]}]}"#;
    assert_eq!(
        answer(&told(doubtful, json!({"argument_keys": ["b"]}))),
        "? /tools/pay/deny_if/0"
    );
}

#[test]
fn a_schema_is_told_where_every_argument_is_on_record() {
    let schema = r#"{"arguments":{"type":"object","required":["a"],"properties":{"a":{"type":"integer"}}}}"#;
    let whole = json!({"argument_keys": ["a", "b"], "recorded": {"args.a": 1, "args.b": [1, {"c": null}]}});
    assert_eq!(answer(&told(schema, whole)), "allowed");
    assert_eq!(answer(&told(schema, json!({}))), "/tools/pay/arguments");
    let part = json!({"argument_keys": ["a", "b"], "recorded": {"args.a": 1}});
    assert_eq!(answer(&told(schema, part)), "? /tools/pay/arguments");
    let deeper = json!({"argument_keys": ["a"], "recorded": {"args.a.b": 1}});
    assert_eq!(answer(&told(schema, deeper)), "? /tools/pay/arguments");
    let lookalike = json!({"argument_keys": ["A"]});
    assert_eq!(answer(&told(schema, lookalike)), "/tools/pay/arguments");
}

#[test]
fn a_rule_in_shadow_that_cannot_be_told_leaves_the_decision_certain() {
    let shadow = LTE.replace(r#"{"conditions""#, r#"{"shadow":true,"conditions""#);
    assert_eq!(
        answer(&told(&shadow, json!({"argument_keys": ["amount"]}))),
        "allowed"
    );
    let report = told(
        &shadow,
        json!({"argument_keys": ["amount"], "recorded": {"args.amount": 101}}),
    );
    assert_eq!((answer(&report).as_str(), report.shadow[0].count), ("allowed", 1));
    let mode = format!(r#"{{"version":"1","mode":"shadow","default":"deny","tools":{{"pay":{LTE}}}}}"#);
    let report = replay(&policy(&mode), &[line(1, json!({"argument_keys": ["amount"]}))]);
    assert_eq!(answer(&report), "allowed");
}

#[test]
fn a_grant_is_judged_by_its_own_policies_and_claims() {
    let by_claim = r#"{"require":[{"conditions":[{"path":"grant.claims.team","op":"eq","value":"data"}]}]}"#;
    let policies = policy(&entry(by_claim));
    let report = replay(&policies, &[line(1, json!({}))]);
    assert_eq!(answer(&report), "? /tools/pay/require/0");
    assert!(
        report.cannot_be_told[0]
            .remedy
            .as_ref()
            .unwrap()
            .contains("--config")
    );

    let holder = |team: &str, expires_ms| Holder {
        policies: policies.clone(),
        servers: vec!["s".to_owned()],
        expires_ms,
        claims: Claims::read(&format!(r#"{{"team":"{team}"}}"#)),
    };
    let grants = || {
        let grants = [
            ("ci", holder("data", None)),
            ("web", holder("web", None)),
            ("old", holder("data", Some(1_767_225_601_000))),
        ];
        let bare = Holder {
            policies: vec![],
            ..holder("data", None)
        };
        let all = grants.into_iter().chain([("bare", bare)]);
        Rulebook::Grants(
            all.map(|(id, holder)| (id.to_owned(), holder))
                .collect::<HashMap<_, _>>(),
        )
    };
    for (fields, wanted) in [
        (json!({}), "allowed"),
        (json!({"grant": "web"}), "/tools/pay/require/0"),
        (json!({"grant": "gone"}), "(unknown grant)"),
        (json!({"server": "t"}), "(server)"),
        (json!({"grant": "old"}), "(expired)"),
        (json!({"grant": "bare"}), "(no policy)"),
    ] {
        let report = replay_as(grants(), &[line(1, fields.clone())]);
        assert_eq!(answer(&report), wanted, "{fields}");
    }
}

#[test]
fn other_methods_follow_the_policy_and_what_no_policy_judged_is_left_out() {
    let policies = policy(&entry("{}"));
    let lines = [
        line(1, json!({"method": "resources/read", "tool": null})),
        line(2, json!({"method": "tools/list", "tool": null})),
        line(3, json!({"method": "GET", "tool": null})),
        line(
            3,
            json!({"method": "(unreadable)", "tool": null, "outcome": "invalid"}),
        ),
        line(3, json!({"grant": null, "outcome": "unauthenticated"})),
        r#"{"event":"listening","proxy":"127.0.0.1:1","admin":"127.0.0.1:2"}"#.to_owned(),
        String::new(),
    ];
    let report = replay(&policies, &lines);
    let totals = &report.totals;
    assert_eq!((totals.lines, totals.decisions, totals.not_judged), (7, 2, 5));
    assert_eq!((totals.newly_denied, totals.alike, totals.malformed), (1, 1, 0));
    assert_eq!(report.differences[0].tool, "resources/read");
}

#[test]
fn a_filter_counts_some_and_simulates_all() {
    let shared = r#"{"limits":[{"counter":"c","window":"minute","max":1,"scope":"global"}]}"#;
    let filter = Filter {
        grant: Some("web".to_owned()),
        server: None,
    };
    let mut replay = Replay::new(Rulebook::Everyone(policy(&entry(shared))), filter);
    for text in [line(1, json!({})), line(2, json!({"grant": "web"}))] {
        replay.take(Line::read(text.as_bytes()).unwrap());
    }
    let totals = replay.end().totals;
    assert_eq!(
        (totals.filtered, totals.decisions, totals.newly_denied),
        (1, 1, 1)
    );
}

#[test]
fn no_value_stands_in_what_a_malformed_line_is_told_for() {
    for text in [
        r#"{"outcome":"allowed","grant":{"secret":1}}"#,
        r#"{"outcome":"secret"}"#,
        r#"{"secret"#,
        r#"{"outcome":"allowed","time":"secret","method":"x","server":"s"}"#,
        "secret",
    ] {
        let why = Line::read(text.as_bytes()).unwrap_err();
        assert!(!why.contains("secret"), "{why}");
    }
}
