//! Names that Python looks up: a callable in place of getaddrinfo(3).
//!
//! The library calls [`look_up`] on threads of its own, several at once, and [`end`] once when the callable
//! is needed no more. The interpreter lock is held only while the callable runs.

use std::ffi::{CString, c_char, c_void};
use std::panic::{AssertUnwindSafe, catch_unwind};

use pyo3::exceptions::{PyOSError, PyValueError};
use pyo3::prelude::*;

use crate::below;
use crate::failure::{call, checked, text};
use crate::manager::Manager;
use crate::sys::*;

/// Has the manager's names looked up by `resolver`, which takes a name and answers a list of addresses
/// as text; None is getaddrinfo again.
#[pyfunction]
pub fn set_resolver(
    py: Python<'_>,
    manager: &Manager,
    resolver: Option<Py<PyAny>>,
) -> PyResult<()> {
    let look_up: hangup_resolve_fn = resolver.is_some().then_some(look_up as _);
    let end: hangup_resolve_end_fn = resolver.is_some().then_some(end as _);
    let data = resolver.map_or(0, |resolver| Box::into_raw(Box::new(resolver)) as usize);
    let handle = manager.handle();
    // Without the lock: the one before may end on a thread that needs it.
    py.detach(|| {
        // SAFETY: a live manager; `end` takes the box back, also when this fails.
        call(|error| unsafe {
            let data = data as *mut c_void;
            hangup_manager_set_resolver(handle.as_ptr(), look_up, end, data, error)
        })
    })
    .map_err(|failure| failure.raise(py, None))
}

/// # Safety
/// `resolver` comes from `Box::into_raw` and has not been ended; `host` is NUL-terminated, and `addresses`
/// is live. That is what the library promises.
unsafe extern "C" fn look_up(
    resolver: *mut c_void,
    host: *const c_char,
    addresses: *mut hangup_addresses,
) -> i32 {
    // SAFETY: as for the caller.
    let (resolver, host) = unsafe { (&*resolver.cast::<Py<PyAny>>(), text(host)) };
    // A panic must not unwind into C.
    let answer = catch_unwind(AssertUnwindSafe(|| {
        Python::try_attach(|py| match ask(py, resolver, &host, addresses) {
            Ok(()) => 0,
            // Not found, in Python's words: socket.gaierror and its like.
            Err(raised) if raised.is_instance_of::<PyOSError>(py) => {
                let number = raised.value(py).getattr("errno").and_then(|errno| errno.extract());
                number.ok().filter(|number| *number != 0).unwrap_or(FAILED)
            }
            Err(raised) => {
                below::tell(py, raised, resolver);
                FAILED
            }
        })
    }));
    answer.ok().flatten().unwrap_or(FAILED)
}

fn ask(
    py: Python<'_>,
    resolver: &Py<PyAny>,
    host: &str,
    addresses: *mut hangup_addresses,
) -> PyResult<()> {
    for address in below::call(py, resolver, (host,))?.extract::<Vec<String>>()? {
        let refused = || PyValueError::new_err(format!("{address:?} is no IP address"));
        let text = CString::new(address.as_bytes()).map_err(|_| refused())?;
        // SAFETY: live addresses, NUL-terminated text.
        checked(unsafe { hangup_addresses_add(addresses, text.as_ptr()) })
            .map_err(|_| refused())?;
    }
    Ok(())
}

/// # Safety
/// `resolver` comes from `Box::into_raw` and is not used afterwards.
unsafe extern "C" fn end(resolver: *mut c_void) {
    // SAFETY: as for the caller.
    let resolver = *unsafe { Box::from_raw(resolver.cast::<Py<PyAny>>()) };
    // With the lock, so that the callable is let go of now and not at some later moment.
    let _ = Python::try_attach(|py| below::let_go(py, resolver));
}

/// The answer of a lookup that has no number of its own.
const FAILED: i32 = 1;
