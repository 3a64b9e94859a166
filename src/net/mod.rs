//! The network: sockets, names, addresses, proxies and TLS. Knows nothing of HTTP but what a
//! proxy is told before a tunnel is open, and of the pool only that somebody may want a dial to
//! end early (an [`Notify`](crate::runtime::Event)).

mod cache;
pub(crate) mod dial;
mod gate;
mod name;
mod patience;
pub(crate) mod proxy;
mod race;
pub(crate) mod resolve;
pub(crate) mod route;
pub(crate) mod socket;
pub(crate) mod stream;
pub(crate) mod tls;

/// Why a network operation stopped before it was done. Who asks labels it: only the exchange
/// knows in which phase it was and by whom it was ended.
#[derive(Debug)]
pub(crate) enum Stop {
    /// The deadline that was passed in came.
    Deadline,
    /// The thread's interrupt check wants the call to end.
    Interrupted,
    /// Somebody in this process ended it.
    Ended,
    /// The peer closed; for TLS, without saying so (RFC 8446 section 6.1).
    PeerClosed,
    /// The operating system's error.
    Io(std::io::Error),
    /// A thread is needed, and the system makes none.
    NoThread(std::io::Error),
    /// TLS's error.
    Tls(rustls::Error),
}
