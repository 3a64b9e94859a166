//! The timing of one exchange: when each wait must be over, by which timeout, and how long each phase
//! took.

use std::sync::atomic::{AtomicI64, AtomicU8, Ordering};
use std::time::{Duration, Instant};

use crate::runtime::WaitUntil;
use crate::timeouts::{Deadline, Timeouts};
use crate::timings::Timings;
use crate::vocabulary::{Phase, Timeout};

/// Threads: written by the one that runs the exchange, read by any.
#[derive(Debug)]
pub(super) struct Timing {
    /// The call, of which this exchange may be a later attempt, or what a redirect led to.
    call: Instant,
    start: Instant,
    timeouts: Timeouts,
    /// The request's own deadline, or its token's, whichever is earlier.
    total: Deadline,
    phase: AtomicU8,
    /// When the current phase began, in nanoseconds since the start.
    phase_start: AtomicI64,
    /// What each phase took, in nanoseconds; -1 if it did not take place.
    took: [AtomicI64; PHASES],
    /// When the exchange was over, in nanoseconds since the start; -1 before.
    over: AtomicI64,
}

impl Timing {
    pub(super) fn start(
        timeouts: &Timeouts,
        token: Option<Instant>,
        call: Instant,
        start: Instant,
    ) -> Self {
        let total = Deadline::after(call, timeouts.get(Timeout::Total), Timeout::Total);
        let token = Deadline { at: token, timeout: Timeout::Token };
        Self {
            call,
            start,
            timeouts: *timeouts,
            total: total.or(token),
            phase: AtomicU8::new(Phase::None as u8),
            phase_start: AtomicI64::new(0),
            took: [const { AtomicI64::new(-1) }; PHASES],
            over: AtomicI64::new(-1),
        }
    }

    /// A phase begins; the one before it is over. Returns until when to wait in it.
    pub(super) fn begin(&self, phase: Phase) -> WaitUntil {
        let now = Instant::now();
        self.enter(phase, now);
        WaitUntil::of(self.deadline(now, timeout_of(phase)), now)
    }

    /// A phase begins that may need no wait. A wait in it uses [`step_since`](Self::step_since).
    pub(super) fn enter(&self, phase: Phase, now: Instant) {
        self.enter_at(phase, self.since_start(now));
    }

    /// [`enter`](Self::enter) at a time since the start.
    #[inline]
    fn enter_at(&self, phase: Phase, at: i64) {
        let before = self.phase();
        if before != Phase::None {
            let took = at - self.phase_start.load(Ordering::Relaxed);
            let slot = &self.took[before as usize];
            slot.store(slot.load(Ordering::Relaxed).max(0) + took, Ordering::Relaxed);
        }
        self.phase_start.store(at, Ordering::Relaxed);
        self.phase.store(phase as u8, Ordering::Relaxed);
    }

    /// A step within the current phase, which began then: it has the phase's timeout for itself.
    pub(super) fn step_since(&self, began: Instant, now: Instant) -> WaitUntil {
        WaitUntil::of(self.deadline(began, timeout_of(self.phase())), now)
    }

    /// The deadline of a wait that has this one of its own.
    pub(super) fn until(&self, own: Deadline) -> Deadline {
        self.total.or(own)
    }

    /// The deadline of a wait that begins then and has this timeout.
    fn deadline(&self, began: Instant, timeout: Timeout) -> Deadline {
        self.total.or(Deadline::after(began, self.timeouts.get(timeout), timeout))
    }

    /// The exchange is over. Returns `true` the first time, which is the one that counts.
    pub(super) fn finish(&self, now: impl FnOnce() -> Instant) -> bool {
        let first = self.over.load(Ordering::Relaxed) < 0;
        if first {
            let at = self.since_start(now());
            self.enter_at(Phase::None, at);
            self.over.store(at, Ordering::Relaxed);
        }
        first
    }

    pub(super) fn started(&self) -> Instant {
        self.start
    }

    pub(super) fn phase(&self) -> Phase {
        Phase::ALL.get(usize::from(self.phase.load(Ordering::Relaxed))).copied().unwrap_or_default()
    }

    /// The timeout of the whole request, if its time has come.
    pub(super) fn total_passed(&self) -> Option<Timeout> {
        self.total.at.filter(|at| *at <= Instant::now()).map(|_| self.total.timeout)
    }

    pub(super) fn min_rate(&self) -> Option<(u64, Duration)> {
        self.timeouts.min_rate
    }

    pub(super) fn limit(&self, timeout: Timeout) -> Option<Duration> {
        self.timeouts.get(timeout)
    }

    pub(super) fn timings(&self) -> Timings {
        let now = self.since_start(Instant::now());
        let nanos = |n: i64| u64::try_from(n).ok().map(Duration::from_nanos);
        let running = self.phase();
        let took = |phase: Phase| {
            let before = self.took[phase as usize].load(Ordering::Relaxed);
            let current = now - self.phase_start.load(Ordering::Relaxed);
            nanos(if phase == running { before.max(0) + current } else { before })
        };
        let over = self.over.load(Ordering::Relaxed);
        let before = self.start.saturating_duration_since(self.call);
        Timings {
            pool: took(Phase::Pool),
            resolve: took(Phase::Resolve),
            connect: took(Phase::Connect),
            proxy: took(Phase::Proxy),
            tls: took(Phase::Tls),
            write: took(Phase::Write),
            head: took(Phase::Head),
            read: took(Phase::Read),
            total: nanos(if over < 0 { now } else { over }).map(|total| total + before),
        }
    }

    /// The phases that took place and are over, and how long each took.
    pub(super) fn phases(&self) -> Vec<(Phase, Duration)> {
        let took = Phase::ALL.iter().zip(&self.took).filter_map(|(phase, took)| {
            let nanos = u64::try_from(took.load(Ordering::Relaxed)).ok()?;
            Some((*phase, Duration::from_nanos(nanos)))
        });
        took.collect()
    }

    #[inline]
    fn since_start(&self, now: Instant) -> i64 {
        // The first phases of a request that waits for no connection begin with it.
        if now == self.start {
            return 0;
        }
        i64::try_from(now.saturating_duration_since(self.start).as_nanos()).unwrap_or(i64::MAX)
    }
}

fn timeout_of(phase: Phase) -> Timeout {
    match phase {
        // The proxy's part of a dial counts as connecting.
        Phase::Connect | Phase::Proxy => Timeout::Connect,
        Phase::None => Timeout::None,
        Phase::Pool => Timeout::Pool,
        Phase::Resolve => Timeout::Resolve,
        Phase::Tls => Timeout::Tls,
        Phase::Write => Timeout::Write,
        Phase::Head => Timeout::Head,
        Phase::Read => Timeout::Read,
    }
}

const PHASES: usize = Phase::Read as usize + 1;
