//! One connection, from its first byte to its end.

use std::convert::Infallible;
use std::io;
use std::net::IpAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use http::header::{CONNECTION, HeaderValue};
use http::{Request, Response, Version};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use rustix::net::sockopt;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::{sleep, sleep_until, timeout};

use super::Shutdown;
use super::conduct::{Conduct, Verdict};
use super::forwarded::client_of;
use super::paced::{Paced, Told};
use super::peers::{Peers, Place, Seat};
use super::proxied;
use super::service::Service;
use crate::grants::ClientCertificate;
use crate::proxy::peer::Peer;
use crate::settings::Limits;
use crate::tls::ServerTls;

/// What one HTTP/2 connection, and one of its streams, may send before it is read.
const H2_CONNECTION_WINDOW: u32 = 128 << 10;
const H2_STREAM_WINDOW: u32 = 64 << 10;
/// What is held for one HTTP/2 stream that takes nothing.
const H2_SEND_BUFFER: usize = 16 << 10;
/// How long a connection that is not read any more stays open.
const SHUNNED: Duration = Duration::from_secs(5);

/// What all connections share.
pub(super) struct Door<V> {
    service: V,
    tls: Option<Arc<ServerTls>>,
    peers: Arc<Peers>,
    http: Builder<TokioExecutor>,
}

/// What ends a connection from outside, and its place.
pub(super) struct Watched {
    pub(super) stop: Shutdown,
    pub(super) cut: Shutdown,
    pub(super) place: Place,
    /// Dropped last: nobody waits for this connection then.
    pub(super) _serving: mpsc::Sender<Infallible>,
}

impl Watched {
    /// Keeps the connection's places for as long as the client is to wait, unless this process leaves.
    async fn shun(&mut self) {
        tokio::select! {
            () = sleep(SHUNNED) => {}
            _ = self.stop.wait_for(|stop| *stop) => {}
        }
    }
}

type Answer<B> = Response<Told<B, Option<Seat>>>;

impl<V: Service> Door<V> {
    pub(super) fn new(service: V, tls: Option<Arc<ServerTls>>, peers: Arc<Peers>) -> Self {
        let http = builder(service.limits());
        Self {
            service,
            tls,
            peers,
            http,
        }
    }

    /// Serves a connection until it ends, or is ended.
    pub(super) async fn serve(self: Arc<Self>, mut stream: TcpStream, peer: IpAddr, mut watched: Watched) {
        prepare(&stream);
        let proxies = self.service.proxies();
        let mut address = peer;
        if proxies.trusts(peer) {
            let announced = self
                .in_time(&mut watched.stop, proxied::announced(&mut stream))
                .await;
            match announced {
                Ok(client) => address = client.unwrap_or(peer),
                Err(error) => return tracing::debug!(%peer, %error, "a proxy's connection was closed"),
            }
        }
        // a proxy that names no client has as many connections as it needs
        let counted = !proxies.trusts(address);
        let seat = counted.then(|| Peers::seat(&self.peers, address));
        if matches!(seat, Some(None)) {
            return tracing::debug!(peer = %address, "too many connections of one address: one was closed");
        }
        let conduct = Conduct::new(self.service.limits());
        let stream = Paced::new(stream, self.service.limits().write_timeout, Arc::clone(&conduct));
        let certificate = None;
        let Some(tls) = &self.tls else {
            return self
                .http(stream, Peer { address, certificate }, &conduct, watched)
                .await;
        };
        let stream = match self
            .in_time(&mut watched.stop, tls.acceptor().accept(stream))
            .await
        {
            Ok(stream) => stream,
            Err(error) => return tracing::debug!(peer = %address, %error, "no TLS with a client"),
        };
        match shown(stream.get_ref().1.peer_certificates()) {
            Ok(certificate) => {
                let certificate = certificate.map(Arc::new);
                self.http(stream, Peer { address, certificate }, &conduct, watched)
                    .await;
            }
            Err(error) => tracing::debug!(peer = %address, error, "a client's certificate cannot be read"),
        }
    }

    /// What stands before the first request, within the time that a head may take and before the end.
    async fn in_time<T>(
        &self,
        stop: &mut Shutdown,
        first: impl Future<Output = io::Result<T>>,
    ) -> io::Result<T> {
        tokio::select! {
            done = timeout(self.service.limits().header_timeout, first) => done?,
            _ = stop.wait_for(|stop| *stop) => Err(io::ErrorKind::Interrupted.into()),
        }
    }

