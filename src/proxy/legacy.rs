//! HTTP+SSE, the transport of revision 2024-11-05: messages are posted to an endpoint that an event stream announced,
//! and their answers come on that stream.
//!
//! The announced endpoint is rewritten to one of the gate's own, `/mcp/SERVER?endpoint=TOKEN`. The token holds where
//! the upstream wants the messages, signed for the server and grant that got it. A refusal goes out on the stream:
//! clients do not read the body of a POST's answer.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use bytes::Bytes;
use data_encoding::BASE64URL_NOPAD;
use http::Response;
use http::uri::PathAndQuery;
use http_body_util::{BodyExt, Collected};
use tokio::sync::mpsc;
use tokio::task::AbortHandle;
use url::Url;

use super::Gate;
use super::body::GateBody;
use super::held::Held;
use super::respond::{Addressed, Refusal, accepted, refuse};
use crate::mcp::ids::IdKey;
use crate::mcp::skim::Skim;

/// Refusals that wait for a client to read its stream.
const WAITING: usize = 256;
/// Requests of one stream that may wait for their answers at the same time.
pub const RUNNING: usize = 1_024;
/// Longest endpoint that is rewritten, in bytes.
const LONGEST: usize = 2_048;
const QUERY: &str = "endpoint=";

/// The streams that are open in this process, by the token of their endpoint.
#[derive(Default)]
pub struct Streams(Mutex<Open>);

#[derive(Default)]
struct Open {
    by_token: HashMap<String, Stream>,
    opened: u64,
}

struct Stream {
    /// Tells apart two streams of one token.
    number: u64,
    refusals: mpsc::Sender<Bytes>,
    /// Ends the stream's connection to the upstream.
    cut: AbortHandle,
    /// Requests whose answers are to come, by their ids, and what those that are calls hold until then.
    running: Vec<(IdKey, Option<Held>)>,
}

/// Where a message of this transport goes.
pub struct Endpoint {
    token: String,
    /// At the upstream.
    pub target: PathAndQuery,
}

impl Endpoint {
    /// What stands for the session: the upstream's own endpoint, which names it.
    pub fn session(&self) -> &str {
        self.target.as_str()
    }

    /// The endpoint that a request's query names; `Ok(None)`: none.
    ///
    /// # Errors
    /// Where the token was not given to this grant for this server.
    pub fn of(gate: &Gate, server: &str, grant: &str, query: Option<&str>) -> Result<Option<Self>, ()> {
        let Some(token) = query.and_then(|query| query.strip_prefix(QUERY)) else {
            return Ok(None);
        };
        let encoded = gate.session_key.verify_endpoint(server, grant, token).ok_or(())?;
        let target = BASE64URL_NOPAD.decode(encoded.as_bytes()).map_err(|_| ())?;
        let target = PathAndQuery::try_from(target).map_err(|_| ())?;
        let token = token.to_owned();
        Ok(Some(Self { token, target }))
    }
}

/// Why an endpoint is not rewritten, and its stream cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadEndpoint {
    #[error("the announced endpoint is not a URL of the upstream's own origin")]
    Foreign,
    #[error("the announced endpoint is longer than {LONGEST} bytes")]
    TooLong,
    #[error("the announced endpoint cannot be signed yet")]
    NoKey,
}

/// The path and query of `announced` as the upstream at `base` means it.
pub fn resolve(base: &Url, announced: &[u8]) -> Result<PathAndQuery, BadEndpoint> {
    if announced.len() > LONGEST {
        return Err(BadEndpoint::TooLong);
    }
    let text = str::from_utf8(announced).map_err(|_| BadEndpoint::Foreign)?;
    let url = base.join(text.trim()).map_err(|_| BadEndpoint::Foreign)?;
    if url.origin() != base.origin() || !url.origin().is_tuple() {
        return Err(BadEndpoint::Foreign);
    }
    let target = match url.query() {
        Some(query) => format!("{}?{query}", url.path()),
        None => url.path().to_owned(),
    };
    PathAndQuery::try_from(target).map_err(|_| BadEndpoint::Foreign)
}

