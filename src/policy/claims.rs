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
    fn only_an_object_holds_claims_and_debug_shows_none_of_them() {
        assert_eq!(Claims::read("[]"), None);
        assert_eq!(Claims::read("{"), None);
        assert_eq!(format!("{:?}", claims()), "Claims(object)");
    }
}
