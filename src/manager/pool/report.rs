//! What the pool tells about its connections: the list, the counters, and the last reasons.

use std::sync::Arc;
use std::time::Instant;

use super::entry::Entry;
use super::lock::Pool;
use crate::manager::connection::{ConnectionInfo, Placement, Record};
use crate::manager::limits::Stats;
use crate::vocabulary::CloseReason;

impl Pool {
    /// The open connections, by id.
    pub(crate) fn list(&self, now: Instant) -> Vec<ConnectionInfo> {
        let mut open: Vec<(Arc<Record>, Placement)> = self.with_state(|state, deferred| {
            state.close_idle_too_long(now, deferred);
            let row = |e: &Entry| (Arc::clone(&e.record), e.stage.placement(&e.record));
            state.connections().map(row).collect()
        });
        open.sort_unstable_by_key(|(record, _)| record.id);
        open.into_iter().map(|(record, placement)| record.info(placement, now)).collect()
    }

    pub(crate) fn stats(&self, now: Instant) -> Stats {
        self.with_state(|state, deferred| {
            state.close_idle_too_long(now, deferred);
            let mut stats = Stats { queued: state.queued as u64, ..state.counters };
            for entry in state.connections() {
                match entry.stage.placement(&entry.record) {
                    Placement::Dialling => stats.dialling += 1,
                    Placement::InUse => stats.in_use += 1,
                    Placement::Idle(_) => stats.idle += 1,
                }
            }
            stats
        })
    }

    /// Why a connection was closed, if that is remembered.
    pub(crate) fn close_reason_of(&self, id: u64) -> Option<CloseReason> {
        self.with_state(|state, _| {
            let mut closed = state.recently_closed.iter().rev();
            closed.find(|(other, _)| *other == id).map(|(_, reason)| *reason)
        })
    }
}
