//! Keys that only case tells apart: servers in Go read `Amount` where a rule says `amount`.

use crate::mcp::text::folded;

/// Whether `key` is not `name` but becomes it where a reader ignores case.
///
/// Go's `encoding/json` folds ASCII case and the letters that Unicode's simple folding takes into
/// ASCII; Java's `equalsIgnoreCase` goes further. Full case mapping covers both.
pub(super) fn is_lookalike(key: &str, name: &str) -> bool {
    if key == name {
        return false;
    }
    if key.is_ascii() && name.is_ascii() {
        return key.eq_ignore_ascii_case(name);
    }
    folded(key) == folded(name)
}

#[cfg(test)]
mod tests {
    use super::is_lookalike;

    #[test]
    fn keys_that_differ_in_case_only_are_lookalikes() {
        for key in ["Amount", "AMOUNT", "amounT"] {
            assert!(is_lookalike(key, "amount"), "{key}");
        }
        assert!(is_lookalike("\u{17f}ize", "size"));
        assert!(is_lookalike("\u{212a}ey", "key"));
        assert!(is_lookalike("ÄNDERN", "ändern"));
    }

    #[test]
    fn the_key_itself_and_other_keys_are_not() {
        for key in ["amount", "amounts", "amoun", "", "a mount"] {
            assert!(!is_lookalike(key, "amount"), "{key}");
        }
    }
}
