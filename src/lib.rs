//! **hangup** is an HTTP/1.1 client whose subject is the life of a connection: send a request, limit it in time,
//! cancel it, close the connection under it, and observe all of that.
//!
//! ```no_run
//! use std::time::Duration;
//!
//! let client = hangup::Client::default();
//! let mut response = client.get("https://example.org/", Some(Duration::from_secs(5)))?;
//! println!("{} over connection {}", response.status_code(), response.connection_id());
//! let body = response.read_all(1 << 20)?; // the connection is idle again
//! println!("{} bytes; open now: {:#?}", body.len(), client.manager().connections());
//! # Ok::<(), hangup::Error>(())
//! ```
//!
//! The library is also available to C and C++ (`libhangup` with `hangup.h`) and to Python (`import hangup`). All
//! copies of one library in a process share one [`Manager`].
//!
//! # The life of a connection
//!
//! A [`Client`] holds defaults; the [`Manager`] below it owns the connections, and many clients may share one. A
//! request takes an idle connection of its origin, or opens one, or waits for one if a limit ([`Limits`]) is
//! reached. Each connection has an id that is never used again: [`Response::connection_id`], [`Error::connection_id`],
//! [`ConnectionInfo`] and [`Event`] name it. When the body was read to its end, the connection is idle again before the
//! end is reported; a response that is dropped earlier closes its connection. [`ConnectionMode`] asks for a connection
//! that is closed after the response, or for a new one.
//!
//! # Timeouts
//!
//! Each phase has a [`Timeout`] of its own, and [`Timeout::Total`] covers everything from the call to the body's last
//! byte. The defaults never wait forever: 30 s for a place in the pool; 10 s each to resolve, to connect and for
//! TLS; 60 s each to write, for the head and between two pieces of the body; no total. The error says which one
//! ran out ([`Error::timeout`]), in which phase, whether the request may be sent again ([`Error::retry_safe`]), and whether
//! the peer's TCP acknowledged it ([`Error::acknowledged`]): that separates a slow server from a lost network.
//!
//! ```
//! use std::time::Duration;
//! use hangup::{Client, Request, Timeout};
//!
//! let client = Client::default();
//! client.set_timeout(Timeout::Connect, Some(Duration::from_secs(2)))?;
//! let mut request = Request::new("GET", "https://example.org/")?;
//! request.set_timeout(Timeout::Total, Some(Duration::from_secs(10)))?;
//! # Ok::<(), hangup::Error>(())
//! ```
//!
//! # Cancel
//!
//! A [`CancelToken`] ends a request from any thread and in any phase, within about a millisecond; the call fails with
//! [`Kind::Cancelled`]. A token has children, and one token may cancel many requests.
//!
//! ```
//! use hangup::{CancelToken, Client, Kind, Request};
//!
//! let token = CancelToken::new();
//! let mut request = Request::new("GET", "https://example.org/")?;
//! request.set_cancel(Some(token.clone()));
//! token.fire(Some("the user left"));
//! let error = Client::default().send(&mut request).unwrap_err();
//! assert_eq!((error.kind(), error.reason()), (Kind::Cancelled, Some("the user left")));
//! # Ok::<(), hangup::Error>(())
//! ```
//!
//! # Close
//!
//! [`Manager::close_connection`], [`close_origin`](Manager::close_origin), [`close_idle`](Manager::close_idle) and
//! [`close_all`](Manager::close_all) close connections, at once or after the exchange in progress ([`CloseMode`]).
//! [`Manager::drain`] ends a manager after its exchanges, [`Manager::shutdown`] at once. A [`CloseHandle`] closes one
//! response while another thread reads it.
//!
//! # Events
//!
//! [`Manager::connections`] lists what is open, with what TCP knows of it ([`TcpFacts`]), [`Manager::stats`] counts, and
//! [`Manager::events`] reports each opened, leased, returned and closed connection, with the [`CloseReason`], and each one
//! that is suspected to be lost.
//!
//! ```
//! use std::time::Duration;
//! use hangup::{Limits, Manager};
//!
//! let manager = Manager::new(Limits { total: 100, ..Limits::default() });
//! let mut events = manager.events(1024)?;
//! assert!(events.next(Some(Duration::ZERO))?.is_none());
//! assert!(manager.connections().is_empty());
//! # Ok::<(), hangup::Error>(())
//! ```
//!
//! # In the background
//!
//! [`Client::submit`] and [`Response::read_async`] return futures that any executor can await; [`Client::submit_with`]
//! calls a function instead. One thread of the library runs thousands of requests ([`set_io_threads`]).
//!
//! # Upgrade and tunnels
//!
//! After 101 Switching Protocols ([`Request::add_header`] with `upgrade`) and after CONNECT ([`Request::connect`]) a
//! response hands its connection over as a [`Stream`], which reads and writes, and which the manager still lists and
//! closes.
//!
//! # Features
//!
//! - `aws-lc`: the cryptography of TLS is AWS-LC's in place of ring's, with the post-quantum key exchange X25519MLKEM768. Not on
//!   by default: it is built from C, and needs a C compiler, on some systems CMake, too. It makes the stripped C library 8.0 MB
//!   large instead of 5.9 MB (x86-64). `cargo build --release -p hangup-c --features aws-lc` builds that library with it,
//!   which C++ and Python use as well.
//! - `capi`: exports the C ABI of `hangup.h`. It is meant for the package that builds the C library; programs in Rust
//!   don't need it.

