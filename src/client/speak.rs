//! Streamable HTTP: one message out, its answer in: JSON or an event stream, bounded.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE, HeaderValue};
use http::{HeaderMap, HeaderName, Method, Response};
use http_body::Body;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde_json::{Value, json};

use super::events::{Events, is_event_stream};
use super::heard::{Said, answered, said};
use super::wire::Reply;
use super::{ANSWER_BYTES, ClientError, Session};
use crate::proxy::Upstream;

const VERSION: HeaderName = HeaderName::from_static("mcp-protocol-version");
const METHOD: HeaderName = HeaderName::from_static("mcp-method");
const SESSION: HeaderName = HeaderName::from_static("mcp-session-id");

/// A server, as far as messages go to it.
pub(super) struct Posted {
    upstream: Arc<Upstream>,
    next_id: AtomicU64,
}

impl Posted {
    pub(super) const fn new(upstream: Arc<Upstream>) -> Self {
        Self {
            upstream,
            next_id: AtomicU64::new(1),
        }
    }

    /// Sends a request and reads until its answer is there.
    pub(super) async fn request(
        &self,
        method: &'static str,
        params: &Value,
        session: Option<&Session>,
    ) -> Result<Reply, ClientError> {
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let message = json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params });
        let answer = self.send(Method::POST, Some((method, &message)), session).await?;
        let status = answer.status();
        let opened = answer.headers().get(&SESSION).cloned();
        let is_stream = is_event_stream(answer.headers());
        let message = if is_stream {
            from_events(answer.into_body(), id).await?
        } else {
            from_json(answer.into_body(), id).await?
        };
        match message {
            Some(said) => Ok(Reply {
                result: answered(method, said)?,
                session: opened,
            }),
            None if status.is_success() => Err(ClientError::NotMcp),
            None => Err(ClientError::Status(status.as_u16())),
        }
    }

    /// Sends a notification; a server answers 202 and nothing that matters.
    pub(super) async fn notify(&self, method: &'static str, session: &Session) -> Result<(), ClientError> {
        let message = json!({ "jsonrpc": "2.0", "method": method });
        let answer = self
            .send(Method::POST, Some((method, &message)), Some(session))
            .await?;
        if answer.status().is_success() {
            Ok(())
        } else {
            Err(ClientError::Status(answer.status().as_u16()))
        }
    }

    /// Ends the session.
    pub(super) async fn close(&self, session: &Session) -> Result<(), ClientError> {
        self.send(Method::DELETE, None, Some(session)).await.map(drop)
    }

    async fn send(
        &self,
        http_method: Method,
        message: Option<(&'static str, &Value)>,
        session: Option<&Session>,
    ) -> Result<Response<impl Body<Data = Bytes, Error: std::fmt::Display> + Unpin + use<>>, ClientError>
    {
        let mut headers = HeaderMap::new();
        if let Some((method, _)) = message {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
            headers.insert(METHOD, HeaderValue::from_static(method));
        }
        headers.insert(
            ACCEPT,
            HeaderValue::from_static("application/json, text/event-stream"),
        );
        if let Some(session) = session {
            let version = HeaderValue::from_str(&session.revision).map_err(|_| ClientError::NotMcp)?;
            headers.insert(VERSION, version);
            if let Some(id) = &session.id {
                headers.insert(SESSION, id.clone());
            }
        }
        let body = message.map_or_else(Bytes::new, |(_, message)| Bytes::from(message.to_string()));
        let request = self.upstream.request(http_method, None, headers, body);
        let connection = self.upstream.connection().await;
        let connection = connection.map_err(|error| ClientError::Connect(error.to_string()))?;
        let answer = connection.send(request, &mut None).await;
        let answer = answer.map_err(|error| ClientError::Connect(error.to_string()))?;
        match answer.status().as_u16() {
            status @ (401 | 403) => Err(ClientError::Unauthorized(status)),
            status @ 300..=399 => Err(ClientError::Redirect(status)),
            _ => Ok(answer),
        }
    }
}

async fn from_json<B>(body: B, id: u64) -> Result<Said, ClientError>
where
    B: Body<Data = Bytes, Error: std::fmt::Display>,
{
    let body = body.map_err(|error| ClientError::Broken(error.to_string()));
    let whole = match Limited::new(body, ANSWER_BYTES).collect().await {
        Ok(whole) => whole.to_bytes(),
        Err(error) if error.is::<LengthLimitError>() => return Err(ClientError::TooLarge),
        Err(error) => {
            return Err(match error.downcast::<ClientError>() {
                Ok(error) => *error,
                Err(error) => ClientError::Broken(error.to_string()),
            });
        }
    };
    Ok(said(&whole, id))
}

/// Reads events until one is the answer; what comes after it is not waited for.
async fn from_events<B>(body: B, id: u64) -> Result<Said, ClientError>
where
    B: Body<Data = Bytes, Error: std::fmt::Display> + Unpin,
{
    let mut events = Events::new(body);
    while let Some(event) = events.next().await? {
        if event.is_message()
            && let Some(said) = said(&event.data(), id)
        {
            return Ok(Some(said));
        }
    }
    Ok(None)
}
