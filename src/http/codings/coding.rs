//! Which content codings this build decodes, and what it asks servers for.

#[cfg(feature = "brotli")]
use super::brotli::Brotli;
use super::decoded::Decode;
#[cfg(feature = "gzip")]
use super::inflate::{Deflate, Gzip};
#[cfg(feature = "zstd")]
use super::zstd::Zstd;

/// A coding that can be undone. Threads: a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::http) enum Coding {
    #[cfg(feature = "brotli")]
    Brotli,
    #[cfg(feature = "gzip")]
    Deflate,
    #[cfg(feature = "gzip")]
    Gzip,
    #[cfg(feature = "zstd")]
    Zstd,
}

impl Coding {
    /// The coding with that name in lower case, if it can be undone.
    pub(in crate::http) fn named(name: &[u8]) -> Option<Self> {
        match name {
            #[cfg(feature = "brotli")]
            b"br" => Some(Self::Brotli),
            #[cfg(feature = "gzip")]
            b"deflate" => Some(Self::Deflate),
            // RFC 9110 section 8.4.1.3.
            #[cfg(feature = "gzip")]
            b"gzip" | b"x-gzip" => Some(Self::Gzip),
            #[cfg(feature = "zstd")]
            b"zstd" => Some(Self::Zstd),
            _ => None,
        }
    }

    pub(in crate::http) fn decoder(self) -> Box<dyn Decode> {
        match self {
            #[cfg(feature = "brotli")]
            Self::Brotli => Box::new(Brotli::new()),
            #[cfg(feature = "gzip")]
            Self::Deflate => Box::new(Deflate::new()),
            #[cfg(feature = "gzip")]
            Self::Gzip => Box::new(Gzip::new()),
            #[cfg(feature = "zstd")]
            Self::Zstd => Box::new(Zstd::new()),
        }
    }
}

/// The value of Accept-Encoding: the codings that this build decodes, in the order in which browsers name them.
pub(crate) const ACCEPT_ENCODING: Option<&str> =
    match (cfg!(feature = "gzip"), cfg!(feature = "brotli"), cfg!(feature = "zstd")) {
        (true, true, true) => Some("gzip, deflate, br, zstd"),
        (true, true, false) => Some("gzip, deflate, br"),
        (true, false, true) => Some("gzip, deflate, zstd"),
        (true, false, false) => Some("gzip, deflate"),
        (false, true, true) => Some("br, zstd"),
        (false, true, false) => Some("br"),
        (false, false, true) => Some("zstd"),
        (false, false, false) => None,
    };
