//! What the library needs of the operating system about processes and signals. A port to another system is
//! one more file beside `unix` with the same names; nothing else in `process` names the system.

#![allow(unsafe_code)] // System calls.

mod unix;

pub(super) use unix::{BlockedSignals, at_fork_in_child};
