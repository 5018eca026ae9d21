//! The registered claims (RFC 7519 section 4.1) that say whether a token is for us, now.

use jiff::{SignedDuration, Timestamp};

use crate::policy::Claims;

/// How far the clocks of the issuer and this machine may be apart.
const LEEWAY: SignedDuration = SignedDuration::from_secs(30);

/// What a token must say. Its `iss` has been looked at before: it chose the issuer.
pub struct Wanted<'w> {
    /// One of these must be in its `aud`.
    pub audience: &'w [String],
    pub now: Timestamp,
}

impl Wanted<'_> {
    /// Until when the token is taken.
    ///
    /// # Errors
    /// What it lacks. `exp` and `aud` must be there; `nbf`, where it is there, must have come.
    pub fn check(&self, claims: &Claims) -> Result<Timestamp, &'static str> {
        let audience = claims.texts("aud").ok_or("it names no audience")?;
        if !audience
            .iter()
            .any(|one| self.audience.iter().any(|ours| ours == one))
        {
            return Err("it is for another audience");
        }
        let expires = time(claims, "exp")?.ok_or("it has no `exp`")?;
        let expires = expires.checked_add(LEEWAY).unwrap_or(Timestamp::MAX);
        if self.now >= expires {
            return Err("it has expired");
        }
        if let Some(begins) = time(claims, "nbf")?
            && self.now < begins.checked_sub(LEEWAY).unwrap_or(Timestamp::MIN)
        {
            return Err("it is not valid yet");
        }
        Ok(expires)
    }
}

/// A `NumericDate`: seconds since 1970, whose fraction is dropped. One beyond the calendar is its end.
fn time(claims: &Claims, name: &str) -> Result<Option<Timestamp>, &'static str> {
    if !claims.has(name) {
        return Ok(None);
    }
    const FAULT: &str = "its `exp` or `nbf` is no time";
    let written = claims.number(name).ok_or(FAULT)?;
    let whole = written.split('.').next().unwrap_or_default();
    let seconds: i64 = whole.parse().map_err(|_| FAULT)?;
    if written.contains(['e', 'E']) {
        return Err(FAULT);
    }
    let most = if seconds < 0 {
        Timestamp::MIN
    } else {
        Timestamp::MAX
    };
    Ok(Some(Timestamp::from_second(seconds).unwrap_or(most)))
}
