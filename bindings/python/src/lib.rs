//! `hangup._native`: the part of the Python package that talks to `libhangup.so.0`.
//!
//! One request goes `Client.send -> request (built) -> interrupt::blocking (interpreter lock released)
//! -> C -> response`, and everything that fails comes back through `failure`. What is not on that path
//! (names, encodings, dataclasses) is Python, in `python/hangup`. Submitted work goes `Client.submit -> C`,
//! and comes back `the loop sees the queue's descriptor -> Port.drain -> the future`.
//!
//! Invariants: only the C header is used (`sys`, generated); a C pointer has one owner (`handle`); the
//! interpreter lock is never held while the library waits; no Python object is touched without it; Python
//! code that the library calls is called through `below`.

#![deny(unsafe_op_in_unsafe_fn, clippy::undocumented_unsafe_blocks)]

mod below;
mod cancel;
mod client;
mod events;
mod failure;
mod handle;
mod interrupt;
mod limits;
mod loaded;
mod manager;
mod port;
mod request;
mod resolver;
mod response;
#[rustfmt::skip]
mod sys;
mod upload;
mod waiting;

use pyo3::prelude::*;

#[pymodule(gil_used = false)]
fn _native(module: &Bound<'_, PyModule>) -> PyResult<()> {
    loaded::check()?;
    loaded::check_interpreter()?;
    module.add("modules", loaded::modules(module.py())?)?;
    module.add_class::<cancel::CancelToken>()?;
    module.add_class::<client::Client>()?;
    module.add_class::<events::Events>()?;
    module.add_class::<manager::Manager>()?;
    module.add_class::<port::Port>()?;
    module.add_class::<response::Response>()?;
    module.add_function(wrap_pyfunction!(limits::check_limits, module)?)?;
    module.add_function(wrap_pyfunction!(loaded::library, module)?)?;
    module.add_function(wrap_pyfunction!(loaded::version, module)?)?;
    module.add_function(wrap_pyfunction!(port::io_threads, module)?)?;
    module.add_function(wrap_pyfunction!(resolver::set_resolver, module)?)?;
    module.add("HEADER_VERSION", sys::HANGUP_VERSION_TEXT)?;
    module.add("NO_LIMIT", sys::HANGUP_NO_LIMIT)
}
