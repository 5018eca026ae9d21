//! One upstream: connections that are taken before a call is charged, and that say whether a request left.
//!
//! Own pool on `hyper::client::conn`: `try_send_request` gives back a message that was not sent, which a
//! refund needs to know. No retries, no redirects.

mod error;
mod tunnel;

pub use error::UpstreamError;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::header::{HOST, HeaderValue};
use http::uri::{Authority, PathAndQuery};
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::task::AbortHandle;
use tokio_rustls::TlsConnector;
use url::Url;

use super::access::Access;
use super::body::UpstreamBody;
use super::held::Held;
use super::written::{Behind, Watched};
use crate::settings::{EgressProxy, Server};

/// Node servers close idle connections after 5 s: ours are let go before that.
const IDLE_AT_MOST: Duration = Duration::from_secs(4);
/// Idle connections kept for one upstream.
const IDLE_CONNECTIONS: usize = 256;

/// One connection, as far as requests are sent on it.
pub(super) struct Sender {
    requests: SendRequest<Full<Bytes>>,
    behind: Behind,
    /// Ends the connection, whatever is under way on it.
    abort: AbortHandle,
}

impl Sender {
    /// What ends the connection.
    pub(super) fn abort_handle(&self) -> AbortHandle {
        self.abort.clone()
    }

    /// Whether another request may go out on it: an earlier one must have left whole.
    fn is_usable(&self) -> bool {
        !self.requests.is_closed() && !self.behind.is_behind()
    }
}

/// An upstream and its idle connections.
pub struct Upstream {
    pub name: String,
    authority: Authority,
    port: u16,
    target: PathAndQuery,
    base: Url,
    host_header: HeaderValue,
    pub pass_host: bool,
    access: Access,
    /// What its certificate must say; `None`: asked in the clear.
    server_name: Option<ServerName<'static>>,
    /// It is reached through this proxy.
    egress: Option<EgressProxy>,
    /// Pass on the client's token where it was issued for this server.
    pub forward: bool,
    connect_timeout: Duration,
    pub response_timeout: Duration,
    pub idle_timeout: Duration,
    idle: Mutex<Vec<(Sender, Instant)>>,
}

/// A connection that was ready when it was taken. Dropped unused, it goes back.
pub struct Connection {
    sender: Option<Sender>,
    upstream: Arc<Upstream>,
}

impl Drop for Connection {
    fn drop(&mut self) {
        if let Some(sender) = self.sender.take() {
            self.upstream.put_back(sender);
        }
    }
}

impl Upstream {
    /// Fails where the URL's host cannot be a TLS server name.
    pub fn new(name: &str, settings: &Server, access: Access) -> Result<Self, String> {
        let authority = settings
            .upstream
            .authority()
            .cloned()
            .ok_or("the upstream URL has no host")?;
        let https = settings.upstream.scheme_str() == Some("https");
        let server_name = if https {
            let host = authority.host().trim_start_matches('[').trim_end_matches(']');
            let name = ServerName::try_from(host.to_owned())
                .map_err(|_| format!("`{host}` cannot be the name in a certificate"))?;
            Some(name)
        } else {
            None
        };
        let host_header = HeaderValue::from_str(authority.as_str()).map_err(|error| error.to_string())?;
        let target = settings.upstream.path_and_query().cloned();
        let base = Url::parse(&settings.upstream.to_string()).map_err(|error| error.to_string())?;
        Ok(Self {
            name: name.to_owned(),
            base,
            port: authority.port_u16().unwrap_or(if https { 443 } else { 80 }),
            authority,
            target: target.unwrap_or_else(|| PathAndQuery::from_static("/")),
            host_header,
            pass_host: settings.pass_host,
            access,
            server_name,
            egress: settings.egress.towards(&settings.upstream),
            forward: settings.forward,
            connect_timeout: settings.connect_timeout,
            response_timeout: settings.response_timeout,
            idle_timeout: settings.idle_timeout,
            idle: Mutex::new(Vec::new()),
        })
    }

    /// The configured URL.
    pub const fn base(&self) -> &Url {
        &self.base
    }

    /// The request as it goes out: exactly the configured URL, or the endpoint that one of its own streams
    /// announced; configured headers last.
    pub fn request(
        &self,
        method: Method,
        endpoint: Option<&PathAndQuery>,
        mut headers: HeaderMap,
        body: Bytes,
    ) -> Request<Full<Bytes>> {
        if !self.pass_host || !headers.contains_key(HOST) {
            headers.insert(HOST, self.host_header.clone());
        }
        self.access.put(&mut headers);
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = method;
        *request.uri_mut() = http::Uri::from(endpoint.unwrap_or(&self.target).clone());
        *request.headers_mut() = headers;
        request
    }

    /// What it is reached with.
    pub const fn access(&self) -> &Access {
        &self.access
    }

    /// Reads certificates and credentials again, as far as they stand in files. Blocks on the files.
    pub fn reload(&self) {
        if self.access.reload(&self.name) {
            self.idle.lock().unwrap_or_else(PoisonError::into_inner).clear();
        }
    }

    /// A ready connection: an idle one, or a new one within the connect time-out. The credentials are there too.
    pub async fn connection(self: &Arc<Self>) -> Result<Connection, UpstreamError> {
        self.access.ready().await.map_err(UpstreamError::Credentials)?;
        while let Some(mut sender) = self.pop_idle() {
            // pending only while the last answer is being put away
            if matches!(
                tokio::time::timeout(self.connect_timeout, sender.requests.ready()).await,
                Ok(Ok(()))
            ) {
                return Ok(Connection {
                    sender: Some(sender),
                    upstream: Arc::clone(self),
                });
            }
        }
        self.connect().await
    }