/// A stream that is open, as its own body sees it. Dropped, it is closed, and what its calls hold is given back.
pub struct Announced {
    gate: Arc<Gate>,
    token: String,
    number: u64,
    refusals: mpsc::Receiver<Bytes>,
}

impl Announced {
    /// Opens a stream and says what its client is told: the endpoint at the gate, as an absolute path.
    ///
    /// # Errors
    /// [`BadEndpoint::NoKey`] while endpoints cannot be signed.
    pub fn open(
        gate: &Arc<Gate>,
        server: &str,
        grant: &str,
        target: &PathAndQuery,
        cut: AbortHandle,
    ) -> Result<(Self, String), BadEndpoint> {
        let encoded = BASE64URL_NOPAD.encode(target.as_str().as_bytes());
        let token = gate.session_key.sign_endpoint(server, grant, &encoded);
        let token = token.ok_or(BadEndpoint::NoKey)?;
        let prefix = gate.front.public_url.as_ref().map_or("", |url| url.path());
        let told = format!("{}/mcp/{server}?{QUERY}{token}", prefix.trim_end_matches('/'));
        let (sender, refusals) = mpsc::channel(WAITING);
        let mut open = gate.legacy.lock();
        open.opened = open.opened.saturating_add(1);
        let number = open.opened;
        let stream = Stream {
            number,
            refusals: sender,
            cut,
            running: Vec::new(),
        };
        open.by_token.insert(token.clone(), stream);
        drop(open);
        let announced = Self {
            gate: Arc::clone(gate),
            token,
            number,
            refusals,
        };
        Ok((announced, told))
    }

    /// The next refusal that goes out on the stream, as an event.
    pub fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        self.refusals.poll_recv(cx)
    }

    /// A message passed: if it answers a call, what that one held is given back. Of several requests under one id
    /// those that hold nothing are answered first: which one it was nobody can tell.
    pub fn passed(&self, message: &[u8]) {
        let mut open = self.gate.legacy.lock();
        let Some(stream) = open.by_token.get_mut(&self.token) else {
            return;
        };
        if stream.running.is_empty() {
            return;
        }
        for id in Skim::answered(message) {
            let held = stream.take(&id);
            // what it holds is given back by a task of its own
            drop(held);
        }
    }
}

impl Stream {
    fn take(&mut self, id: &IdKey) -> Option<Held> {
        let place = |free: bool| {
            let same = |(known, held): &(IdKey, Option<Held>)| known == id && (held.is_none() || !free);
            self.running.iter().position(same)
        };
        let place = place(true).or_else(|| place(false))?;
        self.running.swap_remove(place).1
    }
}

impl Drop for Announced {
    fn drop(&mut self) {
        let mut open = self.gate.legacy.lock();
        let ours = |stream: &Stream| stream.number == self.number;
        if open.by_token.get(&self.token).is_some_and(ours) {
            let stream = open.by_token.remove(&self.token);
            // what its calls hold is given back without the lock
            drop(open);
            drop(stream);
        }
    }
}

/// The stream has ended, or its client does not read it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NoStream;

impl Streams {
    fn lock(&self) -> MutexGuard<'_, Open> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the endpoint's stream is open here.
    pub fn is_open(&self, endpoint: &Endpoint) -> bool {
        self.lock().by_token.contains_key(&endpoint.token)
    }

    /// Waits until the endpoint's stream is not open here any more.
    pub async fn closed(&self, endpoint: &Endpoint) {
        let refusals = {
            let open = self.lock();
            open.by_token
                .get(&endpoint.token)
                .map(|stream| stream.refusals.clone())
        };
        if let Some(refusals) = refusals {
            refusals.closed().await;
        }
    }

