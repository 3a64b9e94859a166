//! Work that a fiber must not do on its I/O thread, because it takes long, blocks, or is somebody
//! else's code: a worker does it, and the fiber waits. On a thread of the caller's own it is done
//! right there.

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

/// Does the work by one of that crew if this is a fiber, and right here otherwise, or if there is
/// no thread for it. A panic of it is a panic here.
pub(crate) fn run_on_worker<T: Send>(
    pool: &'static WorkerPool,
    work: impl FnOnce() -> T + Send,
) -> T {
    match fiber::current() {
        None => work(),
        Some(fiber) => lend_to_worker(&fiber, pool, work, &|| false).unwrap_or_else(|work| work()),
    }
}

/// Why work that stands alone has no outcome.
#[derive(Debug)]
pub(crate) enum NotDone {
    /// The fiber that waited for it gave up.
    GivenUp,
    /// There is no thread for it, and the system makes none.
    NoThread(io::Error),
}

/// [`run_on_worker`] for work that owns what it needs, so that the fiber can leave it: when the fiber
/// `gives_up`, work that was not begun is dropped, and work that was begun goes on alone; what it
/// answers is dropped on the worker's thread. The fiber asks when the event is set, which is its
/// own, and when that time comes.
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
        // First cleared, then asked: what happens in between sets it again.
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
                // Unless it begins just now.
                if let Some(work) = lock(&own.work).take() {
                    drop(work);
                    return Err(NotDone::NoThread(no_thread()));
                }
            }
            None => {
                let begin_by = (!begun).then_some(begin_by);
                let until = until.into_iter().chain(begin_by).min();
                // It can't fail: there is no descriptor in it.
                let _ =
                    fiber.wait(WaitFor { fd: None, notify: Some(notify) }, WaitUntil::new(until));
            }
        }
    }
}

/// Work without a borrow, and what came of it.
struct OwnWork<F, T> {
    work: Mutex<Option<F>>,
    outcome: Mutex<Option<std::thread::Result<T>>>,
}

/// Whether the current task shares its thread with others, and so must not block it.
pub(crate) fn is_on_fiber() -> bool {
    fiber::current().is_some()
}

/// [`run_on_worker`] if there is a worker for it soon, and otherwise on the stack of this thread.
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

/// Lends the work to a worker; gives it back if nobody did it.
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
    // SAFETY: what it borrows lies on this fiber's stack, and the fiber does not leave this
    // function while a worker has it: it takes it back before it was begun, or waits until the
    // worker has dropped its `DoneSignal`, the last thing it does. Fibers are never dropped before
    // their end.
    let run: &'static (dyn Fn() + Sync) = unsafe { std::mem::transmute(run) };
    let lent = Arc::new(Mutex::new(Some(run)));
    let (mine, done_signal) = (Arc::clone(&lent), DoneSignal(Arc::clone(&notify)));
    // A failure drops the job and so the ticket.
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
        // It can't fail: there is no descriptor in it.
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

/// Tells the fiber that nobody uses what it lent any more.
struct DoneSignal(Arc<Notify>);

impl Drop for DoneSignal {
    fn drop(&mut self) {
        self.0.set();
    }
}

/// How often who waits for a worker looks whether it still wants to.
const LOOK_INTERVAL: Duration = Duration::from_millis(5);
