//! Whether a thread sleeps, and whether something was left for it: a thread that leaves something makes the
//! system call that wakes the sleeper only if it sleeps.
//!
//! Both sides change `asleep`, and a change reads what was last written. So either the sleeper sees what was
//! left before it sleeps, or the thread that left it sees the sleeper asleep.

use crate::sync::atomic::{AtomicBool, Ordering};

/// Threads: one may sleep; any may leave something.
#[derive(Debug)]
pub(super) struct SleepFlag {
    asleep: AtomicBool,
    inbox: AtomicBool,
}

impl SleepFlag {
    pub(super) fn new() -> Self {
        Self { asleep: AtomicBool::new(false), inbox: AtomicBool::new(false) }
    }

    /// Something was left. Returns whether the sleeper must be woken by a system call.
    pub(super) fn leave(&self) -> bool {
        self.inbox.store(true, Ordering::Release);
        self.asleep.swap(false, Ordering::AcqRel)
    }

    /// Something was left that can wait until the sleeper wakes for another reason.
    pub(super) fn leave_quietly(&self) {
        self.inbox.store(true, Ordering::Release);
    }

    pub(super) fn has_inbox(&self) -> bool {
        self.inbox.load(Ordering::Acquire)
    }

    /// The sleeper is about to take what was left. Returns whether there is something.
    pub(super) fn take(&self) -> bool {
        self.has_inbox() && self.inbox.swap(false, Ordering::AcqRel)
    }

    /// The thread is about to sleep. Returns `false` if something was left, and it must not.
    pub(super) fn begin_sleep(&self) -> bool {
        self.asleep.swap(true, Ordering::AcqRel);
        !self.has_inbox()
    }

    pub(super) fn end_sleep(&self) {
        self.asleep.swap(false, Ordering::AcqRel);
    }
}
