//! `Port`: where the answers of submitted work arrive; one for each event loop.
//!
//! The loop watches the queue's descriptor and calls `drain` when it is readable, which sets all futures
//! in one go. Nothing here waits, so the interpreter lock is kept. Only the loop's own thread calls a port;
//! the lock is for builds of Python that have no other.

use std::mem::zeroed;
use std::ptr::null;
use std::sync::{Mutex, MutexGuard, PoisonError};

use pyo3::exceptions::{PyException, PyRuntimeError};
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::failure::{Failure, call, checked};
use crate::handle::Owned;
use crate::interrupt::forks;
use crate::response::{Response, bytes};
use crate::sys::*;
use crate::waiting::{Table, Waiting, Work};

/// A completion queue, and who waits for what it brings. It ends with its last owner, and what is still
/// under way is cancelled then.
#[pyclass(frozen, weakref, module = "hangup._native")]
pub struct Port {
    queue: Owned<hangup_queue>,
    table: Mutex<Table>,
    /// Called once when nothing is under way any more.
    at_rest: Mutex<Option<Py<PyAny>>>,
    forks: u64,
}

#[pymethods]
impl Port {
    #[new]
    fn new(py: Python<'_>) -> PyResult<Self> {
        // SAFETY: no arguments.
        let queue = Owned::new(unsafe { hangup_queue_new() });
        let none = || Failure::local(HANGUP_SYSTEM, "there is no descriptor left for a queue");
        Ok(Port {
            queue: queue.ok_or_else(|| none().raise(py, None))?,
            table: Mutex::default(),
            at_rest: Mutex::default(),
            forks: forks(),
        })
    }

    /// A descriptor that is readable while there is something to drain.
    fn fileno(&self) -> i32 {
        // SAFETY: a live queue.
        unsafe { hangup_queue_fd(self.queue.as_ptr()) }
    }

    /// Hands out whatever has come.
    fn drain(&self, py: Python<'_>) -> PyResult<()> {
        // SAFETY: every field is a number or a pointer, for which zero is a value.
        let mut done: hangup_completion = unsafe { zeroed() };
        done.size = size_of_val(&done);
        loop {
            // SAFETY: a live queue, and a structure that says its size.
            match unsafe { hangup_queue_next(self.queue.as_ptr(), 0, &raw mut done) } {
                HANGUP_OK => {}
                HANGUP_TIMED_OUT => break,
                status => checked(status).map_err(|failure| failure.raise(py, None))?,
            }
            let waiting = self.table().take(done.tag);
            // Owned here in any case: what nobody waits for is freed.
            let response = Owned::new(done.response);
            let failure = (done.status != HANGUP_OK)
                .then(|| Failure::told(done.status, Owned::new(done.error)));
            let Some(Waiting { future, work }) = waiting else { continue };
            let answer = match work {
                Work::Read(of) => of.get().was_read(py, failure, || {
                    // SAFETY: lent until the next completion is taken, which is after this.
                    PyBytes::new(py, unsafe { bytes(done.data, done.data_size) })
                }),
                Work::Exchange { raised, asked: (method, url), whole, .. } => {
                    let (method, url) = (method.bind(py), url.bind(py));
                    match (raised.and_then(|raised| raised.take()), failure, response) {
                        (Some(raised), ..) => Err(raised),
                        (None, None, Some(response)) => {
                            let response = Response::new(response, method, url, whole);
                            Bound::new(py, response).map(Bound::into_any)
                        }
                        (None, Some(failure), _) => {
                            // An exception costs: none is made for nobody.
                            if future.is_none() {
                                continue;
                            }
                            Err(failure.raise(py, Some((method, url))))
                        }
                        (None, None, None) => {
                            let none = Failure::local(HANGUP_PANIC, "the library gave no response");
                            Err(none.raise(py, Some((method, url))))
                        }
                    }
                }
            };
            if let Some(future) = future {
                settle(future.bind(py), answer)?;
            }
        }
        self.rest(py)
    }

