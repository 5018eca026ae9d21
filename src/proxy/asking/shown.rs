//! What a client sees while its call waits: an event stream with notifications of progress, and at its end the answer.

use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use http::Response;
use http::header::{self, HeaderMap};
use http_body_util::BodyExt;
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval};

use super::received::Received;
use super::{Hold, written};
use crate::mcp::progress;
use crate::mcp::reply;
use crate::proxy::answer::is_event_stream;
use crate::proxy::body::{GateBody, StreamError};
use crate::proxy::known::Turn;
use crate::proxy::respond::{self, Addressed, Heading};
use crate::proxy::told::CODE_UPSTREAM;

type Answer = Response<GateBody>;
type Piece = Result<Bytes, StreamError>;

/// Between two signs of life.
const BEAT: Duration = Duration::from_secs(5);
/// Pieces of an answer that wait for a client to read.
const WAITING: usize = 8;

/// How a client wants to be told that its call goes on.
pub struct Progress {
    /// The bytes of its token.
    token: String,
}

impl Progress {
    /// Where the client reads event streams and has given a token.
    pub fn wanted(headers: &HeaderMap, body: &[u8]) -> Option<Self> {
        let accepts = headers.get_all(header::ACCEPT).iter();
        let mut accepts = accepts.filter_map(|value| value.to_str().ok());
        if !accepts.any(|accept| accept.to_ascii_lowercase().contains("text/event-stream")) {
            return None;
        }
        let token = progress::token(str::from_utf8(body).ok()?)?;
        Some(Self { token })
    }

    /// The event of one beat. Values rise, and stay below those of a server that counts from 1.
    fn event(&self, beat: u32, message: &str) -> Bytes {
        let value = f64::from(beat) / 1_000.0;
        event(&progress::notification(&self.token, value, message))
    }
}

fn event(message: &[u8]) -> Bytes {
    Bytes::from([b"event: message\ndata: ", message, b"\n\n"].concat())
}

/// Answers at once with a stream that goes on until the call is answered. A client that leaves ends it.
pub fn answer(received: Received, first: Turn, hold: Option<Hold>, progress: Progress) -> Answer {
    let (told, tells) = mpsc::channel(WAITING);
    tokio::spawn(async move {
        let message = match &first {
            Turn::Waits(waits) => format!(
                "waits for a person to approve it: `{}` is pending until {}",
                waits.approval.id,
                written(waits.approval.expires_ms)
            ),
            Turn::Answered(_) | Turn::Again(_) => "waits for a person to approve it".to_owned(),
        };
        let id = received.id();
        let work = received.rounds(first, hold);
        tokio::pin!(work);
        let mut beats = interval(BEAT);
        beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut beat = 0_u32;
        let answer = loop {
            tokio::select! {
                answer = &mut work => break answer,
                () = told.closed() => return,
                _ = beats.tick() => {
                    beat = beat.saturating_add(1);
                    // one that is not read is not missed
                    let _ = told.try_send(Ok(progress.event(beat, &message)));
                }
            }
        };
        tokio::select! {
            () = pass_on(answer, id.as_deref(), &told) => {}
            () = told.closed() => {}
        }
    });
    let head = respond::heading(Heading::Stream);
    Response::from_parts(head, GateBody::told(tells))
}

/// The answer as events.
async fn pass_on(answer: Answer, id: Option<&str>, told: &mpsc::Sender<Piece>) {
    let as_events = answer.status().is_success() && is_event_stream(answer.headers());
    let answer = if as_events {
        answer
    } else {
        addressed(answer, id).await
    };
    let mut body = answer.into_body();
    let mut begun = false;
    while let Some(frame) = body.frame().await {
        let piece = match frame {
            Ok(frame) => frame.into_data().unwrap_or_default(),
            Err(error) => {
                // cut, so that what came does not look whole
                let _ = told.send(Err(error)).await;
                return;
            }
        };
        let piece = if as_events {
            piece
        } else {
            in_event(&piece, !begun)
        };
        begun = true;
        if told.send(Ok(piece)).await.is_err() {
            return;
        }
    }
    if begun && !as_events {
        let _ = told.send(Ok(Bytes::from_static(b"\n\n"))).await;
    }
}

/// A piece of a message in JSON as a piece of one event: line ends are blanks between tokens.
fn in_event(piece: &[u8], first: bool) -> Bytes {
    let mut out = BytesMut::with_capacity(piece.len() + 32);
    if first {
        out.put_slice(b"event: message\ndata: ");
    }
    out.extend(piece.iter().map(|byte| match byte {
        b'\r' | b'\n' => b' ',
        byte => *byte,
    }));
    out.freeze()
}

/// An answer that a client finds by its request's id: one without a message, or to nobody, becomes an error.
pub async fn addressed(answer: Answer, id: Option<&str>) -> Answer {
    let is_ours = answer.extensions().get::<Addressed>().is_some();
    if is_ours || answer.status().is_success() {
        return answer;
    }
    let status = answer.status().as_u16();
    let text = format!("the request was answered with HTTP {status} after it had waited for a person");
    let message = reply::error(id, CODE_UPSTREAM, &text, None);
    let mut told = Response::new(GateBody::whole(message));
    told.extensions_mut().insert(Addressed);
    told
}
