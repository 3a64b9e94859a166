//! Which process is this? A fork makes a child with the parent's memory but not its threads
//! and not its right to the parent's connections.

#![allow(unsafe_code)] // System calls.

use std::sync::atomic::{AtomicU32, Ordering};

use once_cell::sync::OnceCell;

/// Counts the forks between the first process and this one: equal numbers, same process.
///
/// A counter that the child bumps (pthread_atfork(3)) costs nothing on the path of a request;
/// getpid(2) is a system call.
pub(crate) fn generation() -> u32 {
    static WATCHED: OnceCell<()> = OnceCell::new();
    WATCHED.get_or_init(|| {
        // SAFETY: the handler only touches an atomic, which is all that is allowed in the child
        // of a process with threads. It can only fail for want of memory; then fork is not seen.
        unsafe { libc::pthread_atfork(None, None, Some(in_child)) };
    });
    GENERATION.load(Ordering::Relaxed)
}

extern "C" fn in_child() {
    GENERATION.fetch_add(1, Ordering::Relaxed);
}

static GENERATION: AtomicU32 = AtomicU32::new(0);
