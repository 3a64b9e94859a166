//! One request and its response over one lease. ureq's engine speaks HTTP/1.1 and does no I/O.
//!
//! Down: [`exchange`] has [`h1`] carry what the engine says. Up: the head, then the
//! [`body`](response_body), [decoded](decode) if that is wanted. Only [`failure`] says who ended it.

pub(crate) mod decode;
mod drain;
pub(crate) mod exchange;
mod failure;
mod h1;
pub(crate) mod request_body;
mod response_body;
pub(crate) mod sent_file;
mod timing;

pub use timing::Timings;
