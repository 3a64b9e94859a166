//! One request and its response over one lease: the seam with ureq, which speaks HTTP/1.1.
//!
//! Down: [`exchange`] runs ureq, whose connector and transport ([`transport`]) are ours. Up: the
//! head, then the [`body`](exchange::Reader), [decoded](decode) if that is wanted. Only [`exchange`] says who ended it.

mod buffers;
mod clocks;
pub(crate) mod decode;
pub(crate) mod exchange;
pub(crate) mod head;
mod proxied;
mod transport;
pub(crate) mod upload;

pub use clocks::Timings;
