//! Rules in words, short enough to stand on each side of an arrow.

use super::super::compiled::{Rated, Weight};
use super::super::condition::Condition;
use super::super::types::{OnStoreError, Scope, Window};
use super::super::window::shown_window;
use crate::document::quoted;

pub(super) fn say_block(conditions: &[Condition], shadow: bool) -> String {
    let texts: Vec<&str> = conditions
        .iter()
        .map(|condition| condition.text.as_str())
        .collect();
    let mut text = if texts.is_empty() {
        "every call".to_owned()
    } else {
        texts.join(" and ")
    };
    if shadow {
        text.push_str(", in shadow");
    }
    text
}

/// `args.amount gt 100, by 2 people`.
pub(super) fn say_asking(conditions: &[Condition], shadow: bool, approvers: u32) -> String {
    let by = match approvers {
        1 => String::new(),
        several => format!(", by {several} people"),
    };
    format!("{}{by}", say_block(conditions, shadow))
}

/// `10 per minute for each grant`.
pub(super) fn say_limit(rated: &Rated, strictest: OnStoreError) -> String {
    let limit = &rated.alone;
    let unit = 10_u64.checked_pow(u32::from(limit.scale)).unwrap_or(1);
    let (max, window) = (
        limit.max.checked_div(unit).unwrap_or(limit.max),
        shown_window(limit.window),
    );
    let mut text = match limit.window {
        Window::Lease { .. } => format!("{max} at once, with a lease of {window},"),
        Window::Sliding { .. } | Window::Calendar(_) => format!("{max} per {window}"),
    };
    let value = rated.value.as_ref().map_or("", |path| path.text.as_str());
    match limit.scope {
        Scope::Grant => text.push_str(" for each grant"),
        Scope::Session => text.push_str(" for each session"),
        Scope::Server => text.push_str(" for all grants of the server"),
        Scope::Global => text.push_str(" for all grants"),
        Scope::Argument | Scope::Claim => text.push_str(&format!(" for each {}", quoted(value))),
        Scope::Arguments => text.push_str(" for each set of arguments"),
    }
    match &rated.weight {
        Weight::Fixed(weight) if *weight == unit => {}
        Weight::Fixed(weight) => {
            let weight = weight.checked_div(unit).unwrap_or(*weight);
            text.push_str(&format!(", {weight} a call"));
        }
        Weight::From(path) => text.push_str(&format!(", counting {}", quoted(&path.text))),
    }
    if limit.scale > 0 {
        text.push_str(&format!(", {} decimal places", limit.scale));
    }
    if let Some(values) = limit
        .max_values
        .filter(|values| *values != super::super::language::DEFAULT_MAX_VALUES)
    {
        text.push_str(&format!(", at most {values} values"));
    }
    match strictest {
        OnStoreError::Deny => {}
        OnStoreError::Allow => text.push_str(", passing uncounted without the store"),
        OnStoreError::Local => text.push_str(", counted locally without the store"),
    }
    if rated.shadow {
        text.push_str(", in shadow");
    }
    text
}
