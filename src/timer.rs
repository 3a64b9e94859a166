//! Timers that are not a task's own wait: the sweep over idle connections, and token deadlines that are set
//! while requests already wait. One thread for all of a process; it starts with the first timer and ends
//! [`LINGER`] after the last one.
//!
//! Knows nothing of what it runs: a target that is dropped has no timer any more.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Condvar, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use crate::process::{PerProcess, start_thread};

/// Runs on the timer thread when its time has come.
pub(crate) trait TimerTarget: Send + Sync {
    /// Must not block. Returns when to run again; `None` is not until it is set anew.
    fn expired(&self, now: Instant) -> Option<Instant>;
}

/// Sets a target's timer, or moves it to an earlier time: a target has one timer. If the system has no
/// thread for it, it runs late: when another timer is set and there is a thread.
pub(crate) fn at(at: Instant, target: Weak<dyn TimerTarget>) {
    static TIMERS: PerProcess<Arc<Timers>> = PerProcess::new();
    let timers = TIMERS.get(|_| Arc::default());
    let mut queue = timers.queue.lock().unwrap_or_else(PoisonError::into_inner);
    queue.set(at, target);
    if queue.running {
        timers.changed.notify_one();
        return;
    }
    let for_thread = Arc::clone(timers);
    queue.running = start_thread("hangup-timer", Some(STACK), move || for_thread.run()).is_ok();
}

#[derive(Default)]
struct Timers {
    queue: Mutex<Queue>,
    changed: Condvar,
}

#[derive(Default)]
struct Queue {
    /// By time, and then by the target's address. The weak reference keeps the address from being used
    /// again.
    by_time: BTreeMap<(Instant, usize), Weak<dyn TimerTarget>>,
    by_target: HashMap<usize, Instant>,
    /// There is a thread.
    running: bool,
}

impl Timers {
    fn run(&self) {
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            let now = Instant::now();
            let wait = match queue.next() {
                Some(next) if next <= now => {
                    let target = queue.take_first();
                    drop(queue);
                    let again =
                        target.as_ref().and_then(Weak::upgrade).and_then(|t| t.expired(now));
                    queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
                    if let (Some(again), Some(target)) = (again, target) {
                        queue.set(again, target);
                    }
                    continue;
                }
                Some(next) => next - now,
                None => LINGER,
            };
            let waited =
                self.changed.wait_timeout(queue, wait).unwrap_or_else(PoisonError::into_inner);
            queue = waited.0;
            if waited.1.timed_out() && queue.by_time.is_empty() {
                queue.running = false;
                return;
            }
        }
    }
}

impl Queue {
    fn set(&mut self, at: Instant, target: Weak<dyn TimerTarget>) {
        let address = target.as_ptr().cast::<()>().addr();
        if let Some(planned) = self.by_target.get(&address).copied() {
            if planned <= at {
                return;
            }
            self.by_time.remove(&(planned, address));
        }
        self.by_target.insert(address, at);
        self.by_time.insert((at, address), target);
    }

    /// The time of the first timer whose target still exists.
    fn next(&mut self) -> Option<Instant> {
        while let Some((&(at, _), target)) = self.by_time.first_key_value() {
            if target.strong_count() > 0 {
                return Some(at);
            }
            self.take_first();
        }
        None
    }

    fn take_first(&mut self) -> Option<Weak<dyn TimerTarget>> {
        let ((_, address), target) = self.by_time.pop_first()?;
        self.by_target.remove(&address);
        Some(target)
    }
}

/// The sweep reads TLS records (a session ticket may have come), which takes most of it.
const STACK: usize = 256 * 1024;
/// How long the thread stays without a timer.
const LINGER: Duration = Duration::from_secs(2);

#[cfg(all(test, not(loom)))]
mod tests {
    use std::sync::mpsc;

    use super::*;

    struct Target {
        name: &'static str,
        expired: Mutex<mpsc::Sender<&'static str>>,
        again: Mutex<Vec<Duration>>,
    }

    impl TimerTarget for Target {
        fn expired(&self, now: Instant) -> Option<Instant> {
            self.expired.lock().unwrap().send(self.name).unwrap();
            self.again.lock().unwrap().pop().map(|after| now + after)
        }
    }

    #[test]
    fn timers_expire_in_order_again_if_they_want_and_not_after_their_target() {
        let (expired, names) = mpsc::channel();
        let target = |name, again: Vec<Duration>| {
            let (expired, again) = (Mutex::new(expired.clone()), Mutex::new(again));
            Arc::new(Target { name, expired, again })
        };
        let ms = Duration::from_millis;
        let (early, late) = (target("early", vec![ms(80)]), target("late", vec![]));
        let dropped = target("dropped", vec![]);
        let start = Instant::now();
        let set = |target: &Arc<Target>, after| {
            let target: Weak<Target> = Arc::downgrade(target);
            at(start + after, target);
        };
        set(&late, ms(60));
        set(&dropped, ms(20));
        set(&early, Duration::from_secs(60));
        // Moved to an earlier time; a later time changes nothing.
        set(&early, ms(30));
        set(&early, ms(90));
        drop(dropped);
        let seen: Vec<_> = names.iter().take(3).collect();
        assert_eq!(seen, ["early", "late", "early"]);
        assert!(start.elapsed() >= ms(110));
        assert!(names.recv_timeout(ms(100)).is_err());
    }
}
