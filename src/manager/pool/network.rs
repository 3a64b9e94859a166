//! What a pool does when the network of the machine changes: what was looked up is forgotten, and connections whose
//! local address is gone are closed, or marked if an exchange uses them.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};

use super::lock::Pool;
use crate::manager::connection::Record;
use crate::manager::control::Cause;
use crate::manager::event_log::EventKind;
use crate::net::network_watch::{self, NetworkChange, NetworkUser};
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

    /// To be called before a dial: names that were looked up in another network are forgotten.
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
        if change.is_other_network {
            self.forget_network();
        }
        if change.has_gone() {
            let is_gone =
                |record: &Record| record.local().is_some_and(|local| change.is_gone(local.ip()));
            self.close(CloseMode::Graceful, Cause::NetworkChanged, is_gone);
        }
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        if self.has_joined() {
            network_watch::leave();
        }
    }
}