#![deny(unsafe_op_in_unsafe_fn, unsafe_code)]
#![warn(missing_docs, missing_debug_implementations, unreachable_pub)]
// The completion queue and some functions are used by the C ABI only.
#![cfg_attr(not(feature = "capi"), allow(dead_code, unused_imports))]

mod auth;
mod authority;
mod caller_reader;
mod cancel;
mod client;
mod download;
mod driver;
mod error;
mod features;
#[cfg(feature = "capi")]
mod ffi;
mod form;
mod headers;
mod http;
mod json;
mod keep_alive;
mod manager;
mod net;
mod process;
mod queue;
mod request;
mod response;
mod response_head;
mod runtime;
mod secret;
mod spare_memory;
mod stream;
mod submit;
mod sync;
mod target;
mod tcp_facts;
mod threads;
mod timeouts;
mod timer;
mod timings;
mod trace;
mod transfer;
mod upload;
#[cfg(feature = "ureq")]
pub mod ureq;
mod vocabulary;

pub use auth::{Auth, TokenRequest};
pub use cancel::CancelToken;
pub use client::{Client, KeptCookie, RetryPolicy};
pub use download::DownloadOptions;
pub use driver::Driver;
pub use error::Error;
pub use features::features;
pub use form::{Form, Part};
pub use manager::{
    Addresses, ConnectionInfo, Event, EventKind, Events, EventsCloser, Limits, Manager, Resolve,
    ResolveWithTtl, Stats,
};
pub use net::connector::{Connect, ConnectRequest, ConnectedSocket};
pub use net::facts::{ConnectionFacts, TlsFacts};
pub use net::tls::Tls;
pub use request::{Body, Request};
pub use response::{
    CloseHandle, Downloaded, InterimResponse, ReadFuture, Redirect, Response, ResponseBody,
    ResponseHead,
};
pub use runtime::{BorrowedDescriptor, OwnedDescriptor};
pub use stream::{Stream, StreamRead, StreamWrite};
pub use submit::Submission;
pub use tcp_facts::TcpFacts;
pub use threads::{set_interrupt_check, set_io_threads};
pub use timings::Timings;
pub use trace::{Trace, TraceRecord};
pub use transfer::Progress;
pub use upload::{BodyWriter, WriteFuture};
pub use vocabulary::{
    Acknowledged, AddressFamily, CloseMode, CloseReason, ConnectionMode, ConnectionState,
    CookieFormat, Kind, Phase, RetryReason, Sent, Timeout, TlsVersion, TraceType,
};
#[cfg(feature = "capi")]
#[doc(hidden)]
pub use vocabulary::{Declaration, Value, declarations};
