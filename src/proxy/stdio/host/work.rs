//! What a request wants of a process.

use crate::mcp::envelope::{Envelope, Kind};

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Work {
    /// Open a session.
    Open,
    /// Open a session of 2024-11-05, with its stream.
    OpenStream,
    /// Open the session's stream.
    Listen,
    End,
    Request,
    /// `initialize` in a session of 2024-11-05.
    Initialize,
    /// A notification, or an answer to the process.
    Tell(Tell),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tell {
    Cancel,
    /// What concerns the handshake, roots, or a request of the process: only a session's own process understands it.
    OfTheSession,
    Other,
}

impl Work {
    pub(super) fn of(message: &Envelope<'_>) -> Self {
        match (message.kind, message.method.as_deref().unwrap_or_default()) {
            (Kind::Request, "initialize") => Self::Initialize,
            (Kind::Request, _) => Self::Request,
            (Kind::Notification, "notifications/cancelled") => Self::Tell(Tell::Cancel),
            (Kind::Response, _)
            | (
                Kind::Notification,
                "notifications/initialized" | "notifications/roots/list_changed" | "notifications/progress",
            ) => Self::Tell(Tell::OfTheSession),
            (Kind::Notification, _) => Self::Tell(Tell::Other),
        }
    }
}
