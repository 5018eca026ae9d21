//! The proxy: accept, judge, charge, forward, answer, record.
//!
//! `exchange` and `stage` are the core and know no transport; `handle` is the HTTP adapter and the life of
//! one request, to be read top to bottom; `respond` alone knows status codes.

mod accept;
mod access;
mod answer;
mod asking;
mod body;
mod callers;
mod changed;
mod exchange;
mod fallback;
mod forward;
mod front;
mod handle;
mod head;
mod headers;
mod held;
mod known;
mod leaving;
mod ledger;
mod legacy;
mod memory;
mod open;
mod owed;
mod peer;
mod pinned;
mod places;
mod ratelimit;
mod read;
mod refused;
mod resource;
mod respond;
mod route;
mod scouted;
mod server;
mod session;
mod stage;
mod stdio;
mod stream;
mod told;
mod traced;
mod turned_away;
mod upstream;
mod weigh;
mod who;
mod written;

pub use accept::{Service, Shutdown, accept, accept_beside};
pub use access::Access;
pub use asking::{Holds, approval_of};
pub use callers::Callers;
pub use changed::Changes;
pub use fallback::Fallback;
pub use leaving::Leaving;
pub use legacy::{Streams, resolve as resolve_endpoint};
pub use memory::BodyMemory;
pub use pinned::Pinned;
pub use places::Places;
pub use resource::Resources;
pub use server::Server;
pub use session::SessionKey;
pub use stdio::{
    Alone, Caller, Host, ServerCommand, Signal, exit_code, signal_code, wrap_command, wrap_upstream,
};
pub use upstream::Upstream;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;

use crate::approvals::Approvals;
use crate::counters::Store;
use crate::grants::Grants;
use crate::record::Recorder;
use crate::settings::{Front, Limits};

/// Policies, grants and servers at URLs at one moment; swapped whole.
pub struct Snapshot {
    pub servers: BTreeMap<String, Arc<Upstream>>,
    pub grants: Grants,
}

/// What every request shares.
pub struct Gate {
    pub snapshot: ArcSwap<Snapshot>,
    /// Servers that are commands, with their processes; no name is in the snapshot too.
    pub commands: BTreeMap<String, Arc<Host>>,
    pub store: Store,
    pub fallback: Fallback,
    pub recorder: Recorder,
    pub session_key: SessionKey,
    pub legacy: Streams,
    pub callers: Callers,
    pub leaving: Leaving,
    /// Shared with those who see what changes.
    pub changes: Arc<Changes>,
    /// By server, those with `pin: true`.
    pub pins: BTreeMap<String, Arc<Pinned>>,
    /// Open event streams that clients listen on: those of a GET, and subscriptions.
    pub listening: Arc<Places>,
    /// Calls that wait for people while their clients wait.
    pub held: Arc<Holds>,
    pub approvals: Approvals,
    /// The page where people decide, without a trailing slash.
    pub approval_page: Option<String>,
    /// How long each of them may be held.
    pub hold: Duration,
    /// What large request bodies may take together.
    pub bodies: BodyMemory,
    pub front: Front,
    pub limits: Limits,
    /// Names this process in records.
    pub replica: String,
}

impl Gate {
    /// Tells the clients that listen to this server that its list of tools may look otherwise now. Call it when the
    /// new snapshot is in force.
    pub fn tools_changed(&self, server: &str) {
        self.changes.tell(server);
    }

    /// The names of all servers.
    fn server_names<'s>(&'s self, snapshot: &'s Snapshot) -> impl Iterator<Item = &'s str> + Clone {
        let names = snapshot.servers.keys().chain(self.commands.keys());
        names.map(String::as_str)
    }

    fn server(&self, snapshot: &Snapshot, name: &str) -> Option<Server> {
        let at_url = || snapshot.servers.get(name).cloned().map(Server::Url);
        let command = self.commands.get(name).cloned().map(Server::Command);
        command.or_else(at_url)
    }

    /// What the server's tools may be, where that is pinned.
    fn pinned(&self, server: &str) -> Option<&Pinned> {
        self.pins.get(server).map(Arc::as_ref)
    }
}
