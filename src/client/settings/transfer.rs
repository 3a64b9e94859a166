//! How fast a client transfers bodies, and whether it waits for 100 Continue.

use std::time::Duration;

use crate::client::Client;
use crate::error::Error;
use crate::request::check_rates;
use crate::timeouts::not_zero;

impl Client {
    /// Sets the maximum rates of each request, in bytes per second: of its body (`upload`) and of the response's body
    /// (`download`). `None`, the default, is no maximum. Details: [`Request::set_max_rate`](crate::Request::set_max_rate).
    ///
    /// # Errors
    /// [`Kind::InvalidArgument`](crate::Kind::InvalidArgument) for a rate of zero.
    ///
    /// ```
    /// let client = hangup::Client::default();
    /// client.set_max_rate(Some(100_000), None)?;
    /// # Ok::<(), hangup::Error>(())
    /// ```
    pub fn set_max_rate(&self, upload: Option<u64>, download: Option<u64>) -> Result<(), Error> {
        check_rates(upload, download)?;
        self.configure(|config| {
            let transfer = config.transfer.get_or_insert_default();
            (transfer.max_upload, transfer.max_download) = (Some(upload), Some(download));
        });
        Ok(())
    }

    /// Sets whether requests with a body are sent with `Expect: 100-continue`, and how long they wait for the server to ask
    /// for the body; `None`, the default, sends the body at once. Details:
    /// [`Request::set_expect_continue`](crate::Request::set_expect_continue).
    ///
    /// # Errors
    /// [`Kind::InvalidTimeout`](crate::Kind::InvalidTimeout) for zero.
    ///
    /// ```
    /// let client = hangup::Client::default();
    /// client.set_expect_continue(Some(std::time::Duration::from_secs(1)))?;
    /// # Ok::<(), hangup::Error>(())
    /// ```
    pub fn set_expect_continue(&self, wait: Option<Duration>) -> Result<(), Error> {
        let wait = not_zero(wait)?;
        self.configure(|config| {
            config.transfer.get_or_insert_default().expect_continue = Some(wait);
        });
        Ok(())
    }
}
