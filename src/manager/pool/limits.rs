//! Changed limits: what they close at once, and which waiters get room by them.

use std::time::Instant;

use super::deferred::Deferred;
use super::lock::Pool;
use super::state::State;
use crate::manager::limits::Limits;

impl Pool {
    /// Changes the limits in one step, so that concurrent changes of different limits don't undo
    /// each other.
    pub(crate) fn change_limits<E>(
        &self,
        now: Instant,
        change: impl FnOnce(&mut Limits) -> Result<(), E>,
    ) -> Result<(), E> {
        self.with_state(|state, deferred| {
            let mut limits = state.limits;
            change(&mut limits)?;
            state.limits = limits;
            self.publish_limits(limits);
            state.apply_limits(now, deferred);
            Ok(())
        })
    }
}

impl State {
    /// Closes idle connections that are too many or have expired, and serves the waiters. A
    /// connection in use is checked when it comes back.
    fn apply_limits(&mut self, now: Instant, deferred: &mut Deferred) {
        self.close_idle_too_long(now, deferred);
        self.close_expired(now, deferred);
        // The narrower limits first: what they close counts for the wider ones.
        let origin_ids: Vec<usize> = self.origins.iter().map(|(origin_id, _)| origin_id).collect();
        for origin_id in origin_ids {
            while self.exceeds_limits(origin_id) && self.evict_from_origin(origin_id, deferred) {}
            self.update_waiting_origin(origin_id);
        }
        let Limits { total, idle_total, .. } = self.limits;
        while (self.idle.len() > idle_total || self.staying() > total) && self.evict(deferred) {}
        self.serve_waiters(deferred);
        // Those that are idle expire at other times from now on.
        self.swept_to = 0;
        if !self.idle.is_empty() {
            self.schedule_sweep(now, deferred);
        }
    }

    fn exceeds_limits(&self, origin_id: usize) -> bool {
        let Limits { per_origin, idle_per_origin, .. } = self.limits;
        let origin = &self.origins[origin_id];
        origin.idle > idle_per_origin || origin.staying() > per_origin
    }
}
