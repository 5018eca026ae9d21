//! Connections from clients: accepted up to a bound, served in HTTP/1.1 or HTTP/2, drained at the end.

mod conduct;
mod forwarded;
mod paced;
mod peers;
mod proxied;
mod serve;
mod service;

use std::net::IpAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use prometheus::IntGauge;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};

use super::Gate;
use crate::tls::ServerTls;
use peers::{Peers, Place};
use serve::{Door, Watched};
pub use service::Service;

/// Ends [`accept`] when it becomes true.
pub type Shutdown = watch::Receiver<bool>;

/// How long connections that are cut may take to see it.
const CUT: Duration = Duration::from_secs(1);

/// Serves `listener`, over TLS where that is given, until `shutdown`, goes on for the drain's delay while those who send
/// clients learn of it, then lets open requests end within `drain` and cuts the rest, so that they are recorded before
/// the process ends. Returns how many connections were cut.
pub async fn accept(
    gate: Arc<Gate>,
    listener: TcpListener,
    tls: Option<Arc<ServerTls>>,
    shutdown: Shutdown,
    drain: Duration,
) -> usize {
    let open = gate.recorder.metrics.open_connections().clone();
    let peers = Arc::new(Peers::new(&gate.limits, open.clone()));
    let door = Arc::new(Door::new(Arc::clone(&gate), tls, Arc::clone(&peers)));
    let (stop, stopping) = watch::channel(false);
    let (cut, cutting) = watch::channel(false);
    let mut leaving = pin!(leave(&gate, shutdown));
    // closed once every connection has ended
    let (serving, mut served) = mpsc::channel(1);
    loop {
        let (stream, peer, place) = tokio::select! {
            accepted = next(&listener, &peers) => accepted,
            () = &mut leaving => break,
        };
        let watched = Watched {
            stop: stopping.clone(),
            cut: cutting.clone(),
            place,
            _serving: serving.clone(),
        };
        tokio::spawn(Arc::clone(&door).serve(stream, peer, watched));
    }
    drop(listener);
    drop(serving);
    gate.leaving.drain();
    stop.send_replace(true);
    if tokio::time::timeout(drain, served.recv()).await.is_ok() {
        return 0;
    }
    let left = usize::try_from(open.get()).unwrap_or_default();
    cut.send_replace(true);
    if tokio::time::timeout(CUT, served.recv()).await.is_err() {
        tracing::error!("some connections could not be cut");
    }
    left
}

/// Serves what is bound beside the proxy until the task is dropped, which cuts its connections. `open`: how many there
/// are.
pub async fn accept_beside<V: Service>(
    service: V,
    listener: TcpListener,
    tls: Option<Arc<ServerTls>>,
    open: IntGauge,
) {
    let peers = Arc::new(Peers::new(service.limits(), open));
    let door = Arc::new(Door::new(service, tls, Arc::clone(&peers)));
    let (_stop, stopping) = watch::channel(false);
    let (_cut, cutting) = watch::channel(false);
    let (serving, _served) = mpsc::channel(1);
    loop {
        let (stream, peer, place) = next(&listener, &peers).await;
        let watched = Watched {
            stop: stopping.clone(),
            cut: cutting.clone(),
            place,
            _serving: serving.clone(),
        };
        tokio::spawn(Arc::clone(&door).serve(stream, peer, watched));
    }
}

/// The next connection for which there is a place.
async fn next(listener: &TcpListener, peers: &Arc<Peers>) -> (TcpStream, IpAddr, Place) {
    loop {
        // a storm of connections takes turns with the calls that are there
        tokio::task::yield_now().await;
        let (stream, peer) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                // out of file descriptors, most likely: give others time to close
                tracing::error!(%error, "a connection could not be accepted");
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        let Some(place) = Peers::place(peers) else {
            tracing::debug!(peer = %peer.ip(), "too many connections: one was closed");
            continue;
        };
        return (stream, peer.ip(), place);
    }
}

/// Ends when no more connections are to be taken.
async fn leave(gate: &Gate, mut shutdown: Shutdown) {
    // the sender is gone only when the process ends
    drop(shutdown.wait_for(|stop| *stop).await);
    gate.leaving.begin();
    tokio::time::sleep(gate.front.drain_delay).await;
}
