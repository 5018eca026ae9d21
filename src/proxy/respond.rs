//! Refusals as HTTP answers: the only place in the proxy that knows status codes.
//!
//! Refused calls are answered at 200, since an HTTP error ends the whole session of some clients.

use http::header::{self, HeaderValue};
use http::{HeaderMap, Response, StatusCode, response};

use super::body::GateBody;
use super::exchange::Form;
use super::told::{
    self, CODE_DENIED, CODE_INVALID_REQUEST, CODE_LIMITED, CODE_TOO_LARGE, CODE_UNAVAILABLE, CODE_UPSTREAM,
};
use super::upstream::UpstreamError;
use super::weigh::Noted;
use crate::mcp::reply;
use crate::policy::{Denial, Outcome};

/// JSON-RPC codes of our own lie outside the reserved range; see `told` for the others.
const CODE_UNAUTHENTICATED: i64 = 401;
const CODE_NOT_FOUND: i64 = 404;
const CODE_ENCODED: i64 = 415;
/// What the SDKs' own servers say of sessions.
const CODE_SESSION: i64 = -32000;

/// Why a request is not answered by the upstream. Borrowed ids are the bytes of the client's request.
pub enum Refusal<'a> {
    NotFound(String),
    WrongMethod,
    /// The metadata is read, and nothing else.
    OnlyGet,
    BadHead(&'static str),
    ForeignHost,
    ForeignOrigin,
    /// `challenge`: the value of `WWW-Authenticate`.
    Unauthenticated {
        challenge: String,
        reason: &'a str,
    },
    /// Who calls is known, and has no grant for this server.
    NoGrant {
        challenge: String,
        reason: &'a str,
    },
    /// The keys that its token would be checked with are not known.
    NoIssuerKeys,
    UnknownSession,
    /// An endpoint of the transport of 2024-11-05 without its stream.
    NoStream,
    TooLarge {
        cap: usize,
    },
    Encoded,
    /// Too many large bodies are held already.
    NoMemory,
    /// By way of a trusted proxy, as many as one client may have.
    TooManyFromPeer,
    /// As many streams are listened on as may be.
    TooManyStreams {
        id: Option<&'a str>,
    },
    BodyTimeout,
    /// The client broke off: nobody reads the answer.
    BrokenBody,
    Unreadable {
        code: i64,
        reason: String,
        id: Option<&'a str>,
    },
    Denied {
        denial: &'a Denial,
        form: Form,
        id: Option<&'a str>,
        modern: bool,
        decision_id: &'a str,
        approval: Option<&'a Noted>,
    },
    Upstream {
        error: &'a UpstreamError,
        id: Option<&'a str>,
    },
    /// The upstream answered, but the answer cannot be passed on.
    BadAnswer {
        reason: &'a str,
        id: Option<&'a str>,
    },
    /// Without random bytes there is no id to charge under.
    NoRandomness,
    /// Session ids cannot be signed yet.
    NoSessionKey {
        id: Option<&'a str>,
    },
}

/// Marks an answer of the gate's own that holds a message for the client's request.
#[derive(Clone, Copy, Debug)]
pub struct Addressed;

impl Refusal<'_> {
    /// The id of the request that waits for this answer.
    const fn id(&self) -> Option<&str> {
        match self {
            Self::Unreadable { id, .. }
            | Self::Denied { id, .. }
            | Self::Upstream { id, .. }
            | Self::BadAnswer { id, .. }
            | Self::TooManyStreams { id }
            | Self::NoSessionKey { id } => *id,
            _ => None,
        }
    }
}

/// The answer to a refused request.
pub fn refuse(refusal: &Refusal<'_>) -> Response<GateBody> {
    let mut answer = answer(refusal);
    if refusal.id().is_some() {
        answer.extensions_mut().insert(Addressed);
    }
    answer
}

