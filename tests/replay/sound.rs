//! What is told although values are missing from the record is what would be told with all of them.

use proptest::prelude::*;
use serde_json::Value;

use super::history::{Ends, Step, log, policy, replay};

/// Allows everything, and records everything.
const LIVE: &str =
    r#"{ "version": "1", "default": "allow", "record": ["args.amount", "args.customer", "args.deep.x"] }"#;

const WANTED: &str = r#"{
  "version": "1", "default": "deny",
  "all_tools": { "limits": [
    { "counter": "calls", "window": 2, "max": 4, "scope": "global" },
    { "counter": "tried", "window": 1, "max": 2, "shadow": true } ] },
  "tools": {
    "pay": {
      "require": [{ "conditions": [{ "path": "args.amount", "op": "lte", "value": 40 }] }],
      "deny_if": [{ "conditions": [
        { "path": "args.deep.x", "op": "eq", "value": 2 }, { "path": "args.customer", "op": "exists" } ] }],
      "limits": [
        { "counter": "spend", "window": 3, "max": 60, "increment_from": "args.amount" },
        { "counter": "of_customer", "window": 2, "max": 2, "scope": "arg:customer", "max_values": 2 } ] },
    "run": { "limits": [
      { "counter": "runs", "window": 1, "max": 2 },
      { "counter": "spend", "window": 3, "max": 50, "increment_from": "args.amount" },
      { "counter": "loops", "window": 2, "max": 1, "scope": "arguments" } ] },
    "walk": { "limits": [{ "counter": "runs", "window": 1, "max": 3, "weight": 1 }] },
    "look": { "deny_if": [{ "conditions": [{ "path": "args.customer", "op": "eq", "value": "b" }] }] }
  }
}"#;

fn step() -> impl Strategy<Value = (Step, u8)> {
    let after = prop_oneof![2 => Just(0_u64), 3 => 1..300_u64, 1 => 300..1_500_u64];
    let tool = prop_oneof![3 => Just("run"), 4 => Just("pay"), 2 => Just("walk"), 1 => Just("look"), 1 => Just("gone")];
    let ends = prop_oneof![4 => Just(Ends::Answered), 1 => (1..900_u32).prop_map(Ends::Unsent)];
    let amount = prop_oneof![
        Just("1"),
        Just("20"),
        Just("0"),
        Just("41"),
        Just("-1"),
        Just("\"7\"")
    ];
    let customer = prop_oneof![
        Just(""),
        Just(r#","customer":"a""#),
        Just(r#","customer":"b""#),
        Just(r#","customer":3"#)
    ];
    let deep = prop_oneof![3 => Just(""), 1 => Just(r#","deep":{"x":1}"#), 1 => Just(r#","deep":{"x":2}"#), 1 => Just(r#","deep":"x""#)];
    let grant = prop_oneof![3 => Just("ci"), 1 => Just("laptop")];
    // which values are taken from the record: in most lines none
    let stripped = prop_oneof![4 => Just(0_u8), 2 => 1..8_u8];
    (after, tool, ends, grant, amount, customer, deep, stripped).prop_map(
        |(after, tool, ends, grant, amount, customer, deep, stripped)| {
            let arguments = format!(r#"{{"amount":{amount}{customer}{deep}}}"#);
            let step = Step {
                ends,
                grant,
                ..Step::call(after, tool, &arguments)
            };
            (step, stripped)
        },
    )
}

fn strip(line: &str, which: u8) -> String {
    let mut line: Value = serde_json::from_str(line).unwrap();
    if let Some(recorded) = line.get_mut("recorded").and_then(Value::as_object_mut) {
        for (bit, path) in ["args.amount", "args.customer", "args.deep.x"].iter().enumerate() {
            if which & (1 << bit) != 0 {
                recorded.remove(*path);
            }
        }
    }
    line.to_string()
}

/// What is told of each call: of a history that grows by one call, the total that grows.
fn told(lines: &[String]) -> Vec<&'static str> {
    let policies = policy(WANTED);
    let mut before = (0, 0, 0);
    (1..=lines.len())
        .map(|count| {
            let totals = replay(&policies, &lines[..count]).totals;
            let now = (totals.alike, totals.newly_denied, totals.cannot_be_told);
            let grown = match (now.0 - before.0, now.1 - before.1, now.2 - before.2) {
                (1, 0, 0) => "allowed",
                (0, 1, 0) => "denied",
                (0, 0, 1) => "?",
                other => panic!("{other:?}"),
            };
            before = now;
            grown
        })
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn what_is_told_from_a_part_is_what_is_told_from_all(steps in prop::collection::vec(step(), 1..40)) {
        let (steps, stripped): (Vec<Step>, Vec<u8>) = steps.into_iter().unzip();
        let whole = log(&policy(LIVE), &steps);
        let part: Vec<String> = whole.iter().zip(stripped).map(|(line, which)| strip(line, which)).collect();
        // `loops` reads every argument, also those that are not on record as a whole
        let truth = told(&whole);
        for (number, (part, truth)) in told(&part).into_iter().zip(truth).enumerate() {
            prop_assert!(part == truth || part == "?", "call {number}: {part} from a part, {truth} from all");
        }
    }
}
