//! What users of other languages get: the examples, the installed library, and a Rust plugin beside it.

#[path = "../c/abi.rs"]
mod abi;

mod examples;
mod install;
mod plugin;
