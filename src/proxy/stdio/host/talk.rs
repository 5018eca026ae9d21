//! The body of a process's answer: one message, or a stream of events.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::oneshot;
use tokio::task::AbortHandle;
use tokio::time::Sleep;

use super::Host;
use super::asked::Asked;
use super::handshake::error_code;
use super::outbox::{Inbox, Said};
use super::waiting::no_answer;
use crate::mcp::sse::frame;
use crate::proxy::body::StreamError;
use crate::proxy::upstream::UpstreamError;

/// What a client is told.
pub struct Talk(Kind);

enum Kind {
    Whole(Option<Bytes>),
    Stream(Box<Stream>),
}

struct Stream {
    ready: VecDeque<Bytes>,
    inbox: Inbox,
    /// The request that is answered; `None`: the stream of a session.
    asked: Option<Asked>,
    /// Until the first message.
    patience: Option<(Pin<Box<Sleep>>, Duration)>,
    cut: Cut,
    over: bool,
    _closing: Option<Closing>,
}

/// What others hold ends the stream, as it would end a connection.
struct Cut {
    handle: AbortHandle,
    ended: oneshot::Receiver<()>,
}

impl Cut {
    fn new() -> Self {
        let (alive, ended) = oneshot::channel::<()>();
        let task = tokio::spawn(async move {
            let _alive = alive;
            std::future::pending::<()>().await;
        });
        let handle = task.abort_handle();
        Self { handle, ended }
    }
}

impl Drop for Cut {
    fn drop(&mut self) {
        self.handle.abort();
    }
}

/// Ends a session when it is dropped.
pub(super) struct Closing {
    host: Arc<Host>,
    session: String,
    armed: bool,
}

impl Closing {
    pub(super) fn new(host: &Arc<Host>, session: &str) -> Self {
        Self {
            host: Arc::clone(host),
            session: session.to_owned(),
            armed: true,
        }
    }

    /// The session goes on.
    pub(super) fn keep(mut self) {
        self.armed = false;
    }
}

impl Drop for Closing {
    fn drop(&mut self) {
        if self.armed {
            self.host.lock().forget(&self.session);
        }
    }
}

impl Talk {
    pub(super) fn whole(message: Bytes) -> Self {
        Self(Kind::Whole(Some(message).filter(|message| !message.is_empty())))
    }

    pub(super) fn stream(inbox: Inbox) -> Self {
        Self(Kind::Stream(Box::new(Stream {
            ready: VecDeque::new(),
            inbox,
            asked: None,
            patience: None,
            cut: Cut::new(),
            over: false,
            _closing: None,
        })))
    }

    fn with(mut self, change: impl FnOnce(&mut Stream)) -> Self {
        if let Kind::Stream(stream) = &mut self.0 {
            change(stream);
        }
        self
    }

    /// The stream ends with the answer to this request.
    pub(super) fn asked(self, asked: Asked) -> Self {
        self.with(|stream| stream.asked = Some(asked))
    }

    /// It begins with this event.
    pub(super) fn beginning(self, event: Bytes) -> Self {
        self.with(|stream| stream.ready.push_back(event))
    }

    /// It begins with this message.
    pub(super) fn message(self, message: &[u8]) -> Self {
        self.beginning(frame(message).into())
    }

    /// The first message must come `within` this time.
    pub(super) fn patient(self, within: Duration) -> Self {
        self.with(|stream| stream.patience = Some((Box::pin(tokio::time::sleep(within)), within)))
    }

    /// A session ends with it.
    pub(super) fn closing(self, closing: Closing) -> Self {
        self.with(|stream| stream._closing = Some(closing))
    }

    /// What ends it from outside.
    pub fn abort_handle(&self) -> Option<AbortHandle> {
        match &self.0 {
            Kind::Stream(stream) => Some(stream.cut.handle.clone()),
            Kind::Whole(_) => None,
        }
    }

    /// One message that is an error.
    pub fn is_refusal(&self) -> bool {
        matches!(&self.0, Kind::Whole(Some(message)) if error_code(message).is_some())
    }

    pub fn is_over(&self) -> bool {
        match &self.0 {
            Kind::Whole(message) => message.is_none(),
            Kind::Stream(stream) => stream.over && stream.ready.is_empty(),
        }
    }

    /// Its length in bytes, where that is known.
    pub fn length(&self) -> Option<u64> {
        match &self.0 {
            Kind::Whole(message) => Some(message.as_ref().map_or(0, |message| message.len() as u64)),
            Kind::Stream(_) => None,
        }
    }

    /// The next bytes.
    pub fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, StreamError>>> {
        match &mut self.0 {
            Kind::Whole(message) => Poll::Ready(message.take().map(Ok)),
            Kind::Stream(stream) => stream.poll(cx),
        }
    }
}

impl Stream {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, StreamError>>> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Poll::Ready(Some(Ok(event)));
            }
            if self.over {
                return Poll::Ready(None);
            }
            if Pin::new(&mut self.cut.ended).poll(cx).is_ready() {
                self.over = true;
                if let Some(mut asked) = self.asked.take() {
                    asked.cancel();
                }
                return Poll::Ready(Some(Err(StreamError::LeaseLost)));
            }
            match self.inbox.poll_next(cx) {
                Poll::Ready(Some(said)) => self.said(said),
                Poll::Ready(None) if self.asked.take().is_some() => {
                    // the answer did not fit
                    self.over = true;
                    return Poll::Ready(Some(Err(StreamError::Slow)));
                }
                Poll::Ready(None) => self.over = true,
                Poll::Pending if self.is_late(cx) => {}
                Poll::Pending => return Poll::Pending,
            }
        }
    }

    fn said(&mut self, said: Said) {
        self.patience = None;
        match said {
            Said::Message(message) => self.ready.push_back(frame(&message).into()),
            Said::Answer(answer) => {
                self.ready.push_back(frame(&answer).into());
                self.ends();
            }
            Said::Failed(error, _) => self.fails(&error),
            Said::Over => self.ends(),
        }
    }

    fn ends(&mut self) {
        self.over = true;
        if let Some(mut asked) = self.asked.take() {
            asked.armed = false;
        }
    }

    /// The head of the answer is out: the error goes where the answer would.
    fn fails(&mut self, error: &UpstreamError) {
        if let Some(asked) = &self.asked {
            let told = no_answer(error, asked.client_id());
            self.ready.push_back(frame(&told).into());
        }
        self.ends();
    }

    /// Nothing came in time.
    fn is_late(&mut self, cx: &mut Context<'_>) -> bool {
        let late = match &mut self.patience {
            Some((patience, _)) => patience.as_mut().poll(cx).is_ready(),
            None => false,
        };
        if late && let Some((_, within)) = self.patience.take() {
            if let Some(asked) = &mut self.asked {
                asked.cancel();
            }
            self.fails(&UpstreamError::ResponseTimeout(within));
        }
        late
    }
}
