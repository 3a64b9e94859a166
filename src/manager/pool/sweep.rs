//! The sweep over the idle connections: closes those that have expired, those on which the peer sent or closed
//! something, and those whose peer is silent.
//!
//! It costs as much as has happened, not as much as is idle. It sees each connection once after that has become idle,
//! and has a watch report input from then on. What the watch can't take, for want of descriptors or memory, is polled.
//! The watch reports an input once, so a report is kept until the connection was looked at while it was idle:
//! [`Watched::Reported`] stands for it while the connection is in use.

use std::io;
use std::sync::Arc;
use std::time::Instant;

use super::entry::{Stage, Watched};
use super::lock::Pool;
use super::lru::IdleRow;
use super::state::State;
use crate::manager::connection::Connection;
use crate::net::Stop;
use crate::net::socket::{InUse, Socket};
use crate::net::stream::Loss;
use crate::runtime::{Descriptor, InputWatch, poll_readable};
use crate::timer::TimerTarget;
use crate::vocabulary::CloseReason;

/// If the system has no thread for the timer, dead connections are still found by the probe at
/// checkout.
impl TimerTarget for Pool {
    fn expired(&self, now: Instant) -> Option<Instant> {
        let next = self.sweep(now);
        self.listen_to_network(next.is_some());
        next
    }
}

/// An idle connection.
pub(super) struct IdleSocket {
    id: u64,
    seq: u64,
    socket: Arc<Socket>,
}

/// Some of the connections that became idle: those that are not watched, and those that were reported while they were in
/// use.
pub(super) struct NewlyIdle {
    pub(super) unwatched: Vec<IdleSocket>,
    reported: Vec<IdleSocket>,
    /// There are no others.
    is_last: bool,
}

impl Pool {
    /// Sweeps once, some connections at a time, so that the lock is never held for long. Returns when to sweep again;
    /// `None` if nothing is idle.
    pub(super) fn sweep(&self, now: Instant) -> Option<Instant> {
        self.with_state(|state, deferred| state.close_idle_too_long(now, deferred));
        while self.with_state(|state, deferred| state.close_some_expired(now, deferred)) {}
        if let Some(watch) = self.see_newly_idle(now) {
            self.read_reports(&watch, now);
        }
        self.close_silent(now);
        self.with_state(|state, _| state.next_sweep(Instant::now()))
    }

    /// Sees the connections that became idle since the last sweep: has them watched, and looks at those whose report
    /// came while they were in use. Returns the watch, if there is one.
    fn see_newly_idle(&self, now: Instant) -> Option<Arc<InputWatch>> {
        let mut watch = self.with_state(|state, _| state.watch.clone());
        let mut are_all_watched = true;
        loop {
            let NewlyIdle { unwatched, reported, is_last } =
                self.with_state(|state, _| state.newly_idle());
            let mut to_poll = reported;
            if !unwatched.is_empty() {
                if are_all_watched {
                    watch = watch.or_else(|| self.open_watch().ok());
                }
                // After a failure the others are not tried: it would be the same one.
                let unwatched = match &watch {
                    Some(watch) if are_all_watched => self.have_watched(watch, unwatched),
                    _ => unwatched,
                };
                are_all_watched &= unwatched.is_empty();
                to_poll.extend(unwatched);
            }
            self.look_at(&to_poll, now);
            if is_last {
                break;
            }
        }
        if !are_all_watched {
            // The next sweep sees all of them again.
            self.with_state(|state, _| state.swept_to = 0);
        }
        watch
    }

    /// Looks at the connections on which something came.
    fn read_reports(&self, watch: &InputWatch, now: Instant) {
        // Peers that send without pause must not keep the sweep; the rest is reported to the next one.
        for _ in 0..MAX_ROUNDS {
            let (ids, more) = watch.take_reports();
            let idle = self.with_state(|state, _| state.reported(&ids));
            self.look_at(&idle, now);
            if !more {
                break;
            }
        }
    }

    fn open_watch(&self) -> io::Result<Arc<InputWatch>> {
        let watch = Arc::new(InputWatch::open()?);
        Ok(self.with_state(|state, _| Arc::clone(state.watch.get_or_insert(watch))))
    }

    /// Has input on these connections reported, and what they hold already. Returns those that can't be watched.
    pub(super) fn have_watched(
        &self,
        watch: &Arc<InputWatch>,
        idle: Vec<IdleSocket>,
    ) -> Vec<IdleSocket> {
        let (mut added, mut left) = (Vec::with_capacity(idle.len()), Vec::new());
        for one in idle {
            // It may be used and closed meanwhile.
            let Some(socket) = one.socket.enter() else { continue };
            if left.is_empty() && watch.add(socket.descriptor(), one.id).is_ok() {
                added.push(one.id);
            } else {
                drop(socket);
                left.push(one);
            }
        }
        self.with_state(|state, _| {
            // If no connection was open for a moment, there is another watch since then, or will be: whatever is idle
            // now is unwatched, and the next sweep has to see it.
            if !state.watch.as_ref().is_some_and(|current| Arc::ptr_eq(current, watch)) {
                state.swept_to = 0;
                return;
            }
            for id in added {
                if let Some(mut entry) = state.entries.get_mut(id)
                    && entry.watched == Watched::No
                {
                    entry.watched = Watched::Yes;
                }
            }
        });
        left
    }

