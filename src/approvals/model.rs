//! What the store keeps of requests, and the rules by which it changes: plain Rust, no I/O, time given in.
//!
//! It is the specification of `lua/approval_*.lua`, and the book of a process without Redis. Records are opaque
//! here: what is in them, and whether they can be believed, the replicas decide (`life`, `sealed`). The store
//! sees to it that each is changed by one replica at a time, within its time, and on the server that it was
//! made on.

use std::collections::BTreeMap;

use super::ApprovalId;

/// Requests of one grant that may wait at once.
pub const WAITING_AT_MOST: usize = 10;
/// Requests that the store keeps in all, ended ones included, until they are dropped.
pub const KEPT_AT_MOST: usize = 10_000;

/// A new request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Open {
    pub id: ApprovalId,
    /// Names the exact call.
    pub call: String,
    /// The call's request that this one takes the place of.
    pub instead_of: Option<ApprovalId>,
    /// Names the grant.
    pub grant: String,
    pub record: Vec<u8>,
    /// Kept until the request ends or expires, whichever comes first.
    pub arguments: Vec<u8>,
    /// The server that the record was made for.
    pub run: String,
    /// Store time in ms.
    pub expires_ms: u64,
    /// Store time in ms from which on nothing of it is kept.
    pub drops_ms: u64,
}

/// A record that takes another's place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    pub id: ApprovalId,
    /// Names the grant.
    pub grant: String,
    /// What must be there.
    pub from: Vec<u8>,
    pub to: Vec<u8>,
    pub run: String,
    /// Store time in ms: not before.
    pub since_ms: u64,
    /// Store time in ms: not then or later.
    pub until_ms: u64,
    /// It does not wait for people any more.
    pub decided: bool,
    /// It has ended: nobody needs its arguments any more.
    pub ended: bool,
    /// Store time in ms until which it stands.
    pub expires_ms: u64,
}

/// What became of either.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Written {
    /// Something else is there: nothing was written.
    Differs,
    /// It is written, now or by the same command before.
    Done,
    /// It is too early or too late: nothing was written.
    Untimely,
    /// As many wait or are kept as may: nothing was written.
    Full,
    /// Another server took the store's place: nothing was written.
    OtherRun,
}

/// What is kept of one request.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Kept {
    record: Vec<u8>,
    arguments: Option<Vec<u8>>,
    expires_ms: u64,
    drops_ms: u64,
}

/// What one look finds under an id.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    pub record: Option<Vec<u8>>,
    pub arguments: Option<Vec<u8>>,
}

/// All that the store keeps of requests.
#[derive(Clone, Debug, Default)]
pub struct Model {
    kept: BTreeMap<ApprovalId, Kept>,
    /// The last request of each call, with the time until which it stands.
    calls: BTreeMap<String, (ApprovalId, u64)>,
    /// Of each grant, and of each server, what waits, with the time until which it does.
    waiting: BTreeMap<(String, String), BTreeMap<ApprovalId, u64>>,
    /// What has not ended, with the time until which it stands.
    open: BTreeMap<ApprovalId, u64>,
    changes: u64,
}

impl Model {
    /// Writes a new request, if the call's last one is what it is to take the place of.
    pub fn open(&mut self, now: u64, run: &str, open: Open) -> Written {
        if run != open.run {
            return Written::OtherRun;
        }
        let last = self.last(now, &open.call);
        if last == Some(open.id) {
            return Written::Done;
        }
        if last != open.instead_of {
            return Written::Differs;
        }
        if now >= open.expires_ms {
            return Written::Untimely;
        }
        self.purge(now);
        let lingers = open.drops_ms.saturating_sub(open.expires_ms);
        let waiting = self.waiting.entry((open.grant, open.run)).or_default();
        if waiting.len() >= WAITING_AT_MOST || self.kept.len() >= KEPT_AT_MOST {
            return Written::Full;
        }
        waiting.insert(open.id, open.expires_ms);
        // one that has expired stays until some replica has said so, or nothing of it is kept any more
        self.open
            .retain(|_, expires_ms| *expires_ms > now.saturating_sub(lingers));
        self.open.insert(open.id, open.expires_ms);
        self.calls.insert(open.call, (open.id, open.expires_ms));
        let kept = Kept {
            record: open.record,
            arguments: Some(open.arguments),
            expires_ms: open.expires_ms,
            drops_ms: open.drops_ms,
        };
        self.kept.insert(open.id, kept);
        self.changes = self.changes.wrapping_add(1);
        Written::Done
    }

    /// Puts one record in another's place, if that is what is there.
    pub fn change(&mut self, now: u64, run: &str, change: &Change) -> Written {
        if run != change.run {
            return Written::OtherRun;
        }
        let Some(kept) = self.kept.get_mut(&change.id).filter(|kept| now < kept.drops_ms) else {
            return Written::Differs;
        };
        if kept.record == change.to {
            return Written::Done;
        }
        if kept.record != change.from {
            return Written::Differs;
        }
        if now < change.since_ms || now >= change.until_ms {
            return Written::Untimely;
        }
        kept.record.clone_from(&change.to);
        if change.ended {
            kept.arguments = None;
            self.open.remove(&change.id);
        } else {
            self.open.insert(change.id, change.expires_ms);
        }
        if change.decided
            && let Some(waiting) = self.waiting.get_mut(&(change.grant.clone(), change.run.clone()))
        {
            waiting.remove(&change.id);
        }
        self.changes = self.changes.wrapping_add(1);
        Written::Done
    }

    /// The call's last request, while it stands.
    pub fn last(&self, now: u64, call: &str) -> Option<ApprovalId> {
        let (id, expires_ms) = self.calls.get(call)?;
        (now < *expires_ms).then_some(*id)
    }

    pub fn find(&self, now: u64, id: ApprovalId) -> Found {
        let Some(kept) = self.kept.get(&id).filter(|kept| now < kept.drops_ms) else {
            return Found::default();
        };
        let arguments = kept.arguments.as_ref().filter(|_| now < kept.expires_ms);
        Found {
            record: Some(kept.record.clone()),
            arguments: arguments.cloned(),
        }
    }

    /// At most so many of what is kept, those that are kept longest first.
    pub fn list(&self, now: u64, at_most: usize) -> Vec<ApprovalId> {
        let kept = self.kept.iter().filter(|(_, kept)| now < kept.drops_ms);
        let mut ids: Vec<_> = kept.map(|(id, kept)| (kept.drops_ms, *id)).collect();
        ids.sort_unstable_by(|a, b| b.cmp(a));
        ids.into_iter().take(at_most).map(|(_, id)| id).collect()
    }

    /// At most so many of those that have not ended, nor were said to have expired; first those that expire first.
    pub fn not_ended(&self, at_most: usize) -> Vec<ApprovalId> {
        let mut ids: Vec<_> = self.open.iter().map(|(id, expires)| (*expires, *id)).collect();
        ids.sort_unstable();
        ids.into_iter().take(at_most).map(|(_, id)| id).collect()
    }

    /// Counts what was written.
    pub const fn changes(&self) -> u64 {
        self.changes
    }

    fn purge(&mut self, now: u64) {
        self.kept.retain(|_, kept| now < kept.drops_ms);
        self.calls.retain(|_, (_, expires_ms)| now < *expires_ms);
        self.waiting.retain(|_, waiting| {
            waiting.retain(|_, expires_ms| now < *expires_ms);
            !waiting.is_empty()
        });
    }
}
