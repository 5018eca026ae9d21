//! An upstream's answer that should hold no list of tools: it passes as it comes, and is cut where it holds one.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use super::body::{StreamError, UpstreamBody};
use crate::mcp::scout::{EventScout, Scout};

/// Holds nothing: what came before the list has passed.
pub struct Scouted {
    body: UpstreamBody,
    look: Look,
}

enum Look {
    Message(Scout),
    Events(EventScout),
}

impl Scouted {
    pub(super) fn new(body: UpstreamBody, events: bool) -> Self {
        let look = if events {
            Look::Events(EventScout::default())
        } else {
            Look::Message(Scout::default())
        };
        Self { body, look }
    }

    fn finds(&mut self, bytes: &[u8]) -> bool {
        match &mut self.look {
            Look::Message(scout) => scout.push(bytes),
            Look::Events(scout) => scout.push(bytes),
        }
    }
}

impl Body for Scouted {
    type Data = Bytes;
    type Error = StreamError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, StreamError>>> {
        let this = self.get_mut();
        let polled = Pin::new(&mut this.body).poll_frame(cx);
        if let Poll::Ready(Some(Ok(frame))) = &polled
            && frame.data_ref().is_some_and(|bytes| this.finds(bytes))
        {
            tracing::warn!("an answer was cut: a list of tools stood where none belongs");
            return Poll::Ready(Some(Err(StreamError::Misplaced)));
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
