//! What an allowed call is charged to: amounts, and whose counters.

use std::sync::Arc;

use super::claims::Claims;
use super::compiled::{Rated, Weight};
use super::digest::{digest_of_all, digest_of_value};
use super::facts::Facts;
use super::json::Json;
use super::number::{Decimal, Units, is_exact};
use super::path::{Path, Root};
use super::refusal;
use super::types::{Caller, Charge, Denial, Limit, Scope, Subject};

/// What a limit charges for a call; `None` where that is nothing.
///
/// # Errors
/// Where an amount or a value cannot be read, or the charge could never fit.
pub(super) fn charge_of(
    limit: &Arc<Limit>,
    rated: &Rated,
    caller: &Caller<'_>,
    facts: &Facts<'_>,
    tool: &str,
) -> Result<Option<Charge>, Denial> {
    let refused = |why: &str| refusal::uncountable(tool, limit, why);
    let subject = match subject(limit.scope, rated.value.as_ref(), caller, facts) {
        Err(_) if facts.is_in_doubt() => return Ok(None),
        subject => subject.map_err(|why| refused(&why))?,
    };
    let amount_in = |path| match amount(path, limit.scale, facts) {
        // of a call on record: stands for any amount, and whoever asked has noted it
        Err(_) if facts.is_in_doubt() => Ok(Units::Exactly(1)),
        amount => amount.map_err(|why| refused(&why)),
    };
    let weight = match &rated.weight {
        Weight::Fixed(weight) => *weight,
        Weight::From(path) => match amount_in(path)? {
            Units::Exactly(0) => return Ok(None),
            Units::Exactly(units) if units <= limit.max => units,
            // The amount is the caller's: it stands in no message.
            Units::Exactly(_) | Units::TooLarge => return Err(refusal::above_max(limit, &subject, tool)),
            Units::TooPrecise | Units::Negative => return Err(refused("its amount cannot be charged")),
        },
    };
    Ok(Some(Charge {
        limit: Arc::clone(limit),
        weight,
        subject,
    }))
}

/// The charges of a call: the same usage once, against its smallest `max`.
#[derive(Default)]
pub(super) struct Charges(Vec<Charge>);

impl Charges {
    pub(super) fn add(&mut self, charges: Vec<Charge>) {
        if self.0.is_empty() && charges.len() < 2 {
            self.0 = charges;
            return;
        }
        for charge in charges {
            match self.0.iter_mut().find(|known| same_usage(known, &charge)) {
                Some(known) => merge(known, charge),
                None => self.0.push(charge),
            }
        }
    }

    /// The charges that can fit, and the denials of those that never can since they were merged, with whether
    /// they are in shadow.
    pub(super) fn end(self, tool: &str) -> (Vec<Charge>, Vec<(bool, Denial)>) {
        let (fit, beyond): (Vec<_>, Vec<_>) = self
            .0
            .into_iter()
            .partition(|charge| charge.weight <= charge.limit.max);
        let denials = beyond
            .iter()
            .map(|Charge { limit, subject, .. }| (limit.shadow, refusal::above_max(limit, subject, tool)));
        let denials = denials.collect();
        (fit, denials)
    }
}

/// The value that the path leads to; it must be there.
fn value<'f, 'c>(path: &Path, facts: &'f Facts<'c>) -> Result<&'f Json<'c>, String> {
    let found = path
        .resolve(facts)
        .map_err(|doubt| format!("`{}` cannot be read: {}", path.text, doubt.as_str()))?;
    match found.as_slice() {
        [Some(value)] => Ok(*value),
        _ => Err(format!("`{}` is missing", path.text)),
    }
}

fn amount(path: &Path, scale: u8, facts: &Facts<'_>) -> Result<Units, String> {
    let Json::Number(text) = value(path, facts)? else {
        return Err(format!("`{}` is not a number", path.text));
    };
    if !is_exact(text) {
        return Err(format!("`{}` has more digits than every server keeps", path.text));
    }
    let decimal = Decimal::read(text).ok_or_else(|| format!("`{}` is not a number", path.text))?;
    match decimal.units(scale) {
        Units::Negative => Err(format!("`{}` is negative", path.text)),
        Units::TooPrecise => Err(format!("`{}` has more than {scale} decimal places", path.text)),
        units => Ok(units),
    }
}

pub(super) fn same_usage(known: &Charge, charge: &Charge) -> bool {
    let (one, other) = (&known.limit, &charge.limit);
    one.counter == other.counter
        && one.window == other.window
        && one.scope == other.scope
        && one.scale == other.scale
        && one.shadow == other.shadow
        && known.subject == charge.subject
}

/// The same usage twice in one call is charged once, against the smallest `max` and with the strictest
/// `on_store_error`. Two weights are an
/// error that `check_together` reports; should it not have run, the larger one is the safe one.
fn merge(known: &mut Charge, charge: Charge) {
    known.weight = known.weight.max(charge.weight);
    let strictest = known.limit.on_store_error.max(charge.limit.on_store_error);
    if charge.limit.max < known.limit.max {
        known.limit = charge.limit;
    }
    if known.limit.on_store_error != strictest {
        let limit = &known.limit;
        known.limit = Arc::new(Limit {
            rule: limit.rule.clone(),
            counter: limit.counter.clone(),
            on_deny: limit.on_deny.clone(),
            on_store_error: strictest,
            ..**limit
        });
    }
}

/// Whose counter a limit by this claim is for a grant with these claims; `None`: such a call is denied.
pub(super) fn claim_subject(path: &Path, claims: &Claims) -> Option<Subject> {
    let Root::Claim(name) = &path.root else {
        return None;
    };
    let digest = digest_of_value(claims.get(name).ok().flatten()?)?;
    let name = name.clone();
    Some(Subject::Claim { name, digest })
}

fn subject(
    scope: Scope,
    path: Option<&Path>,
    caller: &Caller<'_>,
    facts: &Facts<'_>,
) -> Result<Subject, String> {
    let grant = caller.grant.to_owned();
    Ok(match (scope, path) {
        (Scope::Grant, _) => Subject::Grant { grant },
        (Scope::Session, _) => Subject::Session {
            grant,
            server: caller.server.to_owned(),
            session: caller.session.map(str::to_owned),
        },
        (Scope::Server, _) => Subject::Server {
            server: caller.server.to_owned(),
        },
        (Scope::Global, _) => Subject::Global,
        (Scope::Argument, Some(path)) => {
            let digest = digest_of_value(value(path, facts)?).ok_or_else(|| {
                format!(
                    "`{}` is no text, boolean or number that every server keeps",
                    path.text
                )
            })?;
            Subject::Argument {
                grant,
                path: path.text.clone(),
                digest,
            }
        }
        (Scope::Claim, Some(path)) => {
            let Root::Claim(name) = &path.root else {
                return Err("its limit names no claim".to_owned());
            };
            let digest = digest_of_value(value(path, facts)?)
                .ok_or_else(|| format!("`{}` is no text, boolean or number", path.text))?;
            Subject::Claim {
                name: name.clone(),
                digest,
            }
        }
        // Compiling gives every such limit its path.
        (Scope::Argument | Scope::Claim, None) => return Err("its limit names no value".to_owned()),
        (Scope::Arguments, _) => {
            let arguments = facts.whole().map_err(|_| "the arguments cannot be read")?;
            let digest = digest_of_all(arguments);
            Subject::Arguments { grant, digest }
        }
    })
}
