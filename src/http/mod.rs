//! One request and its response over one lease. ureq's engine speaks HTTP/1.1 and does no I/O.
//!
//! Down: [`exchange`] has [`transport`] carry what the engine says. Up: the head, then the [`body`](exchange::Reader), [decoded](decode) if that is wanted. Only [`exchange`] says who ended it.

mod buffers;
mod clocks;
pub(crate) mod decode;
pub(crate) mod exchange;
mod proxied;
pub(crate) mod sent_file;
mod transport;
pub(crate) mod upload;

pub use clocks::Timings;
