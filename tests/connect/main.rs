//! How a connection comes about: what a name leads to, addresses that race, TLS, and Unix-domain sockets.

#[path = "../support/mod.rs"]
mod support;

mod addresses;
mod resolver;
mod tls;
mod unix;
