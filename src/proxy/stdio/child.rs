//! A child process as the server: lines to its stdin, lines of its stdout to the client.

use std::process::ExitStatus;
use std::time::Duration;

use bytes::Bytes;
use rustix::process::Signal;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::process::{ChildStdin, ChildStdout};
use tokio::sync::{Mutex, mpsc};

use super::client::{Admitted, Caller, Client, Far};
use super::lines::{Line, Lines, write_line};
use super::pending::{Pending, Ticket, WAITING_AT_MOST};
use super::place::Place;
use super::process::{Pipes, Process, ServerCommand, Stderr};
use crate::mcp::envelope::{Envelope, Kind};
use crate::mcp::ids::IdKey;
use crate::mcp::line::{cancelled, one_line};
use crate::mcp::reply;
use crate::mcp::skim::{Skim, Skimmed};
use crate::proxy::answer::filter;
use crate::proxy::held::Held;
use crate::proxy::stage::{Charged, Sent};
use crate::proxy::told::{self, CODE_UPSTREAM};
use crate::proxy::upstream::UpstreamError;

/// How long what a server wrote before its end may take to come, while others hold its stdout open.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// How long the child may take to read that a call is to stop.
const CUT_WITHIN: Duration = Duration::from_secs(1);

/// A request that the child has, or is given just now.
struct Waiting {
    /// As the client sent it.
    id: String,
    // before the record: its place is free when it is known to have ended
    place: Option<Place>,
    sent: Sent,
}

impl Waiting {
    fn failed(self, error: &UpstreamError) {
        self.sent.failed(error, self.place.and_then(Place::into_held));
    }
}

struct Server {
    /// None once it was closed.
    stdin: Mutex<Option<ChildStdin>>,
    waiting: Pending<Waiting>,
    /// Where calls are told whose place among those at once was lost.
    lost: mpsc::Sender<Ticket>,
}

/// Serves one client by one child until either has ended. `signals` are passed on to the child.
///
/// # Errors
/// The child cannot be started.
pub async fn wrap_command(
    caller: Caller,
    command: &ServerCommand,
    input: impl AsyncRead + Unpin,
    output: impl AsyncWrite + Send + Unpin + 'static,
    mut signals: mpsc::Receiver<Signal>,
) -> std::io::Result<ExitStatus> {
    let (mut process, Pipes { stdin, stdout }, _) = Process::start(command, Stderr::Ours)?;
    let client = Client::new(caller, output);
    let (lost, mut places_lost) = mpsc::channel(WAITING_AT_MOST);
    let server = Server {
        stdin: Mutex::new(Some(stdin)),
        waiting: Pending::default(),
        lost,
    };
    let from_server = server.pass_on(&client, stdout);
    tokio::pin!(from_server);
    let mut server_is_silent = false;
    let status = {
        let from_client = client.serve(&server, input);
        tokio::pin!(from_client);
        let changes = client.tell_changes();
        tokio::pin!(changes);
        let (mut client_is_done, mut ending) = (false, false);
        loop {
            tokio::select! {
                status = process.ended() => break status,
                () = &mut from_client, if !client_is_done => {
                    client_is_done = true;
                    server.close();
                }
                () = client.gone(), if !ending => {
                    ending = true;
                    process.ends_soon();
                }
                () = &mut from_server, if !server_is_silent => {
                    // nothing can come of it any more
                    server_is_silent = true;
                    server.close();
                    process.ends_soon();
                }
                () = &mut changes => {}
                Some(signal) = signals.recv() => process.signal(signal),
                Some(ticket) = places_lost.recv() => {
                    if !server.cut(&client, &ticket).await {
                        // the call cannot be stopped alone
                        process.signal(Signal::KILL);
                    }
                }
            }
        }
    };
    process.clear().await;
    if !server_is_silent && tokio::time::timeout(LAST_WORDS, from_server).await.is_err() {
        tracing::debug!("the server's stdout is still open after its end");
    }
    for waiting in server.waiting.take_all() {
        let error = UpstreamError::Broken("the server has ended".to_owned());
        let id = waiting.id.clone();
        waiting.failed(&error);
        client.no_answer(&error, Some(&id)).await;
    }
    status
}

impl Far for Server {
    type Way = ();

    async fn ready(&self, message: &Envelope<'_>) -> Result<(), UpstreamError> {
        if message.kind == Kind::Request && !self.waiting.has_room() {
            return Err(UpstreamError::Busy(WAITING_AT_MOST));
        }
        Ok(())
    }

