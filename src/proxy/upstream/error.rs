//! Why a server gave no answer.

use std::time::Duration;

/// Why no answer came. The text is for the log: it names no header or body.
#[derive(Debug, thiserror::Error)]
pub enum UpstreamError {
    #[error("cannot connect: {0}")]
    Connect(String),
    #[error("no connection within {0:?}")]
    ConnectTimeout(Duration),
    #[error("no credentials for the upstream: {0}")]
    Credentials(String),
    #[error("{0} requests wait for an answer already")]
    Busy(usize),
    #[error("{0} processes of the server run already")]
    Processes(usize),
    #[error("the server is spoken to in sessions, and none was opened")]
    NoSession,
    #[error("the session is over")]
    SessionOver,
    #[error("the session is open already")]
    SessionOpen,
    #[error("the connection closed before the request was written")]
    Unsent,
    #[error("the connection failed after the request was written: {0}")]
    Broken(String),
    #[error("no answer within {0:?}")]
    ResponseTimeout(Duration),
    #[error("its lease was over before it was sent")]
    LeaseOver,
    #[error("its lease could not be renewed, so the call was cut")]
    LeaseLost,
}

impl UpstreamError {
    /// True where no byte of the request can have reached the upstream.
    pub const fn nothing_sent(&self) -> bool {
        matches!(
            self,
            Self::Connect(_)
                | Self::ConnectTimeout(_)
                | Self::Credentials(_)
                | Self::Busy(_)
                | Self::Processes(_)
                | Self::NoSession
                | Self::SessionOver
                | Self::SessionOpen
                | Self::Unsent
                | Self::LeaseOver
        )
    }

    pub const fn is_timeout(&self) -> bool {
        matches!(self, Self::ConnectTimeout(_) | Self::ResponseTimeout(_))
    }
}
