//! The names of a call's arguments, for records: never their values.

use std::fmt;

use serde::Deserializer as _;
use serde::de::{IgnoredAny, MapAccess, Visitor};

/// Names that a record shows of one call, and characters of one name.
const KEYS: usize = 32;
const KEY_CHARS: usize = 64;

/// The top-level keys of `arguments`, decoded, in their order; the first 32, each cut at 64 characters.
/// What is no object has none.
pub fn argument_keys(arguments: Option<&str>) -> Vec<String> {
    let Some(raw) = arguments else { return Vec::new() };
    serde_json::Deserializer::from_str(raw)
        .deserialize_map(Keys)
        .unwrap_or_default()
}

/// Whether `keys`, as a record shows them, are all that the call had, none of them cut.
pub fn is_complete(keys: &[String]) -> bool {
    let whole = |key: &String| key.chars().nth(KEY_CHARS.saturating_sub(1)).is_none();
    keys.len() < KEYS && keys.iter().all(whole)
}

struct Keys;

impl<'de> Visitor<'de> for Keys {
    type Value = Vec<String>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut keys = Vec::new();
        while let Some((key, IgnoredAny)) = map.next_entry::<String, IgnoredAny>()? {
            if keys.len() < KEYS {
                keys.push(key.chars().take(KEY_CHARS).collect());
            }
        }
        Ok(keys)
    }
}

#[cfg(test)]
mod tests {
    use super::argument_keys;

    #[test]
    fn keys_are_told_and_values_are_not() {
        assert_eq!(
            argument_keys(Some(r#"{"a": {"b": "secret"}, "\u0063": 1}"#)),
            ["a", "c"]
        );
        assert_eq!(argument_keys(None), Vec::<String>::new());
        assert_eq!(argument_keys(Some("[1]")), Vec::<String>::new());
    }

    #[test]
    fn many_and_long_keys_are_cut() {
        let many: Vec<String> = (0..100)
            .map(|n| format!("\"{n}{}\": 1", "x".repeat(100)))
            .collect();
        let keys = argument_keys(Some(&format!("{{{}}}", many.join(","))));
        assert!(keys.len() == 32 && keys.iter().all(|key| key.len() == 64));
    }
}
