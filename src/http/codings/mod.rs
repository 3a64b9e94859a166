//! The decoders of content codings, one in each file; which there are ([`Coding`]), and how each is made into a
//! reader ([`Decoded`]).
//!
//! A decoder does not read: it gets bytes and a buffer, and works without waiting. So it runs on the stack of a
//! thread, and what it has decoded is returned before more input is waited for. Each is a feature of the crate.

#[cfg(feature = "brotli")]
mod brotli;
mod coding;
mod decoded;
#[cfg(feature = "gzip")]
mod inflate;
#[cfg(feature = "zstd")]
mod zstd;

pub(crate) use self::coding::ACCEPT_ENCODING;
pub(super) use self::coding::Coding;
pub(super) use self::decoded::Decoded;
