//! What is left to do when the pool's lock is given back: nothing slow, nothing that wakes
//! somebody and no code of others runs under it.

use std::sync::{Arc, Weak};
use std::time::Instant;

use super::Pool;
use super::slot::Slot;
use super::state::{Entry, Stage};
use crate::manager::control::Control;
use crate::runtime::Notify;
use crate::timer;

/// Made before the lock is taken, so that it is dropped after it was given back; the drop does it.
#[derive(Default)]
pub(super) struct Aftermath {
    /// Connections that fell out of the pool. Their sockets are ended here, then their slots freed.
    pub(super) fallen: Vec<Entry>,
    /// Slots whose sockets are gone.
    pub(super) freed: Vec<Slot>,
    /// Exchanges for which something has changed.
    pub(super) woken: Vec<Arc<Control>>,
    /// Whoever waits for the pool to be empty, or for an event to be recorded.
    pub(super) rung: Vec<Arc<Notify>>,
    /// Something is idle that the sweep does not know of, or would come to too late.
    pub(super) sweep: Option<(Weak<Pool>, Instant)>,
}

impl Aftermath {
    fn is_empty(&self) -> bool {
        let Self { fallen, freed, woken, rung, sweep } = self;
        fallen.is_empty()
            && freed.is_empty()
            && woken.is_empty()
            && rung.is_empty()
            && sweep.is_none()
    }
}

impl Drop for Aftermath {
    fn drop(&mut self) {
        // A request comes here twice, and nearly always there is nothing to do.
        if self.is_empty() {
            return;
        }
        for control in self.woken.drain(..) {
            control.wake();
        }
        for event in self.rung.drain(..) {
            event.set();
        }
        if let Some((pool, at)) = self.sweep.take() {
            timer::at(at, pool);
        }
        for Entry { record, stage, slot, .. } in self.fallen.drain(..) {
            match stage {
                Stage::Idle { mut connection, .. } => connection.stream.send_close_notify(),
                Stage::Granted { mut connection, to } => {
                    connection.stream.send_close_notify();
                    to.wake();
                }
                Stage::Reserved(control) | Stage::Dialling(control) | Stage::InUse(control) => {
                    control.wake();
                }
                Stage::Looked => {}
            }
            record.end();
            drop(slot);
        }
        self.freed.clear();
    }
}
