//! Sending in the background: the future of a request, and the form with a callback.
//!
//! A submission runs the same code as a blocking call, on the engine. Its outcome is delivered exactly
//! once.

use std::future::Future;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use crate::cancel::CancelToken;
use crate::client::Client;
use crate::download::{Download, DownloadOptions};
use crate::error::Error;
use crate::process::fork_generation;
use crate::request::Request;
use crate::response::Response;
use crate::runtime::Oneshot;

/// The future of a submitted request: any executor can await it.
///
/// Create: [`Client::submit`], which begins the work at once. Use: await it, or [`wait`](Self::wait).
/// Dropped before its outcome is there, it cancels the request. Threads: a value.
///
/// ```no_run
/// # async fn example() -> Result<(), hangup::Error> {
/// let client = hangup::Client::default();
/// let request = hangup::Request::new("GET", "https://example.org/")?;
/// let response = client.submit(request).await?;
/// println!("{}", response.status_code());
/// # Ok(())
/// # }
/// ```
#[must_use = "dropping it cancels the request"]
#[derive(Debug)]
pub struct Submission {
    oneshot: Arc<Oneshot<Result<Response, Error>>>,
    token: CancelToken,
    is_over: bool,
    process: u32,
}

impl Client {
    /// Sends a request in the background and returns its future, which any executor can await.
    ///
    /// The work begins at the call, not at the first poll, and occupies no thread of the caller's. It does
    /// what [`send`](Self::send) does, with the client's settings of this moment. Dropping the future
    /// before its outcome is there cancels the request.
    ///
    /// ```no_run
    /// use hangup::{Client, Request};
    ///
    /// async fn status(client: &Client) -> Result<u16, hangup::Error> {
    ///     let response = client.submit(Request::new("GET", "https://example.org/")?).await?;
    ///     Ok(response.status_code())
    /// }
    /// ```
    pub fn submit(&self, mut request: Request) -> Submission {
        let token = request.token.as_ref().map_or_else(CancelToken::new, CancelToken::child);
        request.set_cancel(Some(token.clone()));
        let oneshot = Oneshot::new();
        let outcome = Arc::clone(&oneshot);
        self.submit_with(request, move |sent| outcome.put(sent));
        Submission { oneshot, token, is_over: false, process: fork_generation() }
    }

    /// Sends a request in the background, as [`submit`](Self::submit) does, and calls `done` exactly once
    /// with its outcome, whatever happens. To cancel it, give the request a [`CancelToken`].
    ///
    /// `done` runs on a thread of the library's or on that of a [`Driver`](crate::Driver), or before this call returns; it must
    /// not block.
    ///
    /// ```no_run
    /// use std::sync::mpsc;
    /// use hangup::{Client, Request};
    ///
    /// let (sender, receiver) = mpsc::channel();
    /// let client = Client::default();
    /// client.submit_with(Request::new("GET", "https://example.org/")?, move |outcome| {
    ///     let _ = sender.send(outcome.map(|response| response.status_code()));
    /// });
    /// println!("{:?}", receiver.recv());
    /// # Ok::<(), hangup::Error>(())
    /// ```
    pub fn submit_with(
        &self,
        request: Request,
        done: impl FnOnce(Result<Response, Error>) + Send + 'static,
    ) {
        let send = self.sender();
        // In a box: a closure is moved onto the stack of the fiber that calls it.
        let mut request = Box::new(request);
        let work = move || send(&mut request);
        self.manager().spawner().spawn(work, move |outcome| done(outcome.and_then(|sent| sent)));
    }
}

impl Client {
    /// Downloads a file in the background, as [`download`](Self::download) does, and returns the future of its response.
    /// Dropping it before its outcome is there cancels the download; what came is kept for the next one.
    ///
    /// ```no_run
    /// # async fn example(client: &hangup::Client) -> Result<(), hangup::Error> {
    /// use hangup::{DownloadOptions, Request};
    ///
    /// let request = Request::new("GET", "https://example.org/image.iso")?;
    /// client.submit_download(request, "image.iso", &DownloadOptions::default()).await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn submit_download(
        &self,
        mut request: Request,
        path: impl AsRef<Path>,
        options: &DownloadOptions,
    ) -> Submission {
        let token = request.token.as_ref().map_or_else(CancelToken::new, CancelToken::child);
        request.set_cancel(Some(token.clone()));
        let oneshot = Oneshot::new();
        let outcome = Arc::clone(&oneshot);
        self.submit_download_with(request, path, options, move |sent| outcome.put(sent));
        Submission { oneshot, token, is_over: false, process: fork_generation() }
    }

    /// Downloads a file in the background, and calls `done` exactly once with its outcome, as
    /// [`submit_with`](Self::submit_with) does.
    ///
    /// ```no_run
    /// use std::sync::mpsc;
    /// use hangup::{Client, DownloadOptions, Request};
    ///
    /// let (sender, receiver) = mpsc::channel();
    /// let request = Request::new("GET", "https://example.org/image.iso")?;
    /// Client::default().submit_download_with(request, "image.iso", &DownloadOptions::default(), move |outcome| {
    ///     let _ = sender.send(outcome.map(|response| response.status_code()));
    /// });
    /// println!("{:?}", receiver.recv());
    /// # Ok::<(), hangup::Error>(())
    /// ```
    pub fn submit_download_with(
        &self,
        request: Request,
        path: impl AsRef<Path>,
        options: &DownloadOptions,
        done: impl FnOnce(Result<Response, Error>) + Send + 'static,
    ) {
        let download = match Download::new(request, path.as_ref(), options) {
            // In a box: a closure is moved onto the stack of the fiber that calls it.
            Ok(download) => Box::new(download),
            Err(error) => return done(Err(error)),
        };
        let send = self.sender();
        let work = move || download.run(&send);
        self.manager().spawner().spawn(work, move |outcome| done(outcome.and_then(|sent| sent)));
    }
}

impl Submission {
    /// Blocks this thread until the outcome is there.
    ///
    /// # Errors
    /// Any [`Kind`](crate::Kind), as [`Client::send`]; [`Kind::Cancelled`](crate::Kind::Cancelled) if the
    /// thread's interrupt check ended the wait.
    pub fn wait(mut self) -> Result<Response, Error> {
        let outcome = self.oneshot.wait(|| self.token.fire(Some("interrupted")));
        self.is_over = outcome.is_ok();
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
        self.is_over = true;
        Poll::Ready(outcome)
    }
}

impl Drop for Submission {
    fn drop(&mut self) {
        // In the child of a fork nothing is under way, and a lock that a thread of the parent held is
        // never released.
        if !self.is_over && self.process == fork_generation() {
            self.token.fire(None);
        }
    }
}
