//! The life of one request, top to bottom.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderValue};
use http::{Method, Request, Response, request};
use http_body_util::{BodyExt, Collected};
use hyper::body::Incoming;
use tracing::Instrument;

use super::answer::{self, Asked, Carries};
use super::body::{self, BodyError, GateBody};
use super::changed::Tells;
use super::exchange::Exchange;
use super::forward::{forward, unreachable};
use super::headers::{self, MCP_METHOD, MCP_NAME, PROTOCOL_VERSION, SESSION_ID, TRACEPARENT};
use super::ledger::Ledger;
use super::legacy::{Endpoint, NoStream};
use super::listening::Ear;
use super::refused::{denied, unreadable_in};
use super::respond::{self, Addressed, Refusal, accepted, preflight, refuse};
use super::route::{Route, route};
use super::server::Way;
use super::stage::Charged;
use super::stdio::{Asks, Visit};
use super::traced::traced;
use super::turned_away::turn_away;
use super::upstream::UpstreamError;
use super::weigh::{Stopped, UNREAD, answerable, method_of, weigh};
use super::who::{Identified, who};
use super::{Gate, Server, Snapshot, front, peer};
use crate::counters::CallId;
use crate::grants::Grant;
use crate::mcp::envelope;
use crate::mcp::headers::{MISMATCH_CODE, agree};
use crate::mcp::subscription::LISTEN;
use crate::policy::Outcome;
use crate::record::Trace;

type Answer = Response<GateBody>;

const TOO_MANY_STREAMS: &str = "too many event streams";

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
    let server = upstream.name();
    let Ok(id) = CallId::random() else {
        return refuse(&Refusal::NoRandomness);
    };
    let certificate = peer::certificate(&request);
    let whose = match who(gate, snapshot, upstream, request.headers(), certificate).await {
        Ok(whose) => whose,
        Err(stranger) => return turn_away(gate, id, server, request.uri().path(), stranger),
    };
    let grant = &whose.grant;
    let (mut parts, body) = request.into_parts();
    name_host(&mut parts);
    let known = Known {
        id,
        gate,
        grant,
        whose: &whose,
        upstream,
        session: None,
        endpoint: None,
        headers: &parts.headers,
    };
    let Ok(session) = session(gate, grant, server, &parts.headers) else {
        return known.without_session();
    };
    let Ok(endpoint) = Endpoint::of(gate, server, grant.identity(), parts.uri.query()) else {
        let message = "an endpoint that this grant was not given";
        return known.invalid(&Refusal::NoStream, message);
    };
    let known = Known {
        session,
        endpoint: endpoint.as_ref(),
        ..known
    };
    if parts.method == Method::POST {
        match &endpoint {
            None => known.post(body).await,
            Some(endpoint) => legacy(&known, endpoint, body).await,
        }
    } else {
        known.stream(parts.method).await
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

/// The upstream's session id: none sent, or one whose signature verifies.
fn session<'h>(
    gate: &Gate,
    grant: &Grant,
    server: &str,
    headers: &'h HeaderMap,
) -> Result<Option<&'h str>, ()> {
    let Some(id) = headers.get(SESSION_ID) else {
        return Ok(None);
    };
    let id = id.to_str().map_err(|_| ())?;
    gate.session_key
        .verify(server, grant.identity(), id)
        .map(Some)
        .ok_or(())
}

/// A request whose grant and session are known.
struct Known<'r> {
    id: CallId,
    gate: &'r Arc<Gate>,
    grant: &'r Arc<Grant>,
    whose: &'r Identified,
    upstream: &'r Server,
    session: Option<&'r str>,
    /// Where the message goes, if it came by the transport of 2024-11-05.
    endpoint: Option<&'r Endpoint>,
    headers: &'r HeaderMap,
}

