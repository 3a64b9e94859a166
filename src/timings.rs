//! How long each part of an exchange took, as a value. Measured by `http/timing.rs`.

use std::time::Duration;

/// How long each part of an exchange took; `None` for what did not take place. After redirects and
/// retries the parts are those of the last exchange, and the total is that of the call.
/// Threads: a value.
///
/// ```no_run
/// let client = hangup::Client::default();
/// let response = client.get("https://example.org/", None)?;
/// println!("waited {:?} for the head", response.timings().head);
/// # Ok::<(), hangup::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Timings {
    /// Waiting for a connection slot.
    pub pool: Option<Duration>,
    /// Resolving the host name.
    pub resolve: Option<Duration>,
    /// Connecting.
    pub connect: Option<Duration>,
    /// Talking to a proxy.
    pub proxy: Option<Duration>,
    /// The TLS handshake.
    pub tls: Option<Duration>,
    /// Sending the request.
    pub write: Option<Duration>,
    /// From the request's last byte to the whole head.
    pub head: Option<Duration>,
    /// From the head to the body's end, or until now.
    pub read: Option<Duration>,
    /// From the call to the body's end, or until now.
    pub total: Option<Duration>,
}