    async fn http<S>(self: &Arc<Self>, stream: S, peer: Peer, conduct: &Arc<Conduct>, mut watched: Watched)
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let address = peer.address;
        let (door, judged) = (Arc::clone(self), Arc::clone(conduct));
        // boxed: a connection that is idle keeps room for the future of its next request
        let service = service_fn(move |request| {
            Box::pin(Arc::clone(&door).answer(request, peer.clone(), Arc::clone(&judged)))
        });
        let mut connection = pin!(self.http.serve_connection(TokioIo::new(stream), service));
        let mut stopping = false;
        loop {
            let next = match conduct.verdict(tokio::time::Instant::now()) {
                Verdict::Wait(next) => next,
                Verdict::Retire => {
                    connection.as_mut().graceful_shutdown();
                    continue;
                }
                Verdict::Cut(why) => {
                    tracing::debug!(peer = %address, why, "a client connection was cut");
                    break;
                }
                Verdict::Shun(why) => {
                    tracing::debug!(peer = %address, why, "a client connection is not read any more");
                    watched.shun().await;
                    break;
                }
            };
            tokio::select! {
                ended = connection.as_mut() => {
                    if let Err(error) = ended {
                        tracing::debug!(%error, "a client connection ended");
                    }
                    break;
                }
                () = sleep_until(next) => {}
                () = conduct.changed() => {}
                _ = watched.stop.wait_for(|stop| *stop), if !stopping => {
                    stopping = true;
                    connection.as_mut().graceful_shutdown();
                }
                _ = watched.cut.wait_for(|cut| *cut) => break,
            }
        }
        drop(watched.place);
    }

    async fn answer(
        self: Arc<Self>,
        mut request: Request<Incoming>,
        peer: Peer,
        conduct: Arc<Conduct>,
    ) -> Result<Answer<V::Body>, Infallible> {
        let is_h2 = request.version() == Version::HTTP_2;
        let mut running = conduct.begin(is_h2);
        let proxies = self.service.proxies();
        let client = client_of(proxies, peer.address, request.headers());
        let seat = client.map(|client| Peers::seat(&self.peers, client));
        let (mut answer, seat) = match seat {
            Some(None) => (self.service.too_many(), None),
            seat => {
                request.extensions_mut().insert(peer);
                (self.service.answer(request).await, seat.flatten())
            }
        };
        if !is_h2 && self.service.is_leaving() {
            // HTTP/2 has a frame for it
            let headers = answer.headers_mut();
            headers.insert(CONNECTION, HeaderValue::from_static("close"));
        }
        running.answered();
        Ok(answer.map(|body| Told::new(body, running, seat)))
    }
}

/// The client's certificate; the handshake has checked it.
fn shown(
    chain: Option<&[rustls::pki_types::CertificateDer<'_>]>,
) -> Result<Option<ClientCertificate>, String> {
    let leaf = chain.and_then(|chain| chain.first());
    leaf.map(|leaf| ClientCertificate::read(leaf)).transpose()
}

/// Small pieces go out at once, and a peer that is gone without a word is noticed.
fn prepare(stream: &TcpStream) {
    let set = || -> io::Result<()> {
        stream.set_nodelay(true)?;
        sockopt::set_socket_keepalive(stream, true)?;
        sockopt::set_tcp_keepidle(stream, Duration::from_secs(60))?;
        sockopt::set_tcp_keepintvl(stream, Duration::from_secs(15))?;
        sockopt::set_tcp_keepcnt(stream, 4)?;
        Ok(())
    };
    if let Err(error) = set() {
        tracing::debug!(%error, "a connection's options could not be set");
    }
}

fn builder(limits: &Limits) -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        // `Conduct` tells a slow head from an idle connection
        .header_read_timeout(None)
        .max_buf_size(limits.header_bytes)
        .max_headers(limits.headers);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(Some(Duration::from_secs(30)))
        .keep_alive_timeout(Duration::from_secs(20))
        .max_concurrent_streams(limits.streams_per_connection)
        .initial_connection_window_size(H2_CONNECTION_WINDOW)
        .initial_stream_window_size(H2_STREAM_WINDOW)
        .max_send_buf_size(H2_SEND_BUFFER)
        .max_header_list_size(u32::try_from(limits.header_bytes).unwrap_or(u32::MAX));
    builder
}
