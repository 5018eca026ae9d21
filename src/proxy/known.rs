//! A request of which it is known whose it is: judged, sent and answered.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderValue};
use http::{Method, Response};
use hyper::body::Incoming;
use tracing::Instrument;

use super::answer::{self, Asked, Carries};
use super::asking::{Brought, Held, NotAgreed, Waits};
use super::body::GateBody;
use super::changed::Tells;
use super::exchange::Exchange;
use super::forward::{forward, unreachable};
use super::headers::{self, MCP_METHOD, MCP_NAME, PROTOCOL_VERSION, TRACEPARENT};
use super::ledger::Ledger;
use super::legacy::Endpoint;
use super::places::{NoPlace, Place};
use super::read::{self, BodyError};
use super::refused::{denied, unreadable_in};
use super::respond::{Refusal, refuse};
use super::server::Way;
use super::stage::Charged;
use super::stdio::{Asks, Visit};
use super::traced::traced;
use super::upstream::UpstreamError;
use super::weigh::{NotCharged, Stopped, UNREAD, answerable, lost, method_of, weigh};
use super::who::Identified;
use super::{Gate, Server};
use crate::counters::CallId;
use crate::grants::Grant;
use crate::mcp::envelope;
use crate::mcp::headers::{MISMATCH_CODE, agree};
use crate::mcp::ids::IdKey;
use crate::mcp::line::cancelled;
use crate::mcp::subscription::LISTEN;
use crate::policy::Outcome;

type Answer = Response<GateBody>;

const TOO_MANY_STREAMS: &str = "too many event streams";

/// How far one look at a message brought it.
pub(super) enum Turn {
    Answered(Box<Answer>),
    /// People were asked, and have not decided.
    Waits(Box<Waits>),
    /// Another call used up what people agreed to: it is to be judged again.
    Again(Box<Ledger>),
}

impl From<Answer> for Turn {
    fn from(answer: Answer) -> Self {
        Self::Answered(Box::new(answer))
    }
}

/// A request whose grant and session are known.
pub(super) struct Known<'r> {
    pub(super) id: CallId,
    pub(super) gate: &'r Arc<Gate>,
    pub(super) grant: &'r Arc<Grant>,
    pub(super) whose: &'r Identified,
    pub(super) upstream: &'r Server,
    pub(super) session: Option<&'r str>,
    /// Where the message goes, if it came by the transport of 2024-11-05.
    pub(super) endpoint: Option<&'r Endpoint>,
    pub(super) headers: &'r HeaderMap,
    /// The answer to a question of the gate's own that came with the message.
    pub(super) brought: Option<&'r Brought>,
}

