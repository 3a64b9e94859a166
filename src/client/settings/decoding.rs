//! The content codings that a client undoes.

use crate::client::Client;
use crate::error::Error;
use crate::vocabulary::Kind;

impl Client {
    /// Sets whether requests ask for the content codings gzip, deflate, br and zstd and such bodies are decoded; not
    /// by default. [`Request::set_decode`](crate::Request::set_decode) is for one request. Those codings count whose
    /// features are on (`gzip` with deflate, `brotli`, `zstd`): by default, all.
    ///
    /// Headers are not changed, Content-Encoding and Content-Length included. Bounds count decoded
    /// bytes. A body in any other coding, and any part of a body (206), is returned undecoded. A request that has (or
    /// inherits from the defaults) an Accept-Encoding or a Range header is sent with that header only.
    ///
    /// gzip may have several members and zstd several frames. A br window has at most 16 MiB, a zstd window 8 MiB (RFC
    /// 9659). What was decoded before an error of the connection, the framing or the coding is returned before the
    /// error.
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

    /// Sets the most bytes of a body that is read as a whole without a bound of its own, decoded if it is decoded;
    /// 256 MiB by default, `usize::MAX` is no bound. A larger body fails with [`Kind::TooLarge`], and its connection is
    /// closed. It holds for [`Response::bytes`](crate::Response::bytes), and for
    /// [`Response::read_all`](crate::Response::read_all) and
    /// [`Request::set_buffer_body`](crate::Request::set_buffer_body) with `usize::MAX`. Bodies that are read in pieces
    /// have no bound.
    ///
    /// ```
    /// let client = hangup::Client::default();
    /// client.set_max_body(10 << 20);
    /// ```
    pub fn set_max_body(&self, bytes: usize) {
        self.configure(|config| config.max_body = bytes);
    }
}
