//! The sessions that clients have with one server.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use data_encoding::HEXLOWER;
use tokio::time::Instant;

use super::child::Child;
use super::outbox::Mailbox;
use crate::proxy::upstream::UpstreamError;

/// Sessions of one server; those that share a process cost little.
const AT_MOST: usize = 10_000;

/// One session.
pub(super) struct Session {
    pub(super) id: String,
    /// The grant whose it is.
    pub(super) owner: String,
    /// The process that serves it alone; `None`: it shares one.
    pub(super) own: Option<Arc<Child>>,
    /// The version of its handshake, where it shares a process.
    pub(super) version: &'static str,
    pub(super) mailbox: Arc<Mailbox>,
    used: Mutex<Instant>,
}

impl Session {
    /// # Errors
    /// [`UpstreamError::Connect`] without random bytes for its id.
    pub(super) fn new(
        owner: &str,
        own: Option<Arc<Child>>,
        version: &'static str,
        mailbox: Arc<Mailbox>,
    ) -> Result<Self, UpstreamError> {
        let mut bytes = [0; 16];
        getrandom::fill(&mut bytes).map_err(|error| UpstreamError::Connect(error.to_string()))?;
        Ok(Self {
            id: HEXLOWER.encode(&bytes),
            owner: owner.to_owned(),
            own,
            version,
            mailbox,
            used: Mutex::new(Instant::now()),
        })
    }

    pub(super) fn touch(&self) {
        *self.used.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }
}

/// By id.
#[derive(Default)]
pub(super) struct Sessions(HashMap<String, Arc<Session>>);

impl Sessions {
    /// # Errors
    /// [`UpstreamError::Busy`] where there are too many.
    pub(super) fn add(&mut self, session: &Arc<Session>) -> Result<(), UpstreamError> {
        if self.0.len() >= AT_MOST {
            return Err(UpstreamError::Busy(AT_MOST));
        }
        self.0.insert(session.id.clone(), Arc::clone(session));
        Ok(())
    }

    /// A session of this grant.
    pub(super) fn of(&self, owner: &str, id: &str) -> Option<Arc<Session>> {
        let session = self.0.get(id).filter(|session| session.owner == owner)?;
        session.touch();
        Some(Arc::clone(session))
    }

    pub(super) fn remove(&mut self, id: &str) -> Option<Arc<Session>> {
        self.0.remove(id)
    }

    /// A session ends with the process that served it alone.
    pub(super) fn of_process_ended(&mut self, child: &Arc<Child>) {
        let served = |session: &Session| session.own.as_ref().is_some_and(|own| Arc::ptr_eq(own, child));
        self.0.retain(|_, session| !served(session));
    }

    /// Those that share a process and were not used for `long_ago`. A session with a process of its own ends with it.
    pub(super) fn idle(&self, long_ago: impl Fn(Instant) -> bool) -> Vec<String> {
        let unused = |session: &Session| {
            let used = *session.used.lock().unwrap_or_else(PoisonError::into_inner);
            session.own.is_none() && !session.mailbox.is_open() && long_ago(used)
        };
        let idle = self.0.values().filter(|session| unused(session));
        idle.map(|session| session.id.clone()).collect()
    }
}
