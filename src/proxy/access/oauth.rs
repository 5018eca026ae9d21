//! Tokens by the client-credentials grant (RFC 6749 section 4.4): fetched when they are needed, again before they
//! expire, and by one request at a time.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use arc_swap::{ArcSwap, ArcSwapOption};
use bytes::Bytes;
use data_encoding::BASE64;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use http::{HeaderMap, Method};
use http_body_util::{BodyExt, Limited};
use serde::Deserialize;
use url::form_urlencoded::{Serializer, byte_serialize};

use super::Access;
use crate::proxy::upstream::Upstream;
use crate::settings::{OAuth, Secret, Server};

/// The most bytes of an answer.
const ANSWER_BYTES: usize = 64 << 10;
/// Of a token that does not say how long it is good.
const LIFETIME: Duration = Duration::from_secs(300);
const LIFETIME_AT_MOST: Duration = Duration::from_secs(24 * 3600);
/// After a failure: nobody asks again before this is over.
const PAUSE: Duration = Duration::from_secs(1);
/// A token that is refused is given up, but not oftener.
const REFUSED_EVERY: Duration = Duration::from_secs(10);

/// One token, as it goes out.
struct Token {
    header: Secret<HeaderValue>,
    got: Instant,
    /// From here on another one is fetched, while this one still serves.
    renew: Instant,
    end: Instant,
}

struct Failure {
    at: Instant,
    why: String,
}

/// Where an upstream's tokens come from, and the one that is in use.
pub(super) struct TokenSource {
    settings: OAuth,
    endpoint: Arc<Upstream>,
    secret: ArcSwap<Secret<String>>,
    /// What was told last of the secret's file.
    told: Mutex<Option<String>>,
    token: ArcSwapOption<Token>,
    /// Held while one is fetched; why the last fetch failed.
    turn: tokio::sync::Mutex<Option<Failure>>,
}

type Fetching = Pin<Box<dyn Future<Output = Result<(), String>> + Send>>;

impl TokenSource {
    pub(super) fn new(settings: &OAuth) -> Result<Arc<Self>, String> {
        let server = Server {
            tls: settings.tls.clone(),
            ..Server::at(
                settings.token_url.clone(),
                settings.egress.clone(),
                settings.timeout,
            )
        };
        let access = Access::of(&server)?;
        let endpoint = Upstream::new("oauth", &server, access)?;
        Ok(Arc::new(Self {
            secret: ArcSwap::from_pointee(settings.client_secret.value.clone()),
            settings: settings.clone(),
            endpoint: Arc::new(endpoint),
            told: Mutex::default(),
            token: ArcSwapOption::empty(),
            turn: tokio::sync::Mutex::default(),
        }))
    }

    pub(super) fn header(&self) -> Option<HeaderValue> {
        let token = self.token.load();
        token.as_ref().map(|token| token.header.expose().clone())
    }

    pub(super) async fn ready(self: &Arc<Self>) -> Result<(), String> {
        let now = Instant::now();
        let (serves, fresh) = match &*self.token.load() {
            None => (false, false),
            Some(token) => (now < token.end, now < token.renew),
        };
        if fresh || serves && self.turn.try_lock().is_err() {
            return Ok(());
        }
        // in a task of its own: a caller that leaves takes nothing from those who wait too
        let fetching = tokio::spawn(Arc::clone(self).renewed());
        if serves {
            return Ok(());
        }
        fetching.await.map_err(|error| error.to_string())?
    }

    // boxed, since the endpoint is an upstream, which has an access of its own
    fn renewed(self: Arc<Self>) -> Fetching {
        Box::pin(async move {
            let mut turn = self.turn.lock().await;
            let now = Instant::now();
            if self.token.load().as_ref().is_some_and(|token| now < token.renew) {
                return Ok(());
            }
            if let Some(failure) = turn.as_ref().filter(|failure| failure.at.elapsed() < PAUSE) {
                return Err(failure.why.clone());
            }
            let limit = self.settings.timeout;
            let fetched = match tokio::time::timeout(limit, self.fetch()).await {
                Ok(fetched) => fetched,
                Err(_) => Err(format!("no token within {limit:?}")),
            };
            match fetched {
                Ok(token) => {
                    self.token.store(Some(Arc::new(token)));
                    *turn = None;
                    Ok(())
                }
                Err(why) => {
                    tracing::warn!(why, "no token for an upstream from `oauth.token_url`");
                    let at = Instant::now();
                    *turn = Some(Failure { at, why: why.clone() });
                    Err(why)
                }
            }
        })
    }

    async fn fetch(&self) -> Result<Token, String> {
        let asked = Instant::now();
        let (headers, body) = self.form()?;
        let connection = self.endpoint.connection().await;
        let connection = connection.map_err(|error| error.to_string())?;
        let request = self.endpoint.request(Method::POST, None, headers, body);
        let answer = connection.send(request, &mut None).await;
        let answer = answer.map_err(|error| error.to_string())?;
        let status = answer.status();
        let body = Limited::new(answer.into_body(), ANSWER_BYTES).collect().await;
        let body = body.map_err(|_| format!("the answer broke off or has more than {ANSWER_BYTES} bytes"))?;
        let body = body.to_bytes();
        if !status.is_success() {
            let code = refusal(&body).unwrap_or_default();
            return Err(format!("the token endpoint answered {} {code}", status.as_u16())
                .trim_end()
                .to_owned());
        }
        token(&body, asked)
    }

