//! One request to a process, from its bytes to the answer.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, HeaderValue};
use http::{HeaderMap, Request, Response};
use http_body_util::{BodyExt, Full};
use tokio::time::timeout;

use super::Host;
use super::asked::Asked;
use super::child::{Child, Serves};
use super::handshake::{error_code, version_of};
use super::outbox::{self, Inbox, Mailbox, Said};
use super::sessions::Session;
use super::talk::{Closing, Talk};
use super::visit::endpoint_of;
use super::waiting::{To, Waiting};
use super::work::{Tell, Work};
use crate::mcp::ids::IdKey;
use crate::mcp::line::cancelled;
use crate::mcp::renumber;
use crate::proxy::body::UpstreamBody;
use crate::proxy::headers::SESSION_ID;
use crate::proxy::held::Held;
use crate::proxy::respond::{Heading, heading};
use crate::proxy::stdio::pending::WAITING_AT_MOST;
use crate::proxy::upstream::UpstreamError;

/// How long an answer may take before its client is told that a stream comes: some give up on an answer without a head.
const HEAD_AFTER: Duration = Duration::from_secs(5);

/// A request that may be sent. Nothing was said to its process yet.
pub struct Turn {
    host: Arc<Host>,
    owner: String,
    pub(super) session: Option<Arc<Session>>,
    pub(super) child: Option<Arc<Child>>,
    /// A shared process's answer to the gate's own handshake.
    pub(super) greeting: Option<Bytes>,
    pub(super) work: Work,
    /// It came by the transport of 2024-11-05: its answer goes out on the session's stream.
    pub(super) on_its_stream: bool,
}

type Answer = Response<UpstreamBody>;

impl Turn {
    pub(super) fn new(host: &Arc<Host>, owner: &str) -> Self {
        Self {
            host: Arc::clone(host),
            owner: owner.to_owned(),
            session: None,
            child: None,
            greeting: None,
            work: Work::Listen,
            on_its_stream: false,
        }
    }

    /// Says it, and waits for the head of the answer. What the call holds goes with it.
    ///
    /// # Errors
    /// No answer comes. What the call `held` stands there again.
    pub async fn send(
        self,
        request: Request<Full<Bytes>>,
        held: &mut Option<Held>,
    ) -> Result<Answer, UpstreamError> {
        let streams = takes_streams(request.headers());
        // in memory, so it is there at once
        let body = request
            .into_body()
            .collect()
            .await
            .map(http_body_util::Collected::to_bytes);
        let body = body.unwrap_or_default();
        match self.work {
            Work::Open => self.open(body, streams, held).await,
            Work::OpenStream => self.open_stream().await,
            Work::Listen => self.listen(),
            Work::End => Ok(self.end()),
            Work::Initialize if self.greeting.is_some() => Ok(self.greeted(&body)),
            Work::Request | Work::Initialize => self.ask(body, streams, held).await,
            Work::Tell(tell) => self.tell(tell, &body).await,
        }
    }

    fn answer(&self, what: Heading, talk: Talk) -> Answer {
        let body = UpstreamBody::of_process(talk, self.host.idle_timeout());
        Response::from_parts(heading(what), body)
    }

    fn child(&self) -> Result<&Arc<Child>, UpstreamError> {
        self.child.as_ref().ok_or(UpstreamError::SessionOver)
    }

    /// A new session, known from here on.
    fn add(&self, own: Option<Arc<Child>>, version: &'static str) -> Result<Arc<Session>, UpstreamError> {
        let mailbox = Arc::new(Mailbox::new(self.stream_cap()));
        let session = Arc::new(Session::new(&self.owner, own, version, mailbox)?);
        self.host.lock().sessions.add(&session)?;
        Ok(session)
    }

    /// A stream may fall behind by one line, and some more.
    fn stream_cap(&self) -> usize {
        self.host.line_cap.saturating_mul(2)
    }

    /// Starts a process for a session of its own, or joins the one that is shared.
    async fn begin(&mut self, version: &'static str) -> Result<Arc<Session>, UpstreamError> {
        let session = if self.host.serves() == Serves::OneSession {
            let child = self.host.start(&self.owner, Serves::OneSession).await?;
            let added = self.add(Some(Arc::clone(&child)), version);
            let added = added.inspect_err(|_| child.end());
            self.child = Some(child);
            added?
        } else {
            let greeted = self.host.for_sessions(&self.owner, version).await?;
            self.child = Some(greeted.child);
            self.greeting = Some(greeted.answer);
            self.add(None, version)?
        };
        self.child()?.joins(&session.id, &session.mailbox);
        self.session = Some(Arc::clone(&session));
        Ok(session)
    }

