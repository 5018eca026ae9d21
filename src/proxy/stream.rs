//! An upstream's event stream through the list filter, event by event.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame};

use super::Gate;
use super::answer::{Asked, filter};
use super::body::{StreamError, UpstreamBody};
use crate::grants::Grant;
use crate::mcp::sse::{RawEvent, Splitter};

/// Events pass as they came unless they hold a list of tools. Holds one event at a time, up to a cap.
pub struct FilteredStream {
    body: UpstreamBody,
    /// None after the end.
    splitter: Option<Splitter>,
    ready: VecDeque<Bytes>,
    gate: Arc<Gate>,
    grant: Arc<Grant>,
    server: String,
    modern: bool,
}

impl FilteredStream {
    pub(super) fn new(body: UpstreamBody, asked: &Asked<'_>, cap: usize) -> Self {
        Self {
            body,
            splitter: Some(Splitter::new(cap)),
            ready: VecDeque::new(),
            gate: Arc::clone(asked.gate),
            grant: Arc::clone(asked.grant),
            server: asked.upstream.name.clone(),
            modern: asked.modern,
        }
    }

    fn take(&mut self, chunk: &[u8]) -> Result<(), StreamError> {
        let Some(mut splitter) = self.splitter.take() else {
            return Ok(());
        };
        splitter.push(chunk);
        while let Some(event) = splitter.next() {
            let event = event.map_err(|error| StreamError::Unfilterable(error.to_string()))?;
            self.event(event)?;
        }
        self.splitter = Some(splitter);
        Ok(())
    }

    fn event(&mut self, event: RawEvent) -> Result<(), StreamError> {
        if !event.has_data() {
            self.ready.push_back(event.into_bytes().into());
            return Ok(());
        }
        if !event.is_message() && !looks_like_json(&event.data()) {
            // `endpoint` or `ping`, say. JSON under such a name is read all the same: some clients look at
            // the data alone
            self.ready.push_back(event.into_bytes().into());
            return Ok(());
        }
        let data = Bytes::from(event.data().into_owned());
        let filtered = filter(&self.grant, &self.gate, &self.server, self.modern, &data)
            .map_err(|error| StreamError::Unfilterable(error.to_string()))?;
        self.ready.push_back(match filtered {
            None => event.into_bytes().into(),
            Some(data) => event.with_data(&data).into(),
        });
        Ok(())
    }

    /// What stands behind the last whole event. No client may take it for one, so it is dropped.
    fn end(&mut self) {
        self.splitter = None;
    }
}

fn looks_like_json(data: &[u8]) -> bool {
    let text = data.strip_prefix(b"\xef\xbb\xbf").unwrap_or(data);
    matches!(text.trim_ascii_start().first(), Some(b'{' | b'['))
}

impl Body for FilteredStream {
    type Data = Bytes;
    type Error = StreamError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, StreamError>>> {
        let this = self.get_mut();
        loop {
            if let Some(event) = this.ready.pop_front() {
                return Poll::Ready(Some(Ok(Frame::data(event))));
            }
            if this.splitter.is_none() {
                return Poll::Ready(None);
            }
            match ready!(Pin::new(&mut this.body).poll_frame(cx)) {
                None => this.end(),
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                Some(Ok(frame)) => {
                    if let Ok(chunk) = frame.into_data()
                        && let Err(error) = this.take(&chunk)
                    {
                        tracing::warn!(server = this.server, %error, "a stream of the upstream was cut");
                        return Poll::Ready(Some(Err(error)));
                    }
                }
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.ready.is_empty() && self.splitter.is_none()
    }
}
