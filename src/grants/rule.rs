//! Grants of an issuer's tokens: which claims an entry asks for, and the grant that it makes of them.

use std::sync::Arc;

use data_encoding::HEXLOWER;
use sha2::{Digest, Sha256};

use super::Grant;
use crate::policy::Claims;

/// The longest value of a claim that becomes part of an id, in bytes.
const LONGEST: usize = 256;
/// Starts the identities that are made from claims. No id in the file starts with it.
pub const MADE: char = '#';

/// Why a credential that is good stands for no grant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unmapped {
    #[error("it maps to no grant of this server")]
    NoGrant,
    #[error("a claim that the grant's id is made of is missing, a list, or unfit for a name")]
    UnfitClaim,
    #[error("the id that its claims make is another grant's")]
    TakenId,
}

/// One entry with `jwt:`.
#[derive(Debug)]
pub struct Rule {
    /// The entry, without claims.
    grant: Arc<Grant>,
    issuer: String,
    /// Claim → the JSON text that it must hold.
    claims: Vec<(String, String)>,
    id: Pattern,
}

impl Rule {
    pub const fn new(grant: Arc<Grant>, issuer: String, claims: Vec<(String, String)>, id: Pattern) -> Self {
        Self {
            grant,
            issuer,
            claims,
            id,
        }
    }

    pub const fn grant(&self) -> &Arc<Grant> {
        &self.grant
    }

    pub fn matches(&self, issuer: &str, claims: &Claims, server: &str) -> bool {
        self.issuer == issuer
            && self.grant.is_for(server)
            && self.claims.iter().all(|(name, json)| holds(claims, name, json))
    }

    /// The grant of these claims: the entry's own, or one for each value of the claims in its id.
    ///
    /// # Errors
    /// [`Unmapped::UnfitClaim`]
    pub fn grant_of(&self, issuer: &str, claims: &Arc<Claims>) -> Result<Arc<Grant>, Unmapped> {
        let (id, identity) = self.id.render(issuer, claims)?;
        Ok(Arc::new(Grant {
            id,
            identity,
            claims: Some(Arc::clone(claims)),
            entry: Some(self.grant.id.clone()),
            servers: self.grant.servers.clone(),
            policies: self.grant.policies.clone(),
            expires: self.grant.expires,
            revoked: self.grant.revoked,
            label: self.grant.label.clone(),
        }))
    }
}

/// `scope` is one text with blanks between its words (RFC 8693 section 4.2).
fn holds(claims: &Claims, name: &str, json: &str) -> bool {
    claims.holds(name, json)
        || name == "scope"
            && claims.text(name).is_some_and(|words| {
                let wanted: Option<String> = serde_json::from_str(json).ok();
                wanted.is_some_and(|wanted| words.split(' ').any(|word| word == wanted))
            })
}

/// An id with claims in it: `ci:{sub}`.
#[derive(Debug)]
pub struct Pattern {
    written: String,
    pieces: Vec<Piece>,
}

#[derive(Debug)]
enum Piece {
    Text(String),
    Claim(String),
}

impl Pattern {
    /// Reads an id.
    ///
    /// # Errors
    /// What is wrong with its braces.
    pub fn read(written: &str) -> Result<Self, &'static str> {
        const FAULT: &str = "write each claim as `{NAME}`, such as `ci:{sub}`";
        let mut pieces = Vec::new();
        let mut rest = written;
        while let Some((text, after)) = rest.split_once('{') {
            let (claim, behind) = after.split_once('}').ok_or(FAULT)?;
            if claim.is_empty() || claim.contains('{') || text.contains('}') {
                return Err(FAULT);
            }
            pieces.push(Piece::Text(text.to_owned()));
            pieces.push(Piece::Claim(claim.to_owned()));
            rest = behind;
        }
        if rest.contains('}') {
            return Err(FAULT);
        }
        pieces.push(Piece::Text(rest.to_owned()));
        Ok(Self {
            written: written.to_owned(),
            pieces,
        })
    }

    /// The id for people, and the identity where there is one for each value of the claims: the entry, the issuer
    /// and the claims, each with its length, so that no two of them meet.
    fn render(&self, issuer: &str, claims: &Claims) -> Result<(String, Option<String>), Unmapped> {
        let mut id = String::new();
        let mut hash = Sha256::new();
        let mut part = |part: &str| {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part.as_bytes());
        };
        part(&self.written);
        part(issuer);
        let mut made = false;
        for piece in &self.pieces {
            match piece {
                Piece::Text(text) => id.push_str(text),
                Piece::Claim(name) => {
                    let (kind, value) = value(claims, name).ok_or(Unmapped::UnfitClaim)?;
                    for text in [name, kind, value] {
                        part(text);
                    }
                    id.push_str(value);
                    made = true;
                }
            }
        }
        let digest = hash.finalize();
        let short = HEXLOWER.encode(digest.get(..16).unwrap_or_default());
        Ok((id, made.then(|| format!("{MADE}{short}"))))
    }
}

