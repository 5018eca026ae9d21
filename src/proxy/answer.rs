//! An upstream's answer on its way back: passed as it comes, or held where a list of tools must be filtered.

use std::sync::Arc;

use bytes::Bytes;
use http::header::{self, HeaderValue};
use http::{HeaderMap, Response, Version, response};
use http_body_util::{BodyExt, LengthLimitError, Limited};

use super::body::{GateBody, UpstreamBody};
use super::changed::Tells;
use super::headers::{self, SESSION_ID};
use super::legacy::Endpoint;
use super::pinned::Pinned;
use super::respond;
use super::scouted::Scouted;
use super::stream::FilteredStream;
use super::who::Identified;
use super::{Gate, Server};
use crate::grants::Grant;
use crate::mcp::envelope::{Envelope, Kind};
use crate::mcp::list::{Unfilterable, filter_definitions};
use crate::policy;

/// What the way back needs to know of the request.
pub struct Asked<'m> {
    pub gate: &'m Arc<Gate>,
    pub grant: &'m Arc<Grant>,
    pub whose: &'m Identified,
    pub upstream: &'m Server,
    pub modern: bool,
    pub carries: Carries,
    /// The answer to a GET: its stream may announce an endpoint.
    pub opens_stream: bool,
    /// Where the message goes, if it came by the transport of 2024-11-05.
    pub endpoint: Option<&'m Endpoint>,
    pub tells: Tells<'m>,
}

/// Whether the answer may carry a list of tools.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Carries {
    /// Never: the body passes as it comes, and is only looked at.
    Never,
    /// The client waits for a message: whatever the body is called, it must be readable as one.
    Awaited,
    /// The client waits for none: only a body that calls itself JSON or events is read as one, and the
    /// plain `Accepted` of some servers passes.
    Perhaps,
}

/// Why an answer cannot be passed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unusable {
    #[error("it redirects, which is not followed")]
    Redirect,
    #[error("it switches to another protocol, which was not asked for")]
    Switches,
    #[error("its session id cannot be signed yet")]
    NoSessionKey,
    #[error("its session id is not plain text")]
    SessionId,
    #[error("it is compressed although that was not asked for")]
    Compressed,
    #[error("it has two content types")]
    TwoTypes,
    #[error("it is larger than `limits.max_list_bytes`")]
    TooLarge,
    #[error("it broke off")]
    Broken,
    #[error("it did not end in time")]
    Slow,
    #[error("{0}")]
    Unfilterable(#[from] Unfilterable),
}

/// Whether answers to this message can carry a list of tools: lists, results of tasks, streams that
/// replay or subscribe, and whatever is not known. Results of calls, reads and prompts stream through.
pub fn carries(message: &Envelope<'_>) -> Carries {
    const NEVER: [&str; 7] = [
        "tools/call",
        "resources/read",
        "prompts/get",
        "completion/complete",
        "initialize",
        "ping",
        "server/discover",
    ];
    if message.kind != Kind::Request {
        return Carries::Perhaps;
    }
    match message.method.as_deref() {
        Some(method) if NEVER.contains(&method) => Carries::Never,
        _ => Carries::Awaited,
    }
}

/// Turns an upstream's answer into the client's.
pub async fn pass_on(
    asked: &Asked<'_>,
    answer: Response<UpstreamBody>,
) -> Result<Response<GateBody>, Unusable> {
    let (mut head, body) = answer.into_parts();
    if respond::is_redirect(head.status) {
        return Err(Unusable::Redirect);
    }
    if head.status.is_informational() {
        return Err(Unusable::Switches);
    }
    // the version speaks of the upstream's framing; ours is our own
    head.version = Version::HTTP_11;
    headers::clean_answer(&mut head.headers);
    sign_session(asked, &mut head.headers)?;
    let body = if asked.carries == Carries::Never {
        looked_at(asked, &head, body)?
    } else if holds_no_message(asked.carries, &head) {
        GateBody::passed(body)
    } else {
        filtered(asked, &mut head, body).await?
    };
    Ok(Response::from_parts(head, body))
}

/// An answer that should hold no list of tools passes as it comes, and is cut where it does hold one.
fn looked_at(asked: &Asked<'_>, head: &response::Parts, body: UpstreamBody) -> Result<GateBody, Unusable> {
    let pinned = asked.gate.pinned(asked.upstream.name()).is_some();
    if !pinned && !policy::may_hide(&asked.grant.policies) {
        return Ok(GateBody::passed(body));
    }
    is_readable(head)?;
    Ok(GateBody::scouted(Scouted::new(
        body,
        is_event_stream(&head.headers),
    )))
}

