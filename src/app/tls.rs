//! Certificates, keys and credentials: read at start, and followed while the gate runs.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::anyhow;

use crate::proxy::{Access, Gate, Upstream};
use crate::settings::{ListenTls, Server};
use crate::tls::ServerTls;

/// How often files are read again.
const EVERY: Duration = Duration::from_secs(1);

/// What clients are served with; `None`: in the clear.
pub(super) fn inbound(settings: &Path, tls: Option<&ListenTls>) -> anyhow::Result<Option<Arc<ServerTls>>> {
    let tls = tls.map(ServerTls::new).transpose();
    let tls = tls.map_err(|error| anyhow!("{}: `tls`: {error}", settings.display()))?;
    Ok(tls.map(Arc::new))
}

/// An upstream with what it is reached with.
pub(super) fn upstream(settings: &Path, name: &str, server: &Server) -> anyhow::Result<Arc<Upstream>> {
    let upstream = Access::of(server).and_then(|access| Upstream::new(name, server, access));
    let upstream = upstream.map_err(|error| anyhow!("{}: `servers.{name}`: {error}", settings.display()))?;
    Ok(Arc::new(upstream))
}

/// Follows the files of one upstream for ever.
pub(super) async fn follow_one(upstream: Arc<Upstream>) {
    let mut tick = tick();
    loop {
        tick.tick().await;
        let upstream = Arc::clone(&upstream);
        drop(tokio::task::spawn_blocking(move || upstream.reload()).await);
    }
}

fn tick() -> tokio::time::Interval {
    let mut tick = tokio::time::interval(EVERY);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    tick
}

/// Follows the files for ever. What cannot be used changes nothing, and is told once.
pub(super) async fn follow(gate: Arc<Gate>, inbound: Option<Arc<ServerTls>>) {
    let mut tick = tick();
    loop {
        tick.tick().await;
        let snapshot = gate.snapshot.load_full();
        let inbound = inbound.clone();
        let read = tokio::task::spawn_blocking(move || {
            snapshot.servers.values().for_each(|upstream| upstream.reload());
            match inbound.map_or(Ok(false), |tls| tls.reload()) {
                Ok(false) => {}
                Ok(true) => tracing::info!("the certificate for clients was read again"),
                Err(error) => tracing::warn!(%error, "the certificate for clients stays as it was"),
            }
        });
        // it panics nowhere; if it did, the next round would say more
        drop(read.await);
    }
}
