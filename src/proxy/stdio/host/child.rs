//! One process of a server: what is written to it, and how it ends.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::process::ChildStdin;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, timeout};

use super::Host;
use super::outbox::Mailbox;
use super::waiting::Waiting;
use crate::mcp::ids::IdKey;
use crate::mcp::line::one_line;
use crate::mcp::renumber::{self, Original};
use crate::mcp::reply;
use crate::proxy::held::Held;
use crate::proxy::stdio::lines::write_line;
use crate::proxy::stdio::pending::{Pending, Ticket, WAITING_AT_MOST};
use crate::proxy::stdio::place::Place;
use crate::proxy::stdio::process::{Pipes, Process, ServerCommand, Signal, Stderr};
use crate::proxy::upstream::UpstreamError;

/// Lines that wait to be written.
const ORDERS: usize = 64;
/// How long what a process wrote before its end may take to come, while others hold its stdout open.
const LAST_WORDS: Duration = Duration::from_secs(1);
/// How long a process may take to read that a call is to stop.
const CUT_WITHIN: Duration = Duration::from_secs(1);

/// Whose process it is, and so who may hear what it says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Serves {
    /// One session, which speaks to it as if it had started it.
    OneSession,
    /// All sessions of a grant. It has shaken hands with the gate, which promised it nothing of clients.
    Sessions,
    /// All requests of a grant, each of which stands alone (2026-07-28).
    Requests,
}

/// A running process.
pub(super) struct Child {
    pub(super) server: String,
    /// The grant that it serves, and no other.
    pub(super) owner: String,
    pub(super) serves: Serves,
    pub(super) waiting: Pending<Waiting>,
    line_cap: usize,
    response_timeout: Duration,
    orders: mpsc::Sender<Order>,
    numbers: AtomicU64,
    /// Where what it says by itself goes, by session.
    sessions: Mutex<BTreeMap<String, Arc<Mailbox>>>,
    stage: watch::Sender<Stage>,
    /// The gate has asked it to end.
    asked: AtomicBool,
    used: Mutex<Instant>,
    lost: mpsc::Sender<Ticket>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    Runs,
    /// It was asked to end: its stdin is closed.
    Ending,
    /// It does not read, or nothing can come of it: it is killed.
    Killed,
    Over,
}

/// A line to write.
struct Order {
    line: Bytes,
    /// Who waits for it. Gone before it is written, it is not written.
    told: Option<oneshot::Sender<Result<(), UpstreamError>>>,
}

impl Child {
    /// Starts a process. It reports its end to `host`.
    pub(super) fn start(host: &Arc<Host>, owner: &str, serves: Serves) -> std::io::Result<Arc<Self>> {
        let settings = &host.settings;
        let command = ServerCommand {
            program: settings.program.clone().into(),
            arguments: settings.arguments.iter().map(Into::into).collect(),
            environment: settings.environment.clone(),
        };
        let (process, pipes, stderr) = Process::start(&command, Stderr::Piped)?;
        let (orders, to_write) = mpsc::channel(ORDERS);
        let (lost, places_lost) = mpsc::channel(WAITING_AT_MOST);
        let child = Arc::new(Self {
            server: host.name.clone(),
            owner: owner.to_owned(),
            serves,
            waiting: Pending::default(),
            line_cap: host.line_cap,
            response_timeout: settings.response_timeout,
            orders,
            numbers: AtomicU64::new(0),
            sessions: Mutex::default(),
            stage: watch::Sender::new(Stage::Runs),
            asked: AtomicBool::new(false),
            used: Mutex::new(Instant::now()),
            lost,
        });
        let Pipes { stdin, stdout } = pipes;
        if let Some(stderr) = stderr {
            tokio::spawn(super::stderr::log(host.name.clone(), stderr));
        }
        tokio::spawn(Arc::clone(&child).write_all(stdin, to_write));
        tokio::spawn(Arc::clone(&child).run(Arc::clone(host), process, stdout, places_lost));
        Ok(child)
    }

