//! A request at the door: whose session it is in, and which process it goes to.

use std::sync::Arc;

use http::uri::PathAndQuery;
use url::Url;

use super::Host;
use super::child::Serves;
use super::turn::Turn;
use super::work::Work;
use crate::mcp::envelope::{Envelope, Kind};
use crate::proxy::upstream::UpstreamError;
use crate::settings::Sessions;

/// What a stream of 2024-11-05 announces, before the id of its session.
const ENDPOINT: &str = "/?session=";

/// What a server process needs to know of a request beside its bytes.
pub struct Visit<'v> {
    /// Names the grant that asks.
    pub grant: &'v str,
    /// The session's own id, verified.
    pub session: Option<&'v str>,
    /// Where a message of 2024-11-05 goes.
    pub endpoint: Option<&'v PathAndQuery>,
    pub asks: Asks<'v>,
}

/// What a request wants.
#[derive(Clone, Copy)]
pub enum Asks<'v> {
    Message {
        message: &'v Envelope<'v>,
        /// Of 2026-07-28 or later.
        modern: bool,
    },
    Stream,
    /// The end of the session.
    End,
}

/// The URL that announced endpoints are relative to. It is never asked.
#[expect(clippy::expect_used, reason = "a constant")]
pub(super) fn base() -> Url {
    Url::parse("http://process.invalid/").expect("it is a URL")
}

/// The endpoint of a session.
pub(super) fn endpoint_of(session: &str) -> String {
    format!("{ENDPOINT}{session}")
}

impl Host {
    /// Finds the process for a request, and starts it where that is its turn. Nothing is said to it yet.
    ///
    /// # Errors
    /// The session is over or missing, or no process can be had.
    pub async fn ready(self: &Arc<Self>, visit: &Visit<'_>) -> Result<Turn, UpstreamError> {
        let announced = visit
            .endpoint
            .map(|endpoint| endpoint.as_str().strip_prefix(ENDPOINT));
        let id = match announced {
            Some(None) => return Err(UpstreamError::SessionOver),
            Some(Some(id)) => Some(id),
            None => visit.session,
        };
        let mut turn = Turn::new(self, visit.grant);
        if let Asks::Message {
            message,
            modern: true,
        } = visit.asks
            && visit.endpoint.is_none()
        {
            let Some(greeted) = self.for_requests(visit.grant).await? else {
                return Err(UpstreamError::NoSession);
            };
            turn.child = Some(greeted.child);
            turn.work = Work::of(message);
            return Ok(turn);
        }
        let Some(id) = id else {
            turn.work = match visit.asks {
                Asks::Stream => Work::OpenStream,
                Asks::Message { message, .. } if opens(message) => Work::Open,
                Asks::Message { .. } | Asks::End => return Err(UpstreamError::NoSession),
            };
            return Ok(turn);
        };
        let session = self.lock().sessions.of(visit.grant, id);
        let session = session.ok_or(UpstreamError::SessionOver)?;
        turn.work = match visit.asks {
            Asks::Stream => Work::Listen,
            Asks::End => Work::End,
            Asks::Message { message, .. } if opens(message) && visit.endpoint.is_none() => {
                return Err(UpstreamError::SessionOpen);
            }
            Asks::Message { message, .. } => Work::of(message),
        };
        turn.on_its_stream = visit.endpoint.is_some();
        turn.child = Some(match &session.own {
            Some(child) if child.is_over() => return Err(UpstreamError::SessionOver),
            Some(child) => Arc::clone(child),
            None => {
                let greeted = self.for_sessions(&session.owner, session.version).await?;
                greeted.child.joins(&session.id, &session.mailbox);
                turn.greeting = Some(greeted.answer);
                greeted.child
            }
        });
        turn.session = Some(session);
        Ok(turn)
    }

    /// What a new session's process serves.
    pub(super) const fn serves(&self) -> Serves {
        match self.settings.sessions {
            Sessions::Each => Serves::OneSession,
            Sessions::Shared => Serves::Sessions,
        }
    }
}

fn opens(message: &Envelope<'_>) -> bool {
    message.kind == Kind::Request && message.method.as_deref() == Some("initialize")
}
