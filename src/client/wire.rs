//! One way of speaking to a server, whichever it is.

use http::header::HeaderValue;
use serde_json::Value;

use super::announced::Announced;
use super::speak::Posted;
use super::spoken::Spoken;
use super::{ClientError, Session};

/// The answer to a request.
pub(super) struct Reply {
    /// JSON, as it was sent.
    pub(super) result: String,
    /// The session that the server opened with it.
    pub(super) session: Option<HeaderValue>,
}

/// A server, as far as messages go to it and come from it.
pub(super) enum Wire {
    Posted(Posted),
    Announced(Box<Announced>),
    Spoken(Box<Spoken>),
}

impl Wire {
    pub(super) async fn request(
        &mut self,
        method: &'static str,
        params: &Value,
        session: Option<&Session>,
    ) -> Result<Reply, ClientError> {
        let unopened = |result| Reply {
            result,
            session: None,
        };
        match self {
            Self::Posted(posted) => posted.request(method, params, session).await,
            Self::Announced(announced) => announced.request(method, params).await.map(unopened),
            Self::Spoken(spoken) => spoken.request(method, params).await.map(unopened),
        }
    }

    pub(super) async fn notify(
        &mut self,
        method: &'static str,
        session: &Session,
    ) -> Result<(), ClientError> {
        match self {
            Self::Posted(posted) => posted.notify(method, session).await,
            Self::Announced(announced) => announced.notify(method).await,
            Self::Spoken(spoken) => spoken.notify(method).await,
        }
    }

    /// Ends the session, where it has an id.
    pub(super) async fn close(&mut self, session: &Session) {
        if let (Self::Posted(posted), Some(_)) = (self, &session.id) {
            drop(posted.close(session).await);
        }
    }

    pub(super) async fn end(self) {
        if let Self::Spoken(spoken) = self {
            spoken.end().await;
        }
    }
}
