//! How much of a fiber's stack a call needs, for tests: what lies below the current frame is filled with
//! a pattern, and later it is seen how much of the pattern is gone.

#![allow(unsafe_code)] // Writes and reads the part of a stack that no frame uses.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use super::fiber;

/// A measurement on the fiber that runs. While there is one, the fiber's stack is not trimmed.
/// Threads: its fiber's.
pub(crate) struct StackProbe {
    /// The current frame when it began.
    from: usize,
    limit: usize,
}

/// In bytes below the frame in which the measurement began.
#[derive(Clone, Copy, Debug)]
pub(crate) struct StackUse {
    /// By the deepest call.
    pub(crate) peak: usize,
    /// By the deepest wait: this part of the stack can't be given to other fibers meanwhile.
    pub(crate) wait: usize,
}

/// The deepest frame of a wait, by the limit of the stack that is measured.
static WAITS: Mutex<Option<HashMap<usize, usize>>> = Mutex::new(None);

impl StackProbe {
    /// # Panics
    /// Where no fiber runs.
    #[inline(never)]
    pub(crate) fn begin() -> Self {
        let limit = fiber::current().expect("a fiber").stack_limit();
        let from = here();
        with_waits(|waits| waits.insert(limit, from));
        for place in lowest(limit)..from - MARGIN {
            // SAFETY: this thread runs on this stack, which is mapped above its lowest page, and no frame
            // lies below the current one by more than the margin.
            unsafe { std::ptr::with_exposed_provenance_mut::<u8>(place).write_volatile(PATTERN) };
        }
        Self { from, limit }
    }

    #[inline(never)]
    pub(crate) fn end(self) -> StackUse {
        let touched = (lowest(self.limit)..self.from).find(|place| {
            // SAFETY: as in `begin`.
            let byte = unsafe { std::ptr::with_exposed_provenance::<u8>(*place).read_volatile() };
            byte != PATTERN
        });
        let wait = with_waits(|waits| waits.remove(&self.limit)).unwrap_or(self.from);
        StackUse { peak: self.from - touched.unwrap_or(self.from), wait: self.from - wait }
    }
}

/// A fiber with this stack suspends.
pub(super) fn note_wait(limit: usize) {
    let frame = here();
    with_waits(|waits| {
        if let Some(deepest) = waits.get_mut(&limit) {
            *deepest = frame.min(*deepest);
        }
    });
}

pub(super) fn is_measured(limit: usize) -> bool {
    with_waits(|waits| waits.contains_key(&limit))
}

/// The address of the current frame.
#[inline(never)]
fn here() -> usize {
    let frame = 0u8;
    (&raw const frame).expose_provenance()
}

/// The lowest address that may be touched: below it lies the guard page.
fn lowest(limit: usize) -> usize {
    limit + 64 * 1024
}

fn with_waits<T>(act: impl FnOnce(&mut HashMap<usize, usize>) -> T) -> T {
    let mut waits = WAITS.lock().unwrap_or_else(PoisonError::into_inner);
    act(waits.get_or_insert_default())
}

const PATTERN: u8 = 0xa5;
/// What the loop that fills the stack may use itself.
const MARGIN: usize = 1024;
