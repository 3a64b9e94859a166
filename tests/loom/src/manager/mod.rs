//! The library's own control and slot, over a minimal pool.

#[path = "../../../../src/manager/control.rs"]
mod control;
mod pool;
