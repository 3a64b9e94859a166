//! The gate of a descriptor, the cancel token, and the control of an exchange that waits for a
//! connection, under every interleaving of their threads.
//!
//! The files are the library's own; only `sync.rs` makes of them what loom can check.

#![cfg(loom)]
#![allow(dead_code)]

#[path = "../../../src/cancel/mod.rs"]
mod cancel;
#[path = "../../../src/net/gate.rs"]
mod gate;
mod manager;
#[path = "../../../src/process.rs"]
mod process;
#[path = "../../../src/sync.rs"]
mod sync;
mod wait;

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Weak};

    use loom::sync::atomic::{AtomicUsize, Ordering};
    use loom::thread;

    use crate::cancel::{CancelToken, Watch, Why};
    use crate::gate::{Gate, Shut};

    /// A descriptor behind its gate: whoever must close counts.
    #[derive(Debug)]
    struct Guarded {
        gate: Gate,
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
            if self.gate.shut() == Shut::Wake {
                // Whoever wakes the others still has it open.
                assert_eq!(self.closed.load(Ordering::SeqCst), 0);
                self.leave();
            }
        }
    }

    #[test]
    fn a_descriptor_is_closed_once_and_never_under_a_user() {
        loom::model(|| {
            let guarded = Arc::new(Guarded { gate: Gate::new(), closed: AtomicUsize::new(0) });
            let threads: Vec<_> = (0..3)
                .map(|number| {
                    let guarded = Arc::clone(&guarded);
                    thread::spawn(
                        move || if number == 0 { guarded.use_it() } else { guarded.end() },
                    )
                })
                .collect();
            for thread in threads {
                thread.join().unwrap();
            }
            assert_eq!(guarded.closed.load(Ordering::SeqCst), 1);
            assert!(!guarded.gate.enter());
        });
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
    fn a_watcher_is_told_once_or_told_that_it_is_too_late() {
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
            let told = count.0.load(Ordering::SeqCst);
            assert_eq!(told, usize::from(!refused), "told {told} times, refused: {refused}");
        });
    }

    #[test]
    fn a_child_that_is_born_while_its_parent_is_fired_is_fired() {
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
            let told = count.0.load(Ordering::SeqCst);
            assert_eq!(told, usize::from(watching.is_ok()));
        });
    }

    #[test]
    fn who_leaves_is_not_told_afterwards() {
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
