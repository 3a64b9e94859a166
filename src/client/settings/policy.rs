//! Which redirects a client follows, and what it sends again.

use crate::client::Client;

impl Client {
    /// Sets whether a request is sent again if a reused connection breaks before the response; it is by default.
    ///
    /// Only if that is safe: the connection had served a request before, the peer closed or reset it
    /// before the first byte of the response, the body can be read again, and either no byte
    /// was sent, or the method is GET, HEAD, OPTIONS, TRACE, PUT or DELETE, or there is an
    /// Idempotency-Key header. After three broken connections a new one is opened for the last attempt.
    ///
    /// ```
    /// let client = hangup::Client::default();
    /// client.set_retries(false);
    /// ```
    pub fn set_retries(&self, on: bool) {
        self.configure(|config| config.retries = on);
    }

    /// Sets how many redirects a call follows, 10 by default; with 0 a redirect is returned as any other response.
    ///
    /// 301, 302 and 303 become GET without a body (HEAD stays HEAD), 307 and 308 repeat method and
    /// body. Once scheme, host or port changes, Authorization, Cookie, Proxy-Authorization, the user information of
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
