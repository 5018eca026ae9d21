//! A request that a process has, or is given just now.

use std::sync::Arc;

use bytes::Bytes;

use super::outbox::{Mailbox, Outbox, Said};
use crate::mcp::renumber::Original;
use crate::mcp::reply;
use crate::proxy::held::Held;
use crate::proxy::stdio::place::Place;
use crate::proxy::told;
use crate::proxy::upstream::UpstreamError;

pub(super) struct Waiting {
    /// What its client wrote.
    pub(super) original: Original,
    /// The bytes of the id under which the process knows it.
    pub(super) id: String,
    /// The session that it came in, if any.
    pub(super) session: Option<String>,
    pub(super) place: Option<Place>,
    pub(super) to: To,
}

/// Where its client is told.
pub(super) enum To {
    /// On the answer to its POST. `messages`: that may be a stream.
    Stream { outbox: Outbox, messages: bool },
    /// On the stream of its session (2024-11-05).
    Mailbox(Arc<Mailbox>),
}

impl Waiting {
    /// Tells a message that comes before the answer. `false`: it cannot be told here.
    pub(super) fn message(&self, message: Bytes) -> bool {
        match &self.to {
            To::Stream { outbox, messages } => *messages && outbox.say(Said::Message(message)),
            To::Mailbox(mailbox) => {
                mailbox.post(message);
                true
            }
        }
    }

    /// Where nobody reads it, it is nobody's any more.
    pub(super) fn answered(self, answer: Bytes) {
        match self.to {
            To::Stream { outbox, .. } => {
                outbox.say(Said::Answer(answer));
            }
            To::Mailbox(mailbox) => mailbox.post(answer),
        }
    }

    /// An answer came that cannot be told.
    pub(super) fn unusable(self, reason: &str) {
        let text = told::bad_answer(reason);
        let error = reply::error(Some(&self.original.id), told::CODE_UPSTREAM, &text, None);
        self.answered(error.into());
    }

    pub(super) fn failed(self, error: UpstreamError) {
        let held = self.place.and_then(Place::into_held);
        match self.to {
            To::Stream { outbox, .. } => {
                outbox.say(Said::Failed(error, held));
            }
            To::Mailbox(mailbox) => mailbox.post(no_answer(&error, &self.original.id)),
        }
    }

    /// Its client waits no more. Whether the process stopped nobody can tell: what the call holds it keeps until the
    /// lease ends by itself.
    pub(super) fn given_up(self) {
        if let Some(held) = self.place.and_then(Place::into_held) {
            Held::lapse(held);
        }
        if let To::Stream { outbox, .. } = self.to {
            outbox.say(Said::Over);
        }
    }
}

/// What a client is told whose request gets no answer.
pub(super) fn no_answer(error: &UpstreamError, id: &str) -> Bytes {
    let (code, text) = told::no_answer(error);
    reply::error(Some(id), code, text, None).into()
}
