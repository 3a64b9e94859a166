//! An event that the model checker sees: what the library has an eventfd(2) for.

use std::sync::Arc;

use loom::sync::{Condvar, Mutex};

#[derive(Debug)]
pub(crate) struct Event {
    set: Mutex<bool>,
    changed: Condvar,
}

impl Event {
    pub(crate) fn new() -> std::io::Result<Self> {
        Ok(Self { set: Mutex::new(false), changed: Condvar::new() })
    }

    /// Nothing is kept: which event a wait has is not what is checked.
    pub(crate) fn take() -> std::io::Result<Arc<Self>> {
        Self::new().map(Arc::new)
    }

    pub(crate) fn keep(_: Arc<Self>) {}

    pub(crate) fn set(&self) {
        *self.set.lock().unwrap() = true;
        self.changed.notify_all();
    }

    /// Waits until it is set, and takes it back. Nobody sets it: the model checker calls it a deadlock.
    pub(crate) fn wait_and_clear(&self) {
        let mut set = self.set.lock().unwrap();
        while !*set {
            set = self.changed.wait(set).unwrap();
        }
        *set = false;
    }
}
