//! Name resolution by a Python callable in place of getaddrinfo(3).
//!
//! The library calls [`resolve`] on its own threads, several at a time, and [`end`] once, after the last
//! lookup. The interpreter lock is held only while the callable runs.

use std::ffi::{CString, c_char, c_void};
use std::panic::{AssertUnwindSafe, catch_unwind};

use pyo3::exceptions::{PyOSError, PyValueError};
use pyo3::prelude::*;

use crate::callback;
use crate::failure::{OrRaise, call, checked, text};
use crate::manager::Manager;
use crate::sys::*;

/// Sets the resolver of a manager: `resolver` takes a host name and returns a list of IP addresses as text,
/// and for how many milliseconds they may be cached: -1 without limit, None for the default. None restores getaddrinfo.
#[pyfunction]
pub fn set_resolver(
    py: Python<'_>,
    manager: &Manager,
    resolver: Option<Py<PyAny>>,
) -> PyResult<()> {
    let resolve: hangup_resolve_fn = resolver.is_some().then_some(resolve as _);
    let end: hangup_resolve_end_fn = resolver.is_some().then_some(end as _);
    let data = resolver.map_or(0, |resolver| Box::into_raw(Box::new(resolver)) as usize);
    let handle = manager.handle();
    // Without the interpreter lock: the library may call `end` for the previous resolver on another thread.
    py.detach(|| {
        // SAFETY: a live manager; `end` takes the box back, also when this fails.
        call(|error| unsafe {
            let data = data as *mut c_void;
            hangup_manager_set_resolver(handle.as_ptr(), resolve, end, data, error)
        })
    })
    .or_raise(py)
}

/// # Safety
/// `resolver` comes from `Box::into_raw`, and `end` was not called for it; `host` is NUL-terminated, and
/// `addresses` is live. The header promises this for every resolver.
unsafe extern "C" fn resolve(
    resolver: *mut c_void,
    host: *const c_char,
    addresses: *mut hangup_addresses,
) -> i32 {
    // SAFETY: by this function's contract.
    let (resolver, host) = unsafe { (&*resolver.cast::<Py<PyAny>>(), text(host)) };
    // A panic must not unwind into C.
    let code = catch_unwind(AssertUnwindSafe(|| {
        Python::try_attach(|py| match call_resolver(py, resolver, &host, addresses) {
            Ok(()) => 0,
            // OSError and its subclass socket.gaierror mean that the name was not found.
            Err(raised) if raised.is_instance_of::<PyOSError>(py) => {
                let number = raised.value(py).getattr("errno").and_then(|errno| errno.extract());
                number.ok().filter(|number| *number != 0).unwrap_or(FAILED)
            }
            Err(raised) => {
                callback::write_unraisable(py, raised, resolver);
                FAILED
            }
        })
    }));
    code.ok().flatten().unwrap_or(FAILED)
}

fn call_resolver(
    py: Python<'_>,
    resolver: &Py<PyAny>,
    host: &str,
    addresses: *mut hangup_addresses,
) -> PyResult<()> {
    let found = callback::call(py, resolver, (host,))?;
    let (found, ttl_ms) = found.extract::<(Vec<String>, Option<i64>)>()?;
    for address in found {
        let invalid = || PyValueError::new_err(format!("{address:?} is no IP address"));
        let text = CString::new(address.as_bytes()).map_err(|_| invalid())?;
        // SAFETY: live addresses, NUL-terminated text.
        checked(unsafe { hangup_addresses_add(addresses, text.as_ptr()) })
            .map_err(|_| invalid())?;
    }
    if let Some(ttl_ms) = ttl_ms {
        let invalid = || PyValueError::new_err("a TTL is not negative");
        // SAFETY: live addresses.
        checked(unsafe { hangup_addresses_set_ttl(addresses, ttl_ms) }).map_err(|_| invalid())?;
    }
    Ok(())
}

/// # Safety
/// `resolver` comes from `Box::into_raw` and is not used afterwards.
unsafe extern "C" fn end(resolver: *mut c_void) {
    // SAFETY: by this function's contract.
    let resolver = *unsafe { Box::from_raw(resolver.cast::<Py<PyAny>>()) };
    // With the interpreter lock, so that the callable is dropped now: without it pyo3 drops it later.
    let _ = Python::try_attach(|py| callback::release(py, resolver));
}

/// The error code of a failed lookup without an errno of its own.
const FAILED: i32 = 1;
