//! Which process is this? A fork makes a child with the parent's memory but not its threads
//! and not its right to the parent's connections.

#![allow(unsafe_code)] // System calls.

mod thread;

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use once_cell::sync::OnceCell;

pub(crate) use thread::start_thread;

/// Counts the forks between the first process and this one: equal numbers, same process.
///
/// A counter that the child bumps (pthread_atfork(3)) costs nothing on the path of a request;
/// getpid(2) is a system call.
pub(crate) fn fork_generation() -> u32 {
    static WATCHED: OnceCell<()> = OnceCell::new();
    WATCHED.get_or_init(|| {
        // SAFETY: the handler only touches an atomic, which is all that is allowed in the child
        // of a process with threads. It can only fail for want of memory; then fork is not seen.
        unsafe { libc::pthread_atfork(None, None, Some(in_child)) };
    });
    GENERATION.load(Ordering::Relaxed)
}

/// One value for each process of a line of forks. The child of a fork gets a value of its own when
/// it first asks; it never waits for what threads of its parent hold, because they are not there.
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
