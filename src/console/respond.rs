//! Answers. Status codes are chosen here and nowhere else in this room.

use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Response, StatusCode};
use serde::Serialize;
use serde_json::json;
use tokio::sync::mpsc;

use super::body::ConsoleBody;
use crate::approvals::State;

/// No script but the page's own, nothing from elsewhere, nothing that asks another place, no frame, no form; and no
/// text can become markup.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'";

/// Set on every answer.
const SEALS: [(HeaderName, HeaderValue); 6] = [
    (header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY)),
    (
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    ),
    (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
    (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
    (
        HeaderName::from_static("cross-origin-opener-policy"),
        HeaderValue::from_static("same-origin"),
    ),
    (
        HeaderName::from_static("cross-origin-resource-policy"),
        HeaderValue::from_static("same-origin"),
    ),
];

/// Why a request is not done.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    Host,
    Origin,
    /// No such path, or no such approval that the caller may see.
    NotFound,
    /// What the path knows.
    Method(&'static str),
    Query,
    NoToken,
    BadToken,
    Viewer,
    OutOfReach,
    NotJson,
    Body(String),
    TooLarge,
    Slow,
    NotPending(State),
    OtherDigest,
    AlreadyBy,
    /// The store, in one word.
    Store(&'static str),
    TooMany,
}

impl Refusal {
    /// One word; the same for the same refusal for ever.
    pub(super) const fn code(&self) -> &'static str {
        match self {
            Self::Host => "foreign_host",
            Self::Origin => "foreign_origin",
            Self::NotFound => "not_found",
            Self::Method(_) => "wrong_method",
            Self::Query => "bad_query",
            Self::NoToken => "no_token",
            Self::BadToken => "bad_token",
            Self::Viewer => "viewer",
            Self::OutOfReach => "out_of_reach",
            Self::NotJson => "not_json",
            Self::Body(_) => "bad_body",
            Self::TooLarge => "too_large",
            Self::Slow => "slow",
            Self::NotPending(_) => "not_pending",
            Self::OtherDigest => "other_digest",
            Self::AlreadyBy => "already_decided",
            Self::Store(_) => "store",
            Self::TooMany => "too_many",
        }
    }

    const fn status(&self) -> StatusCode {
        match self {
            Self::Host | Self::Origin | Self::Viewer | Self::OutOfReach => StatusCode::FORBIDDEN,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::Method(_) => StatusCode::METHOD_NOT_ALLOWED,
            Self::Query | Self::Body(_) => StatusCode::BAD_REQUEST,
            Self::NoToken | Self::BadToken => StatusCode::UNAUTHORIZED,
            Self::NotJson => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Slow => StatusCode::REQUEST_TIMEOUT,
            Self::NotPending(_) | Self::OtherDigest | Self::AlreadyBy => StatusCode::CONFLICT,
            Self::Store(_) => StatusCode::SERVICE_UNAVAILABLE,
            Self::TooMany => StatusCode::TOO_MANY_REQUESTS,
        }
    }

    fn message(&self) -> String {
        let text = match self {
            Self::Host => "the console does not answer to this `Host`: list it under `console_hosts`",
            Self::Origin => "a page of another origin may not ask the console",
            Self::NotFound => "there is no such path or approval: see /openapi.json",
            Self::Method(allowed) => return format!("use {allowed}"),
            Self::Query => "the only query is `state`, one of pending, approved, denied, expired, consumed",
            Self::NoToken => "send `Authorization: Bearer <approver token>`",
            Self::BadToken => {
                "the token is no approver's: `toolgate approvals token` makes one for approvers.yaml; a grant's token never is"
            }
            Self::Viewer => "a viewer cannot decide",
            Self::OutOfReach => "the server or tool is out of this approver's reach",
            Self::NotJson => "send the body as `Content-Type: application/json`",
            Self::Body(why) => return format!("the body cannot be used: {why}"),
            Self::TooLarge => "the body is too large",
            Self::Slow => "the body did not come in time",
            Self::NotPending(state) => {
                return format!("it is no longer pending, but {}", state.as_str());
            }
            Self::OtherDigest => "the digest is another call's: look at the request again",
            Self::AlreadyBy => "this approver has agreed before; another one is needed",
            Self::Store(code) => return format!("the approvals cannot be reached now ({code})"),
            Self::TooMany => "too many requests or pages are open",
        };
        text.to_owned()
    }
}

pub(super) fn refuse(refusal: &Refusal) -> Response<ConsoleBody> {
    let mut error = json!({ "code": refusal.code(), "message": refusal.message() });
    if let (Refusal::NotPending(state), Some(fields)) = (refusal, error.as_object_mut()) {
        fields.insert("state".to_owned(), state.as_str().into());
    }
    let mut response = json(&json!({ "error": error }));
    *response.status_mut() = refusal.status();
    let headers = response.headers_mut();
    match refusal {
        Refusal::Method(allowed) => set(headers, header::ALLOW, allowed),
        Refusal::NoToken | Refusal::BadToken => set(
            headers,
            header::WWW_AUTHENTICATE,
            "Bearer realm=\"toolgate console\"",
        ),
        // the body was not read
        Refusal::TooLarge | Refusal::Slow => set(headers, header::CONNECTION, "close"),
        _ => {}
    }
    response
}

fn set(headers: &mut HeaderMap, name: HeaderName, value: &'static str) {
    headers.insert(name, HeaderValue::from_static(value));
}

/// 200 with this value.
pub(super) fn json(value: &impl Serialize) -> Response<ConsoleBody> {
    match serde_json::to_vec(value) {
        Ok(mut text) => {
            text.push(b'\n');
            whole("application/json", text)
        }
        Err(error) => {
            tracing::error!(%error, "an answer of the console could not be written");
            let mut response = whole("application/json", Vec::new());
            *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
            response
        }
    }
}

/// 200 with this text.
pub(super) fn whole(kind: &'static str, body: impl Into<bytes::Bytes>) -> Response<ConsoleBody> {
    let mut response = Response::new(ConsoleBody::whole(body));
    set(response.headers_mut(), header::CONTENT_TYPE, kind);
    response
}

/// 200 with events as they come (Server-Sent Events, WHATWG HTML section 9.2).
pub(super) fn events(events: mpsc::Receiver<bytes::Bytes>) -> Response<ConsoleBody> {
    let mut response = Response::new(ConsoleBody::Events(events));
    set(response.headers_mut(), header::CONTENT_TYPE, "text/event-stream");
    // nginx holds events back otherwise
    set(
        response.headers_mut(),
        HeaderName::from_static("x-accel-buffering"),
        "no",
    );
    response
}

/// The answer with what every answer carries.
pub(super) fn sealed(mut response: Response<ConsoleBody>) -> Response<ConsoleBody> {
    for (name, value) in SEALS {
        response.headers_mut().insert(name, value);
    }
    response
}
