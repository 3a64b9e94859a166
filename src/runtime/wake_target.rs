//! What a wake-up goes to when it is no wait of a task of ours: an event loop, or a program's own loop.

use std::fmt;

/// Its wake-up may cost a system call, or a call into the program. Threads: any thread at any time.
pub(crate) trait WakeTarget: Send + Sync {
    fn wake(&self);
}

impl fmt::Debug for dyn WakeTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WakeTarget")
    }
}
