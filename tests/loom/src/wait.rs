//! An event that the model checker sees: what the library has an eventfd(2) for. And the words by
//! which an I/O thread and the others agree who sees whom.

#[path = "../../../src/wait/doze.rs"]
mod doze;
#[path = "../../../src/wait/readiness.rs"]
mod readiness;

use std::sync::Arc;

use loom::sync::{Condvar, Mutex};

#[derive(Debug)]
pub(crate) struct Event {
    set: Mutex<bool>,
    changed: Condvar,
}

impl Event {
    pub(crate) fn new() -> std::io::Result<Self> {
        Ok(Self { set: Mutex::new(false), changed: Condvar::new() })
    }

    /// Nothing is kept: which event a wait has is not what is checked.
    pub(crate) fn take() -> std::io::Result<Arc<Self>> {
        Self::new().map(Arc::new)
    }

    pub(crate) fn keep(_: Arc<Self>) {}

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

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Interest {
    Read,
    Write,
    Either,
}

#[cfg(test)]
mod tests {
    use super::doze::Doze;
    use super::readiness::{Notes, Readiness};
    use super::*;

    const FIBER: u64 = 7;

    /// Three threads, up to two preemptions: all of them are hours.
    fn bounded(run: impl Fn() + Sync + Send + 'static) {
        let mut model = loom::model::Builder::new();
        model.preemption_bound = Some(2);
        model.check(run);
    }

    /// Waits like a fiber; whoever should wake it sets the event.
    fn wait_for(notes: &Notes, interest: Interest, woken: &Event) -> Readiness {
        notes.waits(FIBER, interest);
        loop {
            let ready = notes.take(interest);
            if ready.any() {
                notes.waits_no_more();
                return ready;
            }
            woken.wait_and_clear();
        }
    }

    fn happens(notes: &Notes, what: Readiness, wakes: &Event) {
        if notes.happened(what).is_some() {
            wakes.set();
        }
    }

    #[test]
    fn a_fiber_that_begins_to_wait_hears_of_the_end_or_sees_it() {
        loom::model(|| {
            let (notes, woken) = (Arc::new(Notes::new()), Arc::new(Event::new().unwrap()));
            let ends = {
                let (notes, woken) = (Arc::clone(&notes), Arc::clone(&woken));
                loom::thread::spawn(move || happens(&notes, Readiness::ENDED, &woken))
            };
            // Nobody is woken and nothing is seen: the model checker calls it a deadlock.
            assert!(wait_for(&notes, Interest::Read, &woken).read());
            ends.join().unwrap();
            // An end is for good.
            assert!(notes.take(Interest::Either).write());
        });
    }

    #[test]
    fn what_two_say_is_both_heard() {
        bounded(|| {
            let (notes, woken) = (Arc::new(Notes::new()), Arc::new(Event::new().unwrap()));
            let tell = |what| {
                let (notes, woken) = (Arc::clone(&notes), Arc::clone(&woken));
                loom::thread::spawn(move || happens(&notes, what, &woken))
            };
            let both = [tell(Readiness::READ), tell(Readiness::ENDED)];
            // What passes is told once, the end for ever.
            assert!(wait_for(&notes, Interest::Read, &woken).read());
            assert!(wait_for(&notes, Interest::Write, &woken).write());
            both.map(|thread| thread.join().unwrap());
        });
    }

    #[test]
    fn a_thread_that_lies_down_is_rung_or_sees_the_news() {
        bounded(|| {
            let doze = Arc::new(Doze::new());
            let left = Arc::new(Mutex::new(0));
            let bell = Arc::new(Event::new().unwrap());
            let leave = || {
                let (doze, left, bell) = (Arc::clone(&doze), Arc::clone(&left), Arc::clone(&bell));
                loom::thread::spawn(move || {
                    *left.lock().unwrap() += 1;
                    if doze.leave() {
                        bell.set();
                    }
                })
            };
            let both = [leave(), leave()];
            let mut got = 0;
            while got < 2 {
                if doze.take() {
                    got += std::mem::take(&mut *left.lock().unwrap());
                    continue;
                }
                if doze.lie_down() {
                    bell.wait_and_clear();
                }
                doze.get_up();
            }
            both.map(|thread| thread.join().unwrap());
        });
    }
}
