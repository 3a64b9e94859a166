//! Blocking calls without the interpreter lock, and their interruption by a signal (Ctrl-C).
//!
//! Python runs signal handlers on the main thread only, and only when that thread calls
//! `PyErr_CheckSignals`. So the library calls [`check`] on the main thread while it waits: at once when
//! poll(2) was interrupted, and every [`TICK_MS`] for signals that the kernel delivered to another thread.
//! The exception of a handler is kept until the blocking call returns, and replaces the library's error.

use std::cell::{Cell, RefCell};
use std::ffi::c_void;
use std::ptr::null_mut;
use std::sync::atomic::{AtomicU64, Ordering};

use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::sys;

const TICK_MS: i64 = 100;

/// Counts forks: in a child the thread that called fork is the main thread.
static FORKS: AtomicU64 = AtomicU64::new(1);

thread_local! {
    /// The value of [`FORKS`] when this thread last checked whether it is the main one.
    static CHECKED_AT: Cell<u64> = const { Cell::new(0) };
    /// The exception of a signal handler, until the blocking call returns.
    static RAISED: RefCell<Option<PyErr>> = const { RefCell::new(None) };
}

/// Registers the hook that counts forks. Called once, at the first import of the module.
pub fn register_fork_hook(py: Python<'_>) -> PyResult<()> {
    let after_fork = wrap_pyfunction!(forked, py)?;
    let hooks = PyDict::new(py);
    hooks.set_item("after_in_child", after_fork)?;
    py.import("os")?.call_method("register_at_fork", (), Some(&hooks))?;
    Ok(())
}

/// Runs `wait` without the interpreter lock. If a signal handler raised an exception meanwhile, returns that
/// exception and drops the result of `wait`.
pub fn blocking<T: Send>(py: Python<'_>, wait: impl FnOnce() -> T + Send) -> PyResult<T> {
    register_check(py)?;
    let result = py.detach(wait);
    match RAISED.with(RefCell::take) {
        None => Ok(result),
        Some(raised) => Err(raised),
    }
}

/// The number of forks between the import and this process. Equal numbers mean the same process.
pub fn forks() -> u64 {
    FORKS.load(Ordering::Relaxed)
}

#[pyfunction]
fn forked() {
    FORKS.fetch_add(1, Ordering::Relaxed);
}

/// Registers [`check`] for this thread if it is the main one; does the work once per thread and process.
fn register_check(py: Python<'_>) -> PyResult<()> {
    let forks = forks();
    if CHECKED_AT.get() == forks {
        return Ok(());
    }
    let threading = py.import("threading")?;
    let this: u64 = threading.call_method0("get_ident")?.extract()?;
    let main: u64 = threading.call_method0("main_thread")?.getattr("ident")?.extract()?;
    if this == main {
        // SAFETY: `check` needs no data and is a static function.
        unsafe { sys::hangup_set_interrupt_check(Some(check), null_mut(), TICK_MS) };
    }
    CHECKED_AT.set(forks);
    Ok(())
}

/// Called by the library on the blocked thread, without the interpreter lock. Returns 1 to end the call.
unsafe extern "C" fn check(_: *mut c_void) -> i32 {
    // `None`: the interpreter has ended, so there is no caller that could catch an exception.
    let signals = Python::try_attach(|py| py.check_signals());
    match signals {
        None | Some(Ok(())) => 0,
        Some(Err(raised)) => {
            RAISED.with(|slot| slot.replace(Some(raised)));
            1
        }
    }
}