    async fn open(
        mut self,
        body: Bytes,
        streams: bool,
        held: &mut Option<Held>,
    ) -> Result<Answer, UpstreamError> {
        let version = version_of(&body);
        let session = self.begin(version).await?;
        // until its client has heard of it
        let unheard = Closing::new(&self.host, &session.id);
        let mut answer = match &self.greeting {
            Some(_) => self.greeted(&body),
            None => self.ask(body, streams, held).await?,
        };
        if answer.body().is_refusal() {
            return Ok(answer);
        }
        let id = HeaderValue::from_str(&session.id).map_err(|_| UpstreamError::SessionOver)?;
        answer.headers_mut().insert(SESSION_ID, id);
        unheard.keep();
        Ok(answer)
    }

    /// The shared process's answer to the handshake, under the client's id.
    fn greeted(&self, initialize: &[u8]) -> Answer {
        let answer = self.greeting.as_ref().and_then(|answer| {
            let original = renumber::original(initialize)?;
            renumber::restored(answer, &original)
        });
        let answer = Bytes::from(answer.unwrap_or_default());
        match &self.session {
            Some(session) if self.on_its_stream => {
                session.mailbox.post(answer);
                self.answer(Heading::Accepted, Talk::whole(Bytes::new()))
            }
            _ => self.answer(Heading::Json, Talk::whole(answer)),
        }
    }

    async fn open_stream(mut self) -> Result<Answer, UpstreamError> {
        let session = self.begin("2024-11-05").await?;
        let closing = Closing::new(&self.host, &session.id);
        let inbox = session.mailbox.open();
        let event = format!("event: endpoint\ndata: {}\n\n", endpoint_of(&session.id));
        let talk = Talk::stream(inbox).beginning(event.into()).closing(closing);
        Ok(self.answer(Heading::Stream, talk))
    }

    fn listen(&self) -> Result<Answer, UpstreamError> {
        let session = self.session.as_ref().ok_or(UpstreamError::SessionOver)?;
        let talk = Talk::stream(session.mailbox.open());
        Ok(self.answer(Heading::Stream, talk))
    }

    fn end(&self) -> Answer {
        if let Some(session) = &self.session {
            self.host.lock().forget(&session.id);
        }
        self.answer(Heading::Done, Talk::whole(Bytes::new()))
    }

    async fn tell(&self, tell: Tell, body: &Bytes) -> Result<Answer, UpstreamError> {
        let child = self.child()?;
        let own = child.serves == Serves::OneSession;
        match tell {
            Tell::OfTheSession if !own => {}
            Tell::Cancel => self.cancel(child, body).await?,
            Tell::OfTheSession | Tell::Other => child.write(body).await?,
        }
        Ok(self.answer(Heading::Accepted, Talk::whole(Bytes::new())))
    }

    /// Most servers never answer what is cancelled: nobody waits for it any more.
    async fn cancel(&self, child: &Child, notification: &Bytes) -> Result<(), UpstreamError> {
        let session = self.session.as_ref().map(|session| session.id.as_str());
        let waiting = cancelled(notification).and_then(|id| {
            child.waiting.take_where(|waiting| {
                let same = IdKey::of(&waiting.original.id).as_ref() == Some(&id);
                same && session.is_some() && waiting.session.as_deref() == session
            })
        });
        let told = if child.serves == Serves::OneSession {
            Some(notification.clone())
        } else {
            // a client that is unknown to the process has nothing to stop there
            let number = waiting.as_ref().and_then(|waiting| waiting.id.parse().ok());
            number.and_then(|number| renumber::cancellation(notification, number).map(Bytes::from))
        };
        if let Some(waiting) = waiting {
            waiting.given_up();
        }
        match told {
            Some(told) => child.write(&told).await,
            None => Ok(()),
        }
    }

