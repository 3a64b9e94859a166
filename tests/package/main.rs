//! The library as its users get it: the examples, the installed C library, and a Rust plugin loaded beside it.

#[path = "../c/abi.rs"]
mod abi;

mod examples;
mod install;
mod plugin;
