//! The TLS settings of a client: all of them as a [`Tls`], and shortcuts for the commonest.

use std::path::Path;
use std::sync::Arc;

use crate::client::Client;
use crate::error::Error;
use crate::net::tls::Tls;

impl Client {
    /// Sets the TLS settings of requests that have none of their own ([`Request::set_tls`](crate::Request::set_tls)), and of
    /// the connection to a https proxy, for which server name and pins don't count. `Tls::new()` is the default.
    ///
    /// ```
    /// use hangup::{Client, Tls, TlsVersion};
    ///
    /// let mut tls = Tls::new();
    /// tls.set_versions(TlsVersion::Tls13, TlsVersion::Tls13)?;
    /// Client::default().set_tls(tls);
    /// # Ok::<(), hangup::Error>(())
    /// ```
    pub fn set_tls(&self, tls: impl Into<Arc<Tls>>) {
        let tls = tls.into();
        self.configure(|config| {
            config.tls = tls;
            config.proxies.secured_by(&config.tls);
        });
    }

    /// Trusts the certificates in this PEM text and no others: [`Tls::set_roots`] for this client's settings.
    ///
    /// # Errors
    /// [`Kind::InvalidArgument`](crate::Kind::InvalidArgument) if there is none.
    ///
    /// ```
    /// let client = hangup::Client::default();
    /// assert!(client.set_tls_roots(b"no certificate").is_err());
    /// ```
    pub fn set_tls_roots(&self, pem: &[u8]) -> Result<(), Error> {
        self.change_tls(|tls| tls.set_roots(pem))
    }

    /// Trusts the certificates of this file, or of all files of this directory, and no others:
    /// [`Tls::set_roots_path`] for this client's settings.
    ///
    /// # Errors
    /// [`Kind::System`](crate::Kind::System) if it can't be read;
    /// [`Kind::InvalidArgument`](crate::Kind::InvalidArgument) if there is no certificate.
    ///
    /// ```
    /// let client = hangup::Client::default();
    /// assert!(client.set_tls_roots_file("/no/such/file.pem").is_err());
    /// ```
    pub fn set_tls_roots_file(&self, path: impl AsRef<Path>) -> Result<(), Error> {
        self.change_tls(|tls| tls.set_roots_path(path))
    }

    /// Presents this certificate (PEM, the chain in order) with this private key (PEM) to servers that ask for one:
    /// [`Tls::set_certificate`] for this client's settings.
    ///
    /// # Errors
    /// [`Kind::InvalidArgument`](crate::Kind::InvalidArgument) if either can't be read or they don't belong together.
    pub fn set_tls_certificate(&self, chain: &[u8], key: &[u8]) -> Result<(), Error> {
        self.change_tls(|tls| tls.set_certificate(chain, key, None))
    }

    /// Accepts ANY certificate: everything on the way to the server can read and change the traffic. For tests
    /// against temporary servers only.
    ///
    /// # Errors
    /// None so far.
    pub fn set_tls_dangerously_accept_any_certificate(&self, on: bool) -> Result<(), Error> {
        self.change_tls(|tls| {
            tls.set_dangerously_accept_any_certificate(on);
            Ok(())
        })
    }

    fn change_tls(&self, change: impl FnOnce(&mut Tls) -> Result<(), Error>) -> Result<(), Error> {
        let mut outcome = Ok(());
        self.configure(|config| {
            let mut tls = Tls::clone(&config.tls);
            outcome = change(&mut tls);
            if outcome.is_ok() {
                config.tls = Arc::new(tls);
                config.proxies.secured_by(&config.tls);
            }
        });
        outcome
    }
}
