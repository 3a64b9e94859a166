//! How a thread that blocks in poll(2) is woken: by a flag of its own, and by a descriptor that it
//! polls meanwhile.
//!
//! The descriptor belongs to the wait, not to the thread or the exchange. Where many threads wait, those that
//! poll a socket as well share one: a thread that is woken for another thread's flag waits on, with another
//! descriptor. So a call needs one descriptor, and not two.
//!
//! Knows nothing of the system: a descriptor is a type parameter.

use std::io;

use crate::sync::atomic::{AtomicBool, Ordering};
use crate::sync::{Arc, Mutex, lock};

/// What poll(2) can wait for, and another thread make readable.
pub(super) trait Wakeable: Sized {
    fn open() -> io::Result<Self>;
    /// Makes it readable. Never blocks.
    fn signal(&self);
    /// Makes it unreadable.
    fn clear(&self);
}

/// The descriptors of a process. Threads: any thread at any time.
#[derive(Debug)]
pub(super) struct Wakeups<D> {
    entries: Mutex<Vec<SharedWakeup<D>>>,
}

#[derive(Debug)]
struct SharedWakeup<D> {
    wakeup: Arc<Wakeup<D>>,
    /// How many threads poll it.
    users: usize,
    /// It is kept for the next wait when no thread uses it.
    keep: bool,
}

/// A descriptor, and whether it is readable.
#[derive(Debug)]
struct Wakeup<D> {
    descriptor: D,
    /// It is readable, and stays so until all of its users have left.
    signalled: AtomicBool,
}

/// A flag that ends a wait. Threads: any thread at any time; waited for by one at a time.
#[derive(Debug)]
pub(super) struct WakeFlag<D>(Mutex<State<D>>);

#[derive(Debug)]
struct State<D> {
    set: bool,
    /// What the thread that waits for it polls.
    polled: Option<Arc<Wakeup<D>>>,
}

/// How a thread waits.
#[derive(Clone, Copy, Debug)]
pub(super) struct WakeupUse {
    /// It has other descriptors open: it shares this one if there are many.
    pub(super) may_share: bool,
    /// It may soon wait again.
    pub(super) keep: bool,
}

/// A wait for a flag, from before the poll until after it. Threads: a value.
#[derive(Debug)]
pub(super) struct Watch<'a, D: Wakeable> {
    flag: &'a WakeFlag<D>,
    wakeups: &'a Wakeups<D>,
    wakeup: Arc<Wakeup<D>>,
}

impl<D> WakeFlag<D> {
    pub(super) fn new() -> Self {
        Self(Mutex::new(State { set: false, polled: None }))
    }

    /// Clears it.
    pub(super) fn clear(&self) {
        lock(&self.0).set = false;
    }

    pub(super) fn is_set(&self) -> bool {
        lock(&self.0).set
    }
}

impl<D: Wakeable> WakeFlag<D> {
    /// Sets it, and ends the poll of the thread that waits for it.
    pub(super) fn set(&self) {
        let mut state = lock(&self.0);
        if !std::mem::replace(&mut state.set, true)
            && let Some(wakeup) = &state.polled
        {
            // Under the lock: the thread is still a user of it, so that it can't be another thread's alone.
            wakeup.signal();
        }
    }

    /// Begins a wait; `None` if it is set. A call of `set` from here on ends the poll.
    pub(super) fn watch<'a>(
        &'a self,
        wakeups: &'a Wakeups<D>,
        how: WakeupUse,
    ) -> io::Result<Option<Watch<'a, D>>> {
        if self.is_set() {
            return Ok(None);
        }
        let watch = Watch { flag: self, wakeups, wakeup: wakeups.enter(how)? };
        let mut state = lock(&self.0);
        if state.set {
            drop(state);
            return Ok(None);
        }
        state.polled = Some(Arc::clone(&watch.wakeup));
        drop(state);
        Ok(Some(watch))
    }
}

