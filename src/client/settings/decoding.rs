//! The content codings that a client undoes.

use crate::client::Client;
use crate::error::Error;
use crate::vocabulary::Kind;

impl Client {
    /// Sets whether requests ask for gzip and deflate and such bodies are decoded; not by default.
    ///
    /// Headers are not changed, Content-Encoding and Content-Length included. Bounds count decoded
    /// bytes. A body in any other coding is returned undecoded. A request that has (or inherits from the
    /// defaults) an Accept-Encoding or a Range header is sent with that header only.
    ///
    /// ```
    /// let client = hangup::Client::default();
    /// client.set_decode(true);
    /// ```
    pub fn set_decode(&self, on: bool) {
        self.configure(|config| config.decode = on);
    }

    /// Sets how many content codings, one over the other, a decoded body may have; 2 by default. A response with more
    /// fails with [`Kind::Protocol`]: each coding multiplies by about a thousand what a byte of the peer can cost.
    ///
    /// # Errors
    /// [`Kind::InvalidArgument`] for zero: that is [`set_decode(false)`](Self::set_decode).
    ///
    /// ```
    /// let client = hangup::Client::default();
    /// client.set_max_codings(1)?;
    /// # Ok::<(), hangup::Error>(())
    /// ```
    pub fn set_max_codings(&self, max: u32) -> Result<(), Error> {
        if max == 0 {
            let what = "0 content codings decode nothing; switch decoding off instead";
            return Err(Error::new(Kind::InvalidArgument, what));
        }
        self.configure(|config| config.max_codings = max);
        Ok(())
    }
}
