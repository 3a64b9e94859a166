//! The network: sockets, host names, addresses, proxies and TLS. Knows nothing of HTTP but the CONNECT request to a
//! proxy, and nothing of the pool: a dial is stopped by a [`Notify`](crate::runtime::Notify) and a closure.

pub(crate) mod connect_to;
pub(crate) mod connector;
pub(crate) mod dial;
pub(crate) mod dns;
pub(crate) mod facts;
mod gate;
pub(crate) mod network_watch;
pub(crate) mod paths;
pub(crate) mod probes;
pub(crate) mod proxy;
pub(crate) mod route;
pub(crate) mod silence;
pub(crate) mod socket;
pub(crate) mod stream;
mod sys;
pub(crate) mod tcp_info;
pub(crate) mod tls;
mod wait_context;

pub(crate) use sys::{is_exhaustion, path_bytes};

use crate::error::Error;
use crate::vocabulary::Timeout;

/// Why a network operation stopped before it was done. The exchange makes an [`Error`] of it: only
/// the exchange knows in which phase that was, and whether it was ended from outside.
#[derive(Debug)]
pub(crate) enum Stop {
    /// This timeout's deadline came.
    Deadline(Timeout),
    /// The thread's interrupt check wants the call to end.
    Interrupted,
    /// It was ended from outside, by another part of this process.
    Ended,
    /// The peer closed; for TLS, without saying so (RFC 8446 section 6.1).
    PeerClosed,
    /// The operating system's error.
    Io(std::io::Error),
    /// A thread is needed, and the system makes none.
    NoThread(std::io::Error),
    /// TLS's error.
    Tls(rustls::Error),
    /// Any other failure, with its message.
    Failed(Error),
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}