#[expect(
    clippy::too_many_lines,
    reason = "one flat match: every refusal and its status, side by side"
)]
fn answer(refusal: &Refusal<'_>) -> Response<GateBody> {
    match refusal {
        Refusal::NotFound(hint) => problem(StatusCode::NOT_FOUND, CODE_NOT_FOUND, hint),
        Refusal::WrongMethod => with(
            problem(
                StatusCode::METHOD_NOT_ALLOWED,
                CODE_INVALID_REQUEST,
                "use POST, GET or DELETE",
            ),
            header::ALLOW,
            "POST, GET, DELETE, OPTIONS",
        ),
        Refusal::OnlyGet => with(
            problem(StatusCode::METHOD_NOT_ALLOWED, CODE_INVALID_REQUEST, "use GET"),
            header::ALLOW,
            "GET, OPTIONS",
        ),
        Refusal::BadHead(reason) => problem(StatusCode::BAD_REQUEST, CODE_INVALID_REQUEST, reason),
        Refusal::ForeignHost => {
            let hint = "this host name is not answered here: add it to `allowed_hosts` or set `public_url`";
            problem(StatusCode::FORBIDDEN, CODE_DENIED, hint)
        }
        Refusal::ForeignOrigin => {
            let hint = "requests from this origin are refused: add it to `allowed_origins`";
            problem(StatusCode::FORBIDDEN, CODE_DENIED, hint)
        }
        Refusal::Unauthenticated { challenge, reason } => {
            let text =
                format!("send `Authorization: Bearer <grant token>` of a grant for this server: {reason}");
            challenged(
                problem(StatusCode::UNAUTHORIZED, CODE_UNAUTHENTICATED, &text),
                challenge,
            )
        }
        Refusal::NoGrant { challenge, reason } => {
            let text = format!("the token is good, but {reason}");
            challenged(problem(StatusCode::FORBIDDEN, CODE_DENIED, &text), challenge)
        }
        Refusal::NoIssuerKeys => {
            let text = "the keys of the token's issuer are not known now: try again";
            let answer = problem(StatusCode::SERVICE_UNAVAILABLE, CODE_UNAVAILABLE, text);
            with(answer, header::RETRY_AFTER, "5")
        }
        Refusal::UnknownSession => problem(
            StatusCode::NOT_FOUND,
            CODE_NOT_FOUND,
            "no such session for this grant: initialize again",
        ),
        Refusal::NoStream => problem(
            StatusCode::NOT_FOUND,
            CODE_NOT_FOUND,
            "the event stream of this endpoint is not open here: open it again. Nothing was executed",
        ),
        Refusal::TooLarge { cap } => {
            let text = format!("the body is larger than {cap} bytes (`limits.body_bytes`)");
            problem(StatusCode::PAYLOAD_TOO_LARGE, CODE_TOO_LARGE, &text)
        }
        Refusal::Encoded => {
            let text = "send JSON in UTF-8, without byte order mark and Content-Encoding";
            problem(StatusCode::UNSUPPORTED_MEDIA_TYPE, CODE_ENCODED, text)
        }
        Refusal::NoMemory => {
            let text = "too many large bodies are being read (`limits.body_memory_bytes`): try again";
            let answer = problem(StatusCode::SERVICE_UNAVAILABLE, CODE_UNAVAILABLE, text);
            with(answer, header::RETRY_AFTER, "1")
        }
        Refusal::TooManyFromPeer => {
            let text = "this client has too many requests open (`limits.connections_per_peer`): try again";
            let answer = problem(StatusCode::TOO_MANY_REQUESTS, CODE_LIMITED, text);
            with(answer, header::RETRY_AFTER, "1")
        }
        Refusal::TooManyStreams { id } => {
            let text =
                "too many event streams are open (`limits.streams`, `limits.streams_per_grant`): close one";
            let answer = failed(StatusCode::TOO_MANY_REQUESTS, CODE_LIMITED, text, *id);
            with(answer, header::RETRY_AFTER, "5")
        }
        Refusal::BodyTimeout => problem(
            StatusCode::REQUEST_TIMEOUT,
            CODE_INVALID_REQUEST,
            "the body did not come in time",
        ),
        Refusal::BrokenBody => problem(
            StatusCode::BAD_REQUEST,
            CODE_INVALID_REQUEST,
            "the body broke off",
        ),
        Refusal::Unreadable { code, reason, id } => {
            json(StatusCode::BAD_REQUEST, reply::error(*id, *code, reason, None))
        }
        Refusal::Denied {
            denial,
            form,
            id,
            modern,
            decision_id,
            approval,
        } => {
            let body = told::denied(denial, *form, *id, *modern, decision_id, *approval);
            denied(denial, body)
        }
        Refusal::Upstream { error, id } => upstream_failed(error, *id),
        Refusal::BadAnswer { reason, id } => {
            let text = told::bad_answer(reason);
            failed(StatusCode::BAD_GATEWAY, CODE_UPSTREAM, &text, *id)
        }
        Refusal::NoRandomness => problem(
            StatusCode::INTERNAL_SERVER_ERROR,
            CODE_UNAVAILABLE,
            told::NO_RANDOMNESS,
        ),
        Refusal::NoSessionKey { id } => {
            let text = "session ids cannot be signed until the store answers: try again";
            let answer = json(
                StatusCode::SERVICE_UNAVAILABLE,
                reply::error(*id, CODE_UNAVAILABLE, text, None),
            );
            with(answer, header::RETRY_AFTER, "1")
        }
    }
}