    async fn run(
        self: Arc<Self>,
        host: Arc<Host>,
        mut process: Process,
        stdout: tokio::process::ChildStdout,
        mut places_lost: mpsc::Receiver<Ticket>,
    ) {
        let started = Instant::now();
        let mut stage = self.stage.subscribe();
        let hearing = self.hear(stdout, self.line_cap);
        tokio::pin!(hearing);
        let mut silent = false;
        let status = loop {
            tokio::select! {
                status = process.ended() => break status,
                () = &mut hearing, if !silent => {
                    // nothing can come of it any more
                    silent = true;
                    self.advance(Stage::Ending);
                }
                Some(ticket) = places_lost.recv() => self.cut(&ticket).await,
                Ok(()) = stage.changed() => match *stage.borrow_and_update() {
                    Stage::Ending => process.ends_soon(),
                    Stage::Killed => process.signal(Signal::KILL),
                    Stage::Runs | Stage::Over => {}
                },
            }
        };
        let asked = self.asked.load(Ordering::SeqCst);
        self.advance(Stage::Ending);
        process.clear().await;
        if !silent && timeout(LAST_WORDS, hearing).await.is_err() {
            tracing::debug!(
                server = self.server,
                "the process's stdout is still open after its end"
            );
        }
        match status {
            Ok(status) if asked => {
                tracing::debug!(server = self.server, %status, "a server process has ended")
            }
            Ok(status) => {
                tracing::warn!(server = self.server, %status, "a server process has ended by itself")
            }
            Err(error) => tracing::error!(server = self.server, %error, "a server process was lost"),
        }
        host.ended(&self, started.elapsed(), asked);
        self.stage.send_replace(Stage::Over);
        for waiting in self.waiting.take_all() {
            waiting.failed(UpstreamError::Broken("the server process has ended".to_owned()));
        }
        let sessions = std::mem::take(&mut *self.lock_sessions());
        for mailbox in sessions.values().filter(|_| self.serves == Serves::OneSession) {
            mailbox.close();
        }
    }

    /// Writes lines until it is asked to end; then its stdin is closed. A line that was begun is written to its end.
    async fn write_all(self: Arc<Self>, mut stdin: ChildStdin, mut orders: mpsc::Receiver<Order>) {
        let mut stage = self.stage.subscribe();
        loop {
            let order = tokio::select! {
                Some(order) = orders.recv() => order,
                // the sender is ours: it cannot be gone
                _ = stage.wait_for(|stage| *stage > Stage::Runs) => return,
            };
            if order.told.as_ref().is_some_and(oneshot::Sender::is_closed) {
                continue;
            }
            let result = match timeout(self.response_timeout, write_line(&mut stdin, &order.line)).await {
                Ok(Ok(())) => Ok(()),
                Ok(Err(stuck)) if stuck.unsent => Err(UpstreamError::Unsent),
                Ok(Err(stuck)) => Err(UpstreamError::Broken(stuck.error.to_string())),
                // part of it may stand in the pipe
                Err(_) => Err(UpstreamError::ResponseTimeout(self.response_timeout)),
            };
            let failed = result.is_err();
            if failed {
                // half a line may stand there: nothing may follow it
                self.advance(Stage::Ending);
            }
            if let Some(told) = order.told {
                // who waited may have left
                let _ = told.send(result);
            }
            if failed {
                return;
            }
        }
    }

    /// Writes a message as one line, and waits until it is written.
    pub(super) async fn write(&self, message: &[u8]) -> Result<(), UpstreamError> {
        self.touch();
        let (told, written) = oneshot::channel();
        let order = Order {
            line: Bytes::from(one_line(message).into_owned()),
            told: Some(told),
        };
        if self.is_over() || self.orders.send(order).await.is_err() {
            return Err(UpstreamError::Unsent);
        }
        // an order that the writer leaves behind is never written
        written.await.unwrap_or(Err(UpstreamError::Unsent))
    }

