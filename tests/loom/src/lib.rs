//! The files are the library's own; `sync.rs` gives them loom's primitives.

#![cfg(loom)]
#![allow(dead_code)]

#[path = "../../../src/cancel.rs"]
mod cancel;
#[path = "../../../src/net/gate.rs"]
mod gate;
mod manager;
#[path = "../../../src/process/mod.rs"]
mod process;
mod runtime;
#[path = "../../../src/sync.rs"]
mod sync;
#[path = "../../../src/timer.rs"]
mod timer;
#[path = "../../../src/vocabulary.rs"]
mod vocabulary;

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Weak};

    use loom::sync::atomic::{AtomicUsize, Ordering};
    use loom::thread;

    use crate::cancel::{CancelToken, Watch, Why};
    use crate::gate::{Gate, Shut};

    /// A descriptor behind its gate. It counts how often it is closed.
    #[derive(Debug)]
    struct Guarded {
        gate: Gate,
        /// How often it was shut down.
        woken: AtomicUsize,
        closed: AtomicUsize,
    }

    impl Guarded {
        fn leave(&self) {
            if self.gate.leave() {
                self.closed.fetch_add(1, Ordering::SeqCst);
            }
        }

        fn use_it(&self) {
            if self.gate.enter() {
                // Inside, it is open.
                assert_eq!(self.closed.load(Ordering::SeqCst), 0);
                self.leave();
            }
        }

        fn end(&self) {
            if self.gate.shut() == Shut::Wake || self.gate.join() {
                // The thread that wakes the users still has it open.
                assert_eq!(self.closed.load(Ordering::SeqCst), 0);
                self.woken.fetch_add(1, Ordering::SeqCst);
                self.leave();
            }
            // The peer sees the end from now on, after the first or the second call: a slot may be freed.
            assert!(self.woken.load(Ordering::SeqCst) > 0);
        }
    }

    #[test]
    fn a_descriptor_is_closed_once_and_never_under_a_user() {
        // A user and two threads that end it, up to three preemptions: all interleavings would take hours.
        let mut model = loom::model::Builder::new();
        model.preemption_bound = Some(3);
        model.check(|| concurrently(&[Guarded::use_it, Guarded::end, Guarded::end]));
    }

    #[test]
    fn a_second_end_of_a_descriptor_returns_when_its_peer_can_see_the_end() {
        loom::model(|| concurrently(&[Guarded::end, Guarded::end]));
    }

    fn concurrently(all: &[fn(&Guarded)]) {
        let [woken, closed] = [0, 0].map(AtomicUsize::new);
        let guarded = Arc::new(Guarded { gate: Gate::new(), woken, closed });
        let run = |does: &fn(&Guarded)| {
            let (guarded, does) = (Arc::clone(&guarded), *does);
            thread::spawn(move || does(&guarded))
        };
        let threads: Vec<_> = all.iter().map(run).collect();
        for thread in threads {
            thread.join().unwrap();
        }
        assert_eq!(guarded.closed.load(Ordering::SeqCst), 1);
        assert!(!guarded.gate.enter());
    }

    struct Count(AtomicUsize);

    impl Watch for Count {
        fn fired(&self, why: Why) {
            assert_eq!(why, Why::Fired);
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    fn weak(count: &Arc<Count>) -> Weak<dyn Watch> {
        let weak: Weak<Count> = Arc::downgrade(count);
        weak
    }

    #[test]
    fn a_watcher_is_called_once_or_gets_an_error() {
        loom::model(|| {
            let token = CancelToken::new();
            let count = Arc::new(Count(AtomicUsize::new(0)));
            let firing =
                [token.clone(), token.clone()].map(|token| thread::spawn(move || token.fire(None)));
            let watching = token.watch(weak(&count));
            let refused = watching.is_err();
            for thread in firing {
                thread.join().unwrap();
            }
            let calls = count.0.load(Ordering::SeqCst);
            assert_eq!(calls, usize::from(!refused), "called {calls} times, refused: {refused}");
        });
    }

    #[test]
    fn a_child_that_is_made_while_its_parent_is_fired_is_fired() {
        loom::model(|| {
            let parent = CancelToken::new();
            let firing = {
                let parent = parent.clone();
                thread::spawn(move || parent.fire(Some("all")))
            };
            let child = parent.child();
            let count = Arc::new(Count(AtomicUsize::new(0)));
            let watching = child.watch(weak(&count));
            firing.join().unwrap();
            assert!(child.is_fired());
            let calls = count.0.load(Ordering::SeqCst);
            assert_eq!(calls, usize::from(watching.is_ok()));
        });
    }

    #[test]
    fn a_watcher_that_has_left_is_not_called() {
        loom::model(|| {
            let token = CancelToken::new();
            let count = Arc::new(Count(AtomicUsize::new(0)));
            let watching = token.watch(weak(&count)).ok().unwrap();
            let firing = {
                let token = token.clone();
                thread::spawn(move || token.fire(None))
            };
            drop(watching);
            firing.join().unwrap();
            assert!(count.0.load(Ordering::SeqCst) <= 1);
            assert!(token.is_fired());
        });
    }
}
