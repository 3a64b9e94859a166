//! Which process this is, and threads of the library's own. A fork makes a child that has the parent's memory,
//! but not its threads, and that must not use the parent's connections.

mod sys;
mod thread;

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use once_cell::sync::OnceCell;

pub(crate) use thread::start_thread;

/// The number of forks between the first process and this one: equal numbers mean the same process.
///
/// The child increments a counter (pthread_atfork(3)), so that this is a load on the path of a request;
/// getpid(2) would be a system call.
pub(crate) fn fork_generation() -> u32 {
    static WATCHED: OnceCell<()> = OnceCell::new();
    WATCHED.get_or_init(|| {
        sys::at_fork_in_child(in_child);
    });
    GENERATION.load(Ordering::Relaxed)
}

/// One value for each process of a line of forks. The child of a fork gets a value of its own at its first
/// call; it never waits for a lock that a thread of its parent held at the fork, because that thread does
/// not exist in the child.
#[derive(Debug)]
pub(crate) struct PerProcess<T> {
    here: OnceLock<(u32, T)>,
    child: OnceLock<Box<Self>>,
}

impl<T> PerProcess<T> {
    pub(crate) const fn new() -> Self {
        Self { here: OnceLock::new(), child: OnceLock::new() }
    }

    /// This process's value. `make` gets the parent's, if there is one: it must not wait for it.
    pub(crate) fn get(&self, make: impl Fn(Option<&T>) -> T) -> &T {
        let now = fork_generation();
        let mut at = self;
        loop {
            let (then, value) = at.here.get_or_init(|| (now, make(None)));
            if *then == now {
                return value;
            }
            at = at.child.get_or_init(|| {
                let here = OnceLock::from((now, make(Some(value))));
                Box::new(Self { here, child: OnceLock::new() })
            });
        }
    }
}

extern "C" fn in_child() {
    GENERATION.fetch_add(1, Ordering::Relaxed);
}

static GENERATION: AtomicU32 = AtomicU32::new(0);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_has_one_value_and_makes_it_once() {
        let value = PerProcess::new();
        assert_eq!(*value.get(|_| 1), 1);
        assert_eq!(*value.get(|_| 2), 1);
    }
}
