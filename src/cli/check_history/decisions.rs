//! A decision line of `serve` → what it tells of each counter.

use std::collections::VecDeque;

use serde::Deserialize;

use crate::counters::calendar;
use crate::counters::command::Span;
use crate::counters::history::{Event, Wanted, What, id_of};
use crate::policy::Unit;

#[derive(Deserialize)]
struct Decision {
    outcome: Option<String>,
    id: Option<String>,
    grant: Option<String>,
    #[serde(default)]
    server: String,
    rule: Option<String>,
    store_ms: Option<u64>,
    #[serde(default)]
    charges: Vec<Charge>,
    upstream: Option<Upstream>,
    #[serde(default)]
    degraded: bool,
    #[serde(default)]
    replica: String,
}

#[derive(Deserialize)]
struct Charge {
    rule: String,
    counter: String,
    weight: u64,
    max: u64,
    store_ms: Option<u64>,
    #[serde(default)]
    shadow: bool,
    #[serde(default)]
    scope: String,
    window_ms: Option<u64>,
    calendar: Option<String>,
    #[serde(default)]
    scale: u8,
}

#[derive(Deserialize)]
struct Upstream {
    #[serde(default)]
    refunded: bool,
}

/// Adds the line's events to `told`; how many charges cannot be judged.
///
/// # Errors
/// A sentence that says what is wrong with the line.
pub(super) fn read(line: &[u8], told: &mut VecDeque<Event>) -> Result<u64, String> {
    let decision: Decision = serde_json::from_slice(line).map_err(|error| {
        // the library's message may quote what stands there
        format!("this is no decision (column {})", error.column())
    })?;
    let Some(outcome) = decision.outcome.as_deref() else {
        return Ok(0);
    };
    let mut skipped = 0_u64;
    for charge in &decision.charges {
        let denied = outcome == "limited" && decision.rule.as_deref() == Some(charge.rule.as_str());
        let at = charge.store_ms.or(decision.store_ms.filter(|_| denied));
        let counted = charge.store_ms.is_some() || denied;
        match at.and_then(|at| event(&decision, charge, at)) {
            Some(event) if !decision.degraded => {
                let refund = decision.upstream.as_ref().is_some_and(|it| it.refunded);
                let refund = (refund && charge.store_ms.is_some()).then(|| Event {
                    what: What::Refund,
                    ..event.clone()
                });
                told.push_back(event);
                told.extend(refund);
            }
            _ if counted || decision.degraded => skipped = skipped.saturating_add(1),
            _ => {}
        }
    }
    Ok(skipped)
}

fn event(decision: &Decision, charge: &Charge, t_ms: u64) -> Option<Event> {
    let span = match (charge.window_ms, &charge.calendar) {
        (Some(window), None) => Span::Window { window },
        (None, Some(unit)) => {
            let (start, end) = calendar::interval(Unit::from_word(unit)?, t_ms)?;
            Span::Calendar { start, end }
        }
        _ => return None,
    };
    let whose = match charge.scope.as_str() {
        "grant" => decision.grant.as_deref()?,
        "server" => decision.server.as_str(),
        "global" => "",
        _ => return None,
    };
    let window = charge.window_ms.map_or_else(
        || charge.calendar.clone().unwrap_or_default(),
        |ms| ms.to_string(),
    );
    let shadow = if charge.shadow { "/shadow" } else { "" };
    let (scope, counter, scale) = (&charge.scope, &charge.counter, charge.scale);
    let wanted = Wanted {
        charge: charge.weight,
        max: charge.max,
        span,
    };
    Some(Event {
        id: id_of(decision.id.as_deref()?),
        key: format!("{scope} {whose}: {counter}/{window}/{scale}{shadow}"),
        t_ms,
        replica: decision.replica.clone(),
        what: if charge.store_ms.is_some() {
            What::Admission(wanted)
        } else {
            What::Denial(wanted)
        },
    })
}
