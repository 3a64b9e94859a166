//! Closing a response early without losing its connection: what is left is read and thrown away,
//! if that is little and comes soon. The caller waits for a moment at most; the rest is done
//! behind its back.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::response_body::Reader;
use crate::error::Error;
use crate::runtime::WorkerPool;
use crate::vocabulary::{Kind, Timeout};

/// How far a polite close is. Threads: written by the one that closes, then by the one that drains.
#[derive(Debug)]
pub(in crate::http) struct Polite {
    start: Instant,
    /// When reading on stops, in nanoseconds after `start`; 0 while nobody closes politely.
    until: AtomicU64,
    /// Whether running out of time is only a pause.
    pausable: AtomicBool,
    paused: AtomicBool,
}

impl Polite {
    pub(super) fn new(start: Instant) -> Self {
        let (pausable, paused) = (AtomicBool::new(false), AtomicBool::new(false));
        Self { start, until: AtomicU64::new(0), pausable, paused }
    }

    /// When reading on stops; `None` if nobody closes politely.
    pub(in crate::http) fn until(&self) -> Option<Instant> {
        match self.until.load(Ordering::Relaxed) {
            0 => None,
            after => self.start.checked_add(Duration::from_nanos(after)),
        }
    }

    /// Time is up: `true` if that is only a pause.
    pub(in crate::http) fn pause(&self) -> bool {
        let pausable = self.pausable.load(Ordering::Relaxed);
        self.paused.store(pausable, Ordering::Relaxed);
        pausable
    }

    pub(super) fn is_paused(&self) -> bool {
        self.paused.load(Ordering::Relaxed)
    }

    fn set(&self, until: Instant, pausable: bool) {
        let after = until.saturating_duration_since(self.start).as_nanos();
        self.until.store(u64::try_from(after).unwrap_or(u64::MAX), Ordering::Relaxed);
        self.pausable.store(pausable, Ordering::Relaxed);
        self.paused.store(false, Ordering::Relaxed);
    }
}

impl Reader {
    /// Reads on for a little so that the connection can be kept; closes it if that is not enough.
    pub(crate) fn close_politely(&mut self) {
        if self.body.is_none() {
            return;
        }
        // The rest is thrown away, so it needs no holding.
        if self.is_held_at_end() {
            return self.close();
        }
        let _ = self.let_go();
        if self.left.is_some_and(|left| left > MOST_BYTES) {
            return self.close();
        }
        let start = Instant::now();
        self.exchange.polite.set(start + PATIENCE, true);
        let mut left = MOST_BYTES;
        self.drain(&mut left);
        if self.exchange.polite.is_paused() {
            self.exchange.polite.set(start + MOST_TIME, false);
            let mut rest = self.take_over();
            // Without a thread for it the job is dropped, and with it the connection closed.
            let _ = DRAINS.run(move || {
                rest.drain(&mut left);
                rest.close();
            });
        } else {
            self.close();
            self.closed = true;
        }
    }

    /// Reads a redirect's body and throws it away, so that the next hop can have the connection; closes
    /// it if that body is long or slow.
    ///
    /// # Errors
    /// Who ended the exchange meanwhile means the call, of which this is a part.
    #[cold]
    pub(crate) fn pass_over(mut self) -> Result<(), Error> {
        if self.left.is_none_or(|left| left <= REDIRECT_BYTES) {
            self.exchange.polite.set(Instant::now() + MOST_TIME, false);
            self.drain(&mut { REDIRECT_BYTES });
        }
        self.close();
        let ended = |failure: &&Error| match failure.kind() {
            Kind::TimedOut => matches!(failure.timeout(), Timeout::Total | Timeout::Token),
            kind => matches!(kind, Kind::Cancelled | Kind::ShutDown | Kind::Forked),
        };
        self.exchange.failure.get().filter(ended).map_or(Ok(()), |failure| Err(failure.clone()))
    }

    /// Reads and throws away, until the end, a failure, a pause or the bound.
    fn drain(&mut self, left: &mut u64) {
        let mut scratch = [0; 8 * 1024];
        while self.body.is_some() {
            match self.read(&mut scratch) {
                Ok(got) if got > 0 && got as u64 <= *left => *left -= got as u64,
                _ => break,
            }
        }
    }
}

/// Who reads on.
static DRAINS: WorkerPool = WorkerPool::new("hangup-drain", 8);
/// How much is read on (Go 1.27's numbers, golang/go#77370).
const MOST_BYTES: u64 = 256 * 1024;
/// The same for a redirect, whose body nobody wants and for which the caller waits.
const REDIRECT_BYTES: u64 = 64 * 1024;
/// How long, all in all.
const MOST_TIME: Duration = Duration::from_millis(50);
/// How long of that the caller waits: what is here already, or just about to come.
const PATIENCE: Duration = Duration::from_millis(2);
