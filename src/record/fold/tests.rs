use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use proptest::prelude::*;
use serde_json::Value;

use super::Fold;
use crate::record::{DecisionRecord, RecordedValues};

fn record<'r>(grant: &'r str, tool: &'r str, outcome: &'static str, rule: &'r str) -> DecisionRecord<'r> {
    DecisionRecord {
        time: "2026-01-01T00:00:00.000Z".to_owned(),
        id: "0".to_owned(),
        grant: Some(grant),
        grant_key: None,
        label: None,
        server: "s",
        session: None,
        method: "tools/call",
        tool: Some(tool),
        argument_keys: &[],
        policy: Vec::new(),
        outcome,
        rule: Some(rule),
        message: None,
        approval: None,
        store_ms: None,
        charges: Vec::new(),
        upstream: None,
        recorded: RecordedValues(&[]),
        shadow: Vec::new(),
        trace_id: None,
        degraded: false,
        replica: "r",
    }
}

/// Lines, each with the decisions that it stands for.
fn counted(lines: &[Vec<u8>]) -> BTreeMap<[String; 4], u64> {
    let mut by = BTreeMap::new();
    for line in lines {
        let value: Value = serde_json::from_slice(line).unwrap();
        let key = ["grant", "tool", "outcome", "rule"].map(|name| value[name].as_str().unwrap().to_owned());
        *by.entry(key).or_insert(0) += value["count"].as_u64().unwrap_or(1);
    }
    by
}

proptest! {
    /// Whatever comes when: each grant's decisions are counted under its own name, tool, outcome and rule, once.
    #[test]
    fn no_decision_is_lost_or_counted_under_another_ones_name(
        decisions in prop::collection::vec((0..3_usize, 0..2_usize, 0..3_usize, 0..2_usize, 0..400_u64), 0..300)
    ) {
        let (grants, tools, rules) = (["a", "ab", "b"], ["t", "bt"], ["/r", "/t/r"]);
        let outcomes = ["denied", "limited", "allowed"];
        let (fold, mut now) = (Fold::default(), Instant::now());
        let (mut lines, mut wanted) = (Vec::new(), BTreeMap::new());
        for (grant, tool, outcome, rule, ms) in decisions {
            now += Duration::from_millis(ms / 10);
            let key = [grants[grant], tools[tool], outcomes[outcome], rules[rule]];
            let record = record(key[0], key[1], outcomes[outcome], key[3]);
            let folded = fold.note(&record, true, now);
            prop_assert!(!(folded && key[2] == "allowed"), "an admission is a line of its own");
            if !folded {
                lines.push(serde_json::to_vec(&record).unwrap());
            }
            *wanted.entry(key.map(str::to_owned)).or_insert(0) += 1;
            if ms % 7 == 0 {
                lines.extend(fold.due(now));
            }
        }
        lines.extend(fold.rest());
        prop_assert_eq!(counted(&lines), wanted);
    }
}

#[test]
fn ten_are_lines_of_their_own_and_the_rest_of_the_second_is_one_with_its_times() {
    let (fold, now) = (Fold::default(), Instant::now());
    let mut denied = record("a", "t", "denied", "/r");
    let alone = (0..500_u32).filter(|number| {
        denied.time = format!("2026-01-01T00:00:00.{number:03}Z");
        !fold.note(&denied, true, now)
    });
    assert_eq!(alone.count(), 10);
    assert!(fold.due(now + Duration::from_millis(700)).is_empty());
    let lines = fold.due(now + Duration::from_millis(900));
    let [line] = lines.as_slice() else {
        panic!("{} lines", lines.len())
    };
    let line: Value = serde_json::from_slice(line).unwrap();
    assert_eq!(
        (&line["count"], &line["first"]),
        (&490.into(), &"2026-01-01T00:00:00.010Z".into())
    );
    assert_eq!(
        (&line["last"], &line["mixed"]),
        (&"2026-01-01T00:00:00.499Z".into(), &Value::Null)
    );
    // the same second goes on, the next one starts anew
    assert!(fold.note(&denied, true, now + Duration::from_millis(950)));
    fold.due(now + Duration::from_secs(1));
    assert!(!fold.note(&denied, true, now + Duration::from_secs(1)));
}

