//! An explanation is the decision itself, for any policies and any call.

use std::collections::BTreeSet;
use std::sync::Arc;

use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::{Config, TestRunner};
use toolgate::document::parse;
use toolgate::policy::{
    Answer, Ask, Asked, Call, Caller, Claims, Condition, Explanation, Fate, Heard, Known, Plan, Policy, Step,
    check_together, explain_method, explain_tool, load, place_of, plan_method, plan_tool,
};

use super::explained_random::{arguments, policy};

/// Loaded policies with their texts; `None` where they are not sound, by themselves or together.
fn loaded(texts: &[String]) -> Option<Vec<Arc<Policy>>> {
    let load = |(index, text): (usize, &String)| load(&format!("p{index}"), "p.json", text).ok();
    let policies: Option<Vec<_>> = texts.iter().enumerate().map(load).collect();
    let policies: Vec<_> = policies?
        .into_iter()
        .map(|loaded| Arc::new(loaded.policy))
        .collect();
    check_together(&policies).is_empty().then_some(policies)
}

/// The rule of a denial as the pointer of its step.
fn pointer_of<'r>(rule: &'r str, step: &Step, several: bool) -> Option<&'r str> {
    if several && rule.contains('#') {
        return rule.strip_prefix(&format!("p{}#", step.policy));
    }
    rule.starts_with('/').then_some(rule)
}

/// The explanation says what was decided, and by which rule.
fn agrees(explained: &Explanation, texts: &[String]) -> Result<(), TestCaseError> {
    let refused: Vec<&Step> = explained
        .steps
        .iter()
        .filter(|step| matches!(step.said, Heard::Refused(_)))
        .collect();
    match explained.decision.denial() {
        None => prop_assert!(refused.is_empty()),
        Some(denial) if denial.rule == "(no policy)" => prop_assert!(refused.is_empty() && texts.is_empty()),
        Some(denial) => {
            prop_assert_eq!(refused.len(), 1, "{:?}", denial);
            let step = refused[0];
            let Heard::Refused(said) = &step.said else {
                unreachable!()
            };
            prop_assert_eq!(said, denial);
            prop_assert!(
                std::ptr::eq(step, explained.steps.last().unwrap()),
                "the rule that bit is the last"
            );
            match pointer_of(&denial.rule, step, texts.len() > 1) {
                Some(pointer) => prop_assert_eq!(&step.pointer, pointer),
                None if denial.rule == "(hidden)" => prop_assert!(step.pointer.starts_with("/hide/")),
                None => {
                    prop_assert_eq!(&denial.rule, "(default deny)");
                    prop_assert_eq!(&step.pointer, "/default");
                }
            }
        }
    }
    asks_agree(explained, texts.len() > 1)?;
    let noted = explained.steps.iter().filter_map(|step| match &step.said {
        Heard::Noted(denial) => Some(denial),
        _ => None,
    });
    prop_assert_eq!(
        noted.collect::<Vec<_>>(),
        explained.decision.shadow.iter().collect::<Vec<_>>()
    );
    for step in &explained.steps {
        stands_in_its_file(step, &texts[step.policy])?;
        conditions_agree(step)?;
    }
    charges_agree(explained)
}

/// Of all steps that ask, the first of those with the most people is the one that counts.
fn asks_agree(explained: &Explanation, several: bool) -> Result<(), TestCaseError> {
    let mut counts: Option<(&Step, &Ask)> = None;
    for step in &explained.steps {
        if let Heard::Asks(ask) = &step.said
            && counts.is_none_or(|(_, known)| known.approvers < ask.approvers)
        {
            counts = Some((step, ask));
        }
    }
    match (&explained.decision.plan, counts) {
        (Plan::Refuse(_), _) => {}
        (Plan::Admit(_), counts) => prop_assert!(counts.is_none(), "{counts:?}"),
        (Plan::Ask { ask, .. }, counts) => {
            let (step, said) = counts.unwrap();
            prop_assert_eq!(said, ask);
            prop_assert!(std::ptr::eq(explained.bit().unwrap(), step));
            prop_assert_eq!(pointer_of(&ask.rule, step, several), Some(step.pointer.as_str()));
        }
    }
    Ok(())
}

/// What can be pointed at stands below the part of the file that it belongs to.
fn stands_in_its_file(step: &Step, text: &str) -> Result<(), TestCaseError> {
    // An action that allows is rarely written.
    if matches!(step.asked, Asked::Action) {
        return Ok(());
    }
    let root = parse("p.json", text).unwrap().root;
    let parent = step.pointer.rsplit_once('/').unwrap().0;
    let (own, around) = (place_of(&root, &step.pointer), place_of(&root, parent));
    prop_assert!(own > around, "{} is nowhere in {text}", step.pointer);
    Ok(())
}

fn conditions_agree(step: &Step) -> Result<(), TestCaseError> {
    let all = |conditions: &[Condition], wanted: Answer| conditions.iter().all(|seen| seen.answer == wanted);
    let doubtful = |conditions: &[Condition]| {
        conditions
            .iter()
            .any(|seen| matches!(seen.answer, Answer::Doubtful(_)))
    };
    let passed = matches!(step.said, Heard::Passed);
    match &step.asked {
        Asked::Require(seen) => prop_assert_eq!(passed, all(seen, Answer::Holds)),
        Asked::ApproveIf(seen) => {
            let asked = matches!(step.said, Heard::Asks(_) | Heard::Noted(_)) && all(seen, Answer::Holds);
            prop_assert_eq!(!passed, doubtful(seen) || asked, "{:?}", step);
        }
        Asked::DenyIf(seen) => prop_assert_eq!(!passed, doubtful(seen) || all(seen, Answer::Holds)),
        Asked::Arguments(broken) => prop_assert_eq!(passed, broken.is_empty()),
        _ => {}
    }
    Ok(())
}

