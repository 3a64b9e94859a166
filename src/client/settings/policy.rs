//! Which redirects a client follows, and what it sends again.

use std::sync::Arc;

use crate::client::retry_policy::Retrying;
use crate::client::{Client, RetryPolicy};
use crate::error::Error;

impl Client {
    /// Sets whether a request is sent again if a reused connection breaks before the response; it is by default.
    ///
    /// Only if that is safe. The connection had served a request before, or large packets vanish on its path
    /// ([`set_detect_lost_connections`](Self::set_detect_lost_connections)). The peer closed or reset it, the system gave
    /// it up, or it was lost, before the first byte of the response. The body can be read again. And either no byte was
    /// sent, or the method is GET, HEAD, OPTIONS, TRACE, PUT or DELETE, or there is an Idempotency-Key header. After three
    /// broken connections a new one is opened for the last attempt.
    ///
    /// ```
    /// let client = hangup::Client::default();
    /// client.set_retries(false);
    /// ```
    pub fn set_retries(&self, on: bool) {
        self.configure(|config| config.retries = on);
    }

    /// Sets whether a request that waits long on a reused connection finds out whether that connection is lost; it does by
    /// default.
    ///
    /// Networks lose connections without a word: a NAT forgets them, a cable is pulled. A request that waits for its
    /// response, or for room to send, then waits for a timeout. With this setting, after a second the system is
    /// asked (TCP_INFO, tcp(7)). If bytes of the request have not been acknowledged for longer than three
    /// retransmission timeouts (RFC 6298) and a second, and nothing came, a second connection to the origin is dialled
    /// in the background, within the limits. If that is made while the first one is still not acknowledged, the first
    /// one is lost: it is closed with [`CloseReason::PeerSilent`](crate::CloseReason::PeerSilent), together with the idle
    /// connections of its origin that have not been in use since, and the request is sent again as
    /// [`set_retries`](Self::set_retries) says, or fails with [`Kind::PeerSilent`](crate::Kind::PeerSilent).
    ///
    /// A server that is slow, stopped or busy is never called lost: its system acknowledges what arrives. If nothing can
    /// be connected to, the network is away, and not this connection: nothing changes. Where the limits leave no room
    /// for a second connection, and on systems other than Linux, the timeouts decide as before.
    /// Each step is an event ([`EventKind::Suspected`](crate::EventKind::Suspected) and those after it).
    ///
    /// A new connection is looked at, too, for an MTU black hole: a path on which large packets vanish and small ones pass.
    /// If nothing larger than 536 bytes (1,220 with IPv6; RFC 9293 section 3.7.1) was ever acknowledged on it, and larger
    /// segments have not been for that time, the second connection has segments of at most that size in both directions
    /// (TCP_MAXSEG, tcp(7)). If it is made and a segment that was sent again is still not acknowledged, the request is sent
    /// again there, or fails with [`Kind::PeerSilent`](crate::Kind::PeerSilent) and a message that says so. For ten minutes,
    /// or until [`Manager::network_changed`](crate::Manager::network_changed), other connections to that address have small
    /// segments as well.
    ///
    /// ```
    /// let client = hangup::Client::default();
    /// client.set_detect_lost_connections(false);
    /// ```
    pub fn set_detect_lost_connections(&self, on: bool) {
        self.configure(|config| config.detects_loss = on);
    }

    /// Sets when a request is sent again that was not served; `None`, the default, is never. The policy's budget begins
    /// anew. A request for which [`set_retries`](Self::set_retries) is off is not sent again.
    ///
    /// After a response with a status code of the policy: a GET, HEAD, OPTIONS, TRACE, PUT or DELETE, or a request with an
    /// Idempotency-Key header; any other method only after 429 (RFC 6585 section 4), and after 503 with a Retry-After
    /// (RFC 9110 section 15.6.4), with which the server says that it did nothing. (curl's `--retry` repeats every
    /// method, urllib3 only idempotent ones.) A Retry-After of the response sets the delay, in
    /// seconds or as a date.
    ///
    /// After a failure to connect, whatever the method, as nothing was sent: the name was not resolved, no address
    /// accepted the connection, the proxy failed, the connection broke in the proxy's or the TLS handshake, or the
    /// timeout of one of these ran out. A refused certificate is not tried again.
    ///
    /// In both cases the body must be one that can be read again. A cancel, the total timeout and a shutdown end the
    /// delay at once; a delay that would last longer than the total timeout or [`RetryPolicy::max_total`] is not begun,
    /// and the last outcome is returned. Each retry is an event ([`EventKind::Retried`](crate::EventKind::Retried)).
    ///
    /// # Errors
    /// [`Kind::InvalidArgument`](crate::Kind::InvalidArgument) for a policy that makes no sense; the message says why.
    ///
    /// ```
    /// let client = hangup::Client::default();
    /// client.set_retry_policy(Some(hangup::RetryPolicy::new().max_attempts(5)))?;
    /// # Ok::<(), hangup::Error>(())
    /// ```
    pub fn set_retry_policy(&self, policy: Option<RetryPolicy>) -> Result<(), Error> {
        policy.as_ref().map_or(Ok(()), RetryPolicy::check)?;
        self.configure(|config| {
            config.retrying = policy.map(|policy| Arc::new(Retrying::new(policy)));
        });
        Ok(())
    }

    /// Sets how many redirects a call follows, 10 by default; with 0 a redirect is returned as any other response.
    ///
    /// After 303 the next request is a GET without a body (HEAD stays HEAD); after 301 and 302 so is that of a POST, and
    /// any other method is repeated with its body, as after 307 and 308 (RFC 9110 section 15.4; the fetch standard).
    /// Once scheme, host or port changes, Authorization, Cookie, Proxy-Authorization, the user information of
    /// the first URL and the headers of [`add_sensitive_header`](Self::add_sensitive_header) are dropped for the rest of
    /// the call.
    ///
    /// ```
    /// let client = hangup::Client::default();
    /// client.set_redirects(0); // a redirect is returned as the response
    /// ```
    pub fn set_redirects(&self, max: u32) {
        self.configure(|config| config.redirects = max);
    }
}
