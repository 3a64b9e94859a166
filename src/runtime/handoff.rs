//! Which thread runs an event loop: its own, or for a while a driver. A driver is a thread of the caller that
//! waits for what the loop brings; it runs the loop itself, which saves the switch from one thread to the
//! other (leader/followers: Schmidt et al., POSA vol. 2).
//!
//! If its own thread runs the loop, a driver asks for it and gets it after the current round. A driver that
//! leaves mostly comes again at once, so the loop's own thread takes the loop back only when no driver came
//! for a [`RECLAIM_INTERVAL`], or when it is needed. While a driver stays in the loop, the thread sleeps.

use std::sync::PoisonError;
use std::time::Duration;

use crate::sync::atomic::{AtomicBool, Ordering};
use crate::sync::{Condvar, Mutex, MutexGuard, lock};

/// Threads: one is the loop's own; any may be a driver.
#[derive(Debug)]
pub(super) struct LoopHandoff<T> {
    state: Mutex<State<T>>,
    /// A driver waits for the loop.
    wanted: AtomicBool,
    for_driver: Condvar,
    for_thread: Condvar,
}

#[derive(Debug)]
struct State<T> {
    location: LoopLocation<T>,
    /// A driver had it since the thread last looked.
    driven: bool,
    /// The thread sleeps until it is notified.
    asleep: bool,
    /// The thread shall take it now, without waiting for a driver.
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

    /// The thread shall hand the loop over before its first round.
    pub(super) fn want_first(&self) {
        self.wanted.store(true, Ordering::Relaxed);
    }

    /// Whether the thread shall hand the loop over.
    pub(super) fn is_wanted(&self) -> bool {
        self.wanted.load(Ordering::Relaxed)
    }

    /// The thread lets a driver have the loop. Returns it when the thread is to run it again.
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
            let with_driver = matches!(state.location, LoopLocation::WithDriver);
            let stays = with_driver && !state.driven;
            state.driven = false;
            state = if stays { self.sleep(state) } else { self.nap(state, interval) };
            // A driver that is rarely away is looked after less often.
            interval = if with_driver {
                (interval * 2).min(MAX_RECLAIM_INTERVAL)
            } else {
                RECLAIM_INTERVAL
            };
        }
    }

    /// The thread lets a host have the loop, which comes whenever there is something to do; `ring` calls it. Returns the
    /// loop if the host stays away for a [`HOST_INTERVAL`] although there is something. `has_work` says whether there is;
    /// with `true` it waits until there is. So the thread sleeps while there is nothing and while a driver stays in the
    /// loop, and looks rarely at a host that is busy.
    pub(super) fn lend(
        &self,
        event_loop: T,
        ring: impl FnOnce(),
        has_work: impl Fn(bool) -> bool,
    ) -> T {
        let mut state = lock(&self.state);
        self.wanted.store(false, Ordering::Relaxed);
        state.location = LoopLocation::Free(event_loop);
        self.for_driver.notify_all();
        // Under the lock, as the question in `try_take`: which of both comes last counts.
        ring();
        drop(state);
        loop {
            has_work(true);
            loop {
                let mut state = lock(&self.state);
                let with_driver = matches!(state.location, LoopLocation::WithDriver);
                let stays = with_driver && !state.driven;
                state.driven = false;
                state = if stays { self.sleep(state) } else { self.nap(state, HOST_INTERVAL) };
                let is_away = !state.driven && !matches!(state.location, LoopLocation::WithDriver);
                drop(state);
                if !is_away {
                    continue;
                }
                if !has_work(false) {
                    break;
                }
                let mut state = lock(&self.state);
                if !state.driven
                    && let Some(event_loop) = state.take(LoopLocation::WithThread)
                {
                    return event_loop;
                }
            }
        }
    }

    /// Returns the loop to a host if it is free. If its thread has it, the thread is asked to lend it. Doesn't wait.
    pub(super) fn try_take(&self, ask: impl FnOnce()) -> Option<T> {
        let mut state = lock(&self.state);
        state.driven = true;
        if matches!(state.location, LoopLocation::WithThread) {
            if !self.wanted.swap(true, Ordering::Relaxed) {
                ask();
            }
            return None;
        }
        state.take(LoopLocation::WithDriver)
    }

    /// Returns the loop to a host if it is free. Asks for nothing.
    pub(super) fn take_if_free(&self) -> Option<T> {
        let mut state = lock(&self.state);
        let event_loop = state.take(LoopLocation::WithDriver);
        state.driven |= event_loop.is_some();
        event_loop
    }

    /// Returns the loop to a host; `None` if another thread drives it, or if it has ended. If its own thread has it,
    /// waits for the end of the round.
    pub(super) fn take_when_free(&self, ask: impl Fn()) -> Option<T> {
        let mut state = lock(&self.state);
        while matches!(state.location, LoopLocation::WithThread) {
            self.wanted.store(true, Ordering::Relaxed);
            ask();
            state = self.for_driver.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.driven = true;
        state.take(LoopLocation::WithDriver)
    }

    /// The loop ended, on its thread.
    pub(super) fn end(&self) {
        lock(&self.state).location = LoopLocation::Ended;
        self.for_driver.notify_all();
    }

    /// Returns the loop to a driver; `None` if another one has it or waits for it, or if it has ended.
    /// `ask` makes the thread look at [`is_wanted`](Self::is_wanted) soon.
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

    /// A driver leaves. `needed`: the thread must go on with the loop now, whether or not a driver comes again.
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

/// How long a host may leave alone what there is to do.
const HOST_INTERVAL: Duration = Duration::from_millis(10);
/// How long no thread may run a loop: what is due in it waits for so long.
const RECLAIM_INTERVAL: Duration = Duration::from_millis(1);
/// The same after a driver that nearly always ran it.
const MAX_RECLAIM_INTERVAL: Duration = Duration::from_millis(4);

#[cfg(all(test, not(loom)))]
mod tests {
    use std::sync::Arc;
    use std::sync::mpsc::channel;

    use super::*;

    #[test]
    fn a_driver_has_the_loop_when_it_asks_and_the_thread_when_no_driver_comes() {
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
            event_loop.push("driver");
            assert!(handoff.try_drive(|| unreachable!("a driver has it")).is_none());
            handoff.leave(event_loop, needed);
            // The next driver finds what this one left, unless the thread was quicker.
            let again = handoff.try_drive(|| ask.send(()).unwrap()).unwrap();
            // The thread sleeps by then, and is woken.
            std::thread::sleep(RECLAIM_INTERVAL * 20);
            handoff.leave(again, false);
        }
        drop(ask);
        let all = thread.join().unwrap();
        assert!(all.ends_with(&["driver"]) && all.starts_with(&["thread", "driver"]), "{all:?}");
        assert!(handoff.try_drive(|| ()).is_none());
    }
}
