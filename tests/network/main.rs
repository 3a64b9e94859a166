//! Connections that die without a word, in a network that the tests control: two network namespaces and a relay that
//! loses, delays and withholds packets (`tests/server/src/network`).
//!
//! Where the system permits neither namespaces nor TUN devices, each test says so and passes.

#[path = "../support/mod.rs"]
mod support;

#[path = "../c/abi.rs"]
mod abi;

mod alive;
mod changes;
mod chaos;
mod dials;
mod early;
mod gone;
mod idle;
mod kept;
mod killed;
mod languages;
mod large;
mod lost;
mod numbers;
mod relay;
mod served;
mod through;
mod told;
