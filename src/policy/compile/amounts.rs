//! What a limit charges, and whose counter: `weight`, `increment_from`, `scale`, `scope: arg:PATH`.

use super::super::compiled::Weight;
use super::super::language::{DEFAULT_MAX_VALUES, LARGEST};
use super::super::path::Path;
use super::super::shape::Report;
use super::super::types::Scope;
use super::super::written::{Located, WrittenLimit};
use crate::document::quoted;

/// `max` in counted units, and the decimal places of the counter.
pub(super) fn scaled_max(written: &WrittenLimit<'_>, report: &mut Report<'_>) -> Option<(u64, u8)> {
    let Some(Located { place, value }) = written.scale else {
        return Some((written.max, 0));
    };
    let scale = u8::try_from(value).ok().filter(|scale| *scale <= 15)?;
    let max = scale_up(written.max, scale).filter(|max| *max <= LARGEST);
    if max.is_none() {
        let message = format!("`max` with {scale} decimal places is more than counters hold exactly (2^53)");
        report.add_with_help(place, message, "lower `max` or `scale`");
    }
    Some((max?, scale))
}

fn scale_up(units: u64, scale: u8) -> Option<u64> {
    10_u64.checked_pow(u32::from(scale))?.checked_mul(units)
}

/// What each call charges.
pub(super) fn weight(written: &WrittenLimit<'_>, scale: u8, report: &mut Report<'_>) -> Option<Weight> {
    if let (Some(from), Some(weight)) = (written.increment_from, written.weight) {
        let message =
            "`weight` and `increment_from` exclude each other: one of them says what a call charges";
        report.add(from.place.max(weight.place), message);
        return None;
    }
    if let Some(Located { place, value }) = written.increment_from {
        let path = single_argument(Path::read(value), place, value, report)?;
        return Some(Weight::From(path));
    }
    let weight = written.weight.map_or(1, |weight| weight.value);
    if let Some(Located { place, .. }) = written.weight
        && weight > written.max
    {
        let message = format!(
            "every call charges {weight}, more than `max` ({}): none could ever pass",
            written.max
        );
        report.add_with_help(place, message, "raise `max`, or write `\"action\": \"deny\"`");
    }
    scale_up(weight, scale).map(Weight::Fixed)
}

/// The argument or claim by whose value a limit counts; `Ok(None)` for scopes that have none.
pub(super) fn scope_value(written: &WrittenLimit<'_>, report: &mut Report<'_>) -> Result<Option<Path>, ()> {
    let Some(Located { place, value }) = written.scope_path else {
        return Ok(None);
    };
    let path = if written.scope == Scope::Claim {
        Path::of_claim(value)
            .map_err(|fault| report.add(place, format!("the scope {} {fault}", quoted(value))))
            .ok()
    } else {
        single_argument(Path::read_in_arguments(value), place, value, report)
    };
    path.map(Some).ok_or(())
}

pub(super) fn single_argument(
    path: Result<Path, &'static str>,
    place: crate::document::Place,
    text: &str,
    report: &mut Report<'_>,
) -> Option<Path> {
    let fault = match path {
        Ok(path) if path.steps().is_some() && path.is_single() => return Some(path),
        Ok(_) => "does not lead to one argument",
        Err(fault) => fault,
    };
    report.add(place, format!("the path {} {fault}", quoted(text)));
    None
}

/// How many values have a key of their own, where the caller chooses them.
pub(super) fn max_values(written: &WrittenLimit<'_>) -> Option<u32> {
    let values = written
        .max_values
        .map_or(DEFAULT_MAX_VALUES, |values| values.value);
    is_chosen(written.scope).then_some(values)
}

/// Whether the caller chooses the scope's value.
pub(in super::super) fn is_chosen(scope: Scope) -> bool {
    matches!(scope, Scope::Session | Scope::Argument | Scope::Arguments)
}
