//! An event that the model checker sees: what the library has an eventfd(2) for. And the words by
//! which an I/O thread and the others agree who sees whom.

#[path = "../../../src/runtime/handoff.rs"]
mod handoff;
#[path = "../../../src/runtime/interest.rs"]
mod interest;
#[path = "../../../src/runtime/readiness.rs"]
mod readiness;
#[path = "../../../src/runtime/sleep_flag.rs"]
mod sleep_flag;
#[path = "../../../src/runtime/wakeup.rs"]
mod wakeup;

use std::sync::Arc;

use loom::sync::{Condvar, Mutex};

#[derive(Debug)]
pub(crate) struct Notify {
    set: Mutex<bool>,
    changed: Condvar,
}

impl Notify {
    pub(crate) fn new() -> std::io::Result<Self> {
        Ok(Self { set: Mutex::new(false), changed: Condvar::new() })
    }

    pub(crate) fn for_this_task() -> Arc<Self> {
        Arc::new(Self::new().unwrap())
    }

    pub(crate) fn set(&self) {
        *self.set.lock().unwrap() = true;
        self.changed.notify_all();
    }

    /// Waits until it is set, and takes it back. Nobody sets it: the model checker calls it a deadlock.
    pub(crate) fn wait_and_clear(&self) {
        let mut set = self.set.lock().unwrap();
        while !*set {
            set = self.changed.wait(set).unwrap();
        }
        *set = false;
    }
}

#[cfg(test)]
mod tests {
    use loom::cell::UnsafeCell;
    use loom::sync::atomic::{AtomicBool, Ordering};

    use super::handoff::LoopHandoff;
    use super::interest::Interest;
    use super::readiness::{Readiness, ReadyState};
    use super::sleep_flag::SleepFlag;
    use super::wakeup::{WakeFlag, Wakeable, WakeupUse, Wakeups};
    use super::*;

    const FIBER: u64 = 7;

    /// Three threads, up to two preemptions: all of them are hours.
    fn bounded(run: impl Fn() + Sync + Send + 'static) {
        let mut model = loom::model::Builder::new();
        model.preemption_bound = Some(2);
        model.check(run);
    }

    /// Waits like a fiber; whoever should wake it sets the event.
    fn wait_for(state: &ReadyState, interest: Interest, woken: &Notify) -> Readiness {
        state.begin_wait(FIBER, interest);
        loop {
            let ready = state.take(interest);
            if ready.any() {
                state.end_wait();
                return ready;
            }
            woken.wait_and_clear();
        }
    }

    fn happens(state: &ReadyState, what: Readiness, wakes: &Notify) {
        if state.add(what).is_some() {
            wakes.set();
        }
    }

    #[test]
    fn a_fiber_that_begins_to_wait_hears_of_the_end_or_sees_it() {
        loom::model(|| {
            let (state, woken) = (Arc::new(ReadyState::new()), Arc::new(Notify::new().unwrap()));
            let ends = {
                let (state, woken) = (Arc::clone(&state), Arc::clone(&woken));
                loom::thread::spawn(move || happens(&state, Readiness::ENDED, &woken))
            };
            // Nobody is woken and nothing is seen: the model checker calls it a deadlock.
            assert!(wait_for(&state, Interest::Read, &woken).read());
            ends.join().unwrap();
            // An end is for good.
            assert!(state.take(Interest::Either).write());
        });
    }

    #[test]
    fn what_two_say_is_both_heard() {
        bounded(|| {
            let (state, woken) = (Arc::new(ReadyState::new()), Arc::new(Notify::new().unwrap()));
            let tell = |what| {
                let (state, woken) = (Arc::clone(&state), Arc::clone(&woken));
                loom::thread::spawn(move || happens(&state, what, &woken))
            };
            let both = [tell(Readiness::READ), tell(Readiness::ENDED)];
            // What passes is told once, the end for ever.
            assert!(wait_for(&state, Interest::Read, &woken).read());
            assert!(wait_for(&state, Interest::Write, &woken).write());
            both.into_iter().for_each(|thread| thread.join().unwrap());
        });
    }

    #[test]
    fn a_thread_that_lies_down_is_rung_or_sees_the_news() {
        bounded(|| {
            let nap = Arc::new(SleepFlag::new());
            let left = Arc::new(Mutex::new(0));
            let waker = Arc::new(Notify::new().unwrap());
            let leave = || {
                let (nap, left, waker) = (Arc::clone(&nap), Arc::clone(&left), Arc::clone(&waker));
                loom::thread::spawn(move || {
                    *left.lock().unwrap() += 1;
                    if nap.leave() {
                        waker.set();
                    }
                })
            };
            let both = [leave(), leave()];
            let mut got = 0;
            while got < 2 {
                if nap.take() {
                    got += std::mem::take(&mut *left.lock().unwrap());
                    continue;
                }
                if nap.begin_sleep() {
                    waker.wait_and_clear();
                }
                nap.end_sleep();
            }
            both.into_iter().for_each(|thread| thread.join().unwrap());
        });
    }

    /// What poll(2) waits for: readable until it is cleared.
    #[derive(Debug)]
    struct Polled {
        readable: Mutex<bool>,
        changed: Condvar,
    }

    impl Polled {
        fn poll(&self) {
            let mut readable = self.readable.lock().unwrap();
            while !*readable {
                readable = self.changed.wait(readable).unwrap();
            }
        }
    }

