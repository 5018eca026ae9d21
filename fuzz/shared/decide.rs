//! A policy, a caller and a call, built from the input: what is decided keeps to what every policy promises.

use std::sync::Arc;

use serde_json::{Value, json};
use toolgate::document::parse;
use toolgate::policy::{
    Call, Caller, Charge, Claims, Decision, Denial, Outcome, Plan, Policy, explain_tool, load, place_of,
    plan_tool, visible,
};

use super::built::{NAMES, asking, block, object, policy};
use super::dice::Dice;
use super::reading;

pub fn run(data: &[u8]) {
    let mut dice = Dice::new(data);
    let written = policy(&mut dice);
    let claims = Claims::read(&object(&mut dice, 1));
    let caller = Caller {
        grant: dice.one_of(&["g", "a", ""]),
        server: "s",
        session: dice.one_of(&[Some("1"), None]),
        claims: claims.as_ref().filter(|_| !dice.rarely(3)),
    };
    let arguments = match dice.up_to(15) {
        0 => None,
        // Whatever the strict reading would have refused must not make a decision panic.
        1 => Some(dice.text()),
        _ => Some(object(&mut dice, 0)),
    };
    let free = dice.text();
    let tool = dice.one_of(&["a", "b", "ab", "a.b", "a/b", "z", "", &free]);
    let Some(before) = sealed(&written) else { return };
    let call = Call {
        tool,
        arguments: arguments.as_deref(),
    };
    let scene = Scene { caller, call };
    let policies = [before];
    let decision = scene.decide(&policies);
    scene.promises(&policies, &decision);
    scene.is_explained(&written, &policies, &decision);
    scene.in_other_bytes(&policies, &decision);
    scene.shadow_never_refuses(&written, &policies, &decision);
    scene.a_denial_more(&mut dice, &written, &policies, &decision);
}

struct Scene<'s> {
    caller: Caller<'s>,
    call: Call<'s>,
}

impl Scene<'_> {
    fn decide(&self, policies: &[Arc<Policy>]) -> Decision {
        plan_tool(policies, &self.caller, &self.call)
    }

    fn promises(&self, policies: &[Arc<Policy>], decision: &Decision) {
        let again = self.decide(policies);
        assert_eq!(
            format!("{again:?}"),
            format!("{decision:?}"),
            "the same call, another decision"
        );
        let hidden = decision
            .denial()
            .is_some_and(|denial| denial.outcome == Outcome::Hidden);
        assert_eq!(hidden, !visible(policies, self.call.tool));
        for charge in charges(decision) {
            assert!(
                (1..=charge.limit.max).contains(&charge.weight),
                "a weight outside its limit"
            );
        }
        for value in &decision.recorded {
            assert!(
                reading::read(&value.json).is_some(),
                "what is recorded is not JSON"
            );
        }
        assert!(
            self.decide(&[]).denial().is_some(),
            "a grant without policies is admitted"
        );
    }

    /// The explanation tells the same decision, and names rules that stand in the policy.
    fn is_explained(&self, written: &Value, policies: &[Arc<Policy>], decision: &Decision) {
        let explained = explain_tool(policies, &self.caller, &self.call);
        assert_eq!(
            format!("{:?}", explained.decision),
            format!("{decision:?}"),
            "explained is another decision"
        );
        let passes = matches!(decision.plan, Plan::Admit(_));
        assert_eq!(explained.bit().is_none(), passes);
        let document = parse("p.json", &written.to_string()).expect("it was sealed");
        for step in &explained.steps {
            let place = place_of(&document.root, &step.pointer);
            let found = place != document.root.place || step.pointer.is_empty();
            assert!(found, "no rule stands at {}", step.pointer);
        }
    }

    /// Escapes, blanks and the order of members change no decision.
    fn in_other_bytes(&self, policies: &[Arc<Policy>], decision: &Decision) {
        let Some(read) = self.call.arguments.and_then(reading::read) else {
            return;
        };
        let other = read.disguised();
        let call = Call {
            arguments: Some(&other),
            ..self.call
        };
        let again = plan_tool(policies, &self.caller, &call);
        assert_eq!(
            told(&again),
            told(decision),
            "the same call in other bytes, another decision"
        );
    }

    fn shadow_never_refuses(&self, written: &Value, policies: &[Arc<Policy>; 1], decision: &Decision) {
        let mut shadow = written.clone();
        shadow["mode"] = json!("shadow");
        // Limits in shadow and others may disagree on a weight; once all are in shadow they may not.
        let Some(shadow) = sealed(&shadow) else { return };
        let alone = self.decide(&[Arc::clone(&shadow)]);
        let passes = matches!(alone.plan, Plan::Admit(_));
        assert!(passes, "a policy in shadow refuses or asks");
        assert!(
            charges(&alone).iter().all(|charge| charge.limit.shadow),
            "a limit of it is in force"
        );
        if let Some(denial) = decision.denial() {
            let noted = alone.shadow.iter().any(|noted| noted.outcome == denial.outcome);
            assert!(noted, "what would have been refused is not noted");
        }
        let [enforced] = policies;
        let both = self.decide(&[Arc::clone(enforced), shadow]);
        assert_eq!(strictness(&both), strictness(decision));
    }

    /// One rule more, of any kind that only refuses or asks.
    fn a_denial_more(
        &self,
        dice: &mut Dice<'_>,
        written: &Value,
        policies: &[Arc<Policy>; 1],
        decision: &Decision,
    ) {
        let mut more = written.clone();
        match dice.up_to(7) {
            6 => push(&mut more["all_tools"]["approve_if"], asking(dice)),
            7 => {
                // an entry that was not there could let calls pass
                if let Some(entry) = more["tools"].get_mut(dice.one_of(&NAMES)) {
                    push(&mut entry["approve_if"], asking(dice));
                }
            }
            0 => push(&mut more["hide"], json!(dice.one_of(&NAMES))),
            1 => push(&mut more["all_tools"]["deny_if"], block(dice)),
            2 => push(&mut more["all_tools"]["require"], block(dice)),
            3 => more["tools"][dice.one_of(&NAMES)] = json!({"action": "deny"}),
            4 => more["tools"][dice.one_of(&NAMES)]["action"] = json!("deny"),
            _ => {
                let other = policy(dice);
                let Some(other) = sealed(&other) else { return };
                let [policy] = policies;
                let both = [Arc::clone(policy), other];
                return no_wider(decision, &self.decide(&both));
            }
        }
        if let Some(more) = sealed(&more) {
            no_wider(decision, &self.decide(&[more]));
        }
    }
}

