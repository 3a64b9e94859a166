//! `Events`: what happens to connections, as it happens.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, TryLockError};

use pyo3::prelude::*;

use crate::failure::{Failure, checked, create, text};
use crate::handle::Owned;
use crate::interrupt::{blocking, forks};
use crate::manager::Manager;
use crate::sys::*;

/// A listener. One thread at a time reads; `close`, `lost` and `fileno` are for any thread.
#[pyclass(frozen, subclass, module = "hangup._native")]
pub struct Events {
    /// Taken by `close`; a reader has a share until it is out. Locked with the interpreter lock only, so
    /// that no fork finds it locked.
    listening: Mutex<Option<Listening>>,
    closed: AtomicBool,
    reader: Mutex<()>,
    forks: u64,
}

type Listening = Arc<Owned<hangup_events>>;

/// number, at_ns, what, connection, origin, reason ("": none), phase ("none": none), took_ns (-1: none).
type Row = (u64, i64, String, u64, String, String, String, i64);

#[pymethods]
impl Events {
    #[new]
    fn new(py: Python<'_>, manager: &Manager, capacity: usize) -> PyResult<Self> {
        // SAFETY: a live manager, of which the listener takes a share.
        let begun = create(|out, error| unsafe {
            hangup_manager_events(manager.as_ptr(), capacity, out, error)
        });
        let listening = begun.map_err(|failure| failure.raise(py, None))?;
        Ok(Events {
            listening: Mutex::new(Some(Arc::new(listening))),
            closed: AtomicBool::new(false),
            reader: Mutex::new(()),
            forks: forks(),
        })
    }

    /// The next event; None after `timeout_ms` (-1: never), or when `close` was called meanwhile.
    #[pyo3(name = "_next")]
    fn next(&self, py: Python<'_>, timeout_ms: i64) -> PyResult<Option<Row>> {
        let listening = self.open(py)?;
        let _reader = match self.reader.try_lock() {
            Ok(reader) => reader,
            Err(TryLockError::Poisoned(reader)) => reader.into_inner(),
            Err(TryLockError::WouldBlock) => {
                let busy = "these events are read by another thread right now";
                return Err(Failure::local(HANGUP_INVALID_STATE, busy).raise(py, None));
            }
        };
        // What is there already needs no waiting, and may come by the thousand.
        let next = match read(&listening, 0) {
            Ok(None) if timeout_ms != 0 => blocking(py, || read(&listening, timeout_ms))?,
            at_once => at_once,
        };
        next.map_err(|failure| failure.raise(py, None))
    }

    /// How many events were lost because nobody read them in time, up to the last one that was read.
    #[getter]
    fn lost(&self, py: Python<'_>) -> PyResult<u64> {
        // SAFETY: a live listener; for any thread.
        Ok(unsafe { hangup_events_lost(self.open(py)?.as_ptr()) })
    }

    /// A descriptor that is readable while there is an event to read; for select, selectors and event loops.
    ///
    /// When it is, call `next(0)` until it answers None. Only poll it: it is closed with the listener.
    fn fileno(&self, py: Python<'_>) -> PyResult<i32> {
        // SAFETY: a live listener; for any thread.
        Ok(unsafe { hangup_events_fd(self.open(py)?.as_ptr()) })
    }

    /// Ends the listening. A thread that waits for the next event stops waiting. Twice is once.
    fn close(&self) {
        self.closed.store(true, Ordering::Relaxed);
        let listening = self.listening.lock().unwrap_or_else(PoisonError::into_inner).take();
        // A forked child lets go of its copy; the parent's reader is not to be woken from here.
        if let Some(listening) = listening
            && self.forks == forks()
        {
            // SAFETY: a live listener; for any thread.
            unsafe { hangup_events_close(listening.as_ptr()) };
        }
    }

    /// `close` was called.
    #[getter]
    fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Relaxed)
    }
}

impl Events {
    fn open(&self, py: Python<'_>) -> PyResult<Listening> {
        if self.forks != forks() {
            // Before anything else: a thread of the parent may have been the reader.
            let forked = "these events are of the parent of this process: begin to listen again";
            return Err(Failure::local(HANGUP_FORKED, forked).raise(py, None));
        }
        let listening = self.listening.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let closed = || Failure::local(HANGUP_INVALID_STATE, "these events were closed");
        listening.ok_or_else(|| closed().raise(py, None))
    }
}

/// The next event, or None after so many milliseconds or when the listening was ended.
fn read(listening: &Listening, timeout_ms: i64) -> Result<Option<Row>, Failure> {
    // SAFETY: every field is a number, for which zero is a value.
    let mut e: hangup_event = unsafe { std::mem::zeroed() };
    e.size = size_of_val(&e);
    let events = listening.as_ptr();
    // SAFETY: a live listener and a structure that says its size.
    match checked(unsafe { hangup_events_next(events, timeout_ms, &raw mut e) }) {
        Ok(()) => {}
        Err(failure) if matches!(failure.status(), HANGUP_TIMED_OUT | HANGUP_CLOSED) => {
            return Ok(None);
        }
        Err(failure) => return Err(failure),
    }
    // SAFETY: static texts; the origin is lent until the next event is read, which only this thread does.
    let [what, origin, reason, phase] = unsafe {
        let reason = match e.reason {
            0 => c"".as_ptr(),
            reason => hangup_close_reason_text(reason),
        };
        let (what, phase) = (hangup_event_type_text(e.what), hangup_phase_text(e.phase));
        [what, hangup_events_origin(events), reason, phase].map(|lent| text(lent).into_owned())
    };
    Ok(Some((e.number, e.at_ns, what, e.connection, origin, reason, phase, e.took_ns)))
}
