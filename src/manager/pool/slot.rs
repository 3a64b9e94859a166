//! A slot: the right to have one socket open, counted by the limits.
//!
//! A slot is a guard. It is made together with the connection's entry, and dropped after the
//! connection's socket was ended. So it cannot leak and cannot be freed twice, and a waiter dials
//! only after the socket that held the slot before is gone.

use std::fmt;
use std::sync::{Arc, Weak};

use crate::process::fork_generation;

/// Threads: any; never dropped under the pool's lock, because [`FreeSlots::free_slot`] takes it.
pub(super) struct Slot {
    /// `None` after it was freed.
    owner: Option<Weak<dyn FreeSlots>>,
    /// The index of the connection's key; that entry is kept for as long as the slot lives. 32 bits
    /// keep the entries of the pool small, and are enough: memory ends long before 2^32 keys.
    key_id: u32,
    process: u32,
}

/// The pool, as its slots see it.
pub(super) trait FreeSlots: Send + Sync {
    /// The sockets that held slots under these keys are gone.
    fn free_slots(&self, key_ids: &[usize]);
}

impl Slot {
    pub(super) fn new(owner: Weak<dyn FreeSlots>, key_id: usize) -> Self {
        let key_id = u32::try_from(key_id).unwrap_or(u32::MAX);
        Self { owner: Some(owner), key_id, process: fork_generation() }
    }

    /// Frees some slots of one pool together.
    pub(super) fn free_all(slots: &mut Vec<Self>) {
        let mut owner = None;
        let mut key_ids = Vec::with_capacity(slots.len());
        for mut slot in slots.drain(..) {
            if let Some(of_slot) = slot.take_owner() {
                owner = Some(of_slot);
                key_ids.push(slot.key_id());
            }
        }
        if let Some(owner) = owner {
            owner.free_slots(&key_ids);
        }
    }

    pub(super) fn key_id(&self) -> usize {
        self.key_id as usize
    }

    /// The pool in which the slot is to be freed now; `None` if it was freed, or never counted there: the child of a
    /// fork has an empty pool.
    fn take_owner(&mut self) -> Option<Arc<dyn FreeSlots>> {
        let owner = self.owner.take().filter(|_| self.process == fork_generation());
        owner.and_then(|owner| owner.upgrade())
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        if let Some(owner) = self.take_owner() {
            owner.free_slots(&[self.key_id()]);
        }
    }
}

impl fmt::Debug for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Slot").field("key_id", &self.key_id).finish_non_exhaustive()
    }
}
