//! The life of one request, top to bottom.

use std::sync::Arc;
use std::time::Instant;

use http::header::{self, HeaderValue};
use http::{Method, Request, Response, request};
use hyper::body::Incoming;

use super::asking::{brought, held};
use super::body::GateBody;
use super::head::Head;
use super::headers;
use super::known::Turn;
use super::legacy::told;
use super::respond::{self, Refusal, preflight, refuse};
use super::route::{Route, route};
use super::{Gate, Server, Snapshot, front, peer};
use crate::counters::CallId;

type Answer = Response<GateBody>;

/// Answers one request. Dropping the future aborts what was sent; charges and records outlive it.
pub async fn handle(gate: &Arc<Gate>, request: Request<Incoming>) -> Answer {
    let allowed = front::origin_is_allowed(&gate.front, &request);
    let origin = request.headers().get(header::ORIGIN).filter(|_| allowed).cloned();
    let mut answer = if allowed {
        judged(gate, request).await
    } else {
        refuse(&Refusal::ForeignOrigin)
    };
    front::add_cors(&mut answer, origin.as_ref());
    // refusals too: a flood of them must not outrun a slow disk
    gate.recorder.room().await;
    answer
}

async fn judged(gate: &Arc<Gate>, request: Request<Incoming>) -> Answer {
    if let Err(reason) = headers::check(&request, gate.limits.headers) {
        return refuse(&Refusal::BadHead(reason));
    }
    if !front::host_is_ours(&gate.front, &request) {
        return refuse(&Refusal::ForeignHost);
    }
    if let Some(metadata) = gate.callers.resources.metadata(request.uri().path()) {
        return match *request.method() {
            Method::GET => respond::metadata(metadata),
            Method::OPTIONS => preflight(front::preflight(request.headers())),
            _ => refuse(&Refusal::OnlyGet),
        };
    }
    let snapshot = gate.snapshot.load_full();
    let server = match route(&request, gate.server_names(&snapshot)) {
        Route::Server(server) => server,
        Route::NotFound(hint) => return refuse(&Refusal::NotFound(hint)),
        Route::WrongMethod => return refuse(&Refusal::WrongMethod),
    };
    if *request.method() == Method::OPTIONS {
        return preflight(front::preflight(request.headers()));
    }
    let Some(upstream) = &gate.server(&snapshot, server) else {
        return refuse(&Refusal::NotFound("no such server".to_owned()));
    };
    identified(gate, &snapshot, upstream, request).await
}

/// A request to a server that there is: whose it is, and in which session.
async fn identified(
    gate: &Arc<Gate>,
    snapshot: &Arc<Snapshot>,
    upstream: &Server,
    request: Request<Incoming>,
) -> Answer {
    let Ok(id) = CallId::random() else {
        return refuse(&Refusal::NoRandomness);
    };
    let certificate = peer::certificate(&request);
    let (mut parts, body) = request.into_parts();
    name_host(&mut parts);
    let (mut head, method) = Head::new(gate, id, upstream.name(), parts, certificate);
    let identity = match head.identify(snapshot, upstream).await {
        Ok(identity) => identity,
        Err(answer) => return *answer,
    };
    let known = head.known(&identity);
    if method != Method::POST {
        return known.stream(method).await;
    }
    if let Some(endpoint) = &identity.endpoint
        && !gate.legacy.is_open(endpoint)
    {
        return known.invalid(&Refusal::NoStream, "an endpoint whose stream is not open here");
    }
    let body = match known.body(body).await {
        Ok(body) => body,
        Err(answer) => return *answer,
    };
    let (body, brought) = match brought(&known, body) {
        Ok(found) => found,
        Err(answer) => return *answer,
    };
    head.brought = brought;
    let known = head.known(&identity);
    let started = Instant::now();
    match known.message(&body, started, None).await {
        Turn::Answered(answer) => told(gate, identity.endpoint.as_ref(), *answer).await,
        first => held(head, identity, (body, started), first).await,
    }
}

/// HTTP/2 has the host in `:authority`; `host: pass` needs it.
fn name_host(parts: &mut request::Parts) {
    if let (None, Some(authority)) = (parts.headers.get(header::HOST), parts.uri.authority())
        && let Ok(host) = HeaderValue::from_str(authority.as_str())
    {
        parts.headers.insert(header::HOST, host);
    }
}
