//! Server-sent events as bytes (WHATWG HTML, section 9.2 "Server-sent events").
//!
//! [`Splitter`] cuts a stream into raw events so that single ones can be read and rewritten;
//! [`Boundary`] lets bytes pass and knows where something may be put between them.

mod ends;
mod event;

use std::fmt;

use ends::Ends;
pub use event::RawEvent;

/// An event that is larger than the cap.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an event of the server's stream is larger than {cap} bytes")]
pub struct TooLarge {
    pub cap: usize,
}

/// Cuts a stream into events, wherever its chunks begin and end. The bytes of all events, put
/// together, are the stream. An event is given out with the byte that ends it; where that is a
/// CR at the end of a chunk, a LF that follows it opens the next event's bytes.
pub struct Splitter {
    ends: Ends,
    cap: usize,
    pending: Vec<u8>,
    /// Bytes of `pending` that were given out.
    given: usize,
    /// Bytes of `pending` that were looked at.
    seen: usize,
    /// Bytes at the front of the next event that belong to no line of it: a byte order mark at
    /// the start of the stream, or the LF of a CR LF whose CR ended the event before.
    first: bool,
    after_cr: bool,
    failed: bool,
}

impl Splitter {
    /// A splitter for events of at most `cap` bytes. Beside one event it holds at most one chunk.
    pub fn new(cap: usize) -> Self {
        Self {
            ends: Ends::default(),
            cap,
            pending: Vec::new(),
            given: 0,
            seen: 0,
            first: true,
            after_cr: false,
            failed: false,
        }
    }

    /// Takes the next bytes of the stream. Call [`Splitter::next`] until it has none before the
    /// next chunk. After [`TooLarge`] nothing is taken.
    pub fn push(&mut self, chunk: &[u8]) {
        if self.failed {
            return;
        }
        self.pending.drain(..self.given);
        self.seen = self.seen.saturating_sub(self.given);
        self.given = 0;
        self.pending.extend_from_slice(chunk);
    }

    /// The next event that is complete, or that the stream has to end here: [`TooLarge`] comes
    /// again and again.
    #[expect(
        clippy::should_implement_trait,
        reason = "it has more after a push, an iterator would be done"
    )]
    pub fn next(&mut self) -> Option<Result<RawEvent, TooLarge>> {
        if self.failed {
            return Some(Err(TooLarge { cap: self.cap }));
        }
        let unseen = self.pending.get(self.seen..).unwrap_or_default();
        let end = self.ends.advance(unseen);
        self.seen = match end {
            Some(length) => self.seen.saturating_add(length),
            None => self.pending.len(),
        };
        if self.seen.saturating_sub(self.given) > self.cap {
            return Some(Err(self.fail()));
        }
        end.map(|_| Ok(self.give(true)))
    }

    /// What is left when the stream ends. A browser throws away an event that no blank line
    /// ended, some clients do not: filter it or drop it, but do not pass it on unread.
    pub fn finish(mut self) -> Option<RawEvent> {
        self.seen = self.pending.len();
        (self.seen > self.given).then(|| self.give(false))
    }

    fn give(&mut self, complete: bool) -> RawEvent {
        let bytes = self
            .pending
            .get(self.given..self.seen)
            .unwrap_or_default()
            .to_vec();
        self.given = self.seen;
        let event = RawEvent::new(bytes, self.first, self.after_cr, complete);
        self.first = false;
        self.after_cr = self.ends.after_cr();
        event
    }

    fn fail(&mut self) -> TooLarge {
        self.failed = true;
        self.pending = Vec::new();
        self.given = 0;
        self.seen = 0;
        TooLarge { cap: self.cap }
    }
}

impl fmt::Debug for Splitter {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Splitter")
            .field("pending", &self.pending.len())
            .finish_non_exhaustive()
    }
}

/// Watches a stream that passes through, and knows where an event may be put into it.
#[derive(Debug, Default)]
pub struct Boundary {
    ends: Ends,
}

impl Boundary {
    /// Looks at the next bytes of the stream. Returns how many of them stand before the last
    /// place in them where an event may be put, `None` where there is no such place.
    pub fn push(&mut self, chunk: &[u8]) -> Option<usize> {
        let mut seen: usize = 0;
        let mut last = None;
        while let Some(length) = chunk.get(seen..).and_then(|rest| self.ends.advance(rest)) {
            seen = seen.saturating_add(length);
            last = Some(seen);
        }
        last
    }

    /// Whether the stream stands between two events (or before the first), after all bytes seen.
    pub fn between_events(&self) -> bool {
        self.ends.between_events()
    }
}

/// One event of the default type with these bytes as data.
pub fn frame(data: &[u8]) -> Vec<u8> {
    let mut out = b"event: message\n".to_vec();
    event::push_data(&mut out, data, b"\n");
    out.push(b'\n');
    out
}

#[cfg(test)]
mod tests;
