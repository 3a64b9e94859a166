//! The bytes of a connection, counted where they meet the socket.

use std::sync::atomic::{AtomicU64, Ordering};

/// Bytes on the wire so far. Threads: one counts, any reads.
#[derive(Debug, Default)]
pub(crate) struct Traffic {
    pub(crate) bytes_in: AtomicU64,
    pub(crate) bytes_out: AtomicU64,
}

impl Traffic {
    pub(super) fn add_in(&self, bytes: usize) {
        add(&self.bytes_in, bytes);
    }

    /// Bytes that were sent.
    pub(super) fn written(&self) -> u64 {
        self.bytes_out.load(Ordering::Relaxed)
    }

    pub(super) fn add_out(&self, bytes: usize) {
        add(&self.bytes_out, bytes);
    }
}

/// One thread counts at a time, so that a load and a store are enough: no locked instruction.
fn add(counter: &AtomicU64, more: usize) {
    counter.store(counter.load(Ordering::Relaxed) + more as u64, Ordering::Relaxed);
}
