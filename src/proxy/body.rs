//! Bodies of answers: our own, or an upstream's, passed on as it comes.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use prometheus::IntGauge;
use tokio::sync::mpsc::Receiver;
use tokio::task::AbortHandle;
use tokio::time::{Instant, Sleep};

use super::held::Held;
use super::legacy::BadEndpoint;
use super::open::Watching;
use super::places::Place;
use super::scouted::Scouted;
use super::stdio::Talk;
use super::stream::FilteredStream;
use super::upstream::{Sender, Upstream};
use crate::record::Operation;

/// Counts a request as in flight until its answer has ended or was dropped.
pub struct InFlight {
    gauges: Vec<IntGauge>,
    // measured when this is dropped
    operation: Option<Operation>,
}

impl InFlight {
    pub fn start(gauge: IntGauge) -> Self {
        let mut this = Self {
            gauges: Vec::with_capacity(2),
            operation: None,
        };
        this.count(gauge);
        this
    }

    /// Counts it here too.
    pub fn count(&mut self, gauge: IntGauge) {
        gauge.inc();
        self.gauges.push(gauge);
    }

    /// What ends with the answer.
    pub fn measure(&mut self, operation: Option<Operation>) {
        self.operation = operation;
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.gauges.iter().for_each(IntGauge::dec);
    }
}

/// What goes back to the client.
pub struct GateBody {
    content: Content,
    // held until the body is dropped
    _in_flight: Option<InFlight>,
    _ear: Option<Place>,
}

enum Content {
    /// An answer of our own, or one that was held and filtered.
    Whole(Option<Bytes>),
    /// An upstream's, piece by piece as it comes.
    Passed(Box<UpstreamBody>),
    /// The same, looked at on its way.
    Scouted(Box<Scouted>),
    /// An upstream's event stream, event by event through the list filter.
    Filtered(Box<FilteredStream>),
    /// What a task of the gate's own tells.
    Told(Receiver<Result<Bytes, StreamError>>),
}

impl GateBody {
    pub fn whole(bytes: impl Into<Bytes>) -> Self {
        let bytes = bytes.into();
        Self::of(Content::Whole(if bytes.is_empty() { None } else { Some(bytes) }))
    }

    pub fn passed(body: UpstreamBody) -> Self {
        Self::of(Content::Passed(Box::new(body)))
    }

    pub fn scouted(body: Scouted) -> Self {
        Self::of(Content::Scouted(Box::new(body)))
    }

    pub fn filtered(stream: FilteredStream) -> Self {
        Self::of(Content::Filtered(Box::new(stream)))
    }

    pub(super) const fn told(tells: Receiver<Result<Bytes, StreamError>>) -> Self {
        Self::of(Content::Told(tells))
    }

    const fn of(content: Content) -> Self {
        Self {
            content,
            _in_flight: None,
            _ear: None,
        }
    }

    /// Counts the request as in flight until the body has ended.
    pub fn counted(mut self, in_flight: InFlight) -> Self {
        self._in_flight = Some(in_flight);
        self
    }

    /// Keeps a stream's place until the body has ended.
    pub(super) fn heard_by(mut self, ear: Option<Place>) -> Self {
        self._ear = ear;
        self
    }
}

