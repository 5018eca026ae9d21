//! Text of others on a terminal.

use crate::document::is_invisible;

/// Names come from callers: nothing of them may steer the terminal, or hide.
pub(super) fn escaped(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() || is_invisible(c) {
            shown.extend(c.escape_default());
        } else {
            shown.push(c);
        }
    }
    shown
}
