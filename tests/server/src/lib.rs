//! A scripted loopback server that misbehaves on cue, shared by hangup's Rust, C and Python tests.
//!
//! ```text
//! Script (JSON) ──> Server ──> acceptor ──> one thread per connection ──> connection: runs the steps
//!                     │                                                     │
//!                  a test asks: heads, ended, marks   <── ledger <──────────┘ wire: socket, TLS, poll(2)
//! ```
//!
//! `Proxy` and `Socks` stand beside `Server` on the same acceptor, ledger and wire; a `relay` is the
//! inside of their tunnels. `BlackHole` and `Addresses` are about connecting only. `Origins` is for
//! numbers for which a thread per connection is too much.
//!
//! Invariants:
//! - No thread sleeps or waits except in poll(2) together with the server's stop latch, so everything stops
//!   within milliseconds; and while a connection waits, it sees its peer's FIN or RST at once.
//! - Everything is bounded: a server's life, its connections, what it remembers, what a request may weigh.
//! - Nothing here knows hangup: the server is the other side.
//!
//! Start reading at [`Script`] to write a test, at `connection.rs` to add a step. The binary
//! `hangup-testserver` offers all of it to tests in other languages.

#![deny(missing_docs, unsafe_op_in_unsafe_fn)]

mod acceptor;
mod addresses;
mod attend;
mod black_hole;
mod certs;
mod command;
mod connection;
pub mod control;
pub mod corpus;
mod demo;
mod descriptors;
mod forward;
mod hex;
mod hosts;
mod latch;
mod ledger;
mod message;
mod nginx;
mod origins;
mod proxy;
mod relay;
mod scratch;
mod script;
mod segments;
mod server;
mod socks;
mod tickets;
mod wire;

pub use addresses::{Addresses, Manner, Place, Reserved};
pub use black_hole::BlackHole;
pub use certs::{Certificate, Certs, Pair, certs};
pub use demo::DemoServer;
pub use descriptors::{HeldSocket, open_descriptors, raise_descriptor_limit, sockets_to};
pub use hosts::Hosts;
pub use ledger::{Ended, Ledger};
pub use nginx::Nginx;
pub use origins::Origins;
pub use proxy::{Conduct, Proxy, ProxyOptions, ProxyStep};
pub use script::{Answer, Script, Step, Then, Until};
pub use segments::Segments;
pub use server::{Options, Server};
pub use socks::{Socks, SocksAddress, SocksConduct, SocksOptions, SocksRequest, SocksStep};
