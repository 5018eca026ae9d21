//! Who signed a token: JSON Web Tokens (RFC 7519) of the issuers in the settings, checked with their public keys.
//!
//! `token` and `claims` read, `jwk` verifies on `ring`, `keys` knows an issuer's keys: fetched, cached, rotated. How
//! keys are fetched is given by whoever builds this.

mod claims;
mod jwk;
mod keys;
mod token;

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;

use crate::policy::Claims;
use crate::settings;
use claims::Wanted;
pub use keys::{Fetch, Fetched, Keys, Pace};
use token::Token;

/// A token that verified.
#[derive(Clone, Debug)]
pub struct Verified {
    /// The issuer's name in the settings.
    pub issuer: String,
    pub claims: Arc<Claims>,
    /// From then on it is refused: its `exp`, and the leeway for clocks that differ.
    pub expires: Timestamp,
}

impl Verified {
    /// Whether it was issued for this resource.
    pub fn is_for(&self, resource: &str) -> bool {
        let audience = self.claims.texts("aud").unwrap_or_default();
        audience.contains(&resource)
    }
}

/// Why a token is not taken. The texts name no value of the token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotVerified {
    #[error("{0}")]
    Invalid(&'static str),
    /// Nobody can say whether it is good.
    #[error("the issuer's keys are not known now")]
    NoKeys,
}

/// One issuer of the settings, with its keys.
#[derive(Debug)]
struct Issuer {
    name: String,
    settings: settings::Issuer,
    keys: Arc<Keys>,
}

/// All issuers of the settings. The default knows none.
#[derive(Debug, Default)]
pub struct Issuers {
    /// By their exact `iss`.
    by_iss: BTreeMap<String, Issuer>,
}

impl Issuers {
    /// `issuers`: by name, each with where its keys come from.
    pub fn new(issuers: impl IntoIterator<Item = (String, settings::Issuer, Arc<Keys>)>) -> Self {
        let by_iss = issuers
            .into_iter()
            .map(|(name, settings, keys)| (settings.issuer.clone(), Issuer { name, settings, keys }));
        Self {
            by_iss: by_iss.collect(),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.by_iss.is_empty()
    }

    /// The issuers that clients are told of.
    pub fn advertised(&self) -> impl Iterator<Item = &str> {
        let told = self.by_iss.values().filter(|issuer| issuer.settings.advertise);
        told.map(|issuer| issuer.settings.issuer.as_str())
    }

    /// Checks a token for a server that is known under these resource identifiers. Waits for keys at most as long as
    /// their [`Pace`] says.
    ///
    /// # Errors
    /// [`NotVerified`]; whatever cannot be checked does not verify.
    pub async fn verify(
        &self,
        token: &str,
        resources: &[String],
        now: Timestamp,
    ) -> Result<Verified, NotVerified> {
        let token = Token::read(token).map_err(NotVerified::Invalid)?;
        let issuer = token.claims.text("iss").and_then(|iss| self.by_iss.get(iss));
        let issuer = issuer.ok_or(NotVerified::Invalid("its issuer is not one of the settings"))?;
        let algorithm = token
            .algorithm()
            .filter(|known| issuer.settings.algorithms.contains(known));
        let algorithm = algorithm.ok_or(NotVerified::Invalid(
            "its algorithm is not allowed for this issuer",
        ))?;
        // before the signature: a token that is not for us anyway makes nobody fetch keys
        let audience = match issuer.settings.audience.as_slice() {
            [] => resources,
            own => own,
        };
        let expires = Wanted { audience, now }
            .check(&token.claims)
            .map_err(NotVerified::Invalid)?;
        let keys = issuer.keys.find(token.kid(), algorithm).await?;
        if !keys
            .iter()
            .any(|key| key.verifies(algorithm, token.signed, &token.signature))
        {
            return Err(NotVerified::Invalid("its signature does not verify"));
        }
        Ok(Verified {
            issuer: issuer.name.clone(),
            claims: Arc::new(token.claims),
            expires,
        })
    }

    /// Keeps the keys of all issuers fresh; does not end.
    pub async fn refresh(&self) {
        let all = self
            .by_iss
            .values()
            .map(|issuer| Arc::clone(&issuer.keys).refresh());
        let running: Vec<_> = all.map(tokio::spawn).collect();
        let _running = AbortAtEnd(running);
        std::future::pending::<()>().await;
    }
}

/// Tasks that end with this one.
struct AbortAtEnd(Vec<tokio::task::JoinHandle<()>>);

impl Drop for AbortAtEnd {
    fn drop(&mut self) {
        self.0.iter().for_each(tokio::task::JoinHandle::abort);
    }
}

#[cfg(test)]
mod tests;
