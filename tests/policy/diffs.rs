//! `diff` says nothing only where every call is decided alike, and says nothing of what is only written otherwise.

use std::collections::BTreeSet;
use std::sync::Arc;

use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::{Config, TestRunner};
use serde_json::{Value, json};
use toolgate::policy::{Call, Caller, Charge, Outcome, Plan, Policy, diff, load, plan_method, plan_tool};

use super::diff_pairs::{document, pair};

fn loaded(document: &Value) -> Option<Arc<Policy>> {
    load("p", "p.json", &document.to_string())
        .ok()
        .map(|loaded| Arc::new(loaded.policy))
}

/// Every name of up to three letters that the globs are about, and of one that they are not.
fn probes() -> Vec<String> {
    let letters = ["a", "b", "z"];
    let mut names = vec![String::new()];
    for length in 0..3 {
        let longest: Vec<String> = names
            .iter()
            .filter(|name| name.len() == length)
            .cloned()
            .collect();
        names.extend(
            longest
                .iter()
                .flat_map(|name| letters.map(|letter| format!("{name}{letter}"))),
        );
    }
    names
}

const ARGUMENTS: [&str; 9] = [
    "{}",
    r#"{"x":1}"#,
    r#"{"x":2,"y":"ab"}"#,
    r#"{"x":0,"y":"ba"}"#,
    r#"{"x":-1}"#,
    r#"{"x":9,"l":["a"]}"#,
    r#"{"x":"1","y":1,"l":[]}"#,
    r#"{"X":1,"y":"b","l":["a","b"]}"#,
    r#"{"x":null,"y":"a","l":"a"}"#,
];

/// Everything that a decision says but the names of rules.
fn decisions(policy: &Arc<Policy>) -> Vec<String> {
    let policies = std::slice::from_ref(policy);
    let caller = Caller {
        grant: "g",
        server: "s",
        session: Some("1"),
        claims: None,
    };
    let mut all = Vec::new();
    for tool in probes() {
        for arguments in ARGUMENTS {
            let call = Call {
                tool: &tool,
                arguments: Some(arguments),
            };
            let decision = plan_tool(policies, &caller, &call);
            let plan = match &decision.plan {
                Plan::Refuse(denial) if denial.outcome == Outcome::Hidden => "hidden".to_owned(),
                Plan::Refuse(_) => "refused".to_owned(),
                Plan::Ask { charges, ask } => format!("{} of {}", ask.approvers, shown(charges)),
                Plan::Admit(charges) => shown(charges),
            };
            all.push(format!(
                "{tool} {arguments}: {plan}, noted: {}",
                !decision.shadow.is_empty()
            ));
        }
    }
    for method in ["resources/read", "prompts/get", "ping"] {
        all.push(format!(
            "{method}: {}",
            plan_method(policies, method).denial().is_none()
        ));
    }
    all
}

fn config(cases: u32) -> Config {
    Config {
        cases,
        failure_persistence: None,
        ..Config::default()
    }
}

proptest! {
    #![proptest_config(config(300))]

    #[test]
    fn where_diff_is_silent_every_call_is_decided_alike((old, new) in pair()) {
        if let (Some(was), Some(now)) = (loaded(&old), loaded(&new))
            && diff(&was, &now, &[]).is_empty()
        {
            let (was, now) = (decisions(&was), decisions(&now));
            let first = was.iter().zip(&now).find(|(was, now)| was != now);
            prop_assert!(first.is_none(), "{first:#?}\n{old}\n{new}");
        }
    }

    #[test]
    fn a_policy_does_not_differ_from_itself_in_another_writing(document in document()) {
        if let (Some(policy), Some(other)) = (loaded(&document), loaded(&rewritten(&document))) {
            prop_assert_eq!(diff(&policy, &other, &[]), vec![], "{}", document);
        }
    }
}

/// The same policy: lists turned round, blocks of `require` taken apart, one value as a list of one.
fn rewritten(document: &Value) -> Value {
    let mut other = document.clone();
    let entries = other["tools"]
        .as_object_mut()
        .unwrap()
        .values_mut()
        .collect::<Vec<_>>();
    for entry in entries {
        rewrite(entry);
    }
    rewrite(&mut other["all_tools"]);
    other["hide"].as_array_mut().unwrap().reverse();
    other
}

fn rewrite(entry: &mut Value) {
    if let Some(require) = entry.get_mut("require").and_then(Value::as_array_mut) {
        let apart = require.iter().flat_map(|block| {
            let conditions = block["conditions"].as_array().unwrap().clone();
            let shadow = block["shadow"].clone();
            conditions
                .into_iter()
                .map(move |condition| json!({"conditions": [condition], "shadow": shadow}))
        });
        *require = apart.collect();
        require.reverse();
    }
    if entry["action"] == "require_approval" {
        entry["action"] = json!("allow");
        let every = json!({"conditions": []});
        entry["approve_if"].as_array_mut().unwrap().push(every);
    }
    for list in ["deny_if", "approve_if"] {
        let Some(blocks) = entry.get_mut(list).and_then(Value::as_array_mut) else {
            continue;
        };
        blocks.reverse();
        for block in blocks {
            let conditions = block["conditions"].as_array_mut().unwrap();
            conditions.reverse();
            for condition in conditions {
                if condition["op"] == "eq" {
                    condition["op"] = json!("in");
                    condition["value"] = json!([condition["value"]]);
                }
            }
        }
    }
}

/// Without this the properties could hold because nothing is ever equal, or everything.
#[test]
fn random_pairs_are_often_equal_and_often_not_and_what_is_told_is_often_true() {
    let mut runner = TestRunner::deterministic();
    let (mut equal, mut different, mut seen) = (0, 0, 0);
    for _ in 0..250 {
        let (old, new) = pair().new_tree(&mut runner).unwrap().current();
        let (Some(was), Some(now)) = (loaded(&old), loaded(&new)) else {
            continue;
        };
        if diff(&was, &now, &[]).is_empty() {
            equal += 1;
        } else {
            different += 1;
            seen += usize::from(decisions(&was) != decisions(&now));
        }
    }
    let said = format!("{equal} equal, {different} different, of which {seen} are seen in calls");
    assert!(
        equal > 30 && different > 60 && seen * 10 > different * 7,
        "{said}"
    );
}

fn shown(charges: &[Charge]) -> String {
    let charges: BTreeSet<String> = charges
        .iter()
        .map(|charge| {
            let limit = &charge.limit;
            format!(
                "{} {:?} {} {} {:?} {} {:?} {:?} {} {:?}",
                limit.counter,
                limit.window,
                limit.max,
                limit.scale,
                limit.max_values,
                limit.shadow,
                limit.on_deny,
                limit.on_store_error,
                charge.weight,
                charge.subject
            )
        })
        .collect();
    format!("{charges:?}")
}
