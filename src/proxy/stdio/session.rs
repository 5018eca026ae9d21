//! The session that a stdio client has with an HTTP server, and the stream on which that speaks by itself.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderValue};
use http::{Method, Request};
use http_body_util::Full;

use super::remote::Shared;
use super::stream::Events;
use crate::mcp::envelope::Envelope;
use crate::mcp::headers::name_header;
use crate::proxy::answer::is_event_stream;
use crate::proxy::body::UpstreamBody;
use crate::proxy::headers::{LAST_EVENT_ID, MCP_METHOD, MCP_NAME, PROTOCOL_VERSION, SESSION_ID};
use crate::proxy::held::Held;

/// The longest pause before the server's own stream is opened again.
const PAUSE_AT_MOST: Duration = Duration::from_secs(30);

/// What the server and the client have agreed on.
#[derive(Default)]
pub(super) struct Session {
    agreed: Mutex<Agreed>,
}

#[derive(Default)]
struct Agreed {
    id: Option<HeaderValue>,
    version: Option<HeaderValue>,
}

impl Session {
    fn lock(&self) -> std::sync::MutexGuard<'_, Agreed> {
        self.agreed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The head of the answer to `initialize` is here.
    pub(super) fn opened(&self, headers: &HeaderMap) {
        self.lock().id = headers.get(SESSION_ID).cloned();
    }

    pub(super) fn agreed(&self, version: Option<&str>) {
        self.lock().version = version.and_then(|version| HeaderValue::from_str(version).ok());
    }

    /// The headers of a message: those that its revision asks for.
    pub(super) fn headers(&self, envelope: &Envelope<'_>) -> HeaderMap {
        let mut headers = self.common();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if !envelope.is_modern(None) {
            return headers;
        }
        let mirrors = [
            (PROTOCOL_VERSION, envelope.protocol_version().map(str::to_owned)),
            (MCP_METHOD, envelope.method.as_deref().map(str::to_owned)),
            (MCP_NAME, name_header(envelope)),
        ];
        for (name, value) in mirrors {
            if let Some(Ok(value)) = value.map(HeaderValue::try_from) {
                headers.insert(name, value);
            }
        }
        headers
    }

    fn common(&self) -> HeaderMap {
        let mut headers = HeaderMap::new();
        let both = HeaderValue::from_static("application/json, text/event-stream");
        headers.insert(header::ACCEPT, both);
        // answers must be readable by the list filter
        headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        let agreed = self.lock();
        for (name, value) in [(SESSION_ID, &agreed.id), (PROTOCOL_VERSION, &agreed.version)] {
            if let Some(value) = value {
                headers.insert(name, value.clone());
            }
        }
        headers
    }
}

impl Shared {
    fn bodiless(&self, method: Method, last: Option<&HeaderValue>) -> Request<Full<Bytes>> {
        let mut headers = self.session.common();
        if let Some(last) = last {
            headers.insert(LAST_EVENT_ID, last.clone());
        }
        self.upstream.request(method, None, headers, Bytes::new())
    }

    /// Opens a stream of the server's, behind the event `last`. `None`: the server has none.
    /// The call whose answer it is goes on there with what it `held`.
    pub(super) async fn open_stream(
        &self,
        last: Option<&HeaderValue>,
        held: &mut Option<Held>,
    ) -> Option<UpstreamBody> {
        let connection = self.upstream.connection().await.ok()?;
        let answer = connection
            .send(self.bodiless(Method::GET, last), held)
            .await
            .ok()?;
        let streams = answer.status().is_success() && is_event_stream(answer.headers());
        streams.then(|| answer.into_body())
    }

    /// Passes on what the server says by itself, for as long as it has a stream for that.
    pub(super) async fn listen(&self) {
        let mut last: Option<HeaderValue> = None;
        let cap = self.client.caller.gate.limits.line_bytes;
        let mut pause = Duration::from_secs(1);
        while let Some(body) = self.open_stream(last.as_ref(), &mut None).await {
            let mut events = Events::of(body, cap);
            while let Some(message) = events.next().await {
                // what cannot be passed on was logged
                drop(self.pass(&message).await);
            }
            pause = if events.any {
                events.retry
            } else {
                (pause * 2).min(PAUSE_AT_MOST)
            };
            last = events.last_id.or(last);
            tokio::time::sleep(pause).await;
        }
    }

    /// Ends the session, where there is one.
    pub(super) async fn end_session(&self) {
        if self.session.lock().id.is_none() {
            return;
        }
        if let Ok(connection) = self.upstream.connection().await {
            let ended = connection
                .send(self.bodiless(Method::DELETE, None), &mut None)
                .await;
            tracing::debug!(ended = ended.is_ok(), "the session was ended");
        }
    }
}
