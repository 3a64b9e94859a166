//! Who runs an event loop: its own thread, or for a while a guest, who waits for what the loop
//! brings and had better do the work than be told of it (leader/followers: Schmidt et al., POSA
//! vol. 2).
//!
//! A guest that finds the thread at it asks for the loop, and has it after the round that is under
//! way. A guest that leaves mostly comes again at once, so the thread takes the loop back when
//! nobody came for a [`RECLAIM_INTERVAL`], or when it is called. While a guest stays in the loop, which then
//! mostly sleeps, the thread sleeps as well.

use std::sync::PoisonError;
use std::time::Duration;

use crate::sync::atomic::{AtomicBool, Ordering};
use crate::sync::{Condvar, Mutex, MutexGuard, lock};

/// Threads: one is the loop's own; any may be a guest.
#[derive(Debug)]
pub(super) struct LoopHandoff<T> {
    state: Mutex<State<T>>,
    /// A guest waits for the loop.
    wanted: AtomicBool,
    for_driver: Condvar,
    for_thread: Condvar,
}

#[derive(Debug)]
struct State<T> {
    location: LoopLocation<T>,
    /// A guest had it since the thread last looked.
    driven: bool,
    /// The thread sleeps until it is called.
    asleep: bool,
    /// The thread shall take it now.
    needed: bool,
}

/// Where the loop is.
#[derive(Debug)]
enum LoopLocation<T> {
    WithThread,
    WithDriver,
    Free(T),
    Ended,
}

impl<T> LoopHandoff<T> {
    /// The thread has the loop first.
    pub(super) fn new() -> Self {
        let state = State {
            location: LoopLocation::WithThread,
            driven: false,
            asleep: false,
            needed: false,
        };
        Self {
            state: Mutex::new(state),
            wanted: AtomicBool::new(false),
            for_driver: Condvar::new(),
            for_thread: Condvar::new(),
        }
    }

    /// Whether the thread shall give way.
    pub(super) fn is_wanted(&self) -> bool {
        self.wanted.load(Ordering::Relaxed)
    }

    /// The thread lets a guest have the loop, and has it again when it is left to it.
    pub(super) fn hand_over(&self, event_loop: T) -> T {
        let mut state = lock(&self.state);
        state.location = LoopLocation::Free(event_loop);
        self.for_driver.notify_one();
        let mut interval = RECLAIM_INTERVAL;
        loop {
            if !self.is_wanted() && (state.needed || !state.driven) {
                state.needed = false;
                if let Some(event_loop) = state.take(LoopLocation::WithThread) {
                    return event_loop;
                }
            }
            let at_guest = matches!(state.location, LoopLocation::WithDriver);
            let stays = at_guest && !state.driven;
            state.driven = false;
            state = if stays { self.sleep(state) } else { self.nap(state, interval) };
            // A guest that is rarely away need not be watched that closely.
            interval =
                if at_guest { (interval * 2).min(MAX_RECLAIM_INTERVAL) } else { RECLAIM_INTERVAL };
        }
    }

    /// The loop ended, at its thread.
    pub(super) fn end(&self) {
        lock(&self.state).location = LoopLocation::Ended;
        self.for_driver.notify_one();
    }

    /// Lets a guest have the loop; `None` if another one has it or waits for it, or there is none any
    /// more. `ask` has the thread see soon that it is wanted.
    pub(super) fn try_drive(&self, ask: impl FnOnce()) -> Option<T> {
        let mut state = lock(&self.state);
        if self.is_wanted() {
            return None;
        }
        if matches!(state.location, LoopLocation::WithThread) {
            self.wanted.store(true, Ordering::Relaxed);
            ask();
            while matches!(state.location, LoopLocation::WithThread) {
                state = self.for_driver.wait(state).unwrap_or_else(PoisonError::into_inner);
            }
            self.wanted.store(false, Ordering::Relaxed);
        }
        state.driven = true;
        state.take(LoopLocation::WithDriver)
    }

    /// A guest leaves. `needed`: somebody needs the loop now, whether or not a guest comes again.
    pub(super) fn leave(&self, event_loop: T, needed: bool) {
        let mut state = lock(&self.state);
        state.location = LoopLocation::Free(event_loop);
        state.driven = true;
        state.needed |= needed;
        if needed || state.asleep {
            self.for_thread.notify_one();
        }
    }

    fn sleep<'a>(&self, mut state: MutexGuard<'a, State<T>>) -> MutexGuard<'a, State<T>> {
        state.asleep = true;
        state = self.for_thread.wait(state).unwrap_or_else(PoisonError::into_inner);
        state.asleep = false;
        state
    }

    fn nap<'a>(
        &self,
        state: MutexGuard<'a, State<T>>,
        interval: Duration,
    ) -> MutexGuard<'a, State<T>> {
        let waited = self.for_thread.wait_timeout(state, interval);
        waited.unwrap_or_else(PoisonError::into_inner).0
    }

    /// Lets a tick pass, for which the model checker has no clock.
    #[cfg(loom)]
    pub(super) fn tick(&self) {
        if !lock(&self.state).asleep {
            self.for_thread.notify_one();
        }
    }
}

impl<T> State<T> {
    /// Takes the loop if it is free.
    fn take(&mut self, to: LoopLocation<T>) -> Option<T> {
        if !matches!(self.location, LoopLocation::Free(_)) {
            return None;
        }
        match std::mem::replace(&mut self.location, to) {
            LoopLocation::Free(event_loop) => Some(event_loop),
            _ => None,
        }
    }
}

/// How long a loop may be left alone: what is due in it waits for so long.
const RECLAIM_INTERVAL: Duration = Duration::from_millis(1);
/// The same after a guest that was nearly always there.
const MAX_RECLAIM_INTERVAL: Duration = Duration::from_millis(4);

#[cfg(all(test, not(loom)))]
mod tests {
    use std::sync::Arc;
    use std::sync::mpsc::channel;

    use super::*;

    #[test]
    fn a_guest_has_the_loop_when_it_asks_and_the_thread_when_no_guest_comes() {
        let handoff = Arc::new(LoopHandoff::new());
        let (ask, asked) = channel();
        let theirs = Arc::clone(&handoff);
        let thread = std::thread::spawn(move || {
            let mut event_loop = Vec::new();
            while asked.recv().is_ok() {
                event_loop.push("thread");
                event_loop = theirs.hand_over(event_loop);
            }
            theirs.end();
            event_loop
        });
        for needed in [true, false] {
            let mut event_loop = handoff.try_drive(|| ask.send(()).unwrap()).unwrap();
            event_loop.push("guest");
            assert!(handoff.try_drive(|| unreachable!("a guest has it")).is_none());
            handoff.leave(event_loop, needed);
            // What a guest left the next one finds, unless the thread was quicker.
            let again = handoff.try_drive(|| ask.send(()).unwrap()).unwrap();
            // The thread sleeps by then, and is woken.
            std::thread::sleep(RECLAIM_INTERVAL * 20);
            handoff.leave(again, false);
        }
        drop(ask);
        let all = thread.join().unwrap();
        assert!(all.ends_with(&["guest"]) && all.starts_with(&["thread", "guest"]), "{all:?}");
        assert!(handoff.try_drive(|| ()).is_none());
    }
}
