//! One message out, its answer in: JSON or an event stream, bounded.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE, HeaderValue};
use http::{HeaderMap, HeaderName, Method, Response};
use http_body::Body;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::{ANSWER_BYTES, ClientError, Session};
use crate::mcp::sse::Splitter;
use crate::proxy::Upstream;

const VERSION: HeaderName = HeaderName::from_static("mcp-protocol-version");
const METHOD: HeaderName = HeaderName::from_static("mcp-method");
const SESSION: HeaderName = HeaderName::from_static("mcp-session-id");

/// A server, as far as messages go to it.
pub(super) struct Wire {
    upstream: Arc<Upstream>,
    next_id: AtomicU64,
}

/// The answer to a request.
pub(super) struct Reply {
    /// JSON, as it was sent.
    pub(super) result: String,
    /// The session that the server opened with it.
    pub(super) session: Option<HeaderValue>,
}

impl Wire {
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
        let is_stream = answer
            .headers()
            .get(CONTENT_TYPE)
            .and_then(|kind| kind.to_str().ok())
            .is_some_and(|kind| kind.trim_start().starts_with("text/event-stream"));
        let message = if is_stream {
            from_events(answer.into_body(), id).await?
        } else {
            from_json(answer.into_body(), id).await?
        };
        match message {
            Some(Ok(result)) => Ok(Reply {
                result,
                session: opened,
            }),
            Some(Err((code, message))) => Err(ClientError::Refused {
                method,
                code,
                message,
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

    /// Ends the session, where there is one.
    pub(super) async fn close(&self, session: &Session) -> Result<(), ClientError> {
        if session.id.is_some() {
            self.send(Method::DELETE, None, Some(session)).await?;
        }
        Ok(())
    }

    async fn send(
        &self,
        http_method: Method,
        message: Option<(&'static str, &Value)>,
        session: Option<&Session>,
    ) -> Result<Response<impl Body<Data = Bytes, Error: std::fmt::Display> + use<>>, ClientError> {
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

/// What the server says to the request: `None` where the message is about something else.
type Said = Option<Result<String, (i64, String)>>;

#[derive(Deserialize)]
struct Answered<'a> {
    #[serde(borrow)]
    result: &'a RawValue,
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
    B: Body<Data = Bytes, Error: std::fmt::Display>,
{
    let mut body = std::pin::pin!(body);
    let mut splitter = Splitter::new(ANSWER_BYTES);
    let mut read: usize = 0;
    while let Some(frame) = body.as_mut().frame().await {
        let frame = frame.map_err(|error| ClientError::Broken(error.to_string()))?;
        let Ok(chunk) = frame.into_data() else { continue };
        read = read.saturating_add(chunk.len());
        if read > ANSWER_BYTES {
            return Err(ClientError::TooLarge);
        }
        splitter.push(&chunk);
        while let Some(event) = splitter.next() {
            let event = event.map_err(|_| ClientError::TooLarge)?;
            if event.is_message()
                && let Some(said) = said(&event.data(), id)
            {
                return Ok(Some(said));
            }
        }
    }
    Ok(None)
}

/// An error without an id answers too: a server that could not read a request knows none.
fn said(bytes: &[u8], id: u64) -> Said {
    let message: Value = serde_json::from_slice(bytes).ok()?;
    let own = message.get("id").and_then(Value::as_u64) == Some(id);
    if message.get("result").is_some() {
        let answered: Answered<'_> = serde_json::from_slice(bytes).ok()?;
        return own.then(|| Ok(answered.result.get().to_owned()));
    }
    let error = message.get("error")?;
    let nobodys = message.get("id").is_none_or(Value::is_null);
    (own || nobodys).then(|| {
        let code = error.get("code").and_then(Value::as_i64).unwrap_or_default();
        let text = error
            .get("message")
            .and_then(Value::as_str)
            .unwrap_or("no message");
        Err((code, crate::document::shown(text)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_answer_to_the_request_counts() {
        let own = said(br#"{"jsonrpc":"2.0","id":7,"result":{"tools":[]}}"#, 7);
        assert!(matches!(own, Some(Ok(_))));
        for other in [
            br#"{"jsonrpc":"2.0","id":8,"result":{}}"#.as_slice(),
            br#"{"jsonrpc":"2.0","id":7,"method":"ping"}"#,
            br#"{"jsonrpc":"2.0","method":"notifications/message"}"#,
            br#"{"jsonrpc":"2.0","id":8,"error":{"code":1,"message":"x"}}"#,
            b"",
            b"[]",
            b"not json",
        ] {
            assert!(said(other, 7).is_none(), "{:?}", String::from_utf8_lossy(other));
        }
        let nameless = said(
            br#"{"id":null,"error":{"code":-32000,"message":"no session"}}"#,
            7,
        );
        assert_eq!(nameless, Some(Err((-32000, "no session".to_owned()))));
    }
}
