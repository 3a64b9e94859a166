//! How a connection is made: the lookup of names, the race of addresses, TLS, Unix-domain sockets, other places
//! for an origin, and connections that the program makes.

#[path = "../support/mod.rs"]
mod support;

mod addresses;
mod connector;
mod elsewhere;
mod facts;
mod resolver;
mod tls;
mod tls_settings;
mod unix;
