//! hangup: an HTTP/1.1 client whose subject is the life of a connection.

#![deny(unsafe_op_in_unsafe_fn)]
#![warn(missing_docs)]

mod cancel;
mod client;
mod error;
mod ffi;
mod http;
mod limits;
mod manager;
mod net;
mod process;
mod request;
mod response;
mod sync;
mod target;
mod wait;

pub use cancel::CancelToken;
pub use client::Client;
pub use error::{Clock, Error, Kind, Phase, Sent};
pub use http::Timings;
pub use limits::Timeouts;
pub use manager::{ConnectionInfo, How, Limits, Manager, Reason, State, Stats};
pub use request::{Body, Mode, Request};
pub use response::{Head, Response, Stopper};