    async fn ask(
        &self,
        body: Bytes,
        streams: bool,
        held: &mut Option<Held>,
    ) -> Result<Answer, UpstreamError> {
        let child = self.child()?;
        if !child.waiting.has_room() {
            return Err(UpstreamError::Busy(WAITING_AT_MOST));
        }
        let (inbox, mut asked) = self.put(child, &body, streams, held)?;
        let line = std::mem::take(&mut asked.line);
        if let Err(error) = child.write(&line).await {
            *held = asked.back();
            return Err(error);
        }
        asked.written = true;
        match inbox {
            // the answer comes on the session's stream
            None => {
                asked.armed = false;
                Ok(self.answer(Heading::Accepted, Talk::whole(Bytes::new())))
            }
            Some(inbox) => self.head(inbox, asked, streams, held).await,
        }
    }

    /// Lets the request wait, before it is written: the answer may come at once.
    fn put(
        &self,
        child: &Arc<Child>,
        body: &Bytes,
        streams: bool,
        held: &mut Option<Held>,
    ) -> Result<(Option<Inbox>, Asked), UpstreamError> {
        let original = renumber::original(body).ok_or(UpstreamError::Unsent)?;
        let (key, id, line) = child.addressed(&original, body).ok_or(UpstreamError::Unsent)?;
        let ticket = child.waiting.ticket(key);
        let place = match held.take().map(|held| child.watched(held, &ticket)) {
            Some(Err(back)) => {
                *held = Some(back);
                return Err(UpstreamError::LeaseOver);
            }
            Some(Ok(place)) => Some(place),
            None => None,
        };
        let (inbox, to) = match &self.session {
            Some(session) if self.on_its_stream => (None, To::Mailbox(Arc::clone(&session.mailbox))),
            _ => {
                let (outbox, inbox) = outbox::channel(self.stream_cap());
                let messages = streams;
                (Some(inbox), To::Stream { outbox, messages })
            }
        };
        let waiting = Waiting {
            original: original.clone(),
            id: id.clone(),
            session: self.session.as_ref().map(|session| session.id.clone()),
            place,
            to,
        };
        child.waiting.add(&ticket, waiting);
        let asked = Asked {
            child: Arc::clone(child),
            ticket,
            id,
            original,
            line,
            written: false,
            armed: true,
        };
        Ok((inbox, asked))
    }

    /// Waits for what comes first: the answer alone is one, anything else opens a stream.
    async fn head(
        &self,
        mut inbox: Inbox,
        mut asked: Asked,
        streams: bool,
        held: &mut Option<Held>,
    ) -> Result<Answer, UpstreamError> {
        let limit = self.host.settings.response_timeout;
        let patience = if streams { HEAD_AFTER.min(limit) } else { limit };
        match timeout(patience, inbox.next()).await {
            Ok(Some(Said::Answer(answer))) => {
                asked.armed = false;
                let what = self.heading_of(&answer);
                Ok(self.answer(what, Talk::whole(answer)))
            }
            Ok(Some(Said::Failed(error, back))) => {
                asked.armed = false;
                *held = back;
                Err(error)
            }
            Ok(Some(Said::Message(first))) => {
                let talk = Talk::stream(inbox).asked(asked).message(&first);
                Ok(self.answer(Heading::Stream, talk))
            }
            // its client has given it up by another request
            Ok(Some(Said::Over) | None) => {
                asked.armed = false;
                Ok(self.answer(Heading::Stream, Talk::whole(Bytes::new())))
            }
            Err(_) if patience < limit => {
                let talk = Talk::stream(inbox)
                    .asked(asked)
                    .patient(limit.saturating_sub(patience));
                Ok(self.answer(Heading::Stream, talk))
            }
            Err(_) => {
                asked.cancel();
                Err(UpstreamError::ResponseTimeout(limit))
            }
        }
    }

    /// In 2026-07-28 some errors have an HTTP status too.
    fn heading_of(&self, answer: &[u8]) -> Heading {
        let current = self
            .child
            .as_ref()
            .is_some_and(|child| child.serves == Serves::Requests);
        match error_code(answer).filter(|_| current) {
            Some(-32601) => Heading::NoSuchMethod,
            Some(-32022..=-32020) => Heading::Unfit,
            _ => Heading::Json,
        }
    }
}

fn takes_streams(headers: &HeaderMap) -> bool {
    let mut accepted = headers.get_all(ACCEPT).iter().peekable();
    accepted.peek().is_none()
        || accepted.any(|value| {
            let value = value.as_bytes().to_ascii_lowercase();
            memchr::memmem::find(&value, b"text/event-stream").is_some()
                || memchr::memmem::find(&value, b"*/*").is_some()
        })
}
