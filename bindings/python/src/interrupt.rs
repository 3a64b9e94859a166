//! Waiting without the interpreter lock, and being woken by a signal: Ctrl-C in a blocked call.
//!
//! Python runs signal handlers on the main thread only, and only when that thread asks. So the main
//! thread tells the library to ask [`check`] while it waits: at once when poll(2) was interrupted, and
//! every [`TICK_MS`] for signals that the kernel delivered to another thread. What a handler raises is
//! kept until the call is back, and is then raised from there, in place of the library's own error.

use std::cell::{Cell, RefCell};
use std::ffi::c_void;
use std::ptr::null_mut;
use std::sync::atomic::{AtomicU64, Ordering};

use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::sys;

const TICK_MS: i64 = 100;

/// Counts forks: in a child the thread that forked is the main one, whatever it was before.
static FORKS: AtomicU64 = AtomicU64::new(1);

thread_local! {
    /// The value of [`FORKS`] for which this thread knows whether it is the main one.
    static KNOWN: Cell<u64> = const { Cell::new(0) };
    static RAISED: RefCell<Option<PyErr>> = const { RefCell::new(None) };
}

/// Called once, when the module is imported first.
pub fn begin(py: Python<'_>) -> PyResult<()> {
    let after_fork = wrap_pyfunction!(forked, py)?;
    let hooks = PyDict::new(py);
    hooks.set_item("after_in_child", after_fork)?;
    py.import("os")?.call_method("register_at_fork", (), Some(&hooks))?;
    Ok(())
}

/// Runs what may block, without the interpreter lock. An exception that a signal handler raised
/// meanwhile comes before whatever `wait` answered, which is dropped.
pub fn blocking<T: Send>(py: Python<'_>, wait: impl FnOnce() -> T + Send) -> PyResult<T> {
    watch(py)?;
    let answer = py.detach(wait);
    match RAISED.with(RefCell::take) {
        None => Ok(answer),
        Some(raised) => Err(raised),
    }
}

/// How many forks there were between the import and this process: equal numbers, same process.
pub fn forks() -> u64 {
    FORKS.load(Ordering::Relaxed)
}

#[pyfunction]
fn forked() {
    FORKS.fetch_add(1, Ordering::Relaxed);
}

/// Registers the check for this thread if it is the main one; looks only once per thread and process.
fn watch(py: Python<'_>) -> PyResult<()> {
    let forks = forks();
    if KNOWN.get() == forks {
        return Ok(());
    }
    let threading = py.import("threading")?;
    let this: u64 = threading.call_method0("get_ident")?.extract()?;
    let main: u64 = threading.call_method0("main_thread")?.getattr("ident")?.extract()?;
    if this == main {
        // SAFETY: `check` needs no data and is a static function.
        unsafe { sys::hangup_set_interrupt_check(Some(check), null_mut(), TICK_MS) };
    }
    KNOWN.set(forks);
    Ok(())
}

/// Asked by the library on the blocked thread, which does not hold the interpreter lock.
unsafe extern "C" fn check(_: *mut c_void) -> i32 {
    // No interpreter any more: nobody is left to raise to.
    let signals = Python::try_attach(|py| py.check_signals());
    match signals {
        None | Some(Ok(())) => 0,
        Some(Err(raised)) => {
            RAISED.with(|place| place.replace(Some(raised)));
            1
        }
    }
}
