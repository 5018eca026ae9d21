//! Ids as their owner means them: an answer may write an id in other bytes than its request did.

/// What two ids have in common that a peer takes for the same. Numbers are compared as doubles, since most
/// peers read them so: two that differ only beyond a double count as one.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum IdKey {
    Text(String),
    /// The bits of the double.
    Number(u64),
}

impl IdKey {
    /// From the bytes of an id; `None` for what is neither a string nor a number.
    pub fn of(raw: &str) -> Option<Self> {
        if raw.starts_with('"') {
            return serde_json::from_str(raw).ok().map(Self::Text);
        }
        if !raw.starts_with(|first: char| first == '-' || first.is_ascii_digit()) {
            return None;
        }
        let number: f64 = raw.parse().ok()?;
        // -0 is 0
        Some(Self::Number((number + 0.0).to_bits()))
    }
}

#[cfg(test)]
mod tests {
    use super::IdKey;

    #[test]
    fn ids_that_a_peer_may_write_anew_are_the_same() {
        for (one, other) in [
            ("1", "1.0"),
            ("1", "1e0"),
            ("0", "-0"),
            (r#""a/b""#, r#""a\/b""#),
            ("12345678901234567890", "12345678901234567000"),
        ] {
            assert_eq!(IdKey::of(one), IdKey::of(other), "{one} {other}");
        }
    }

    #[test]
    fn a_number_is_not_the_text_of_it_and_null_is_no_id() {
        assert_ne!(IdKey::of("1"), IdKey::of(r#""1""#));
        for none in ["null", "true", "{}", "[]", "", "nan", "inf", "\"\\ud800\""] {
            assert_eq!(IdKey::of(none), None, "{none}");
        }
    }
}
