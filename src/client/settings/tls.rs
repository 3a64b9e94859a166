//! What a client trusts, and what it presents to a server that asks for a certificate.

use std::path::Path;
use std::sync::Arc;

use crate::client::Client;
use crate::client::config::Config;
use crate::error::Error;
use crate::net::tls::{self, Identity, Settings, Tls};
use crate::sync::lock;
use crate::vocabulary::Kind;

impl Client {
    /// Trusts the certificates in this PEM text and no others. By default the system's are trusted, or those of
    /// `SSL_CERT_FILE` and `SSL_CERT_DIR`, or a bundled copy of Mozilla's where the system has none.
    ///
    /// # Errors
    /// [`Kind::InvalidArgument`] if there is none.
    ///
    /// ```
    /// let client = hangup::Client::default();
    /// assert!(client.set_tls_roots(b"no certificate").is_err());
    /// ```
    pub fn set_tls_roots(&self, pem: &[u8]) -> Result<(), Error> {
        let roots = tls::certificates(pem)?;
        self.tls(|settings| settings.roots = Some(roots))
    }

    /// [`set_tls_roots`](Self::set_tls_roots) from a file.
    ///
    /// # Errors
    /// [`Kind::System`] if it can't be read.
    ///
    /// ```
    /// let client = hangup::Client::default();
    /// assert!(client.set_tls_roots_file("/no/such/file.pem").is_err());
    /// ```
    pub fn set_tls_roots_file(&self, path: impl AsRef<Path>) -> Result<(), Error> {
        let path = path.as_ref();
        let pem = std::fs::read(path).map_err(|error| {
            Error::from_os(Kind::System, &format!("can't read {}", path.display()), &error)
        })?;
        self.set_tls_roots(&pem)
    }

    /// Presents this certificate (PEM, the chain in order) with this private key (PEM) to servers that ask for one.
    ///
    /// # Errors
    /// [`Kind::InvalidArgument`] if either can't be read or they don't belong together.
    pub fn set_tls_certificate(&self, chain: &[u8], key: &[u8]) -> Result<(), Error> {
        let identity = Identity::from_pem(chain, key)?;
        self.tls(|settings| settings.identity = Some(identity))
    }

    /// Accepts ANY certificate: everything on the way to the server can read and change the traffic. For tests
    /// against temporary servers only.
    ///
    /// # Errors
    /// None so far.
    pub fn set_tls_dangerously_accept_any_certificate(&self, on: bool) -> Result<(), Error> {
        self.tls(|settings| settings.accept_any_certificate = on)
    }

    fn tls(&self, change: impl FnOnce(&mut Settings)) -> Result<(), Error> {
        let _changing = lock(&self.changing);
        let mut config = Config::clone(&self.config.load());
        let mut settings = config.tls.settings().clone();
        change(&mut settings);
        let own_roots = settings.roots.is_some() || settings.accept_any_certificate;
        config.tls = Tls::new(settings);
        // The caller's certificates are checked here, where the error belongs; the system's roots are
        // read when they are needed.
        if own_roots || config.tls.settings().identity.is_some() {
            config.tls.config()?;
        }
        config.proxies.secured_by(&config.tls);
        self.config.store(Arc::new(config));
        Ok(())
    }
}
