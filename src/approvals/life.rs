//! One request from its beginning to its end: pure, time is an argument.

use serde::{Deserialize, Serialize};

use super::approval::{Approval, ApprovalId, Decision, State};

/// How long after its time a request can still be looked at, without its arguments.
pub const LINGER_MS: u64 = 600_000;

/// What is written down of a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    pub state: State,
    /// The store's server that it was made on: on another one it counts for nothing, because that one may have
    /// missed that it was used up.
    pub run: String,
    /// The grant's id as people know it.
    pub grant: String,
    /// Names the grant in the store.
    pub whose: String,
    pub server: String,
    pub tool: String,
    pub digest: String,
    pub created_ms: u64,
    pub expires_ms: u64,
    pub needed: u32,
    pub decisions: Vec<Decision>,
    /// Drawn by the replica that ended it: only that one says so, and can give it back.
    pub mark: Option<String>,
}

/// Why a decision does not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    NotPending(State),
    /// It was made for another call.
    OtherDigest,
    /// The same person has agreed before.
    AlreadyBy,
}

impl Record {
    /// Where it stands at `now`.
    pub const fn state_at(&self, now: u64) -> State {
        match self.state {
            State::Pending | State::Approved if now >= self.expires_ms => State::Expired,
            state => state,
        }
    }

    /// Whether the same call still gets its answer from this request.
    pub const fn stands_at(&self, now: u64) -> bool {
        now < self.expires_ms && matches!(self.state, State::Pending | State::Approved | State::Denied)
    }

    /// The record after one more person's word.
    ///
    /// # Errors
    /// [`Refused`] where it changes nothing.
    pub fn decided(&self, now: u64, digest: &str, decision: Decision) -> Result<Self, Refused> {
        match self.state_at(now) {
            State::Pending => {}
            state => return Err(Refused::NotPending(state)),
        }
        if digest != self.digest {
            return Err(Refused::OtherDigest);
        }
        let agrees = |made: &Decision| made.approve && made.by == decision.by;
        if decision.approve && self.decisions.iter().any(agrees) {
            return Err(Refused::AlreadyBy);
        }
        let mut next = self.clone();
        let approve = decision.approve;
        next.decisions.push(decision);
        let agreed = next.decisions.iter().filter(|made| made.approve).count();
        if !approve {
            next.state = State::Denied;
        } else if u32::try_from(agreed).is_ok_and(|agreed| agreed >= self.needed) {
            next.state = State::Approved;
        }
        Ok(next)
    }

    /// The record once the call is about to run; `mark` is drawn anew each time.
    ///
    /// # Errors
    /// Where it stands, unless it is approved.
    pub fn consumed(&self, now: u64, mark: String) -> Result<Self, State> {
        match self.state_at(now) {
            State::Approved => Ok(Self {
                state: State::Consumed,
                mark: Some(mark),
                ..self.clone()
            }),
            state => Err(state),
        }
    }

    /// The record where surely nothing of the call was sent; `None` where somebody else used it up.
    pub fn given_back(&self, mark: &str) -> Option<Self> {
        let is_ours = self.state == State::Consumed && self.mark.as_deref() == Some(mark);
        is_ours.then(|| Self {
            state: State::Approved,
            mark: None,
            ..self.clone()
        })
    }

    /// The record once its time is over; `None` where it has ended before. `mark` is drawn anew each time.
    pub fn expired(&self, now: u64, mark: String) -> Option<Self> {
        let lapses = self.state != State::Expired && self.state_at(now) == State::Expired;
        lapses.then(|| Self {
            state: State::Expired,
            mark: Some(mark),
            ..self.clone()
        })
    }

    /// Whether nobody needs its arguments any more.
    pub const fn has_ended(&self) -> bool {
        matches!(self.state, State::Denied | State::Expired | State::Consumed)
    }

    /// Store time in ms from which on nothing of it is kept.
    pub const fn drops_ms(&self) -> u64 {
        self.expires_ms.saturating_add(LINGER_MS)
    }

    /// As it is shown at `now`.
    pub fn shown(self, id: ApprovalId, now: u64, arguments: Option<String>) -> Approval {
        let state = self.state_at(now);
        let shows = matches!(state, State::Pending | State::Approved);
        let grant_key = (self.whose != self.grant).then_some(self.whose);
        Approval {
            id,
            state,
            grant: self.grant,
            grant_key,
            server: self.server,
            tool: self.tool,
            arguments: arguments.filter(|_| shows),
            digest: self.digest,
            created_ms: self.created_ms,
            expires_ms: self.expires_ms,
            needed: self.needed,
            decisions: self.decisions,
        }
    }
}