    /// Writes a message that nobody waits for, unless too many wait already.
    pub(super) fn mention(&self, message: &[u8]) {
        let line = Bytes::from(one_line(message).into_owned());
        if self.orders.try_send(Order { line, told: None }).is_err() {
            tracing::debug!(
                server = self.server,
                "a server process does not read: it was not told"
            );
        }
    }

    /// Under which id the process gets a client's request, and the request under it.
    pub(super) fn addressed(&self, original: &Original, request: &Bytes) -> Option<(IdKey, String, Bytes)> {
        if self.serves == Serves::OneSession {
            return Some((IdKey::of(&original.id)?, original.id.clone(), request.clone()));
        }
        let number = self.numbers.fetch_add(1, Ordering::Relaxed);
        let id = number.to_string();
        let request = renumber::request(request, number)?;
        Some((IdKey::of(&id)?, id, request.into()))
    }

    /// Keeps a call's place until it is lost; gives it back where it is lost already.
    pub(super) fn watched(&self, held: Held, ticket: &Ticket) -> Result<Place, Held> {
        let (lost, ticket) = (self.lost.clone(), ticket.clone());
        // as many fit as may wait
        Place::take(held, move || drop(lost.try_send(ticket)))
    }

    /// Stops a call whose place is lost. A process that does not read that is killed.
    async fn cut(&self, ticket: &Ticket) {
        let Some(waiting) = self.waiting.take(ticket) else {
            return;
        };
        let cancel = reply::cancelled(&waiting.id, "its place among calls at once was lost");
        let told = timeout(CUT_WITHIN, self.write(&cancel)).await;
        waiting.failed(UpstreamError::LeaseLost);
        if !matches!(told, Ok(Ok(()))) {
            self.advance(Stage::Killed);
        }
    }

    pub(super) fn lock_sessions(&self) -> MutexGuard<'_, BTreeMap<String, Arc<Mailbox>>> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What it says by itself goes to this session too.
    pub(super) fn joins(&self, session: &str, mailbox: &Arc<Mailbox>) {
        let mut sessions = self.lock_sessions();
        if !sessions.contains_key(session) {
            sessions.insert(session.to_owned(), Arc::clone(mailbox));
        }
    }

    pub(super) fn leaves(&self, session: &str) {
        self.lock_sessions().remove(session);
    }

    /// Something was said to it or by it.
    pub(super) fn touch(&self) {
        *self.used.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    /// Since when nobody needs it; `None`: somebody does.
    pub(super) fn idle_since(&self) -> Option<Instant> {
        let listened = || self.lock_sessions().values().any(|mailbox| mailbox.is_open());
        if !self.waiting.is_empty() || listened() {
            return None;
        }
        Some(*self.used.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn advance(&self, to: Stage) -> bool {
        self.stage.send_if_modified(|stage| {
            let later = to > *stage;
            *stage = (*stage).max(to);
            later
        })
    }

    /// Asks it to end, unless it does so by itself: its stdin is closed, later come signals.
    pub(super) fn end(&self) {
        if self.advance(Stage::Ending) {
            self.asked.store(true, Ordering::SeqCst);
        }
    }

    /// Whether it has ended or is about to: nothing more is sent to it.
    pub(super) fn is_over(&self) -> bool {
        *self.stage.borrow() > Stage::Runs
    }

    /// Whether it is ending and nobody asked it to: how soon another may be started is known at its end.
    pub(super) fn fails(&self) -> bool {
        self.is_over() && !self.asked.load(Ordering::SeqCst)
    }

    pub(super) async fn ended(&self) {
        // the sender is ours: it cannot be gone
        let _ = self
            .stage
            .subscribe()
            .wait_for(|stage| *stage == Stage::Over)
            .await;
    }
}
