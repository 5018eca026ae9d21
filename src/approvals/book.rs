//! All requests: asked by calls, decided by people, used up by the call that runs.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::sync::watch;

use super::ApprovalsError;
use super::approval::{Approval, ApprovalId, Decision, State};
use super::life::{Record, Refused};
use super::model::{Change, Found, Written};
use super::sealed::Seal;
use super::shelf::{InMemory, InRedis, Looked, Shelf};
use super::spent::Spent;
use crate::counters::RedisStore;

/// How often a change is tried again that somebody else came before.
pub(super) const TRIES: usize = 8;
/// Requests that are looked at for one list.
pub const LISTED_AT_MOST: usize = 500;
/// The longest reason that is kept, in bytes.
pub const REASON_AT_MOST: usize = 1_000;

/// What became of one person's word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decided {
    Done(Box<Approval>),
    Unknown,
    NotPending(State),
    /// It was made for another call.
    OtherDigest,
    /// The same person has agreed before.
    AlreadyBy,
}

/// Is told of a request that opened here, with its call's arguments.
type Opened = dyn Fn(&Approval, Option<&str>) + Send + Sync;

/// All requests of the store; cheap to clone.
#[derive(Clone)]
pub struct Approvals {
    pub(super) inner: Arc<Inner>,
}

pub(super) struct Inner {
    pub(super) opened: OnceLock<Box<Opened>>,
    pub(super) shelf: Shelf,
    pub(super) seal: Seal,
    pub(super) expires: Duration,
    pub(super) spent: Spent,
    pub(super) changes: watch::Sender<u64>,
}

impl fmt::Debug for Approvals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Approvals").finish_non_exhaustive()
    }
}

/// One record as it was read.
pub(super) struct Read {
    pub(super) record: Record,
    pub(super) sealed: Vec<u8>,
    /// The call's arguments, hidden.
    pub(super) hidden: Option<Vec<u8>>,
    pub(super) now: u64,
}

impl Approvals {
    /// Requests of this process alone, under a key that nobody else has; each stands for `expires`.
    ///
    /// # Errors
    /// [`ApprovalsError::Randomness`]
    pub fn in_memory(
        clock: impl Fn() -> u64 + Send + Sync + 'static,
        expires: Duration,
    ) -> Result<Self, ApprovalsError> {
        let shelf = Shelf::Memory(InMemory::new(clock));
        Ok(Self::over(shelf, Seal::random()?, expires))
    }

    /// Requests that all replicas with the same store and key share; each stands for `expires`.
    ///
    /// # Errors
    /// [`ApprovalsError::Sealing`]
    pub fn in_redis(store: RedisStore, key: &[u8], expires: Duration) -> Result<Self, ApprovalsError> {
        let seal = Seal::new(key, store.name_prefix())?;
        Ok(Self::over(
            Shelf::Redis(Box::new(InRedis::new(store))),
            seal,
            expires,
        ))
    }

    /// No requests at all: a shared store without a key. All that is asked is an error.
    ///
    /// # Errors
    /// [`ApprovalsError::Randomness`]
    pub fn nowhere() -> Result<Self, ApprovalsError> {
        Ok(Self::over(Shelf::Nowhere, Seal::random()?, Duration::ZERO))
    }

    fn over(shelf: Shelf, seal: Seal, expires: Duration) -> Self {
        let inner = Inner {
            opened: OnceLock::new(),
            shelf,
            seal,
            expires,
            spent: Spent::default(),
            changes: watch::Sender::new(0),
        };
        Self {
            inner: Arc::new(inner),
        }
    }

    /// Has `tell` called for each request that a call of this replica opens; it must not block. The first one counts.
    pub fn on_opened(&self, tell: impl Fn(&Approval, Option<&str>) + Send + Sync + 'static) {
        // an error means that somebody is told already
        drop(self.inner.opened.set(Box::new(tell)));
    }

