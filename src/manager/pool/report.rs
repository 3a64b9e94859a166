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
        // With the id in the row: the records are far apart in memory.
        let mut open: Vec<(u64, Arc<Record>, Placement)> = self.with_state(|state, deferred| {
            state.close_idle_too_long(now, deferred);
            let row =
                |e: &Entry| (e.record.id, Arc::clone(&e.record), e.stage().placement(&e.record));
            state.connections().map(row).collect()
        });
        open.sort_unstable_by_key(|(id, ..)| *id);
        // Without the lock: the system is asked for each.
        let row = |(_, record, placement): (u64, Arc<Record>, Placement)| ConnectionInfo {
            tcp_facts: record.tcp_facts(),
            ..record.info(placement, now)
        };
        open.into_iter().map(row).collect()
    }

    /// The counters; how many connections there are makes no difference.
    pub(crate) fn stats(&self, now: Instant) -> Stats {
        self.with_state(|state, deferred| {
            state.close_idle_too_long(now, deferred);
            let counts = state.entries.counts();
            let open = state.entries.len() - counts.reserved;
            let idle = state.idle.len() + counts.probed;
            Stats {
                dialling: counts.dialling as u64,
                in_use: (open - counts.dialling - idle) as u64,
                idle: idle as u64,
                queued: state.queued as u64,
                ..state.counters
            }
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
