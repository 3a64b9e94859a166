//! What is looked at from outside a request: the sweep over idle connections, changed limits, and
//! those who listen.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::Pool;
use super::deferred::Aftermath;
use super::lru::Idle;
use super::state::{Stage, State};
use crate::manager::Limits;
use crate::manager::connection::{Connection, Record};
use crate::manager::events::{EventKind, Listener, Ring, Row};
use crate::manager::key::PoolKey;
use crate::net::Stop;
use crate::net::socket::Socket;
use crate::runtime::readable_now;
use crate::timer::TimerTarget;
use crate::vocabulary::{CloseReason, Phase};

/// The sweep. If the system has no thread for it, the look at checkout finds what the sweep would have found.
impl TimerTarget for Pool {
    fn expired(&self, now: Instant) -> Option<Instant> {
        self.sweep(now)
    }
}

impl Pool {
    /// Looks at every idle connection, a few at a time so that the lock is never held for long:
    /// closes those whose time is over, and those on which the peer has said or done something.
    /// Answers when to come again; `None` if nothing is idle.
    pub(in crate::manager) fn sweep(&self, now: Instant) -> Option<Instant> {
        let mut from = 0;
        loop {
            let (rows, next) = self.some_idle(from, now);
            for (id, stamp) in spoken(&rows) {
                self.examine(id, stamp, now);
            }
            match next {
                Some(next) => from = next,
                None => return self.lock().next_sweep(Instant::now()),
            }
        }
    }

    /// Some idle connections, from that stamp on, and where to go on. Those whose time is over go.
    fn some_idle(&self, from: u64, now: Instant) -> (Vec<Seen>, Option<u64>) {
        let mut after = Aftermath::default();
        let mut state = self.lock();
        state.expire(now, &mut after);
        let rows: Vec<Idle> = state.ages.from(from).take(AT_ONCE).copied().collect();
        let next = rows.last().map(|row| row.stamp + 1).filter(|_| rows.len() == AT_ONCE);
        let mut idle = Vec::with_capacity(rows.len());
        for Idle { id, stamp, since, .. } in rows {
            let record = Arc::clone(&state.entries[&id].record);
            if let Some(reason) = state.is_worn(&record, now) {
                state.fall(id, reason, &mut after);
            } else if state
                .limits
                .idle_for
                .is_some_and(|most| now.saturating_duration_since(since) >= most)
            {
                state.fall(id, CloseReason::IdleTooLong, &mut after);
            } else if let Some(socket) = record.socket() {
                idle.push(Seen { id, stamp, socket });
            }
        }
        (idle, next)
    }

    /// The peer has said or done something on an idle connection. TLS may have had something to
    /// say that is in order (RFC 8446 section 4.6.1); everything else ends it.
    fn examine(&self, id: u64, stamp: u64, now: Instant) {
        let mut after = Aftermath::default();
        let mut state = self.lock();
        // Somebody has it by now, or had it: it is looked at at checkout, and was.
        let Some(since) = state.idle_since(id, stamp) else { return };
        let Some(mut connection) = state.pick(id) else { return };
        drop(state);
        let verdict = listen_to(&mut connection);
        let mut state = self.lock();
        let still = state.entries.get(&id).is_some_and(|e| matches!(e.stage, Stage::Looked));
        match verdict {
            // Closed in the meantime: it is over.
            _ if !still => {}
            None => state.put_back(connection, (since, stamp), now, &mut after),
            Some(reason) => {
                state.counters.swept += 1;
                state.fall_with(connection, reason, &mut after);
            }
        }
        drop(state);
    }

    pub(in crate::manager) fn listen(&self, listener: &Arc<Listener>, capacity: usize) -> u64 {
        let mut state = self.lock();
        let ring = state.ring.get_or_insert_with(|| Box::new(Ring::new()));
        let next = ring.join(listener, capacity);
        self.listening.store(true, Ordering::Relaxed);
        next
    }

    pub(in crate::manager) fn stop_listening(&self, listener: &Arc<Listener>) {
        let mut state = self.lock();
        if state.ring.as_mut().is_some_and(|ring| ring.part(listener)) {
            state.ring = None;
            self.listening.store(false, Ordering::Relaxed);
        }
    }

    pub(in crate::manager) fn read_event(&self, number: u64) -> Option<(u64, Row, bool)> {
        self.lock().ring.as_ref()?.read(number)
    }

    /// Whether anybody wants to know what happens.
    pub(crate) fn has_subscribers(&self) -> bool {
        self.listening.load(Ordering::Relaxed)
    }

