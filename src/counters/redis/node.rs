//! One server of the store: its connections, its clock, and whether it is asked at all.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use redis::Client;
use tokio::time::{Instant, sleep};

use super::breaker::Breaker;
use super::clock::StoreClock;
use super::failure::Failure;
use super::link::{Link, Meet, Wire};
use crate::counters::StoreError;

/// Between two probes of a node that did not answer.
const PROBE_PAUSE: Duration = Duration::from_millis(250);
/// How long a probe waits, where calls wait less.
const PROBE_AT_LEAST: Duration = Duration::from_millis(50);

pub(super) struct Node {
    /// `host:port`, by which a cluster calls it.
    pub(super) address: String,
    pub(super) clock: StoreClock,
    links: Vec<Arc<Link>>,
    next: AtomicUsize,
    breaker: Breaker,
    deadline: Duration,
}

impl std::fmt::Debug for Node {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut shown = f.debug_struct("Node");
        shown.field("breaker", &self.breaker).finish_non_exhaustive()
    }
}

impl Node {
    /// Does not connect. `deadline` is a call's.
    pub(super) fn new(
        address: String,
        client: &Client,
        meet: &Meet,
        connections: usize,
        deadline: Duration,
    ) -> Self {
        let links = (0..connections).map(|_| Link::new(client.clone(), Arc::clone(meet)).into());
        Self {
            address,
            clock: StoreClock::new(),
            links: links.collect(),
            next: AtomicUsize::new(0),
            breaker: Breaker::default(),
            deadline,
        }
    }

    #[cfg(test)]
    pub(super) fn simulate(&self, wire: &super::simulated::Wire) {
        for link in &self.links {
            assert!(
                link.simulated.set(wire.clone()).is_ok(),
                "it is simulated already"
            );
        }
    }

    /// A connection, each time another one.
    pub(super) async fn wire(&self, until: Instant) -> Result<Wire, Failure> {
        let turn = self.next.fetch_add(1, Ordering::Relaxed);
        let index = turn.checked_rem(self.links.len()).unwrap_or(0);
        let link = self.links.get(index);
        let link = link.ok_or_else(|| Failure::lost("no connection"))?;
        link.wire(until).await
    }

    /// An error where the node has not answered lately: then a new call does not wait for it.
    pub(super) fn is_asked(&self) -> Result<(), StoreError> {
        if self.breaker.is_open() {
            return Err(StoreError::Unavailable("it has not answered lately"));
        }
        Ok(())
    }

    /// How one command ended.
    pub(super) fn note<T>(self: &Arc<Self>, answer: &Result<T, Failure>) {
        match answer {
            Err(failure) if failure.node_lost => {
                if self.breaker.failed() {
                    tracing::warn!("the store does not answer and is no longer asked until it does");
                    tokio::spawn(probe(Arc::downgrade(self)));
                }
            }
            _ => self.breaker.answered(),
        }
    }

    async fn ping(&self) -> Result<(), Failure> {
        let until = Instant::now() + self.deadline.max(PROBE_AT_LEAST);
        let mut wire = self.wire(until).await?;
        wire.send(&redis::cmd("PING"), false, until).await.map(|_| ())
    }
}

/// Asks until an answer comes, or nobody uses the node any more.
async fn probe(node: Weak<Node>) {
    loop {
        sleep(PROBE_PAUSE).await;
        let Some(node) = node.upgrade() else { return };
        if node.ping().await.is_ok() {
            node.breaker.close();
            tracing::info!("the store answers again");
            return;
        }
    }
}
