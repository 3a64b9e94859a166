//! The cookies that a client keeps.

use std::sync::Arc;

use crate::client::{Client, cookies};
use crate::error::Error;
use crate::vocabulary::Kind;

impl Client {
    /// Sets whether cookies are kept; they are not by default, and switching it off forgets them. The cookies of every
    /// response are kept, those of redirects included, and sent as RFC 6265 specifies. A request that has a Cookie
    /// header of its own sends that one, and none of the kept ones.
    ///
    /// At most 3000 cookies are kept, and 180 of a site (a registrable domain and all below it). When there
    /// are more, expired ones are removed, then the least recently used one of the site, or of the site
    /// with the most cookies.
    ///
    /// ```
    /// let client = hangup::Client::default();
    /// client.set_cookies(true);
    /// ```
    pub fn set_cookies(&self, on: bool) {
        self.configure(|config| match on {
            true => drop(config.jar.get_or_insert_with(Arc::default)),
            false => config.jar = None,
        });
    }

    /// The Cookie header that a request for that URL would have; `None` if there is none. Bytes that
    /// are not UTF-8 are returned as U+FFFD; they are sent unchanged.
    ///
    /// # Errors
    /// [`Kind::InvalidUrl`].
    ///
    /// ```
    /// let client = hangup::Client::default();
    /// client.set_cookies(true);
    /// client.add_cookie("https://example.org/", "id=7")?;
    /// assert_eq!(client.cookies_for("https://example.org/")?.as_deref(), Some("id=7"));
    /// # Ok::<(), hangup::Error>(())
    /// ```
    pub fn cookies_for(&self, url: &str) -> Result<Option<String>, Error> {
        let target = cookies::target(url)?;
        let field = self.config.load().jar.as_ref().and_then(|jar| jar.peek(&target));
        Ok(field.map(|field| String::from_utf8_lossy(&field).into_owned()))
    }

    /// Keeps a cookie as if a response from that URL had set it: `name=value`, then
    /// attributes as in a Set-Cookie header.
    ///
    /// ```
    /// let client = hangup::Client::default();
    /// client.set_cookies(true);
    /// client.add_cookie("https://example.org/", "id=7; Path=/; Secure")?;
    /// assert_eq!(client.cookies_for("https://example.org/shop")?.as_deref(), Some("id=7"));
    /// assert_eq!(client.cookies_for("http://example.org/shop")?, None);
    /// # Ok::<(), hangup::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Kind::InvalidUrl`]; [`Kind::InvalidArgument`] for a cookie that such a response could not set;
    /// [`Kind::InvalidState`] if cookies are not kept.
    pub fn add_cookie(&self, url: &str, cookie: &str) -> Result<(), Error> {
        let target = cookies::target(url)?;
        let Some(jar) = self.config.load().jar.clone() else {
            let what = "this client keeps no cookies; switch them on first";
            return Err(Error::new(Kind::InvalidState, what));
        };
        jar.set(&target, cookie.as_bytes()).map_err(|why| {
            Error::new(Kind::InvalidArgument, format!("the cookie is refused: {why}"))
        })
    }

    /// Forgets all cookies.
    ///
    /// ```
    /// let client = hangup::Client::default();
    /// client.set_cookies(true);
    /// client.clear_cookies();
    /// ```
    pub fn clear_cookies(&self) {
        if let Some(jar) = &self.config.load().jar {
            jar.clear();
        }
    }
}
