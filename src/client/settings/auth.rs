//! The credentials that a client sends: to the origins of its requests, and to its proxy.

use crate::auth::Auth;
use crate::client::Client;

impl Client {
    /// Sets the credentials for the origin of each request; `None`, the default, sends none. See [`Auth`].
    ///
    /// Those of a request come first: its Authorization header, then
    /// [`Request::set_auth`](crate::Request::set_auth), then the user information of its URL. Then comes an
    /// Authorization header of the client's defaults, and then these. For a request with CONNECT they go into the
    /// Proxy-Authorization header, and answer a 407.
    ///
    /// ```
    /// let client = hangup::Client::default();
    /// client.set_auth(Some(hangup::Auth::digest("Mufasa", "Circle of Life")?));
    /// client.set_auth(None);
    /// # Ok::<(), hangup::Error>(())
    /// ```
    pub fn set_auth(&self, auth: Option<Auth>) {
        self.configure(|config| config.auth = auth);
    }

    /// Sets how a HTTP proxy gets the user and the password of its URL: with `false`, the default, as Basic credentials
    /// with each request; with `true` as answers to its challenges (Digest, RFC 7616), so that the password itself is
    /// never sent. A 407 is answered on the same connection if the proxy keeps it, and on a new one otherwise; later
    /// requests use the nonce that is known. A plain request whose body can't be read again gets the 407.
    ///
    /// ```
    /// let client = hangup::Client::default();
    /// client.set_proxy(Some("http://user:password@proxy.example:3128"))?;
    /// client.set_proxy_digest(true);
    /// # Ok::<(), hangup::Error>(())
    /// ```
    pub fn set_proxy_digest(&self, on: bool) {
        self.configure(|config| config.proxies.set_digest(on, &config.tls));
    }
}
