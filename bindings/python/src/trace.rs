//! A client's trace to a Python callable.
//!
//! The library calls [`record`] on the threads that do the exchanges, and [`end`] once. The interpreter lock is held
//! only while the callable runs.

use std::ffi::c_void;
use std::panic::{AssertUnwindSafe, catch_unwind};

use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::callback;
use crate::client::Client;
use crate::failure::{OrRaise, call, text};
use crate::sys::*;

/// Sets the trace of a client: `callable` takes the type, the time in nanoseconds, the connection's id, the size and
/// the bytes of a record. None records nothing.
#[pyfunction]
pub fn set_trace(
    py: Python<'_>,
    client: &Client,
    callable: Option<Py<PyAny>>,
    bodies: bool,
) -> PyResult<()> {
    let record: hangup_trace_fn = callable.is_some().then_some(record as _);
    let end: hangup_trace_end_fn = callable.is_some().then_some(end as _);
    let data = callable.map_or(0, |callable| Box::into_raw(Box::new(callable)) as usize);
    // Without the interpreter lock: the library may call `end` for the previous trace on another thread.
    py.detach(|| {
        // SAFETY: a live client; `end` takes the box back, also when this fails.
        call(|error| unsafe {
            let data = data as *mut c_void;
            hangup_client_set_trace(client.as_ptr(), record, end, data, bodies.into(), error)
        })
    })
    .or_raise(py)
}

/// # Safety
/// `callable` comes from `Box::into_raw`, and `end` was not called for it; `record` is live during the call. The
/// header promises this for every trace.
unsafe extern "C" fn record(callable: *mut c_void, record: *const hangup_trace_record) {
    // SAFETY: by this function's contract.
    let (callable, record) = unsafe { (&*callable.cast::<Py<PyAny>>(), &*record) };
    // A panic must not unwind into C.
    let _ = catch_unwind(AssertUnwindSafe(|| {
        Python::try_attach(|py| {
            // SAFETY: `data_size` bytes that are live during the call, and static text.
            let (data, kind) = unsafe {
                let data: &[u8] = match record.data_size {
                    0 => &[],
                    size => std::slice::from_raw_parts(record.data, size),
                };
                (PyBytes::new(py, data), text(hangup_trace_type_text(record.r#type)))
            };
            let row = (kind, record.time_ns, record.connection_id, record.length, data);
            if let Err(raised) = callback::call(py, callable, row) {
                callback::write_unraisable(py, raised, callable);
            }
        })
    }));
}

/// # Safety
/// `callable` comes from `Box::into_raw` and is not used afterwards.
unsafe extern "C" fn end(callable: *mut c_void) {
    // SAFETY: by this function's contract.
    let callable = *unsafe { Box::from_raw(callable.cast::<Py<PyAny>>()) };
    // With the interpreter lock, so that the callable is dropped now: without it pyo3 drops it later.
    let _ = Python::try_attach(|py| callback::release(py, callable));
}
