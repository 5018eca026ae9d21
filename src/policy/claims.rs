//! Claims: what is known of a grant beside its id, such as its team.

use super::json::Json;
use super::path::Doubt;

/// The claims of a grant. `Debug` shows no value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claims(Json<'static>);

impl Claims {
    /// Reads a JSON object. `None` for any other text.
    pub fn read(json: &str) -> Option<Self> {
        match Json::read(json)?.into_owned() {
            claims @ Json::Object(_) => Some(Self(claims)),
            _ => None,
        }
    }

    /// The claim of this name; `/` separates levels, so that `kubernetes.io/namespace` reads
    /// `{"kubernetes.io": {"namespace": …}}`. `Ok(None)`: missing.
    ///
    /// # Errors
    /// Where a level before the last is no object.
    pub(super) fn get(&self, name: &str) -> Result<Option<&Json<'static>>, Doubt> {
        let mut value = &self.0;
        for level in name.split('/') {
            let Json::Object(entries) = value else {
                return Err(Doubt::Step);
            };
            match entries.iter().find(|(key, _)| key == level) {
                Some((_, found)) => value = found,
                None => return Ok(None),
            }
        }
        Ok(Some(value))
    }

    fn found(&self, name: &str) -> Option<&Json<'static>> {
        self.get(name).ok().flatten()
    }

    /// Whether something stands there, whatever it is.
    pub fn has(&self, name: &str) -> bool {
        !matches!(self.get(name), Ok(None))
    }

    /// The text of a claim that is one.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.found(name)?.as_text()
    }

    /// The number of a claim that is one, as it was written.
    pub fn number(&self, name: &str) -> Option<&str> {
        match self.found(name)? {
            Json::Number(text) => Some(text),
            _ => None,
        }
    }

    /// The texts of a claim that is a text, or a list of nothing else.
    pub fn texts(&self, name: &str) -> Option<Vec<&str>> {
        match self.found(name)? {
            Json::Text(text) => Some(vec![text]),
            Json::List(items) => items.iter().map(Json::as_text).collect(),
            _ => None,
        }
    }

    /// Whether a claim has this value, given as JSON; one that is a list has it where one of its entries is it.
    pub fn holds(&self, name: &str, json: &str) -> bool {
        let Some(wanted) = Json::read(json) else {
            return false;
        };
        match self.found(name) {
            Some(Json::List(items)) => items.contains(&wanted),
            Some(value) => *value == wanted,
            None => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claims() -> Claims {
        Claims::read(r#"{"team": "data", "kubernetes.io": {"namespace": "ci"}}"#).unwrap()
    }

    #[test]
    fn a_slash_leads_one_level_down() {
        let claims = claims();
        assert!(claims.get("team") == Ok(Some(&Json::Text("data".into()))));
        assert!(claims.get("kubernetes.io/namespace") == Ok(Some(&Json::Text("ci".into()))));
    }

    #[test]
    fn an_absent_claim_is_missing_and_a_step_into_text_is_doubtful() {
        let claims = claims();
        assert!(claims.get("Team") == Ok(None));
        assert!(claims.get("kubernetes.io/pod") == Ok(None));
        assert!(claims.get("team/data") == Err(Doubt::Step));
    }

    #[test]
    fn a_list_holds_each_of_its_entries_and_a_value_only_itself() {
        let claims = Claims::read(r#"{"groups": ["a", "b"], "sub": "a", "n": 1, "yes": true}"#).unwrap();
        for (name, json, holds) in [
            ("groups", r#""a""#, true),
            ("groups", r#""c""#, false),
            ("groups", r#"["a","b"]"#, false),
            ("sub", r#""a""#, true),
            ("sub", r#""A""#, false),
            ("n", "1", true),
            ("n", r#""1""#, false),
            ("yes", "true", true),
            ("none", r#""a""#, false),
            ("sub/x", r#""a""#, false),
        ] {
            assert_eq!(claims.holds(name, json), holds, "{name} {json}");
        }
        assert_eq!(claims.texts("groups"), Some(vec!["a", "b"]));
        assert_eq!((claims.text("groups"), claims.text("sub")), (None, Some("a")));
        assert_eq!((claims.number("n"), claims.number("sub")), (Some("1"), None));
        assert!(claims.has("yes") && claims.has("sub/x") && !claims.has("none"));
    }

    #[test]
    fn only_an_object_holds_claims_and_debug_shows_none_of_them() {
        assert_eq!(Claims::read("[]"), None);
        assert_eq!(Claims::read("{"), None);
        assert_eq!(format!("{:?}", claims()), "Claims(object)");
    }
}