/// A claim that can be part of a name: a text or a number.
fn value<'c>(claims: &'c Claims, name: &str) -> Option<(&'static str, &'c str)> {
    let text = claims.text(name).map(|text| ("text", text));
    let (kind, value) = text.or_else(|| claims.number(name).map(|text| ("number", text)))?;
    let fine = !value.is_empty() && value.len() <= LONGEST && !value.chars().any(char::is_control);
    fine.then_some((kind, value))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(pattern: &str, issuer: &str, claims: &str) -> Result<(String, Option<String>), Unmapped> {
        let claims = Claims::read(claims).unwrap();
        Pattern::read(pattern).unwrap().render(issuer, &claims)
    }

    fn identity(pattern: &str, issuer: &str, claims: &str) -> String {
        id(pattern, issuer, claims).unwrap().1.unwrap()
    }

    #[test]
    fn an_id_holds_claims_by_their_paths() {
        let claims = r#"{"sub": "bob", "k.io": {"ns": "ci"}, "uid": 7}"#;
        for (pattern, rendered) in [
            ("ci:{sub}", "ci:bob"),
            ("{k.io/ns}/{sub}", "ci/bob"),
            ("{uid}-x", "7-x"),
        ] {
            let (id, identity) = id(pattern, "i", claims).unwrap();
            assert_eq!(id, rendered);
            assert!(identity.unwrap().starts_with(MADE));
        }
        assert_eq!(id("plain", "i", claims), Ok(("plain".to_owned(), None)));
    }

    #[test]
    fn a_claim_that_is_missing_a_list_or_unfit_makes_no_id() {
        for claims in [
            "{}",
            r#"{"sub": null}"#,
            r#"{"sub": ["bob"]}"#,
            r#"{"sub": {"a": 1}}"#,
            r#"{"sub": ""}"#,
            r#"{"sub": "a\u0000b"}"#,
            r#"{"sub": "a\nb"}"#,
        ] {
            assert_eq!(id("ci:{sub}", "i", claims), Err(Unmapped::UnfitClaim), "{claims}");
        }
        let long = format!(r#"{{"sub": "{}"}}"#, "x".repeat(LONGEST + 1));
        assert_eq!(id("ci:{sub}", "i", &long), Err(Unmapped::UnfitClaim));
    }

    #[test]
    fn identities_differ_where_entry_issuer_or_any_claim_does_also_if_the_ids_look_alike() {
        let base = identity("{a}{b}", "i", r#"{"a": "x", "b": "yz"}"#);
        assert_eq!(base, identity("{a}{b}", "i", r#"{"b": "yz", "a": "x", "c": 1}"#));
        for other in [
            identity("{a}{b}", "i", r#"{"a": "xy", "b": "z"}"#),
            identity("{a}{b}", "j", r#"{"a": "x", "b": "yz"}"#),
            identity("x{b}", "i", r#"{"b": "yz"}"#),
            identity("{b}", "i", r#"{"b": "xyz"}"#),
            identity("{a}{b}", "i", r#"{"a": "x", "b": "YZ"}"#),
        ] {
            assert_ne!(base, other);
        }
        assert_ne!(
            identity("{a}", "i", r#"{"a": 1}"#),
            identity("{a}", "i", r#"{"a": "1"}"#)
        );
    }

    #[test]
    fn braces_that_do_not_pair_are_refused() {
        for bad in ["{", "}", "{}", "a{b", "a}b", "{{a}}", "{a}}"] {
            assert!(Pattern::read(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_scope_holds_each_of_its_words() {
        let claims = Claims::read(r#"{"scope": "mcp:run mcp:read", "other": "a b"}"#).unwrap();
        assert!(holds(&claims, "scope", r#""mcp:run""#) && holds(&claims, "scope", r#""mcp:run mcp:read""#));
        assert!(!holds(&claims, "scope", r#""mcp""#) && !holds(&claims, "other", r#""a""#));
    }
}
