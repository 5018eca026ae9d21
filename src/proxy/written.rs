//! A stream that remembers whether everything written to it was taken.
//!
//! hyper counts a body as sent once it is in its own buffer. A server that answers early and reads no further
//! leaves the rest there: whatever is sent next on that connection would wait behind it.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// True while bytes wait for the network to take them.
#[derive(Clone, Default)]
pub(super) struct Behind(Arc<AtomicBool>);

impl Behind {
    pub(super) fn is_behind(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    fn after<T>(&self, poll: Poll<T>) -> Poll<T> {
        self.0.store(poll.is_pending(), Ordering::Relaxed);
        poll
    }
}

/// The stream, with what its last write came to.
pub(super) struct Watched<S> {
    stream: S,
    behind: Behind,
}

impl<S> Watched<S> {
    pub(super) fn new(stream: S) -> (Self, Behind) {
        let behind = Behind::default();
        let watched = Self {
            stream,
            behind: behind.clone(),
        };
        (watched, behind)
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let poll = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.behind.after(poll)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let poll = Pin::new(&mut self.stream).poll_write_vectored(cx, bytes);
        self.behind.after(poll)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let poll = Pin::new(&mut self.stream).poll_flush(cx);
        self.behind.after(poll)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
