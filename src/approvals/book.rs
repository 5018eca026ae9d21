//! All requests: asked by calls, decided by people, used up by the call that runs.

use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::sync::watch;

use super::ApprovalsError;
use super::approval::{Approval, ApprovalId, Decision, State};
use super::life::{Record, Refused};
use super::model::{Change, Found, Open, Written};
use super::sealed::Seal;
use super::shelf::{InMemory, Looked, Shelf};

/// How often a change is tried again that somebody else came before.
const TRIES: usize = 8;
/// Requests that are looked at for one list.
pub const LISTED_AT_MOST: usize = 500;
/// The longest reason that is kept, in bytes.
pub const REASON_AT_MOST: usize = 1_000;

/// What a call asks people.
#[derive(Clone)]
pub struct Request {
    /// The grant's id as people know it.
    pub grant: String,
    /// Who the grant is, for the store.
    pub identity: String,
    pub server: String,
    pub tool: String,
    /// As the agent wrote them, in JSON.
    pub arguments: Option<String>,
    /// What [`Approvals::digest`] gave for the exact call.
    pub digest: String,
    /// How many different people must agree, 1 ..= 16.
    pub needed: u32,
}

/// Where a call stands that needs people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Asked {
    /// Its request: pending, approved or denied. `opened`: by this very call.
    Stands { approval: Approval, opened: bool },
    /// As many requests of the grant, or of all, wait as may.
    Full,
}

/// What became of one person's word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decided {
    Done(Approval),
    Unknown,
    NotPending(State),
    /// It was made for another call.
    OtherDigest,
    /// The same person has agreed before.
    AlreadyBy,
}

/// Whether a call may run.
#[derive(Debug, PartialEq, Eq)]
pub enum Consumed {
    /// This call, and no other.
    Yes(Ticket),
    /// It is not approved, or not any more: where it stands, if it is still known.
    No(Option<State>),
}

/// An approval that was used up; it can be given back while nothing was sent.
#[derive(Debug, PartialEq, Eq)]
pub struct Ticket {
    pub id: ApprovalId,
    used: String,
}

/// Is told of a request that opened here, with its call's arguments.
type Opened = dyn Fn(&Approval, Option<&str>) + Send + Sync;

/// All requests of the store; cheap to clone.
#[derive(Clone)]
pub struct Approvals {
    inner: Arc<Inner>,
}

struct Inner {
    opened: OnceLock<Box<Opened>>,
    shelf: Shelf,
    seal: Seal,
    expires: Duration,
    changes: watch::Sender<u64>,
}

impl fmt::Debug for Approvals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Approvals").finish_non_exhaustive()
    }
}

