//! Work that a fiber must not do on its I/O thread, because it takes long, blocks, or is a callback of the
//! program: a worker does it, and the fiber waits. A thread of the caller does it itself.

#![allow(unsafe_code)] // A worker borrows what lies on a fiber's stack.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::fiber::{self, Fiber};
use super::notify::Notify;
use super::sys::no_thread;
use super::wait_for::{WaitFor, WaitUntil};
use super::worker_pool::{THREAD_WAIT, WorkerPool};
use crate::sync::{Mutex, lock};

/// Has a worker of that pool do the work if this is a fiber. Otherwise, and if there is no thread for it, the
/// work is done here. A panic of the work is a panic here.
pub(crate) fn run_on_worker<T: Send>(
    pool: &'static WorkerPool,
    work: impl FnOnce() -> T + Send,
) -> T {
    match fiber::current() {
        None => work(),
        Some(fiber) => lend_to_worker(&fiber, pool, work, &|| false).unwrap_or_else(|work| work()),
    }
}

/// Why work that owns what it needs has no outcome.
#[derive(Debug)]
pub(crate) enum NotDone {
    /// The fiber that waited for it gave up.
    GivenUp,
    /// There is no thread for it, and the system makes none.
    NoThread(io::Error),
}

/// [`run_on_worker`] for work that owns what it needs, so that the fiber can leave it. When `gives_up` returns
/// true, work that was not begun is dropped; work that was begun goes on, and its result is dropped on the
/// worker's thread. `gives_up` is called when `notify`, which is the fiber's own, is set, and at `until`.
pub(crate) fn run_on_own_worker<T: Send + 'static>(
    pool: &'static WorkerPool,
    work: impl FnOnce() -> T + Send + 'static,
    notify: &Arc<Notify>,
    until: Option<Instant>,
    gives_up: &dyn Fn() -> bool,
) -> Result<T, NotDone> {
    let Some(fiber) = fiber::current() else { return Ok(work()) };
    let own = Arc::new(OwnWork { work: Mutex::new(Some(work)), outcome: Mutex::new(None) });
    let (theirs, waker) = (Arc::clone(&own), Arc::clone(notify));
    let job = move || {
        let Some(work) = lock(&theirs.work).take() else { return };
        let outcome = catch_unwind(AssertUnwindSafe(work));
        *lock(&theirs.outcome) = Some(outcome);
        // If the fiber gave up, the outcome is dropped here.
        drop(theirs);
        waker.set();
    };
    pool.run(job).map_err(NotDone::NoThread)?;
    let begin_by = Instant::now() + THREAD_WAIT;
    loop {
        // Cleared before the look: what happens after the look sets it again.
        notify.clear();
        let outcome = lock(&own.outcome).take();
        let begun = lock(&own.work).is_none();
        match outcome {
            Some(Ok(answer)) => return Ok(answer),
            Some(Err(panic)) => resume_unwind(panic),
            None if gives_up() => {
                let work = lock(&own.work).take();
                drop(work);
                return Err(NotDone::GivenUp);
            }
            None if !begun && Instant::now() >= begin_by => {
                // It is `None` if a worker begins just now.
                if let Some(work) = lock(&own.work).take() {
                    drop(work);
                    return Err(NotDone::NoThread(no_thread()));
                }
            }
            None => {
                let begin_by = (!begun).then_some(begin_by);
                let until = until.into_iter().chain(begin_by).min();
                // It can't fail, because it waits for no descriptor.
                let _ =
                    fiber.wait(WaitFor { fd: None, notify: Some(notify) }, WaitUntil::new(until));
            }
        }
    }
}

/// Work that owns what it needs, and its outcome.
struct OwnWork<F, T> {
    work: Mutex<Option<F>>,
    outcome: Mutex<Option<std::thread::Result<T>>>,
}

/// Whether the current task shares its thread with others, and so must not block it.
pub(crate) fn is_on_fiber() -> bool {
    fiber::current().is_some()
}

/// [`run_on_worker`] if a worker begins it within [`LOOK_INTERVAL`]; otherwise it is done on the stack of this
/// thread.
pub(crate) fn run_on_worker_soon<T: Send>(
    pool: &'static WorkerPool,
    work: impl FnOnce() -> T + Send,
) -> T {
    let Some(fiber) = fiber::current() else { return work() };
    let until = Instant::now() + LOOK_INTERVAL;
    match lend_to_worker(&fiber, pool, work, &|| Instant::now() >= until) {
        Ok(answer) => answer,
        Err(work) => fiber.on_thread_stack(work),
    }
}

/// Lends the work to a worker, which borrows from the fiber's stack. Returns it if no worker did it.
fn lend_to_worker<T: Send, F: FnOnce() -> T + Send>(
    fiber: &Fiber,
    pool: &'static WorkerPool,
    work: F,
    gives_up: &dyn Fn() -> bool,
) -> Result<T, F> {
    let notify = Arc::new(fiber.notify());
    let work = Mutex::new(Some(work));
    let done = Mutex::new(None);
    let run = || {
        let Some(work) = lock(&work).take() else { return };
        *lock(&done) = Some(catch_unwind(AssertUnwindSafe(work)));
    };
    let run: &(dyn Fn() + Sync) = &run;
    // SAFETY: the lifetime is made longer because a worker's job must be 'static. The invariant is that no
    // worker uses `run` after this function returned, and this function keeps it: `run` borrows from this
    // fiber's stack, and the loop below ends only after it has taken `run` back from `lent` before a worker
    // did, or after the worker has dropped its `DoneSignal`, which is the last thing that it does. A panic
    // can't end it earlier (nothing in the loop panics), and fibers are never dropped before their end. A
    // scoped thread would need no such cast, but it would start a thread for each piece of work.
    let run: &'static (dyn Fn() + Sync) = unsafe { std::mem::transmute(run) };
    let lent = Arc::new(Mutex::new(Some(run)));
    let (mine, done_signal) = (Arc::clone(&lent), DoneSignal(Arc::clone(&notify)));
    // If there is no thread, the job is dropped, and `done_signal` with it.
    let _ = pool.run(move || {
        let run = lock(&mine).take();
        if let Some(run) = run {
            run();
        }
        drop(done_signal);
    });
    while !notify.is_set() {
        let begun = lock(&lent).is_none();
        let tick = (!begun).then(|| Instant::now() + LOOK_INTERVAL);
        // It can't fail, because it waits for no descriptor.
        let _ = fiber.wait(WaitFor { fd: None, notify: Some(&notify) }, WaitUntil::new(tick));
        if !begun && gives_up() && lock(&lent).take().is_some() {
            break;
        }
    }
    let over = lock(&done).take();
    match over {
        Some(Ok(answer)) => Ok(answer),
        Some(Err(panic)) => resume_unwind(panic),
        None => match lock(&work).take() {
            Some(work) => Err(work),
            None => unreachable!("work that was begun has an outcome"),
        },
    }
}

/// Notifies the fiber, when it is dropped, that the worker uses nothing of its stack any more.
struct DoneSignal(Arc<Notify>);

impl Drop for DoneSignal {
    fn drop(&mut self) {
        self.0.set();
    }
}

/// How often a fiber that waits for a worker looks whether it still wants to.
const LOOK_INTERVAL: Duration = Duration::from_millis(5);
