//! What a pool does when the network of the machine changes: what was looked up is forgotten, and connections whose
//! local address is gone or would be another one now are closed, or marked if an exchange uses them.

use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::Instant;

use super::lock::Pool;
use crate::manager::connection::Record;
use crate::manager::control::Cause;
use crate::manager::event_log::EventKind;
use crate::net::network_watch::{self, NetworkChange, NetworkUser, leads_elsewhere};
use crate::process::fork_generation;
use crate::vocabulary::CloseMode;

impl Pool {
    /// Whether changes of the network that the system tells of are acted on.
    pub(crate) fn watches_network(&self) -> bool {
        self.watches_network.load(Ordering::Relaxed)
    }

    pub(crate) fn set_network_watch(&self, on: bool) {
        self.watches_network.store(on, Ordering::Relaxed);
        if !on && self.has_joined() {
            network_watch::leave();
        }
    }

    /// To be called before a request that can't be sent again, so that it does not go out from an address that is gone. A
    /// look that is a moment old is as good as a new one: the network may change right behind that as well.
    #[inline]
    pub(in crate::manager) fn look_at_network_now_and_then(self: &Arc<Self>, now: Instant) {
        if !self.has_joined() || !network_watch::has_just_looked(now) {
            self.look_at_network();
        }
    }

    /// To be called before a dial, so that names that were looked up in another network are forgotten.
    pub(in crate::manager) fn look_at_network(self: &Arc<Self>) {
        if !self.has_joined() {
            self.join_watch();
        }
        if self.watches_network() {
            network_watch::look();
        }
    }

    /// To be called by each sweep, with whether it has left idle connections.
    pub(super) fn listen_to_network(&self, has_idle: bool) {
        if has_idle && self.watches_network() {
            network_watch::listen();
        } else {
            network_watch::leave();
        }
    }

    /// The network is another one: what was learned about it is forgotten.
    fn forget_network(&self) {
        self.resolver().clear();
        self.with_state(|state, deferred| {
            state.record_event_of(EventKind::NetworkChanged, 0, None, deferred);
        });
    }

    /// The program says that the network has changed. Returns how many connections were closed or marked.
    pub(crate) fn network_changed_by_hand(&self) -> usize {
        self.forget_network();
        self.close(CloseMode::Graceful, Cause::NetworkChanged, |_| true)
    }

    #[cold]
    fn join_watch(self: &Arc<Self>) {
        // Several threads may dial at once, and one of them joins.
        if self.joined_in.swap(fork_generation() + 1, Ordering::Relaxed) != fork_generation() + 1 {
            let this: Weak<dyn NetworkUser> = Arc::downgrade(self) as Weak<_>;
            network_watch::join(this);
        }
    }

    /// From where the connections lead, and where to: the local addresses, and the ways of those whose address the system
    /// chose, with a peer for each.
    fn ways(&self) -> (HashSet<IpAddr>, HashMap<(IpAddr, IpAddr), SocketAddr>) {
        let (mut locals, mut ways) = (HashSet::new(), HashMap::new());
        self.with_state(|state, _| {
            let records = state.connections().map(|entry| &entry.record);
            for (record, (local, peer)) in
                records.filter_map(|record| Some((record, record.ends()?)))
            {
                locals.insert(local.ip());
                if ways.len() < MAX_WAYS && is_routed_by_system(record) {
                    ways.insert((local.ip(), peer.ip()), peer);
                }
            }
        });
        (locals, ways)
    }

    /// Whether the listener of this process knows of it.
    fn has_joined(&self) -> bool {
        self.joined_in.load(Ordering::Relaxed) == fork_generation() + 1
    }
}

impl NetworkUser for Pool {
    fn wants_changes(&self) -> bool {
        self.watches_network()
    }

    fn needs_changes(&self) -> bool {
        self.watches_network() && self.with_state(|state, _| state.idle.oldest().is_some())
    }

    fn network_changed(&self, change: &NetworkChange) {
        let (mut locals, mut ways) = self.ways();
        // Without the lock: the system is asked.
        locals.retain(|local| change.is_gone(*local));
        if change.is_other_network || change.is_unheard() && !locals.is_empty() {
            self.forget_network();
        }
        // Another local address would be chosen now, as when a VPN takes the traffic over: the packets still leave with
        // the old address, and no answer to that comes back by the new way.
        ways.retain(|(local, _), peer| change.is_other_network && leads_elsewhere(*local, *peer));
        if locals.is_empty() && ways.is_empty() {
            return;
        }
        let is_lost = |record: &Record| {
            record.ends().is_some_and(|(local, peer)| {
                let way = (local.ip(), peer.ip());
                locals.contains(&way.0) || ways.contains_key(&way) && is_routed_by_system(record)
            })
        };
        self.close(CloseMode::Graceful, Cause::NetworkChanged, is_lost);
    }
}

/// Whether the system chose the local address, and not the program.
fn is_routed_by_system(record: &Record) -> bool {
    let route = &record.key.route;
    route.local.is_none() && route.interface.is_none() && route.connector.is_none()
}

impl Drop for Pool {
    fn drop(&mut self) {
        if self.has_joined() {
            network_watch::leave();
        }
    }
}

/// How many ways are asked for, each with four system calls. The connections of an origin mostly share one.
const MAX_WAYS: usize = 1000;