    async fn send(&self, (): (), message: &Admitted<'_>, charged: Charged, client: &Client) {
        let mut sent = charged.send();
        let request = message
            .envelope
            .id
            .filter(|_| message.envelope.kind == Kind::Request);
        let Some((id, key)) = request.and_then(|id| Some((id, IdKey::of(id)?))) else {
            match self.write(message.line).await {
                Ok(()) => {
                    sent.answered(None);
                    self.note_cancelled(message);
                }
                Err(error) => sent.failed(&error, None),
            }
            return;
        };
        let ticket = self.waiting.ticket(key);
        let place = match sent.take_held().map(|held| self.watched(held, &ticket)) {
            Some(Err(held)) => {
                let error = UpstreamError::LeaseOver;
                sent.failed(&error, Some(held));
                return client.no_answer(&error, Some(id)).await;
            }
            Some(Ok(place)) => Some(place),
            None => None,
        };
        let waiting = Waiting {
            id: id.to_owned(),
            place,
            sent,
        };
        // before it is written: the answer may come at once
        self.waiting.add(&ticket, waiting);
        if let Err(error) = self.write(message.line).await
            && let Some(waiting) = self.waiting.take(&ticket)
        {
            waiting.failed(&error);
            client.no_answer(&error, Some(id)).await;
        }
    }
}

impl Server {
    fn watched(&self, held: Held, ticket: &Ticket) -> Result<Place, Held> {
        let (lost, ticket) = (self.lost.clone(), ticket.clone());
        // as many fit as may wait
        Place::take(held, move || drop(lost.try_send(ticket)))
    }

    /// Stops a call whose place is lost: the child is told that it is cancelled, the client what happened.
    /// `false`: the child does not read.
    async fn cut(&self, client: &Client, ticket: &Ticket) -> bool {
        let Some(waiting) = self.waiting.take(ticket) else {
            return true;
        };
        let cancel = reply::cancelled(&waiting.id, "its place among calls at once was lost");
        let told = tokio::time::timeout(CUT_WITHIN, self.write(&cancel)).await;
        let id = waiting.id.clone();
        waiting.failed(&UpstreamError::LeaseLost);
        client.no_answer(&UpstreamError::LeaseLost, Some(&id)).await;
        matches!(told, Ok(Ok(())))
    }

    async fn write(&self, message: &[u8]) -> Result<(), UpstreamError> {
        let mut stdin = self.stdin.lock().await;
        let Some(to) = stdin.as_mut() else {
            return Err(UpstreamError::Unsent);
        };
        write_line(to, &one_line(message)).await.map_err(|stuck| {
            // half a line may stand there: nothing may follow it
            *stdin = None;
            if stuck.unsent {
                UpstreamError::Unsent
            } else {
                UpstreamError::Broken(stuck.error.to_string())
            }
        })
    }

    /// Closes the child's stdin, so that it ends. A line that it does not take keeps it open.
    fn close(&self) {
        if let Ok(mut stdin) = self.stdin.try_lock() {
            *stdin = None;
        }
    }

    /// A request that its client has cancelled is not waited for: most servers never answer it.
    fn note_cancelled(&self, message: &Admitted<'_>) {
        if message.envelope.method.as_deref() == Some("notifications/cancelled")
            && let Some(waiting) = cancelled(message.line).and_then(|id| self.waiting.answered(&id))
        {
            waiting.sent.cancelled(waiting.place.and_then(Place::into_held));
        }
    }

    /// Passes on what the child says, until it closes its stdout or the client has gone.
    async fn pass_on(&self, client: &Client, stdout: ChildStdout) {
        let mut lines = Lines::new(stdout, client.caller.gate.limits.line_bytes);
        loop {
            match lines.next().await {
                Ok(Some(Line::Whole(line))) => self.line(client, &line).await,
                Ok(Some(Line::TooLong(skimmed))) => {
                    let cap = client.caller.gate.limits.line_bytes;
                    let reason = format!("it is larger than {cap} bytes (`limits.line_bytes`)");
                    self.unusable(client, &skimmed, &reason).await;
                }
                Ok(None) => return,
                Err(error) => {
                    tracing::warn!(%error, "the server's messages cannot be read");
                    return;
                }
            }
        }
    }

    async fn line(&self, client: &Client, line: &Bytes) {
        let Caller {
            gate, grant, server, ..
        } = &client.caller;
        let filtered = match filter(grant, gate, server, client.is_modern(), line) {
            Ok(filtered) => filtered,
            Err(error) => return self.unusable(client, &Skim::of(line), &error.to_string()).await,
        };
        for answered in Skim::answered(line) {
            if let Some(waiting) = self.answered(&answered) {
                waiting.sent.answered(None);
            }
        }
        client.tell(filtered.as_ref().unwrap_or(line)).await;
    }

    /// What was answered under this id. A client that has a call run and asks something else under the same id must
    /// not get the call's place back with the answer to that.
    fn answered(&self, id: &IdKey) -> Option<Waiting> {
        self.waiting
            .answered_free_first(id, |waiting| waiting.place.is_none())
    }

    /// A line that must not reach the client: its place is taken by an error where the client waits for it.
    async fn unusable(&self, client: &Client, skimmed: &Skimmed, reason: &str) {
        tracing::warn!(
            server = client.caller.server,
            reason,
            "a line of the server was not passed on"
        );
        if let Some(waiting) = skimmed.answers().and_then(|id| self.answered(&id)) {
            waiting.sent.unusable(None, reason);
            let text = told::bad_answer(reason);
            client
                .tell(&reply::error(Some(&waiting.id), CODE_UPSTREAM, &text, None))
                .await;
        }
    }
}
