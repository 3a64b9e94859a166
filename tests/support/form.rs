//! The two forms of a request: it runs on the caller's thread, or it is submitted and the same code runs on a fiber.
//! Both behave alike, so most tests are written once for a client of some form and run in both.
//!
//! A test takes its [`Form`], makes its clients with it, and is named in [`in_both_forms`].

use std::future::Future;
use std::ops::{Deref, DerefMut};
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::Duration;

use hangup::{Error, Limits, Request, Timeout};

/// How a client sends and how its responses are read. Threads: a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// `Client::send`, `Response::read`: the caller's thread does the work.
    Blocking,
    /// `Client::submit`, `Response::read_soon`: the caller's thread only waits for the outcome.
    Submitted,
}

/// A client that sends in one form, and dereferences to hangup's client.
#[derive(Debug)]
pub struct Client {
    form: Form,
    client: hangup::Client,
}

/// A response that is read in the form of its request, and dereferences to hangup's response.
#[derive(Debug)]
pub struct Response {
    form: Form,
    response: hangup::Response,
}

/// A stream that is read and written in the form of its response, and dereferences to hangup's stream.
#[derive(Clone, Debug)]
pub struct Stream {
    form: Form,
    stream: hangup::Stream,
}

/// Makes two tests of each function: `blocking::...` and `submitted::...`.
macro_rules! in_both_forms {
    ($($test:ident),* $(,)?) => {
        mod blocking {
            $(#[test] fn $test() { super::$test(crate::support::form::Form::Blocking); })*
        }
        mod submitted {
            $(#[test] fn $test() { super::$test(crate::support::form::Form::Submitted); })*
        }
    };
}
pub(crate) use in_both_forms;

impl Form {
    /// A client with a manager of its own.
    pub fn client(self) -> Client {
        self.of(super::client())
    }

    /// A client with a manager of its own that has these limits.
    pub fn client_with(self, limits: Limits) -> Client {
        self.of(super::client_with(limits))
    }

    /// A client that trusts the test CA.
    pub fn tls_client(self) -> Client {
        self.of(super::tls_client())
    }

    /// The client in this form.
    pub fn of(self, client: hangup::Client) -> Client {
        Client { form: self, client }
    }

    /// The name of a test of [`in_both_forms`] in this form: `races::blocking::c12_...` for `races::c12_...`.
    pub fn name(self, test: &str) -> String {
        let form = match self {
            Self::Blocking => "blocking",
            Self::Submitted => "submitted",
        };
        match test.rsplit_once("::") {
            Some((module, test)) => format!("{module}::{form}::{test}"),
            None => format!("{form}::{test}"),
        }
    }
}

impl Client {
    /// Sends a request and waits for the head of its response. A submission consumes its request, so `request` is replaced
    /// by an unusable one if its body is a reader and cannot be copied.
    pub fn send(&self, request: &mut Request) -> Result<Response, Error> {
        let response = match self.form {
            Form::Blocking => self.client.send(request),
            Form::Submitted => {
                let spent = || Request::new("GET", "http://spent.test/").unwrap();
                let copy = request.try_clone();
                let request = copy.unwrap_or_else(|_| std::mem::replace(request, spent()));
                self.client.submit(request).wait()
            }
        };
        Ok(Response { form: self.form, response: response? })
    }

    /// As `hangup::Client::get`.
    pub fn get(&self, url: &str, total: Option<Duration>) -> Result<Response, Error> {
        let mut request = Request::new("GET", url)?;
        if total.is_some() {
            request.set_timeout(Timeout::Total, total)?;
        }
        self.send(&mut request)
    }

    /// How it sends.
    pub fn form(&self) -> Form {
        self.form
    }

    /// Another client of the same manager.
    pub fn sibling(&self) -> Self {
        self.form.of(hangup::Client::new(Arc::clone(self.manager())))
    }
}

impl Response {
    /// Reads a piece; 0 is the end.
    pub fn read(&mut self, into: &mut [u8]) -> Result<usize, Error> {
        match self.form {
            Form::Blocking => self.response.read(into),
            Form::Submitted => {
                let piece = block_on(self.response.read_async(into.len()))?;
                into[..piece.len()].copy_from_slice(&piece);
                Ok(piece.len())
            }
        }
    }

    /// Reads the rest, at most `at_most` bytes.
    pub fn read_all(&mut self, at_most: usize) -> Result<Vec<u8>, Error> {
        let mut all = Vec::new();
        while self.form == Form::Submitted && all.len() < at_most {
            let piece = block_on(self.response.read_async(at_most - all.len()))?;
            if piece.is_empty() {
                return Ok(all);
            }
            all.extend(piece);
        }
        // The check that the body is not longer than allowed exists in the blocking form only.
        all.extend(self.response.read_all(at_most - all.len())?);
        Ok(all)
    }

    /// Takes the connection that it hands over.
    pub fn take_stream(&mut self) -> Result<Stream, Error> {
        Ok(Stream { form: self.form, stream: self.response.take_stream()? })
    }

    /// The response of hangup.
    pub fn into_inner(self) -> hangup::Response {
        self.response
    }
}

impl Stream {
    /// Reads at most so many bytes; none are the end.
    pub fn read(&self, at_most: usize) -> Result<Vec<u8>, Error> {
        match self.form {
            Form::Blocking => {
                let mut bytes = vec![0; at_most];
                let got = self.stream.read(&mut bytes)?;
                bytes.truncate(got);
                Ok(bytes)
            }
            Form::Submitted => block_on(self.stream.read_async(at_most)),
        }
    }

    /// Reads exactly so many bytes, fewer at the end.
    pub fn read_exactly(&self, count: usize) -> Result<Vec<u8>, Error> {
        let mut all = Vec::new();
        while all.len() < count {
            let piece = self.read(count - all.len())?;
            if piece.is_empty() {
                break;
            }
            all.extend(piece);
        }
        Ok(all)
    }

    /// Ends the direction of writing.
    pub fn shutdown_write(&self) -> Result<(), Error> {
        match self.form {
            Form::Blocking => self.stream.shutdown_write(),
            Form::Submitted => block_on(self.stream.shutdown_write_async()),
        }
    }

    /// Sends all of the bytes.
    pub fn write_all(&self, bytes: &[u8]) -> Result<(), Error> {
        match self.form {
            Form::Blocking => self.stream.write_all(bytes),
            Form::Submitted => block_on(self.stream.write_async(bytes)),
        }
    }
}

impl Deref for Stream {
    type Target = hangup::Stream;

    fn deref(&self) -> &hangup::Stream {
        &self.stream
    }
}

impl Deref for Client {
    type Target = hangup::Client;

    fn deref(&self) -> &hangup::Client {
        &self.client
    }
}

impl Deref for Response {
    type Target = hangup::Response;

    fn deref(&self) -> &hangup::Response {
        &self.response
    }
}

impl DerefMut for Response {
    fn deref_mut(&mut self) -> &mut hangup::Response {
        &mut self.response
    }
}

/// hangup's client, or one of a [`Form`].
pub trait AnyClient {
    type Response: AnyResponse;

    fn send(&self, request: &mut Request) -> Result<Self::Response, Error>;
    fn get(&self, url: &str, total: Option<Duration>) -> Result<Self::Response, Error>;
    /// The client of hangup.
    fn plain(&self) -> &hangup::Client;
}

/// The response of an [`AnyClient`].
pub trait AnyResponse {
    fn read_all(&mut self, at_most: usize) -> Result<Vec<u8>, Error>;
}

impl AnyClient for Client {
    type Response = Response;

    fn send(&self, request: &mut Request) -> Result<Response, Error> {
        self.send(request)
    }

    fn get(&self, url: &str, total: Option<Duration>) -> Result<Response, Error> {
        self.get(url, total)
    }

    fn plain(&self) -> &hangup::Client {
        self
    }
}

impl AnyClient for hangup::Client {
    type Response = hangup::Response;

    fn send(&self, request: &mut Request) -> Result<hangup::Response, Error> {
        self.send(request)
    }

    fn get(&self, url: &str, total: Option<Duration>) -> Result<hangup::Response, Error> {
        self.get(url, total)
    }

    fn plain(&self) -> &hangup::Client {
        self
    }
}

impl<T: AnyClient> AnyClient for &T {
    type Response = T::Response;

    fn send(&self, request: &mut Request) -> Result<T::Response, Error> {
        (**self).send(request)
    }

    fn get(&self, url: &str, total: Option<Duration>) -> Result<T::Response, Error> {
        (**self).get(url, total)
    }

    fn plain(&self) -> &hangup::Client {
        (**self).plain()
    }
}

impl AnyResponse for Response {
    fn read_all(&mut self, at_most: usize) -> Result<Vec<u8>, Error> {
        self.read_all(at_most)
    }
}

impl AnyResponse for hangup::Response {
    fn read_all(&mut self, at_most: usize) -> Result<Vec<u8>, Error> {
        self.read_all(at_most)
    }
}

/// Waits for a future on this thread.
pub fn block_on<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    let waker = unparking();
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(output) => return output,
            Poll::Pending => thread::park(),
        }
    }
}

/// Wakes this thread when it is parked.
pub fn unparking() -> Waker {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    Waker::from(Arc::new(Unpark(thread::current())))
}
