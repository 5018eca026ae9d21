//! Rules on trial: `mode: shadow`, and `shadow: true` on a block or a limit.

use std::sync::Arc;

use proptest::prelude::*;

use toolgate::policy::{
    Call, Caller, Claims, Decision, Plan, Policy, Subject, load, plan_method, plan_tool, visible,
};

use super::asked::{CALLER, tool};
use super::conditions::{arguments, block, blocks, config};

fn policy(name: &str, text: &str) -> Arc<Policy> {
    Arc::new(load(name, "p.yaml", text).unwrap().policy)
}

fn decide(policies: &[Arc<Policy>], arguments: &str) -> Decision {
    let call = Call {
        tool: "t",
        arguments: Some(arguments),
    };
    plan_tool(policies, &CALLER, &call)
}

fn noted(decision: &Decision) -> Vec<&str> {
    decision
        .shadow
        .iter()
        .map(|denial| denial.rule.as_str())
        .collect()
}

fn charged(decision: &Decision) -> Vec<&str> {
    match &decision.plan {
        Plan::Admit(charges) => charges.iter().map(|charge| charge.limit.rule.as_str()).collect(),
        other => panic!("not admitted: {other:?}"),
    }
}

/// One policy for each stage that can refuse, and the rule that does.
const REFUSING: [(&str, &str); 6] = [
    ("default: allow\nhide: [t]", "(hidden)"),
    ("default: deny", "(default deny)"),
    ("default: deny\ntools: { t: { action: deny } }", "/tools/t/action"),
    (
        "default: deny\ntools: { t: { arguments: { type: object, required: [b] } } }",
        "/tools/t/arguments",
    ),
    (
        "default: deny\ntools: { t: { require: [{ conditions: [{ path: args.a, op: eq, value: 2 }] }] } }",
        "/tools/t/require/0",
    ),
    (
        "default: deny\ntools: { t: { limits: [{ counter: c, window: day, max: 5 }, { counter: s, window: day, max: 1, increment_from: args.b }] } }",
        "/tools/t/limits/s",
    ),
];

