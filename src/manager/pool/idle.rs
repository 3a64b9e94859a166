//! Connections that come back, and those that are idle: who gets them, and which have to go.

use std::sync::Weak;
use std::time::{Duration, Instant};

use super::deferred::Aftermath;
use super::lru::Idle;
use super::state::{Stage, State};
use super::waiters::Next;
use crate::manager::Limits;
use crate::manager::connection::{Connection, Record};
use crate::manager::events::EventKind;
use crate::vocabulary::CloseReason;

impl State {
    /// A connection is free: for whoever waits for it, to be idle, or to go.
    pub(super) fn offer(
        &mut self,
        connection: Box<Connection>,
        now: Instant,
        after: &mut Aftermath,
    ) {
        let Some((connection, line)) = self.bring(connection, now, after) else { return };
        self.tell(EventKind::Returned, &connection.record, after);
        let stamp = self.next_stamp;
        self.next_stamp += 1;
        self.keep(connection, (now, stamp), line, now, after);
    }

    /// An idle connection was only looked at: nobody used it, so that it keeps its place.
    pub(super) fn put_back(
        &mut self,
        connection: Box<Connection>,
        place: (Instant, u64),
        now: Instant,
        after: &mut Aftermath,
    ) {
        if let Some((connection, line)) = self.bring(connection, now, after) {
            self.keep(connection, place, line, now, after);
        }
    }

    /// Brings a connection to whoever waits for it. It comes back, with its line, if nobody does.
    fn bring(
        &mut self,
        connection: Box<Connection>,
        now: Instant,
        after: &mut Aftermath,
    ) -> Option<(Box<Connection>, usize)> {
        let line = self.entries.get(&connection.record.id)?.slot.line();
        if let Some(reason) = self.unfit(&connection.record, line, now) {
            self.fall_with(connection, reason, after);
            return None;
        }
        match self.next_for(line) {
            Next::Taker(ticket) => self.grant(ticket, connection, after),
            // Somebody who came earlier needs the slot and can't use this connection.
            Next::Seeker => self.fall_with(connection, CloseReason::PoolFull, after),
            Next::Nobody => return Some((connection, line)),
        }
        None
    }

    /// Why a connection can't serve another exchange, if it can't.
    fn unfit(&self, record: &Record, line: usize, now: Instant) -> Option<CloseReason> {
        let limits = &self.limits;
        if let Some(reason) = record.is_closing() {
            return Some(reason);
        }
        if self.closed.is_some() {
            return Some(CloseReason::ManagerShutDown);
        }
        if let Some(reason) = self.is_worn(record, now) {
            return Some(reason);
        }
        // The limits may have been lowered while it was in use.
        let group = &self.groups[self.lines[line].group];
        let too_many = group.staying() > limits.per_origin || self.staying() > limits.total;
        too_many.then_some(CloseReason::PoolFull)
    }

    /// Why a connection may not be used again, by what it has behind it.
    pub(super) fn is_worn(&self, record: &Record, now: Instant) -> Option<CloseReason> {
        let limits = &self.limits;
        if limits.max_requests.is_some_and(|most| record.served() >= most) {
            return Some(CloseReason::ServedEnough);
        }
        let too_old = limits
            .age_of(record.id)
            .is_some_and(|age| now.saturating_duration_since(record.born) >= age);
        too_old.then_some(CloseReason::TooOld)
    }

    fn keep(
        &mut self,
        connection: Box<Connection>,
        (since, stamp): (Instant, u64),
        line: usize,
        now: Instant,
        after: &mut Aftermath,
    ) {
        let Limits { idle_total, idle_per_origin, .. } = self.limits;
        if idle_total == 0 || idle_per_origin == 0 {
            return self.fall_with(connection, CloseReason::PoolFull, after);
        }
        let id = connection.record.id;
        let Some(entry) = self.entries.get_mut(&id) else { return };
        entry.stage = Stage::Idle { connection, since, stamp };
        let group = self.lines[line].group;
        self.lines[line].idle.add(Idle { id, stamp, since });
        self.ages.add(Idle { id, stamp, since });
        self.groups[group].idle += 1;
        if self.groups[group].idle > idle_per_origin {
            self.evict_of(group, after);
        }
        if self.ages.len() > idle_total {
            self.evict(after);
        }
        self.plan_sweep(now, after);
    }

