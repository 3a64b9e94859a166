//! The C ABI: what `include/hangup.h` is generated from.
//!
//! Every function here is a few lines: cross the border through [`guard`], call the
//! Rust API, hand the answer back. The modules are the header's chapters, in the order
//! a user meets things; the contract they all keep stands at the top of the header
//! (`cbindgen.toml`), once.
//!
//! Knows the public Rust API only, and nothing in `src/` outside this folder knows C.

#![allow(non_camel_case_types, unsafe_code)]
// The safety contract of every export is the header's: pointers are NULL or live handles
// of their own type. Repeating it two hundred times would say less.
#![allow(clippy::missing_safety_doc)]

mod callback;
mod guard;
mod milliseconds;

/// Which library is this?
mod version;

/// The enumerations.
mod enums;

/// What went wrong, whole.
mod error;

/// The pool that everybody shares.
mod manager;

/// How much of everything a manager allows.
mod limits;

/// The table of open connections.
mod connections;

/// What happens to them, as it happens.
mod events;

/// Which address a name stands for.
mod resolver;

/// Ending work from any thread.
mod cancel;

/// Defaults over a manager.
mod client;

/// What a call does by itself.
mod policy;

/// What servers want to be reminded of.
mod cookies;

/// Whom to trust.
mod tls;

/// Which way to go.
mod proxy;

/// One request.
mod request;

/// One response.
mod response;

/// Thousands at once.
mod queue;

/// Text that is nobody else's.
mod string;

/// Signals while a call blocks.
mod interrupt;

#[cfg(panic = "abort")]
compile_error!("hangup needs panic=unwind: a panic must become HANGUP_PANIC, not end the process");
