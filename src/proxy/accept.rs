//! Connections from clients: accepted up to a bound, served in HTTP/1.1 or HTTP/2, drained at the end.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::convert::Infallible;
use std::net::IpAddr;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::Version;
use http::header::{CONNECTION, HeaderValue};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use prometheus::IntGauge;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use super::Gate;
use super::handle::handle;
use crate::settings::Limits;

/// Requests that one HTTP/2 connection may have open.
const H2_STREAMS: u32 = 256;

/// Ends [`accept`] when it becomes true.
pub type Shutdown = watch::Receiver<bool>;

/// How long connections that are cut may take to see it.
const CUT: Duration = Duration::from_secs(1);

/// Serves `listener` until `shutdown`, goes on for the drain's delay while those who send clients learn of it, then
/// lets open requests end within `drain` and cuts the rest, so that they are recorded before the process ends.
/// Returns how many connections were cut.
pub async fn accept(gate: Arc<Gate>, listener: TcpListener, shutdown: Shutdown, drain: Duration) -> usize {
    let builder = Arc::new(builder(&gate.limits));
    let graceful = GracefulShutdown::new();
    let open = gate.recorder.metrics.open_connections().clone();
    let peers = Arc::new(Peers::new(&gate.limits, open.clone()));
    let (cut, cutting) = watch::channel(false);
    let mut leaving = pin!(leave(&gate, shutdown));
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = &mut leaving => break,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                // out of file descriptors, most likely: give others time to close
                tracing::error!(%error, "a connection could not be accepted");
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        let Some(seat) = Peers::seat(&peers, peer.ip()) else {
            tracing::debug!(peer = %peer.ip(), "too many connections: one was closed");
            continue;
        };
        let watched = Watched {
            watcher: graceful.watcher(),
            cut: cutting.clone(),
            seat,
        };
        serve(&gate, &builder, stream, watched);
    }
    drop(listener);
    gate.leaving.drain();
    let mut drained = pin!(graceful.shutdown());
    if tokio::time::timeout(drain, &mut drained).await.is_ok() {
        return 0;
    }
    let left = usize::try_from(open.get()).unwrap_or_default();
    cut.send_replace(true);
    if tokio::time::timeout(CUT, drained).await.is_err() {
        tracing::error!("some connections could not be cut");
    }
    left
}

/// Ends when no more connections are to be taken.
async fn leave(gate: &Gate, mut shutdown: Shutdown) {
    // the sender is gone only when the process ends
    drop(shutdown.wait_for(|stop| *stop).await);
    gate.leaving.begin();
    tokio::time::sleep(gate.front.drain_delay).await;
}

/// What ends a connection from outside, and its place.
struct Watched {
    watcher: Watcher,
    cut: Shutdown,
    seat: Seat,
}

fn builder(limits: &Limits) -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.header_timeout)
        .max_buf_size(limits.header_bytes)
        .max_headers(limits.headers);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(Some(Duration::from_secs(30)))
        .keep_alive_timeout(Duration::from_secs(20))
        .max_concurrent_streams(H2_STREAMS)
        .max_header_list_size(u32::try_from(limits.header_bytes).unwrap_or(u32::MAX));
    builder
}

fn serve(gate: &Arc<Gate>, builder: &Arc<Builder<TokioExecutor>>, stream: TcpStream, watched: Watched) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "TCP_NODELAY could not be set");
    }
    let silence = gate.limits.header_timeout;
    let heard = Arc::new(AtomicBool::new(false));
    let (gate, hears) = (Arc::clone(gate), Arc::clone(&heard));
    let service = service_fn(move |request| {
        hears.store(true, Ordering::Relaxed);
        let gate = Arc::clone(&gate);
        async move {
            let one_after_the_other = request.version() < Version::HTTP_2;
            let mut answer = handle(&gate, request).await;
            if one_after_the_other && gate.leaving.has_begun() {
                // HTTP/2 has a frame for it
                let headers = answer.headers_mut();
                headers.insert(CONNECTION, HeaderValue::from_static("close"));
            }
            Ok::<_, Infallible>(answer)
        }
    });
    let builder = Arc::clone(builder);
    tokio::spawn(async move {
        let Watched {
            watcher,
            mut cut,
            seat,
        } = watched;
        let connection = builder
            .serve_connection(TokioIo::new(stream), service)
            .into_owned();
        let connection = pin!(watcher.watch(connection));
        tokio::select! {
            ended = connection => if let Err(error) = ended {
                tracing::debug!(%error, "a client connection ended");
            },
            () = silent(silence, &heard) => tracing::debug!("a client connection brought no request"),
            _ = cut.wait_for(|cut| *cut) => {}
        }
        drop(seat);
    });
}

/// Ends when no request came in time. hyper's own time-out starts only once it knows the version of HTTP, so
/// that a connection that sends nothing would keep its place for ever.
async fn silent(patience: Duration, heard: &AtomicBool) {
    tokio::time::sleep(patience).await;
    if heard.load(Ordering::Relaxed) {
        std::future::pending::<()>().await;
    }
}

/// Open connections, in all and per peer.
struct Peers {
    open: Mutex<HashMap<IpAddr, usize>>,
    in_all: usize,
    per_peer: usize,
    gauge: IntGauge,
}

/// One connection's place.
struct Seat {
    peers: Arc<Peers>,
    peer: IpAddr,
}

impl Peers {
    fn new(limits: &Limits, gauge: IntGauge) -> Self {
        let (in_all, per_peer) = (limits.connections, limits.connections_per_peer);
        Self {
            open: Mutex::default(),
            in_all,
            per_peer,
            gauge,
        }
    }

    fn seat(this: &Arc<Self>, peer: IpAddr) -> Option<Seat> {
        let full = usize::try_from(this.gauge.get()).is_ok_and(|open| open >= this.in_all);
        if full {
            return None;
        }
        let mut open = this.open.lock().unwrap_or_else(PoisonError::into_inner);
        let count = open.entry(peer).or_default();
        if *count >= this.per_peer {
            return None;
        }
        *count += 1;
        this.gauge.inc();
        Some(Seat {
            peers: Arc::clone(this),
            peer,
        })
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.peers.gauge.dec();
        let mut open = self.peers.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Entry::Occupied(mut entry) = open.entry(self.peer) {
            *entry.get_mut() -= 1;
            if *entry.get() == 0 {
                entry.remove();
            }
        }
    }
}