/// An answer that stopped before its end. The client sees a cut connection, never a short answer that
/// looks whole.
#[derive(Debug, thiserror::Error)]
pub enum StreamError {
    #[error("the upstream's answer broke off: {0}")]
    Upstream(#[from] hyper::Error),
    #[error("the call's lease could not be renewed")]
    LeaseLost,
    #[error("its client reads too slowly")]
    Slow,
    #[error("the grant has ended")]
    GrantEnded,
    #[error("the upstream sent nothing for {0:?}")]
    Idle(Duration),
    #[error("{0}")]
    Endpoint(#[from] BadEndpoint),
    #[error("an event could not be filtered: {0}")]
    Unfilterable(String),
    #[error("a list of tools stood where none belongs")]
    Misplaced,
}

impl Body for GateBody {
    type Data = Bytes;
    type Error = StreamError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, StreamError>>> {
        match &mut self.get_mut().content {
            Content::Whole(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Content::Passed(body) => Pin::new(&mut **body).poll_frame(cx),
            Content::Scouted(body) => Pin::new(&mut **body).poll_frame(cx),
            Content::Filtered(stream) => Pin::new(&mut **stream).poll_frame(cx),
            Content::Told(tells) => tells
                .poll_recv(cx)
                .map(|piece| piece.map(|piece| piece.map(Frame::data))),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.content {
            Content::Whole(bytes) => bytes.is_none(),
            Content::Passed(body) => body.is_end_stream(),
            Content::Scouted(body) => body.is_end_stream(),
            Content::Filtered(stream) => stream.is_end_stream(),
            Content::Told(_) => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.content {
            Content::Whole(bytes) => {
                SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64))
            }
            Content::Passed(body) => body.size_hint(),
            Content::Scouted(body) => body.size_hint(),
            Content::Filtered(_) | Content::Told(_) => SizeHint::default(),
        }
    }
}

/// The body of an upstream's answer. Its connection goes back to the pool when the body has ended, and is
/// closed when the body is dropped before: that is how a client's hang-up reaches the upstream.
pub struct UpstreamBody {
    body: Source,
    lease: Option<(Sender, Arc<Upstream>)>,
    idle_timeout: Duration,
    idle: Option<Pin<Box<Sleep>>>,
    /// Until the answer has ended. Behind the connection: that is closed first.
    held: Option<Held>,
    /// The call may go on when the answer has ended: what it holds stays here.
    keeps: bool,
    watching: Option<Watching>,
}

enum Source {
    Connection(Incoming),
    Process(Talk),
}

impl UpstreamBody {
    /// What a server process says.
    pub(super) const fn of_process(talk: Talk, idle_timeout: Duration) -> Self {
        Self {
            body: Source::Process(talk),
            lease: None,
            idle_timeout,
            idle: None,
            held: None,
            keeps: false,
            watching: None,
        }
    }

    /// A server process's whole answer is an error.
    pub(super) fn is_refusal(&self) -> bool {
        matches!(&self.body, Source::Process(talk) if talk.is_refusal())
    }

    pub(super) fn new(body: Incoming, sender: Sender, upstream: Arc<Upstream>, held: Option<Held>) -> Self {
        let idle_timeout = upstream.idle_timeout;
        let mut this = Self {
            body: Source::Connection(body),
            lease: Some((sender, upstream)),
            idle_timeout,
            idle: None,
            held,
            keeps: false,
            watching: None,
        };
        this.release_at_end();
        this
    }

    /// Keeps what the call holds beyond the end of the body, to be taken up with another.
    pub(super) const fn keeping(mut self) -> Self {
        self.keeps = true;
        self
    }

    pub(super) const fn take_held(&mut self) -> Option<Held> {
        self.held.take()
    }

    /// Lets the answer be cut while it is open. One that has ended is dropped from the table at once.
    pub(super) fn watched(mut self, watching: Watching) -> Self {
        self.watching = Some(watching);
        self.release_at_end();
        self
    }

    /// What ends the connection that the body comes on; `None` once it has ended.
    pub(super) fn abort_handle(&self) -> Option<AbortHandle> {
        match &self.body {
            Source::Connection(_) => self.lease.as_ref().map(|(sender, _)| sender.abort_handle()),
            Source::Process(talk) => talk.abort_handle(),
        }
    }

    fn release_at_end(&mut self) {
        if self.is_end_stream() {
            self.release();
        }
    }

    fn release(&mut self) {
        // before the connection serves another call: what this one holds may cut it
        match &self.held {
            Some(held) if self.keeps => held.rests(),
            _ => self.held = None,
        }
        self.watching = None;
        if let Some((sender, upstream)) = self.lease.take() {
            upstream.put_back(sender);
        }
    }

    fn broken(&self, error: StreamError) -> StreamError {
        if self.held.as_ref().is_some_and(Held::is_cut) {
            StreamError::LeaseLost
        } else if self.watching.as_ref().is_some_and(Watching::is_cut) {
            StreamError::GrantEnded
        } else {
            error
        }
    }

    fn poll_idle(&mut self, cx: &mut Context<'_>) -> Poll<StreamError> {
        let deadline = self.idle_timeout;
        let idle = self
            .idle
            .get_or_insert_with(|| Box::pin(tokio::time::sleep(deadline)));
        ready!(idle.as_mut().poll(cx));
        Poll::Ready(StreamError::Idle(deadline))
    }
}

impl Body for UpstreamBody {
    type Data = Bytes;
    type Error = StreamError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, StreamError>>> {
        let this = self.get_mut();
        loop {
            match this.body.poll_frame(cx) {
                Poll::Ready(Some(Ok(frame))) if frame.is_data() => {
                    if let Some(idle) = &mut this.idle {
                        idle.as_mut().reset(Instant::now() + this.idle_timeout);
                    }
                    this.release_at_end();
                    return Poll::Ready(Some(Ok(frame)));
                }
                // framing is our own: the upstream's trailers are dropped
                Poll::Ready(Some(Ok(_))) => {}
                Poll::Ready(Some(Err(error))) => {
                    return Poll::Ready(Some(Err(this.broken(error))));
                }
                Poll::Ready(None) => {
                    this.release();
                    return Poll::Ready(None);
                }
                Poll::Pending => return this.poll_idle(cx).map(|error| Some(Err(error))),
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.body {
            Source::Connection(body) => body.is_end_stream(),
            Source::Process(talk) => talk.is_over(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.body {
            Source::Connection(body) => body.size_hint(),
            Source::Process(talk) => talk.length().map_or_else(SizeHint::default, SizeHint::with_exact),
        }
    }
}

impl Source {
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, StreamError>>> {
        match self {
            Self::Connection(body) => Pin::new(body).poll_frame(cx).map_err(StreamError::from),
            Self::Process(talk) => talk.poll(cx).map_ok(Frame::data),
        }
    }
}
