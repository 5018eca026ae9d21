//! Who a request comes from: its credential, and the grant that this stands for.

use std::sync::{Arc, Weak};

use http::HeaderName;
use http::header::{self, HeaderMap, HeaderValue};
use jiff::Timestamp;

use super::{Gate, Server, Snapshot};
use crate::grants::{ClientCertificate, Credential, Grant, TokenHash, Unmapped};
use crate::issuers::{NotVerified, Verified};

/// Holds the grant's token where `Authorization` is for the upstream.
pub const GRANT_TOKEN: HeaderName = HeaderName::from_static("x-toolgate-grant");

/// Whose request it is.
#[derive(Clone)]
pub struct Identified {
    pub grant: Arc<Grant>,
    pub credential: Credential,
    /// When an issuer's token ends.
    token_ends: Option<Timestamp>,
    /// The client's own `Authorization`, where it goes to the upstream.
    pub forward: Option<HeaderValue>,
    snapshot: Weak<Snapshot>,
}

/// Why a request is nobody's. No text names a value that the caller sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stranger {
    /// It shows nothing.
    NoCredential,
    /// What it shows is not taken, and why.
    Bad(&'static str),
    /// It shows a good token that stands for no grant here.
    Unmapped(Unmapped),
    /// Whether its token is good cannot be told now.
    NoKeys,
}

/// The one header that holds a bearer token, where a request has it.
enum Bearer<'h> {
    Missing,
    /// Another scheme, or no text.
    Unreadable,
    Token(&'h str),
}

impl<'h> Bearer<'h> {
    fn of(headers: &'h HeaderMap) -> Self {
        let Some(value) = headers.get(header::AUTHORIZATION) else {
            return Self::Missing;
        };
        let token = value.to_str().ok().and_then(|value| {
            let (scheme, token) = value.split_at_checked(7)?;
            scheme.eq_ignore_ascii_case("bearer ").then(|| token.trim_ascii())
        });
        token.map_or(Self::Unreadable, Self::Token)
    }
}

/// Finds the grant of a request to `upstream`.
///
/// # Errors
/// [`Stranger`]. A credential that is not good is never none at all: such a request is not anonymous.
pub async fn who(
    gate: &Gate,
    snapshot: &Arc<Snapshot>,
    upstream: &Server,
    headers: &HeaderMap,
    certificate: Option<Arc<ClientCertificate>>,
) -> Result<Identified, Stranger> {
    let asked = Asking {
        gate,
        snapshot,
        server: upstream.name(),
        now: now(),
    };
    let beside = headers.get(GRANT_TOKEN).map(HeaderValue::to_str);
    match (Bearer::of(headers), beside) {
        (Bearer::Unreadable, _) => Err(Stranger::Bad("the header `Authorization` holds no bearer token")),
        (bearer, Some(grant)) if upstream.forwards() => {
            let grant = grant.map_err(|_| Stranger::Bad("the header `X-Toolgate-Grant` holds no token"))?;
            let found = asked.of_token(grant.trim_ascii()).await?;
            match bearer {
                Bearer::Token(token) => {
                    asked
                        .with_token_for_upstream(found.identified, token, headers)
                        .await
                }
                _ => Ok(found.identified),
            }
        }
        (Bearer::Token(token), _) => {
            let found = asked.of_token(token).await?;
            let forward = upstream.forwards()
                && found
                    .verified
                    .is_some_and(|verified| asked.is_for_upstream(&verified));
            Ok(Identified {
                forward: forward.then(|| sensitive(headers)).flatten(),
                ..found.identified
            })
        }
        (Bearer::Missing, Some(_)) => Err(Stranger::Bad(
            "`X-Toolgate-Grant` is read only on a server with `authorization: forward`",
        )),
        (Bearer::Missing, None) => match certificate {
            Some(certificate) => asked.of_certificate(certificate),
            None => asked.of_nobody(),
        },
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "grants and tokens expire by the wall clock"
)]
fn now() -> Timestamp {
    Timestamp::now()
}

/// The client's `Authorization`, hidden from `Debug`.
fn sensitive(headers: &HeaderMap) -> Option<HeaderValue> {
    let mut value = headers.get(header::AUTHORIZATION)?.clone();
    value.set_sensitive(true);
    Some(value)
}

struct Asking<'a> {
    gate: &'a Gate,
    snapshot: &'a Arc<Snapshot>,
    server: &'a str,
    now: Timestamp,
}

