//! A policy file: whatever its bytes, it is read or refused with places that are in the text, and what is read decides.

use std::sync::Arc;

use toolgate::document::{Level, Problem, parse, render};
use toolgate::policy::{
    Call, Caller, Claims, Outcome, Plan, Policy, diff, load, plan_method, plan_tool, visible,
};

const TOOLS: [&str; 8] = [
    "start_run",
    "create_charge",
    "a",
    "b",
    "a.b",
    "",
    "files/write",
    "h\u{e9}",
];

const ARGUMENTS: [Option<&str>; 6] = [
    None,
    Some("{}"),
    Some(r#"{"amount":12.50,"path":"/work/out/x","branch":"main","a":{"b":[1,"x",null,{"c":true}]}}"#),
    Some(r#"{"amount":-1e300,"Amount":1,"list":[],"customer":{"id":"cus_12345678"}}"#),
    Some(r#"{"amount":9007199254740993,"a":"b","path":"../x"}"#),
    // Never forwarded: the strict reading refuses it. A decision must stand it all the same.
    Some("[1"),
];

pub fn run(bytes: &[u8]) {
    let Ok(text) = str::from_utf8(bytes) else { return };
    let decided: Vec<_> = ["p.json", "p.yaml"]
        .into_iter()
        .filter_map(|file| read(file, text))
        .collect();
    if let [json, yaml] = decided.as_slice() {
        assert_eq!(json, yaml, "JSON and YAML of one text are two policies");
    }
}

/// What the policy decides, where it is one.
fn read(file: &str, text: &str) -> Option<Vec<String>> {
    let document = parse(file, text);
    match &document {
        Ok(document) => document
            .duplicates
            .iter()
            .for_each(|problem| in_the_text(problem, text)),
        Err(problem) => in_the_text(problem, text),
    }
    match load("p", file, text) {
        Err(problems) => {
            assert!(!problems.is_empty(), "refused without a reason");
            all_in_the_text(&problems, text);
            None
        }
        Ok(loaded) => {
            assert!(document.is_ok());
            all_in_the_text(&loaded.warnings, text);
            Some(decide(&Arc::new(loaded.policy)))
        }
    }
}

fn all_in_the_text(problems: &[Problem], text: &str) {
    assert!(
        problems.is_sorted_by_key(Problem::place),
        "problems are out of order"
    );
    problems.iter().for_each(|problem| in_the_text(problem, text));
}

fn in_the_text(problem: &Problem, text: &str) {
    assert!(!problem.message.is_empty());
    let shown = problem.to_string() + &render(problem, Level::Error, Some(text));
    let hostile = |c: char| c.is_control() && c != '\n';
    assert!(!shown.contains(hostile), "a problem steers the terminal");
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let unified = text.replace("\r\n", "\n").replace('\r', "\n");
    let mut lines = unified.split('\n');
    let index = usize::try_from(problem.line)
        .ok()
        .and_then(|line| line.checked_sub(1));
    let line = index.and_then(|index| lines.nth(index));
    let line = line.unwrap_or_else(|| panic!("{problem} is on a line that does not exist"));
    let column = usize::try_from(problem.column).unwrap_or(usize::MAX);
    assert!(
        (1..=line.chars().count() + 1).contains(&column),
        "{problem} is beside its line"
    );
}

fn decide(policy: &Arc<Policy>) -> Vec<String> {
    let claims = Claims::read(r#"{"team":"data","kubernetes.io":{"namespace":"ci"}}"#);
    let caller = Caller {
        grant: "g",
        server: "s",
        session: Some("1"),
        claims: claims.as_ref(),
    };
    let policies = [Arc::clone(policy)];
    assert!(
        diff(policy, policy, &TOOLS).is_empty(),
        "a policy differs from itself"
    );
    let mut decided = Vec::new();
    for tool in TOOLS {
        let shown = visible(&policies, tool);
        for arguments in ARGUMENTS {
            let decision = plan_tool(&policies, &caller, &Call { tool, arguments });
            let hidden = decision
                .denial()
                .is_some_and(|denial| denial.outcome == Outcome::Hidden);
            assert_eq!(hidden, !shown, "listed and refused as unknown, or neither");
            if let Plan::Admit(charges) | Plan::Ask { charges, .. } = &decision.plan {
                for charge in charges {
                    assert!((1..=charge.limit.max).contains(&charge.weight));
                }
            }
            assert!(
                !policy.is_shadow() || decision.denial().is_none(),
                "a policy in shadow refuses"
            );
            decided.push(format!("{decision:?}"));
        }
    }
    for method in ["ping", "resources/read", "prompts/get", "x"] {
        decided.push(format!("{:?}", plan_method(&policies, method)));
    }
    decided
}
