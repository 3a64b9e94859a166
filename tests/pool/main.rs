//! The pool of a manager: which connections are reused, how long idle ones stay, the queue for connections, and dials.

#[path = "../support/mod.rs"]
mod support;

mod crossed;
mod dials;
mod idle;
mod limits;
mod queue;
mod reuse;
