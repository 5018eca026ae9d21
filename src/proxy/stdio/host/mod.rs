//! A server that is a command: its processes, started when they are needed, and the sessions that clients have with
//! them over HTTP.
//!
//! A process serves one grant and no other. What it says goes to the client that asked, or to the sessions of its
//! grant. Requests of several clients to one process get ids that no two share (`mcp::renumber`); a process with one
//! session is spoken to byte for byte.

mod asked;
mod backoff;
mod child;
mod handshake;
mod hear;
mod outbox;
mod sessions;
mod stderr;
mod talk;
mod turn;
mod visit;
mod waiting;
mod work;

pub use talk::Talk;
pub use turn::Turn;
pub use visit::{Asks, Visit};

use std::collections::HashMap;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep_until, timeout_at};
use url::Url;

use crate::proxy::upstream::UpstreamError;
use crate::record::Children;
use crate::settings::CommandServer;
use backoff::Backoff;
use child::{Child, Serves};
use sessions::Sessions;

/// How long all processes may take to end: the steps of one, and what its stdout may add.
const END_WITHIN: Duration = Duration::from_secs(10);
/// An idle process of another grant ends for a new one only after so long.
const SPARED: Duration = Duration::from_secs(60);

/// One server that is a command.
pub struct Host {
    pub name: String,
    settings: CommandServer,
    /// Program and arguments, with NUL between them.
    command: String,
    /// Longest line of a process, in bytes.
    line_cap: usize,
    /// Endpoints of 2024-11-05 are resolved against it.
    base: Url,
    metrics: Children,
    state: Mutex<State>,
    /// It was found not to speak 2026-07-28.
    legacy: AtomicBool,
}