impl Known<'_> {
    /// The upstream's name for the session.
    fn session_name(&self) -> Option<&str> {
        self.endpoint.map(Endpoint::session).or(self.session)
    }

    /// The revision that the headers name.
    pub(super) fn version(&self) -> Option<&[u8]> {
        self.headers.get(PROTOCOL_VERSION).map(HeaderValue::as_bytes)
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
        ledger.method(method);
        self.name(&mut ledger);
        ledger
    }

    /// Notes who asks.
    fn name(&self, ledger: &mut Ledger) {
        ledger.grant(self.grant);
        if let Some(session) = self.session_name() {
            ledger.session(session);
        }
    }

    /// The whole body of a POST.
    ///
    /// # Errors
    /// The answer to one that cannot be had.
    pub(super) async fn body(&self, body: Incoming) -> Result<Bytes, Box<Answer>> {
        self.read(body).await.map_err(|refusal| {
            Box::new(match refusal {
                Some((refusal, message)) => self.invalid(&refusal, message),
                // nobody reads the answer
                None => refuse(&Refusal::BrokenBody),
            })
        })
    }

    async fn read(&self, body: Incoming) -> Result<Bytes, Option<(Refusal<'static>, &'static str)>> {
        if headers::is_encoded(self.headers) {
            return Err(Some((Refusal::Encoded, "encoded body")));
        }
        let limits = &self.gate.limits;
        let cap = limits.body_bytes;
        let read = read::read(body, cap, limits.body_timeout, self.gate.bodies.share()).await;
        read.map_err(|error| match error {
            BodyError::TooLarge => Some((Refusal::TooLarge { cap }, "body too large")),
            BodyError::Timeout => Some((Refusal::BodyTimeout, "body too slow")),
            BodyError::NoMemory => Some((Refusal::NoMemory, "too many large bodies")),
            BodyError::Broken => None,
        })
    }

    /// One message: judge → connect → charge → forward → answer. One that waited for people is judged `again` from
    /// the start; only its record goes on.
    pub(super) async fn message(&self, body: &Bytes, started: Instant, again: Option<Ledger>) -> Turn {
        let message = match envelope::read(body) {
            Ok(message) => message,
            Err(unreadable) => return unreadable_in(self.ledger(UNREAD), &unreadable).into(),
        };
        let header = |name| self.headers.get(name).map(HeaderValue::as_bytes);
        let version = self.version();
        if let Err(mismatch) = agree(&message, header(MCP_METHOD), header(MCP_NAME), version) {
            let reason = mismatch.to_string();
            return self
                .invalid(
                    &Refusal::Unreadable {
                        code: MISMATCH_CODE,
                        reason,
                        id: answerable(&message),
                    },
                    "headers and body disagree",
                )
                .into();
        }
        let exchange = Exchange {
            grant: self.grant,
            server: self.upstream.name(),
            session: self.session_name(),
            modern: message.is_modern(version),
            message: &message,
            bytes: body,
            resumed: self.brought.map(|brought| &brought.resumed),
            place: self.upstream.place(),
            pins: self.gate.pinned(self.upstream.name()),
        };
        if let Some(mut ledger) = again {
            ledger.again();
            self.name(&mut ledger);
            return self.decide(&exchange, body, started, ledger).await;
        }
        let (trace, span) = traced(self.gate, self.headers, &message);
        let mut ledger = self.ledger(method_of(&message));
        ledger.trace(trace);
        self.decide(&exchange, body, started, ledger)
            .instrument(span)
            .await
    }

    async fn decide(&self, exchange: &Exchange<'_>, body: &Bytes, started: Instant, ledger: Ledger) -> Turn {
        let message = exchange.message;
        self.stop_held(message.method.as_deref(), body);
        let listens = answerable(message).filter(|_| message.method.as_deref() == Some(LISTEN));
        let Ok(ear) = self.place(listens.is_some()) else {
            ledger.invalid(Outcome::Invalid, TOO_MANY_STREAMS);
            return refuse(&Refusal::TooManyStreams { id: listens }).into();
        };
        let traceparent = ledger.traceparent();
        let weighed = match weigh(exchange, ledger) {
            Ok(weighed) => weighed,
            Err(Stopped::Unreadable(ledger, unreadable)) => {
                return unreadable_in(*ledger, &unreadable).into();
            }
            Err(Stopped::Denied(refused)) => return denied(exchange, *refused).into(),
        };
        let weighed = match weighed.agreed(exchange).await {
            Ok(weighed) => weighed,
            Err(NotAgreed::Denied(refused)) => return denied(exchange, *refused).into(),
            Err(NotAgreed::Waits(waits)) => return Turn::Waits(waits),
        };
        // ready first, so that admission and arrival are close
        let modern = exchange.modern;
        let way = match self.ready(Asks::Message { message, modern }).await {
            Ok(way) => way,
            Err(error) => return unreachable(weighed.into_ledger(), &error, answerable(message)).into(),
        };
        let charged = match weighed.charge().await {
            Ok(charged) => charged,
            Err(NotCharged::Denied(refused)) => return denied(exchange, *refused).into(),
            Err(NotCharged::Again(ledger)) => return Turn::Again(ledger),
            Err(NotCharged::Lost) => return denied(exchange, lost(exchange)).into(),
        };
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
        answer.map(|body| body.heard_by(ear)).into()
    }

    /// The request that a client of this session can stop: that of the message, or the one that it wants stopped.
    fn request(&self, id: IdKey) -> Option<Held> {
        Some(Held {
            server: self.upstream.name().to_owned(),
            identity: self.grant.identity().to_owned(),
            session: self.session_name()?.to_owned(),
            id,
        })
    }

    pub(super) fn held(&self, body: &[u8]) -> Option<Held> {
        let message = envelope::read(body).ok()?;
        self.request(IdKey::of(message.id?)?)
    }

    /// Stops a call that is held here, if that is what the message wants. The server is told all the same: it does not
    /// know the call, and may know another one.
    fn stop_held(&self, method: Option<&str>, body: &[u8]) {
        if method == Some("notifications/cancelled")
            && let Some(held) = cancelled(body).and_then(|id| self.request(id))
        {
            self.gate.held.stop(&held);
        }
    }

    fn place(&self, needed: bool) -> Result<Option<Place>, NoPlace> {
        Place::where_needed(needed, &self.gate.listening, self.grant.identity())
    }

    /// GET opens a stream, DELETE ends a session: neither carries a message to judge.
    pub(super) async fn stream(&self, method: Method) -> Answer {
        let is_get = method == Method::GET;
        let Ok(ear) = self.place(is_get) else {
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
    pub(super) fn without_session(&self) -> Answer {
        if !self.gate.session_key.is_known() {
            // it may be a good one: a 404 would end the session
            return self.invalid(&Refusal::NoSessionKey { id: None }, "no session key yet");
        }
        let message = "a session id that this grant was not given";
        self.invalid(&Refusal::UnknownSession, message)
    }

    pub(super) fn invalid(&self, refusal: &Refusal<'_>, message: &str) -> Answer {
        self.ledger(UNREAD).invalid(Outcome::Invalid, message);
        refuse(refusal)
    }
}
