//! What a connection has been doing, and when that is too little, too slow or too much.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use crate::settings::Limits;

/// Requests that an HTTP/2 client may take back before their answers come, unless it waits for as many.
const TAKEN_BACK: u64 = 100;

/// What is to be done with a connection.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Nothing before this time.
    Wait(Instant),
    /// It takes no further requests; those that run go on.
    Retire,
    Cut(&'static str),
    /// Nothing more is read of it, and it keeps its places for a while before it is cut: who does such a thing in a
    /// loop, on one connection after the other, waits each time.
    Shun(&'static str),
}

#[derive(Clone, Copy)]
struct Bounds {
    header: Duration,
    idle: Duration,
    write: Duration,
    age: Duration,
    requests: u64,
}

struct State {
    started: Instant,
    is_h2: bool,
    /// Requests that began.
    requests: u64,
    /// Requests whose answers have not ended.
    running: usize,
    answered: u64,
    /// Requests that were dropped before the head of their answer.
    taken_back: u64,
    /// Since when nothing runs.
    idle: Instant,
    /// When the next head began to come.
    head: Option<Instant>,
    /// Bodies of which the client has not taken the last piece, and since when.
    waiting: HashMap<u64, Instant>,
    retired: Option<Instant>,
}

impl State {
    fn new(now: Instant) -> Self {
        Self {
            started: now,
            is_h2: false,
            requests: 0,
            running: 0,
            answered: 0,
            taken_back: 0,
            idle: now,
            head: None,
            waiting: HashMap::new(),
            retired: None,
        }
    }
}

/// One connection's.
pub(super) struct Conduct {
    bounds: Bounds,
    state: Mutex<State>,
    changed: Notify,
}

impl Conduct {
    pub(super) fn new(limits: &Limits) -> Arc<Self> {
        Arc::new(Self {
            bounds: Bounds {
                header: limits.header_timeout,
                idle: limits.idle_timeout,
                write: limits.write_timeout,
                age: limits.connection_age,
                requests: limits.requests_per_connection as u64,
            },
            state: Mutex::new(State::new(Instant::now())),
            changed: Notify::new(),
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends when [`Conduct::verdict`] should be asked again before its time.
    pub(super) async fn changed(&self) {
        self.changed.notified().await;
    }

    /// Some bytes came.
    pub(super) fn heard(&self) {
        let mut state = self.state();
        if state.running == 0 && state.head.is_none() {
            state.head = Some(Instant::now());
        }
    }

    /// Some bytes went out. The end of an answer may still be on its way when its body has ended.
    pub(super) fn told(&self) {
        let mut state = self.state();
        // HTTP/2 has frames that belong to no answer
        if state.running == 0 && !state.is_h2 {
            state.idle = Instant::now();
        }
    }

    /// A request's head is there.
    pub(super) fn begin(self: &Arc<Self>, is_h2: bool) -> Running {
        let mut state = self.state();
        state.is_h2 = is_h2;
        state.requests += 1;
        state.running += 1;
        state.head = None;
        let id = state.requests;
        if id >= self.bounds.requests {
            self.changed.notify_one();
        }
        drop(state);
        Running {
            conduct: Arc::clone(self),
            id,
            answered: false,
        }
    }

    /// What is to be done now.
    pub(super) fn verdict(&self, now: Instant) -> Verdict {
        let (bounds, mut state) = (&self.bounds, self.state());
        if state.taken_back > TAKEN_BACK && state.taken_back > state.answered {
            return Verdict::Shun("it takes its requests back");
        }
        let mut next = now + bounds.header.min(bounds.write);
        let mut due = |at: Instant| {
            next = next.min(at.max(now));
            at <= now
        };
        let slowest = state.waiting.values().min().copied();
        if slowest.is_some_and(|since| due(since + bounds.write)) {
            return Verdict::Cut("it takes nothing of its answers");
        }
        if state.running == 0 {
            let head = if state.requests == 0 {
                Some(state.started)
            } else {
                state.head
            };
            // HTTP/2 has frames that belong to no request
            let head = head.filter(|_| state.requests == 0 || !state.is_h2);
            if head.is_some_and(|since| due(since + bounds.header)) {
                return Verdict::Cut("the head of a request did not come in time");
            }
            let gone = state.retired.map(|since| since.max(state.idle));
            if gone.is_some_and(|since| due(since + bounds.header)) {
                return Verdict::Cut("it did not close");
            }
        }
        let idle = state.running == 0 && state.requests > 0 && state.head.is_none_or(|_| state.is_h2);
        let spent = state.requests >= bounds.requests;
        if state.retired.is_none()
            && (spent || idle && due(state.idle + bounds.idle) || due(state.started + bounds.age))
        {
            state.retired = Some(now);
            return Verdict::Retire;
        }
        Verdict::Wait(next)
    }
}

/// A request whose answer has not ended.
pub(super) struct Running {
    conduct: Arc<Conduct>,
    id: u64,
    answered: bool,
}

impl Running {
    /// The head of the answer is there.
    pub(super) fn answered(&mut self) {
        self.answered = true;
        self.conduct.state().answered += 1;
    }

    /// A piece of the answer was handed out, and the client has to take it.
    pub(super) fn handed_out(&self) {
        let now = Instant::now();
        self.conduct.state().waiting.insert(self.id, now);
    }

    /// The client took it.
    pub(super) fn taken(&self) {
        self.conduct.state().waiting.remove(&self.id);
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let mut state = self.conduct.state();
        state.waiting.remove(&self.id);
        state.running = state.running.saturating_sub(1);
        if state.running == 0 {
            state.idle = Instant::now();
        }
        if !self.answered {
            state.taken_back += 1;
            self.conduct.changed.notify_one();
        }
    }
}

#[cfg(test)]
mod tests;
