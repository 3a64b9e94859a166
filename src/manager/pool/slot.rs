//! A slot: the right to have one socket open, counted by the limits.
//!
//! A slot is a guard. It is made together with the connection's entry, and dropped after the
//! connection's socket was ended. So it cannot leak and cannot be freed twice, and a waiter dials
//! only after the socket that held the slot before is gone.

use std::fmt;
use std::sync::Weak;

use crate::process::fork_generation;

/// Threads: any; never dropped under the pool's lock, because [`FreeSlots::free_slot`] takes it.
pub(super) struct Slot {
    owner: Weak<dyn FreeSlots>,
    /// The index of the connection's key; that entry is kept for as long as the slot lives. 32 bits
    /// keep the entries of the pool small, and are enough: memory ends long before 2^32 keys.
    key_id: u32,
    process: u32,
}

/// The pool, as its slots see it.
pub(super) trait FreeSlots: Send + Sync {
    /// The socket that held a slot under that key is gone.
    fn free_slot(&self, key_id: usize);
}

impl Slot {
    pub(super) fn new(owner: Weak<dyn FreeSlots>, key_id: usize) -> Self {
        let key_id = u32::try_from(key_id).unwrap_or(u32::MAX);
        Self { owner, key_id, process: fork_generation() }
    }

    pub(super) fn key_id(&self) -> usize {
        self.key_id as usize
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        // The child of a fork has an empty pool, in which its parent's slots were never counted.
        if self.process == fork_generation()
            && let Some(owner) = self.owner.upgrade()
        {
            owner.free_slot(self.key_id());
        }
    }
}

impl fmt::Debug for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Slot").field("key_id", &self.key_id).finish_non_exhaustive()
    }
}
