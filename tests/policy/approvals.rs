//! Which calls are put before people: `action: require_approval`, `approve_if` and `approvers`.

use std::sync::Arc;

use proptest::prelude::*;
use toolgate::policy::{Ask, Call, Outcome, Plan, Policy, load, plan_tool};

use super::asked::{CALLER, ask, passes, problems, refused, tool, whole};

fn asked(policy: &Arc<Policy>, arguments: &str) -> Ask {
    match ask(policy, arguments) {
        Plan::Ask { ask, .. } => ask,
        other => panic!("not asked about: {arguments}: {other:?}"),
    }
}

#[test]
fn an_action_asks_about_every_call_and_keeps_its_reason() {
    let policy = tool(r#"{"action": "require_approval", "reason": "money"}"#);
    let expected = Ask {
        approvers: 1,
        rule: "/tools/t/action".to_owned(),
        reason: Some("money".to_owned()),
    };
    assert_eq!(asked(&policy, "{}"), expected);
}

#[test]
fn a_block_asks_where_all_its_conditions_hold() {
    let policy = tool(
        r#"{"approvers": 2, "approve_if": [{"on_deny": "large", "conditions": [
            {"path": "args.amount", "op": "gt", "value": 100}, {"path": "args.to", "op": "neq", "value": "me"}]}]}"#,
    );
    let found = asked(&policy, r#"{"amount": 101, "to": "you"}"#);
    assert_eq!(
        (found.approvers, found.rule.as_str()),
        (2, "/tools/t/approve_if/0")
    );
    assert_eq!(found.reason.as_deref(), Some("large"));
    for small in [
        r#"{"amount": 100, "to": "you"}"#,
        r#"{"amount": 101, "to": "me"}"#,
        "{}",
    ] {
        assert!(passes(&policy, small), "{small}");
    }
}

#[test]
fn a_condition_that_cannot_be_evaluated_denies_wherever_it_stands() {
    let policy = tool(
        r#"{"action": "require_approval", "approve_if": [{"conditions": [
            {"path": "args.a", "op": "eq", "value": 1}, {"path": "args.amount", "op": "gt", "value": 100}]}]}"#,
    );
    let denial = refused(&policy, r#"{"amount": "101"}"#);
    assert_eq!(
        (denial.outcome, denial.rule.as_str()),
        (Outcome::Denied, "/tools/t/approve_if/0")
    );
    assert!(
        denial.message.contains("could not be evaluated"),
        "{}",
        denial.message
    );
}

#[test]
fn of_all_that_ask_the_largest_number_of_people_counts() {
    let text = r#"{"version": "1", "default": "deny",
        "all_tools": {"approvers": 3, "approve_if": [{"conditions": [{"path": "args.c", "op": "exists"}]}]},
        "tools": {"t": {"approvers": 2, "action": "require_approval", "approve_if": [{"conditions": []}]}}}"#;
    let policy = whole(text);
    let found = asked(&policy, "{}");
    assert_eq!((found.approvers, found.rule.as_str()), (2, "/tools/t/action"));
    let found = asked(&policy, r#"{"c": 1}"#);
    assert_eq!(
        (found.approvers, found.rule.as_str()),
        (3, "/all_tools/approve_if/0")
    );
}

