//! The console's listener and what it is handed.

use std::net::SocketAddr;
use std::sync::Arc;

use arc_swap::ArcSwap;
use tokio::net::TcpListener;

use super::{limits_of, probes};
use crate::approvals::Approvals;
use crate::console::{Approvers, Console, Parts, Views};
use crate::proxy::{Gate, accept_beside};
use crate::record::Recent;
use crate::settings::{self, Settings};
use crate::tls::ServerTls;

/// A console that listens but does not serve yet.
pub(super) struct Bound {
    settings: settings::Console,
    listener: TcpListener,
    pub(super) recent: Arc<Recent>,
}

impl Bound {
    /// `None` where the settings want none.
    pub(super) async fn bind(settings: &Settings) -> anyhow::Result<Option<Self>> {
        let Some(console) = &settings.console else {
            return Ok(None);
        };
        let listener = super::listen("console", console.listen).await?;
        if settings.front.tls.is_none() && !console.listen.ip().is_loopback() {
            tracing::warn!(
                console = %console.listen,
                "approvers' tokens and the arguments of calls pass in the clear: set `tls`, or put something in front that speaks TLS"
            );
        }
        Ok(Some(Self {
            settings: console.clone(),
            listener,
            recent: Arc::default(),
        }))
    }

    pub(super) fn address(&self) -> std::io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves until the task is dropped: people can decide while calls that wait are drained.
    pub(super) async fn serve(
        self,
        gate: Arc<Gate>,
        approvals: Approvals,
        approvers: Arc<ArcSwap<Approvers>>,
        tls: Option<Arc<ServerTls>>,
    ) {
        let address = self.listener.local_addr().unwrap_or(self.settings.listen);
        let console = Console::new(Parts {
            approvals,
            approvers,
            recorder: gate.recorder.clone(),
            recent: self.recent,
            views: Views {
                probes: probes::probes(&gate),
                limits: limits_of::view(&gate),
            },
            settings: self.settings,
            address,
            limits: gate.limits.clone(),
            proxies: gate.front.trusted_proxies.clone(),
            replica: gate.replica.clone(),
        });
        let open = gate.recorder.metrics.console().connections().clone();
        accept_beside(console, self.listener, tls, open).await;
    }
}

#[expect(clippy::disallowed_methods, reason = "stands in until the gate has its own")]
pub(super) fn approvals() -> Result<Approvals, crate::approvals::ApprovalsError> {
    let clock = || u64::try_from(jiff::Timestamp::now().as_millisecond()).unwrap_or_default();
    Approvals::in_memory(clock, std::time::Duration::from_secs(600))
}