impl<D: Wakeable> Watch<'_, D> {
    /// What to poll.
    pub(super) fn descriptor(&self) -> &D {
        &self.wakeup.descriptor
    }
}

impl<D: Wakeable> Drop for Watch<'_, D> {
    fn drop(&mut self) {
        // The flag comes first: then no thread signals the descriptor for this wait any more.
        lock(&self.flag.0).polled = None;
        self.wakeups.leave(&self.wakeup);
    }
}

impl<D: Wakeable> Wakeup<D> {
    fn signal(&self) {
        if !self.signalled.swap(true, Ordering::AcqRel) {
            self.descriptor.signal();
        }
    }
}

impl<D: Wakeable> Wakeups<D> {
    pub(super) fn new() -> Self {
        Self { entries: Mutex::new(Vec::new()) }
    }

    /// A descriptor for a thread that is about to poll.
    fn enter(&self, how: WakeupUse) -> io::Result<Arc<Wakeup<D>>> {
        let mut entries = lock(&self.entries);
        let unused = entries.iter().position(|entry| entry.users == 0).filter(|_| how.keep);
        let shared =
            (how.may_share && entries.len() >= UNSHARED).then(|| least_used(&entries)).flatten();
        let index = match unused.or(shared) {
            Some(index) => index,
            None => match D::open() {
                Ok(descriptor) => {
                    let wakeup = Arc::new(Wakeup { descriptor, signalled: AtomicBool::new(false) });
                    entries.push(SharedWakeup { wakeup, users: 0, keep: how.keep });
                    entries.len() - 1
                }
                // Out of descriptors.
                Err(error) => least_used(&entries).ok_or(error)?,
            },
        };
        entries[index].users += 1;
        Ok(Arc::clone(&entries[index].wakeup))
    }

    /// Closes those that are kept for the next wait.
    pub(super) fn close_unused(&self) {
        let unused = |entry: &mut SharedWakeup<D>| entry.users == 0;
        let closed: Vec<SharedWakeup<D>> = lock(&self.entries).extract_if(.., unused).collect();
        drop(closed);
    }

    /// A thread has polled. The last one to leave makes it unreadable for the next one, or closes it.
    fn leave(&self, wakeup: &Arc<Wakeup<D>>) {
        let mut entries = lock(&self.entries);
        let Some(index) = entries.iter().position(|entry| Arc::ptr_eq(&entry.wakeup, wakeup))
        else {
            return;
        };
        entries[index].users -= 1;
        if entries[index].users > 0 {
            return;
        }
        // No flag refers to it any more, so no thread signals it meanwhile.
        if wakeup.signalled.swap(false, Ordering::AcqRel) {
            wakeup.descriptor.clear();
        }
        let mut closed = Vec::new();
        if !entries[index].keep {
            closed.push(entries.remove(index));
        }
        let unused = entries.iter().filter(|entry| entry.users == 0).count();
        for _ in MAX_UNUSED.min(entries.len() - unused + 1)..unused {
            // The oldest stays.
            if let Some(last) = entries.iter().rposition(|entry| entry.users == 0) {
                closed.push(entries.remove(last));
            }
        }
        drop(entries);
        drop(closed);
    }
}

/// Which one to share: not a signalled one, which its users are about to leave.
fn least_used<D>(entries: &[SharedWakeup<D>]) -> Option<usize> {
    let quiet = |entry: &SharedWakeup<D>| !entry.wakeup.signalled.load(Ordering::Acquire);
    let candidates = entries.iter().enumerate().filter(|(_, entry)| quiet(entry));
    candidates.min_by_key(|(_, entry)| entry.users).map(|(index, _)| index)
}

/// This many threads have one each before they share.
const UNSHARED: usize = if cfg!(loom) { 1 } else { 16 };
/// How many unused ones are kept at most. There is at most one more of them than of those in use.
const MAX_UNUSED: usize = 8;