#[derive(Default)]
struct State {
    children: Vec<Arc<Child>>,
    sessions: Sessions,
    /// By grant and version of the handshake, the process that its sessions or requests share.
    shared: HashMap<(String, &'static str), Arc<Shared>>,
    starts: HashMap<String, Backoff>,
    closing: bool,
}

/// A process that is shared. Locked while it is started, so that one start serves all who wait for it.
type Shared = tokio::sync::Mutex<Option<handshake::Greeted>>;

/// What a start has to wait for.
enum First {
    Until(Instant),
    TheEndOf(Arc<Child>),
}

impl Host {
    pub fn new(name: &str, settings: CommandServer, line_cap: usize, metrics: Children) -> Self {
        Self {
            name: name.to_owned(),
            command: [std::slice::from_ref(&settings.program), &settings.arguments]
                .concat()
                .join("\0"),
            settings,
            line_cap,
            base: visit::base(),
            metrics,
            state: Mutex::default(),
            legacy: AtomicBool::new(false),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What a stream of 2024-11-05 announces is resolved against this URL.
    pub const fn base(&self) -> &Url {
        &self.base
    }

    /// Program and arguments, with NUL between them.
    pub fn command(&self) -> &str {
        &self.command
    }

    /// Until something of an answer is there.
    pub const fn response_timeout(&self) -> Duration {
        self.settings.response_timeout
    }

    /// How long a stream may be silent.
    pub const fn idle_timeout(&self) -> Duration {
        self.settings.idle_timeout
    }

    /// Starts a process, within the bound on their number and not before a broken one may be tried again.
    async fn start(self: &Arc<Self>, owner: &str, serves: Serves) -> Result<Arc<Child>, UpstreamError> {
        let until = Instant::now() + self.settings.connect_timeout;
        loop {
            match self.try_start(owner, serves)? {
                Ok(child) => return Ok(child),
                Err(First::Until(due)) if due <= until => sleep_until(due).await,
                Err(First::Until(_)) => {
                    return Err(UpstreamError::Connect(
                        "it ended by itself again and again, and is started later".to_owned(),
                    ));
                }
                Err(First::TheEndOf(child)) => {
                    let ended = timeout_at(until, child.ended()).await;
                    ended.map_err(|_| UpstreamError::ConnectTimeout(self.settings.connect_timeout))?;
                }
            }
        }
    }

    fn try_start(
        self: &Arc<Self>,
        owner: &str,
        serves: Serves,
    ) -> Result<Result<Arc<Child>, First>, UpstreamError> {
        let now = Instant::now();
        let mut state = self.lock();
        if state.closing {
            return Err(UpstreamError::Connect("the gate is ending".to_owned()));
        }
        let backoff = state.starts.get(owner).copied().unwrap_or_default();
        if let Some(due) = backoff.due(now) {
            return Ok(Err(First::Until(due)));
        }
        if let Some(failing) = state.failing(owner) {
            return Ok(Err(First::TheEndOf(failing)));
        }
        if state.children.len() >= self.settings.processes {
            let spare = state.spare(owner, now);
            let spare = spare.ok_or(UpstreamError::Processes(self.settings.processes))?;
            spare.end();
            return Ok(Err(First::TheEndOf(spare)));
        }
        match Child::start(self, owner, serves) {
            Ok(child) => {
                state.children.push(Arc::clone(&child));
                self.metrics.run(state.children.len());
                Ok(Ok(child))
            }
            Err(error) => {
                state
                    .starts
                    .entry(owner.to_owned())
                    .or_default()
                    .ended(now, Duration::ZERO);
                self.metrics.failed();
                tracing::error!(server = self.name, program = self.settings.program, %error, "a server process cannot be started");
                Err(UpstreamError::Connect(error.to_string()))
            }
        }
    }

    /// A process has ended, after it `ran`. `asked`: the gate wanted it to.
    fn ended(&self, child: &Arc<Child>, ran: Duration, asked: bool) {
        let now = Instant::now();
        let mut state = self.lock();
        state.children.retain(|other| !Arc::ptr_eq(other, child));
        self.metrics.run(state.children.len());
        state.sessions.of_process_ended(child);
        if !asked {
            self.metrics.failed();
            let backoff = state.starts.entry(child.owner.clone()).or_default();
            backoff.ended(now, ran);
            let failures = backoff.failures();
            tracing::debug!(server = self.name, failures, "the next start waits");
        }
        state.starts.retain(|_, backoff| !backoff.is_over(now));
        // a start that is under way holds its slot
        state
            .shared
            .retain(|_, slot| Arc::strong_count(slot) > 1 || !is_over(slot));
    }

    /// Ends processes and sessions that nobody has needed for long.
    pub fn reap(&self) {
        let now = Instant::now();
        let long_ago = |since: Instant| now.saturating_duration_since(since) >= self.settings.process_idle;
        let mut state = self.lock();
        for child in &state.children {
            if child.idle_since().is_some_and(long_ago) && !child.is_over() {
                tracing::debug!(server = self.name, "an idle server process is ended");
                child.end();
            }
        }
        for session in state.sessions.idle(long_ago) {
            state.forget(&session);
        }
    }

    /// Ends all processes, within a bound. Nothing is started any more.
    pub async fn shutdown(&self) {
        let children = {
            let mut state = self.lock();
            state.closing = true;
            state.children.clone()
        };
        let until = Instant::now() + END_WITHIN;
        for child in &children {
            child.end();
        }
        for child in &children {
            if timeout_at(until, child.ended()).await.is_err() {
                tracing::error!(server = self.name, "a server process did not end");
            }
        }
    }
}

fn is_over(slot: &Shared) -> bool {
    let greeted = slot.try_lock();
    greeted.is_ok_and(|greeted| greeted.as_ref().is_none_or(|greeted| greeted.child.is_over()))
}

impl State {
    /// A process of `owner` that is ending by itself.
    fn failing(&self, owner: &str) -> Option<Arc<Child>> {
        let mut own = self.children.iter().filter(|child| child.owner == owner);
        own.find(|child| child.fails()).cloned()
    }

    /// A process that can end for a new one of `owner`: the one that was idle for longest, the owner's own first.
    fn spare(&self, owner: &str, now: Instant) -> Option<Arc<Child>> {
        let idle = self.children.iter().filter_map(|child| {
            let since = child.idle_since()?;
            let own = child.owner == owner;
            let spared = !own && now.saturating_duration_since(since) < SPARED;
            (!spared).then_some((!own, since, child))
        });
        let first = idle.min_by_key(|(others, since, _)| (*others, *since));
        first.map(|(_, _, child)| Arc::clone(child))
    }

    /// A session is over: its process too, where that is its own.
    fn forget(&mut self, id: &str) {
        let Some(session) = self.sessions.remove(id) else {
            return;
        };
        session.mailbox.close();
        if let Some(child) = &session.own {
            child.end();
        }
        for child in &self.children {
            child.leaves(id);
        }
    }
}
