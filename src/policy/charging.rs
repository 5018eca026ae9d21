//! What an allowed call is charged to: amounts, and whose counters.

use std::sync::Arc;

use super::compiled::{Rated, Weight};
use super::decide::Plan;
use super::digest::{digest_of_all, digest_of_value};
use super::facts::Facts;
use super::json::Json;
use super::number::{Decimal, Units, is_exact};
use super::path::Path;
use super::refusal;
use super::types::{Caller, Charge, Denial, Limit, Scope, Subject};

/// One limit that applies, with its rule as this grant sees it.
pub(super) struct Applied<'p> {
    pub(super) limit: &'p Arc<Limit>,
    pub(super) rated: &'p Rated,
}

/// The charges of a call: the same usage once, against its smallest `max`.
///
/// # Errors
/// Where an amount or a value cannot be read from the arguments, or a charge could never fit.
pub(super) fn charges<'p>(
    applied: impl Iterator<Item = Applied<'p>>,
    caller: &Caller<'_>,
    facts: &Facts<'_>,
    tool: &str,
) -> Result<Plan, Denial> {
    let mut charges: Vec<Charge> = Vec::new();
    for Applied { limit, rated } in applied {
        let refused = |why: &str| refusal::uncountable(tool, &limit.rule, why);
        let subject =
            subject(limit.scope, rated.value.as_ref(), caller, facts).map_err(|why| refused(&why))?;
        let weight = match &rated.weight {
            Weight::Fixed(weight) => *weight,
            Weight::From(path) => match amount(path, limit.scale, facts).map_err(|why| refused(&why))? {
                Units::Exactly(0) => continue,
                Units::Exactly(units) if units <= limit.max => units,
                // The amount is the caller's: it stands in no message.
                Units::Exactly(_) | Units::TooLarge => return Err(refusal::above_max(limit, &subject, tool)),
                Units::TooPrecise | Units::Negative => return Err(refused("its amount cannot be charged")),
            },
        };
        match charges
            .iter_mut()
            .find(|charge| same_usage(charge, limit, &subject))
        {
            Some(charge) => merge(charge, limit, weight),
            None => charges.push(Charge {
                limit: Arc::clone(limit),
                weight,
                subject,
            }),
        }
    }
    match charges.iter().find(|charge| charge.weight > charge.limit.max) {
        Some(charge) => Err(refusal::above_max(&charge.limit, &charge.subject, tool)),
        None => Ok(Plan::Admit(charges)),
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

fn same_usage(charge: &Charge, limit: &Limit, subject: &Subject) -> bool {
    let known = &charge.limit;
    known.counter == limit.counter
        && known.window == limit.window
        && known.scope == limit.scope
        && known.scale == limit.scale
        && charge.subject == *subject
}

/// The same usage twice in one call is charged once, against the smallest `max`. Two weights are an
/// error that `check_together` reports; should it not have run, the larger one is the safe one.
fn merge(charge: &mut Charge, limit: &Arc<Limit>, weight: u64) {
    if limit.max < charge.limit.max {
        charge.limit = Arc::clone(limit);
    }
    charge.weight = charge.weight.max(weight);
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
        // Compiling gives every such limit its path.
        (Scope::Argument, None) => return Err("its limit names no argument".to_owned()),
        (Scope::Arguments, _) => {
            let arguments = facts.arguments().ok_or("the arguments cannot be read")?;
            let digest = digest_of_all(arguments);
            Subject::Arguments { grant, digest }
        }
    })
}
