//! The leases of a call in flight: renewed while it runs, given back when it has ended. A call whose leases
//! cannot be renewed is cut before they end, so that its place is never taken while it runs.
//!
//! All times are this process's own: a lease that was asked for at one moment lasts in the store for its
//! whole length from that moment on, or longer.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep, sleep_until, timeout_at};

use super::Gate;
use crate::counters::{Receipt, StoreError};
use crate::record::Pending;

/// The longest pause between two tries of a store that did not answer.
const PAUSE: Duration = Duration::from_millis(500);

/// The leases of one call. Dropped, it gives them back.
pub struct Held {
    connection: Arc<Connection>,
    // what is sent says that somebody else takes them back
    end: Option<oneshot::Sender<()>>,
}

/// The upstream connection that a call runs on, and until when it may.
struct Connection(Mutex<State>);

struct State {
    /// None where the call goes on without its leases.
    cut_at: Option<Instant>,
    run: Run,
}

enum Run {
    /// The call is not on its way, or has ended.
    No,
    On(AbortHandle),
    /// Whatever would still be sent must not be.
    Cut,
}

impl Held {
    /// Keeps what a call holds since it was `asked` for. `None`: it holds nothing.
    pub fn start(gate: &Arc<Gate>, receipt: &Receipt, asked: Instant) -> Option<Self> {
        let length = receipt.lease()?;
        let cut_at = receipt.is_binding().then(|| cut_at_of(asked, length));
        let run = Run::No;
        let connection = Arc::new(Connection(Mutex::new(State { cut_at, run })));
        let keeper = Keeper {
            gate: Arc::clone(gate),
            receipt: receipt.clone(),
            length,
            asked,
            connection: Arc::clone(&connection),
            pending: Some(gate.recorder.begin()),
        };
        let (end, ended) = oneshot::channel();
        tokio::spawn(keeper.keep(ended));
        let end = Some(end);
        Some(Self { connection, end })
    }

    /// The call goes out on this connection, which is closed when a lease is lost. `false`: it is lost, and
    /// nothing may be sent.
    pub fn run_on(&self, connection: &AbortHandle) -> bool {
        let mut state = self.connection.lock();
        let late = state.cut_at.is_some_and(|cut_at| Instant::now() >= cut_at);
        let lost = late || matches!(state.run, Run::Cut);
        if !lost {
            state.run = Run::On(connection.clone());
        }
        !lost
    }

    /// Whether the call was cut.
    pub fn is_cut(&self) -> bool {
        matches!(self.connection.lock().run, Run::Cut)
    }

    /// The connection is about to serve others, while the call goes on elsewhere.
    pub fn rests(&self) {
        let mut state = self.connection.lock();
        if let Run::On(_) = state.run {
            state.run = Run::No;
        }
    }

    /// A refund takes the leases back with everything else.
    pub fn refunded(self) {
        self.lapse();
    }

    /// From now on the leases are neither renewed nor given back.
    pub fn lapse(mut self) {
        if let Some(end) = self.end.take() {
            // the keeper is gone only with the runtime
            let _ = end.send(());
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.rests();
    }
}

impl Connection {
    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn cut(&self) {
        let mut state = self.lock();
        if let Run::On(connection) = std::mem::replace(&mut state.run, Run::Cut) {
            connection.abort();
        }
    }
}

/// When the call must be cut: a tenth of the lease is left for the upstream to see it.
fn cut_at_of(asked: Instant, length: Duration) -> Instant {
    asked + length * 9 / 10
}

/// Renews a call's leases and gives them back.
struct Keeper {
    gate: Arc<Gate>,
    receipt: Receipt,
    length: Duration,
    /// When the leases were last taken or renewed: before the store was asked.
    asked: Instant,
    connection: Arc<Connection>,
    // the end of the process waits until the store was asked to give the leases back
    pending: Option<Pending>,
}

impl Keeper {
    async fn keep(mut self, mut ended: oneshot::Receiver<()>) {
        loop {
            let renewed = tokio::select! {
                biased;
                end = &mut ended => return self.end(end.is_err()).await,
                renewed = self.renew_in_time() => renewed,
            };
            if renewed {
                continue;
            }
            if !self.receipt.is_binding() {
                // a shadow rule's: nobody relies on it
                return self.end(ended.await.is_err()).await;
            }
            self.connection.cut();
            tracing::warn!(
                call = %self.receipt.id(),
                "a call was cut, since its lease could not be renewed"
            );
            // its place must not be free before the call has noticed; then the lease ends by itself
            let over = self.over();
            let release = tokio::select! {
                end = &mut ended => end.is_err(),
                () = sleep_until(over) => false,
            };
            return self.end(release).await;
        }
    }

