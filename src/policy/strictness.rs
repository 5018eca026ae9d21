//! When one limit can never be what stops a call, because another one always stops it before.

use super::compiled::Weight;
use super::together::Usage;
use super::types::{Scope, Unit, Window};
use super::window::unit_ms;

/// Whether `usage` never binds beside `other`, where each call that is charged to `usage` is charged
/// to `other` too. Errs on the side of `false`.
pub(super) fn never_binds(usage: &Usage, other: &Usage) -> bool {
    let (limit, held_by) = (&usage.limit, &other.limit);
    let same_values = limit.window == held_by.window
        && limit.max_values == held_by.max_values
        && usage.value == other.value;
    !std::ptr::eq(usage, other)
        && fills_first(other, usage)
        && window_within(limit.window, held_by.window)
        && scope_within(limit.scope, held_by.scope, same_values)
}

/// Whether `one` is full no later than `other`, if both start empty and count the same calls.
fn fills_first(one: &Usage, other: &Usage) -> bool {
    match (&one.weight, &other.weight) {
        (Weight::Fixed(a), Weight::Fixed(b)) => {
            let calls = |max: u64, weight: u64| max.checked_div(weight).unwrap_or(0);
            calls(one.limit.max, *a) <= calls(other.limit.max, *b)
        }
        (Weight::From(a), Weight::From(b)) => {
            a == b && one.limit.scale == other.limit.scale && one.limit.max <= other.limit.max
        }
        (Weight::Fixed(_), Weight::From(_)) | (Weight::From(_), Weight::Fixed(_)) => false,
    }
}

/// Whether every `inner` window lies within some `outer` window.
fn window_within(inner: Window, outer: Window) -> bool {
    match (inner, outer) {
        (Window::Sliding { ms: inner }, Window::Sliding { ms: outer }) => inner <= outer,
        (Window::Calendar(unit), Window::Sliding { ms }) => longest(unit) <= ms,
        (Window::Calendar(inner), Window::Calendar(outer)) => inner == outer || nests(inner, outer),
        (Window::Lease { .. }, Window::Lease { .. }) => true,
        // How many run at once says nothing about how many start, and the other way round.
        (Window::Lease { .. }, _) | (_, Window::Lease { .. }) => false,
        (Window::Sliding { .. }, Window::Calendar(_)) => false,
    }
}

fn longest(unit: Unit) -> u64 {
    const LONGEST_MONTH: u64 = 31 * 24 * 60 * 60 * 1_000;
    unit_ms(unit).unwrap_or(LONGEST_MONTH)
}

/// Weeks do not nest in months; everything else nests in what is longer.
fn nests(inner: Unit, outer: Unit) -> bool {
    longest(inner) < longest(outer) && (inner, outer) != (Unit::Week, Unit::Month)
}

/// Whether all that `inner` counts is counted together by `outer`.
fn scope_within(inner: Scope, outer: Scope, same_values: bool) -> bool {
    match (inner, outer) {
        // Which values share the overflow count is each limit's own affair, unless they are alike.
        (Scope::Session, Scope::Session)
        | (Scope::Argument, Scope::Argument)
        | (Scope::Arguments, Scope::Arguments) => same_values,
        (Scope::Argument | Scope::Arguments, Scope::Grant) => true,
        (_, Scope::Global) | (Scope::Session, Scope::Grant | Scope::Server) => true,
        (inner, outer) => inner == outer,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Window = Window::Sliding { ms: 60_000 };
    const HOUR: Window = Window::Sliding { ms: 3_600_000 };

    #[test]
    fn a_shorter_window_lies_within_a_longer_one_but_a_sliding_one_not_within_a_calendar() {
        assert!(window_within(MINUTE, HOUR) && !window_within(HOUR, MINUTE));
        assert!(window_within(Window::Calendar(Unit::Minute), MINUTE));
        assert!(!window_within(MINUTE, Window::Calendar(Unit::Hour)));
        assert!(!window_within(
            Window::Calendar(Unit::Week),
            Window::Calendar(Unit::Month)
        ));
        assert!(window_within(
            Window::Calendar(Unit::Day),
            Window::Calendar(Unit::Month)
        ));
        assert!(!window_within(
            Window::Calendar(Unit::Month),
            Window::Sliding { ms: 30 * 86_400_000 }
        ));
    }

    #[test]
    fn a_wider_scope_counts_what_a_narrower_one_counts() {
        assert!(scope_within(Scope::Session, Scope::Grant, false));
        assert!(scope_within(Scope::Grant, Scope::Global, false));
        assert!(!scope_within(Scope::Grant, Scope::Session, true));
        assert!(!scope_within(Scope::Grant, Scope::Server, true));
        assert!(!scope_within(Scope::Session, Scope::Session, false));
    }
}
