//! Keys and strings of JSON as a program would see them: decoded, and folded for comparison.

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;

use serde::de::{Deserialize, Deserializer, Error, Visitor};

/// A JSON string with its escapes decoded; borrowed from the message where it has none.
/// (A `&str` field fails on escapes, and `Cow<str>` by itself always copies.)
#[derive(Debug)]
pub(crate) struct Text<'a>(pub(crate) Cow<'a, str>);

impl<'de> Deserialize<'de> for Text<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(TextVisitor)
    }
}

struct TextVisitor;

impl<'de> Visitor<'de> for TextVisitor {
    type Value = Text<'de>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a string")
    }

    fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Text<'de>, E> {
        Ok(Text(Cow::Borrowed(text)))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Text<'de>, E> {
        Ok(Text(Cow::Owned(text.to_owned())))
    }
}

/// Whether `key` is not one of `known` but becomes one where a reader ignores case.
///
/// Go's `encoding/json` folds ASCII case and the two letters that Unicode's simple folding takes
/// into ASCII (U+017F to `s`, U+212A to `k`); Java's `equalsIgnoreCase` also takes U+0130 and
/// U+0131 to `i`. Full case mapping covers these and ligatures.
pub(crate) fn is_lookalike(key: &str, known: &[&str]) -> bool {
    if known.contains(&key) {
        return false;
    }
    if key.is_ascii() {
        return known.iter().any(|name| name.eq_ignore_ascii_case(key));
    }
    let folded = folded(key);
    known.iter().any(|name| name.eq_ignore_ascii_case(&folded))
}

/// `key` without case. U+0307 goes because the lower case of U+0130 is `i` followed by it.
pub(crate) fn folded(key: &str) -> String {
    key.chars()
        .flat_map(char::to_uppercase)
        .flat_map(char::to_lowercase)
        .filter(|letter| *letter != '\u{307}')
        .collect()
}

/// Where `part` stands in `whole`: serde_json lends slices of it.
pub(crate) fn place_of(whole: &str, part: &str) -> Option<Range<usize>> {
    let start = part.as_ptr().addr().checked_sub(whole.as_ptr().addr())?;
    let range = start..start.checked_add(part.len())?;
    (whole.get(range.clone()) == Some(part)).then_some(range)
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use super::{Text, is_lookalike};

    #[test]
    fn a_key_that_differs_in_case_only_is_a_lookalike() {
        for key in [
            "Method",
            "METHOD",
            "param\u{17f}",
            "\u{130}d",
            "\u{131}d",
            "re\u{17f}ult",
            "ta\u{17f}\u{212a}",
            "reque\u{fb06}State",
        ] {
            let known = ["method", "params", "id", "result", "task", "requestState"];
            assert!(is_lookalike(key, &known), "{key}");
        }
    }

    #[test]
    fn a_key_itself_and_other_words_are_no_lookalikes() {
        for key in ["method", "methods", "métho", "метнод", "", "i d"] {
            assert!(!is_lookalike(key, &["method", "id"]), "{key}");
        }
    }

    #[test]
    fn escapes_are_decoded_and_plain_text_is_borrowed() {
        let plain: Text<'_> = serde_json::from_str(r#""tools/call""#).unwrap();
        assert!(matches!(plain.0, Cow::Borrowed("tools/call")));
        let escaped: Text<'_> = serde_json::from_str(r#""tools\/c\u0061ll""#).unwrap();
        assert_eq!(escaped.0, "tools/call");
    }
}
