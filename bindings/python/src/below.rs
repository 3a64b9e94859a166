//! Calls of Python from below: on a thread that sends, or one of the library's own.
//!
//! When the interpreter ends, CPython before 3.14 ends every other thread that wants the interpreter lock
//! with pthread_exit(3), wherever it is. That unwinds the stack, and Rust aborts the process when a foreign
//! unwinding comes by. So the thread hangs here instead, as it does in CPython 3.14; the process ends
//! without it.

use pyo3::ffi::PyObject;
use pyo3::prelude::*;
use pyo3::types::PyTuple;

/// Calls a callable with these arguments.
pub fn call<'py>(
    py: Python<'py>,
    callable: &Py<PyAny>,
    arguments: impl IntoPyObject<'py, Target = PyTuple, Output = Bound<'py, PyTuple>, Error = PyErr>,
) -> PyResult<Bound<'py, PyAny>> {
    let arguments = arguments.into_pyobject(py)?;
    let hang = Hang;
    // SAFETY: attached, a live callable and a live tuple; the answer is owned, or NULL with an exception set.
    let answer = unsafe { PyObject_CallObject(callable.as_ptr(), arguments.as_ptr()) };
    std::mem::forget(hang);
    // SAFETY: as above.
    unsafe { Bound::from_owned_ptr_or_err(py, answer) }
}

/// Lets go of an object, which may run code of its own.
pub fn let_go(_: Python<'_>, object: Py<PyAny>) {
    let hang = Hang;
    // SAFETY: attached, and this was the owner of one reference.
    unsafe { Py_DecRef(object.into_ptr()) };
    std::mem::forget(hang);
}

/// Hands an exception that nobody is there to catch to `sys.unraisablehook`.
pub fn tell(py: Python<'_>, raised: PyErr, about: &Py<PyAny>) {
    raised.restore(py);
    let hang = Hang;
    // SAFETY: attached, an exception is set, and the object is live.
    unsafe { PyErr_WriteUnraisable(about.as_ptr()) };
    std::mem::forget(hang);
}

/// Dropped only if the thread is unwound.
struct Hang;

impl Drop for Hang {
    fn drop(&mut self) {
        loop {
            std::thread::park();
        }
    }
}

// Those of pyo3 say that they do not unwind.
unsafe extern "C-unwind" {
    fn PyObject_CallObject(callable: *mut PyObject, arguments: *mut PyObject) -> *mut PyObject;
    fn PyErr_WriteUnraisable(object: *mut PyObject);
    fn Py_DecRef(object: *mut PyObject);
}
