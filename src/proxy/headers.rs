//! Headers: what is refused, what passes to the upstream, what passes back.

use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Method, Request, Version};
use http_body::Body;

use super::who::GRANT_TOKEN;

/// Header lines that must not be doubled: two readers could pick different ones.
const ONCE: [HeaderName; 6] = [
    header::AUTHORIZATION,
    header::HOST,
    header::ORIGIN,
    header::CONTENT_TYPE,
    LAST_EVENT_ID,
    GRANT_TOKEN,
];

pub const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");
pub const SESSION_ID: HeaderName = HeaderName::from_static("mcp-session-id");
pub const PROTOCOL_VERSION: HeaderName = HeaderName::from_static("mcp-protocol-version");
pub const MCP_METHOD: HeaderName = HeaderName::from_static("mcp-method");
pub const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
pub const MCP_NAME: HeaderName = HeaderName::from_static("mcp-name");

/// Why a request's head is refused with 400. The text never quotes a value.
pub type BadHead = &'static str;

/// Refuses heads that two readers could understand in two ways, or that have more than `most` lines.
pub fn check<B: Body>(request: &Request<B>, most: usize) -> Result<(), BadHead> {
    let headers = request.headers();
    if headers.len() > most {
        // over HTTP/2 nobody has counted before
        return Err("too many header lines");
    }
    for name in headers.keys() {
        let once = ONCE.contains(name) || name.as_str().starts_with("mcp-");
        if once && headers.get_all(name).iter().nth(1).is_some() {
            return Err("a header that may stand once stands twice");
        }
    }
    if headers.contains_key(header::TRANSFER_ENCODING) {
        let mut codings = headers.get_all(header::TRANSFER_ENCODING).iter();
        let chunked = codings
            .next()
            .is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"chunked"));
        if !chunked || codings.next().is_some() {
            return Err("a transfer coding other than chunked");
        }
        if headers.contains_key(header::CONTENT_LENGTH) {
            return Err("both Content-Length and Transfer-Encoding");
        }
    }
    if connection_tokens(headers).any(is_judged) {
        return Err("Connection names a header that is judged");
    }
    host_agrees(request)?;
    let bodiless = matches!(*request.method(), Method::GET | Method::DELETE | Method::OPTIONS);
    let length = headers
        .get(header::CONTENT_LENGTH)
        .is_some_and(|length| length != "0");
    // a body in HTTP/2 needs neither header
    let framed = length || headers.contains_key(header::TRANSFER_ENCODING);
    if bodiless && (framed || !request.body().is_end_stream()) {
        return Err("a body where the method has none");
    }
    Ok(())
}

fn connection_tokens(headers: &HeaderMap) -> impl Iterator<Item = &[u8]> {
    let lines = headers.get_all(header::CONNECTION).iter();
    lines
        .flat_map(|line| line.as_bytes().split(|byte| *byte == b','))
        .map(<[u8]>::trim_ascii)
}

fn is_judged(token: &[u8]) -> bool {
    let token = token.to_ascii_lowercase();
    let exact: [&[u8]; 5] = [
        b"authorization",
        b"host",
        b"origin",
        b"last-event-id",
        b"x-toolgate-grant",
    ];
    exact.contains(&token.as_slice()) || token.starts_with(b"mcp-") || token.starts_with(b"content-")
}

/// `Host`, `:authority` and an absolute target must name one host.
fn host_agrees<B>(request: &Request<B>) -> Result<(), BadHead> {
    let host = request.headers().get(header::HOST).map(HeaderValue::as_bytes);
    let authority = request
        .uri()
        .authority()
        .map(|authority| authority.as_str().as_bytes());
    match (host, authority) {
        (Some(host), Some(authority)) if !host.eq_ignore_ascii_case(authority) => {
            Err("Host and the request's target disagree")
        }
        (None, None) if request.version() != Version::HTTP_10 => Err("no Host"),
        _ => Ok(()),
    }
}

