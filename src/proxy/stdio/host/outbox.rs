//! What a client is still to be told on one stream: bounded, and never waited for by the process that says it.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use crate::proxy::held::Held;
use crate::proxy::upstream::UpstreamError;

/// Messages that wait for a session's stream to be opened.
const BACKLOG: usize = 64;
/// Their bytes.
const BACKLOG_BYTES: usize = 1 << 20;

/// One thing to tell a client.
pub(super) enum Said {
    /// A message on the way to the answer.
    Message(Bytes),
    Answer(Bytes),
    /// No answer comes. What the call held goes back.
    Failed(UpstreamError, Option<Held>),
    /// No answer comes, and none is waited for.
    Over,
}

impl Said {
    const fn bytes(&self) -> usize {
        match self {
            Self::Message(bytes) | Self::Answer(bytes) => bytes.len(),
            Self::Failed(..) | Self::Over => 0,
        }
    }
}

/// Where a process puts what one stream's client is told.
pub(super) struct Outbox {
    to: UnboundedSender<Said>,
    queued: Arc<AtomicUsize>,
    cap: usize,
}

/// Where the stream takes it from.
pub(super) struct Inbox {
    from: UnboundedReceiver<Said>,
    queued: Arc<AtomicUsize>,
}

/// A queue of at most `cap` bytes, or of one message that is larger.
pub(super) fn channel(cap: usize) -> (Outbox, Inbox) {
    let (to, from) = unbounded_channel();
    let queued = Arc::new(AtomicUsize::new(0));
    let outbox = Outbox {
        to,
        queued: Arc::clone(&queued),
        cap,
    };
    (outbox, Inbox { from, queued })
}

impl Outbox {
    /// `false`: nobody reads it, or too slowly.
    pub(super) fn say(&self, said: Said) -> bool {
        // each message counts for some bytes, so that many small ones are bounded too
        let bytes = said.bytes().saturating_add(64);
        let queued = self.queued.load(Ordering::SeqCst);
        if queued > 0 && queued.saturating_add(bytes) > self.cap {
            return false;
        }
        self.queued.fetch_add(bytes, Ordering::SeqCst);
        self.to.send(said).is_ok()
    }
}

impl Inbox {
    pub(super) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Said>> {
        let said = ready!(self.from.poll_recv(cx));
        if let Some(said) = &said {
            self.queued
                .fetch_sub(said.bytes().saturating_add(64), Ordering::SeqCst);
        }
        Poll::Ready(said)
    }

    /// Cancel-safe.
    pub(super) async fn next(&mut self) -> Option<Said> {
        std::future::poll_fn(|cx| self.poll_next(cx)).await
    }
}

/// What a process says to a session by itself: to the session's stream, or kept until one is opened.
pub(super) struct Mailbox {
    state: Mutex<State>,
    cap: usize,
}

#[derive(Default)]
struct State {
    stream: Option<Outbox>,
    backlog: VecDeque<Bytes>,
    bytes: usize,
}

impl Mailbox {
    /// Its stream may fall behind by `cap` bytes.
    pub(super) fn new(cap: usize) -> Self {
        let state = Mutex::default();
        Self { state, cap }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a client reads its stream.
    pub(super) fn is_open(&self) -> bool {
        self.lock().is_open()
    }

    /// Opens a stream. One that was open before ends: its client has most likely lost it.
    pub(super) fn open(&self) -> Inbox {
        let (outbox, inbox) = channel(self.cap);
        let mut state = self.lock();
        for message in std::mem::take(&mut state.backlog) {
            outbox.say(Said::Message(message));
        }
        state.bytes = 0;
        state.stream = Some(outbox);
        inbox
    }

    pub(super) fn post(&self, message: Bytes) {
        let mut state = self.lock();
        if state.is_open()
            && let Some(stream) = &state.stream
        {
            if !stream.say(Said::Message(message)) {
                // it ends with the sender
                tracing::debug!("a client reads its stream too slowly: it was cut");
                state.stream = None;
            }
            return;
        }
        state.bytes = state.bytes.saturating_add(message.len());
        state.backlog.push_back(message);
        while state.backlog.len() > BACKLOG || state.bytes > BACKLOG_BYTES {
            let Some(oldest) = state.backlog.pop_front() else {
                break;
            };
            state.bytes = state.bytes.saturating_sub(oldest.len());
            tracing::debug!(
                "no stream is open for what a server process says: the oldest message was dropped"
            );
        }
    }

    /// Ends its stream, after what is under way.
    pub(super) fn close(&self) {
        self.lock().stream = None;
    }
}

impl State {
    fn is_open(&self) -> bool {
        self.stream.as_ref().is_some_and(|stream| !stream.to.is_closed())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(bytes: usize) -> Bytes {
        Bytes::from(vec![b'x'; bytes])
    }

    #[tokio::test]
    async fn a_client_that_does_not_read_is_cut_and_holds_up_nobody() {
        let mailbox = Mailbox::new(1_000);
        let mut stream = mailbox.open();
        mailbox.post(message(5_000));
        assert!(mailbox.is_open(), "one message always fits");
        mailbox.post(message(10));
        assert!(!mailbox.is_open());
        assert!(matches!(stream.next().await, Some(Said::Message(large)) if large.len() == 5_000));
        assert!(stream.next().await.is_none());
    }

    #[tokio::test]
    async fn what_is_said_without_a_stream_waits_for_one_up_to_a_bound() {
        let mailbox = Mailbox::new(1 << 20);
        for n in 0..BACKLOG + 1 {
            mailbox.post(message(n));
        }
        let mut stream = mailbox.open();
        let Some(Said::Message(first)) = stream.next().await else {
            panic!("nothing came");
        };
        assert_eq!(first.len(), 1, "the oldest went");
        mailbox.post(message(BACKLOG_BYTES / 2 + 1));
        drop(stream);
        mailbox.post(message(BACKLOG_BYTES / 2 + 1));
        mailbox.post(message(BACKLOG_BYTES / 2 + 1));
        assert_eq!(mailbox.lock().backlog.len(), 1);
    }

    #[tokio::test]
    async fn a_new_stream_ends_the_one_before() {
        let mailbox = Mailbox::new(1_000);
        let (mut old, mut new) = (mailbox.open(), mailbox.open());
        mailbox.post(message(1));
        assert!(old.next().await.is_none());
        assert!(matches!(new.next().await, Some(Said::Message(_))));
        mailbox.close();
        assert!(new.next().await.is_none() && !mailbox.is_open());
    }
}
