//! Where people decide what waits for them: an API and a page on a listener of their own, so that the admin port can be
//! open to probes and scrapers.
//!
//! Everyone shows a bearer token; there are no cookies, which are sent to every port of a host. `route` knows the
//! paths, `respond` the status codes.

mod api;
mod approvers;
mod body;
mod decide;
mod entry;
mod events;
mod page;
mod respond;
mod route;
mod shown;
mod views;

pub use approvers::{Approver, Approvers, ApproversError, ApproversFile, Role};
pub use route::{OPEN_API, ROUTES};
pub use shown::{ShownApproval, ShownDecision, argument_keys, shown_time};
pub use views::{Limits, Usage, Views};

use std::sync::Arc;

use arc_swap::ArcSwap;
use http::{Request, Response};
use hyper::body::Incoming;
use tokio::sync::Semaphore;

use crate::approvals::Approvals;
use crate::proxy::Service;
use crate::record::{Recent, Recorder};
use crate::settings::{self, TrustedProxies};
use body::ConsoleBody;
use entry::Hosts;
use respond::Refusal;
use route::Route;

/// Connections at once: the rest of the machine's belong to the proxy.
const CONNECTIONS: usize = 256;
/// Connections of one address at once.
const CONNECTIONS_PER_PEER: usize = 32;
/// Pages that are open at once.
const STREAMS: usize = 64;

/// What the console is made of.
pub struct Parts {
    pub approvals: Approvals,
    /// Swapped where the file changes.
    pub approvers: Arc<ArcSwap<Approvers>>,
    pub recorder: Recorder,
    pub recent: Arc<Recent>,
    pub views: Views,
    pub settings: settings::Console,
    /// Where it listens.
    pub address: std::net::SocketAddr,
    pub limits: settings::Limits,
    pub proxies: TrustedProxies,
    /// Names this process on the page.
    pub replica: String,
}

/// The console; cheap to clone.
#[derive(Clone)]
pub struct Console(Arc<Inner>);

struct Inner {
    parts: Parts,
    hosts: Hosts,
    streams: Arc<Semaphore>,
}

impl Console {
    pub fn new(mut parts: Parts) -> Self {
        let limits = &mut parts.limits;
        limits.connections = limits.connections.min(CONNECTIONS);
        limits.connections_per_peer = limits.connections_per_peer.min(CONNECTIONS_PER_PEER);
        Self(Arc::new(Inner {
            hosts: Hosts::new(&parts.settings, parts.address),
            streams: Arc::new(Semaphore::new(STREAMS)),
            parts,
        }))
    }

    async fn handle(&self, request: Request<Incoming>) -> Result<Response<ConsoleBody>, Refusal> {
        self.0.hosts.admit(&request)?;
        let route = route::route(request.method(), request.uri())?;
        if let Some(part) = page::part(&route) {
            return Ok(part);
        }
        let caller = self.caller(request.headers()).await?;
        match route {
            Route::List(state) => self.list(&caller, state).await,
            Route::One(id) => self.one(&caller, &id).await,
            Route::Decide(id, approve) => self.decide(&caller, &id, approve, request).await,
            Route::Events => self.events(caller),
            Route::Page | Route::Script | Route::Style | Route::OpenApi => Err(Refusal::NotFound),
        }
    }
}

impl Service for Console {
    type Body = ConsoleBody;

    fn limits(&self) -> &settings::Limits {
        &self.0.parts.limits
    }

    fn proxies(&self) -> &TrustedProxies {
        &self.0.parts.proxies
    }

    fn is_leaving(&self) -> bool {
        false
    }

    async fn answer(&self, request: Request<Incoming>) -> Response<ConsoleBody> {
        let answer = self.handle(request).await;
        respond::sealed(answer.unwrap_or_else(|refusal| respond::refuse(&refusal)))
    }

    fn too_many(&self) -> Response<ConsoleBody> {
        respond::refuse(&Refusal::TooMany)
    }
}
