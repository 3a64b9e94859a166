//! When idle connections have expired: by the limits of the manager, and by what their server said (`Keep-Alive`).
//!
//! The limit of the time that any of them may be idle is reached in the order of their last use. The other times are
//! each connection's own, and are kept in a list of their own, so that a sweep costs nothing for those whose time has
//! not come.

use std::time::Instant;

use super::deferred::Deferred;
use super::entry::Stage;
use super::state::State;
use crate::manager::connection::Record;
use crate::manager::limits::Limits;
use crate::vocabulary::CloseReason;

/// Why a connection may not be used again, if it has reached its age or its number of requests.
#[inline]
pub(super) fn expired(limits: &Limits, record: &Record, now: Instant) -> Option<CloseReason> {
    if limits.max_requests.is_some_and(|most| record.requests_served() >= most) {
        return Some(CloseReason::ServedEnough);
    }
    let too_old = limits
        .age_of(record.id)
        .is_some_and(|age| now.saturating_duration_since(record.opened_at) >= age);
    too_old.then_some(CloseReason::TooOld)
}

/// [`expired`], or idle for longer than its server keeps it.
#[inline]
pub(super) fn idle_expired(
    limits: &Limits,
    record: &Record,
    since: Instant,
    now: Instant,
) -> Option<CloseReason> {
    expired(limits, record, now).or_else(|| {
        let most = record.idle_limit()?;
        let too_long = now.saturating_duration_since(since) >= most;
        too_long.then_some(CloseReason::IdleTooLong)
    })
}

/// When [`idle_expired`] will say so for a reason that is the connection's own.
fn expires_at(limits: &Limits, record: &Record, since: Instant) -> Option<Instant> {
    let by_server = record.idle_limit().and_then(|most| since.checked_add(most));
    let by_age = limits.age_of(record.id).and_then(|age| record.opened_at.checked_add(age));
    by_server.into_iter().chain(by_age).min()
}

impl State {
    /// Closes the connections that have been idle for longer than the limit.
    pub(super) fn close_idle_too_long(&mut self, now: Instant, deferred: &mut Deferred) {
        let Some(idle_for) = self.limits.idle_for else { return };
        while let Some(row) = self.idle.oldest()
            && now.saturating_duration_since(row.since) >= idle_for
        {
            self.remove(row.id, CloseReason::IdleTooLong, deferred);
        }
    }

    /// Closes some of the idle connections that have expired by a limit of their own; returns whether there may be more.
    pub(super) fn close_some_expired(&mut self, now: Instant, deferred: &mut Deferred) -> bool {
        for _ in 0..BATCH {
            let Some(id) = self.expiries.take_due(now) else { return false };
            let Some(mut entry) = self.entries.get_mut(id) else { continue };
            entry.expires = None;
            // One that is not idle is entered again by the sweep after it became idle.
            let Stage::Idle { since, .. } = *entry.stage() else { continue };
            match idle_expired(&self.limits, &entry.record, since, now) {
                Some(reason) => self.remove(id, reason, deferred),
                None => self.schedule_expiry(id, since),
            }
        }
        true
    }

    /// Enters the time when an idle connection expires by a limit of its own, if it has one.
    pub(super) fn schedule_expiry(&mut self, id: u64, since: Instant) {
        let Some(mut entry) = self.entries.get_mut(id) else { return };
        let at = expires_at(&self.limits, &entry.record, since);
        if at != entry.expires {
            self.expiries.set(id, entry.expires, at);
            entry.expires = at;
        }
    }

    /// Closes idle connections that may not be used again.
    pub(super) fn close_expired(&mut self, now: Instant, deferred: &mut Deferred) {
        if self.limits.max_requests.is_none() && self.limits.max_age.is_none() {
            return;
        }
        let record = |id| self.entries.get(id).map(|entry| &*entry.record);
        let rows = self.idle.iter_from(0);
        let expired =
            rows.filter_map(|row| Some((row.id, expired(&self.limits, record(row.id)?, now)?)));
        let expired: Vec<(u64, CloseReason)> = expired.collect();
        for (id, reason) in expired {
            self.remove(id, reason, deferred);
        }
    }
}

/// How many connections are closed under one lock.
const BATCH: usize = 128;
