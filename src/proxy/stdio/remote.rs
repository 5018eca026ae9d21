//! An HTTP server for a stdio client: each line is a POST, each event of its answer a line.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::Method;
use rustix::process::Signal;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{Mutex, mpsc};
use tokio::task::{AbortHandle, JoinSet};

use super::client::{Admitted, Caller, Client, Far};
use super::pending::{Pending, Ticket, WAITING_AT_MOST};
use super::session::Session;
use super::stream::{Events, whole};
use crate::mcp::envelope::{Envelope, Kind};
use crate::mcp::ids::IdKey;
use crate::mcp::line::{agreed_version, cancelled};
use crate::mcp::reply;
use crate::mcp::skim::Skim;
use crate::proxy::answer::{filter, is_event_stream};
use crate::proxy::respond::is_redirect;
use crate::proxy::stage::Charged;
use crate::proxy::told::{self, CODE_UPSTREAM};
use crate::proxy::upstream::{Connection, Upstream, UpstreamError};

/// How long requests may go on after the client has closed its end.
const LAST_ANSWERS: Duration = Duration::from_secs(5);
/// How long the end of the session may take.
const GOODBYE: Duration = Duration::from_secs(2);
/// How often an answer's stream is taken up again.
const RESUMED_AT_MOST: usize = 100;

/// What all requests share.
pub(super) struct Shared {
    pub(super) client: Client,
    pub(super) upstream: Arc<Upstream>,
    pub(super) session: Session,
    running: Pending<AbortHandle>,
}

struct Remote {
    shared: Arc<Shared>,
    /// Requests whose answers have not ended.
    tasks: Mutex<JoinSet<()>>,
    /// The stream on which the server speaks by itself.
    listening: Mutex<JoinSet<()>>,
}

/// Serves one client by an HTTP server until the client has ended, or a signal has come.
pub async fn wrap_upstream(
    caller: Caller,
    upstream: Arc<Upstream>,
    input: impl AsyncRead + Unpin,
    output: impl AsyncWrite + Send + Unpin + 'static,
    mut signals: mpsc::Receiver<Signal>,
) -> Option<Signal> {
    let remote = Remote {
        shared: Arc::new(Shared {
            client: Client::new(caller, output),
            upstream,
            session: Session::default(),
            running: Pending::default(),
        }),
        tasks: Mutex::default(),
        listening: Mutex::default(),
    };
    let shared = Arc::clone(&remote.shared);
    let signal = tokio::select! {
        () = shared.client.serve(&remote, input) => None,
        () = shared.client.tell_changes() => None,
        signal = signals.recv() => signal,
    };
    let mut tasks = remote.tasks.into_inner();
    if signal.is_none() {
        let answers = async { while tasks.join_next().await.is_some() {} };
        tokio::select! {
            () = answers => {}
            () = tokio::time::sleep(LAST_ANSWERS) => {}
            _ = signals.recv() => {}
        }
    }
    tasks.shutdown().await;
    remote.listening.into_inner().shutdown().await;
    if tokio::time::timeout(GOODBYE, shared.end_session()).await.is_err() {
        tracing::debug!("the server was slow to end the session");
    }
    signal
}

impl Far for Remote {
    type Way = Connection;

    async fn ready(&self, message: &Envelope<'_>) -> Result<Connection, UpstreamError> {
        if message.kind == Kind::Request && !self.shared.running.has_room() {
            return Err(UpstreamError::Busy(WAITING_AT_MOST));
        }
        self.shared.upstream.connection().await
    }

    async fn send(&self, way: Connection, message: &Admitted<'_>, charged: Charged, _: &Client) {
        let method = message.envelope.method.as_deref().unwrap_or_default();
        if method == "notifications/cancelled" && self.stop(message.line) {
            return charged.send().answered(None);
        }
        let request = message
            .envelope
            .id
            .filter(|_| message.envelope.kind == Kind::Request);
        let key = request.and_then(IdKey::of);
        let ticket = key.clone().map(|key| self.shared.running.ticket(key));
        let asked = Asked {
            shared: Arc::clone(&self.shared),
            id: request.map(str::to_owned),
            key,
            ticket: ticket.clone(),
            opens: method == "initialize",
        };
        let headers = self.shared.session.headers(message.envelope);
        let body = message.line.clone();
        let request = self.shared.upstream.request(Method::POST, None, headers, body);
        let Some(ticket) = ticket else {
            // in its place: what comes next may build on it
            asked.run(way, charged, request).await;
            if method == "notifications/initialized" {
                let shared = Arc::clone(&self.shared);
                let mut listening = self.listening.lock().await;
                if listening.is_empty() {
                    listening.spawn(async move { shared.listen().await });
                }
            }
            return;
        };
        let (started, start) = tokio::sync::oneshot::channel::<()>();
        let task = self.spawn(async move {
            // only when it can be found under its id
            if start.await.is_ok() {
                asked.run(way, charged, request).await;
            }
        });
        self.shared.running.add(&ticket, task.await);
        // the task waits for it
        let _ = started.send(());
    }
}

impl Remote {
    async fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) -> AbortHandle {
        let mut tasks = self.tasks.lock().await;
        while tasks.try_join_next().is_some() {}
        tasks.spawn(work)
    }

    /// Gives up a cancelled request. In the current revision that is all: a closed connection says it.
    fn stop(&self, notification: &[u8]) -> bool {
        let running = cancelled(notification).and_then(|id| self.shared.running.answered(&id));
        let modern = self.shared.client.is_modern();
        if let (Some(running), true) = (running, modern) {
            running.abort();
        }
        modern
    }
}

