//! `Port`: the completion queue of one event loop, and the futures that wait for its completions.
//!
//! The loop watches the queue's descriptor and calls `drain` when it is readable, which does the work that is
//! ready and sets the futures of all completions. Nothing here blocks. Only the loop's thread calls a
//! port; the mutex is for builds of Python without an interpreter lock.

use std::mem::zeroed;
use std::ptr::null;
use std::sync::{Mutex, MutexGuard, PoisonError};

use pyo3::exceptions::{PyException, PyRuntimeError};
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::failure::{Failure, OrRaise, call, checked};
use crate::handle::Owned;
use crate::interrupt::forks;
use crate::pending::{Pending, PendingKind, Table};
use crate::response::{Response, bytes};
use crate::sys::*;

/// A completion queue and its pending work. The work that is still pending when the last reference is dropped
/// is cancelled.
#[pyclass(frozen, weakref, module = "hangup._native")]
pub struct Port {
    queue: Owned<hangup_queue>,
    table: Mutex<Table>,
    /// Called once, as soon as no work is pending.
    on_idle: Mutex<Option<Py<PyAny>>>,
    fd: i32,
    /// The loop does the work of the queue when it drains it.
    drives: bool,
    forks: u64,
}

#[pymethods]
impl Port {
    #[new]
    fn new(py: Python<'_>) -> PyResult<Self> {
        // SAFETY: no arguments.
        let queue = Owned::new(unsafe { hangup_queue_new() });
        let none = || Failure::local(HANGUP_SYSTEM, "there is no descriptor left for a queue");
        let queue = queue.ok_or_else(|| none().raise(py, None))?;
        // SAFETY: a live queue.
        let driven = unsafe { hangup_queue_drive_fd(queue.as_ptr()) };
        let drives = driven >= 0;
        if drives {
            // A request that is alone is sent in the call that submits it: the loop need not turn for it.
            // SAFETY: a live queue.
            call(|error| unsafe { hangup_queue_set_caller_runs(queue.as_ptr(), 1, error) })
                .or_raise(py)?;
        }
        // Without a descriptor or a thread for that, threads of the library do the work.
        // SAFETY: a live queue.
        let fd = if drives { driven } else { unsafe { hangup_queue_fd(queue.as_ptr()) } };
        Ok(Port {
            queue,
            fd,
            drives,
            table: Mutex::default(),
            on_idle: Mutex::default(),
            forks: forks(),
        })
    }

    /// A file descriptor that is readable while there is work to do, or completions to take.
    fn fileno(&self) -> i32 {
        self.fd
    }

    /// Does the work that is ready.
    fn drive(&self, py: Python<'_>) -> PyResult<()> {
        if !self.drives {
            return Ok(());
        }
        let queue = &self.queue;
        // Without the interpreter lock: the work may need a lock that a thread holds which waits for the interpreter.
        // SAFETY: a live queue.
        py.detach(|| checked(unsafe { hangup_queue_drive(queue.as_ptr()) })).or_raise(py)
    }

    /// Does the work that is ready, takes the completions that have arrived and sets their futures.
    fn drain(&self, py: Python<'_>) -> PyResult<()> {
        self.drive(py)?;
        // SAFETY: every field is a number or a pointer, for which zero is a value.
        let mut completion: hangup_completion = unsafe { zeroed() };
        completion.size = size_of_val(&completion);
        loop {
            // SAFETY: a live queue, and a structure with its size set.
            match unsafe { hangup_queue_next(self.queue.as_ptr(), 0, &raw mut completion) } {
                HANGUP_OK => self.complete(py, &completion)?,
                HANGUP_TIMED_OUT => break,
                status => checked(status).or_raise(py)?,
            }
        }
        self.notify_if_idle(py)
    }

    /// Drops the future of a tag and cancels its exchange. Does nothing for a tag whose completion was taken.
    fn forget(&self, tag: u64) {
        let mut table = self.table();
        let Some(pending) = table.get_mut(tag) else { return };
        let future = pending.future.take();
        if let PendingKind::Exchange { token, .. } = &pending.kind {
            // SAFETY: a live token; no reason.
            unsafe { hangup_cancel_fire(token.as_ptr(), null()) };
        }
        drop(table);
        drop(future);
    }

    /// Calls `callable` once, as soon as no work is pending; None removes a callable that was set before.
    fn on_idle(&self, py: Python<'_>, callable: Option<Py<PyAny>>) -> PyResult<()> {
        let previous = {
            let mut on_idle = self.on_idle.lock().unwrap_or_else(PoisonError::into_inner);
            std::mem::replace(&mut *on_idle, callable)
        };
        // Dropped without the mutex: it may run a finalizer.
        drop(previous);
        self.notify_if_idle(py)
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        if let Ok(table) = self.table.try_lock() {
            for pending in table.iter() {
                visit.call(&pending.future)?;
            }
        }
        if let Ok(on_idle) = self.on_idle.try_lock() {
            visit.call(&*on_idle)?;
        }
        Ok(())
    }
}

impl Port {
    /// Submits work and returns its tag.
    pub fn submit(
        &self,
        pending: Pending,
        submit: impl FnOnce(*mut hangup_queue, u64) -> Result<(), Failure>,
    ) -> Result<u64, Failure> {
        if self.forks != forks() {
            let forked = "this event loop belongs to the parent process: begin a new one";
            return Err(Failure::local(HANGUP_FORKED, forked));
        }
        let tag = self.table().insert(pending);
        let begin = WithoutLock(|| submit(self.queue.as_ptr(), tag));
        // As in `drive`: the call may begin the work.
        let submitted = Python::attach(|py| py.detach(move || begin.call()));
        submitted.map(|()| tag).inspect_err(|_| {
            // In two statements: the future is dropped without the mutex, as it may run a finalizer.
            let refused = self.table().remove(tag);
            drop(refused);
        })
    }