    /// A request is sent again, because that connection broke.
    #[cold]
    pub(crate) fn note_retry(&self, connection: u64, key: &Arc<PoolKey>) {
        let mut after = Aftermath::default();
        let mut state = self.lock();
        state.counters.retried += 1;
        state.tell_of(EventKind::Retried, connection, key, &mut after);
        drop(state);
    }

    /// How long the phases of an exchange took.
    pub(crate) fn note_phases(
        &self,
        connection: u64,
        key: &Arc<PoolKey>,
        phases: &[(Phase, Duration)],
    ) {
        let mut after = Aftermath::default();
        let mut state = self.lock();
        for (phase, took) in phases {
            state.tell_of(EventKind::Phase(*phase, *took), connection, key, &mut after);
        }
        drop(state);
    }
}

impl State {
    /// The limits were changed: what is idle goes at once, the rest when it comes back; and who
    /// waits may have room now.
    pub(super) fn apply_limits(&mut self, now: Instant, after: &mut Aftermath) {
        self.expire(now, after);
        self.drop_worn(now, after);
        // The narrower limits first: what they close counts for the wider ones.
        let groups: Vec<usize> = self.groups.iter().map(|(group, _)| group).collect();
        for group in groups {
            while self.is_over(group) && self.evict_of(group, after) {}
            self.list(group);
        }
        let Limits { total, idle_total, .. } = self.limits;
        while (self.ages.len() > idle_total || self.staying() > total) && self.evict(after) {}
        self.serve(after);
        if self.ages.len() > 0 {
            self.plan_sweep(now, after);
        }
    }

    /// Whether a group has more than it may have, and so has to let idle ones go.
    fn is_over(&self, group: usize) -> bool {
        let Limits { per_origin, idle_per_origin, .. } = self.limits;
        let group = &self.groups[group];
        group.idle > idle_per_origin || group.staying() > per_origin
    }

    /// Closes what is idle and may not be used again.
    fn drop_worn(&mut self, now: Instant, after: &mut Aftermath) {
        if self.limits.max_requests.is_none() && self.limits.max_age.is_none() {
            return;
        }
        let worn: Vec<(u64, CloseReason)> = self
            .ages
            .from(0)
            .filter_map(|row| Some((row.id, self.is_worn(&self.entries[&row.id].record, now)?)))
            .collect();
        for (id, reason) in worn {
            self.fall(id, reason, after);
        }
    }

    pub(super) fn tell_queued(&mut self, line: usize, after: &mut Aftermath) {
        let key = Arc::clone(&self.lines[line].key);
        self.tell_of(EventKind::Queued, 0, &key, after);
    }

    /// Records what happened, if somebody listens.
    pub(super) fn tell(&mut self, what: EventKind, record: &Record, after: &mut Aftermath) {
        self.tell_of(what, record.id, &record.key, after);
    }

    fn tell_of(&mut self, what: EventKind, id: u64, key: &Arc<PoolKey>, after: &mut Aftermath) {
        if let Some(ring) = &mut self.ring {
            ring.record(what, id, key, &mut after.rung);
        }
    }
}

/// An idle connection that is to be looked at.
struct Seen {
    id: u64,
    stamp: u64,
    socket: Arc<Socket>,
}

/// Those of them that have something to read, which may be their end.
fn spoken(rows: &[Seen]) -> Vec<(u64, u64)> {
    // Inside the sockets, so that nobody closes a descriptor while it is polled.
    let inside: Vec<_> = rows.iter().filter_map(|row| Some((row, row.socket.enter()?))).collect();
    let descriptors: Vec<_> = inside.iter().map(|(_, socket)| socket.fd()).collect();
    let ready = readable_now(&descriptors);
    let spoke = inside.iter().zip(ready).filter(|(_, ready)| *ready);
    spoke.map(|((row, _), _)| (row.id, row.stamp)).collect()
}

/// What the peer said on an idle connection; `None` if that is in order.
fn listen_to(connection: &mut Connection) -> Option<CloseReason> {
    match connection.stream.try_read(&mut [0]) {
        Ok(None) => None,
        Ok(Some(0)) | Err(Stop::PeerClosed) => Some(CloseReason::PeerClosed),
        Ok(Some(_)) | Err(Stop::Tls(_)) => Some(CloseReason::ProtocolError),
        Err(Stop::Io(error)) if error.kind() == std::io::ErrorKind::ConnectionReset => {
            Some(CloseReason::PeerReset)
        }
        Err(_) => Some(CloseReason::PeerClosed),
    }
}

/// How many are looked at in one go.
const AT_ONCE: usize = 128;
