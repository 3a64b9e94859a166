//! The work that a critical section leaves for after the lock: closing sockets, freeing slots and
//! waking threads. All of it is slow, takes other locks, or runs other code.

use std::sync::{Arc, Weak};
use std::time::Instant;

use super::entry::{Stage, Unlisted};
use super::slot::Slot;
use crate::manager::connection::Connection;
use crate::manager::control::Control;
use crate::runtime::{InputWatch, Notify};
use crate::timer::{self, TimerTarget};

/// Carried out by its drop. [`Pool::with_state`](super::lock::Pool::with_state) makes it before it
/// takes the lock, so it is dropped after the lock was released. Every request drops two of these,
/// and nearly all are empty.
#[derive(Default)]
pub(super) struct Deferred(Option<Box<Work>>);

/// What is to be done.
#[derive(Default)]
pub(super) struct Work {
    /// Connections that were taken out of the pool: their sockets are ended, then their slots freed.
    pub(super) to_close: Vec<Unlisted>,
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
    /// No connection is open, so there is none to watch: its descriptor is closed.
    pub(super) unused_watch: Option<Arc<InputWatch>>,
}

impl Deferred {
    /// What is to be done, to add to it.
    pub(super) fn work(&mut self) -> &mut Work {
        self.0.get_or_insert_default()
    }
}

impl Work {
    #[inline(never)] // Most critical sections leave no work.
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
        for Unlisted { record, stage, slot, .. } in self.to_close.drain(..) {
            match stage {
                Stage::Idle { mut connection, .. } => connection.stream.send_close_notify(),
                Stage::Granted { mut connection, to } => {
                    connection.stream.send_close_notify();
                    to.wake();
                }
                Stage::Reserved(control) | Stage::Dialling(control) | Stage::InUse(control) => {
                    control.wake();
                }
                Stage::Probed | Stage::Taken => {}
            }
            // First the socket, then the slot: the next dial must not exceed the limits.
            record.end();
            self.free_slots.push(slot);
            if self.free_slots.len() == FREED_TOGETHER {
                Slot::free_all(&mut self.free_slots);
            }
        }
        Slot::free_all(&mut self.free_slots);
        self.unused_watch = None;
    }
}

impl Drop for Deferred {
    #[inline]
    fn drop(&mut self) {
        if let Some(work) = &mut self.0 {
            work.run();
        }
    }
}

/// After how many closed sockets their slots are freed: in one critical section, and without a long wait for the first.
const FREED_TOGETHER: usize = 32;
