//! The primitives that the model checker can replace: std's, or loom's under `--cfg loom`.
//!
//! Shares are std's either way: loom has no weak ones, and what is checked is what they point to.

pub(crate) use std::sync::{Arc, Weak};

#[cfg(loom)]
pub(crate) use loom::sync::{Condvar, Mutex, MutexGuard, atomic};
#[cfg(not(loom))]
pub(crate) use std::sync::{Condvar, Mutex, MutexGuard, atomic};

/// Locks; a panic elsewhere does not make the data useless, as every critical section here
/// leaves it whole at each step.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