/// Whether every client reads the body as it stands, and as one kind of thing.
fn is_readable(head: &response::Parts) -> Result<(), Unusable> {
    let mut codings = head.headers.get_all(header::CONTENT_ENCODING).iter();
    if codings.any(|coding| !coding.as_bytes().eq_ignore_ascii_case(b"identity")) {
        return Err(Unusable::Compressed);
    }
    if head.headers.get_all(header::CONTENT_TYPE).iter().nth(1).is_some() {
        return Err(Unusable::TwoTypes);
    }
    Ok(())
}

/// The session id that the client gets is bound to its grant.
fn sign_session(asked: &Asked<'_>, headers: &mut HeaderMap) -> Result<(), Unusable> {
    let Some(id) = headers.remove(SESSION_ID) else {
        return Ok(());
    };
    let id = id.to_str().map_err(|_| Unusable::SessionId)?;
    let signed = asked
        .gate
        .session_key
        .sign(asked.upstream.name(), asked.grant.identity(), id);
    let signed = signed.ok_or(Unusable::NoSessionKey)?;
    let signed = HeaderValue::try_from(signed).map_err(|_| Unusable::SessionId)?;
    headers.insert(SESSION_ID, signed);
    Ok(())
}

async fn filtered(
    asked: &Asked<'_>,
    head: &mut response::Parts,
    body: UpstreamBody,
) -> Result<GateBody, Unusable> {
    is_readable(head)?;
    if is_event_stream(&head.headers) {
        head.headers.remove(header::CONTENT_LENGTH);
        let stream = FilteredStream::new(body, asked, asked.gate.limits.max_list_bytes);
        return Ok(GateBody::filtered(stream));
    }
    let cap = asked.gate.limits.max_list_bytes;
    let limit = asked.upstream.response_timeout();
    let read = tokio::time::timeout(limit, Limited::new(body, cap).collect()).await;
    let whole = match read.map_err(|_| Unusable::Slow)? {
        Ok(whole) => whole.to_bytes(),
        Err(error) if error.is::<LengthLimitError>() => return Err(Unusable::TooLarge),
        Err(_) => return Err(Unusable::Broken),
    };
    let edited = filter(
        asked.grant,
        asked.gate,
        asked.upstream.name(),
        asked.modern,
        &whole,
    )?;
    head.headers.remove(header::CONTENT_LENGTH);
    Ok(GateBody::whole(edited.unwrap_or(whole)))
}

/// One message through the list filter; `None`: pass it on as it came. Names are learnt for metrics, and
/// definitions where they are pinned.
pub fn filter(
    grant: &Grant,
    gate: &Gate,
    server: &str,
    modern: bool,
    message: &[u8],
) -> Result<Option<Bytes>, Unfilterable> {
    let mut look = gate.pinned(server).map(Pinned::look);
    let filtered = filter_definitions(message, modern, |tool, entry| {
        let accepted = look.as_mut().is_none_or(|look| look.accepts(tool, entry));
        accepted && policy::visible(&grant.policies, tool)
    })?;
    if let Some(look) = look {
        look.end(message);
    }
    gate.recorder
        .metrics
        .tools()
        .learn(server, filtered.names.iter().map(String::as_str));
    Ok(filtered.body.map(Bytes::from))
}

/// Whether no client reads a list out of the body: it cannot hold one, or it is an error page, say.
fn holds_no_message(carries: Carries, head: &response::Parts) -> bool {
    let message = is_event_stream(&head.headers)
        || head.headers.get_all(header::CONTENT_TYPE).iter().any(|kind| {
            let kind = kind.as_bytes().windows(4);
            kind.into_iter().any(|part| part.eq_ignore_ascii_case(b"json"))
        });
    match carries {
        Carries::Awaited => !message && !head.status.is_success(),
        Carries::Never | Carries::Perhaps => !message,
    }
}

pub fn is_event_stream(headers: &HeaderMap) -> bool {
    media_type(headers).eq_ignore_ascii_case(b"text/event-stream")
}

fn media_type(headers: &HeaderMap) -> &[u8] {
    let kind = headers
        .get(header::CONTENT_TYPE)
        .map(HeaderValue::as_bytes)
        .unwrap_or_default();
    kind.split(|byte| *byte == b';')
        .next()
        .unwrap_or_default()
        .trim_ascii()
}
