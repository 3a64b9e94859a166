//! One outcome that is put once by any thread, and taken once by a future's executor or by a thread that
//! waits for it.

use std::sync::Arc;
use std::task::{Poll, Wake, Waker};

use super::notify::Notify;
use super::task::wait;
use super::wait_for::{WaitFor, WaitUntil, WakeReason};
use crate::error::Error;
use crate::process::fork_generation;
use crate::sync::{Mutex, lock};
use crate::vocabulary::Kind;

/// One outcome. Threads: any thread puts it, once; one takes it.
#[derive(Debug)]
pub(crate) struct Oneshot<T> {
    state: Mutex<State<T>>,
    process: u32,
}

#[derive(Debug)]
struct State<T> {
    outcome: Option<T>,
    waker: Option<Waker>,
}

impl<T> Oneshot<T> {
    pub(crate) fn new() -> Arc<Self> {
        let state = Mutex::new(State { outcome: None, waker: None });
        Arc::new(Self { state, process: fork_generation() })
    }

    /// Puts the outcome, and wakes the task or thread that waits for it.
    pub(crate) fn put(&self, outcome: T) {
        let mut state = lock(&self.state);
        state.outcome = Some(outcome);
        let waker = state.waker.take();
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Takes the outcome, or has the waker woken when it is here.
    ///
    /// # Errors
    /// [`Kind::Forked`] in the child of a fork, where nothing works on it.
    pub(crate) fn poll(&self, waker: &Waker) -> Result<Poll<T>, Error> {
        if self.process != fork_generation() {
            let what = "this was submitted by the parent of this process; begin a new one";
            return Err(Error::new(Kind::Forked, what));
        }
        let mut state = lock(&self.state);
        if let Some(outcome) = state.outcome.take() {
            return Ok(Poll::Ready(outcome));
        }
        let old = match &mut state.waker {
            Some(old) if old.will_wake(waker) => None,
            old => old.replace(waker.clone()),
        };
        drop(state);
        drop(old);
        Ok(Poll::Pending)
    }

    /// Blocks until the outcome is there. `interrupted` is called when the thread's interrupt check wants the
    /// wait to end; it must cause an outcome soon.
    ///
    /// # Errors
    /// [`Kind::Forked`], [`Kind::System`].
    pub(crate) fn wait(&self, interrupted: impl Fn()) -> Result<T, Error> {
        let failed = |error| Error::from_os(Kind::System, "can't wait", &error);
        let notify = Notify::for_this_task();
        let waker = Waker::from(Arc::new(ThreadWaker(Arc::clone(&notify))));
        loop {
            // Cleared before the poll: an outcome that comes after the poll sets it again.
            notify.clear();
            if let Poll::Ready(outcome) = self.poll(&waker)? {
                return Ok(outcome);
            }
            let want = WaitFor { fd: None, notify: Some(&notify) };
            if wait(want, WaitUntil::new(None)).map_err(failed)? == WakeReason::Interrupted {
                interrupted();
            }
        }
    }
}

/// Wakes a thread that waits.
struct ThreadWaker(Arc<Notify>);

impl Wake for ThreadWaker {
    fn wake(self: Arc<Self>) {
        self.0.set();
    }
}
