//! Which node keeps which keys, now.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use redis::ConnectionAddr;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::failure::{Failure, Redirect};
use super::guide::{Found, Guide};
use super::link::Meet;
use super::node::Node;
use super::options::{Door, Place, RedisOptions, StoreSetupError};
use crate::counters::StoreError;

/// Between two looks at where the store is, at least.
const LOOK_PAUSE: Duration = Duration::from_millis(100);
/// How long one look may take.
const LOOK: Duration = Duration::from_secs(2);

/// The nodes and what they keep.
pub(super) struct Route {
    shared: Arc<Shared>,
    topology: watch::Receiver<Option<Arc<Topology>>>,
}

struct Shared {
    door: Door,
    meet: Meet,
    connections: usize,
    deadline: Duration,
    nodes: Mutex<HashMap<String, Arc<Node>>>,
    /// Told when the store may be elsewhere by now.
    doubt: Notify,
}

/// Ranges of slots with the node that keeps them.
#[derive(Default)]
pub(super) struct Topology {
    ranges: Vec<(u16, u16, Arc<Node>)>,
}

/// Where the next command goes.
#[derive(Clone)]
pub(super) struct Aim {
    pub(super) node: Arc<Node>,
    /// The node takes the slot over just now.
    pub(super) asking: bool,
}

impl std::fmt::Debug for Route {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Route").finish_non_exhaustive()
    }
}

impl Topology {
    fn all_in(node: Arc<Node>) -> Self {
        Self {
            ranges: vec![(0, super::slot::SLOTS - 1, node)],
        }
    }

    fn node(&self, slot: u16) -> Option<&Arc<Node>> {
        let mut ranges = self.ranges.iter();
        let found = ranges.find(|(first, last, _)| (*first..=*last).contains(&slot));
        found.map(|(_, _, node)| node)
    }
}

impl Route {
    /// Does not connect; looks for the nodes in a task of its own, which ends with the route.
    pub(super) fn new(options: &RedisOptions, meet: Meet) -> Result<Self, StoreSetupError> {
        let (door, addresses) = Door::new(options)?;
        let shared = Arc::new(Shared {
            door,
            meet,
            connections: options.connections,
            deadline: options.deadline,
            nodes: Mutex::default(),
            doubt: Notify::new(),
        });
        let guide = match &options.place {
            Place::Single(_) => {
                let address = addresses.into_iter().next().ok_or(StoreSetupError::Url)?;
                let only = Topology::all_in(shared.node_at(address)?);
                let (_, topology) = watch::channel(Some(Arc::new(only)));
                return Ok(Self { shared, topology });
            }
            Place::Sentinel { master, urls } => {
                let (door, addresses) = Door::of_urls(urls, &options.tls)?;
                Guide::sentinels(door, addresses, master.clone())
            }
            Place::Cluster(_) => Guide::cluster(shared.door.clone(), addresses),
        };
        let (known, topology) = watch::channel(None);
        tokio::spawn(follow(Arc::downgrade(&shared), guide, known));
        Ok(Self { shared, topology })
    }

    /// The node that keeps `slot`, once it is known.
    pub(super) async fn aim(&self, slot: u16, until: Instant) -> Result<Aim, StoreError> {
        let mut topology = self.topology.clone();
        let known = timeout_at(until, topology.wait_for(Option::is_some)).await;
        let known = match known {
            // once known it is never forgotten, so that a look that fails harms nobody
            Err(_) | Ok(Err(_)) => return Err(StoreError::Unavailable("nobody says where it is")),
            Ok(Ok(known)) => known.clone(),
        };
        let node = known.as_ref().and_then(|known| known.node(slot).cloned());
        let node = node.ok_or_else(|| {
            self.shared.doubt.notify_one();
            StoreError::Unavailable("no node keeps this slot")
        })?;
        Ok(Aim { node, asking: false })
    }

    /// Where to go after a failure; `None`: it was no redirection. Where a node was lost, the others are asked
    /// whether the store is elsewhere by now.
    pub(super) fn after(&self, aim: &Aim, failure: &Failure) -> Option<Aim> {
        if failure.node_lost || matches!(failure.redirect, Some(Redirect::Moved(_))) {
            self.shared.doubt.notify_one();
        }
        match failure.redirect.as_ref()? {
            Redirect::Soon => Some(aim.clone()),
            Redirect::Moved(to) => self.named(aim, to, false),
            Redirect::Ask(to) => self.named(aim, to, true),
        }
    }

    /// A node called `host:port`; without a host it is the one that was asked.
    fn named(&self, aim: &Aim, name: &str, asking: bool) -> Option<Aim> {
        let (host, port) = name.rsplit_once(':')?;
        let host = if host.is_empty() {
            aim.node.address.rsplit_once(':')?.0
        } else {
            host
        };
        let address = self.shared.door.address(host, port.parse().ok()?);
        let node = self.shared.node_at(address).ok()?;
        Some(Aim { node, asking })
    }

    /// The nodes that keep keys.
    pub(super) fn nodes(&self) -> Vec<Arc<Node>> {
        let known = self.topology.borrow().clone();
        let mut nodes: Vec<Arc<Node>> = Vec::new();
        for (_, _, node) in known.iter().flat_map(|known| &known.ranges) {
            if !nodes.iter().any(|known| Arc::ptr_eq(known, node)) {
                nodes.push(Arc::clone(node));
            }
        }
        nodes
    }
}

impl Shared {
    fn node_at(&self, address: ConnectionAddr) -> Result<Arc<Node>, StoreSetupError> {
        let name = address.to_string();
        let mut nodes = self.nodes.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(node) = nodes.get(&name) {
            return Ok(Arc::clone(node));
        }
        let client = self.door.client(address)?;
        let node = Node::new(name.clone(), &client, &self.meet, self.connections, self.deadline);
        let node = Arc::new(node);
        nodes.insert(name, Arc::clone(&node));
        Ok(node)
    }

    fn topology(&self, found: Vec<Found>) -> Result<Topology, StoreSetupError> {
        let ranges = found
            .into_iter()
            .map(
                |Found {
                     first,
                     last,
                     host,
                     port,
                 }| {
                    let node = self.node_at(self.door.address(&host, port))?;
                    Ok((first, last, node))
                },
            )
            .collect::<Result<Vec<_>, StoreSetupError>>()?;
        // the connections of nodes that keep nothing any more are closed
        let mut nodes = self.nodes.lock().unwrap_or_else(PoisonError::into_inner);
        nodes.retain(|_, node| ranges.iter().any(|(_, _, used)| Arc::ptr_eq(used, node)));
        Ok(Topology { ranges })
    }
}

/// Keeps the topology as the guide says: when in doubt, and now and then.
async fn follow(shared: Weak<Shared>, mut guide: Guide, known: watch::Sender<Option<Arc<Topology>>>) {
    let every = guide.every();
    while let Some(now) = shared.upgrade() {
        match timeout(LOOK, guide.look())
            .await
            .unwrap_or(Err(StoreError::Timeout))
        {
            Ok(found) => match now.topology(found) {
                Ok(topology) => {
                    known.send_replace(Some(Arc::new(topology)));
                }
                Err(error) => tracing::warn!(%error, "the store names a node that cannot be used"),
            },
            Err(error) => tracing::debug!(%error, "nobody says where the store is"),
        }
        sleep(LOOK_PAUSE).await;
        // until somebody doubts; a route that is gone is noticed at the next look
        let _ = timeout(every, now.doubt.notified()).await;
    }
}