    /// Ticks when anything may have changed: here at once, by other replicas within a second.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.inner.changes.subscribe()
    }

    /// What is known, the oldest first: at most [`LISTED_AT_MOST`] that are open, and as many of all, the newest.
    ///
    /// # Errors
    /// Any [`ApprovalsError`]
    pub async fn list(&self, state: Option<State>) -> Result<Vec<Approval>, ApprovalsError> {
        let shelf = &self.inner.shelf;
        let mut ids = shelf.not_ended(LISTED_AT_MOST).await?;
        if !matches!(state, Some(State::Pending | State::Approved)) {
            let open: BTreeSet<ApprovalId> = ids.iter().copied().collect();
            let all = shelf.list(LISTED_AT_MOST).await?;
            ids.extend(all.into_iter().filter(|id| !open.contains(id)));
        }
        let looked = self.inner.shelf.look(&ids).await?;
        let mut listed: Vec<Approval> = (ids.iter().zip(&looked.found))
            .filter_map(|(id, found)| self.shown(*id, &looked, found))
            .filter(|approval| state.is_none_or(|state| approval.state == state))
            .collect();
        listed.sort_by_key(|approval| (approval.created_ms, approval.id));
        Ok(listed)
    }

    /// # Errors
    /// Any [`ApprovalsError`]
    pub async fn get(&self, id: &ApprovalId) -> Result<Option<Approval>, ApprovalsError> {
        let looked = self.inner.shelf.look(&[*id]).await?;
        let found = looked.found.first();
        Ok(found.and_then(|found| self.shown(*id, &looked, found)))
    }

    /// Where the request stands; cheaper than [`Approvals::get`].
    ///
    /// # Errors
    /// Any [`ApprovalsError`]
    pub async fn state(&self, id: &ApprovalId) -> Result<Option<State>, ApprovalsError> {
        let read = self.read(*id).await?;
        Ok(read.map(|read| read.record.state_at(read.now)))
    }

    /// Takes one person's word; a reason is cut at [`REASON_AT_MOST`] bytes.
    ///
    /// # Errors
    /// Any [`ApprovalsError`]: the word may count or not.
    pub async fn decide(
        &self,
        id: &ApprovalId,
        digest: &str,
        approve: bool,
        by: &str,
        reason: &str,
    ) -> Result<Decided, ApprovalsError> {
        for _ in 0..TRIES {
            let Some(read) = self.read(*id).await? else {
                return Ok(Decided::Unknown);
            };
            let decision = Decision {
                by: by.to_owned(),
                approve,
                reason: cut(reason, REASON_AT_MOST).to_owned(),
                at_ms: read.now,
            };
            let next = match read.record.decided(read.now, digest, decision) {
                Ok(next) => next,
                Err(Refused::NotPending(state)) => return Ok(Decided::NotPending(state)),
                Err(Refused::OtherDigest) => return Ok(Decided::OtherDigest),
                Err(Refused::AlreadyBy) => return Ok(Decided::AlreadyBy),
            };
            let until = read.record.expires_ms;
            if self.change(*id, &read, &next, 0, until).await? == Written::Done {
                // as this word left it: a call that waited may have used it up by now
                let hidden = read.hidden.as_ref();
                let arguments = hidden.and_then(|hidden| self.inner.seal.show(*id, hidden));
                return Ok(Decided::Done(Box::new(next.shown(*id, read.now, arguments))));
            }
        }
        Err(ApprovalsError::Contended)
    }

    pub(super) async fn read(&self, id: ApprovalId) -> Result<Option<Read>, ApprovalsError> {
        let looked = self.inner.shelf.look(&[id]).await?;
        let read = looked.found.into_iter().next().and_then(|found| {
            let record = self.believed(id, &looked.run, &found)?;
            Some(Read {
                record,
                sealed: found.record?,
                hidden: found.arguments,
                now: looked.now,
            })
        });
        Ok(read)
    }

    /// The record, where a replica with the key made it for this id on this server.
    pub(super) fn believed(&self, id: ApprovalId, run: &str, found: &Found) -> Option<Record> {
        let sealed = found.record.as_ref()?;
        let record = self.inner.seal.read(id, sealed);
        if record.is_none() {
            tracing::warn!(approval = %id, "an approval in the store was not made with this key: it counts for nothing");
        }
        record.filter(|record| record.run == run)
    }

    fn shown(&self, id: ApprovalId, looked: &Looked, found: &Found) -> Option<Approval> {
        let record = self.believed(id, &looked.run, found)?;
        let hidden = found.arguments.as_ref();
        let arguments = hidden.and_then(|hidden| self.inner.seal.show(id, hidden));
        Some(record.shown(id, looked.now, arguments))
    }

    /// Puts a record in the place of the one that was read, within this time of the store.
    pub(super) async fn change(
        &self,
        id: ApprovalId,
        read: &Read,
        next: &Record,
        since_ms: u64,
        until_ms: u64,
    ) -> Result<Written, ApprovalsError> {
        let change = Change {
            id,
            grant: read.record.whose.clone(),
            from: read.sealed.clone(),
            to: self.inner.seal.record(id, next)?,
            run: read.record.run.clone(),
            since_ms,
            until_ms,
            decided: next.state != State::Pending,
            ended: next.has_ended(),
            expires_ms: read.record.expires_ms,
        };
        let written = self.inner.shelf.change(change).await?;
        if written == Written::Done {
            self.tick();
        }
        Ok(written)
    }

    pub(super) fn tick(&self) {
        self.inner
            .changes
            .send_modify(|count| *count = count.wrapping_add(1));
    }
}

/// The beginning of a text, in whole characters.
fn cut(text: &str, at_most: usize) -> &str {
    let end = text
        .char_indices()
        .map(|(at, character)| at + character.len_utf8());
    let end = end.take_while(|end| *end <= at_most).last();
    text.get(..end.unwrap_or(0)).unwrap_or_default()
}
