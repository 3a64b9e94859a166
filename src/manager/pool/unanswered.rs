//! Idle connections whose peers are silent: the system has probed them for a sign of life, and none came. They are
//! closed before a request meets them.
//!
//! The sweep asks the system for a bounded number of connections each time, one after the other; the checkout asks for
//! the one that it takes ([`Lease`](crate::manager::Lease)). The system itself ends a silent connection some seconds
//! later, which the watch for input reports.

use std::sync::Arc;
use std::time::Instant;

use super::lock::Pool;
use super::lru::IdleRow;
use super::state::State;
use crate::manager::connection::Record;
use crate::net::probes::Probes;
use crate::vocabulary::CloseReason;

impl Pool {
    /// Closes silent ones among the connections that were idle for long.
    pub(super) fn close_silent(&self, now: Instant) {
        let long_idle = self.with_state(|state, _| state.long_idle(now));
        // Without the lock: these are system calls.
        let silent = long_idle.iter().filter(|(record, _)| record.is_silent());
        let silent: Vec<(u64, u64)> = silent.map(|(record, seq)| (record.id, *seq)).collect();
        if silent.is_empty() {
            return;
        }
        self.with_state(|state, deferred| {
            for (id, seq) in silent {
                // The checkout asks, too, for one that is in use meanwhile.
                if state.idle_since(id, seq).is_some() {
                    state.counters.swept += 1;
                    state.remove(id, CloseReason::PeerSilent, deferred);
                }
            }
        });
    }
}

impl State {
    /// The next few connections that have been idle for so long that the system has probed their peers, with their
    /// sequence numbers. After the last one it begins anew with the first.
    fn long_idle(&mut self, now: Instant) -> Vec<(Arc<Record>, u64)> {
        let silence = Probes::after_limit(self.limits.keep_alive).judged_after();
        let idle_for = |row: &IdleRow| now.saturating_duration_since(row.since);
        let mut rows =
            self.idle.iter_from(self.asked_to).take_while(|row| idle_for(row) >= silence);
        let batch: Vec<IdleRow> = rows.by_ref().take(BATCH).copied().collect();
        let is_last = rows.next().is_none();
        drop(rows);
        self.asked_to = batch.last().filter(|_| !is_last).map_or(0, |row| row.seq + 1);
        #[cfg(test)]
        {
            self.visits += batch.len();
        }
        let long_idle = batch.iter().filter_map(|row| {
            let record = &self.entries.get(row.id)?.record;
            // Its probes may be those of another limit.
            (idle_for(row) >= record.probes.judged_after()).then(|| (Arc::clone(record), row.seq))
        });
        long_idle.collect()
    }
}

/// For how many connections the system is asked in a sweep.
const BATCH: usize = 64;
