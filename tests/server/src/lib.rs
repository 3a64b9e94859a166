//! A scripted loopback server that misbehaves on cue, shared by hangup's Rust, C and Python tests.
//!
//! ```text
//! Script (JSON) ──> Server ──> acceptor ──> one thread per connection ──> connection: runs the steps
//!                     │                                                     │
//!             a test reads: heads, ended, marks   <── ledger <──────────────┘ wire: socket, TLS, poll(2)
//! ```
//!
//! A script has a list of [`Step`]s for each connection, in the order in which connections are accepted:
//!
//! | Steps | Effect |
//! |---|---|
//! | `recv` (head, body, eof, bytes), `by_path` | reads a request; chooses steps by its target |
//! | `answer`, `echo_head` | reads a request and sends a well-formed response |
//! | `send`, `send_hex`, `fill`, `drip`, `urgent`, `cork` | sends bytes: text, binary, repeated, slowly, as urgent data, together |
//! | `tls`, `tickets`, `close_notify`, `truncate` | a handshake; session tickets; the ends of TLS |
//! | `echo` | sends back what comes |
//! | `sleep_ms`, `stall`, `await`, `mark` | lets time pass; waits for the test; wakes the test |
//! | `fin`, `rst`, `close` | half-closes, resets or closes the connection |
//! | `repeat` | repeats steps, a number of times or without end |
//!
//! [`Then`] says what happens to connections without a list of their own: they repeat the last list, or are closed or
//! refused. [`Options`] choose where a server listens (an address, a port, a Unix-domain socket), whether every
//! connection begins with TLS, and how long the server lives.
//!
//! `Proxy` and `Socks` use the same acceptor, ledger and wire as `Server`; a `relay` is the
//! inside of their tunnels. `BlackHole` and `Addresses` are for tests of connecting. `Origins` serves
//! more connections than can have a thread each. `network` has two network namespaces with a path
//! between them that loses and delays packets.
//!
//! Invariants:
//! - No thread sleeps or waits except in poll(2) together with the server's stop latch, so everything stops
//!   within milliseconds; and while a connection waits, it sees its peer's FIN or RST at once.
//! - Everything is bounded: a server's life, its connections, what it records, the size of a request.
//! - Nothing here knows hangup.
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
pub mod network;
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
