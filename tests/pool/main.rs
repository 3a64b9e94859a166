//! What a manager keeps and hands out: which connections are used again, how long idle ones stay, who waits for
//! one, and what becomes of dials.

#[path = "../support/mod.rs"]
mod support;

mod crossed;
mod dials;
mod idle;
mod limits;
mod queue;
mod reuse;
