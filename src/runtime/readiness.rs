//! What is known of a descriptor between two waits, and who waits for it: two atomics that one
//! fiber and whoever ends its socket agree by.
//!
//! Both sides change `ready` before they look at the other's word, and a change reads what was
//! last written: so either the fiber sees what happened, or who made it happen sees the fiber.

use super::Interest;
use crate::sync::atomic::{AtomicU8, AtomicU64, Ordering};

/// What a descriptor is ready for. The two ends are for good: reading or writing there never
/// waits again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Readiness(u8);

impl Readiness {
    pub(super) const NONE: Self = Self(0);
    pub(super) const READ: Self = Self(1);
    pub(super) const WRITE: Self = Self(2);
    pub(super) const READ_ENDED: Self = Self(4);
    pub(super) const WRITE_ENDED: Self = Self(8);
    /// A read may stop before the end of what came, so that a read of less than there was room for does not
    /// say that nothing is left: at urgent data (tcp(7)), and behind descriptors that a Unix-domain peer passes
    /// (unix(7), SCM_RIGHTS). For good, as HTTP has neither.
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

/// Threads: any thread at any time; waited for by one fiber.
#[derive(Debug)]
pub(super) struct ReadyState {
    ready: AtomicU8,
    /// Who waits, and for what; 0 for nobody.
    waiter: AtomicU64,
    wanted: AtomicU8,
}

impl ReadyState {
    pub(super) fn new() -> Self {
        Self { ready: AtomicU8::new(0), waiter: AtomicU64::new(0), wanted: AtomicU8::new(0) }
    }

    /// A fiber begins to wait. What is taken after this is not missed.
    pub(super) fn waits(&self, fiber: u64, interest: Interest) {
        self.wanted.store(Readiness::wanted(interest), Ordering::Relaxed);
        self.waiter.store(fiber, Ordering::Release);
    }

    pub(super) fn waits_no_more(&self) {
        self.waiter.store(0, Ordering::Relaxed);
    }

    /// What it is ready for, of what is wanted; it counts as taken.
    pub(super) fn take(&self, interest: Interest) -> Readiness {
        let wanted = Readiness::wanted(interest);
        let passing = wanted & (Readiness::READ.0 | Readiness::WRITE.0);
        Readiness(self.ready.fetch_and(!passing, Ordering::AcqRel) & wanted)
    }

    /// Whether there may be something to read, or an end, that was not taken. Where reads may
    /// stop short there always may be.
    pub(super) fn may_have_read(&self) -> bool {
        let ready = Readiness(self.ready.load(Ordering::Acquire));
        ready.read() || ready.short_reads()
    }

    /// Whether a read may stop before the end of what came.
    pub(super) fn has_short_reads(&self) -> bool {
        Readiness(self.ready.load(Ordering::Acquire)).short_reads()
    }

    /// Notes what happened; answers who waits for just that.
    pub(super) fn happened(&self, what: Readiness) -> Option<u64> {
        self.ready.fetch_or(what.0, Ordering::AcqRel);
        let waiter = self.waiter.load(Ordering::Acquire);
        (waiter != 0 && self.wanted.load(Ordering::Relaxed) & what.0 != 0).then_some(waiter)
    }
}
