//! The server behind a request: at a URL, or a command whose processes the gate has started.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::uri::PathAndQuery;
use http::{HeaderMap, Method, Request, Response};
use http_body_util::Full;
use url::Url;

use super::body::UpstreamBody;
use super::held::Held;
use super::stdio::{Host, Turn, Visit};
use super::upstream::{Connection, Upstream, UpstreamError};

/// One MCP server.
#[derive(Clone)]
pub enum Server {
    Url(Arc<Upstream>),
    Command(Arc<Host>),
}

/// A way to it that was ready when it was taken.
pub enum Way {
    Url(Connection),
    Command(Box<Turn>),
}

impl Server {
    pub fn name(&self) -> &str {
        match self {
            Self::Url(upstream) => &upstream.name,
            Self::Command(host) => &host.name,
        }
    }

    /// Where it is: its URL, or its command.
    pub fn place(&self) -> &str {
        match self {
            Self::Url(upstream) => upstream.base().as_str(),
            Self::Command(host) => host.command(),
        }
    }

    /// Until the head of an answer, or the whole of one that is held.
    pub fn response_timeout(&self) -> Duration {
        match self {
            Self::Url(upstream) => upstream.response_timeout,
            Self::Command(host) => host.response_timeout(),
        }
    }

    /// Whether a client's own `Authorization` may go to it.
    pub fn forwards(&self) -> bool {
        matches!(self, Self::Url(upstream) if upstream.forward)
    }

    /// What a stream of 2024-11-05 announces is resolved against this URL.
    pub fn base(&self) -> &Url {
        match self {
            Self::Url(upstream) => upstream.base(),
            Self::Command(host) => host.base(),
        }
    }

    /// Makes sure that a request can be sent, before it is charged.
    ///
    /// # Errors
    /// It cannot be: nothing was sent.
    pub async fn ready(&self, visit: &Visit<'_>) -> Result<Way, UpstreamError> {
        match self {
            Self::Url(upstream) => upstream.connection().await.map(Way::Url),
            Self::Command(host) => host.ready(visit).await.map(Box::new).map(Way::Command),
        }
    }

    /// The request as it goes out; to a process only its message does.
    pub fn request(
        &self,
        method: Method,
        endpoint: Option<&PathAndQuery>,
        headers: HeaderMap,
        body: Bytes,
    ) -> Request<Full<Bytes>> {
        match self {
            Self::Url(upstream) => upstream.request(method, endpoint, headers, body),
            Self::Command(_) => {
                let mut request = Request::new(Full::new(body));
                *request.method_mut() = method;
                *request.headers_mut() = headers;
                request
            }
        }
    }
}

impl Way {
    /// Sends the request and waits for the head of the answer. What the call holds goes with it.
    ///
    /// # Errors
    /// No answer comes; [`UpstreamError::nothing_sent`] says whether the server may have seen the request.
    pub async fn send(
        self,
        request: Request<Full<Bytes>>,
        held: &mut Option<Held>,
    ) -> Result<Response<UpstreamBody>, UpstreamError> {
        match self {
            Self::Url(connection) => connection.send(request, held).await,
            Self::Command(turn) => turn.send(request, held).await,
        }
    }
}
