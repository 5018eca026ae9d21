//! What a gate knows of who calls, beside the grants of its snapshot: issuers, its own names, who is blocked, and
//! the answers that are open.

use std::collections::HashSet;
use std::sync::Arc;

use arc_swap::ArcSwap;
use jiff::Timestamp;

use super::Snapshot;
use super::open::OpenAnswers;
use super::resource::Resources;
use crate::grants::Grant;
use crate::issuers::Issuers;

/// The default knows no issuer and blocks nobody.
#[derive(Default)]
pub struct Callers {
    pub issuers: Issuers,
    pub resources: Resources,
    pub(super) open: OpenAnswers,
    /// Names of grants, as the store has them.
    blocked: ArcSwap<HashSet<String>>,
}

impl Callers {
    pub fn new(issuers: Issuers, resources: Resources) -> Self {
        Self {
            issuers,
            resources,
            ..Self::default()
        }
    }

    /// From now on these grants are refused, and no others for being blocked.
    pub fn block(&self, names: HashSet<String>) {
        if **self.blocked.load() != names {
            tracing::info!(grants = names.len(), "the list of revoked grants has changed");
            self.blocked.store(Arc::new(names));
        }
    }

    pub fn is_blocked(&self, grant: &Grant) -> bool {
        let blocked = self.blocked.load();
        !blocked.is_empty() && grant.names().any(|name| blocked.contains(name))
    }

    /// Cuts the open answers whose grant has ended at `now`, is blocked, or is no longer what their credential
    /// stands for.
    pub fn cut_ended(&self, snapshot: &Arc<Snapshot>, now: Timestamp) {
        self.open.cut(snapshot, now, |grant| self.is_blocked(grant));
    }
}
