//! `hangup._native`: the extension module of the Python package, which calls `libhangup.so.0`.
//!
//! The path of a blocking request is `Client.send -> request -> interrupt::blocking (interpreter lock
//! released) -> C -> response`; failures become exceptions in `failure`. Names, encodings and dataclasses
//! are Python code in `python/hangup`. The path of a submitted request is `Client.submit -> C`, then
//! `the loop finds the queue's descriptor readable -> Port.drain -> the future`.
//!
//! Invariants: only the C header is used (`sys`, generated); a C handle has one owner (`handle`); the
//! interpreter lock is not held while the library blocks; no Python object is used without it; functions
//! that the library calls use Python through `callback`.

#![deny(unsafe_op_in_unsafe_fn, clippy::undocumented_unsafe_blocks)]

mod arrived;
mod auth;
mod callback;
mod cancel;
mod client;
mod connector;
mod content;
mod events;
mod failure;
mod handle;
mod interrupt;
mod library;
mod limits;
mod loan;
mod manager;
mod piece;
mod port;
mod progress;
mod pushed;
mod request;
mod resolver;
mod response;
mod room;
mod stream;
mod tls;
mod trace;
#[rustfmt::skip]
mod sys;
mod pending;
mod tcp_facts;
mod upload;

use pyo3::prelude::*;
use pyo3::types::IntoPyDict;

#[pymodule(gil_used = false)]
fn _native(module: &Bound<'_, PyModule>) -> PyResult<()> {
    library::check()?;
    library::check_interpreter()?;
    module.add("modules", library::modules(module.py())?)?;
    module.add_class::<pushed::BodyWriter>()?;
    module.add_class::<cancel::CancelToken>()?;
    module.add_class::<client::Client>()?;
    module.add_class::<events::Events>()?;
    module.add_class::<manager::Manager>()?;
    module.add_class::<port::Port>()?;
    module.add_class::<progress::Progress>()?;
    module.add_class::<response::Response>()?;
    module.add_class::<stream::Stream>()?;
    module.add_class::<tls::Tls>()?;
    module.add_class::<arrived::Whole>()?;
    module.add_function(wrap_pyfunction!(limits::check_limits, module)?)?;
    module.add_function(wrap_pyfunction!(library::library, module)?)?;
    module.add_function(wrap_pyfunction!(library::version, module)?)?;
    module.add_function(wrap_pyfunction!(library::features, module)?)?;
    module.add_function(wrap_pyfunction!(port::set_io_threads, module)?)?;
    module.add_function(wrap_pyfunction!(connector::set_connector, module)?)?;
    module.add_function(wrap_pyfunction!(resolver::set_resolver, module)?)?;
    module.add_function(wrap_pyfunction!(trace::set_trace, module)?)?;
    module.add("HEADER_VERSION", sys::HANGUP_VERSION_TEXT)?;
    module.add("NO_LIMIT", sys::HANGUP_NO_LIMIT)?;
    module.add("CONSTANTS", sys::CONSTANTS.iter().copied().into_py_dict(module.py())?)
}
