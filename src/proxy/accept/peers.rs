//! How many connections are open, in all and for one address.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use prometheus::IntGauge;

use crate::settings::Limits;

/// Open connections in all, and what is open for each address: connections, or requests by way of a proxy.
pub(super) struct Peers {
    open: Mutex<HashMap<IpAddr, usize>>,
    in_all: usize,
    per_peer: usize,
    gauge: IntGauge,
}

/// One connection's place among all.
pub(super) struct Place(Arc<Peers>);

/// One of an address' places.
pub(super) struct Seat {
    peers: Arc<Peers>,
    peer: IpAddr,
}

impl Peers {
    pub(super) fn new(limits: &Limits, gauge: IntGauge) -> Self {
        let (in_all, per_peer) = (limits.connections, limits.connections_per_peer);
        Self {
            open: Mutex::default(),
            in_all,
            per_peer,
            gauge,
        }
    }

    /// Called by one task alone, which accepts.
    pub(super) fn place(this: &Arc<Self>) -> Option<Place> {
        let full = usize::try_from(this.gauge.get()).is_ok_and(|open| open >= this.in_all);
        if full {
            return None;
        }
        this.gauge.inc();
        Some(Place(Arc::clone(this)))
    }

    pub(super) fn seat(this: &Arc<Self>, peer: IpAddr) -> Option<Seat> {
        let mut open = this.open.lock().unwrap_or_else(PoisonError::into_inner);
        let count = open.entry(peer).or_default();
        if *count >= this.per_peer {
            return None;
        }
        *count += 1;
        Some(Seat {
            peers: Arc::clone(this),
            peer,
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.gauge.dec();
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut open = self.peers.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Entry::Occupied(mut entry) = open.entry(self.peer) {
            *entry.get_mut() -= 1;
            if *entry.get() == 0 {
                entry.remove();
            }
        }
    }
}
