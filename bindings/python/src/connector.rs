//! Connections that a Python callable makes.
//!
//! The library calls [`connect`] on its own threads, several at a time, and [`end`] once, after the last call.
//! The interpreter lock is held only while the callable runs.

use std::ffi::{c_char, c_void};
use std::panic::{AssertUnwindSafe, catch_unwind};

use pyo3::exceptions::PyOSError;
use pyo3::prelude::*;

use crate::callback;
use crate::client::Client;
use crate::failure::{OrRaise, call, text};
use crate::sys::*;

/// Sets the connector of a client: `connector` takes an origin, a host and a port and returns the number of a
/// descriptor, which belongs to the library then. None has the library connect.
#[pyfunction]
pub fn set_connector(
    py: Python<'_>,
    client: &Client,
    connector: Option<Py<PyAny>>,
) -> PyResult<()> {
    let connect: hangup_connect_fn = connector.is_some().then_some(connect as _);
    let end: hangup_connect_end_fn = connector.is_some().then_some(end as _);
    let data = connector.map_or(0, |connector| Box::into_raw(Box::new(connector)) as usize);
    // Without the interpreter lock: the library may call `end` for the previous connector on another thread.
    py.detach(|| {
        // SAFETY: a live client; `end` takes the box back, also when this fails.
        call(|error| unsafe {
            let data = data as *mut c_void;
            hangup_client_set_connector(client.as_ptr(), connect, end, data, error)
        })
    })
    .or_raise(py)
}

/// # Safety
/// `connector` comes from `Box::into_raw`, and `end` was not called for it; both texts are NUL-terminated. The
/// header promises this for every connector.
unsafe extern "C" fn connect(
    connector: *mut c_void,
    origin: *const c_char,
    host: *const c_char,
    port: i32,
) -> i32 {
    // SAFETY: by this function's contract.
    let (connector, origin, host) =
        unsafe { (&*connector.cast::<Py<PyAny>>(), text(origin), text(host)) };
    // A panic must not unwind into C.
    let descriptor = catch_unwind(AssertUnwindSafe(|| {
        Python::try_attach(|py| {
            let made = callback::call(py, connector, (&*origin, &*host, port));
            match made.and_then(|made| made.extract::<i32>()) {
                Ok(descriptor) if descriptor >= 0 => descriptor,
                Ok(_) => FAILED,
                Err(raised) if raised.is_instance_of::<PyOSError>(py) => {
                    let number = raised.value(py).getattr("errno");
                    let number: Option<i32> = number.and_then(|errno| errno.extract()).ok();
                    number.filter(|number| *number > 0).map_or(FAILED, |number| -number)
                }
                Err(raised) => {
                    callback::write_unraisable(py, raised, connector);
                    FAILED
                }
            }
        })
    }));
    descriptor.ok().flatten().unwrap_or(FAILED)
}

/// # Safety
/// `connector` comes from `Box::into_raw` and is not used afterwards.
unsafe extern "C" fn end(connector: *mut c_void) {
    // SAFETY: by this function's contract.
    let connector = *unsafe { Box::from_raw(connector.cast::<Py<PyAny>>()) };
    // With the interpreter lock, so that the callable is dropped now: without it pyo3 drops it later.
    let _ = Python::try_attach(|py| callback::release(py, connector));
}

/// A failure without an errno of its own.
const FAILED: i32 = i32::MIN;
