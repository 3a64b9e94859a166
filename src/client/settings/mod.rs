//! The settings of a client. Each applies to requests that are sent or submitted after it.

mod auth;
mod cookies;
mod decoding;
mod network;
mod policy;
mod tls;
mod tracing;
mod transfer;

use std::sync::Arc;
use std::time::Duration;

use super::Client;
use super::config::Config;
use crate::error::Error;
use crate::headers;
use crate::request::{OWN, own};
use crate::sync::lock;
use crate::timeouts::{check_can_be_set, not_zero};
use crate::vocabulary::{ConnectionMode, Kind, Timeout};

impl Client {
    /// Sets the default of a timeout; `None` is no timeout. A request may set its own
    /// ([`Request::set_timeout`](crate::Request::set_timeout)).
    ///
    /// # Errors
    /// [`Kind::InvalidTimeout`] for zero; [`Kind::InvalidArgument`] for a timeout that can't be set
    /// ([`Timeout::can_be_set`]).
    ///
    /// ```
    /// use std::time::Duration;
    /// let client = hangup::Client::default();
    /// client.set_timeout(hangup::Timeout::Total, Some(Duration::from_secs(30)))?;
    /// assert!(client.set_timeout(hangup::Timeout::Total, Some(Duration::ZERO)).is_err());
    /// # Ok::<(), hangup::Error>(())
    /// ```
    pub fn set_timeout(&self, which: Timeout, limit: Option<Duration>) -> Result<(), Error> {
        check_can_be_set(which)?;
        let limit = not_zero(limit)?;
        self.configure(|config| config.timeouts.set(which, limit));
        Ok(())
    }

    /// Sets a header for every request that has none of that name, with any earlier value replaced. `None` removes it,
    /// and what the library would add under that name: Accept-Encoding, Cookie, and Authorization from a URL's user
    /// information. The defaults are User-Agent and Accept. They are sent behind the request's own headers.
    ///
    /// # Errors
    /// [`Kind::InvalidHeader`], also for Host, Connection, Content-Length and Transfer-Encoding.
    ///
    /// ```
    /// let client = hangup::Client::default();
    /// client.set_header("Accept", Some("application/json"))?;
    /// client.set_header("Accept", None)?;
    /// # Ok::<(), hangup::Error>(())
    /// ```
    pub fn set_header(&self, name: &str, value: Option<&str>) -> Result<(), Error> {
        self.set_header_bytes(name, value.map(str::as_bytes))
    }

    /// As [`set_header`](Self::set_header), with a value of any bytes but control characters other than HTAB
    /// (RFC 9110 section 5.5).
    ///
    /// # Errors
    /// As [`set_header`](Self::set_header).
    ///
    /// ```
    /// let client = hangup::Client::default();
    /// client.set_header_bytes("X-Name", Some(b"caf\xe9"))?;
    /// # Ok::<(), hangup::Error>(())
    /// ```
    pub fn set_header_bytes(&self, name: &str, value: Option<&[u8]>) -> Result<(), Error> {
        headers::check(name, value.unwrap_or_default())?;
        if OWN.iter().any(|own| headers::is(name, own)) {
            return Err(own(name, "it can't be a default"));
        }
        self.configure(|config| {
            config.removed.retain(|known| !headers::is(known, name));
            match value {
                Some(value) => config.headers.set(name, value),
                None => {
                    config.headers.remove(name);
                    config.removed.push(name.into());
                }
            }
        });
        Ok(())
    }

    /// Sets how long connections live by default: [`ConnectionMode::Keep`] unless set here.
    ///
    /// ```
    /// let client = hangup::Client::default();
    /// client.set_connection_mode(hangup::ConnectionMode::CloseAfter);
    /// ```
    pub fn set_connection_mode(&self, mode: ConnectionMode) {
        self.configure(|config| config.mode = mode);
    }

    /// Sets the most bytes that a response head may have, all 1xx heads before it included; 65,536 by
    /// default. A larger head fails the request with [`Kind::TooLarge`].
    ///
    /// # Errors
    /// [`Kind::InvalidArgument`] for less than 256.
    ///
    /// ```
    /// let client = hangup::Client::default();
    /// client.set_max_head(16 * 1024)?;
    /// assert!(client.set_max_head(1).is_err());
    /// # Ok::<(), hangup::Error>(())
    /// ```
    pub fn set_max_head(&self, bytes: usize) -> Result<(), Error> {
        if bytes < MIN_MAX_HEAD {
            let what =
                format!("the bound on a response head must be at least {MIN_MAX_HEAD} bytes");
            return Err(Error::new(Kind::InvalidArgument, what));
        }
        self.configure(|config| config.max_head = bytes);
        Ok(())
    }

    /// Adds a header to those that are not sent to another origin after a redirect, whether a request or
    /// the client's defaults have it.
    ///
    /// # Errors
    /// [`Kind::InvalidHeader`].
    ///
    /// ```
    /// let client = hangup::Client::default();
    /// client.add_sensitive_header("X-Api-Key")?;
    /// # Ok::<(), hangup::Error>(())
    /// ```
    pub fn add_sensitive_header(&self, name: &str) -> Result<(), Error> {
        headers::check(name, b"")?;
        self.configure(|config| {
            if !config.sensitive.iter().any(|known| headers::is(known, name)) {
                config.sensitive.push(name.into());
            }
        });
        Ok(())
    }

    fn configure(&self, change: impl FnOnce(&mut Config)) {
        let _changing = lock(&self.changing);
        let mut config = Config::clone(&self.config.load());
        change(&mut config);
        self.config.store(Arc::new(config));
    }
}

/// Less does not hold the head of any real response.
const MIN_MAX_HEAD: usize = 256;