/// One record as it was read.
struct Read {
    record: Record,
    sealed: Vec<u8>,
    now: u64,
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
        let mut secret = [0; 32];
        getrandom::fill(&mut secret).map_err(|_| ApprovalsError::Randomness)?;
        let shelf = Shelf::Memory(InMemory::new(clock));
        Ok(Self::over(shelf, Seal::new(&secret, "memory")?, expires))
    }

    fn over(shelf: Shelf, seal: Seal, expires: Duration) -> Self {
        let inner = Inner {
            opened: OnceLock::new(),
            shelf,
            seal,
            expires,
            changes: watch::Sender::new(0),
        };
        Self {
            inner: Arc::new(inner),
        }
    }

    /// Stands for the exact call that these parts make.
    ///
    /// # Errors
    /// [`ApprovalsError::Sealing`]
    pub fn digest(&self, parts: &[&[u8]]) -> Result<String, ApprovalsError> {
        self.inner.seal.digest(parts)
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

    /// What is known, the oldest first; at most [`LISTED_AT_MOST`].
    ///
    /// # Errors
    /// Any [`ApprovalsError`]
    pub async fn list(&self, state: Option<State>) -> Result<Vec<Approval>, ApprovalsError> {
        let ids = self.inner.shelf.list(LISTED_AT_MOST).await?;
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
                let shown = self.get(id).await?;
                return Ok(Decided::Done(
                    shown.unwrap_or_else(|| next.shown(*id, read.now, None)),
                ));
            }
        }
        Err(ApprovalsError::Contended)
    }

    /// Where the call stands; asks people where nobody was asked.
    ///
    /// # Errors
    /// Any [`ApprovalsError`]: people may have been asked.
    pub async fn ask(&self, request: &Request) -> Result<Asked, ApprovalsError> {
        for _ in 0..TRIES {
            let shelf = &self.inner.shelf;
            let last = shelf.last(&request.digest).await?;
            let ids: Vec<ApprovalId> = last.into_iter().collect();
            let looked = shelf.look(&ids).await?;
            let known = ids.first().zip(looked.found.first());
            let record = known.and_then(|(id, found)| Some((*id, self.believed(*id, &looked.run, found)?)));
            if let Some((id, record)) = record
                && record.digest == request.digest
                && record.stands_at(looked.now)
            {
                let approval = record.shown(id, looked.now, None);
                return Ok(Asked::Stands {
                    approval,
                    opened: false,
                });
            }
            let id = ApprovalId::random()?;
            let record = self.begin(request, &looked);
            let written = shelf.open(self.opening(id, request, last, &record)?).await?;
            match written {
                Written::Done => {
                    self.tick();
                    let approval = record.shown(id, looked.now, None);
                    if let Some(tell) = self.inner.opened.get() {
                        tell(&approval, request.arguments.as_deref());
                    }
                    return Ok(Asked::Stands {
                        approval,
                        opened: true,
                    });
                }
                Written::Full => return Ok(Asked::Full),
                Written::Differs | Written::OtherRun | Written::Untimely => {}
            }
        }
        Err(ApprovalsError::Contended)
    }

    /// Uses an approval up, for the call that is about to be sent.
    ///
    /// # Errors
    /// Any [`ApprovalsError`]: it may be used up, and nothing may be sent.
    pub async fn consume(&self, id: ApprovalId, digest: &str) -> Result<Consumed, ApprovalsError> {
        let used = ApprovalId::random()?.to_string();
        for _ in 0..TRIES {
            let Some(read) = self.read(id).await?.filter(|read| read.record.digest == digest) else {
                return Ok(Consumed::No(None));
            };
            let next = match read.record.consumed(read.now, used.clone()) {
                Ok(next) => next,
                Err(state) => return Ok(Consumed::No(Some(state))),
            };
            let until = read.record.expires_ms;
            if self.change(id, &read, &next, 0, until).await? == Written::Done {
                return Ok(Consumed::Yes(Ticket { id, used }));
            }
        }
        Err(ApprovalsError::Contended)
    }

    /// Gives an approval back, of whose call surely nothing was sent. `false`: its time is over meanwhile.
    ///
    /// # Errors
    /// Any [`ApprovalsError`]: it may stay used up.
    pub async fn give_back(&self, ticket: &Ticket) -> Result<bool, ApprovalsError> {
        for _ in 0..TRIES {
            let Some(read) = self.read(ticket.id).await? else {
                return Ok(false);
            };
            let Some(next) = read.record.given_back(&ticket.used) else {
                return Ok(false);
            };
            match self
                .change(ticket.id, &read, &next, 0, read.record.expires_ms)
                .await?
            {
                Written::Done => return Ok(true),
                Written::Untimely => return Ok(false),
                Written::Differs | Written::Full | Written::OtherRun => {}
            }
        }
        Err(ApprovalsError::Contended)
    }

    /// Ends every request whose time is over; gives those that this call ended.
    ///
    /// # Errors
    /// Any [`ApprovalsError`]: the others come next time.
    pub async fn expire(&self) -> Result<Vec<Approval>, ApprovalsError> {
        let ids = self.inner.shelf.list(LISTED_AT_MOST).await?;
        let looked = self.inner.shelf.look(&ids).await?;
        let mut ended = Vec::new();
        for (id, found) in ids.into_iter().zip(looked.found) {
            let record = self.believed(id, &looked.run, &found);
            let Some((record, sealed)) = record.zip(found.record) else {
                continue;
            };
            let Some(next) = record.expired(looked.now) else {
                continue;
            };
            let (since, until) = (record.expires_ms, record.drops_ms());
            let now = looked.now;
            let read = Read { record, sealed, now };
            if self.change(id, &read, &next, since, until).await? == Written::Done {
                ended.push(next.shown(id, now, None));
            }
        }
        Ok(ended)
    }

    async fn read(&self, id: ApprovalId) -> Result<Option<Read>, ApprovalsError> {
        let looked = self.inner.shelf.look(&[id]).await?;
        let read = looked.found.into_iter().next().and_then(|found| {
            let record = self.believed(id, &looked.run, &found)?;
            let sealed = found.record?;
            Some(Read {
                record,
                sealed,
                now: looked.now,
            })
        });
        Ok(read)
    }

    /// The record, where a replica with the key made it for this id on this server.
    fn believed(&self, id: ApprovalId, run: &str, found: &Found) -> Option<Record> {
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

    fn begin(&self, request: &Request, looked: &Looked) -> Record {
        let expires = u64::try_from(self.inner.expires.as_millis()).unwrap_or(u64::MAX);
        Record {
            state: State::Pending,
            run: looked.run.clone(),
            grant: request.grant.clone(),
            whose: request.identity.clone(),
            server: request.server.clone(),
            tool: request.tool.clone(),
            digest: request.digest.clone(),
            created_ms: looked.now,
            expires_ms: looked.now.saturating_add(expires),
            needed: request.needed,
            decisions: Vec::new(),
            used: None,
        }
    }

    fn opening(
        &self,
        id: ApprovalId,
        request: &Request,
        instead_of: Option<ApprovalId>,
        record: &Record,
    ) -> Result<Open, ApprovalsError> {
        let seal = &self.inner.seal;
        Ok(Open {
            id,
            call: request.digest.clone(),
            instead_of,
            grant: record.whose.clone(),
            record: seal.record(id, record)?,
            arguments: seal.hide(id, request.arguments.as_deref())?,
            run: record.run.clone(),
            expires_ms: record.expires_ms,
            drops_ms: record.drops_ms(),
        })
    }

    /// Puts a record in the place of the one that was read, within this time of the store.
    async fn change(
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
        };
        let written = self.inner.shelf.change(change).await?;
        if written == Written::Done {
            self.tick();
        }
        Ok(written)
    }

    fn tick(&self) {
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