#[test]
fn a_policy_in_shadow_notes_its_first_denial_and_lets_the_call_pass() {
    for (text, rule) in REFUSING {
        let enforced = policy("p", &format!("version: \"1\"\n{text}\n"));
        let decision = decide(&[Arc::clone(&enforced)], r#"{"a": 1}"#);
        assert_eq!(decision.denial().unwrap().rule, rule);
        assert!(decision.shadow.is_empty());
        assert!(!enforced.is_shadow());

        let trial = policy("p", &format!("version: \"1\"\nmode: shadow\n{text}\n"));
        let decision = decide(&[trial], r#"{"a": 1}"#);
        assert_eq!(noted(&decision), [rule], "{text}");
        // what it would have refused, it would not have charged
        assert!(charged(&decision).is_empty(), "{text}");
    }
}

#[test]
fn a_policy_in_shadow_changes_nothing_of_what_others_decide() {
    let in_force = policy(
        "team",
        "version: \"1\"\ndefault: deny\ntools: { t: { limits: [{ counter: c, window: day, max: 5 }] } }",
    );
    for (text, rule) in REFUSING {
        let trial = policy("trial", &format!("version: \"1\"\nmode: shadow\n{text}\n"));
        let expected = match rule.starts_with('(') {
            true => rule.to_owned(),
            false => format!("trial#{rule}"),
        };
        for policies in [
            [Arc::clone(&trial), Arc::clone(&in_force)],
            [Arc::clone(&in_force), Arc::clone(&trial)],
        ] {
            let decision = decide(&policies, r#"{"a": 1}"#);
            assert_eq!(charged(&decision), ["team#/tools/t/limits/c"], "{text}");
            assert_eq!(noted(&decision), [expected.as_str()], "{text}");
            assert!(visible(&policies, "t"), "{text}");
        }
    }
}

#[test]
fn a_block_in_shadow_is_noted_and_the_next_one_still_refuses() {
    let block = |value: u8, shadow: bool| {
        format!("{{ conditions: [{{ path: args.a, op: eq, value: {value} }}], shadow: {shadow} }}")
    };
    let with = |blocks: &[String]| {
        let blocks = blocks.join(", ");
        let text = format!("version: \"1\"\ndefault: deny\ntools: {{ t: {{ deny_if: [{blocks}] }} }}");
        decide(&[policy("p", &text)], r#"{"a": 1}"#)
    };
    let decision = with(&[block(1, true)]);
    assert_eq!(noted(&decision), ["/tools/t/deny_if/0"]);
    assert!(decision.denial().is_none());
    assert!(decision.shadow[0].message.contains("args.a eq 1"));

    let decision = with(&[block(1, true), block(1, false)]);
    assert_eq!(noted(&decision), ["/tools/t/deny_if/0"]);
    assert_eq!(decision.denial().unwrap().rule, "/tools/t/deny_if/1");

    let decision = with(&[block(2, true)]);
    assert!(decision.shadow.is_empty());
}

#[test]
fn a_block_in_shadow_that_cannot_be_evaluated_is_noted_too() {
    let text = "version: \"1\"\ndefault: deny\ntools: { t: { require: [{ conditions: [{ path: args.a, op: lt, value: 5 }], shadow: true }] } }";
    let decision = decide(&[policy("p", text)], r#"{"a": "1"}"#);
    assert!(decision.denial().is_none());
    assert!(decision.shadow[0].message.contains("could not be evaluated"));
}

#[test]
fn a_limit_in_shadow_has_a_counter_of_its_own_beside_the_one_in_force() {
    let limit = |max: u8, more: &str| format!("{{ counter: c, window: day, max: {max}{more} }}");
    let limits = [
        limit(9, ""),
        limit(5, ", shadow: true"),
        limit(3, ", shadow: true"),
    ]
    .join(", ");
    let text = format!("version: \"1\"\ndefault: deny\ntools: {{ t: {{ limits: [{limits}] }} }}");
    let decision = decide(&[policy("p", &text)], "{}");
    let Plan::Admit(charges) = &decision.plan else {
        panic!()
    };
    let seen: Vec<_> = charges
        .iter()
        .map(|charge| (charge.limit.max, charge.limit.shadow))
        .collect();
    assert_eq!(seen, [(9, false), (3, true)]);
    let keys: Vec<_> = charges
        .iter()
        .map(|charge| toolgate::counters::keys::names("p", charge).key)
        .collect();
    assert_ne!(keys[0], keys[1]);
}

#[test]
fn methods_are_opened_and_closed_by_name() {
    let text = "version: \"1\"\ndefault: deny\nmethods: { resources/read: allow }";
    let strict = [policy("p", text)];
    assert!(plan_method(&strict, "resources/read").denial().is_none());
    assert_eq!(
        plan_method(&strict, "prompts/get").denial().unwrap().rule,
        "(default deny)"
    );

    let text = "version: \"1\"\ndefault: allow\nmethods: { resources/read: deny }";
    let open = [policy("open", text)];
    assert!(plan_method(&open, "prompts/get").denial().is_none());
    let decision = plan_method(&open, "resources/read");
    assert_eq!(decision.denial().unwrap().rule, "/methods/resources~1read");

    let both = [Arc::clone(&strict[0]), Arc::clone(&open[0])];
    let decision = plan_method(&both, "resources/read");
    assert_eq!(decision.denial().unwrap().rule, "open#/methods/resources~1read");

    let trial = [policy("p", &format!("{text}\nmode: shadow"))];
    let decision = plan_method(&trial, "resources/read");
    assert!(decision.denial().is_none());
    assert_eq!(noted(&decision), ["/methods/resources~1read"]);
}

#[test]
fn only_what_the_policy_names_is_recorded_as_it_was_sent() {
    let text = "version: \"1\"\ndefault: allow\nrecord: [args.amount, args.customer.id, args.long, args.absent, 'args.list[1]']";
    let long = "x".repeat(1_100);
    let arguments = format!(
        r#"{{"amount": 1.50, "customer": {{"id": "cus_\u0031", "name": "secret"}}, "long": "{long}", "list": [1, {{"b": [2]}}], "other": "secret"}}"#
    );
    let decision = decide(&[policy("p", text), policy("q", text)], &arguments);
    let seen: Vec<_> = decision
        .recorded
        .iter()
        .map(|value| (&*value.path, value.json.as_str()))
        .collect();
    assert_eq!(
        seen,
        [
            ("args.amount", "1.50"),
            ("args.customer.id", "\"cus_1\""),
            ("args.list[1]", r#"{"b":[2]}"#)
        ]
    );
    assert!(!format!("{decision:?}").contains("cus_1"));
}

fn claimed(text: &str, claims: Option<&str>) -> Decision {
    let claims = claims.map(|claims| Claims::read(claims).unwrap());
    let caller = Caller {
        claims: claims.as_ref(),
        ..CALLER
    };
    let call = Call {
        tool: "t",
        arguments: None,
    };
    plan_tool(&[policy("p", text)], &caller, &call)
}

#[test]
fn grants_with_the_same_claim_share_a_count_and_a_grant_without_it_is_denied() {
    let text = "version: \"1\"\ndefault: deny\ntools: { t: { limits: [{ counter: c, window: day, max: 5, scope: \"claim:k/team\" }] } }";
    let subject = |claims: &str| match claimed(text, Some(claims)).plan {
        Plan::Admit(charges) => charges[0].subject.clone(),
        other => panic!("{other:?}"),
    };
    let data = subject(r#"{"k": {"team": "data"}}"#);
    assert!(matches!(&data, Subject::Claim { name, .. } if name == "k/team"));
    assert_eq!(data, subject(r#"{"other": 1, "k": {"team": "data"}}"#));
    assert_ne!(data, subject(r#"{"k": {"team": "web"}}"#));
    for claims in [
        None,
        Some("{}"),
        Some(r#"{"k": {"team": ["data"]}}"#),
        Some(r#"{"k": "data"}"#),
    ] {
        let decision = claimed(text, claims);
        assert_eq!(decision.denial().unwrap().rule, "/tools/t/limits/c", "{claims:?}");
    }
}

#[test]
fn conditions_can_ask_about_claims() {
    let text = "version: \"1\"\ndefault: deny\ntools: { t: { require: [{ conditions: [{ path: grant.claims.team, op: eq, value: data }] }] } }";
    assert!(claimed(text, Some(r#"{"team": "data"}"#)).denial().is_none());
    for claims in [None, Some(r#"{"team": "web"}"#), Some(r#"{"team": ["data"]}"#)] {
        assert!(claimed(text, claims).denial().is_some(), "{claims:?}");
    }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn a_block_in_shadow_changes_no_decision_and_is_noted_exactly_where_it_would_have_refused(
        require in blocks(), tried in block(), given in arguments(), position in any::<prop::sample::Index>(),
    ) {
        let shadow = tried.replacen("{", "{\"shadow\": true, ", 1);
        let all = |more: Option<&String>| {
            let mut list = require.clone();
            let at = position.index(require.len() + 1);
            list.splice(at..at, more.cloned());
            tool(&format!(r#"{{"deny_if": [{}]}}"#, list.join(", ")))
        };
        let before = |more: Option<&String>| decide(&[all(more)], &given);
        let (without, with) = (before(None), before(Some(&shadow)));
        prop_assert_eq!(without.denial().map(|denial| &denial.message), with.denial().map(|denial| &denial.message));
        if without.denial().is_none() {
            let enforced = before(Some(&tried));
            prop_assert_eq!(enforced.denial(), with.shadow.first());
        }
    }
}
