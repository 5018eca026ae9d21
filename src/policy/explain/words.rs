//! Limits and charges in words. No argument's and no claim's value stands in them, and no session's id.

use super::super::types::{Limit, Scope, Subject, Window};
use super::super::window::shown_window;
use super::Read;

/// Counted units in whole ones: 1250 at scale 2 is `12.50`.
pub fn units_in_whole(units: u64, scale: u8) -> String {
    let digits = format!("{units:0>width$}", width = usize::from(scale).saturating_add(1));
    let point = digits.len().saturating_sub(usize::from(scale));
    match digits.split_at_checked(point) {
        Some((whole, places)) if !places.is_empty() => format!("{whole}.{places}"),
        _ => digits,
    }
}

/// `per minute`, `per calendar day`, `at once`: what follows an amount.
pub fn window_in_words(window: Window) -> String {
    match window {
        Window::Sliding { .. } | Window::Calendar(_) => format!("per {}", shown_window(window)),
        Window::Lease { .. } => "at once".to_owned(),
    }
}

/// How a limit counts, and the milliseconds of its window or lease, where it has some.
pub fn counting_in_words(window: Window) -> (&'static str, Option<u64>) {
    match window {
        Window::Sliding { ms } => ("sliding", Some(ms)),
        Window::Calendar(_) => ("calendar", None),
        Window::Lease { ms } => ("lease", Some(ms)),
    }
}

/// A limit's scope as policies write it. `reads` are the values that the limit read.
pub fn scope_as_written(limit: &Limit, reads: &[Read]) -> String {
    // The value by which a limit counts is read last.
    let path = reads.last().map_or("", |read| read.path.as_str());
    match limit.scope {
        Scope::Grant => "grant".to_owned(),
        Scope::Session => "session".to_owned(),
        Scope::Server => "server".to_owned(),
        Scope::Global => "global".to_owned(),
        Scope::Claim => format!("claim:{}", without(path, "grant.claims")),
        Scope::Argument => format!("arg:{}", without(path, "args")),
        Scope::Arguments => "arguments".to_owned(),
    }
}

fn without<'t>(path: &'t str, root: &str) -> &'t str {
    let rest = path.strip_prefix(root).unwrap_or(path);
    rest.strip_prefix('.').unwrap_or(rest)
}

/// Whose counter a charge goes to, to follow `for`.
pub fn subject_in_words(subject: &Subject) -> String {
    match subject {
        Subject::Grant { grant } => format!("grant `{grant}`"),
        Subject::Session {
            grant,
            session: Some(_),
            ..
        } => format!("this session of grant `{grant}`"),
        Subject::Session { grant, .. } => format!("grant `{grant}`, since the call has no session"),
        Subject::Server { server } => format!("all grants on server `{server}`"),
        Subject::Global => "all grants together".to_owned(),
        Subject::Claim { name, .. } => format!("all grants with this value of claim `{name}`"),
        Subject::Argument { grant, path, .. } => format!("this value of `{path}` within grant `{grant}`"),
        Subject::Arguments { grant, .. } => format!("these arguments within grant `{grant}`"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_shown_with_the_places_that_their_counter_keeps() {
        assert_eq!(units_in_whole(1_250, 2), "12.50");
        assert_eq!(units_in_whole(5, 2), "0.05");
        assert_eq!(units_in_whole(0, 1), "0.0");
        assert_eq!(units_in_whole(10, 0), "10");
        assert_eq!(units_in_whole(1, 15), "0.000000000000001");
    }
}