fn charges_agree(explained: &Explanation) -> Result<(), TestCaseError> {
    let mut charged: Vec<&str> = match &explained.decision.plan {
        Plan::Admit(charges) | Plan::Ask { charges, .. } => {
            charges.iter().map(|charge| charge.limit.rule.as_str()).collect()
        }
        Plan::Refuse(_) => Vec::new(),
    };
    let mut counted = Vec::new();
    for step in &explained.steps {
        match &step.said {
            Heard::Charges(charge, Fate::Counted) => counted.push(charge.limit.rule.as_str()),
            Heard::Charges(_, Fate::Merged(rule)) => prop_assert!(charged.contains(&rule.as_str())),
            _ => {}
        }
    }
    charged.sort_unstable();
    counted.sort_unstable();
    prop_assert_eq!(charged, counted);
    Ok(())
}

/// What an explanation met, in a word for each kind.
fn met(explained: &Explanation, into: &mut BTreeSet<&'static str>) {
    for step in &explained.steps {
        into.insert(match (&step.asked, &step.said) {
            (Asked::Known(Known::Hidden(_)), Heard::Refused(_)) => "hidden",
            (Asked::Known(Known::Default(false)), Heard::Refused(_)) => "default deny",
            (Asked::Action, Heard::Refused(_)) => "action",
            (Asked::Arguments(_), Heard::Refused(_)) => "arguments",
            (Asked::Require(_), Heard::Refused(_)) => "require",
            (Asked::DenyIf(_), Heard::Refused(_)) => "deny_if",
            (Asked::ApproveIf(_), Heard::Refused(_)) => "approve_if in doubt",
            (Asked::ApproveIf(_), Heard::Asks(_)) => "approve_if",
            (Asked::Ask, Heard::Asks(_)) => "require_approval",
            (Asked::Limit(_), Heard::Refused(_)) => "limit",
            (_, Heard::Noted(_)) => "shadow",
            (_, Heard::Charges(_, Fate::Counted)) => "counted",
            (_, Heard::Charges(_, Fate::Merged(_))) => "merged",
            (_, Heard::Charges(_, Fate::Dropped)) => "dropped",
            _ => "passed",
        });
    }
}

/// A property that only ever saw one kind of decision would prove little.
#[test]
fn random_policies_and_calls_meet_every_kind_of_rule() {
    let mut runner = TestRunner::deterministic();
    let asked = (prop::collection::vec(policy(), 1..3), arguments());
    let mut seen = BTreeSet::new();
    for _ in 0..600 {
        let (texts, arguments) = asked.new_tree(&mut runner).unwrap().current();
        let Some(policies) = loaded(&texts) else { continue };
        let caller = Caller {
            grant: "x",
            server: "s",
            session: None,
            claims: None,
        };
        let call = Call {
            tool: "t",
            arguments: Some(&arguments),
        };
        met(&explain_tool(&policies, &caller, &call), &mut seen);
    }
    let all = [
        "action",
        "approve_if",
        "approve_if in doubt",
        "arguments",
        "counted",
        "default deny",
        "deny_if",
        "dropped",
        "hidden",
        "limit",
        "merged",
        "passed",
        "require",
        "require_approval",
        "shadow",
    ];
    assert_eq!(seen.into_iter().collect::<Vec<_>>(), all);
}

proptest! {
    #![proptest_config(Config { cases: 400, failure_persistence: None, max_global_rejects: 20_000, ..Config::default() })]

    #[test]
    fn an_explanation_is_the_decision_with_its_rule(
        texts in prop::collection::vec(policy(), 0..3),
        tool in prop::sample::select(vec!["t", "tt", "u/v~w", "xx", "z"]),
        arguments in arguments(),
        session in prop::option::of(Just("1")),
        team in prop::option::of(Just(r#"{"team": "x"}"#)),
    ) {
        let policies = loaded(&texts);
        prop_assume!(policies.is_some());
        let policies = policies.unwrap();
        let claims = team.and_then(Claims::read);
        let caller = Caller { grant: "x", server: "s", session, claims: claims.as_ref() };
        let call = Call { tool, arguments: Some(&arguments) };
        let decided = plan_tool(&policies, &caller, &call);
        let explained = explain_tool(&policies, &caller, &call);
        prop_assert_eq!(format!("{decided:?}"), format!("{:?}", explained.decision));
        prop_assert_eq!(&decided.recorded, &explained.decision.recorded);
        agrees(&explained, &texts)?;
    }

    #[test]
    fn a_method_is_explained_as_it_is_decided(
        texts in prop::collection::vec(policy(), 0..3),
        method in prop::sample::select(vec!["resources/read", "prompts/get", "x/y", "ping", "notifications/x"]),
    ) {
        let policies = loaded(&texts);
        prop_assume!(policies.is_some());
        let policies = policies.unwrap();
        let explained = explain_method(&policies, method);
        let decided = plan_method(&policies, method);
        prop_assert_eq!(format!("{decided:?}"), format!("{:?}", explained.decision));
        agrees(&explained, &texts)?;
    }
}