    fn form(&self) -> Result<(HeaderMap, Bytes), String> {
        let settings = &self.settings;
        let secret = self.secret.load();
        let mut form = Serializer::new(String::new());
        form.append_pair("grant_type", "client_credentials");
        for (name, value) in [("scope", &settings.scope), ("resource", &settings.resource)] {
            if let Some(value) = value {
                form.append_pair(name, value);
            }
        }
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        headers.insert(
            CONTENT_TYPE,
            HeaderValue::from_static("application/x-www-form-urlencoded"),
        );
        if settings.secret_in_form {
            form.append_pair("client_id", &settings.client_id);
            form.append_pair("client_secret", secret.expose());
        } else {
            // RFC 6749 section 2.3.1: each part is form-encoded first
            let encoded = |text: &str| byte_serialize(text.as_bytes()).collect::<String>();
            let pair = format!("{}:{}", encoded(&settings.client_id), encoded(secret.expose()));
            let basic = format!("Basic {}", BASE64.encode(pair.as_bytes()));
            let mut basic = HeaderValue::try_from(basic).map_err(|_| "the secret cannot be sent")?;
            basic.set_sensitive(true);
            headers.insert(AUTHORIZATION, basic);
        }
        Ok((headers, Bytes::from(form.finish())))
    }

    /// The upstream answered that the token is not good (any more): the next call fetches another one.
    pub(super) fn refused(&self) {
        let token = self.token.load();
        if token
            .as_ref()
            .is_some_and(|token| token.got.elapsed() >= REFUSED_EVERY)
        {
            self.token.store(None);
        }
    }

    pub(super) fn reload(&self, server: &str) {
        self.endpoint.reload();
        let Some(read) = self.settings.client_secret.read_again() else {
            return;
        };
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        match read {
            Ok(secret) => {
                *told = None;
                if secret != **self.secret.load() {
                    self.secret.store(Arc::new(secret));
                    tracing::info!(server, "the secret of `oauth` was read again");
                }
            }
            Err(error) if told.as_ref() != Some(&error) => {
                tracing::warn!(server, error, "the secret of `oauth` stays as it was");
                *told = Some(error);
            }
            Err(_) => {}
        }
    }
}

#[derive(Deserialize)]
struct Answer {
    access_token: String,
    token_type: String,
    expires_in: Option<Seconds>,
}

/// A number, or a number as a string, which some servers send.
#[derive(Deserialize)]
#[serde(untagged)]
enum Seconds {
    Number(u64),
    Text(String),
}

fn token(body: &[u8], asked: Instant) -> Result<Token, String> {
    let answer: Answer = serde_json::from_slice(body).map_err(|_| "the answer is no token")?;
    if !answer.token_type.eq_ignore_ascii_case("bearer") {
        return Err("the token is of another type than Bearer".to_owned());
    }
    let lifetime = match answer.expires_in {
        None => LIFETIME,
        Some(Seconds::Number(seconds)) => Duration::from_secs(seconds),
        Some(Seconds::Text(text)) => text.parse().map_or(LIFETIME, Duration::from_secs),
    };
    let lifetime = lifetime.min(LIFETIME_AT_MOST);
    let mut header = HeaderValue::try_from(format!("Bearer {}", answer.access_token))
        .map_err(|_| "the token has characters that a header cannot carry")?;
    header.set_sensitive(true);
    Ok(Token {
        header: Secret::new(header),
        got: Instant::now(),
        renew: asked + lifetime * 4 / 5,
        // its way to the upstream takes some of its time
        end: asked + lifetime.saturating_sub(Duration::from_secs(5).min(lifetime / 10)),
    })
}

/// The error code of RFC 6749 section 5.2, and nothing else of an answer: that may repeat what was sent.
fn refusal(body: &[u8]) -> Option<&'static str> {
    #[derive(Deserialize)]
    struct Refused<'a> {
        #[serde(borrow)]
        error: &'a str,
    }
    const CODES: [&str; 6] = [
        "invalid_request",
        "invalid_client",
        "invalid_grant",
        "unauthorized_client",
        "unsupported_grant_type",
        "invalid_scope",
    ];
    let refused: Refused<'_> = serde_json::from_slice(body).ok()?;
    CODES.into_iter().find(|code| *code == refused.error)
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::{refusal, token};

    #[test]
    fn a_token_is_renewed_before_it_ends_and_bearer_alone_is_one() {
        let now = Instant::now();
        let good = |expires: &str| {
            token(
                format!(r#"{{"access_token":"t","token_type":"bearer"{expires}}}"#).as_bytes(),
                now,
            )
            .unwrap()
        };
        for (expires, seconds) in [
            (r#","expires_in":100"#, 100),
            (r#","expires_in":"100""#, 100),
            ("", 300),
        ] {
            let token = good(expires);
            assert_eq!(
                token.renew - now,
                Duration::from_secs(seconds) * 4 / 5,
                "{expires}"
            );
            assert!(token.renew < token.end && token.end < now + Duration::from_secs(seconds));
            assert_eq!(token.header.expose(), "Bearer t");
        }
        assert!(good(r#","expires_in":99999999999999"#).end < now + Duration::from_secs(24 * 3600));
        for bad in [
            r#"{"access_token":"t","token_type":"mac"}"#,
            r#"{"access_token":"a\nb","token_type":"Bearer"}"#,
            r#"{"token_type":"Bearer"}"#,
            "",
        ] {
            assert!(token(bad.as_bytes(), now).is_err(), "{bad}");
        }
    }

    #[test]
    fn of_a_refusal_only_known_codes_are_told() {
        assert_eq!(
            refusal(br#"{"error":"invalid_client","error_description":"secret"}"#),
            Some("invalid_client")
        );
        assert_eq!(refusal(br#"{"error":"your secret is s3cret"}"#), None);
        assert_eq!(refusal(b"<html>"), None);
    }
}
