//! Lines in and out, bounded both ways.

use std::io;

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::Mutex;

use crate::mcp::line::{is_blank, one_line, without_cr};
use crate::mcp::skim::{Skim, Skimmed};

/// How much is read at once.
const CHUNK: usize = 16 * 1024;
/// How much is read ahead while the line before is still on its way.
const AHEAD: usize = 64 * 1024;

/// One line of a peer, without what ended it.
pub(super) enum Line {
    Whole(Bytes),
    /// Longer than the cap: it was skipped.
    TooLong(Skimmed),
}

/// Cuts what a peer sends into lines. Blank lines are passed over; what stands behind the last line feed
/// when the peer ends is a line too.
pub(super) struct Lines<R> {
    from: R,
    buffer: BytesMut,
    /// Bytes of the buffer in which there is no line feed.
    seen: usize,
    /// Longest line in bytes.
    cap: usize,
    skipped: Option<Skim>,
    ended: bool,
}

impl<R: AsyncRead + Unpin> Lines<R> {
    pub(super) fn new(from: R, cap: usize) -> Self {
        Self {
            from,
            buffer: BytesMut::new(),
            seen: 0,
            cap,
            skipped: None,
            ended: false,
        }
    }

    /// The next line; `None` at the end. Dropped and called again it loses nothing.
    pub(super) async fn next(&mut self) -> io::Result<Option<Line>> {
        loop {
            if let Some(line) = self.take() {
                return Ok(Some(line));
            }
            if self.ended {
                return Ok(None);
            }
            self.fill().await?;
        }
    }

    /// Waits for the peer's end while the line before is being handled, as far as it can be seen: it reads
    /// ahead a little and no more.
    pub(super) async fn ends(&mut self) {
        while !self.ended && self.buffer.len() < AHEAD {
            if self.fill().await.is_err() {
                return;
            }
        }
        if !self.ended {
            std::future::pending::<()>().await;
        }
    }

    async fn fill(&mut self) -> io::Result<()> {
        self.buffer.reserve(CHUNK);
        self.ended = self.from.read_buf(&mut self.buffer).await? == 0;
        Ok(())
    }

    /// The next line that is in the buffer and not blank.
    fn take(&mut self) -> Option<Line> {
        loop {
            let unseen = self.buffer.get(self.seen..).unwrap_or_default();
            let Some(length) = memchr::memchr(b'\n', unseen) else {
                return self.rest();
            };
            let mut line = self
                .buffer
                .split_to(self.seen.saturating_add(length).saturating_add(1));
            line.truncate(line.len().saturating_sub(1));
            self.seen = 0;
            if let Some(line) = self.line(line) {
                return Some(line);
            }
        }
    }

    /// What has no line feed yet: skipped beyond the cap, and a line of its own at the end.
    fn rest(&mut self) -> Option<Line> {
        self.seen = self.buffer.len();
        if self.ended {
            self.seen = 0;
            let rest = self.buffer.split();
            return self.line(rest);
        }
        // one more, since a CR may belong to the line's end
        if self.seen > self.cap.saturating_add(1) || self.skipped.is_some() {
            self.skipped.get_or_insert_default().push(&self.buffer);
            self.buffer.clear();
            self.seen = 0;
        }
        None
    }

    fn line(&mut self, mut line: BytesMut) -> Option<Line> {
        let length = without_cr(&line).len();
        if length > self.cap || self.skipped.is_some() {
            let mut skim = self.skipped.take().unwrap_or_default();
            skim.push(&line);
            return Some(Line::TooLong(skim.end()));
        }
        line.truncate(length);
        (!is_blank(&line)).then(|| Line::Whole(line.freeze()))
    }
}

/// Where messages go as lines, one whole line at a time.
pub(super) struct Out(Mutex<Box<dyn AsyncWrite + Send + Unpin>>);

impl Out {
    pub(super) fn new(to: impl AsyncWrite + Send + Unpin + 'static) -> Self {
        Self(Mutex::new(Box::new(to)))
    }

    /// Writes one message as one line.
    pub(super) async fn message(&self, message: &[u8]) -> io::Result<()> {
        let line = one_line(message);
        let mut to = self.0.lock().await;
        write_line(&mut *to, &line).await.map_err(|stuck| stuck.error)?;
        to.flush().await
    }
}

/// A line that did not leave whole.
#[derive(Debug)]
pub(super) struct Stuck {
    pub(super) error: io::Error,
    /// Not a byte of it left.
    pub(super) unsent: bool,
}

/// Writes a line and its line feed.
pub(super) async fn write_line(to: &mut (impl AsyncWrite + Unpin), line: &[u8]) -> Result<(), Stuck> {
    let mut rest = Buf::chain(line, &b"\n"[..]);
    let mut unsent = true;
    while rest.has_remaining() {
        let written = match to.write_buf(&mut rest).await {
            Ok(0) => Err(io::ErrorKind::WriteZero.into()),
            other => other,
        };
        written.map_err(|error| Stuck { error, unsent })?;
        unsent = false;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
