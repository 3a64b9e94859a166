//! Whether a thread sleeps, and whether there is something for it: who leaves something rings only
//! if it must.
//!
//! Both sides change `asleep`, and a change reads what was last written: so either the thread sees
//! the news before it sleeps, or who left them sees it asleep.

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

    /// Something was left; `true` if the thread must be rung.
    pub(super) fn leave(&self) -> bool {
        self.inbox.store(true, Ordering::Release);
        self.asleep.swap(false, Ordering::AcqRel)
    }

    /// Something was left for which there is time.
    pub(super) fn leave_quietly(&self) {
        self.inbox.store(true, Ordering::Release);
    }

    pub(super) fn has_news(&self) -> bool {
        self.inbox.load(Ordering::Acquire)
    }

    /// The thread is about to take what was left; `false` if there is nothing. What is left from
    /// here on is news again.
    pub(super) fn take(&self) -> bool {
        self.has_news() && self.inbox.swap(false, Ordering::AcqRel)
    }

    /// The thread wants to sleep; `false` if there is something for it.
    pub(super) fn begin_sleep(&self) -> bool {
        self.asleep.swap(true, Ordering::AcqRel);
        !self.has_news()
    }

    pub(super) fn end_sleep(&self) {
        self.asleep.swap(false, Ordering::AcqRel);
    }
}