#[test]
fn each_policy_of_a_grant_may_ask_and_each_may_deny() {
    let loaded = |name: &str, entry: &str| {
        let text = format!(r#"{{"version": "1", "default": "deny", "tools": {{"t": {entry}}}}}"#);
        Arc::new(load(name, "p.json", &text).unwrap().policy)
    };
    let call = Call {
        tool: "t",
        arguments: None,
    };
    let one = loaded("one", r#"{"action": "require_approval"}"#);
    let two = loaded("two", r#"{"action": "require_approval", "approvers": 2}"#);
    let none = loaded("none", r#"{"action": "deny"}"#);
    let allow = loaded("allow", "{}");
    let Plan::Ask { ask, .. } = plan_tool(&[allow.clone(), one.clone(), two.clone()], &CALLER, &call).plan
    else {
        panic!()
    };
    assert_eq!((ask.approvers, ask.rule.as_str()), (2, "two#/tools/t/action"));
    for policies in [[one.clone(), none.clone()], [none, one]] {
        assert!(matches!(
            plan_tool(&policies, &CALLER, &call).plan,
            Plan::Refuse(_)
        ));
    }
}

#[test]
fn what_denies_is_told_before_anyone_is_asked() {
    let policy = tool(
        r#"{"action": "require_approval",
            "deny_if": [{"conditions": [{"path": "args.x", "op": "exists"}]}],
            "limits": [{"counter": "c", "window": "day", "max": 100, "increment_from": "args.amount"}]}"#,
    );
    assert_eq!(
        refused(&policy, r#"{"x": 1, "amount": 1}"#).rule,
        "/tools/t/deny_if/0"
    );
    assert_eq!(refused(&policy, r#"{"amount": 101}"#).outcome, Outcome::Limited);
    assert_eq!(refused(&policy, r#"{"amount": "1"}"#).rule, "/tools/t/limits/c");
    let Plan::Ask { charges, .. } = ask(&policy, r#"{"amount": 7}"#) else {
        panic!()
    };
    assert_eq!(
        charges.iter().map(|charge| charge.weight).collect::<Vec<_>>(),
        [7]
    );
}

#[test]
fn what_asks_in_shadow_is_noted_and_asks_nobody() {
    let block = tool(
        r#"{"approve_if": [{"conditions": [], "shadow": true}], "limits": [{"counter": "c", "window": "day", "max": 1}]}"#,
    );
    let policy = whole(
        r#"{"version": "1", "default": "deny", "mode": "shadow",
            "tools": {"t": {"action": "require_approval", "limits": [{"counter": "c", "window": "day", "max": 1}]}}}"#,
    );
    for policy in [block, policy] {
        let call = Call {
            tool: "t",
            arguments: None,
        };
        let decision = plan_tool(&[policy], &CALLER, &call);
        let Plan::Admit(charges) = &decision.plan else {
            panic!("{decision:?}")
        };
        assert_eq!(charges.len(), 1);
        let noted: Vec<Outcome> = decision.shadow.iter().map(|denial| denial.outcome).collect();
        assert_eq!(noted, [Outcome::NeedsApproval]);
    }
}

#[test]
fn approvers_stand_beside_something_that_asks_and_are_1_to_16() {
    let said = problems(r#"{"approvers": 2}"#);
    assert!(said.contains("`approvers` asks nobody"), "{said}");
    for wrong in ["0", "17", "\"2\"", "1.5"] {
        let said = problems(&format!(
            r#"{{"action": "require_approval", "approvers": {wrong}}}"#
        ));
        assert!(said.contains("from 1 to 16"), "{wrong}: {said}");
    }
}

#[test]
fn a_block_may_ask_more_people_than_its_entry_and_has_its_reason_unless_it_has_its_own() {
    let above = |amount: u32, more: &str| {
        format!(r#"{{"conditions": [{{"path": "args.amount", "op": "gt", "value": {amount}}}]{more}}}"#)
    };
    let blocks = [
        above(100, ""),
        above(1000, r#", "approvers": 2, "on_deny": "very large""#),
    ];
    let policy = tool(&format!(
        r#"{{"reason": "large", "approve_if": [{}]}}"#,
        blocks.join(", ")
    ));
    let found = asked(&policy, r#"{"amount": 101}"#);
    assert_eq!((found.approvers, found.reason.as_deref()), (1, Some("large")));
    let found = asked(&policy, r#"{"amount": 1001}"#);
    assert_eq!(
        (found.approvers, found.reason.as_deref()),
        (2, Some("very large"))
    );
}

/// Blocks over few arguments, so that some hold, some do not, and some cannot be evaluated.
fn block() -> impl Strategy<Value = String> {
    let conditions = prop::sample::subsequence(
        vec![
            r#"{"path": "args.a", "op": "gt", "value": 1}"#,
            r#"{"path": "args.b", "op": "eq", "value": "x"}"#,
            r#"{"path": "args.c", "op": "exists"}"#,
        ],
        0..=3,
    );
    (conditions, 1_u32..4).prop_map(|(conditions, approvers)| {
        format!(
            r#"{{"conditions": [{}], "approvers": {approvers}}}"#,
            conditions.join(", ")
        )
    })
}

/// What is decided, without the rule that is named.
fn verdict(list: &str, arguments: &str) -> String {
    match ask(&tool(&format!(r#"{{"approve_if": [{list}]}}"#)), arguments) {
        Plan::Admit(_) => "passes".to_owned(),
        Plan::Ask { ask, .. } => format!("asks {}", ask.approvers),
        Plan::Refuse(denial) => format!("{:?}", denial.outcome),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_order_of_blocks_means_nothing_and_one_more_never_widens(
        blocks in prop::collection::vec(block(), 1..5),
        turn in any::<prop::sample::Index>(),
        arguments in prop::sample::select(vec!["{}", r#"{"a": 2}"#, r#"{"a": 2, "b": "x", "c": 0}"#, r#"{"a": "2"}"#, r#"{"b": 1}"#]),
    ) {
        let own = verdict(&blocks.join(", "), arguments);
        let mut other = blocks.clone();
        other.rotate_left(turn.index(blocks.len()));
        other.reverse();
        prop_assert_eq!(&own, &verdict(&other.join(", "), arguments), "{:?}", blocks);
        let rank = |verdict: &str| ["passes", "asks 1", "asks 2", "asks 3", "Denied"].iter().position(|known| *known == verdict).unwrap();
        let fewer = verdict(&blocks[1..].join(", "), arguments);
        prop_assert!(rank(&fewer) <= rank(&own), "{} became {}", fewer, own);
    }
}
