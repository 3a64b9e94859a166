//! What happened on a server's connections, for the test that watches.
//!
//! Connection threads write, tests read and wait; all of it is behind one lock and one condition
//! variable, since nothing here is ever busy.

use crate::latch::Latch;
use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Who ended a connection, and how. The first end counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// The peer closed in good order.
    Fin,
    /// The peer reset it; Linux does that too when a socket is closed over unread bytes.
    Rst,
    /// The server did: its script said so or ended, or the server was stopped.
    ByServer,
}

/// One connection's history.
#[derive(Debug, Default)]
pub(crate) struct Record {
    pub(crate) heads: Vec<String>,
    pub(crate) bodies: Vec<Vec<u8>>,
    pub(crate) received: Vec<u8>,
    pub(crate) ended: Option<(Ended, Instant)>,
    pub(crate) broken: Option<String>,
    /// The server's socket is gone.
    pub(crate) closed: bool,
}

#[derive(Debug, Default)]
pub(crate) struct State {
    pub(crate) connections: Vec<Record>,
    pub(crate) marks: HashMap<String, usize>,
    latches: HashMap<String, Arc<Latch>>,
}

#[derive(Debug, Default)]
pub(crate) struct Ledger {
    state: Mutex<State>,
    changed: Condvar,
}

impl Ledger {
    /// Opens the record of connection `index`; records are opened in order of acceptance.
    pub(crate) fn accepted(&self, index: usize) {
        self.write(|state| {
            while state.connections.len() <= index {
                state.connections.push(Record::default());
            }
        });
    }

    /// Changes connection `index` and wakes who waits.
    pub(crate) fn record(&self, index: usize, change: impl FnOnce(&mut Record)) {
        self.write(|state| state.connections.get_mut(index).map_or((), change));
    }

    /// Notes an end, now, unless one was noted before.
    pub(crate) fn ended(&self, index: usize, how: Ended) {
        self.record(index, |record| {
            record.ended.get_or_insert_with(|| (how, Instant::now()));
        });
    }

    pub(crate) fn mark(&self, name: &str) {
        self.write(|state| *state.marks.entry(name.to_owned()).or_default() += 1);
    }

    /// The barrier of this name, made by whoever asks first.
    pub(crate) fn latch(&self, name: &str) -> io::Result<Arc<Latch>> {
        let mut state = self.lock();
        if let Some(latch) = state.latches.get(name) {
            return Ok(Arc::clone(latch));
        }
        let latch = Arc::new(Latch::new()?);
        state.latches.insert(name.to_owned(), Arc::clone(&latch));
        Ok(latch)
    }

    pub(crate) fn read<T>(&self, look: impl FnOnce(&State) -> T) -> T {
        look(&self.lock())
    }

    /// Waits until `look` finds something, at most `timeout`.
    pub(crate) fn wait<T>(
        &self,
        timeout: Duration,
        mut look: impl FnMut(&State) -> Option<T>,
    ) -> Option<T> {
        let until = Instant::now() + timeout;
        let mut state = self.lock();
        loop {
            if let Some(found) = look(&state) {
                return Some(found);
            }
            let left = until.checked_duration_since(Instant::now())?;
            let woken = self.changed.wait_timeout(state, left);
            state = woken.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn write<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let result = change(&mut self.lock());
        self.changed.notify_all();
        result
    }

    /// A panicking test must not hide the others' results behind a poisoned lock.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