#[test]
fn names_that_callers_invent_are_one_kind() {
    let (fold, now) = (Fold::default(), Instant::now());
    let names: Vec<String> = (0..200).map(|number| format!("guess{number}")).collect();
    let alone = names
        .iter()
        .filter(|name| !fold.note(&record("a", name, "hidden", "(hidden)"), false, now));
    assert_eq!(alone.count(), 10);
    let lines = fold.rest();
    let line: Value = serde_json::from_slice(&lines[0]).unwrap();
    assert_eq!(
        (lines.len(), &line["tool"], &line["mixed"]),
        (1, &"(other)".into(), &true.into())
    );
}

#[test]
fn calls_that_differ_in_what_a_record_shows_have_lines_of_their_own_up_to_a_bound() {
    let (fold, now) = (Fold::default(), Instant::now());
    let keys: Vec<[String; 1]> = (0..40).map(|number| [format!("k{number}")]).collect();
    let mut lines = Vec::new();
    for number in 0..410 {
        let mut denied = record("a", "t", "denied", "/r");
        denied.argument_keys = &keys[number % 40];
        if !fold.note(&denied, true, now) {
            lines.push(serde_json::to_vec(&denied).unwrap());
        }
    }
    assert_eq!(lines.len(), 10);
    lines.extend(fold.rest());
    assert_eq!(lines.len(), 10 + 16 + 1);
    let values: Vec<Value> = lines
        .iter()
        .map(|line| serde_json::from_slice(line).unwrap())
        .collect();
    let mixed: Vec<_> = values.iter().filter(|line| line["mixed"] == true).collect();
    assert_eq!(
        (mixed.len(), &mixed[0]["count"], &mixed[0]["argument_keys"]),
        (1, &240.into(), &serde_json::json!([]))
    );
    assert_eq!(counted(&lines).into_values().collect::<Vec<_>>(), [410]);
}

#[test]
fn denials_under_different_approvals_are_counted_apart_and_a_mixed_line_names_none() {
    let (fold, now) = (Fold::default(), Instant::now());
    let ids: Vec<String> = (0..20).map(|number| format!("approval-{number}")).collect();
    for number in 0..50 {
        let mut denied = record("a", "t", "needs_approval", "/r");
        let id = ids[number % 20].as_str();
        (denied.approval, denied.message) = (Some(id), Some(id));
        fold.note(&denied, true, now);
    }
    let lines = fold.rest();
    let lines = lines.iter().map(|line| serde_json::from_slice(line).unwrap());
    let (mixed, own): (Vec<Value>, Vec<Value>) = lines.partition(|line: &Value| line["mixed"] == true);
    assert_eq!((own.len(), mixed.len()), (16, 1));
    for line in own {
        assert_eq!((&line["count"], &line["message"]), (&2.into(), &line["approval"]));
    }
    assert_eq!(mixed[0]["count"], 8);
    assert!(mixed[0].get("approval").is_none() && mixed[0]["message"].is_null());
}

#[test]
fn grants_that_look_the_same_and_are_counted_apart_are_not_mixed() {
    let (fold, now) = (Fold::default(), Instant::now());
    for number in 0..60 {
        let mut denied = record("ci:bob", "t", "denied", "/r");
        denied.grant_key = Some(["key-one", "key-two"][number % 2]);
        fold.note(&denied, true, now);
    }
    let lines: Vec<Value> = fold
        .rest()
        .iter()
        .map(|line| serde_json::from_slice(line).unwrap())
        .collect();
    let mut keys: Vec<_> = lines
        .iter()
        .map(|line| (line["grant_key"].as_str(), line["count"].as_u64()))
        .collect();
    keys.sort_unstable();
    assert_eq!(keys, [(Some("key-one"), Some(20)), (Some("key-two"), Some(20))]);
}
