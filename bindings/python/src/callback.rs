//! Calls into Python from functions that the library calls: on a thread that sends, or on a thread of the
//! library.
//!
//! When the interpreter ends, CPython before 3.14 ends every other thread that asks for the interpreter lock
//! with pthread_exit(3). That unwinds the stack, and Rust aborts the process when a foreign exception unwinds
//! through its frames. So the thread sleeps for ever here instead, as it does in CPython 3.14; the process
//! ends without it.

use pyo3::ffi::PyObject;
use pyo3::prelude::*;
use pyo3::types::PyTuple;

/// Calls `callable` with `arguments`.
pub fn call<'py, A>(
    py: Python<'py>,
    callable: &Py<PyAny>,
    arguments: A,
) -> PyResult<Bound<'py, PyAny>>
where
    A: IntoPyObject<'py, Target = PyTuple, Output = Bound<'py, PyTuple>>,
    PyErr: From<A::Error>,
{
    let arguments = arguments.into_pyobject(py)?;
    let hang = HangOnUnwind;
    // SAFETY: `py` proves the thread is attached; both references keep their objects alive. The result is
    // an owned reference, or NULL with an exception set.
    let result = unsafe { PyObject_CallObject(callable.as_ptr(), arguments.as_ptr()) };
    std::mem::forget(hang);
    // SAFETY: as above.
    unsafe { Bound::from_owned_ptr_or_err(py, result) }
}

/// Drops a reference to an object, which may run a finalizer.
pub fn release(_: Python<'_>, object: Py<PyAny>) {
    let hang = HangOnUnwind;
    // SAFETY: `py` proves the thread is attached; `into_ptr` gave up the one reference that `object` owned.
    unsafe { Py_DecRef(object.into_ptr()) };
    std::mem::forget(hang);
}

/// Reports an exception that no Python caller can catch to `sys.unraisablehook`.
pub fn write_unraisable(py: Python<'_>, raised: PyErr, about: &Py<PyAny>) {
    raised.restore(py);
    let hang = HangOnUnwind;
    // SAFETY: `py` proves the thread is attached; an exception is set; `about` keeps its object alive.
    unsafe { PyErr_WriteUnraisable(about.as_ptr()) };
    std::mem::forget(hang);
}

/// Is only dropped if the thread is unwound; otherwise it is forgotten.
struct HangOnUnwind;

impl Drop for HangOnUnwind {
    fn drop(&mut self) {
        loop {
            std::thread::park();
        }
    }
}

// Declared here because pyo3's declarations say that these functions do not unwind.
unsafe extern "C-unwind" {
    fn PyObject_CallObject(callable: *mut PyObject, arguments: *mut PyObject) -> *mut PyObject;
    fn PyErr_WriteUnraisable(object: *mut PyObject);
    fn Py_DecRef(object: *mut PyObject);
}
