//! Cells of a table: cut to their width, escaped, and coloured on a terminal.

use crate::cli::shown::escaped;

/// Text in at most `width` characters, escaped, with blanks behind it up to there.
pub(super) fn cell(text: &str, width: usize) -> String {
    let mut cell: String = escaped(text).chars().take(width.saturating_add(1)).collect();
    if cell.chars().count() > width {
        cell = cell.chars().take(width.saturating_sub(1)).collect();
        cell.push('…');
    }
    let blanks = width.saturating_sub(cell.chars().count());
    cell.extend(std::iter::repeat_n(' ', blanks));
    cell
}

/// The outcome's colour around a cell, where colours are wanted.
pub(super) fn painted(cell: &str, outcome: &str, colours: bool) -> String {
    let colour = match outcome {
        _ if !colours => return cell.to_owned(),
        "allowed" => 32,
        "limited" | "needs_approval" => 33,
        "upstream_error" | "store_error" => 35,
        _ => 31,
    };
    format!("\u{1b}[{colour}m{cell}\u{1b}[0m")
}

#[cfg(test)]
mod tests {
    use super::{cell, painted};

    #[test]
    fn cells_have_their_width_and_cannot_steer_the_terminal() {
        assert_eq!(cell("ab", 4), "ab  ");
        assert_eq!(cell("abcdef", 4), "abc…");
        assert_eq!(cell("a\u{1b}[2J", 20), r"a\u{1b}[2J          ");
        assert_eq!(painted("x", "denied", false), "x");
        assert_eq!(painted("x", "denied", true), "\u{1b}[31mx\u{1b}[0m");
    }
}
