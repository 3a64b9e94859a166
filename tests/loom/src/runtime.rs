//! A notification that the model checker sees, in place of the library's, which has an eventfd(2); and the
//! files of `runtime` whose atomics an I/O thread and other threads share, under every interleaving.

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

    /// Waits until it is set, and clears it. If it is never set, the model checker reports a deadlock.
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

    /// Up to two preemptions: with three threads, all interleavings would take hours.
    fn bounded(run: impl Fn() + Sync + Send + 'static) {
        let mut model = loom::model::Builder::new();
        model.preemption_bound = Some(2);
        model.check(run);
    }

    /// Waits like a fiber; a thread that is to wake it sets the notification.
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
    fn a_fiber_that_begins_to_wait_is_woken_by_the_end_or_sees_it() {
        loom::model(|| {
            let (state, woken) = (Arc::new(ReadyState::new()), Arc::new(Notify::new().unwrap()));
            let ends = {
                let (state, woken) = (Arc::clone(&state), Arc::clone(&woken));
                loom::thread::spawn(move || happens(&state, Readiness::ENDED, &woken))
            };
            // If the fiber is neither woken nor sees the end, the model checker reports a deadlock.
            assert!(wait_for(&state, Interest::Read, &woken).read());
            ends.join().unwrap();
            // An end does not pass.
            assert!(state.take(Interest::Either).write());
        });
    }

    #[test]
    fn readiness_that_two_threads_add_is_seen_by_the_fiber() {
        bounded(|| {
            let (state, woken) = (Arc::new(ReadyState::new()), Arc::new(Notify::new().unwrap()));
            let tell = |what| {
                let (state, woken) = (Arc::clone(&state), Arc::clone(&woken));
                loom::thread::spawn(move || happens(&state, what, &woken))
            };
            let both = [tell(Readiness::READ), tell(Readiness::ENDED)];
            // READ is taken once; the end stays.
            assert!(wait_for(&state, Interest::Read, &woken).read());
            assert!(wait_for(&state, Interest::Write, &woken).write());
            both.into_iter().for_each(|thread| thread.join().unwrap());
        });
    }

    #[test]
    fn a_thread_that_begins_to_sleep_is_woken_or_sees_its_inbox() {
        bounded(|| {
            let sleep = Arc::new(SleepFlag::new());
            let left = Arc::new(Mutex::new(0));
            let waker = Arc::new(Notify::new().unwrap());
            let leave = || {
                let (sleep, left, waker) =
                    (Arc::clone(&sleep), Arc::clone(&left), Arc::clone(&waker));
                loom::thread::spawn(move || {
                    *left.lock().unwrap() += 1;
                    if sleep.leave() {
                        waker.set();
                    }
                })
            };
            let both = [leave(), leave()];
            let mut got = 0;
            while got < 2 {
                if sleep.take() {
                    got += std::mem::take(&mut *left.lock().unwrap());
                    continue;
                }
                if sleep.begin_sleep() {
                    waker.wait_and_clear();
                }
                sleep.end_sleep();
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

    /// Waits until the flag is set. If the thread is never woken, the model checker reports a deadlock.
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
                // The descriptor is not readable any more for the next wait.
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
    struct TestLoop {
        handoff: LoopHandoff<UnsafeCell<usize>>,
        /// Wakes the thread that sleeps in the loop.
        waker: Notify,
        over: AtomicBool,
        ended: AtomicBool,
    }

    impl TestLoop {
        fn begin() -> (Arc<Self>, loom::thread::JoinHandle<()>) {
            let waker = Notify::new().unwrap();
            let (over, ended) = (AtomicBool::new(false), AtomicBool::new(false));
            let test_loop = Arc::new(Self { handoff: LoopHandoff::new(), waker, over, ended });
            let theirs = Arc::clone(&test_loop);
            (test_loop, loom::thread::spawn(move || theirs.run(UnsafeCell::new(0))))
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

    /// If two threads run it at once, the model checker reports it.
    fn round(event_loop: &UnsafeCell<usize>) {
        event_loop.with_mut(|rounds| unsafe { *rounds += 1 });
    }

    #[test]
    fn a_loop_is_run_by_one_thread_and_never_forgotten() {
        bounded(|| {
            let (test_loop, thread) = TestLoop::begin();
            let driver = {
                let test_loop = Arc::clone(&test_loop);
                loom::thread::spawn(move || {
                    if let Some(event_loop) = test_loop.handoff.try_drive(|| test_loop.waker.set())
                    {
                        round(&event_loop);
                        test_loop.handoff.leave(event_loop, true);
                    }
                })
            };
            if let Some(event_loop) = test_loop.handoff.try_drive(|| test_loop.waker.set()) {
                round(&event_loop);
                test_loop.handoff.leave(event_loop, true);
            }
            driver.join().unwrap();
            test_loop.end();
            thread.join().unwrap();
            assert!(test_loop.handoff.try_drive(|| ()).is_none());
        });
    }

    /// A loop that its thread lends to a host, which comes when the bell is rung.
    struct HostLoop {
        handoff: LoopHandoff<UnsafeCell<usize>>,
        /// Wakes the thread that sleeps in the loop.
        waker: Notify,
        /// There is something to do: for the host, and for the thread that watches.
        bell: Polled,
        over: AtomicBool,
        ended: AtomicBool,
    }

    impl HostLoop {
        fn begin() -> (Arc<Self>, loom::thread::JoinHandle<()>) {
            let (over, ended) = (AtomicBool::new(false), AtomicBool::new(false));
            let host_loop = Arc::new(Self {
                handoff: LoopHandoff::new(),
                waker: Notify::new().unwrap(),
                bell: Polled::open().unwrap(),
                over,
                ended,
            });
            let theirs = Arc::clone(&host_loop);
            (host_loop, loom::thread::spawn(move || theirs.run(UnsafeCell::new(0))))
        }

        fn run(&self, mut event_loop: UnsafeCell<usize>) {
            while !self.over.load(Ordering::SeqCst) {
                round(&event_loop);
                if self.handoff.is_wanted() {
                    let has_work = |waits| {
                        if waits {
                            self.bell.poll();
                        }
                        *self.bell.readable.lock().unwrap()
                    };
                    event_loop = self.handoff.lend(event_loop, || self.bell.signal(), has_work);
                } else {
                    self.waker.wait_and_clear();
                }
            }
            self.handoff.end();
            self.ended.store(true, Ordering::SeqCst);
        }

        /// Comes until it gets the loop: at once, or when the bell is rung.
        fn visit(&self) {
            loop {
                if let Some(event_loop) = self.handoff.try_take(|| self.waker.set()) {
                    round(&event_loop);
                    self.bell.clear();
                    return self.handoff.leave(event_loop, false);
                }
                self.bell.poll();
            }
        }

        fn end(&self) {
            self.over.store(true, Ordering::SeqCst);
            self.waker.set();
            self.bell.signal();
            // The host does not come, for as many intervals as the thread needs.
            while !self.ended.load(Ordering::SeqCst) {
                self.handoff.tick();
                loom::thread::yield_now();
            }
        }
    }

    #[test]
    fn a_host_that_asked_for_the_loop_is_called_when_it_is_free() {
        bounded(|| {
            let (host_loop, thread) = HostLoop::begin();
            host_loop.visit();
            host_loop.end();
            thread.join().unwrap();
            assert!(host_loop.handoff.try_take(|| ()).is_none());
        });
    }

    #[test]
    fn a_host_that_waits_gets_the_loop_or_finds_that_it_has_ended() {
        bounded(|| {
            let (host_loop, thread) = HostLoop::begin();
            if let Some(event_loop) = host_loop.handoff.take_when_free(|| host_loop.waker.set()) {
                round(&event_loop);
                host_loop.handoff.leave(event_loop, false);
            }
            host_loop.end();
            thread.join().unwrap();
            assert!(host_loop.handoff.take_when_free(|| ()).is_none());
        });
    }

    #[test]
    fn a_driver_that_gets_no_loop_does_not_wait() {
        bounded(|| {
            let (test_loop, thread) = TestLoop::begin();
            let ends = {
                let test_loop = Arc::clone(&test_loop);
                loom::thread::spawn(move || test_loop.end())
            };
            if let Some(event_loop) = test_loop.handoff.try_drive(|| test_loop.waker.set()) {
                round(&event_loop);
                test_loop.handoff.leave(event_loop, true);
            }
            ends.join().unwrap();
            thread.join().unwrap();
        });
    }

    #[test]
    fn a_thread_that_sleeps_is_woken_when_the_driver_leaves() {
        bounded(|| {
            let (test_loop, thread) = TestLoop::begin();
            let event_loop = test_loop.handoff.try_drive(|| test_loop.waker.set()).unwrap();
            // It may look twice by then, and sleep.
            for _ in 0..2 {
                test_loop.handoff.tick();
                loom::thread::yield_now();
            }
            round(&event_loop);
            test_loop.handoff.leave(event_loop, false);
            test_loop.end();
            // No driver comes, for as many ticks as the thread needs.
            while !test_loop.ended.load(Ordering::SeqCst) {
                test_loop.handoff.tick();
                loom::thread::yield_now();
            }
            thread.join().unwrap();
        });
    }
}