    /// Sets the future of one completion.
    fn complete(&self, py: Python<'_>, completion: &hangup_completion) -> PyResult<()> {
        let pending = self.table().remove(completion.tag);
        // Owned before anything returns, so that both are freed in any case.
        let response = Owned::new(completion.response);
        let error = Owned::new(completion.error);
        let failure =
            (completion.status != HANGUP_OK).then(|| Failure::completion(completion.status, error));
        let Some(Pending { future, kind }) = pending else { return Ok(()) };
        let result = match kind {
            PendingKind::Read(of) => of.get().finish_read(py, failure, || {
                // SAFETY: the data is borrowed until the next completion is taken, which is after this.
                PyBytes::new(py, unsafe { bytes(completion.data, completion.data_size) })
            }),
            PendingKind::StreamRead(of) => of.get().finish(py, failure, || {
                // SAFETY: as above.
                let piece = unsafe { bytes(completion.data, completion.data_size) };
                PyBytes::new(py, piece).into_any()
            }),
            PendingKind::StreamWrite(of) => {
                of.get().finish(py, failure, || py.None().into_bound(py))
            }
            PendingKind::UploadWrite(of) => {
                of.get().finished(py, failure).map(|()| py.None().into_bound(py))
            }
            PendingKind::Exchange { body_exception, request: (method, url), buffered, .. } => {
                let (method, url) = (method.bind(py), url.bind(py));
                match (body_exception.and_then(|exception| exception.take()), failure, response) {
                    (Some(raised), ..) => Err(raised),
                    (None, None, Some(response)) => {
                        let buffered = buffered && !is_unread(completion);
                        let response = Response::new(response, method, url, buffered);
                        Bound::new(py, response).map(Bound::into_any)
                    }
                    // Without a future the exception, which is expensive, is not made.
                    (None, Some(_), _) if future.is_none() => return Ok(()),
                    (None, Some(failure), _) => Err(failure.raise(py, Some((method, url)))),
                    (None, None, None) => {
                        let none = Failure::local(HANGUP_PANIC, "the library returned no response");
                        Err(none.raise(py, Some((method, url))))
                    }
                }
            }
        };
        match future {
            Some(future) => set_future(future.bind(py), result),
            None => Ok(()),
        }
    }

    fn notify_if_idle(&self, py: Python<'_>) -> PyResult<()> {
        if !self.table().is_empty() {
            return Ok(());
        }
        let called = self.on_idle.lock().unwrap_or_else(PoisonError::into_inner).take();
        match called {
            Some(callable) => callable.call0(py).map(drop),
            None => Ok(()),
        }
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Port {
    fn drop(&mut self) {
        // In a forked child this is a copy; the exchanges belong to the parent.
        if self.forks != forks() {
            return;
        }
        for pending in self.table().iter() {
            if let PendingKind::Exchange { token, .. } = &pending.kind {
                // SAFETY: a live token; no reason.
                unsafe { hangup_cancel_fire(token.as_ptr(), null()) };
            }
        }
        // SAFETY: a live queue.
        unsafe { hangup_queue_close(self.queue.as_ptr()) };
    }
}

/// A call of the library, to be made without the interpreter lock on the thread that has made it.
struct WithoutLock<F>(F);

// SAFETY: it stays on its thread. It uses no Python object, but handles, which live as long as the caller's borrows of their
// owners, and copies of numbers.
unsafe impl<F> Send for WithoutLock<F> {}

impl<T, F: FnOnce() -> T> WithoutLock<F> {
    fn call(self) -> T {
        (self.0)()
    }
}

/// Whether a body that was to be buffered is so large that it is left to be read.
fn is_unread(completion: &hangup_completion) -> bool {
    // SAFETY: the live response of this completion.
    completion.data.is_null() && unsafe { hangup_response_left(completion.response) } > 0
}

/// Sets how many I/O threads of the library run submitted requests.
#[pyfunction]
pub fn set_io_threads(py: Python<'_>, count: usize) -> PyResult<()> {
    // SAFETY: a number.
    call(|error| unsafe { hangup_set_io_threads(count, error) }).or_raise(py)
}

/// Sets a future's result or exception, unless it was cancelled meanwhile.
fn set_future(future: &Bound<'_, PyAny>, result: PyResult<Bound<'_, PyAny>>) -> PyResult<()> {
    let py = future.py();
    let set = match result {
        Ok(value) => future.call_method1(intern!(py, "set_result"), (value,)),
        Err(raised) => future.call_method1(intern!(py, "set_exception"), (raised.into_value(py),)),
    };
    let Err(refused) = set else { return Ok(()) };
    if !refused.is_instance_of::<PyException>(py) {
        return Err(refused); // KeyboardInterrupt during the call
    }
    if future.call_method0(intern!(py, "done"))?.is_truthy()? {
        return Ok(());
    }
    // A future refuses StopIteration, which a request's body may raise.
    let instead = PyRuntimeError::new_err("a request's body raised StopIteration");
    instead.set_cause(py, Some(refused));
    future.call_method1(intern!(py, "set_exception"), (instead.into_value(py),)).map(drop)
}
