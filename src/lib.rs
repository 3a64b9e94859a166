//! **hangup** is an HTTP/1.1 client whose subject is the life of a connection: make a request,
//! bound it in time, cancel it, close the connection under it, and see all of that happen.
//!
//! This crate is the core. C and C++ use it as `libhangup` with `include/hangup.h` (generated
//! from [`ffi`](self#where-to-start-reading)), Python as `import hangup` on top of that same
//! library, so that all of them in one process share one [`Manager`].
//!
//! ```no_run
//! use std::time::Duration;
//! let client = hangup::Client::default();
//! let mut response = client.get("https://example.org/", Some(Duration::from_secs(5)))?;
//! println!("{} over connection {}", response.status(), response.connection());
//! let body = response.read_all(1 << 20)?; // the connection is idle again
//! println!("{} bytes; open now: {:#?}", body.len(), client.manager().connections());
//! # Ok::<(), hangup::Error>(())
//! ```
//!
//! # The map
//!
//! A request goes down, a response comes up; nothing goes back and forth:
//!
//! ```text
//!   C, C++, Python, ...                    a cancel, a close, a shutdown
//!        |                                     |            |
//!      ffi/          crossing the border       |            |
//!        |                                     |            |
//!      submit, queue   in the background       |            |
//!        |                                     |            |
//!      client        defaults over a manager   |            |
//!        |                                     |            |
//!      client/call   legs (redirects) and      |            |
//!        |           attempts (retries)        v            |
//!      http/exchange   clocks, and the verdict: who ended it |
//!        |        \                                         v
//!      http/h1         \   manager/control <---------- manager/pool
//!        |   ureq's     \        | bound to the exchange,     the only lock
//!        |   engine      \       | not to the socket
//!      manager/lease ------------+       (queue, limits, idle)
//!        |                               the sweep (timer) looks at what is idle
//!      manager/dial
//!        |
//!      net/          resolve, dial, proxies, TLS, bytes with deadlines
//!        |
//!      runtime/      the one place where anything blocks
//! ```
//!
//! # Invariants
//!
//! - The pool's lock (`manager/pool/lock`) is the one that every request takes. No socket is closed,
//!   no thread is woken and no callback runs under it.
//! - A slot is a guard tied to its connection (`manager/pool/slot`): taken before the socket is
//!   opened, free after it was ended.
//! - Waiters are served in the order of their tickets, over all origins (`manager/pool/waiters`); a
//!   connection that becomes free is preferred to a dial in progress.
//! - A connection is ended in one way: its socket is shut down and closed by the last user
//!   (`net/gate`). A thread that waits on it wakes because the kernel says so, a fiber because it is
//!   told (`runtime/source`).
//! - An exchange is ended from outside in one place (`manager/control`), and the first cause
//!   counts: CANCELLED, CLOSED, TIMED_OUT and SHUT_DOWN are never confused. The same atomic
//!   settles "done", so what comes later finds nothing to end.
//! - What is submitted is the same blocking code, run by `runtime/engine` on a fiber of an I/O thread; its
//!   outcome is told exactly once, whatever happens to it (`submit`).
//! - A fiber stays in its event loop, which may go on on another thread (`runtime/lead`), and is never
//!   dropped before its end. Nothing of a thread's own (a lock, a thread-local) is held over a wait; what takes long, blocks, or is somebody else's code
//!   is done elsewhere (`runtime/run_on_worker`, `on_thread_stack`).
//! - Only `http/failure` says why an exchange failed.
//! - Reading to the end gives the connection back before the end is reported.
//! - Nothing below `http` knows HTTP, but for CONNECT (`net/proxy`), whose answer `response_head` reads like every other; nothing in `src/` outside `ffi` knows C; `runtime` and `net`
//!   are the only modules that name what only Linux has.
//! - The C ABI is there with the feature `capi`, which `bindings/c`, the C library, turns on: what else links the
//!   crate exports none of it.
//! - Threads are started in one place (`process/thread`), which blocks the program's signals for them.
//! - Unsafe code lives in `ffi`, `runtime`, `net` (system calls) and `process` (the fork handler, signals).
//! - `tests/layers.rs` keeps who may use whom.
//!
//! # Where to start reading
//!
//! | to change | read |
//! |---|---|
//! | what a call answers, and when | `http/failure.rs`, `error.rs` |
//! | how a request looks on the wire | `client/request_head.rs`, `request.rs` |
//! | what is sent of a file, and how a body is read | `http/sent_file.rs`, `http/request_body.rs` |
//! | how a coded body is decoded | `http/decode.rs` |
//! | what happens to what is submitted | `submit/`, `response/soon.rs`, `queue.rs` |
//! | what is sent again, and where a redirect leads | `client/call.rs`, `client/retry.rs`, `client/redirect.rs` |
//! | what is accepted as a response | `response_head.rs`, `http/h1/recv.rs`, `http/h1/chunked.rs` |
//! | which URLs are refused, and how they are shown | `authority.rs`, `target.rs` |
//! | who gets which connection | `manager/key.rs`, `manager/pool/` |
//! | how a connection is made | `manager/dial.rs`, then `net/dial.rs` |
//! | how anything waits | `runtime/` |
//! | the C ABI | `ffi/`: one file a handle, `guard.rs` is the border |

#![deny(unsafe_op_in_unsafe_fn, unsafe_code)]
#![warn(missing_docs)]
// The completion queue and some more is there for the C ABI.
#![cfg_attr(not(feature = "capi"), allow(dead_code, unused_imports))]

mod authority;
mod caller_reader;
mod cancel;
mod client;
mod error;
#[cfg(feature = "capi")]
mod ffi;
mod http;
mod manager;
mod net;
mod process;
mod queue;
mod request;
mod response;
mod response_head;
mod runtime;
mod secret;
mod submit;
mod sync;
mod target;
mod threads;
mod timeouts;
mod timer;
mod vocabulary;

pub use cancel::CancelToken;
pub use client::Client;
pub use error::Error;
pub use http::Timings;
pub use manager::{
    ConnectionInfo, Event, EventKind, Events, EventsCloser, Limits, Manager, Resolve, Stats,
};
pub use request::{Body, Request};
pub use response::{CloseHandle, ReadFuture, Redirect, Response, ResponseBody, ResponseHead};
pub use submit::Submission;
pub use threads::{set_interrupt_check, set_io_threads};
pub use timeouts::Timeouts;
pub use vocabulary::{
    CloseMode, CloseReason, ConnectionMode, ConnectionState, Kind, Phase, Sent, Timeout,
};
#[cfg(feature = "capi")]
#[doc(hidden)]
pub use vocabulary::{Declaration, Value, declarations};
