//! The work that a critical section leaves for after the lock: closing sockets, freeing slots and
//! waking threads. All of it is slow, takes other locks, or runs other code.

use std::sync::{Arc, Weak};
use std::time::Instant;

use super::entry::{Entry, Stage};
use super::slot::Slot;
use crate::manager::connection::Connection;
use crate::manager::control::Control;
use crate::runtime::Notify;
use crate::timer::{self, TimerTarget};

/// Carried out by its drop. [`Pool::with_state`](super::lock::Pool::with_state) makes it before it
/// takes the lock, so it is dropped after the lock was released.
#[derive(Default)]
pub(super) struct Deferred {
    /// Connections that were taken out of the pool: their sockets are ended, then their slots freed.
    pub(super) to_close: Vec<Entry>,
    /// Dialled connections whose entry was closed meanwhile: ended before the slots are freed.
    pub(super) closed_meanwhile: Vec<Connection>,
    /// Slots whose sockets are gone.
    pub(super) free_slots: Vec<Slot>,
    /// Exchanges for which something has changed.
    pub(super) to_wake: Vec<Arc<Control>>,
    /// Waits for an empty pool or for an event.
    pub(super) to_notify: Vec<Arc<Notify>>,
    /// A connection became idle, and no sweep was scheduled, or one that comes too late.
    pub(super) sweep: Option<(Weak<dyn TimerTarget>, Instant)>,
}

impl Deferred {
    fn is_empty(&self) -> bool {
        let Self { to_close, closed_meanwhile, free_slots, to_wake, to_notify, sweep } = self;
        to_close.is_empty()
            && closed_meanwhile.is_empty()
            && free_slots.is_empty()
            && to_wake.is_empty()
            && to_notify.is_empty()
            && sweep.is_none()
    }

    fn run(&mut self) {
        for connection in &self.closed_meanwhile {
            connection.record.end();
        }
        for control in self.to_wake.drain(..) {
            control.wake();
        }
        for notify in self.to_notify.drain(..) {
            notify.set();
        }
        if let Some((pool, at)) = self.sweep.take() {
            timer::at(at, pool);
        }
        for Entry { record, stage, slot, .. } in self.to_close.drain(..) {
            match stage {
                Stage::Idle { mut connection, .. } => connection.stream.send_close_notify(),
                Stage::Granted { mut connection, to } => {
                    connection.stream.send_close_notify();
                    to.wake();
                }
                Stage::Reserved(control) | Stage::Dialling(control) | Stage::InUse(control) => {
                    control.wake();
                }
                Stage::Probing => {}
            }
            // First the socket, then the slot: the next dial must not exceed the limits.
            record.end();
            drop(slot);
        }
        self.free_slots.clear();
    }
}

impl Drop for Deferred {
    #[inline]
    fn drop(&mut self) {
        // Every request drops two of these, and nearly all are empty.
        if !self.is_empty() {
            self.run();
        }
    }
}
