//! Whatever happened: the policy that decided then decides the same on replay.

use proptest::prelude::*;

use super::history::{Ends, Step, log, policy, replay};

/// Every kind of limit that a memory store keeps, with rules on arguments before them.
const EVERYTHING: &str = r#"{
  "version": "1", "default": "deny", "hide": ["secret"],
  "record": ["args.amount", "args.customer", "args.note"],
  "all_tools": { "limits": [
    { "counter": "calls", "window": "minute", "max": 40, "scope": "global" },
    { "counter": "tried", "window": "minute", "max": 9, "shadow": true } ] },
  "tools": {
    "run": { "limits": [
      { "counter": "runs", "window": 2, "max": 5 },
      { "counter": "runs_of_hour", "window": "hour", "max": 60, "mode": "calendar" },
      { "counter": "runs_of_session", "window": 5, "max": 3, "scope": "session" } ] },
    "pay": {
      "arguments": { "type": "object", "properties": { "note": { "type": "string", "maxLength": 3 } } },
      "require": [{ "conditions": [{ "path": "args.amount", "op": "lte", "value": 40 }] }],
      "deny_if": [{ "conditions": [{ "path": "args.customer", "op": "eq", "value": "d" }] }],
      "limits": [
        { "counter": "spend", "window": 10, "max": 100, "increment_from": "args.amount", "scale": 1 },
        { "counter": "of_customer", "window": 7, "max": 2, "scope": "arg:customer" },
        { "counter": "loops", "window": 3, "max": 1, "scope": "arguments" } ] },
    "stop": { "action": "deny" },
    "busy_*": { "limits": [{ "counter": "busy", "window": 60, "max": 200 }] }
  }
}"#;

fn arguments() -> impl Strategy<Value = String> {
    let amount = prop_oneof![
        Just("1"),
        Just("9.5"),
        Just("0"),
        Just("33"),
        Just("41"),
        Just("-1"),
        Just("\"7\"")
    ];
    let customer = prop_oneof![
        Just("\"a\""),
        Just("\"b\""),
        Just("1"),
        Just("\"d\""),
        Just("null")
    ];
    let note = prop_oneof![3 => Just(""), 1 => Just(r#","note":"ok""#), 1 => Just(r#","note":"long""#), 1 => Just(r#","Note":"A""#)];
    (amount, customer, note)
        .prop_map(|(amount, customer, note)| format!(r#"{{"amount":{amount},"customer":{customer}{note}}}"#))
}

fn step() -> impl Strategy<Value = Step> {
    let after = prop_oneof![4 => Just(0_u64), 4 => 1..50_u64, 3 => 50..2_500_u64, 1 => 2_500..900_000_u64];
    let tool = prop_oneof![
        4 => Just("run"), 4 => Just("pay"), 1 => Just("stop"), 1 => Just("secret"), 1 => Just("none"),
        3 => Just("busy_a"), 1 => Just("busy_b")
    ];
    let session = prop_oneof![Just(None), Just(Some("one")), Just(Some("two"))];
    let ends = prop_oneof![5 => Just(Ends::Answered), 1 => (1..400_u32).prop_map(Ends::Unsent)];
    let grant = prop_oneof![Just("ci"), Just("laptop")];
    let written = prop_oneof![Just(0_u64), 0..30_u64, 0..300_000_u64];
    (after, tool, session, ends, grant, arguments(), written).prop_map(
        |(after, tool, session, ends, grant, arguments, written)| Step {
            after,
            grant,
            tool,
            session,
            arguments,
            ends,
            written,
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn the_same_policy_decides_the_same_on_every_line(steps in prop::collection::vec(step(), 1..300)) {
        let policies = policy(EVERYTHING);
        let lines = log(&policies, &steps);
        let report = replay(&policies, &lines);
        let count = steps.len() as u64;
        prop_assert_eq!(&report.differences, &vec![]);
        prop_assert_eq!(&report.cannot_be_told, &vec![]);
        prop_assert_eq!((report.totals.decisions, report.totals.alike, report.totals.late), (count, count, 0));
    }
}

#[test]
fn a_burst_is_limited_in_the_replay_exactly_where_it_was() {
    let policies = policy(EVERYTHING);
    let steps: Vec<Step> = (0..2_000)
        .map(|n| Step {
            written: (n * 7_919) % 200_000,
            ..Step::call(n % 3 * 400, if n % 5 == 0 { "run" } else { "busy_a" }, "{}")
        })
        .collect();
    let lines = log(&policies, &steps);
    let limited = lines
        .iter()
        .filter(|line| line.contains(r#""outcome":"limited""#))
        .count();
    assert!(limited > 500 && limited < 1_900, "{limited}");
    let report = replay(&policies, &lines);
    assert_eq!(report.differences, []);
    assert_eq!(report.totals.alike, 2_000);
}
