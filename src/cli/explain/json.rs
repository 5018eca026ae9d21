//! The explanation for programs. The names of fields are a contract: docs/explain.md.

use std::io::{self, Write};

use serde_json::{Map, Value, json};

use super::text::counting;
use super::{Shown, outcome};
use crate::policy::{
    Answer, Asked, Broken, Charge, Condition, Counting, Denial, Fate, Heard, Known, Plan, Read, Step,
    counting_in_words, scope_as_written, subject_in_words, units_in_whole, window_in_words,
};

pub(super) fn write(it: &Shown<'_>, out: &mut dyn Write) -> io::Result<()> {
    let explanation = it.explanation;
    let decision = &explanation.decision;
    let (charges, approvers) = match &decision.plan {
        Plan::Admit(charges) => (charges.as_slice(), None),
        Plan::Ask { charges, ask } => (charges.as_slice(), Some(ask.approvers)),
        Plan::Refuse(_) => (&[][..], None),
    };
    let denial = it.denial();
    let denial = denial.as_ref();
    let policies = it.sources.iter().map(|(source, policy)| {
        let mode = if policy.is_shadow() { "shadow" } else { "enforce" };
        json!({"name": source.name, "file": source.file, "digest": policy.digest(), "mode": mode})
    });
    let value = json!({
        "method": it.method,
        "tool": it.tool,
        "grant": it.asker.grant,
        "server": it.asker.server,
        "session": it.asker.session.is_some(),
        "policies": policies.collect::<Vec<_>>(),
        "decision": {
            "outcome": outcome(decision).as_str(),
            "rule": denial.map(|denial| &denial.rule),
            "message": denial.map(|denial| &denial.message),
            "retry_after_ms": denial.and_then(|denial| denial.retry_after_ms),
            "approvers": approvers,
            "place": explanation.bit().map(|step| place(it, step.policy, &step.pointer)),
        },
        "tried": explanation.steps.iter().map(|step| tried(it, step)).collect::<Vec<_>>(),
        "shadow": decision.shadow.iter().map(noted).collect::<Vec<_>>(),
        "counters": "unused",
        "charges": charges.iter().map(|charge| charged(it, charge)).collect::<Vec<_>>(),
        "recorded": recorded(it),
        "notes": it.notes,
    });
    serde_json::to_writer_pretty(&mut *out, &value)?;
    writeln!(out)
}

fn place(it: &Shown<'_>, policy: usize, pointer: &str) -> Value {
    it.sources.get(policy).map_or(Value::Null, |source| {
        let place = source.place(pointer);
        json!({
            "policy": source.name,
            "pointer": pointer,
            "file": source.file,
            "line": place.line,
            "column": place.column,
        })
    })
}

fn noted(denial: &Denial) -> Value {
    json!({"rule": denial.rule, "outcome": denial.outcome.as_str(), "message": denial.message})
}

fn tried(it: &Shown<'_>, step: &Step) -> Value {
    let mut members = Map::new();
    let mut set = |name: &str, value: Value| members.insert(name.to_owned(), value);
    let (kind, detail) = asked(it, step);
    set("kind", json!(kind));
    set("place", place(it, step.policy, &step.pointer));
    set(
        "result",
        json!(match &step.said {
            Heard::Passed => "passed",
            Heard::Charges(..) => "charges",
            Heard::Asks(_) => "asks",
            Heard::Refused(_) => "refused",
            Heard::Noted(_) => "shadow",
        }),
    );
    if let Some((name, value)) = detail {
        set(name, value);
    }
    if let Asked::Known(Known::Entry { beaten, .. }) = &step.asked {
        set("beaten", json!(beaten));
    }
    match &step.said {
        Heard::Refused(denial) | Heard::Noted(denial) => {
            set("message", json!(denial.message));
        }
        Heard::Charges(_, fate) => {
            let (word, into) = match fate {
                Fate::Counted => ("charged", None),
                Fate::Merged(rule) => ("merged", Some(rule)),
                Fate::Dropped => ("dropped", None),
            };
            set("charge", json!(word));
            if let Some(rule) = into {
                set("merged_into", json!(rule));
            }
        }
        Heard::Asks(ask) => {
            set("approvers", json!(ask.approvers));
            set("reason", json!(ask.reason));
        }
        Heard::Passed => {}
    }
    Value::Object(members)
}

