//! Which node keeps which keys, now.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use redis::ConnectionAddr;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::failover::Failover;
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
    state: watch::Receiver<State>,
}

/// What is known of the nodes. A topology once known is never forgotten: a look that fails harms nobody.
#[derive(Clone)]
enum State {
    /// The first look is not over.
    Unknown,
    Failed(StoreError),
    Known(Arc<Topology>),
}

struct Shared {
    door: Door,
    failover: Arc<Failover>,
    connections: usize,
    deadline: Duration,
    /// Whether there are other nodes to go to.
    follows: bool,
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
    pub(super) fn new(options: &RedisOptions, failover: Arc<Failover>) -> Result<Self, StoreSetupError> {
        let (door, addresses) = Door::new(options)?;
        let shared = Arc::new(Shared {
            door,
            failover,
            connections: options.connections,
            deadline: options.deadline,
            follows: matches!(options.place, Place::Cluster(_)),
            nodes: Mutex::default(),
            doubt: Notify::new(),
        });
        let guide = match &options.place {
            Place::Single(_) => {
                let address = addresses.into_iter().next().ok_or(StoreSetupError::Url)?;
                let only = Topology::all_in(shared.node_at(address)?);
                let (_, state) = watch::channel(State::Known(Arc::new(only)));
                return Ok(Self { shared, state });
            }
            Place::Sentinel { master, urls } => {
                let (door, addresses) = Door::of_urls(urls, &options.tls)?;
                Guide::sentinels(door, addresses, master.clone())
            }
            Place::Cluster(_) => Guide::cluster(shared.door.clone(), addresses),
        };
        let (told, state) = watch::channel(State::Unknown);
        tokio::spawn(follow(Arc::downgrade(&shared), guide, told));
        Ok(Self { shared, state })
    }

    /// The node that keeps `slot`, once it is known.
    pub(super) async fn aim(&self, slot: u16, until: Instant) -> Result<Aim, StoreError> {
        let mut state = self.state.clone();
        let looked = timeout_at(until, state.wait_for(|state| !matches!(state, State::Unknown))).await;
        let state = match looked {
            Err(_) | Ok(Err(_)) => State::Unknown,
            Ok(Ok(state)) => state.clone(),
        };
        let node = match state {
            State::Unknown => Err(StoreError::Unavailable("nobody says where it is")),
            State::Failed(error) => Err(error),
            State::Known(topology) => {
                let node = topology.node(slot).cloned();
                node.ok_or(StoreError::Unavailable("no node keeps this slot"))
            }
        };
        let node = node.inspect_err(|_| self.shared.doubt.notify_one())?;
        Ok(Aim { node, asking: false })
    }

    /// Where to go after a failure; `None`: it was no redirection. Where a node was lost, the others are asked
    /// whether the store is elsewhere by now.
    pub(super) fn after(&self, aim: &Aim, failure: &Failure) -> Option<Aim> {
        if failure.node_lost || matches!(failure.redirect, Some(Redirect::Moved(_))) {
            self.shared.doubt.notify_one();
        }
        match failure.redirect.as_ref().filter(|_| self.shared.follows)? {
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
        let State::Known(topology) = self.state.borrow().clone() else {
            return Vec::new();
        };
        let mut nodes: Vec<Arc<Node>> = Vec::new();
        for (_, _, node) in &topology.ranges {
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
        let (failover, called) = (Arc::clone(&self.failover), name.clone());
        let meet: Meet = Arc::new(move |identity| failover.met(&called, identity, Instant::now()));
        let node = Node::new(name.clone(), &client, &meet, self.connections, self.deadline);
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
        for (first, last, node) in &ranges {
            self.failover.keeps(&node.address, (*first, *last));
        }
        Ok(Topology { ranges })
    }
}

/// Keeps the topology as the guide says: when in doubt, and now and then.
async fn follow(shared: Weak<Shared>, mut guide: Guide, told: watch::Sender<State>) {
    let every = guide.every();
    while let Some(now) = shared.upgrade() {
        let looked = timeout(LOOK, guide.look()).await;
        match looked.unwrap_or(Err(StoreError::Timeout)) {
            Ok(found) => match now.topology(found) {
                Ok(topology) => {
                    told.send_replace(State::Known(Arc::new(topology)));
                }
                Err(error) => tracing::warn!(%error, "the store names a node that cannot be used"),
            },
            Err(error) => {
                tracing::debug!(%error, "nobody says where the store is");
                told.send_if_modified(|state| {
                    let unknown = !matches!(state, State::Known(_));
                    if unknown {
                        *state = State::Failed(error);
                    }
                    unknown
                });
            }
        }
        sleep(LOOK_PAUSE).await;
        // until somebody doubts; a route that is gone is noticed at the next look
        let _ = timeout(every, now.doubt.notified()).await;
    }
}
