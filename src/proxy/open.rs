//! Answers that are open, with the grants that they go to: an event stream may outlive its grant.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use tokio::task::AbortHandle;

use super::Snapshot;
use super::who::Identified;
use crate::grants::Grant;

/// All answers of upstreams that are under way.
#[derive(Default)]
pub struct OpenAnswers(Arc<Mutex<Table>>);

#[derive(Default)]
struct Table {
    next: u64,
    answers: BTreeMap<u64, Answer>,
}

struct Answer {
    server: String,
    whose: Identified,
    /// Ends the connection to the upstream, and with it the answer.
    connection: AbortHandle,
    cut: Arc<AtomicBool>,
}

/// One answer's entry, as its body holds it. Dropped before the connection serves another call.
pub struct Watching {
    table: Arc<Mutex<Table>>,
    number: u64,
    cut: Arc<AtomicBool>,
}

impl OpenAnswers {
    fn lock(&self) -> MutexGuard<'_, Table> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn watch(&self, server: &str, whose: Identified, connection: AbortHandle) -> Watching {
        let cut = Arc::new(AtomicBool::new(false));
        let mut table = self.lock();
        let number = table.next;
        table.next = number.wrapping_add(1);
        let answer = Answer {
            server: server.to_owned(),
            whose,
            connection,
            cut: Arc::clone(&cut),
        };
        table.answers.insert(number, answer);
        drop(table);
        Watching {
            table: Arc::clone(&self.0),
            number,
            cut,
        }
    }

    /// Cuts the answers whose grant does not stand any more.
    pub fn cut(&self, snapshot: &Arc<Snapshot>, now: Timestamp, is_blocked: impl Fn(&Grant) -> bool) {
        let mut cut = 0_u64;
        // under the lock: a connection whose answer has ended serves another call
        for answer in self.lock().answers.values_mut() {
            if !answer.stands(snapshot, now) || is_blocked(&answer.whose.grant) {
                let first = !answer.cut.swap(true, Ordering::Relaxed);
                answer.connection.abort();
                cut = cut.saturating_add(u64::from(first));
            }
        }
        if cut > 0 {
            tracing::info!(answers = cut, "open answers were cut: their grants have ended");
        }
    }
}

impl Answer {
    /// Whether its credential still stands for its grant. Grants that were read again are asked once.
    fn stands(&mut self, snapshot: &Arc<Snapshot>, now: Timestamp) -> bool {
        if self.whose.has_ended(now) {
            return false;
        }
        if self.whose.judged_by(snapshot) {
            return true;
        }
        let found = snapshot.grants.find(&self.whose.credential, &self.server);
        let same = |grant: &Arc<Grant>| {
            grant.identity() == self.whose.grant.identity() && grant.reaches(&self.server, now)
        };
        match found.ok().filter(same) {
            Some(grant) => {
                self.whose.stands_again(grant, snapshot);
                true
            }
            None => false,
        }
    }
}

impl Watching {
    /// Whether the answer was cut because its grant has ended.
    pub fn is_cut(&self) -> bool {
        self.cut.load(Ordering::Relaxed)
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        table.answers.remove(&self.number);
    }
}
