//! Digests of arguments, for counting alone: values that most servers take for the same are one.
//! The values themselves go no further.

use data_encoding::HEXLOWER;
use sha2::{Digest as _, Sha256};

use super::json::Json;
use super::number::{Decimal, double, is_exact};

/// The digest of one text, number or boolean: numbers by their value, and a number and its text
/// alike (`100`, `1e2`, `"100"`). `None` for any other value, and for a number that a reader of
/// doubles would see otherwise.
pub(super) fn digest_of_value(value: &Json<'_>) -> Option<String> {
    match value {
        Json::Number(text) if !is_exact(text) => None,
        Json::Number(_) | Json::Text(_) | Json::Bool(_) => Some(digest_of_all(value)),
        Json::Null | Json::List(_) | Json::Object(_) => None,
    }
}

/// The digest of a whole value; the order of keys means nothing.
pub(super) fn digest_of_all(value: &Json<'_>) -> String {
    let mut digest = Sha256::new();
    write(value, &mut digest);
    let mut hex = HEXLOWER.encode(&digest.finalize());
    hex.truncate(32);
    hex
}

fn write(value: &Json<'_>, digest: &mut Sha256) {
    match value {
        Json::Null => digest.update([0]),
        Json::Bool(value) => digest.update([1, u8::from(*value)]),
        Json::Number(text) => match number(text) {
            Some(decimal) => field(2, &decimal.canonical(), digest),
            None => field(3, text, digest),
        },
        Json::Text(text) => match Decimal::read(text) {
            Some(decimal) => field(2, &decimal.canonical(), digest),
            None => field(3, text, digest),
        },
        Json::List(items) => {
            length(4, items.len(), digest);
            items.iter().for_each(|item| write(item, digest));
        }
        Json::Object(entries) => {
            let mut sorted: Vec<_> = entries.iter().collect();
            sorted.sort_by(|(left, _), (right, _)| left.cmp(right));
            length(5, sorted.len(), digest);
            for (key, value) in sorted {
                field(6, key, digest);
                write(value, digest);
            }
        }
    }
}

/// The number as a reader of doubles sees it, where it would not keep all digits.
fn number(text: &str) -> Option<Decimal> {
    if is_exact(text) {
        return Decimal::read(text);
    }
    Decimal::read(&format!("{:e}", double(text)?))
}

fn field(kind: u8, text: &str, digest: &mut Sha256) {
    length(kind, text.len(), digest);
    digest.update(text.as_bytes());
}

fn length(kind: u8, length: usize, digest: &mut Sha256) {
    digest.update([kind]);
    digest.update(u64::try_from(length).unwrap_or(u64::MAX).to_be_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(text: &str) -> Option<String> {
        digest_of_value(&Json::read(text).unwrap())
    }

    fn all(text: &str) -> String {
        digest_of_all(&Json::read(text).unwrap())
    }

    #[test]
    fn a_number_is_one_value_however_it_is_written() {
        for same in ["1e2", "100.0", "\"100\"", "\"1e2\"", "1000e-1"] {
            assert_eq!(value(same), value("100"), "{same}");
        }
        for other in ["-100", "101", "true", "\"a\"", "\"\"", "\"one hundred\"", "0.1"] {
            assert_ne!(value(other), value("100"), "{other}");
        }
        assert_ne!(value("true"), value("false"));
    }

    #[test]
    fn what_is_no_single_value_has_no_digest() {
        for text in ["null", "[]", "[1]", "{}", "9007199254740993"] {
            assert_eq!(value(text), None, "{text}");
        }
    }

    #[test]
    fn the_order_of_keys_and_the_writing_of_numbers_change_no_digest_and_all_else_does() {
        let base = all(r#"{"a": 1, "b": [1, "x"]}"#);
        assert_eq!(base, all(r#"{"b":[1.0,"x"],"a":"1"}"#));
        for other in [
            r#"{"a": 1}"#,
            r#"{"a": 1, "b": ["x", 1]}"#,
            r#"{"a": 1, "b": [[1], "x"]}"#,
            r#"{"a": 2, "b": [1, "x"]}"#,
        ] {
            assert_ne!(base, all(other), "{other}");
        }
        assert_eq!(all("9007199254740993"), all("9007199254740992"));
        assert_eq!(base.len(), 32);
    }
}
