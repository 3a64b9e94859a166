//! What is known of a descriptor between two waits, and which fiber waits for it: two atomics by which that
//! fiber and the threads that end the socket agree.
//!
//! Both sides change `ready` before they look at the other's word, and a change reads what was last written.
//! So either the fiber sees what happened, or the thread that made it happen sees the fiber.

use super::interest::Interest;
use crate::sync::atomic::{AtomicU8, AtomicU64, Ordering};

/// What a descriptor is ready for. The two ends never pass: reading or writing there does not wait again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Readiness(u8);

impl Readiness {
    pub(super) const NONE: Self = Self(0);
    pub(super) const READ: Self = Self(1);
    pub(super) const WRITE: Self = Self(2);
    pub(super) const READ_ENDED: Self = Self(4);
    pub(super) const WRITE_ENDED: Self = Self(8);
    /// A read may stop before the end of what came, so that a read of less than there was room for does not
    /// mean that nothing is left: at urgent data (tcp(7)), and behind descriptors that a Unix-domain peer
    /// passes (unix(7), SCM_RIGHTS). It never passes, as HTTP has neither.
    pub(super) const SHORT_READS: Self = Self(16);
    pub(super) const ENDED: Self = Self(4 | 8);

    pub(super) fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    pub(super) fn read(self) -> bool {
        self.0 & Self::wanted(Interest::Read) != 0
    }

    pub(super) fn write(self) -> bool {
        self.0 & Self::wanted(Interest::Write) != 0
    }

    fn short_reads(self) -> bool {
        self.0 & Self::SHORT_READS.0 != 0
    }

    pub(super) fn any(self) -> bool {
        self.0 != 0
    }

    fn wanted(interest: Interest) -> u8 {
        match interest {
            Interest::Read => 1 | 4,
            Interest::Write => 2 | 8,
            Interest::Either => 1 | 2 | 4 | 8,
        }
    }
}

/// Threads: any thread at any time; one fiber waits for it.
#[derive(Debug)]
pub(super) struct ReadyState {
    ready: AtomicU8,
    /// The fiber that waits; 0 for none.
    waiter: AtomicU64,
    wanted: AtomicU8,
}

impl ReadyState {
    pub(super) fn new() -> Self {
        Self { ready: AtomicU8::new(0), waiter: AtomicU64::new(0), wanted: AtomicU8::new(0) }
    }

    /// A fiber begins to wait. It must [`take`](Self::take) after this and before it suspends.
    pub(super) fn begin_wait(&self, fiber: u64, interest: Interest) {
        self.wanted.store(Readiness::wanted(interest), Ordering::Relaxed);
        self.waiter.store(fiber, Ordering::Release);
    }

    pub(super) fn end_wait(&self) {
        self.waiter.store(0, Ordering::Relaxed);
    }

    /// What it is ready for, of what is wanted; READ and WRITE are removed, because they pass.
    pub(super) fn take(&self, interest: Interest) -> Readiness {
        let wanted = Readiness::wanted(interest);
        let passing = wanted & (Readiness::READ.0 | Readiness::WRITE.0);
        Readiness(self.ready.fetch_and(!passing, Ordering::AcqRel) & wanted)
    }

    /// Whether there may be something to read, or an end, that was not taken. Where reads may stop short
    /// there always may be.
    pub(super) fn may_have_read(&self) -> bool {
        let ready = Readiness(self.ready.load(Ordering::Acquire));
        ready.read() || ready.short_reads()
    }

    /// Whether a read may stop before the end of what came.
    pub(super) fn has_short_reads(&self) -> bool {
        Readiness(self.ready.load(Ordering::Acquire)).short_reads()
    }

    /// Adds what it has become ready for. Returns the fiber that waits for just that.
    pub(super) fn add(&self, what: Readiness) -> Option<u64> {
        self.ready.fetch_or(what.0, Ordering::AcqRel);
        let waiter = self.waiter.load(Ordering::Acquire);
        (waiter != 0 && self.wanted.load(Ordering::Relaxed) & what.0 != 0).then_some(waiter)
    }
}
