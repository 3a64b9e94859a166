//! `Events`: a subscription to the events of a manager.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, TryLockError};

use pyo3::prelude::*;

use crate::failure::{Failure, OrRaise, checked, create, text};
use crate::handle::Owned;
use crate::interrupt::{blocking, forks};
use crate::manager::Manager;
use crate::sys::*;

/// A subscription. Threads: one at a time reads; `close`, `lost` and `fileno` may be called from any thread.
#[pyclass(frozen, subclass, module = "hangup._native")]
pub struct Events {
    /// `None` after `close`; a reader has its own share until it returns. Locked only while the interpreter
    /// lock is held, so that it is never locked during a fork.
    subscription: Mutex<Option<Subscription>>,
    closed: AtomicBool,
    reader: Mutex<()>,
    forks: u64,
}

type Subscription = Arc<Owned<hangup_events>>;

/// number, at_ns, type, connection, origin, reason ("": none), phase ("none": none), took_ns (-1: none).
type Row = (u64, i64, String, u64, String, String, String, i64, String, i64);

#[pymethods]
impl Events {
    #[new]
    fn new(py: Python<'_>, manager: &Manager, capacity: usize) -> PyResult<Self> {
        // SAFETY: a live manager, of which the subscription takes a share.
        let subscription = create(|out, error| unsafe {
            hangup_manager_events(manager.as_ptr(), capacity, out, error)
        });
        let subscription = Mutex::new(Some(Arc::new(subscription.or_raise(py)?)));
        Ok(Events {
            subscription,
            closed: AtomicBool::new(false),
            reader: Mutex::new(()),
            forks: forks(),
        })
    }

    /// The next event; None after `timeout_ms` milliseconds (-1: no timeout), or if `close` was called
    /// meanwhile.
    #[pyo3(name = "_next")]
    fn next(&self, py: Python<'_>, timeout_ms: i64) -> PyResult<Option<Row>> {
        let subscription = self.open(py)?;
        let _reader = match self.reader.try_lock() {
            Ok(reader) => reader,
            Err(TryLockError::Poisoned(reader)) => reader.into_inner(),
            Err(TryLockError::WouldBlock) => {
                let busy = "these events are read by another thread right now";
                return Err(Failure::local(HANGUP_INVALID_STATE, busy).raise(py, None));
            }
        };
        // An event that is there is read without releasing the interpreter lock: there may be thousands.
        let next = match read(&subscription, 0) {
            Ok(None) if timeout_ms != 0 => blocking(py, || read(&subscription, timeout_ms))?,
            ready => ready,
        };
        next.or_raise(py)
    }

    /// The number of events before the last one read that were dropped because the buffer was full.
    #[getter]
    fn lost(&self, py: Python<'_>) -> PyResult<u64> {
        // SAFETY: a live subscription; the call is legal on any thread.
        Ok(unsafe { hangup_events_lost(self.open(py)?.as_ptr()) })
    }

    /// A file descriptor that is readable while there is an event to read; for select, selectors and event
    /// loops.
    ///
    /// When it is, call `next(0)` until that returns None. Only poll it: `close` closes it.
    fn fileno(&self, py: Python<'_>) -> PyResult<i32> {
        // SAFETY: a live subscription; the call is legal on any thread.
        Ok(unsafe { hangup_events_fd(self.open(py)?.as_ptr()) })
    }

    /// Ends the subscription. A thread that waits in `next` returns None. Does nothing the second time.
    fn close(&self) {
        self.closed.store(true, Ordering::Relaxed);
        let subscription = self.subscription.lock().unwrap_or_else(PoisonError::into_inner).take();
        // In a forked child the copy is only dropped: closing it would wake the parent's reader.
        if let Some(subscription) = subscription
            && self.forks == forks()
        {
            // SAFETY: a live subscription; the call is legal on any thread.
            unsafe { hangup_events_close(subscription.as_ptr()) };
        }
    }

    /// Whether `close` was called.
    #[getter]
    fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Relaxed)
    }
}

impl Events {
    fn open(&self, py: Python<'_>) -> PyResult<Subscription> {
        if self.forks != forks() {
            // Checked first: after a fork the reader's lock may be held by a thread of the parent.
            let forked = "these events belong to the parent process: call manager.events() again";
            return Err(Failure::local(HANGUP_FORKED, forked).raise(py, None));
        }
        let subscription = self.subscription.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let closed = || Failure::local(HANGUP_INVALID_STATE, "these events were closed");
        subscription.ok_or_else(|| closed().raise(py, None))
    }
}

/// The next event, or None after `timeout_ms` milliseconds or after `close`.
fn read(subscription: &Subscription, timeout_ms: i64) -> Result<Option<Row>, Failure> {
    // SAFETY: every field is a number, for which zero is a value.
    let mut e: hangup_event = unsafe { std::mem::zeroed() };
    e.size = size_of_val(&e);
    let events = subscription.as_ptr();
    // SAFETY: a live subscription and a structure with its size set.
    match checked(unsafe { hangup_events_next(events, timeout_ms, &raw mut e) }) {
        Ok(()) => {}
        Err(failure) if matches!(failure.status(), HANGUP_TIMED_OUT | HANGUP_CLOSED) => {
            return Ok(None);
        }
        Err(failure) => return Err(failure),
    }
    // SAFETY: static texts; the origin is borrowed until the next event is read, and the reader's lock keeps
    // other threads from reading.
    let [what, origin, reason, phase, retry_reason] = unsafe {
        let reason = match e.reason {
            0 => c"".as_ptr(),
            reason => hangup_close_reason_text(reason),
        };
        let (what, phase) = (hangup_event_type_text(e.r#type), hangup_phase_text(e.phase));
        let retry_reason = match e.retry_reason {
            0 => c"".as_ptr(),
            reason => hangup_retry_reason_text(reason),
        };
        [what, hangup_events_origin(events), reason, phase, retry_reason]
            .map(|borrowed| text(borrowed).into_owned())
    };
    Ok(Some((
        e.number,
        e.at_ns,
        what,
        e.connection,
        origin,
        reason,
        phase,
        e.took_ns,
        retry_reason,
        e.delay_ns,
    )))
}