struct Found {
    identified: Identified,
    /// Of an issuer's token.
    verified: Option<Verified>,
}

impl Asking<'_> {
    /// The grant of a token of toolgate's own, or of an issuer's.
    async fn of_token(&self, token: &str) -> Result<Found, Stranger> {
        let own = Credential::Token(TokenHash::of(token.as_bytes()));
        if let Ok(grant) = self.snapshot.grants.find(&own, self.server) {
            return Ok(Found {
                identified: self.standing(grant, own, None)?,
                verified: None,
            });
        }
        if self.gate.callers.issuers.is_empty() {
            return Err(Stranger::Bad("no known token for this server"));
        }
        let verified = self.verify(token).await?;
        let credential = Credential::Claims {
            issuer: verified.issuer.clone(),
            claims: Arc::clone(&verified.claims),
        };
        let grant = self.snapshot.grants.find(&credential, self.server);
        let grant = grant.map_err(Stranger::Unmapped)?;
        Ok(Found {
            identified: self.standing(grant, credential, Some(verified.expires))?,
            verified: Some(verified),
        })
    }

    async fn verify(&self, token: &str) -> Result<Verified, Stranger> {
        let callers = &self.gate.callers;
        let resources = callers.resources.of(self.server);
        let verified = callers.issuers.verify(token, resources, self.now).await;
        verified.map_err(|error| match error {
            NotVerified::Invalid(why) => Stranger::Bad(why),
            NotVerified::NoKeys => Stranger::NoKeys,
        })
    }

    /// A certificate that stands for no grant here is none: it may have been shown for another server.
    fn of_certificate(&self, certificate: Arc<ClientCertificate>) -> Result<Identified, Stranger> {
        let ends = certificate.ends();
        if ends < self.now {
            return Err(Stranger::Bad("the client certificate has expired"));
        }
        let credential = Credential::Certificate(certificate);
        match self.snapshot.grants.find(&credential, self.server) {
            Ok(grant) => self.standing(grant, credential, Some(ends)),
            Err(_) => self.of_nobody(),
        }
    }

    fn of_nobody(&self) -> Result<Identified, Stranger> {
        let found = self.snapshot.grants.find(&Credential::None, self.server);
        let grant = found.map_err(|_| Stranger::NoCredential)?;
        self.standing(grant, Credential::None, None)
    }

    /// A grant found by another token, and one in `Authorization` that was issued for this very server.
    async fn with_token_for_upstream(
        &self,
        identified: Identified,
        token: &str,
        headers: &HeaderMap,
    ) -> Result<Identified, Stranger> {
        let verified = self.verify(token).await?;
        if !self.is_for_upstream(&verified) {
            return Err(Stranger::Bad("it was issued for another server than this one"));
        }
        let ends = [identified.token_ends, Some(verified.expires)];
        Ok(Identified {
            token_ends: ends.into_iter().flatten().min(),
            forward: sensitive(headers),
            ..identified
        })
    }

    /// Whether the server's own resource identifier is the token's audience: nobody else gets it.
    fn is_for_upstream(&self, verified: &Verified) -> bool {
        let own = self.gate.callers.resources.of(self.server);
        own.iter().any(|resource| verified.is_for(resource))
    }

    fn standing(
        &self,
        grant: Arc<Grant>,
        credential: Credential,
        token_ends: Option<Timestamp>,
    ) -> Result<Identified, Stranger> {
        if !grant.reaches(self.server, self.now) || self.gate.callers.is_blocked(&grant) {
            return Err(Stranger::Bad("its grant has ended"));
        }
        Ok(Identified {
            grant,
            credential,
            token_ends,
            forward: None,
            snapshot: Arc::downgrade(self.snapshot),
        })
    }
}

impl Identified {
    /// Whether its token or its grant has ended.
    pub fn has_ended(&self, now: Timestamp) -> bool {
        let ends = [self.token_ends, self.grant.expires];
        ends.into_iter().flatten().any(|ends| now >= ends)
    }

    /// Whether its grant was found in this very snapshot.
    pub fn judged_by(&self, snapshot: &Arc<Snapshot>) -> bool {
        std::ptr::eq(self.snapshot.as_ptr(), Arc::as_ptr(snapshot))
    }

    /// Notes that the credential stands for the same grant in another snapshot.
    pub fn stands_again(&mut self, grant: Arc<Grant>, snapshot: &Arc<Snapshot>) {
        self.grant = grant;
        self.snapshot = Arc::downgrade(snapshot);
    }
}
