//! How a connection is made: the lookup of names, the race of addresses, TLS, and Unix-domain sockets.

#[path = "../support/mod.rs"]
mod support;

mod addresses;
mod facts;
mod resolver;
mod tls;
mod unix;
