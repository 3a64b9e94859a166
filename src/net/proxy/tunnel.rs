//! What the two proxy protocols share: where the tunnel leads, what the handshake does next, and a failure
//! that names the proxy.

use std::net::IpAddr;

use crate::error::Error;
use crate::net::dns;
use crate::vocabulary::Kind;

/// What the handshake does next.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Read more.
    NeedMore,
    /// Send this.
    Send(Vec<u8>),
    /// The proxy asked for credentials: its response has this size, and a nonce was learned from it.
    Challenged(usize),
    /// The tunnel is open; this many of the bytes that came belong to the handshake.
    Open(usize),
}

/// The host that the tunnel leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::net) enum TunnelTarget {
    Name(String),
    Address(IpAddr),
}

impl TunnelTarget {
    /// A host as URLs have it.
    pub(in crate::net) fn host(host: &str) -> Self {
        dns::parse_literal(host).map_or_else(|| Self::Name(host.to_owned()), Self::Address)
    }
}

/// A failure that names the proxy.
pub(super) fn failed(proxy_name: &str, why: &str) -> Error {
    Error::new(Kind::ProxyFailed, format!("{proxy_name}: {why}"))
}