/// The host that a request names, with its port.
pub fn host<B>(request: &Request<B>) -> Option<&str> {
    let host = request
        .headers()
        .get(header::HOST)
        .and_then(|host| host.to_str().ok());
    host.or_else(|| request.uri().authority().map(http::uri::Authority::as_str))
}

/// Whether the body claims an encoding or a charset other than UTF-8.
pub fn is_encoded(headers: &HeaderMap) -> bool {
    let mut codings = headers.get_all(header::CONTENT_ENCODING).iter();
    if codings.any(|coding| !coding.as_bytes().eq_ignore_ascii_case(b"identity")) {
        return true;
    }
    let Some(kind) = headers.get(header::CONTENT_TYPE) else {
        return false;
    };
    let kind = kind.as_bytes().to_ascii_lowercase();
    let mut parameters = kind.split(|byte| *byte == b';').skip(1).map(<[u8]>::trim_ascii);
    parameters.any(|parameter| {
        let Some(rest) = parameter.strip_prefix(b"charset") else {
            return false;
        };
        let Some(value) = rest.trim_ascii_start().strip_prefix(b"=") else {
            return true;
        };
        let value = value.trim_ascii();
        let value = value
            .strip_prefix(b"\"")
            .and_then(|value| value.strip_suffix(b"\""))
            .unwrap_or(value);
        value != b"utf-8" && value != b"utf8"
    })
}

/// Request headers that never pass: hop-by-hop (RFC 9110 section 7.6.1), the client's credentials,
/// and names that ask a server to see another request than the one that was judged.
fn stays_here(name: &HeaderName) -> bool {
    const NAMES: [&str; 25] = [
        "accept-encoding",
        "authorization",
        "connection",
        "content-encoding",
        "content-length",
        "cookie",
        "expect",
        "forwarded",
        "http2-settings",
        "keep-alive",
        "mcp-session-id",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "x-http-method",
        "x-http-method-override",
        "x-method-override",
        "x-original-method",
        "x-original-url",
        "x-real-ip",
        "x-rewrite-url",
    ];
    let name = name.as_str();
    let prefixed = name.starts_with("x-forwarded-") || name.starts_with("x-toolgate-");
    prefixed || name.contains('_') || NAMES.binary_search(&name).is_ok()
}

/// The headers that go to the upstream. `session` is the upstream's own session id, already verified.
pub fn to_upstream(headers: &HeaderMap, session: Option<&str>) -> HeaderMap {
    let mut out = HeaderMap::with_capacity(headers.len() + 4);
    let dropped: Vec<Vec<u8>> = connection_tokens(headers)
        .map(<[u8]>::to_ascii_lowercase)
        .collect();
    for (name, value) in headers {
        let named = !dropped.is_empty() && dropped.iter().any(|token| token == name.as_str().as_bytes());
        // another grant's events could be replayed to whoever has no session of their own
        let replay = *name == LAST_EVENT_ID && session.is_none();
        if !named && !replay && !stays_here(name) {
            out.append(name.clone(), value.clone());
        }
    }
    // answers must be readable by the list filter
    out.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    if let Some(Ok(session)) = session.map(HeaderValue::from_str) {
        out.insert(SESSION_ID, session);
    }
    out
}

/// Cuts from an answer's headers what must not pass back.
pub fn clean_answer(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = connection_tokens(headers)
        .filter_map(|token| HeaderName::from_bytes(token).ok())
        .collect();
    for name in named {
        headers.remove(name);
    }
    const NAMES: [&str; 13] = [
        "alt-svc",
        "connection",
        "keep-alive",
        "location",
        "proxy-authenticate",
        "proxy-connection",
        "set-cookie",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "www-authenticate",
        "refresh",
    ];
    for name in NAMES {
        headers.remove(name);
    }
}

#[cfg(test)]
mod tests;
