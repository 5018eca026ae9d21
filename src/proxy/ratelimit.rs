//! `RateLimit-Policy` and `RateLimit` (draft-ietf-httpapi-ratelimit-headers-11).

use std::fmt::Write;

use http::header::{HeaderMap, HeaderName, HeaderValue};

use crate::counters::ChargeState;
use crate::policy::{Charge, Subject, Unit, Window};

const POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
const LIMIT: HeaderName = HeaderName::from_static("ratelimit");

/// Adds one item for each limit in force within the grant. What is left of a `claim:`, `server` or `global`
/// counter would tell one grant about another.
pub fn add<'c>(headers: &mut HeaderMap, charges: impl Iterator<Item = (&'c Charge, &'c ChargeState)>) {
    let mut policies = String::new();
    let mut limits = String::new();
    for (charge, state) in charges {
        let shared = matches!(
            charge.subject,
            Subject::Claim { .. } | Subject::Server { .. } | Subject::Global
        );
        if shared || charge.limit.shadow {
            continue;
        }
        let limit = &charge.limit;
        let name = quoted(&limit.counter);
        let whole = 10_u64.checked_pow(u32::from(limit.scale)).unwrap_or(1);
        let comma = if limits.is_empty() { "" } else { ", " };
        let (max, left) = (limit.max / whole, state.left / whole);
        // writing to a string cannot fail
        let _ = match seconds(limit.window) {
            Some(window) => write!(policies, "{comma}{name};q={max};w={window}").and_then(|()| {
                write!(
                    limits,
                    "{comma}{name};r={left};t={}",
                    state.frees_ms.div_ceil(1000)
                )
            }),
            // nobody knows when a call in flight ends
            None => write!(policies, "{comma}{name};q={max};qu=\"concurrent-requests\"")
                .and_then(|()| write!(limits, "{comma}{name};r={left}")),
        };
    }
    for (header, text) in [(POLICY, policies), (LIMIT, limits)] {
        if !text.is_empty()
            && let Ok(value) = HeaderValue::try_from(text)
        {
            headers.append(header, value);
        }
    }
}

/// A structured-field string (RFC 9651 section 3.3.3); what it cannot hold becomes `_`.
fn quoted(name: &str) -> String {
    let plain = |c: char| {
        if matches!(c, ' '..='~') && c != '"' && c != '\\' {
            c
        } else {
            '_'
        }
    };
    format!("\"{}\"", name.chars().map(plain).collect::<String>())
}

/// The window in seconds, at least 1; `None` where calls in flight are counted. A month counts as 31 days.
const fn seconds(window: Window) -> Option<u64> {
    Some(match window {
        Window::Lease { .. } => return None,
        Window::Sliding { ms } => ms.div_ceil(1000),
        Window::Calendar(Unit::Second) => 1,
        Window::Calendar(Unit::Minute) => 60,
        Window::Calendar(Unit::Hour) => 3_600,
        Window::Calendar(Unit::Day) => 86_400,
        Window::Calendar(Unit::Week) => 604_800,
        Window::Calendar(Unit::Month) => 2_678_400,
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use http::HeaderMap;

    use super::add;
    use crate::counters::{ChargeState, Fit};
    use crate::policy::{Charge, Limit, OnStoreError, Scope, Subject, Window};

    fn charge(counter: &str, scope: Scope, subject: Subject) -> Charge {
        let limit = Limit {
            rule: String::new(),
            counter: counter.to_owned(),
            window: Window::Sliding { ms: 60_000 },
            max: 10,
            scope,
            scale: 0,
            max_values: None,
            shadow: false,
            on_deny: None,
            on_store_error: OnStoreError::Deny,
        };
        Charge {
            limit: Arc::new(limit),
            weight: 1,
            subject,
        }
    }

    #[test]
    fn each_limit_within_the_grant_is_told_and_shared_ones_are_not() {
        let state = ChargeState {
            left: 3,
            frees_ms: 41_001,
            fit: Fit::Now,
        };
        let mine = charge("runs \"x\"", Scope::Grant, Subject::Grant { grant: "g".into() });
        let shared = charge("all", Scope::Global, Subject::Global);
        let mut headers = HeaderMap::new();
        add(&mut headers, [(&mine, &state), (&shared, &state)].into_iter());
        assert_eq!(headers["ratelimit-policy"], "\"runs _x_\";q=10;w=60");
        assert_eq!(headers["ratelimit"], "\"runs _x_\";r=3;t=42");
    }

    #[test]
    fn calls_at_once_are_told_as_such_and_without_a_time() {
        let state = ChargeState {
            left: 1,
            frees_ms: 29_000,
            fit: Fit::Now,
        };
        let mut charge = charge("runs", Scope::Grant, Subject::Grant { grant: "g".into() });
        let limit = Arc::get_mut(&mut charge.limit).unwrap();
        (limit.window, limit.max) = (Window::Lease { ms: 30_000 }, 3);
        let mut headers = HeaderMap::new();
        add(&mut headers, [(&charge, &state)].into_iter());
        assert_eq!(
            headers["ratelimit-policy"],
            "\"runs\";q=3;qu=\"concurrent-requests\""
        );
        assert_eq!(headers["ratelimit"], "\"runs\";r=1");
    }

    #[test]
    fn without_limits_nothing_is_told() {
        let mut headers = HeaderMap::new();
        add(&mut headers, std::iter::empty());
        assert!(headers.is_empty());
    }
}
