//! One form for each value, for what must be the same call or definition: keys sorted by code point, no blanks, numbers
//! and code points exactly as they were sent. (Counting takes the opposite: see `digest`.)

use super::json::Json;

/// The form of one JSON text. `None` for what a strict reader of messages would have refused.
pub fn canonical(json: &str) -> Option<String> {
    canonical_of(Json::read(json)?)
}

pub(super) fn canonical_of(mut value: Json<'_>) -> Option<String> {
    sort(&mut value);
    value.text(usize::MAX)
}

/// Puts the keys of every object in order.
fn sort(value: &mut Json<'_>) {
    match value {
        Json::List(items) => items.iter_mut().for_each(sort),
        Json::Object(entries) => {
            entries.sort_by(|(left, _), (right, _)| left.cmp(right));
            entries.iter_mut().for_each(|(_, value)| sort(value));
        }
        Json::Null | Json::Bool(_) | Json::Number(_) | Json::Text(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::canonical;

    #[test]
    fn order_of_keys_blanks_and_escapes_mean_nothing() {
        let one = canonical(r#" { "b" : [ 1 , {"d":2,"c":1} ] , "a" : "\u0061\/" } "#);
        assert_eq!(one.as_deref(), Some(r#"{"a":"a/","b":[1,{"c":1,"d":2}]}"#));
        assert_eq!(canonical(r#"{"a":"a/","b":[1,{"c":1,"d":2}]}"#), one);
    }

    #[test]
    fn how_a_number_is_written_and_every_code_point_mean_something() {
        for (one, other) in [
            ("100", "1e2"),
            ("100", "100.0"),
            ("0", "-0"),
            ("100", r#""100""#),
            (r#""é""#, r#""e\u0301""#),
            ("[1,2]", "[2,1]"),
            ("{}", "[]"),
            ("null", r#""null""#),
            (r#"{"a":null}"#, "{}"),
        ] {
            assert_ne!(canonical(one), canonical(other), "{one} {other}");
        }
    }

    #[test]
    fn what_can_be_read_in_two_ways_has_no_form() {
        assert_eq!(canonical(r#"{"a":1,"\u0061":2}"#), None);
        assert_eq!(canonical("{"), None);
    }
}