/// One message on its way.
struct Asked {
    shared: Arc<Shared>,
    /// As the client sent it, where it waits for an answer.
    id: Option<String>,
    key: Option<IdKey>,
    ticket: Option<Ticket>,
    /// It opens a session.
    opens: bool,
}

impl Asked {
    async fn run(
        &self,
        way: Connection,
        charged: Charged,
        request: http::Request<http_body_util::Full<Bytes>>,
    ) {
        let mut sent = charged.send();
        let mut held = sent.take_held();
        let answer = match way.send(request, &mut held).await {
            Ok(answer) => answer,
            Err(error) => {
                sent.failed(&error, held);
                return self.failed(&error).await;
            }
        };
        let status = answer.status();
        if is_redirect(status) || status.is_informational() {
            sent.unusable(status.as_u16(), "it leads elsewhere");
            return self.unusable("it leads elsewhere").await;
        }
        if self.opens && status.is_success() {
            self.shared.session.opened(answer.headers());
        }
        sent.answered(status.as_u16());
        let cap = self.shared.client.caller.gate.limits.line_bytes;
        if status.is_success() && is_event_stream(answer.headers()) {
            return self.events(Events::of(answer.into_body().keeping(), cap)).await;
        }
        match whole(answer.into_body(), cap).await {
            Ok(body) if self.says_something(&body) => {
                self.message(body).await;
                self.broke_off(status.as_u16()).await;
            }
            Ok(_) => self.broke_off(status.as_u16()).await,
            Err(reason) => self.unusable(reason).await,
        }
    }

    /// Whether a body is for the client: not a page about an error, and not the plain `Accepted` of some servers.
    fn says_something(&self, body: &[u8]) -> bool {
        let answered = Skim::answered(body);
        self.key.as_ref().is_some_and(|key| answered.contains(key))
    }

    /// Passes one message on. `true`: the one that was waited for.
    async fn message(&self, data: Bytes) -> bool {
        let answered = Skim::answered(&data);
        let awaited = self.key.as_ref().is_some_and(|key| answered.contains(key));
        if awaited && self.opens {
            self.shared.session.agreed(agreed_version(&data).as_deref());
        }
        if awaited && !self.is_waited_for() {
            return true;
        }
        if let Err(reason) = self.shared.pass(&data).await
            && awaited
        {
            self.tell_error(&told::bad_answer(&reason)).await;
        }
        awaited
    }

    /// Passes on the messages of an answer's stream, and takes it up again where the server has let go of it
    /// before the answer.
    async fn events(&self, mut events: Events) {
        let cap = self.shared.client.caller.gate.limits.line_bytes;
        for _ in 0..RESUMED_AT_MOST {
            let mut answered = false;
            while let Some(message) = events.next().await {
                answered |= self.message(message).await;
            }
            if answered || self.id.is_none() {
                return;
            }
            let Some(last) = events.last_id.take() else { break };
            // the call runs on: its place is kept meanwhile
            let mut held = events.take_held();
            tokio::time::sleep(events.retry).await;
            let Some(body) = self.shared.open_stream(Some(&last), &mut held).await else {
                if held.is_some_and(|held| held.is_cut()) {
                    return self.failed(&UpstreamError::LeaseLost).await;
                }
                break;
            };
            events = Events::of(body.keeping(), cap);
            events.last_id = Some(last);
        }
        let error = UpstreamError::Broken("the stream ended without an answer".to_owned());
        self.failed(&error).await;
    }

    /// Takes the request out of those that run. `false`: its client has given it up.
    fn is_waited_for(&self) -> bool {
        let ticket = self.ticket.as_ref();
        ticket.is_some_and(|ticket| self.shared.running.take(ticket).is_some())
    }

    async fn failed(&self, error: &UpstreamError) {
        if self.is_waited_for() {
            self.shared.client.no_answer(error, self.id.as_deref()).await;
        }
    }

    async fn broke_off(&self, status: u16) {
        if self.is_waited_for() {
            let text = format!(
                "the MCP server answered with HTTP status {status} and no answer. The request was forwarded"
            );
            self.tell_error(&text).await;
        }
    }

    async fn unusable(&self, reason: &str) {
        tracing::warn!(reason, "an answer of the server was not passed on");
        if self.is_waited_for() {
            self.tell_error(&told::bad_answer(reason)).await;
        }
    }

    async fn tell_error(&self, text: &str) {
        if let Some(id) = &self.id {
            let told = reply::error(Some(id), CODE_UPSTREAM, text, None);
            self.shared.client.tell(&told).await;
        }
    }
}

impl Shared {
    /// One message of the server through the list filter to the client.
    pub(super) async fn pass(&self, data: &Bytes) -> Result<(), String> {
        let Caller {
            gate, grant, server, ..
        } = &self.client.caller;
        match filter(grant, gate, server, self.client.is_modern(), data) {
            Ok(filtered) => {
                self.client.tell(filtered.as_ref().unwrap_or(data)).await;
                Ok(())
            }
            Err(error) => {
                tracing::warn!(server, %error, "a message of the server was not passed on");
                Err(error.to_string())
            }
        }
    }
}
