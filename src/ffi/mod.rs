//! The C ABI: what `include/hangup.h` is generated from.
//!
//! An exported function crosses the border through [`guard`], calls the Rust API and hands its result back. There is
//! one module for each handle; the long ones are split by chapter of the header. The contract of all functions stands at
//! the top of the header, whose prose is in `hangup.h.in`.
//!
//! Nothing in `src/` outside this folder knows C.

#![allow(non_camel_case_types, unsafe_code)]
// What is exported is `pub`: cbindgen reads that.
#![allow(unreachable_pub)]
// The safety contract of every export is the header's: pointers are NULL or live handles
// of their own type. Repeating it for each function would add nothing.
#![allow(clippy::missing_safety_doc)]

mod auth;
mod body;
mod callback;
mod cancel;
mod client;
mod connections;
mod connector;
mod cookie_list;
mod cookies;
mod download;
mod enums;
mod error;
mod events;
mod facts;
mod fields;
mod form;
mod guard;
mod handle;
mod interrupt;
mod limits;
mod manager;
mod milliseconds;
mod policy;
mod progress;
mod proxy;
mod queue;
mod redirects;
mod request;
mod resolver;
mod response;
mod response_facts;
mod response_head;
mod retry_policy;
mod route;
mod stream;
mod string;
mod tcp_facts;
mod timings;
mod tls;
mod trace;
mod transfer;
mod upload;
mod version;

#[cfg(panic = "abort")]
compile_error!("hangup needs panic=unwind: a panic must become HANGUP_PANIC, not end the process");
