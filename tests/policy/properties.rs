//! What holds for every policy.

use std::sync::Arc;

use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::{Config, TestRunner};
use toolgate::document::{Level, render};
use toolgate::policy::{Charge, Outcome, Plan, Policy, check_together, load, visible};

use super::model::{Tool, decisions, model, plan, policy, probes};
use super::samples::samples;

fn config() -> Config {
    Config {
        cases: 128,
        failure_persistence: None,
        ..Config::default()
    }
}

/// Whether `narrow` lets through nothing that `wide` does not, and charges at least as much.
fn narrower(narrow: &[Arc<Policy>], wide: &[Arc<Policy>]) -> Result<(), TestCaseError> {
    for tool in probes() {
        let (charges, needed) = match plan(narrow, &tool) {
            Plan::Refuse(_) => continue,
            Plan::Ask { charges, ask } => (charges, ask.approvers),
            Plan::Admit(charges) => (charges, 0),
        };
        match plan(wide, &tool) {
            Plan::Refuse(denial) => prop_assert!(false, "{tool} was refused ({denial:?}) and now passes"),
            Plan::Ask { ask, .. } if ask.approvers > needed => {
                prop_assert!(
                    false,
                    "{tool} was asked about ({ask:?}), and now {needed} are enough"
                );
            }
            Plan::Admit(before) | Plan::Ask { charges: before, .. } => {
                let kept = |old: &Charge| charges.iter().any(|new| as_strict(new, old));
                prop_assert!(before.iter().all(kept), "{tool}: {before:?} became {charges:?}");
            }
        }
    }
    Ok(())
}

fn as_strict(new: &Charge, old: &Charge) -> bool {
    new.subject == old.subject
        && new.limit.counter == old.limit.counter
        && new.limit.window == old.limit.window
        && new.limit.max <= old.limit.max
        && new.weight >= old.weight
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn adding_a_deny_never_widens(model in model(), name in "[ab.*?/]{1,3}") {
        let mut denying = model.clone();
        denying.tools.insert(name.clone(), Tool { deny: Some("x".into()), ask: None, limits: vec![], rate_limit: None });
        if let (Some(before), Some(after)) = (model.policy(), denying.policy()) {
            narrower(&[after], &[before])?;
        }
        let mut hiding = model.clone();
        hiding.hide.push(name);
        if let (Some(before), Some(after)) = (model.policy(), hiding.policy()) {
            narrower(&[after], &[before])?;
        }
    }

    #[test]
    fn asking_more_people_never_widens(model in model(), more in 1_u32..3) {
        let ask = |asked: Option<u32>| Some(asked.unwrap_or(0) + more);
        let mut asking = model.clone();
        asking.all_ask = ask(model.all_ask);
        if let (Some(before), Some(after)) = (model.policy(), asking.policy()) {
            narrower(&[after], &[before])?;
        }
        for name in model.tools.keys().filter(|name| model.tools[*name].deny.is_none()) {
            let mut asking = model.clone();
            let tool = asking.tools.get_mut(name).unwrap();
            tool.ask = ask(tool.ask);
            if let (Some(before), Some(after)) = (model.policy(), asking.policy()) {
                narrower(&[after], &[before])?;
            }
        }
    }

    #[test]
    fn adding_a_policy_never_widens(first in model(), second in model()) {
        if let (Some(first), Some(second)) = (first.policy(), second.policy()) {
            let both = [first.clone(), second.clone()];
            narrower(&both, &[first])?;
            narrower(&both, &[second])?;
        }
    }

    #[test]
    fn the_order_of_the_entries_changes_nothing(model in model(), seed in any::<prop::sample::Index>()) {
        let mut keys: Vec<&String> = model.tools.keys().collect();
        if !keys.is_empty() {
            let turn = seed.index(keys.len());
            keys.rotate_left(turn);
            keys.reverse();
        }
        let other = policy("model.json", &model.to_json_in_order(&keys));
        match (model.policy(), other) {
            (Some(one), Some(other)) => prop_assert_eq!(decisions(&[one]), decisions(&[other])),
            (one, other) => prop_assert_eq!(one.is_some(), other.is_some()),
        }
    }

    #[test]
    fn json_and_yaml_of_one_model_are_one_policy(model in model()) {
        match (model.policy(), policy("model.yaml", &model.to_yaml())) {
            (Some(json), Some(yaml)) => prop_assert_eq!(decisions(&[json]), decisions(&[yaml])),
            (json, yaml) => prop_assert_eq!(json.is_some(), yaml.is_some(), "{}", model.to_yaml()),
        }
    }

    #[test]
    fn what_is_not_visible_looks_unknown_and_what_is_visible_does_not(first in model(), second in model()) {
        if let (Some(first), Some(second)) = (first.policy(), second.policy()) {
            for policies in [vec![first.clone()], vec![first, second]] {
                for tool in probes() {
                    let hidden = matches!(plan(&policies, &tool), Plan::Refuse(denial) if denial.outcome == Outcome::Hidden);
                    prop_assert_eq!(!visible(&policies, &tool), hidden, "{}", tool);
                }
            }
        }
    }

    #[test]
    fn a_charge_fits_its_limit_and_no_usage_is_charged_twice(first in model(), second in model()) {
        let (Some(first), Some(second)) = (first.policy(), second.policy()) else { return Ok(()) };
        let policies = [first, second];
        let agreed = check_together(&policies).is_empty();
        for tool in probes() {
            let (Plan::Admit(charges) | Plan::Ask { charges, .. }) = plan(&policies, &tool) else { continue };
            for (index, charge) in charges.iter().enumerate() {
                prop_assert!((1..=charge.limit.max).contains(&charge.weight));
                prop_assert!(charge.limit.rule.starts_with("model#/"), "{}", charge.limit.rule);
                let again = charges.iter().skip(index + 1).any(|other| {
                    other.subject == charge.subject
                        && other.limit.counter == charge.limit.counter
                        && other.limit.window == charge.limit.window
                });
                prop_assert!(!again || !agreed, "{tool}: {charges:?}");
            }
        }
    }

    #[test]
    fn no_text_makes_the_reader_panic(text in "\\PC{0,60}") {
        for file in ["x.json", "x.yaml"] {
            if let Err(problems) = load("x", file, &text) {
                prop_assert!(!problems.is_empty());
                for problem in &problems {
                    prop_assert!(!render(problem, Level::Error, Some(&text)).is_empty());
                }
            }
        }
    }
}