    async fn connect(self: &Arc<Self>) -> Result<Connection, UpstreamError> {
        let sender = self.dial_in_time().await?;
        Ok(Connection {
            sender: Some(sender),
            upstream: Arc::clone(self),
        })
    }

    async fn dial_in_time(&self) -> Result<Sender, UpstreamError> {
        tokio::time::timeout(self.connect_timeout, self.dial())
            .await
            .map_err(|_| UpstreamError::ConnectTimeout(self.connect_timeout))?
    }

    async fn dial(&self) -> Result<Sender, UpstreamError> {
        let stream = match &self.egress {
            None => self.dial_directly().await?,
            Some(proxy) => tunnel::through(proxy, &self.authority, self.port).await?,
        };
        let (Some(name), Some(tls)) = (&self.server_name, self.access.tls()) else {
            return handshake(stream).await;
        };
        let connector = TlsConnector::from(tls.config());
        let stream = connector.connect(name.clone(), stream).await;
        handshake(stream.map_err(connect_error)?).await
    }

    async fn dial_directly(&self) -> Result<TcpStream, UpstreamError> {
        let host = self
            .authority
            .host()
            .trim_start_matches('[')
            .trim_end_matches(']');
        let stream = TcpStream::connect((host, self.port))
            .await
            .map_err(connect_error)?;
        stream.set_nodelay(true).map_err(connect_error)?;
        Ok(stream)
    }

    fn pop_idle(&self) -> Option<Sender> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        while let Some((sender, since)) = idle.pop() {
            if since.elapsed() > IDLE_AT_MOST {
                // the newest is too old: so are all others
                idle.clear();
                return None;
            }
            if sender.is_usable() {
                return Some(sender);
            }
        }
        None
    }

    pub(super) fn put_back(&self, sender: Sender) {
        if !sender.is_usable() {
            return;
        }
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < IDLE_CONNECTIONS {
            idle.push((sender, Instant::now()));
        }
    }

    /// Lets go of connections that were idle for too long.
    pub fn reap(&self) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.retain(|(sender, since)| sender.is_usable() && since.elapsed() <= IDLE_AT_MOST);
    }
}

impl Connection {
    /// Sends the request and waits for the head of the answer.
    ///
    /// An idle connection that the upstream closed meanwhile gives the request back unsent; it then goes out
    /// once on a new connection. Whatever fails after the first byte is not tried again. What the call
    /// holds goes with the answer, and is given back when that has ended.
    pub async fn send(
        mut self,
        request: Request<Full<Bytes>>,
        held: &mut Option<Held>,
    ) -> Result<Response<UpstreamBody>, UpstreamError> {
        let Some(sender) = self.sender.take() else {
            return Err(UpstreamError::Unsent);
        };
        let limit = self.upstream.response_timeout;
        match tokio::time::timeout(limit, self.send_on(sender, request, held)).await {
            Ok(result) => result,
            Err(_) => Err(UpstreamError::ResponseTimeout(limit)),
        }
    }

    async fn send_on(
        &self,
        sender: Sender,
        request: Request<Full<Bytes>>,
        held: &mut Option<Held>,
    ) -> Result<Response<UpstreamBody>, UpstreamError> {
        let unsent = match try_on(sender, request, held.as_ref()).await? {
            Tried::Answered(answer, sender) => return Ok(self.answered(answer, sender, held.take())),
            Tried::Unsent(request) => request,
        };
        let sender = self.upstream.dial_in_time().await?;
        match try_on(sender, unsent, held.as_ref()).await? {
            Tried::Answered(answer, sender) => Ok(self.answered(answer, sender, held.take())),
            Tried::Unsent(_) => Err(UpstreamError::Unsent),
        }
    }

    fn answered(
        &self,
        answer: Response<Incoming>,
        sender: Sender,
        held: Option<Held>,
    ) -> Response<UpstreamBody> {
        if answer.status() == StatusCode::UNAUTHORIZED {
            self.upstream.access.refused();
        }
        answer.map(|body| UpstreamBody::new(body, sender, Arc::clone(&self.upstream), held))
    }
}

/// What became of a request on one connection.
enum Tried {
    Answered(Response<Incoming>, Sender),
    Unsent(Request<Full<Bytes>>),
}

async fn try_on(
    mut sender: Sender,
    request: Request<Full<Bytes>>,
    held: Option<&Held>,
) -> Result<Tried, UpstreamError> {
    if held.is_some_and(|held| !held.run_on(&sender.abort)) {
        return Err(UpstreamError::LeaseOver);
    }
    match sender.requests.try_send_request(request).await {
        Ok(answer) => Ok(Tried::Answered(answer, sender)),
        Err(mut error) => match error.take_message() {
            Some(request) => Ok(Tried::Unsent(request)),
            None if held.is_some_and(Held::is_cut) => Err(UpstreamError::LeaseLost),
            None => Err(UpstreamError::Broken(describe(&error.into_error()))),
        },
    }
}

async fn handshake<S>(stream: S) -> Result<Sender, UpstreamError>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let (stream, behind) = Watched::new(stream);
    let (requests, connection) = http1::handshake(TokioIo::new(stream))
        .await
        .map_err(connect_error)?;
    // ends when the sender and its answer are dropped
    let running = tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!(error = %describe(&error), "upstream connection ended");
        }
    });
    let abort = running.abort_handle();
    Ok(Sender {
        requests,
        behind,
        abort,
    })
}

fn connect_error(error: impl std::error::Error) -> UpstreamError {
    UpstreamError::Connect(describe(&error))
}

/// An error with its causes, in one line.
fn describe(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
