//! Why a server's tools are not known.

use std::time::Duration;

use super::{ANSWER_BYTES, MODERN, PAGES, TOOLS};
use crate::mcp::tools::NotTools;

/// Why there is no list. The text names no header's value and no answer's body.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    #[error(
        "not a URL that can be asked: write http://HOST:PORT/PATH or https://…, without user or fragment"
    )]
    Url,
    #[error("{0}")]
    Connect(String),
    #[error("`{program}` cannot be started ({error}): look whether it is on PATH and may be executed")]
    Start { program: String, error: std::io::Error },
    #[error("the command has ended, or does not read")]
    Ended,
    #[error("no list of tools within {} s", .0.as_secs_f32())]
    Deadline(Duration),
    #[error(
        "the server answered {0}: give the header that it wants, such as --header-env Authorization=NAME"
    )]
    Unauthorized(u16),
    #[error("the server redirects ({0}): name the URL that it redirects to")]
    Redirect(u16),
    #[error("the server answered {0} and no message")]
    Status(u16),
    #[error("the answer has more than {ANSWER_BYTES} bytes")]
    TooLarge,
    #[error("the answer broke off: {0}")]
    Broken(String),
    #[error("the server's answer is no message of MCP")]
    NotMcp,
    #[error("the server refused `{method}`: {message} ({code})")]
    Refused {
        method: &'static str,
        code: i64,
        message: String,
    },
    #[error("the server's list of tools cannot be read: {0}")]
    List(#[from] NotTools),
    #[error("{in_a_session}; asked as revision {MODERN} asks: {modern}")]
    Neither {
        modern: Box<Self>,
        in_a_session: Box<Self>,
    },
    #[error("its event stream announces no endpoint that can be used: {0}")]
    NoEndpoint(String),
    #[error("the server's list of tools does not end: more than {PAGES} pages or {TOOLS} tools")]
    Endless,
}

impl ClientError {
    /// Whether a server of the revisions with sessions may have said that.
    pub(super) const fn is_of_another_era(&self) -> bool {
        matches!(
            self,
            Self::Status(_) | Self::Refused { .. } | Self::NotMcp | Self::List(NotTools::NoList)
        )
    }
}
