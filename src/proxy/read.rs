//! Reading a request's body, whole and bounded.

use std::time::Duration;

use bytes::Bytes;
use http_body::Body;
use http_body_util::BodyExt;
use hyper::body::Incoming;

use super::memory::Share;

/// How long a refusal waits where bodies take too much memory. The body has been dropped by then.
const TRY_AGAIN: Duration = Duration::from_secs(5);

/// Why a request's body could not be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyError {
    TooLarge,
    Timeout,
    /// The client went away or broke the framing.
    Broken,
    /// Too many large bodies are held already.
    NoMemory,
}

/// Reads a whole request body of at most `cap` bytes within `limit`, into this share. Trailers are dropped.
pub(super) async fn read(
    body: Incoming,
    cap: usize,
    limit: Duration,
    share: Share,
) -> Result<Bytes, BodyError> {
    if body.size_hint().lower() > cap as u64 {
        return Err(BodyError::TooLarge);
    }
    let read = tokio::time::timeout(limit, collect(body, cap, share)).await;
    if matches!(read, Ok(Err(BodyError::NoMemory))) {
        // who tries again at once must not take others' time
        tokio::time::sleep(TRY_AGAIN).await;
    }
    read.unwrap_or(Err(BodyError::Timeout))
}

async fn collect(mut body: Incoming, cap: usize, mut share: Share) -> Result<Bytes, BodyError> {
    while let Some(frame) = body.frame().await {
        let Ok(piece) = frame.map_err(|_| BodyError::Broken)?.into_data() else {
            continue;
        };
        if share.len() + piece.len() > cap {
            return Err(BodyError::TooLarge);
        }
        share.push(&piece).map_err(|_| BodyError::NoMemory)?;
    }
    Ok(share.whole())
}
