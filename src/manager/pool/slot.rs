//! A slot: the right to have one socket open, counted by the limits.
//!
//! It is a guard: made with the connection's entry, dropped after the connection's socket was
//! ended. So it can't leak, and can't be given back twice; and who waits for it dials only when
//! the socket that had it is gone.

use std::sync::Weak;

use super::Pool;
use crate::process::fork_generation;

/// Threads: any; never dropped under the pool's lock.
#[derive(Debug)]
pub(super) struct Slot {
    pool: Weak<Pool>,
    /// The line of its connection's key; kept for as long as the slot lives.
    line: usize,
    process: u32,
}

impl Slot {
    pub(super) fn new(pool: Weak<Pool>, line: usize) -> Self {
        Self { pool, line, process: fork_generation() }
    }

    pub(super) fn line(&self) -> usize {
        self.line
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        // The child of a fork has a pool of its own, which knows nothing of its parent's slots.
        if self.process == fork_generation()
            && let Some(pool) = self.pool.upgrade()
        {
            pool.release(self.line);
        }
    }
}
