//! Calls that wait between their exchanges: for the delay before a retry, or for a token. They have no connection and
//! no place among the waiters, but a shutdown ends them as well.

use std::sync::Arc;

use super::deferred::Deferred;
use super::lock::Pool;
use super::state::State;
use crate::manager::control::{Cause, Control};

/// The entry of a call that waits; its drop takes it back. Threads: one at a time.
#[derive(Debug)]
pub(crate) struct Pause {
    pool: Arc<Pool>,
    control: Arc<Control>,
    id: usize,
}

impl Pool {
    /// Lists a call that waits. If the pool gives no leases any more, it is ended at once.
    pub(crate) fn begin_pause(self: &Arc<Self>, control: &Arc<Control>) -> Pause {
        let id = self.with_state(|state, _| {
            if state.closed.is_some() {
                control.try_finish(Cause::ShutDown);
            }
            state.pauses.insert(Arc::clone(control))
        });
        Pause { pool: Arc::clone(self), control: Arc::clone(control), id }
    }
}

impl State {
    /// No leases are given any more: ends the calls that wait for their next one.
    pub(super) fn end_pauses(&self, deferred: &mut Deferred) {
        for (_, control) in &self.pauses {
            if control.try_finish(Cause::ShutDown) {
                deferred.work().to_wake.push(Arc::clone(control));
            }
        }
    }
}

impl Drop for Pause {
    fn drop(&mut self) {
        self.pool.with_state(|state, _| {
            // In the child of a fork the list is another one.
            if state.pauses.get(self.id).is_some_and(|control| Arc::ptr_eq(control, &self.control))
            {
                state.pauses.remove(self.id);
            }
        });
    }
}
