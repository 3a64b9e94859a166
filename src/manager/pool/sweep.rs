//! The sweep over the idle connections: closes those that have expired, and those on which the peer
//! sent or closed something.

use std::sync::Arc;
use std::time::Instant;

use super::entry::Stage;
use super::lock::Pool;
use super::lru::IdleRow;
use crate::manager::connection::Connection;
use crate::net::Stop;
use crate::net::socket::Socket;
use crate::net::stream::Loss;
use crate::runtime::are_readable;
use crate::timer::TimerTarget;
use crate::vocabulary::CloseReason;

/// If the system has no thread for the timer, dead connections are still found by the probe at
/// checkout.
impl TimerTarget for Pool {
    fn expired(&self, now: Instant) -> Option<Instant> {
        self.sweep(now)
    }
}

/// An idle connection that is to be polled for input.
struct ProbeTarget {
    id: u64,
    seq: u64,
    socket: Arc<Socket>,
}

impl Pool {
    /// Sweeps a batch of idle connections at a time, so that the lock is never held for long. Returns
    /// when to sweep again; `None` if nothing is idle.
    pub(super) fn sweep(&self, now: Instant) -> Option<Instant> {
        let mut from = 0;
        loop {
            let (batch, next) = self.idle_batch(from, now);
            for (id, seq) in readable(&batch) {
                self.probe(id, seq, now);
            }
            match next {
                Some(next) => from = next,
                None => return self.with_state(|state, _| state.next_sweep(Instant::now())),
            }
        }
    }

    /// Some idle connections, from that sequence number on, and where the next batch begins. Those
    /// that have expired are closed.
    fn idle_batch(&self, from: u64, now: Instant) -> (Vec<ProbeTarget>, Option<u64>) {
        self.with_state(|state, deferred| {
            state.close_idle_too_long(now, deferred);
            let rows: Vec<IdleRow> = state.idle.iter_from(from).take(BATCH).copied().collect();
            let next = rows.last().map(|row| row.seq + 1).filter(|_| rows.len() == BATCH);
            let mut batch = Vec::with_capacity(rows.len());
            for IdleRow { id, seq, since } in rows {
                let record = Arc::clone(&state.entries[&id].record);
                let idle_for = now.saturating_duration_since(since);
                if let Some(reason) = state.idle_expired(&record, since, now) {
                    state.remove(id, reason, deferred);
                } else if state.limits.idle_for.is_some_and(|most| idle_for >= most) {
                    state.remove(id, CloseReason::IdleTooLong, deferred);
                } else if let Some(socket) = record.socket() {
                    batch.push(ProbeTarget { id, seq, socket });
                }
            }
            (batch, next)
        })
    }

    /// Reads what the peer sent on an idle connection. TLS has messages that are in order there (RFC
    /// 8446 section 4.6.1); everything else ends the connection.
    fn probe(&self, id: u64, seq: u64, now: Instant) {
        // It may have been in use meanwhile: then the checkout has probed it.
        let taken = self.with_state(|state, _| {
            let since = state.idle_since(id, seq)?;
            Some((since, state.take_idle(id)?))
        });
        let Some((since, mut connection)) = taken else { return };
        // Without the lock: this is a system call, and TLS decrypts.
        let reason = reason_to_close(&mut connection);
        let closed_meanwhile = self.with_state(|state, deferred| {
            let entry = state.entries.get(&id);
            if !entry.is_some_and(|entry| matches!(entry.stage, Stage::Probing)) {
                return Some(connection);
            }
            match reason {
                None => state.put_back(connection, (since, seq), now, deferred),
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

/// Those that have something to read, which may be their end.
fn readable(batch: &[ProbeTarget]) -> Vec<(u64, u64)> {
    // Each socket is entered, so that no other thread closes a descriptor while it is polled.
    let entered: Vec<_> =
        batch.iter().filter_map(|target| Some((target, target.socket.enter()?))).collect();
    let descriptors: Vec<_> = entered.iter().map(|(_, socket)| socket.descriptor()).collect();
    let ready = are_readable(&descriptors);
    let readable = entered.iter().zip(ready).filter(|(_, ready)| *ready);
    readable.map(|((target, _), _)| (target.id, target.seq)).collect()
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