    /// Polls idle connections, and reads those that have input or an end.
    pub(super) fn look_at(&self, idle: &[IdleSocket], now: Instant) {
        for batch in idle.chunks(BATCH) {
            let readable = readable(batch);
            self.with_state(|state, _| {
                for (one, _) in batch.iter().zip(&readable).filter(|(_, readable)| !**readable) {
                    // One that was in use meanwhile may have got its input there, and not have read it.
                    if state.idle_since(one.id, one.seq).is_some()
                        && let Some(mut entry) = state.entries.get_mut(one.id)
                    {
                        entry.was_read();
                    }
                }
            });
            for (one, _) in batch.iter().zip(&readable).filter(|(_, readable)| **readable) {
                self.probe(one.id, one.seq, now);
            }
        }
    }

    /// Reads what the peer sent on an idle connection. TLS has messages that are in order there (RFC
    /// 8446 section 4.6.1); everything else ends the connection.
    fn probe(&self, id: u64, seq: u64, now: Instant) {
        // It may have been in use meanwhile: then the checkout has probed it.
        let taken = self.with_state(|state, _| {
            let since = state.idle_since(id, seq)?;
            Some((since, state.take_to_probe(id, seq)?))
        });
        let Some((since, mut connection)) = taken else { return };
        // Without the lock: this is a system call, and TLS decrypts.
        let reason = reason_to_close(&mut connection);
        connection.was_idle(since, now);
        let closed_meanwhile = self.with_state(|state, deferred| {
            let Some(mut entry) = state.entries.get_mut(id) else { return Some(connection) };
            match reason {
                None => {
                    entry.was_read();
                    state.put_back(connection, (since, seq), now, deferred);
                }
                Some(reason) => {
                    state.counters.swept += 1;
                    state.close_returned(connection, reason, deferred);
                }
            }
            None
        });
        drop(closed_meanwhile);
    }
}

impl State {
    /// Some of the connections that became idle since the last call, in that order. A time at which one of them expires
    /// is entered.
    pub(super) fn newly_idle(&mut self) -> NewlyIdle {
        let rows: Vec<IdleRow> = self.idle.iter_from(self.swept_to).take(BATCH).copied().collect();
        let is_last = rows.len() < BATCH;
        let mut seen = NewlyIdle { unwatched: Vec::new(), reported: Vec::new(), is_last };
        self.swept_to = rows.last().map_or(self.swept_to, |row| row.seq + 1);
        #[cfg(test)]
        {
            self.visits += rows.len();
        }
        for IdleRow { id, seq, since } in rows {
            self.schedule_expiry(id, since);
            let Some(entry) = self.entries.get(id) else { continue };
            let list = match entry.watched {
                Watched::No => &mut seen.unwatched,
                Watched::Reported => &mut seen.reported,
                Watched::Yes => continue,
            };
            list.extend(entry.record.socket().map(|socket| IdleSocket { id, seq, socket }));
        }
        seen
    }

    /// Notes that the watch has reported these. Returns those that are idle.
    pub(super) fn reported(&mut self, ids: &[u64]) -> Vec<IdleSocket> {
        let reported = ids.iter().filter_map(|id| {
            // It may be closed already.
            let mut entry = self.entries.get_mut(*id)?;
            entry.watched = Watched::Reported;
            let Stage::Idle { seq, .. } = *entry.stage() else { return None };
            Some(IdleSocket { id: *id, seq, socket: entry.record.socket()? })
        });
        reported.collect()
    }
}

/// For each of these, whether it has something to read, which may be its end.
fn readable(batch: &[IdleSocket]) -> Vec<bool> {
    // Each socket is entered, so that no other thread closes a descriptor while it is polled.
    let entered: Vec<_> = batch.iter().map(|one| one.socket.enter()).collect();
    let descriptor =
        |socket: &Option<_>| socket.as_ref().map_or(Descriptor::NONE, InUse::descriptor);
    let descriptors: Vec<_> = entered.iter().map(descriptor).collect();
    // If it is not known, a read will tell.
    poll_readable(&descriptors).unwrap_or_else(|_| vec![true; batch.len()])
}

/// Why an idle connection with input must be closed; `None` if that input was in order.
fn reason_to_close(connection: &mut Connection) -> Option<CloseReason> {
    match connection.stream.try_read(&mut [0]) {
        Ok(None) => None,
        Ok(Some(0)) | Err(Stop::PeerClosed) => Some(CloseReason::PeerClosed),
        Ok(Some(_)) | Err(Stop::Tls(_)) => Some(CloseReason::ProtocolError),
        Err(Stop::Io(error)) => Some(match Loss::of(&error) {
            Some(Loss::Reset) => CloseReason::PeerReset,
            Some(Loss::Unreachable) => CloseReason::PeerUnreachable,
            None => CloseReason::PeerClosed,
        }),
        Err(_) => Some(CloseReason::PeerClosed),
    }
}

/// How many idle connections are looked at under one lock.
const BATCH: usize = 128;
/// How often a sweep takes reports.
const MAX_ROUNDS: usize = 256;
