//! The C library: what `src/ffi` of the crate exports is in it because the crate is.

extern crate hangup_core as _;