    /// Puts an answer of the gate's own on the stream.
    ///
    /// # Errors
    /// [`NoStream`]: nobody will see it.
    pub fn tell(&self, endpoint: &Endpoint, message: &[u8]) -> Result<(), NoStream> {
        let event = [b"event: message\ndata: ", message, b"\n\n"].concat();
        let open = self.lock();
        let stream = open.by_token.get(&endpoint.token).ok_or(NoStream)?;
        stream.refusals.try_send(Bytes::from(event)).map_err(|_| NoStream)
    }

    /// Takes note of a request until its answer passes or the stream ends, and keeps what it holds.
    ///
    /// # Errors
    /// Gives it back where the stream has ended, the lease is lost, or too many wait for their answers.
    pub fn hold(&self, endpoint: &Endpoint, id: &str, held: Option<Held>) -> Result<(), NotHeld> {
        let mut open = self.lock();
        let (Some(stream), Some(id)) = (open.by_token.get_mut(&endpoint.token), IdKey::of(id)) else {
            return held.map_or(Ok(()), |held| Err(NotHeld::LeaseOver(held)));
        };
        if stream.running.len() >= RUNNING {
            return Err(NotHeld::Busy(held));
        }
        match held {
            Some(held) if !held.run_on(&stream.cut) => Err(NotHeld::LeaseOver(held)),
            held => {
                stream.running.push((id, held));
                Ok(())
            }
        }
    }

    /// A request that did not start after all, and what it holds.
    pub fn take(&self, endpoint: &Endpoint, id: &str) -> Option<Held> {
        let mut open = self.lock();
        let stream = open.by_token.get_mut(&endpoint.token)?;
        let id = IdKey::of(id)?;
        let place = stream.running.iter().rposition(|(known, _)| *known == id)?;
        stream.running.swap_remove(place).1
    }
}

/// An answer on its way: to a message of this transport one of the gate's own goes out on its stream.
pub async fn told(
    gate: &Gate,
    endpoint: Option<&Endpoint>,
    answer: Response<GateBody>,
) -> Response<GateBody> {
    let Some(endpoint) = endpoint.filter(|_| answer.extensions().get::<Addressed>().is_some()) else {
        return answer;
    };
    // our own answers are whole, and never fail
    let message = answer.into_body().collect().await.map(Collected::to_bytes);
    match gate.legacy.tell(endpoint, &message.unwrap_or_default()) {
        Ok(()) => accepted(),
        Err(NoStream) => refuse(&Refusal::NoStream),
    }
}

/// Why a request is not sent, with what it holds.
pub enum NotHeld {
    LeaseOver(Held),
    /// [`RUNNING`] requests wait for their answers.
    Busy(Option<Held>),
}

#[cfg(test)]
mod tests {
    use url::Url;

    use super::*;

    fn at(announced: &str) -> Result<String, BadEndpoint> {
        let base = Url::parse("http://127.0.0.1:3000/a/sse?x=1").unwrap();
        resolve(&base, announced.as_bytes()).map(|target| target.as_str().to_owned())
    }

    #[test]
    fn an_endpoint_of_the_upstreams_own_origin_is_resolved_as_a_client_would() {
        for (announced, target) in [
            ("/message?sessionId=1", "/message?sessionId=1"),
            ("message?sessionId=1", "/a/message?sessionId=1"),
            ("?sessionId=1", "/a/sse?sessionId=1"),
            ("http://127.0.0.1:3000/m", "/m"),
            (" /m ", "/m"),
            ("/b/../m", "/m"),
        ] {
            assert_eq!(at(announced).as_deref(), Ok(target), "{announced}");
        }
    }

    #[test]
    fn an_endpoint_elsewhere_is_refused() {
        for announced in [
            "http://127.0.0.1:3001/m",
            "https://127.0.0.1:3000/m",
            "http://localhost:3000/m",
            "//evil.example/m",
            "\\\\evil.example\\m",
            "data:text/plain,x",
            "javascript:0",
        ] {
            assert_eq!(at(announced), Err(BadEndpoint::Foreign), "{announced}");
        }
        assert_eq!(at(&"x".repeat(3_000)), Err(BadEndpoint::TooLong));
    }
}