    /// Nobody waits for this tag any more: an exchange is cancelled. A tag that is over does nothing.
    fn abandon(&self, tag: u64) {
        let mut table = self.table();
        let Some(waiting) = table.get(tag) else { return };
        let future = waiting.future.take();
        if let Work::Exchange { token, .. } = &waiting.work {
            // SAFETY: a live token; no reason.
            unsafe { hangup_cancel_fire(token.as_ptr(), null()) };
        }
        drop(table);
        drop(future);
    }

    /// Calls `callable` as soon as nothing is under way; None: never.
    fn call_at_rest(&self, py: Python<'_>, callable: Option<Py<PyAny>>) -> PyResult<()> {
        let before = {
            let mut at_rest = self.at_rest.lock().unwrap_or_else(PoisonError::into_inner);
            std::mem::replace(&mut *at_rest, callable)
        };
        drop(before);
        self.rest(py)
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        if let Ok(table) = self.table.try_lock() {
            for waiting in table.all() {
                visit.call(&waiting.future)?;
            }
        }
        if let Ok(at_rest) = self.at_rest.try_lock() {
            visit.call(&*at_rest)?;
        }
        Ok(())
    }
}

impl Port {
    /// Submits, and answers the tag under which `waiting` will be found.
    pub fn submit(
        &self,
        waiting: Waiting,
        submit: impl FnOnce(*mut hangup_queue, u64) -> Result<(), Failure>,
    ) -> Result<u64, Failure> {
        if self.forks != forks() {
            let forked = "this event loop is of the parent of this process: begin a new one";
            return Err(Failure::local(HANGUP_FORKED, forked));
        }
        let tag = self.table().put(waiting);
        submit(self.queue.as_ptr(), tag).map(|()| tag).inspect_err(|_| {
            let back = self.table().take(tag);
            drop(back);
        })
    }

    fn rest(&self, py: Python<'_>) -> PyResult<()> {
        if !self.table().is_empty() {
            return Ok(());
        }
        let called = self.at_rest.lock().unwrap_or_else(PoisonError::into_inner).take();
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
        // What a forked child has is a copy: the exchanges are the parent's.
        if self.forks != forks() {
            return;
        }
        for waiting in self.table().all() {
            if let Work::Exchange { token, .. } = &waiting.work {
                // SAFETY: a live token; no reason.
                unsafe { hangup_cancel_fire(token.as_ptr(), null()) };
            }
        }
        // SAFETY: a live queue.
        unsafe { hangup_queue_close(self.queue.as_ptr()) };
    }
}

/// How many threads of the library do what is submitted.
#[pyfunction]
pub fn io_threads(py: Python<'_>, count: usize) -> PyResult<()> {
    // SAFETY: a number.
    call(|error| unsafe { hangup_set_io_threads(count, error) })
        .map_err(|failure| failure.raise(py, None))
}

/// Sets a future's result or exception, unless it was cancelled meanwhile.
fn settle(future: &Bound<'_, PyAny>, answer: PyResult<Bound<'_, PyAny>>) -> PyResult<()> {
    let py = future.py();
    let set = match answer {
        Ok(value) => future.call_method1(intern!(py, "set_result"), (value,)),
        Err(raised) => future.call_method1(intern!(py, "set_exception"), (raised.into_value(py),)),
    };
    let Err(refused) = set else { return Ok(()) };
    if !refused.is_instance_of::<PyException>(py) {
        return Err(refused); // Ctrl-C, in the middle of that
    }
    if future.call_method0(intern!(py, "done"))?.is_truthy()? {
        return Ok(());
    }
    // A StopIteration, which can't be set: a body raised it.
    let instead = PyRuntimeError::new_err("a request's body raised StopIteration");
    instead.set_cause(py, Some(refused));
    future.call_method1(intern!(py, "set_exception"), (instead.into_value(py),)).map(drop)
}
