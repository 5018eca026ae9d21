//! Those who decide: the console's listener, its approvers, and whom webhooks tell.

use std::net::SocketAddr;
use std::sync::Arc;

use arc_swap::ArcSwap;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::webhooks::{Courier, Webhooks, webhooks};
use super::{limits_of, probes};
use crate::console::{Approvers, Console, Parts, Views};
use crate::proxy::{Gate, accept_beside};
use crate::record::{Metrics, Recent};
use crate::settings::{self, Settings};
use crate::tls::ServerTls;

/// What people are asked and told with, bound but not running yet.
pub(super) struct People {
    console: Option<Bound>,
    /// Swapped where the file changes.
    pub(super) approvers: Arc<ArcSwap<Approvers>>,
    webhooks: Option<(Webhooks, Vec<Courier>)>,
}

impl People {
    /// # Errors
    /// An address or a webhook that cannot be used.
    pub(super) async fn bind(
        settings: &Settings,
        approvers: Approvers,
        metrics: &Metrics,
        replica: &str,
    ) -> anyhow::Result<Self> {
        Ok(Self {
            console: Bound::bind(settings).await?,
            approvers: Arc::new(ArcSwap::from_pointee(approvers)),
            webhooks: webhooks(settings, metrics, replica)?,
        })
    }

    /// Where decisions are kept for those who watch.
    pub(super) fn recent(&self) -> Option<Arc<Recent>> {
        self.console.as_ref().map(|console| Arc::clone(&console.recent))
    }

    /// Where the console listens.
    pub(super) fn address(&self) -> std::io::Result<Option<SocketAddr>> {
        let console = self.console.as_ref();
        console.map(|console| console.listener.local_addr()).transpose()
    }

    /// The page where people decide, as they reach it, without a trailing slash.
    pub(super) fn page(&self) -> std::io::Result<Option<String>> {
        let Some(console) = &self.console else {
            return Ok(None);
        };
        if let Some(url) = &console.settings.url {
            return Ok(Some(url.to_string().trim_end_matches('/').to_owned()));
        }
        let scheme = if console.with_tls { "https" } else { "http" };
        let address = console.listener.local_addr()?;
        Ok(Some(format!("{scheme}://{address}")))
    }

    /// Runs until the tasks are aborted: people can decide while calls that wait are drained.
    pub(super) fn start(self, gate: &Arc<Gate>, tls: Option<&Arc<ServerTls>>) -> Vec<JoinHandle<()>> {
        let mut running = Vec::new();
        if let Some((webhooks, couriers)) = self.webhooks {
            gate.approvals
                .on_opened(move |approval, arguments| webhooks.waits(approval, arguments));
            running.extend(couriers.into_iter().map(|courier| tokio::spawn(courier.run())));
        }
        if let Some(console) = self.console {
            running.push(tokio::spawn(console.serve(
                Arc::clone(gate),
                self.approvers,
                tls.cloned(),
            )));
        }
        running
    }
}

/// A console that listens but does not serve yet.
struct Bound {
    settings: settings::Console,
    listener: TcpListener,
    with_tls: bool,
    recent: Arc<Recent>,
}

impl Bound {
    /// `None` where the settings want none.
    async fn bind(settings: &Settings) -> anyhow::Result<Option<Self>> {
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
            with_tls: settings.front.tls.is_some(),
            recent: Arc::default(),
        }))
    }

    async fn serve(self, gate: Arc<Gate>, approvers: Arc<ArcSwap<Approvers>>, tls: Option<Arc<ServerTls>>) {
        let address = self.listener.local_addr().unwrap_or(self.settings.listen);
        let console = Console::new(Parts {
            approvals: gate.approvals.clone(),
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
