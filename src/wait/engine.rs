//! The engine: runs submitted work, so that thousands of waits need no thread of the caller's.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::Crew;

/// Threads: any thread at any time.
#[derive(Debug)]
pub(crate) struct Engine {}

impl Engine {
    /// The process's own; begun by whoever asks first, and ended with the last share.
    pub(crate) fn running() -> io::Result<Arc<Self>> {
        Ok(Arc::new(Self {}))
    }

    /// How many threads the engines of the process have, for what is submitted from now on.
    pub(crate) fn set_threads(count: usize) {
        THREADS.store(count, Ordering::Relaxed);
    }

    /// Runs a job, which may wait. An error means that it can't be run, and it was dropped.
    pub(crate) fn spawn(&self, job: impl FnOnce() + Send + 'static) -> io::Result<()> {
        static CREW: Crew = Crew::new("hangup-io", 256);
        CREW.run(job)
    }
}

/// How many threads share the work.
static THREADS: AtomicUsize = AtomicUsize::new(1);