fn asked(it: &Shown<'_>, step: &Step) -> (&'static str, Option<(&'static str, Value)>) {
    let listed = |conditions: &[Condition]| {
        let listed = conditions.iter().map(|condition| seen(it, step, condition));
        Some(("conditions", listed.collect()))
    };
    match &step.asked {
        Asked::Known(Known::Hidden(name)) => ("known", Some(("hidden_by", json!(name)))),
        Asked::Known(Known::Entry { key, .. }) => ("known", Some(("entry", json!(key)))),
        Asked::Known(Known::Default(allows)) => ("known", Some(("default", json!(fallback(*allows))))),
        Asked::Action => ("action", None),
        Asked::Arguments(broken) => {
            let broken = broken.iter().map(|broken| breach(it, step, broken)).collect();
            ("arguments", Some(("broken", broken)))
        }
        Asked::Require(conditions) => ("require", listed(conditions)),
        Asked::DenyIf(conditions) => ("deny_if", listed(conditions)),
        Asked::Ask => ("approval", None),
        Asked::ApproveIf(conditions) => ("approve_if", listed(conditions)),
        Asked::Limit(counting) => {
            let reads = counting.reads.iter().map(|read| Value::Object(found(it, read)));
            ("limit", Some(("reads", reads.collect())))
        }
        Asked::Method => ("method", None),
    }
}

fn fallback(allows: bool) -> &'static str {
    if allows { "allow" } else { "deny" }
}

fn breach(it: &Shown<'_>, step: &Step, broken: &Broken) -> Value {
    json!({
        "at": broken.at,
        "keyword": broken.what.as_ref().ok(),
        "why": broken.what.as_ref().err(),
        "place": place(it, step.policy, &broken.pointer),
    })
}

fn seen(it: &Shown<'_>, step: &Step, condition: &Condition) -> Value {
    let (result, why) = match condition.answer {
        Answer::Holds => ("holds", None),
        Answer::Fails => ("fails", None),
        Answer::Doubtful(why) => ("cannot_be_evaluated", Some(why)),
    };
    json!({
        "condition": condition.text,
        "result": result,
        "why": why,
        "read": found(it, &condition.read),
        "place": place(it, step.policy, &condition.pointer),
    })
}

fn found(it: &Shown<'_>, read: &Read) -> Map<String, Value> {
    let mut members = Map::new();
    let mut set = |name: &str, value: Value| members.insert(name.to_owned(), value);
    set("path", json!(read.path));
    match &read.led {
        Err(why) => {
            set("why", json!(why));
        }
        Ok(led) => {
            set("type", json!(led.leaf.kind.unwrap_or("missing")));
            if led.total > 1 {
                set("values", json!(led.total));
                set("index", json!(led.index));
            }
            if it.values {
                set("json", json!(led.leaf.json));
            }
        }
    }
    members
}

fn charged(it: &Shown<'_>, charge: &Charge) -> Value {
    let limit = &charge.limit;
    let (mode, ms) = counting_in_words(limit.window);
    let scope = counting(it, charge)
        .map(|Counting { limit, reads }| scope_as_written(limit, reads))
        .unwrap_or_default();
    let found = it.sources.find(&limit.rule).map(|(source, pointer)| {
        let place = source.place(pointer);
        json!({
            "policy": source.name,
            "pointer": pointer,
            "file": source.file,
            "line": place.line,
            "column": place.column,
        })
    });
    json!({
        "rule": limit.rule,
        "counter": limit.counter,
        "amount": units_in_whole(charge.weight, limit.scale),
        "max": units_in_whole(limit.max, limit.scale),
        "scale": limit.scale,
        "window": window_in_words(limit.window),
        "window_ms": ms,
        "mode": mode,
        "scope": scope,
        "whose": subject_in_words(&charge.subject),
        "on_store_error": limit.on_store_error.as_str(),
        "shadow": limit.shadow,
        "place": found,
    })
}

fn recorded(it: &Shown<'_>) -> Vec<Value> {
    let recorded = it.explanation.decision.recorded.iter();
    recorded
        .map(|value| match it.values {
            true => json!({"path": &*value.path, "json": value.json}),
            false => json!({"path": &*value.path}),
        })
        .collect()
}
