//! The gate of a descriptor: which threads use it, and which one closes it.
//!
//! Any thread may end a socket that another one is using, and the number of a descriptor that was closed too
//! early may already be another file's. So users enter and leave, the thread that ends the socket shuts the
//! gate, and the last user to leave closes. Go's fdMutex does the same.

use crate::sync::atomic::{AtomicU32, Ordering};

/// Counts the users of something that any of them may end. Threads: any thread at any time.
#[derive(Debug)]
pub(crate) struct Gate(AtomicU32);

/// What the thread that shuts the gate has to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shut {
    /// Wake the users, then [`leave`](Gate::leave): the caller counts as one.
    Wake,
    /// Nothing: it was shut before.
    Already,
}

impl Gate {
    pub(crate) fn new() -> Self {
        Self(AtomicU32::new(0))
    }

    /// Enters; `false` if the gate is shut. Each successful entry needs one [`leave`](Self::leave).
    #[must_use]
    pub(crate) fn enter(&self) -> bool {
        let mut now = self.0.load(Ordering::Relaxed);
        loop {
            if now & SHUT != 0 {
                return false;
            }
            match self.0.compare_exchange_weak(now, now + 1, Ordering::Acquire, Ordering::Relaxed) {
                Ok(_) => return true,
                Err(other) => now = other,
            }
        }
    }

    /// Enters a gate that is shut, if a user is still inside: then what it guards is open. Needs a [`leave`](Self::leave) like any entry.
    #[must_use]
    pub(crate) fn join(&self) -> bool {
        let mut now = self.0.load(Ordering::Acquire);
        while now & SHUT != 0 && now != SHUT {
            match self.0.compare_exchange_weak(now, now + 1, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => return true,
                Err(other) => now = other,
            }
        }
        false
    }

    /// Leaves; `true` if the caller must close: the gate is shut and it was the last.
    #[must_use]
    pub(crate) fn leave(&self) -> bool {
        self.0.fetch_sub(1, Ordering::AcqRel) == SHUT | 1
    }

    pub(crate) fn is_shut(&self) -> bool {
        self.0.load(Ordering::Acquire) & SHUT != 0
    }

    /// Shuts the gate. The caller counts as a user until it leaves, so that the descriptor by which it wakes the
    /// others is still open.
    pub(crate) fn shut(&self) -> Shut {
        let mut now = self.0.load(Ordering::Relaxed);
        loop {
            if now & SHUT != 0 {
                return Shut::Already;
            }
            let shut = (now + 1) | SHUT;
            match self.0.compare_exchange_weak(now, shut, Ordering::AcqRel, Ordering::Relaxed) {
                Ok(_) => return Shut::Wake,
                Err(other) => now = other,
            }
        }
    }
}

const SHUT: u32 = 1 << 31;