/// Without this the properties above could hold because nothing ever happens.
#[test]
fn random_models_are_often_sound_and_decide_in_every_way() {
    let mut runner = TestRunner::deterministic();
    let (mut sound, mut charged, mut denied, mut asked, mut hidden, mut disagreeing) = (0, 0, 0, 0, 0, 0);
    let mut before: Option<Arc<Policy>> = None;
    for _ in 0..200 {
        let Some(policy) = model().new_tree(&mut runner).unwrap().current().policy() else {
            continue;
        };
        sound += 1;
        for tool in probes() {
            match plan(std::slice::from_ref(&policy), &tool) {
                Plan::Admit(charges) => charged += usize::from(charges.len() > 1),
                Plan::Refuse(denial) if denial.outcome == Outcome::Denied => denied += 1,
                Plan::Refuse(_) => hidden += 1,
                Plan::Ask { .. } => asked += 1,
            }
        }
        if let Some(before) = before.replace(policy.clone()) {
            disagreeing += usize::from(!check_together(&[before, policy]).is_empty());
        }
    }
    let seen = format!(
        "{sound} sound, {charged} charged, {denied} denied, {asked} asked about, {hidden} hidden, {disagreeing} disagreeing"
    );
    assert!(
        sound > 60 && charged > 200 && denied > 200 && asked > 200 && hidden > 200 && disagreeing > 5,
        "{seen}"
    );
}

/// Cuts, doubles and swaps pieces of real policies: deeper in than random text ever gets.
#[test]
fn no_broken_policy_makes_the_reader_panic() {
    let mut sound = 0;
    for path in samples("valid", 12).iter().chain(&samples("invalid", 35)) {
        let text = std::fs::read_to_string(path).unwrap();
        let file = path.to_str().unwrap();
        let places: Vec<usize> = text.char_indices().map(|(at, _)| at).collect();
        for (step, at) in places.iter().enumerate().step_by(7) {
            let other = places[(step * 7 + 3) % places.len()];
            let (low, high) = (*at.min(&other), *at.max(&other));
            let part = |from: usize, until: usize| text.get(from..until).unwrap();
            let end = text.len();
            let scrap = ["0", "\"", "{", "}", "- ", "null", "\u{7f}", "*"][step % 8];
            for broken in [
                part(0, low).to_owned(),
                [part(0, low), part(high, end)].concat(),
                [part(0, high), part(low, high), part(high, end)].concat(),
                [part(0, low), scrap, part(low, end)].concat(),
            ] {
                sound += usize::from(load("x", file, &broken).is_ok());
            }
        }
    }
    assert!(
        sound > 0,
        "every broken policy was refused: the cuts are too coarse to be worth anything"
    );
}
