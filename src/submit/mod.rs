//! Handing a call to the engine, and its one outcome: whatever happens to the work, whoever asked
//! for it is told exactly once.
//!
//! The work is the same blocking code that a caller's own thread runs; where it waits is the
//! engine's business.

mod oneshot;

use std::future::Future;
use std::io;
use std::marker::PhantomData;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

pub(crate) use self::oneshot::Oneshot;
use crate::cancel::CancelToken;
use crate::client::Client;
use crate::error::Error;
use crate::manager::Manager;
use crate::process::fork_generation;
use crate::request::Request;
use crate::response::Response;
use crate::runtime::{no_thread, on_thread_stack};
use crate::vocabulary::Kind;

/// A request under way: a future that any executor can await.
///
/// Begins: [`Client::submit`], and with it the work. Ends: with its outcome; dropped before that,
/// it cancels the exchange. Threads: a value.
#[must_use = "dropping it cancels the request"]
#[derive(Debug)]
pub struct Submission {
    oneshot: Arc<Oneshot<Result<Response, Error>>>,
    token: CancelToken,
    over: bool,
    process: u32,
}

/// Sends a request in the background, as the client would send it now. `done` is called exactly
/// once, on any thread; it must not block.
pub(crate) fn submit(
    client: &Client,
    request: Request,
    done: impl FnOnce(Result<Response, Error>) + Send + 'static,
) {
    let send = client.sender();
    // In a box: what is moved to be called is moved onto a stack.
    let mut request = Box::new(request);
    let work = move || send(&mut request);
    let done = move |outcome: Result<Result<Response, Error>, Error>| {
        done(outcome.and_then(|sent| sent));
    };
    run(client.manager(), work, done);
}

/// Runs `work` on the manager's engine. `done` is called exactly once: with what `work` answers, or
/// with why it answers nothing.
pub(crate) fn run<T: 'static>(
    manager: &Manager,
    work: impl FnOnce() -> T + Send + 'static,
    done: impl FnOnce(Result<T, Error>) + Send + 'static,
) {
    match manager.engine() {
        // What can't be run is dropped, which tells the outcome.
        Ok(engine) => drop(engine.spawn(job(work, done))),
        Err(error) => done(Err(error)),
    }
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
        // Wakers and what is dropped with an outcome may be other people's code, too.
        let complete = || drop(catch_unwind(AssertUnwindSafe(|| guard.complete(outcome))));
        on_thread_stack(complete);
    }
}

fn panicked() -> Error {
    let what = "something panicked on the way: a body reader of the caller's, or a defect in hangup, \
                which we want to hear of";
    Error::new(Kind::Panic, what).safe_to_retry(false)
}

/// An outcome that somebody waits for: told when it is known, or when that will never be.
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

impl Submission {
    pub(crate) fn begin(client: &Client, mut request: Request) -> Self {
        let token = request.token.as_ref().map_or_else(CancelToken::new, CancelToken::child);
        request.set_cancel(Some(token.clone()));
        let oneshot = Oneshot::new();
        let outcome = Arc::clone(&oneshot);
        submit(client, request, move |sent| outcome.put(sent));
        Self { oneshot, token, over: false, process: fork_generation() }
    }

    /// Blocks this thread until the outcome is here.
    ///
    /// # Errors
    /// Any [`Kind`], as [`Client::send`]; [`Kind::Cancelled`] if a signal ended the wait.
    pub fn wait(mut self) -> Result<Response, Error> {
        let outcome = self.oneshot.wait(|| self.token.fire(Some("interrupted")));
        self.over = outcome.is_ok();
        outcome.and_then(|sent| sent)
    }
}

impl Future for Submission {
    type Output = Result<Response, Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let outcome = match self.oneshot.poll(cx.waker()) {
            Ok(Poll::Pending) => return Poll::Pending,
            Ok(Poll::Ready(outcome)) => outcome,
            Err(forked) => Err(forked),
        };
        self.over = true;
        Poll::Ready(outcome)
    }
}

impl Drop for Submission {
    fn drop(&mut self) {
        // In the child of a fork nothing is under way, and what its parent's threads hold is held
        // for ever.
        if !self.over && self.process == fork_generation() {
            self.token.fire(None);
        }
    }
}