/// 0 passes, then as many people as must agree, then refused.
fn strictness(decision: &Decision) -> u32 {
    match &decision.plan {
        Plan::Admit(_) => 0,
        Plan::Ask { ask, .. } => ask.approvers,
        Plan::Refuse(_) => u32::MAX,
    }
}

fn no_wider(before: &Decision, after: &Decision) {
    assert!(
        strictness(before) <= strictness(after),
        "one rule more, and the call passes more easily"
    );
    if after.denial().is_some() {
        return;
    }
    let after = charges(after);
    for charge in charges(before).iter().filter(|charge| !charge.limit.shadow) {
        let kept = after.iter().any(|other| {
            other.subject == charge.subject
                && other.limit.counter == charge.limit.counter
                && other.limit.window == charge.limit.window
                && other.limit.max <= charge.limit.max
                && other.weight >= charge.weight
        });
        assert!(kept, "one denial more, and a charge went");
    }
}

/// What is decided, and by which rules. Where several things are wrong with the arguments, the sentence names the first
/// that stands there; recorded values keep the bytes that were sent.
fn told(decision: &Decision) -> String {
    let rule = |denial: &Denial| format!("{:?} {}", denial.outcome, denial.rule);
    let shadow: Vec<String> = decision.shadow.iter().map(rule).collect();
    match &decision.plan {
        Plan::Refuse(denial) => format!("{} {shadow:?}", rule(denial)),
        Plan::Admit(charges) => format!("{charges:?} {shadow:?}"),
        Plan::Ask { charges, ask } => format!("{ask:?} {charges:?} {shadow:?}"),
    }
}

fn charges(decision: &Decision) -> &[Charge] {
    match &decision.plan {
        Plan::Admit(charges) | Plan::Ask { charges, .. } => charges,
        Plan::Refuse(_) => &[],
    }
}

fn sealed(written: &Value) -> Option<Arc<Policy>> {
    let loaded = load("p", "p.json", &written.to_string());
    loaded.ok().map(|loaded| Arc::new(loaded.policy))
}

pub fn push(list: &mut Value, item: Value) {
    match list {
        Value::Array(items) => items.push(item),
        other => *other = json!([item]),
    }
}
