//! Runs a task on the process's engine and delivers its one outcome, whatever happens to the task.
//!
//! The task is the same blocking code that a caller's own thread runs; where it waits, the engine
//! suspends it.

use std::cell::RefCell;
use std::io;
use std::marker::PhantomData;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use once_cell::sync::OnceCell;

use super::engine::Engine;
use super::host_loop::{HostLoop, OwnLoop};
use super::io_thread::IoThread;
use super::sys::no_thread;
use super::task::on_thread_stack;
use crate::error::Error;
use crate::process::PerProcess;
use crate::vocabulary::Kind;

/// Spawns tasks. It starts the engine with the first task and keeps it running until it is dropped
/// itself. Threads: any thread at any time.
#[derive(Debug)]
pub(crate) struct Spawner {
    engine: PerProcess<OnceCell<Arc<Engine>>>,
}

impl Spawner {
    pub(crate) fn new() -> Self {
        Self { engine: PerProcess::new() }
    }

    /// Runs `work`. `done` is called exactly once, with what `work` returns or with the reason why it
    /// returned nothing: [`Kind::System`] if no thread or no stack could be made, [`Kind::Panic`].
    pub(crate) fn spawn<T: 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
        done: impl FnOnce(Result<T, Error>) + Send + 'static,
    ) {
        if IS_USED.load(Ordering::Relaxed)
            && let Some(io_thread) = place()
        {
            return io_thread.give(Box::new(job(work, done)));
        }
        match self.engine() {
            // A job that can't be run is dropped, and its guard calls `done`.
            Ok(engine) => drop(engine.spawn(job(work, done))),
            Err(error) => done(Err(error)),
        }
    }

    fn engine(&self) -> Result<&Arc<Engine>, Error> {
        let engine = self.engine.get(|_| OnceCell::new());
        engine.get_or_try_init(Engine::running).map_err(|error| match error.kind() {
            // pthread_create(3).
            io::ErrorKind::WouldBlock => Error::no_thread(&error),
            _ => Error::from_os(Kind::System, "can't start an I/O thread", &error),
        })
    }
}

/// While it lives, what this thread spawns runs in the loop of a host or a queue. Threads: its own.
#[derive(Debug)]
pub(crate) struct SpawnPlace(Option<Arc<IoThread>>);

impl SpawnPlace {
    /// `None`: in the process's engine.
    pub(crate) fn enter(host: Option<&Arc<HostLoop>>) -> Self {
        Self::replace(host.map(|host| host.io_thread()))
    }

    /// In the loop of a queue.
    pub(crate) fn enter_own(own: &OwnLoop) -> Self {
        Self::replace(Some(own.io_thread()))
    }

    fn replace(io_thread: Option<&Arc<IoThread>>) -> Self {
        IS_USED.store(true, Ordering::Relaxed);
        // A thread that is ending has no place any more: the engine does its work.
        let former = PLACE.try_with(|place| place.replace(io_thread.cloned()));
        Self(former.ok().flatten())
    }
}

impl Drop for SpawnPlace {
    fn drop(&mut self) {
        let _ = PLACE.try_with(|place| place.replace(self.0.take()));
    }
}

/// Whether there ever was a place: most programs have none, and don't pay for a look at the thread's.
static IS_USED: AtomicBool = AtomicBool::new(false);

thread_local! {
    static PLACE: RefCell<Option<Arc<IoThread>>> = const { RefCell::new(None) };
}

// Not inlined: a fiber may be on another thread after a wait, and the compiler assumes that the address of a
// thread-local value never changes within a function.
#[inline(never)]
fn place() -> Option<Arc<IoThread>> {
    PLACE.try_with(|place| place.borrow().clone()).ok().flatten()
}

fn job<T: 'static>(
    work: impl FnOnce() -> T + Send + 'static,
    done: impl FnOnce(Result<T, Error>) + Send + 'static,
) -> impl FnMut(io::Result<()>) + Send + 'static {
    let mut guard = CompletionGuard { done: Some(done), of: PhantomData };
    let mut work = Some(work);
    move |ready| {
        let Some(work) = work.take() else { return };
        let outcome = match ready {
            Ok(()) => catch_unwind(AssertUnwindSafe(work)).map_err(|_| panicked()),
            Err(error) => {
                Err(Error::from_os(Kind::System, "there is no memory for a stack", &error))
            }
        };
        // `done` wakes wakers and may drop values of the caller's: code that may need more stack.
        let complete = || drop(catch_unwind(AssertUnwindSafe(|| guard.complete(outcome))));
        on_thread_stack(complete);
    }
}

fn panicked() -> Error {
    let what = "something panicked on the way: a body reader of the caller's, or a defect in hangup, \
                which we want to hear of";
    Error::new(Kind::Panic, what).safe_to_retry(false)
}

/// Calls `done` exactly once: with the outcome, or when it is dropped without one.
struct CompletionGuard<T, F: FnOnce(Result<T, Error>)> {
    done: Option<F>,
    of: PhantomData<fn(T)>,
}

impl<T, F: FnOnce(Result<T, Error>)> CompletionGuard<T, F> {
    fn complete(&mut self, outcome: Result<T, Error>) {
        if let Some(done) = self.done.take() {
            done(outcome);
        }
    }
}

impl<T, F: FnOnce(Result<T, Error>)> Drop for CompletionGuard<T, F> {
    fn drop(&mut self) {
        if let Some(done) = self.done.take() {
            done(Err(Error::no_thread(&no_thread())));
        }
    }
}