    /// The most recently used idle connection of a line.
    pub(super) fn take_idle(
        &mut self,
        line: usize,
        now: Instant,
        after: &mut Aftermath,
    ) -> Option<Box<Connection>> {
        loop {
            let id = self.lines[line].idle.youngest()?.id;
            match self.is_worn(&self.entries.get(&id)?.record, now) {
                Some(reason) => self.fall(id, reason, after),
                None => return self.pick(id),
            }
        }
    }

    /// Takes an idle connection out of its line; its entry stays, to be given a new stage.
    pub(super) fn pick(&mut self, id: u64) -> Option<Box<Connection>> {
        let entry = self.entries.get_mut(&id)?;
        if !matches!(entry.stage, Stage::Idle { .. }) {
            return None;
        }
        let stage = std::mem::replace(&mut entry.stage, Stage::Looked);
        let Stage::Idle { connection, stamp, .. } = stage else { return None };
        let line = &mut self.lines[entry.slot.line()];
        line.idle.remove(stamp);
        self.groups[line.group].idle -= 1;
        self.ages.remove(stamp);
        Some(connection)
    }

    /// The least recently used idle connection of an origin goes.
    pub(super) fn evict_of(&mut self, group: usize, after: &mut Aftermath) -> bool {
        let lines = self.groups[group].lines.iter();
        let oldest = lines.filter_map(|line| self.lines[*line].idle.oldest());
        let oldest = oldest.min_by_key(|row| row.stamp).map(|row| row.id);
        oldest.map(|id| self.fall(id, CloseReason::PoolFull, after)).is_some()
    }

    /// The least recently used idle connection of all goes.
    pub(super) fn evict(&mut self, after: &mut Aftermath) -> bool {
        let oldest = self.ages.oldest().map(|row| row.id);
        oldest.map(|id| self.fall(id, CloseReason::PoolFull, after)).is_some()
    }

    /// Closes what has been idle for too long. Looks at the oldest only.
    pub(super) fn expire(&mut self, now: Instant, after: &mut Aftermath) {
        let Some(idle_for) = self.limits.idle_for else { return };
        while let Some(row) = self.ages.oldest()
            && now.saturating_duration_since(row.since) >= idle_for
        {
            self.fall(row.id, CloseReason::IdleTooLong, after);
        }
    }

    pub(super) fn idle_since(&self, id: u64, stamp: u64) -> Option<Instant> {
        match self.entries.get(&id)?.stage {
            Stage::Idle { since, stamp: mine, .. } if mine == stamp => Some(since),
            _ => None,
        }
    }

    /// Sees to it that the sweep comes in time for what has just become idle.
    pub(super) fn plan_sweep(&mut self, now: Instant, after: &mut Aftermath) {
        let at = now + self.limits.idle_for.map_or(TICK, |idle_for| idle_for.min(TICK));
        // One that should have come long ago never got its thread.
        if self.sweep_at.is_none_or(|planned| at < planned || planned + TICK < now) {
            self.sweep_at = Some(at);
            after.sweep = Some((Weak::clone(&self.pool), at));
        }
    }

    /// When the sweep shall come next; `None` if nothing is idle.
    pub(super) fn next_sweep(&mut self, now: Instant) -> Option<Instant> {
        let tick = now + TICK;
        let due = |row: &Idle| self.limits.idle_for.and_then(|most| row.since.checked_add(most));
        self.sweep_at = self.ages.oldest().map(|row| due(row).map_or(tick, |due| due.min(tick)));
        self.sweep_at
    }
}

/// How often the sweep looks at what is idle.
const TICK: Duration = Duration::from_millis(500);
