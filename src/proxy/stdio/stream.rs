//! Bodies of an HTTP server's answers, message by message.

use std::time::Duration;

use bytes::Bytes;
use http::HeaderValue;
use http_body_util::{BodyExt, LengthLimitError, Limited};

use crate::mcp::line::is_blank;
use crate::mcp::sse::{RawEvent, Splitter};
use crate::proxy::body::UpstreamBody;
use crate::proxy::held::Held;

/// When a stream is taken up again where the server does not say.
const RETRY: Duration = Duration::from_secs(1);
/// The longest pause that a server may ask for.
const RETRY_AT_MOST: Duration = Duration::from_secs(60);

/// The messages of an event stream.
pub(super) struct Events {
    body: UpstreamBody,
    splitter: Splitter,
    /// The id of the last event that had one.
    pub(super) last_id: Option<HeaderValue>,
    /// When the stream may be taken up again.
    pub(super) retry: Duration,
    /// There was an event.
    pub(super) any: bool,
}

impl Events {
    /// The events of a stream, each of at most `cap` bytes.
    pub(super) fn of(body: UpstreamBody, cap: usize) -> Self {
        Self {
            body,
            splitter: Splitter::new(cap),
            last_id: None,
            retry: RETRY,
            any: false,
        }
    }

    /// The next message; `None`: the stream has ended, or cannot be read any further.
    pub(super) async fn next(&mut self) -> Option<Bytes> {
        loop {
            while let Some(event) = self.splitter.next() {
                match event {
                    Ok(event) => {
                        if let Some(message) = self.note(&event) {
                            return Some(message);
                        }
                    }
                    Err(error) => {
                        tracing::warn!(%error, "a stream of the server was cut");
                        return None;
                    }
                }
            }
            match self.body.frame().await? {
                Ok(frame) => self.splitter.push(&frame.into_data().unwrap_or_default()),
                Err(error) => {
                    tracing::warn!(%error, "a stream of the server broke off");
                    return None;
                }
            }
        }
    }

    /// What the call holds whose answer this is, where the server has let go of the stream before the answer.
    pub(super) const fn take_held(&mut self) -> Option<Held> {
        self.body.take_held()
    }

    fn note(&mut self, event: &RawEvent) -> Option<Bytes> {
        self.any = true;
        if let Some(id) = event.id() {
            self.last_id = HeaderValue::from_bytes(id).ok();
        }
        if let Some(ms) = event.retry_ms() {
            self.retry = Duration::from_millis(ms).min(RETRY_AT_MOST);
        }
        let data = event.data();
        let message = event.is_message() || data.trim_ascii_start().starts_with(b"{");
        (message && event.has_data() && !is_blank(&data)).then(|| Bytes::from(data.into_owned()))
    }
}

/// A whole body of at most `cap` bytes.
pub(super) async fn whole(body: UpstreamBody, cap: usize) -> Result<Bytes, &'static str> {
    match Limited::new(body, cap).collect().await {
        Ok(whole) => Ok(whole.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err("it is larger than `limits.line_bytes`"),
        Err(_) => Err("it broke off"),
    }
}
