//! The library's own control and slot, over a pool that is as small as can be.

#[path = "../../../../src/manager/control.rs"]
mod control;
mod pool;
