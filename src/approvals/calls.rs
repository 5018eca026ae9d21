//! What calls do: ask people, use an approval up, give it back.

use super::ApprovalsError;
use super::approval::{Approval, ApprovalId, State};
use super::book::{Approvals, TRIES};
use super::life::Record;
use super::model::{Open, Written};
use super::shelf::Looked;

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
    Stands { approval: Box<Approval>, opened: bool },
    /// As many requests of the grant, or of all, wait as may.
    Full,
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
    mark: String,
}

impl Approvals {
    /// Stands for the exact call that these parts make.
    ///
    /// # Errors
    /// [`ApprovalsError::Sealing`]
    pub fn digest(&self, parts: &[&[u8]]) -> Result<String, ApprovalsError> {
        self.inner.seal.digest(parts)
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
                let approval = Box::new(record.shown(id, looked.now, None));
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
                    let approval = Box::new(record.shown(id, looked.now, None));
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
        let mark = ApprovalId::random()?.to_string();
        for _ in 0..TRIES {
            let read = self.read(id).await?;
            let Some(read) = read.filter(|read| read.record.digest == digest) else {
                return Ok(Consumed::No(None));
            };
            if self.inner.spent.holds(id) {
                return Ok(Consumed::No(Some(State::Consumed)));
            }
            let next = match read.record.consumed(read.now, mark.clone()) {
                Ok(next) => next,
                Err(state) => return Ok(Consumed::No(Some(state))),
            };
            let until = read.record.expires_ms;
            if self.change(id, &read, &next, 0, until).await? == Written::Done {
                self.inner.spent.add(id, read.now, until);
                return Ok(Consumed::Yes(Ticket { id, mark }));
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
            let Some(next) = read.record.given_back(&ticket.mark) else {
                return Ok(false);
            };
            match self
                .change(ticket.id, &read, &next, 0, read.record.expires_ms)
                .await?
            {
                Written::Done => {
                    self.inner.spent.remove(ticket.id);
                    return Ok(true);
                }
                Written::Untimely => return Ok(false),
                Written::Differs | Written::Full | Written::OtherRun => {}
            }
        }
        Err(ApprovalsError::Contended)
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
            mark: None,
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
}