    impl Wakeable for Polled {
        fn open() -> std::io::Result<Self> {
            Ok(Self { readable: Mutex::new(false), changed: Condvar::new() })
        }

        fn signal(&self) {
            *self.readable.lock().unwrap() = true;
            self.changed.notify_all();
        }

        fn clear(&self) {
            *self.readable.lock().unwrap() = false;
        }
    }

    /// Waits until the flag is set. Nobody wakes it: the model checker calls it a deadlock.
    fn wait_for_flag(flag: &WakeFlag<Polled>, wakeups: &Wakeups<Polled>) {
        let manner = WakeupUse { may_share: true, keep: true };
        while let Some(watch) = flag.watch(wakeups, manner).unwrap() {
            watch.descriptor().poll();
        }
    }

    #[test]
    fn a_thread_that_begins_to_wait_is_woken_or_sees_its_flag() {
        loom::model(|| {
            let (flag, wakeups) = (Arc::new(WakeFlag::new()), Wakeups::new());
            for _ in 0..2 {
                let sets = {
                    let flag = Arc::clone(&flag);
                    loom::thread::spawn(move || flag.set())
                };
                wait_for_flag(&flag, &wakeups);
                sets.join().unwrap();
                // What it was woken by is not left in the descriptor for the next wait.
                flag.clear();
            }
        });
    }

    #[test]
    fn threads_that_share_a_descriptor_are_woken_each_by_its_own_flag() {
        bounded(|| {
            let flags = Arc::new([WakeFlag::new(), WakeFlag::new()]);
            let wakeups = Arc::new(Wakeups::new());
            let other = {
                let (flags, wakeups) = (Arc::clone(&flags), Arc::clone(&wakeups));
                loom::thread::spawn(move || wait_for_flag(&flags[1], &wakeups))
            };
            let sets = {
                let flags = Arc::clone(&flags);
                loom::thread::spawn(move || flags.iter().for_each(WakeFlag::set))
            };
            wait_for_flag(&flags[0], &wakeups);
            other.join().unwrap();
            sets.join().unwrap();
        });
    }

    /// A loop that its thread runs until it is over.
    struct Led {
        handoff: LoopHandoff<UnsafeCell<usize>>,
        /// Wakes who sleeps in the loop.
        waker: Notify,
        over: AtomicBool,
        ended: AtomicBool,
    }

    impl Led {
        fn begin() -> (Arc<Self>, loom::thread::JoinHandle<()>) {
            let waker = Notify::new().unwrap();
            let (over, ended) = (AtomicBool::new(false), AtomicBool::new(false));
            let led = Arc::new(Self { handoff: LoopHandoff::new(), waker, over, ended });
            let theirs = Arc::clone(&led);
            (led, loom::thread::spawn(move || theirs.run(UnsafeCell::new(0))))
        }

        fn run(&self, mut event_loop: UnsafeCell<usize>) {
            while !self.over.load(Ordering::SeqCst) {
                round(&event_loop);
                if self.handoff.is_wanted() {
                    event_loop = self.handoff.hand_over(event_loop);
                } else {
                    self.waker.wait_and_clear();
                }
            }
            self.handoff.end();
            self.ended.store(true, Ordering::SeqCst);
        }

        fn end(&self) {
            self.over.store(true, Ordering::SeqCst);
            self.waker.set();
        }
    }

    /// Two at once: the model checker sees it.
    fn round(event_loop: &UnsafeCell<usize>) {
        event_loop.with_mut(|rounds| unsafe { *rounds += 1 });
    }

    #[test]
    fn a_loop_is_run_by_one_and_never_left_alone() {
        bounded(|| {
            let (led, thread) = Led::begin();
            let guest = {
                let led = Arc::clone(&led);
                loom::thread::spawn(move || {
                    if let Some(event_loop) = led.handoff.try_drive(|| led.waker.set()) {
                        round(&event_loop);
                        led.handoff.leave(event_loop, true);
                    }
                })
            };
            if let Some(event_loop) = led.handoff.try_drive(|| led.waker.set()) {
                round(&event_loop);
                led.handoff.leave(event_loop, true);
            }
            guest.join().unwrap();
            led.end();
            thread.join().unwrap();
            assert!(led.handoff.try_drive(|| ()).is_none());
        });
    }

    #[test]
    fn a_guest_that_ends_up_with_nothing_does_not_wait() {
        bounded(|| {
            let (led, thread) = Led::begin();
            let ends = {
                let led = Arc::clone(&led);
                loom::thread::spawn(move || led.end())
            };
            if let Some(event_loop) = led.handoff.try_drive(|| led.waker.set()) {
                round(&event_loop);
                led.handoff.leave(event_loop, true);
            }
            ends.join().unwrap();
            thread.join().unwrap();
        });
    }

    #[test]
    fn a_thread_that_sleeps_is_woken_when_the_guest_leaves() {
        bounded(|| {
            let (led, thread) = Led::begin();
            let event_loop = led.handoff.try_drive(|| led.waker.set()).unwrap();
            // It may look twice by then, and sleep.
            for _ in 0..2 {
                led.handoff.tick();
                loom::thread::yield_now();
            }
            round(&event_loop);
            led.handoff.leave(event_loop, false);
            led.end();
            // Nobody comes, for as many ticks as that takes.
            while !led.ended.load(Ordering::SeqCst) {
                led.handoff.tick();
                loom::thread::yield_now();
            }
            thread.join().unwrap();
        });
    }
}
