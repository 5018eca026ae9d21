//! An upstream's event stream through the list filter, event by event.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame};

use super::answer::{Asked, filter};
use super::body::{StreamError, UpstreamBody};
use super::changed::{Teller, Tells};
use super::leaving::Drains;
use super::legacy::{Announced, resolve};
use super::{Gate, Server, Snapshot};
use crate::grants::Grant;
use crate::mcp::sse::{RawEvent, Splitter};

/// Events pass as they came unless they hold a list of tools. Holds one event at a time, up to a cap.
pub struct FilteredStream {
    body: UpstreamBody,
    /// Behind the body: that is closed first.
    legacy: Legacy,
    /// None after the end.
    splitter: Option<Splitter>,
    ready: VecDeque<Bytes>,
    gate: Arc<Gate>,
    grant: Arc<Grant>,
    /// By its policies lists are filtered: the grant as it is by now.
    sees: Arc<Grant>,
    /// Of a stream that outlives reloads: the snapshot that the grant is from.
    follows: Option<Weak<Snapshot>>,
    upstream: Server,
    modern: bool,
    teller: Option<Teller>,
    /// Of a stream that only listens: it ends when the gate goes.
    drains: Option<Drains>,
    /// No event of the upstream's was read yet.
    silent: bool,
    /// An event of the gate's own went out.
    told: bool,
}

/// What the stream is to the transport of 2024-11-05.
enum Legacy {
    /// Nothing: it answers a POST.
    No,
    /// Its first `endpoint` event is rewritten.
    Perhaps,
    Open(Announced),
}

impl FilteredStream {
    pub(super) fn new(body: UpstreamBody, asked: &Asked<'_>, cap: usize) -> Self {
        Self {
            body,
            legacy: if asked.opens_stream {
                Legacy::Perhaps
            } else {
                Legacy::No
            },
            splitter: Some(Splitter::new(cap)),
            ready: VecDeque::new(),
            gate: Arc::clone(asked.gate),
            grant: Arc::clone(asked.grant),
            sees: Arc::clone(asked.grant),
            follows: (asked.tells != Tells::No).then(Weak::new),
            upstream: asked.upstream.clone(),
            modern: asked.modern,
            drains: only_listens(asked.tells).then(|| asked.gate.leaving.listen()),
            teller: Teller::new(&asked.gate.changes, asked.upstream.name(), asked.tells),
            silent: true,
            told: false,
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

    fn event(&mut self, mut event: RawEvent) -> Result<(), StreamError> {
        if std::mem::take(&mut self.silent) && self.told {
            // a byte order mark is one at the start of a stream only
            event.drop_start();
        }
        if !event.has_data() {
            self.ready.push_back(event.into_bytes().into());
            return Ok(());
        }
        if let Some(teller) = &mut self.teller {
            teller.saw(&event.data());
        }
        let announces = event.event_name() == Some(b"endpoint") && !looks_like_json(&event.data());
        if announces && !matches!(self.legacy, Legacy::No) {
            return self.endpoint(&event);
        }
        if !event.is_message() && !looks_like_json(&event.data()) {
            // `endpoint` or `ping`, say. JSON under such a name is read all the same: some clients look at
            // the data alone
            self.ready.push_back(event.into_bytes().into());
            return Ok(());
        }
        let data = Bytes::from(event.data().into_owned());
        if let Legacy::Open(announced) = &self.legacy {
            announced.passed(&data);
        }
        self.follow();
        let filtered = filter(&self.sees, &self.gate, self.upstream.name(), self.modern, &data)
            .map_err(|error| StreamError::Unfilterable(error.to_string()))?;
        self.ready.push_back(match filtered {
            None => event.into_bytes().into(),
            Some(data) => event.with_data(&data).into(),
        });
        Ok(())
    }

    /// The first `endpoint` event of a stream that was opened for it leads clients back to the gate. Any other one
    /// is dropped: it would lead around it.
    fn endpoint(&mut self, event: &RawEvent) -> Result<(), StreamError> {
        let (Legacy::Perhaps, Some(cut)) = (&self.legacy, self.body.abort_handle()) else {
            tracing::warn!(server = self.upstream.name(), "an `endpoint` event was dropped");
            return Ok(());
        };
        let target = resolve(self.upstream.base(), &event.data())?;
        let (name, grant) = (self.upstream.name(), self.grant.identity());
        let (announced, told) = Announced::open(&self.gate, name, grant, &target, cut)?;
        self.legacy = Legacy::Open(announced);
        self.ready.push_back(event.with_data(told.as_bytes()).into());
        Ok(())
    }

    /// A refusal for a message that came by this stream's endpoint.
    fn refusal(&mut self, cx: &mut Context<'_>) -> Option<Bytes> {
        let Legacy::Open(announced) = &mut self.legacy else {
            return None;
        };
        match announced.poll(cx) {
            Poll::Ready(event) => event,
            Poll::Pending => None,
        }
    }

    /// Whether it is to end although the upstream's has not.
    fn drains(&mut self, cx: &mut Context<'_>) -> bool {
        let drains = self.drains.as_mut();
        drains.is_some_and(|drains| drains.poll(cx).is_ready())
    }

    /// Lists show what the grant may see by now.
    fn follow(&mut self) {
        let Some(known) = &mut self.follows else { return };
        let now = self.gate.snapshot.load();
        if Weak::ptr_eq(known, &Arc::downgrade(&now)) {
            return;
        }
        *known = Arc::downgrade(&now);
        // a grant that was made of claims sees what its entry says
        let entry = self.grant.entry.as_ref().unwrap_or(&self.grant.id);
        if let Some(grant) = now.grants.iter().find(|grant| grant.id == *entry) {
            self.sees = Arc::clone(grant);
        }
    }

    /// That the list of tools changed.
    fn change(&mut self, cx: &mut Context<'_>) -> Option<Bytes> {
        let event = self.teller.as_mut()?.poll(cx)?;
        self.told = true;
        Some(event)
    }

    /// What stands behind the last whole event. No client may take it for one, so it is dropped.
    fn end(&mut self) {
        self.splitter = None;
        self.legacy = Legacy::No;
    }
}

/// Whether no answer comes on the stream: then it ends well at any event.
const fn only_listens(tells: Tells<'_>) -> bool {
    matches!(tells, Tells::Always | Tells::Subscribed(_))
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
            if let Some(event) = this.refusal(cx).or_else(|| this.change(cx)) {
                return Poll::Ready(Some(Ok(Frame::data(event))));
            }
            if this.drains(cx) {
                this.end();
                continue;
            }
            match ready!(Pin::new(&mut this.body).poll_frame(cx)) {
                None => this.end(),
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                Some(Ok(frame)) => {
                    if let Ok(chunk) = frame.into_data()
                        && let Err(error) = this.take(&chunk)
                    {
                        tracing::warn!(server = this.upstream.name(), %error, "a stream of the upstream was cut");
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