/// A message of the transport of 2024-11-05: an answer of our own goes out on its stream.
async fn legacy(known: &Known<'_>, endpoint: &Endpoint, body: Incoming) -> Answer {
    let streams = &known.gate.legacy;
    if !streams.is_open(endpoint) {
        return known.invalid(&Refusal::NoStream, "an endpoint whose stream is not open here");
    }
    let answer = known.post(body).await;
    if answer.extensions().get::<Addressed>().is_none() {
        return answer;
    }
    // our own answers are whole, and never fail
    let message = answer.into_body().collect().await.map(Collected::to_bytes);
    match streams.tell(endpoint, &message.unwrap_or_default()) {
        Ok(()) => accepted(),
        Err(NoStream) => refuse(&Refusal::NoStream),
    }
}

impl Known<'_> {
    /// The upstream's name for the session.
    fn session_name(&self) -> Option<&str> {
        self.endpoint.map(Endpoint::session).or(self.session)
    }

    /// The headers that go to the upstream.
    fn to_upstream(&self) -> HeaderMap {
        let mut headers = headers::to_upstream(self.headers, self.session);
        if let Some(authorization) = &self.whose.forward {
            headers.insert(header::AUTHORIZATION, authorization.clone());
        }
        headers
    }

    fn ledger(&self, method: &str) -> Ledger {
        let mut ledger = Ledger::open(self.gate, self.id, self.upstream.name());
        ledger.grant(self.grant);
        ledger.method(method);
        if let Some(session) = self.session_name() {
            ledger.session(session);
        }
        ledger
    }

    /// One message: read → judge → connect → charge → forward → answer.
    async fn post(&self, body: Incoming) -> Answer {
        if headers::is_encoded(self.headers) {
            return self.invalid(&Refusal::Encoded, "encoded body");
        }
        let limits = &self.gate.limits;
        let share = self.gate.bodies.share();
        let body = match body::read(body, limits.body_bytes, limits.body_timeout, share).await {
            Ok(body) => body,
            Err(BodyError::TooLarge) => {
                return self.invalid(
                    &Refusal::TooLarge {
                        cap: limits.body_bytes,
                    },
                    "body too large",
                );
            }
            Err(BodyError::Timeout) => return self.invalid(&Refusal::BodyTimeout, "body too slow"),
            Err(BodyError::NoMemory) => return self.invalid(&Refusal::NoMemory, "too many large bodies"),
            Err(BodyError::Broken) => return refuse(&Refusal::BrokenBody),
        };
        let started = Instant::now();
        let message = match envelope::read(&body) {
            Ok(message) => message,
            Err(unreadable) => return unreadable_in(self.ledger(UNREAD), &unreadable),
        };
        let header = |name| self.headers.get(name).map(HeaderValue::as_bytes);
        let version = header(PROTOCOL_VERSION);
        if let Err(mismatch) = agree(&message, header(MCP_METHOD), header(MCP_NAME), version) {
            let reason = mismatch.to_string();
            return self.invalid(
                &Refusal::Unreadable {
                    code: MISMATCH_CODE,
                    reason,
                    id: answerable(&message),
                },
                "headers and body disagree",
            );
        }
        let exchange = Exchange {
            grant: self.grant,
            server: self.upstream.name(),
            session: self.session_name(),
            modern: message.is_modern(version),
            message: &message,
            pins: self.gate.pinned(self.upstream.name()),
        };
        let (trace, span) = traced(self.gate, self.headers, &message);
        self.decide(&exchange, &body, started, trace)
            .instrument(span)
            .await
    }

    async fn decide(
        &self,
        exchange: &Exchange<'_>,
        body: &Bytes,
        started: Instant,
        trace: Option<Trace>,
    ) -> Answer {
        let message = exchange.message;
        let listens = answerable(message).filter(|_| message.method.as_deref() == Some(LISTEN));
        let Ok(ear) = Ear::of(self.gate, self.grant, listens.is_some()) else {
            return self.invalid(&Refusal::TooManyStreams { id: listens }, TOO_MANY_STREAMS);
        };
        let traceparent = trace.as_ref().and_then(Trace::to_upstream);
        let mut ledger = self.ledger(method_of(exchange));
        ledger.trace(trace);
        let weighed = match weigh(exchange, ledger) {
            Ok(weighed) => weighed,
            Err(Stopped::Unreadable(ledger, unreadable)) => return unreadable_in(*ledger, &unreadable),
            Err(Stopped::Denied(refused)) => return denied(exchange, *refused),
        };
        // ready first, so that admission and arrival are close
        let modern = exchange.modern;
        let way = match self.ready(Asks::Message { message, modern }).await {
            Ok(way) => way,
            Err(error) => return unreachable(weighed.into_ledger(), &error, answerable(message)),
        };
        match weighed.charge().await {
            Ok(charged) => {
                self.gate.recorder.metrics.judged(started.elapsed().as_secs_f64());
                let mut headers = self.to_upstream();
                if let Some(ours) = traceparent.and_then(|text| HeaderValue::try_from(text).ok()) {
                    headers.insert(TRACEPARENT, ours);
                }
                let target = self.endpoint.map(|endpoint| &endpoint.target);
                let request = self.upstream.request(Method::POST, target, headers, body.clone());
                let carries = match self.endpoint {
                    // the answer comes on the stream: nobody waits for this body
                    Some(_) => Carries::Perhaps,
                    None => answer::carries(message),
                };
                let asked = Asked {
                    tells: listens.map_or(Tells::No, Tells::Subscribed),
                    ..self.asked(exchange.modern, carries)
                };
                let answer = forward(&asked, way, charged, request, answerable(message)).await;
                answer.map(|body| body.heard_by(ear))
            }
            Err(refused) => denied(exchange, *refused),
        }
    }

    /// GET opens a stream, DELETE ends a session: neither carries a message to judge.
    async fn stream(&self, method: Method) -> Answer {
        let is_get = method == Method::GET;
        let Ok(ear) = Ear::of(self.gate, self.grant, is_get) else {
            return self.invalid(&Refusal::TooManyStreams { id: None }, TOO_MANY_STREAMS);
        };
        let ledger = self.ledger(method.as_str());
        let asks = if is_get { Asks::Stream } else { Asks::End };
        let way = match self.ready(asks).await {
            Ok(way) => way,
            Err(error) => return unreachable(ledger, &error, None),
        };
        let headers = self.to_upstream();
        let request = self.upstream.request(method, None, headers, Bytes::new());
        let carries = if is_get {
            Carries::Awaited
        } else {
            Carries::Perhaps
        };
        let asked = Asked {
            opens_stream: is_get,
            tells: match self.session {
                _ if !is_get => Tells::No,
                Some(_) => Tells::Always,
                None => Tells::FromFirstEvent,
            },
            ..self.asked(false, carries)
        };
        let answer = forward(&asked, way, Charged::free(ledger), request, None).await;
        answer.map(|body| body.heard_by(ear))
    }

    async fn ready(&self, asks: Asks<'_>) -> Result<Way, UpstreamError> {
        let visit = Visit {
            grant: self.grant.identity(),
            session: self.session,
            endpoint: self.endpoint.map(|endpoint| &endpoint.target),
            asks,
        };
        self.upstream.ready(&visit).await
    }

    const fn asked(&self, modern: bool, carries: Carries) -> Asked<'_> {
        Asked {
            gate: self.gate,
            grant: self.grant,
            whose: self.whose,
            upstream: self.upstream,
            modern,
            carries,
            opens_stream: false,
            endpoint: self.endpoint,
            tells: Tells::No,
        }
    }

    /// Its session id does not verify.
    fn without_session(&self) -> Answer {
        if !self.gate.session_key.is_known() {
            // it may be a good one: a 404 would end the session
            return self.invalid(&Refusal::NoSessionKey { id: None }, "no session key yet");
        }
        let message = "a session id that this grant was not given";
        self.invalid(&Refusal::UnknownSession, message)
    }

    fn invalid(&self, refusal: &Refusal<'_>, message: &str) -> Answer {
        self.ledger(UNREAD).invalid(Outcome::Invalid, message);
        refuse(refusal)
    }
}
