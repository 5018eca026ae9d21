//! An event stream, one event after the other, bounded.

use bytes::Bytes;
use http::HeaderMap;
use http::header::CONTENT_TYPE;
use http_body::Body;
use http_body_util::BodyExt;

use super::{ANSWER_BYTES, ClientError};
use crate::mcp::sse::{RawEvent, Splitter};

/// Whether an answer is such a stream.
pub(super) fn is_event_stream(headers: &HeaderMap) -> bool {
    let kind = headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    kind.is_some_and(|kind| kind.trim_start().starts_with("text/event-stream"))
}

pub(super) struct Events<B> {
    body: B,
    splitter: Splitter,
    /// Bytes since the last [`Events::anew`].
    read: usize,
}

impl<B> Events<B>
where
    B: Body<Data = Bytes, Error: std::fmt::Display> + Unpin,
{
    pub(super) fn new(body: B) -> Self {
        Self {
            body,
            splitter: Splitter::new(ANSWER_BYTES),
            read: 0,
        }
    }

    /// From here on as many bytes may come again.
    pub(super) const fn anew(&mut self) {
        self.read = 0;
    }

    /// The next event; `None` at the end.
    pub(super) async fn next(&mut self) -> Result<Option<RawEvent>, ClientError> {
        loop {
            if let Some(event) = self.splitter.next() {
                return event.map(Some).map_err(|_| ClientError::TooLarge);
            }
            let Some(frame) = self.body.frame().await else {
                return Ok(None);
            };
            let frame = frame.map_err(|error| ClientError::Broken(error.to_string()))?;
            let Ok(chunk) = frame.into_data() else { continue };
            self.read = self.read.saturating_add(chunk.len());
            if self.read > ANSWER_BYTES {
                return Err(ClientError::TooLarge);
            }
            self.splitter.push(&chunk);
        }
    }
}
