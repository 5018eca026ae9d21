//! HTTP+SSE, the transport of 2024-11-05: an event stream announces where messages are posted, and answers come on it.

use std::sync::Arc;

use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE, HeaderValue};
use http::uri::PathAndQuery;
use http::{HeaderMap, Method};
use http_body_util::BodyExt;
use http_body_util::combinators::BoxBody;
use serde_json::{Value, json};

use super::ClientError;
use super::events::{Events, is_event_stream};
use super::heard::{answered, reply_to, request, said};
use crate::proxy::{Upstream, resolve_endpoint};

/// An open stream.
pub(super) struct Announced {
    upstream: Arc<Upstream>,
    events: Events<BoxBody<Bytes, String>>,
    endpoint: PathAndQuery,
    next_id: u64,
}

impl Announced {
    /// Opens the stream and waits for the endpoint that it announces.
    ///
    /// # Errors
    /// Where the URL answers otherwise, or the endpoint is of another origin.
    pub(super) async fn open(upstream: &Arc<Upstream>) -> Result<Self, ClientError> {
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, HeaderValue::from_static("text/event-stream"));
        let request = upstream.request(Method::GET, None, headers, Bytes::new());
        let connection = upstream.connection().await;
        let connection = connection.map_err(|error| ClientError::Connect(error.to_string()))?;
        let answer = connection.send(request, &mut None).await;
        let answer = answer.map_err(|error| ClientError::Connect(error.to_string()))?;
        if !answer.status().is_success() || !is_event_stream(answer.headers()) {
            return Err(ClientError::Status(answer.status().as_u16()));
        }
        let body = answer.into_body().map_err(|error| error.to_string());
        let mut events = Events::new(body.boxed());
        while let Some(event) = events.next().await? {
            if event.event_name() == Some(b"endpoint") {
                let endpoint = resolve_endpoint(upstream.base(), &event.data())
                    .map_err(|error| ClientError::NoEndpoint(error.to_string()))?;
                return Ok(Self {
                    upstream: Arc::clone(upstream),
                    events,
                    endpoint,
                    next_id: 1,
                });
            }
        }
        Err(ClientError::NoEndpoint("it ended before".to_owned()))
    }

    /// Sends a request and reads until its answer is there.
    pub(super) async fn request(
        &mut self,
        method: &'static str,
        params: &Value,
    ) -> Result<String, ClientError> {
        let (id, message) = request(&mut self.next_id, method, params);
        self.events.anew();
        self.post(&message).await?;
        while let Some(event) = self.events.next().await? {
            if !event.is_message() {
                continue;
            }
            if let Some(said) = said(&event.data(), id) {
                return answered(method, said);
            }
            if let Some(reply) = reply_to(&event.data()) {
                self.post(&reply).await?;
            }
        }
        Err(ClientError::Broken("the event stream has ended".to_owned()))
    }

    /// Sends a notification.
    pub(super) async fn notify(&self, method: &'static str) -> Result<(), ClientError> {
        self.post(&json!({ "jsonrpc": "2.0", "method": method })).await
    }

    async fn post(&self, message: &Value) -> Result<(), ClientError> {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let body = Bytes::from(message.to_string());
        let endpoint = Some(&self.endpoint);
        let request = self.upstream.request(Method::POST, endpoint, headers, body);
        let connection = self.upstream.connection().await;
        let connection = connection.map_err(|error| ClientError::Connect(error.to_string()))?;
        let answer = connection.send(request, &mut None).await;
        let answer = answer.map_err(|error| ClientError::Connect(error.to_string()))?;
        match answer.status().as_u16() {
            200..=299 => Ok(()),
            status @ (401 | 403) => Err(ClientError::Unauthorized(status)),
            status => Err(ClientError::Status(status)),
        }
    }
}
