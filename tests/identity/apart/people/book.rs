//! What one grant has asked people and where that stands: what should be, kept as plainly as can be.

use toolgate::approvals::{State, model::WAITING_AT_MOST};

use super::agent::Call;

/// One request of the grant.
pub struct Request {
    pub id: String,
    pub call: Call,
    pub state: State,
    /// What the client was given to bring back, if it was given any.
    pub brings: Option<String>,
}

/// What a call should come to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Due {
    /// People are asked.
    Asked,
    /// Nobody is asked: as many calls of this grant wait as may.
    Full,
    /// It waits for this request.
    Waits(String),
    /// It uses this approval up.
    Runs(String),
    /// It was refused under this request.
    Refused(String),
}

/// All requests of one grant, oldest first. Nothing in it is of another's.
#[derive(Default)]
pub struct Book {
    pub requests: Vec<Request>,
}

impl Book {
    pub fn due(&self, call: Call) -> Due {
        let Some(last) = self.last(call) else {
            let full = self.in_state(State::Pending).count() == WAITING_AT_MOST;
            return if full { Due::Full } else { Due::Asked };
        };
        let id = last.id.clone();
        match last.state {
            State::Pending => Due::Waits(id),
            State::Approved => Due::Runs(id),
            _ => Due::Refused(id),
        }
    }

    /// The request that the call gets its answer from.
    pub fn last(&self, call: Call) -> Option<&Request> {
        let last = self.requests.iter().rfind(|request| request.call == call);
        last.filter(|request| request.state != State::Consumed)
    }

    pub fn opens(&mut self, id: String, call: Call) {
        self.requests.push(Request {
            id,
            call,
            state: State::Pending,
            brings: None,
        });
    }

    pub fn of(&mut self, id: &str) -> &mut Request {
        let found = self.requests.iter_mut().find(|request| request.id == id);
        found.unwrap_or_else(|| panic!("{id} is no request of this grant"))
    }

    pub fn has(&self, id: &str) -> bool {
        self.requests.iter().any(|request| request.id == id)
    }

    pub fn in_state(&self, state: State) -> impl Iterator<Item = &Request> {
        self.requests.iter().filter(move |request| request.state == state)
    }

    /// One approval runs one call.
    pub fn runs(&self) -> usize {
        self.in_state(State::Consumed).count()
    }
}