fn denied(denial: &Denial, body: Option<Vec<u8>>) -> Response<GateBody> {
    let Some(body) = body else {
        return empty(StatusCode::ACCEPTED);
    };
    let mut answer = json(StatusCode::OK, body);
    if let (Outcome::Limited, Some(ms)) = (denial.outcome, denial.retry_after_ms) {
        answer
            .headers_mut()
            .insert(header::RETRY_AFTER, HeaderValue::from(ms.div_ceil(1000)));
    }
    answer
}

/// What the answer of a server process is in HTTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heading {
    Json,
    Stream,
    Accepted,
    /// The session has ended.
    Done,
    /// An unknown method (2026-07-28).
    NoSuchMethod,
    /// An error of 2026-07-28 about the request itself.
    Unfit,
}

/// The head of such an answer.
pub fn heading(what: Heading) -> response::Parts {
    let status = match what {
        Heading::Json | Heading::Stream => StatusCode::OK,
        Heading::Accepted => StatusCode::ACCEPTED,
        Heading::Done => StatusCode::NO_CONTENT,
        Heading::NoSuchMethod => StatusCode::NOT_FOUND,
        Heading::Unfit => StatusCode::BAD_REQUEST,
    };
    let (mut head, ()) = Response::new(()).into_parts();
    head.status = status;
    let kind = match what {
        Heading::Accepted | Heading::Done => return head,
        Heading::Stream => "text/event-stream",
        _ => "application/json",
    };
    head.headers
        .insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    if what == Heading::Stream {
        // proxies between must not hold events back
        head.headers
            .insert("x-accel-buffering", HeaderValue::from_static("no"));
        head.headers
            .insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    }
    head
}

/// Errors about the session itself have the statuses by which clients know them.
const fn session_status(error: &UpstreamError) -> Option<StatusCode> {
    match error {
        UpstreamError::SessionOver => Some(StatusCode::NOT_FOUND),
        UpstreamError::NoSession | UpstreamError::SessionOpen => Some(StatusCode::BAD_REQUEST),
        _ => None,
    }
}

fn upstream_failed(error: &UpstreamError, id: Option<&str>) -> Response<GateBody> {
    if let Some(status) = session_status(error) {
        let (_, text) = told::no_answer(error);
        return json(status, reply::error(id, CODE_SESSION, text, None));
    }
    let status = if error.is_timeout() {
        StatusCode::GATEWAY_TIMEOUT
    } else {
        StatusCode::BAD_GATEWAY
    };
    let (code, text) = told::no_answer(error);
    failed(status, code, text, id)
}

/// A request with an id is answered at 200, so that the session lives on.
fn failed(status: StatusCode, code: i64, text: &str, id: Option<&str>) -> Response<GateBody> {
    let status = if id.is_some() { StatusCode::OK } else { status };
    json(status, reply::error(id, code, text, None))
}

/// The answer to an allowed preflight.
pub fn preflight(headers: HeaderMap) -> Response<GateBody> {
    let mut answer = empty(StatusCode::NO_CONTENT);
    *answer.headers_mut() = headers;
    answer
}

/// Whether an upstream's status would send the client elsewhere.
pub fn is_redirect(status: StatusCode) -> bool {
    status.is_redirection() && status != StatusCode::NOT_MODIFIED
}

fn problem(status: StatusCode, code: i64, text: &str) -> Response<GateBody> {
    json(status, reply::error(None, code, text, None))
}

fn json(status: StatusCode, body: Vec<u8>) -> Response<GateBody> {
    let mut answer = Response::new(GateBody::whole(body));
    *answer.status_mut() = status;
    answer
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    answer
}

/// An answer of the gate's own to a client's request.
pub fn addressed(body: Vec<u8>) -> Response<GateBody> {
    let mut answer = json(StatusCode::OK, body);
    answer.extensions_mut().insert(Addressed);
    answer
}

/// The message was taken; its answer comes on the event stream.
pub fn accepted() -> Response<GateBody> {
    empty(StatusCode::ACCEPTED)
}

fn empty(status: StatusCode) -> Response<GateBody> {
    let mut answer = Response::new(GateBody::whole(Vec::new()));
    *answer.status_mut() = status;
    answer
}

fn challenged(mut answer: Response<GateBody>, challenge: &str) -> Response<GateBody> {
    if let Ok(value) = HeaderValue::from_str(challenge) {
        answer.headers_mut().insert(header::WWW_AUTHENTICATE, value);
    }
    answer
}

/// The metadata of a protected resource.
pub fn metadata(json: Vec<u8>) -> Response<GateBody> {
    with(
        self::json(StatusCode::OK, json),
        header::CACHE_CONTROL,
        "max-age=300",
    )
}

fn with(mut answer: Response<GateBody>, name: header::HeaderName, value: &'static str) -> Response<GateBody> {
    answer.headers_mut().insert(name, HeaderValue::from_static(value));
    answer
}