    fn over(&self) -> Instant {
        self.asked + self.length
    }

    /// Waits until a third of the lease has passed and renews it. `false`: it is lost, or may be soon.
    async fn renew_in_time(&mut self) -> bool {
        sleep_until(self.asked + self.length / 3).await;
        let cut_at = cut_at_of(self.asked, self.length);
        loop {
            let asked = Instant::now();
            if asked >= cut_at {
                return false;
            }
            let timer = self.gate.recorder.metrics.store("renew");
            let answer = timeout_at(cut_at, self.gate.store.renew(&self.receipt)).await;
            let answer = answer.unwrap_or(Err(StoreError::Timeout));
            timer.end(answer.as_ref().err().map(StoreError::code));
            match answer {
                Ok(true) => {
                    self.asked = asked;
                    if let Some(cut) = &mut self.connection.lock().cut_at {
                        *cut = cut_at_of(asked, self.length);
                    }
                    return true;
                }
                Ok(false) => return false,
                Err(error) => tracing::debug!(%error, "a lease was not renewed yet"),
            }
            sleep(PAUSE.min(self.length / 20)).await;
        }
    }

    /// Gives the leases back, again until they have ended by themselves.
    async fn end(&mut self, release: bool) {
        if !release {
            return;
        }
        let mut pause = PAUSE.min(self.length / 20);
        loop {
            let timer = self.gate.recorder.metrics.store("release");
            let answer = self.gate.store.release(&self.receipt).await;
            timer.end(answer.as_ref().err().map(StoreError::code));
            self.pending = None;
            if answer.is_ok() || Instant::now() + pause >= self.over() {
                break;
            }
            sleep(pause).await;
            pause *= 2;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn nothing_is_sent_on_a_lease_that_may_be_over() {
        let task = tokio::spawn(std::future::pending::<()>());
        let held = |cut_at| Held {
            connection: Arc::new(Connection(Mutex::new(State { cut_at, run: Run::No }))),
            end: None,
        };
        let now = Instant::now();
        assert!(held(Some(now + Duration::from_secs(60))).run_on(&task.abort_handle()));
        assert!(held(None).run_on(&task.abort_handle()));
        assert!(!held(Some(now)).run_on(&task.abort_handle()));
        task.abort();
    }

    #[tokio::test]
    async fn a_connection_is_cut_only_while_its_call_runs() {
        let connection = || tokio::spawn(std::future::pending::<()>());
        let state = Arc::new(Connection(Mutex::new(State {
            cut_at: None,
            run: Run::No,
        })));
        let held = |state: &Arc<Connection>| Held {
            connection: Arc::clone(state),
            end: None,
        };
        let (ended, running) = (connection(), connection());
        let call = held(&state);
        assert!(call.run_on(&ended.abort_handle()));
        drop(call);
        state.cut();
        assert!(!ended.is_finished(), "it may serve another call by now");
        let state = Arc::new(Connection(Mutex::new(State {
            cut_at: None,
            run: Run::No,
        })));
        let call = held(&state);
        assert!(call.run_on(&running.abort_handle()));
        state.cut();
        assert!(call.is_cut() && !call.run_on(&running.abort_handle()));
        assert!(running.await.unwrap_err().is_cancelled());
        tokio::task::yield_now().await;
        assert!(!ended.is_finished());
        ended.abort();
    }
}
