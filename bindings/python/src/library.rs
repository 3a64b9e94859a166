//! Which `libhangup.so.0` is loaded in this process, and whether this package can use it.
//!
//! The dynamic linker loads one copy per SONAME, the first one that is needed: so C and Python share one
//! manager. The loaded copy may therefore be another one than the package's own, and too old or of another
//! ABI.

use std::ffi::{c_char, c_int, c_void};

use pyo3::exceptions::PyImportError;
use pyo3::ffi::{PyInterpreterState_Get, PyInterpreterState_GetID};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyDict;

use crate::failure::text;
use crate::interrupt;
use crate::sys::*;

/// The full path of the library that is loaded.
#[pyfunction]
pub fn library() -> PyResult<String> {
    let mut found = DlInfo { path: std::ptr::null(), base: null(), name: null(), symbol: null() };
    // SAFETY: the address is that of a static text inside the library (the address of a function could be a
    // stub in the program), and `found` has the layout of dladdr(3).
    let path = unsafe {
        if dladdr(hangup_version_text().cast(), &raw mut found) == 0 || found.path.is_null() {
            return Err(PyImportError::new_err("libhangup.so.0 is not in a shared object"));
        }
        text(found.path).into_owned()
    };
    Ok(std::fs::canonicalize(&path).map_or(path, |full| full.to_string_lossy().into_owned()))
}

/// The version of the library that is loaded, for example "0.1.0".
#[pyfunction]
pub fn version() -> String {
    // SAFETY: static text.
    unsafe { text(hangup_version_text()) }.into_owned()
}

/// What the library was built with, as names separated by spaces.
#[pyfunction]
pub fn features() -> String {
    // SAFETY: static text.
    unsafe { text(hangup_features()) }.into_owned()
}

/// Refuses a library that is older than the header this was compiled with, or of another ABI.
pub fn check() -> PyResult<()> {
    // SAFETY: no arguments.
    let loaded = unsafe { hangup_version() };
    if loaded >= HANGUP_VERSION && abi(loaded) == abi(HANGUP_VERSION) {
        return Ok(());
    }
    Err(PyImportError::new_err(format!(
        "{} is version {}, and hangup needs {HANGUP_VERSION_TEXT} or a later one of the same ABI",
        library()?,
        version(),
    )))
}

/// Refuses sub-interpreters: the static objects of this crate (classes, exception constructors) belong to one
/// interpreter, and threads of the library attach to the main one.
pub fn check_interpreter() -> PyResult<()> {
    // SAFETY: the thread is attached, so there is an interpreter. The id of the main one is 0.
    match unsafe { PyInterpreterState_GetID(PyInterpreterState_Get()) } {
        0 => Ok(()),
        _ => Err(PyImportError::new_err("hangup._native does not support subinterpreters")),
    }
}

/// The modules of the package by name. The package fills this dictionary at the end of its first import in
/// the process; every later import gets the same one.
pub fn modules(py: Python<'_>) -> PyResult<Bound<'_, PyDict>> {
    static MODULES: PyOnceLock<Py<PyDict>> = PyOnceLock::new();
    let first = || interrupt::register_fork_hook(py).map(|()| PyDict::new(py).unbind());
    MODULES.get_or_try_init(py, first).map(|modules| modules.bind(py).clone())
}

/// Two versions have the same ABI if this is equal: the major version, or before 1.0 the minor one.
fn abi(version: u32) -> u32 {
    match version / 1_000_000 {
        0 => version / 1_000,
        major => major * 1_000,
    }
}

#[repr(C)]
struct DlInfo {
    path: *const c_char,
    base: *const c_void,
    name: *const c_void,
    symbol: *const c_void,
}

unsafe extern "C" {
    fn dladdr(address: *const c_void, info: *mut DlInfo) -> c_int;
}

const fn null() -> *const c_void {
    std::ptr::null()
}
