//! `Tls`: the settings of TLS with the rustls configuration that is made from them, once.

use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::Path;
use std::sync::{Arc, OnceLock};

use once_cell::sync::OnceCell;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;

use super::failure::explain;
use super::identity::Identity;
use super::key_log::KeyLogFile;
use super::pin::Pin;
use super::provider::provider;
use super::roots::{Roots, roots, roots_at};
use super::settings::{Settings, Versions};
use super::verifier::Verifier;
use crate::error::Error;
use crate::process::PerProcess;
use crate::vocabulary::{Kind, TlsVersion};

/// The settings of TLS: which certificates are trusted, which one is presented, which versions are spoken. A client has
/// some ([`Client::set_tls`](crate::Client::set_tls)); a request may have others
/// ([`Request::set_tls`](crate::Request::set_tls)).
///
/// Connections are shared by requests with equal settings only, and sessions are resumed by requests that share one
/// `Tls`: make it once, and give the same `Arc` to all requests that need it.
///
/// ```
/// use std::sync::Arc;
/// use hangup::{Client, Request, Tls, TlsVersion};
///
/// let mut tls = Tls::new();
/// tls.set_versions(TlsVersion::Tls13, TlsVersion::Tls13)?;
/// tls.set_server_name(Some("service.internal"))?;
/// let tls = Arc::new(tls);
/// let mut request = Request::new("GET", "https://10.0.0.7/")?;
/// request.set_tls(Some(Arc::clone(&tls)));
/// Client::default().set_tls(tls);
/// # Ok::<(), hangup::Error>(())
/// ```
///
/// Threads: a value; in an `Arc` it is immutable.
#[derive(Clone)]
pub struct Tls {
    settings: Settings,
    /// Shared by copies with the same settings. A child of a fork makes its own: a thread of its parent may be making the
    /// parent's, and the sessions in it have a lock.
    config: Arc<PerProcess<OnceCell<Arc<ClientConfig>>>>,
    /// The hash of the settings: bundles of roots are long, and each pool key is hashed.
    hash: OnceLock<u64>,
}

impl Tls {
    /// The default settings: the system's root certificates are trusted, or those of `SSL_CERT_FILE` and `SSL_CERT_DIR`,
    /// or a bundled copy of Mozilla's where the system has none; TLS 1.2 and 1.3; no client certificate.
    pub fn new() -> Self {
        Self::with(Settings::default())
    }

    pub(crate) fn with(settings: Settings) -> Self {
        Self { settings, config: fresh(), hash: OnceLock::new() }
    }

    /// The default settings. They are shared, so that sessions are resumed in all clients with default settings.
    pub(crate) fn standard() -> Arc<Self> {
        static STANDARD: OnceCell<Arc<Tls>> = OnceCell::new();
        Arc::clone(STANDARD.get_or_init(Arc::default))
    }

    /// Trusts the root certificates in this PEM text and no others. A certificate that is given here is also accepted
    /// if the server presents this very certificate, whatever its issuer is; it must be valid, and for the server's name.
    ///
    /// # Errors
    /// [`Kind::InvalidArgument`] if there is none, or one can't be parsed.
    ///
    /// ```
    /// let mut tls = hangup::Tls::new();
    /// assert!(tls.set_roots(b"no certificate").is_err());
    /// ```
    pub fn set_roots(&mut self, pem: &[u8]) -> Result<(), Error> {
        let own = roots(pem)?;
        self.change(|settings| settings.roots = Roots::only(own));
        Ok(())
    }

    /// Trusts the root certificates in this PEM text in addition to those that are trusted already: the system's, unless
    /// [`set_roots`](Self::set_roots) or [`set_roots_path`](Self::set_roots_path) replaced them.
    ///
    /// # Errors
    /// As for [`set_roots`](Self::set_roots).
    ///
    /// ```
    /// let mut tls = hangup::Tls::new();
    /// assert!(tls.add_roots(b"no certificate").is_err());
    /// ```
    pub fn add_roots(&mut self, pem: &[u8]) -> Result<(), Error> {
        let own = roots(pem)?;
        self.change(|settings| settings.roots.add(own));
        Ok(())
    }

    /// [`set_roots`](Self::set_roots) from a file, or from all files of a directory. Files of a directory without usable
    /// certificates are passed over, and their names don't matter. It is read now.
    ///
    /// # Errors
    /// [`Kind::System`] if it can't be read; [`Kind::InvalidArgument`] if there is no certificate.
    ///
    /// ```
    /// let mut tls = hangup::Tls::new();
    /// assert!(tls.set_roots_path("/no/such/directory").is_err());
    /// ```
    pub fn set_roots_path(&mut self, path: impl AsRef<Path>) -> Result<(), Error> {
        let own = roots_at(path.as_ref())?;
        self.change(|settings| settings.roots = Roots::only(own));
        Ok(())
    }

    /// [`add_roots`](Self::add_roots) from a file, or from all files of a directory, as
    /// [`set_roots_path`](Self::set_roots_path) reads them.
    ///
    /// # Errors
    /// As for [`set_roots_path`](Self::set_roots_path).
    ///
    /// ```
    /// let mut tls = hangup::Tls::new();
    /// assert!(tls.add_roots_path("/no/such/directory").is_err());
    /// ```
    pub fn add_roots_path(&mut self, path: impl AsRef<Path>) -> Result<(), Error> {
        let own = roots_at(path.as_ref())?;
        self.change(|settings| settings.roots.add(own));
        Ok(())
    }

    /// Presents this certificate to servers that ask for one: PEM, the chain in order, the client's own first, and its
    /// private key in PEM (PKCS#8, PKCS#1 or SEC1), which may be the same text. A `password` decrypts a key of PKCS#8
    /// ("ENCRYPTED PRIVATE KEY", PBES2); it is not used for a key that is not encrypted.
    ///
    /// # Errors
    /// [`Kind::InvalidArgument`] if either can't be read, the password is missing or wrong, or they don't belong
    /// together; for other formats (PKCS#12, DER, "Proc-Type: 4,ENCRYPTED") the message has the command that converts.
    ///
    /// ```
    /// let mut tls = hangup::Tls::new();
    /// assert!(tls.set_certificate(b"no certificate", b"no key", None).is_err());
    /// ```
    pub fn set_certificate(
        &mut self,
        chain: &[u8],
        key: &[u8],
        password: Option<&str>,
    ) -> Result<(), Error> {
        let identity = Identity::from_pem(chain, key, password.map(str::as_bytes))?;
        self.change(|settings| settings.identity = Some(identity));
        Ok(())
    }

    /// Sets the least and the greatest version of TLS. Default: from TLS 1.2 to TLS 1.3; older ones are not supported.
    ///
    /// # Errors
    /// [`Kind::InvalidArgument`] if the least one is greater than the greatest.
    ///
    /// ```
    /// use hangup::TlsVersion;
    /// let mut tls = hangup::Tls::new();
    /// tls.set_versions(TlsVersion::Tls12, TlsVersion::Tls12)?;
    /// assert!(tls.set_versions(TlsVersion::Tls13, TlsVersion::Tls12).is_err());
    /// # Ok::<(), hangup::Error>(())
    /// ```
    pub fn set_versions(&mut self, min: TlsVersion, max: TlsVersion) -> Result<(), Error> {
        if min as i32 > max as i32 {
            let what =
                format!("the minimum {min} is greater than the maximum {max}; exchange them");
            return Err(Error::new(Kind::InvalidArgument, what));
        }
        self.change(|settings| settings.versions = Versions { min, max });
        Ok(())
    }

    /// Adds a public key that the server's certificate may have: `sha256//` and the SHA-256 of its SubjectPublicKeyInfo
    /// in base64, as curl's `--pinnedpubkey`; several are separated by `;`. With one or more pins, a server whose own
    /// certificate has another key is refused, in addition to all other checks, and also where any certificate is
    /// accepted. A pin is for the origin, not for a proxy.
    ///
    /// `openssl x509 -in CERTIFICATE -noout -pubkey | openssl pkey -pubin -outform der | openssl dgst -sha256 -binary |
    /// base64` writes the hash.
    ///
    /// # Errors
    /// [`Kind::InvalidArgument`] if it is malformed.
    ///
    /// ```
    /// let mut tls = hangup::Tls::new();
    /// tls.add_pin("sha256//YhKJKSzoTt2b5FP18fvpHo7fJYqQCjAa3HWY3tvRMwE=")?;
    /// assert!(tls.add_pin("sha256//short").is_err());
    /// # Ok::<(), hangup::Error>(())
    /// ```
    pub fn add_pin(&mut self, pin: &str) -> Result<(), Error> {
        let pins: Result<Vec<Pin>, Error> = pin.split(';').map(str::trim).map(Pin::parse).collect();
        let pins = pins?;
        self.change(|settings| settings.pins.extend(pins));
        Ok(())
    }

    /// Sets the host name, or the IP address, that is sent to the server (SNI) and that its certificate must be for, in
    /// place of the URL's. The Host header is still the URL's. `None`, the default, is the URL's. A redirect to another
    /// origin does not use it if it is a request's own setting; a https proxy never does. It is used also where
    /// [`Client::add_connect_to`](crate::Client::add_connect_to) names another one.
    ///
    /// # Errors
    /// [`Kind::InvalidArgument`] for what no certificate can be for.
    ///
    /// ```
    /// let mut tls = hangup::Tls::new();
    /// tls.set_server_name(Some("service.internal"))?;
    /// assert!(tls.set_server_name(Some("not a name")).is_err());
    /// # Ok::<(), hangup::Error>(())
    /// ```
    pub fn set_server_name(&mut self, name: Option<&str>) -> Result<(), Error> {
        let name = name.map(|name| {
            let bare = name.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
            ServerName::try_from(bare.unwrap_or(name).to_owned()).map_err(|_| {
                let what = format!(
                    "{name:?} is no name that a certificate can be for; give a host name or an IP address"
                );
                Error::new(Kind::InvalidArgument, what)
            })
        });
        let name = name.transpose()?;
        self.change(|settings| settings.server_name = name);
        Ok(())
    }

    /// Appends the secrets of each TLS session to this file, so that programs such as Wireshark can decrypt captured
    /// traffic. The file is opened now, and created with access for its owner only. `None`, the default, writes none.
    /// WITH THE FILE, ALL THE TRAFFIC CAN BE READ.
    ///
    /// # Errors
    /// [`Kind::System`] if it can't be opened.
    ///
    /// ```
    /// let mut tls = hangup::Tls::new();
    /// assert!(tls.set_key_log(Some("/no/such/directory/keys".as_ref())).is_err());
    /// tls.set_key_log(None)?;
    /// # Ok::<(), hangup::Error>(())
    /// ```
    pub fn set_key_log(&mut self, path: Option<&Path>) -> Result<(), Error> {
        let file = path.map(KeyLogFile::open).transpose()?.map(Arc::new);
        self.change(|settings| settings.key_log = file);
        Ok(())
    }

    /// [`set_key_log`](Self::set_key_log) with the file that the environment variable `SSLKEYLOGFILE` names; without the
    /// variable it writes none. The variable has no effect unless this is called.
    ///
    /// # Errors
    /// [`Kind::System`] if it can't be opened.
    ///
    /// ```
    /// hangup::Tls::new().set_key_log_from_env()?;
    /// # Ok::<(), hangup::Error>(())
    /// ```
    pub fn set_key_log_from_env(&mut self) -> Result<(), Error> {
        let path = std::env::var_os("SSLKEYLOGFILE").filter(|path| !path.is_empty());
        self.set_key_log(path.as_deref().map(Path::new))
    }

    /// Accepts ANY certificate: everything on the way to the server can read and change the traffic. For tests
    /// against temporary servers only. Pins still count ([`add_pin`](Self::add_pin)).
    ///
    /// ```
    /// hangup::Tls::new().set_dangerously_accept_any_certificate(true);
    /// ```
    pub fn set_dangerously_accept_any_certificate(&mut self, on: bool) {
        self.change(|settings| settings.accept_any_certificate = on);
    }

    /// The name to send and to verify, for connections to this host.
    pub(crate) fn server_name(&self, host: &str) -> Result<ServerName<'static>, Error> {
        if let Some(name) = &self.settings.server_name {
            return Ok(name.clone());
        }
        ServerName::try_from(host.to_owned()).map_err(|_| {
            Error::new(Kind::InvalidUrl, format!("{host} is no name that a certificate can be for"))
        })
    }

    /// The configuration. It is made by the first call, because reading the system's roots takes long.
    pub(crate) fn config(&self) -> Result<&Arc<ClientConfig>, Error> {
        let config = self.config.get(|_| OnceCell::new());
        config.get_or_try_init(|| build(&self.settings).map(Arc::new))
    }

    /// The same settings for another origin than the one that a server name was set for.
    pub(crate) fn without_server_name(self: &Arc<Self>) -> Arc<Self> {
        if self.settings.server_name.is_none() {
            return Arc::clone(self);
        }
        let mut other = Self::clone(self);
        // The configuration does not depend on it.
        (other.settings.server_name, other.hash) = (None, OnceLock::new());
        Arc::new(other)
    }

    /// The same settings for a proxy, which has neither the name nor the key of an origin.
    pub(crate) fn for_proxy(self: &Arc<Self>) -> Arc<Self> {
        if self.settings.pins.is_empty() {
            return self.without_server_name();
        }
        let mut other = Self::clone(self);
        other.change(|settings| (settings.pins, settings.server_name) = (Vec::new(), None));
        Arc::new(other)
    }

    /// The settings change, so the configuration and the hash are no longer theirs.
    fn change(&mut self, change: impl FnOnce(&mut Settings)) {
        change(&mut self.settings);
        (self.config, self.hash) = (fresh(), OnceLock::new());
    }
}

impl Default for Tls {
    fn default() -> Self {
        Self::new()
    }
}

impl PartialEq for Tls {
    fn eq(&self, other: &Self) -> bool {
        std::ptr::eq(self, other) || self.settings == other.settings
    }
}

impl Eq for Tls {}

impl Hash for Tls {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(*self.hash.get_or_init(|| {
            let mut hasher = DefaultHasher::new();
            self.settings.hash(&mut hasher);
            hasher.finish()
        }));
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.settings.fmt(f)
    }
}

fn fresh() -> Arc<PerProcess<OnceCell<Arc<ClientConfig>>>> {
    let config = PerProcess::new();
    // Made now, because the child of a fork finds out by it that it is one.
    config.get(|_| OnceCell::new());
    Arc::new(config)
}

fn build(settings: &Settings) -> Result<ClientConfig, Error> {
    let broken = |error: &rustls::Error| {
        Error::new(
            Kind::InvalidArgument,
            format!("the TLS settings don't work: {}", explain(error)),
        )
    };
    let trusted = match settings.accept_any_certificate {
        true => None,
        false => Some(settings.roots.trusted()?),
    };
    let verifier = Verifier::new(trusted, settings.pins.clone())?;
    let builder = ClientConfig::builder_with_provider(Arc::clone(provider()))
        .with_protocol_versions(settings.versions.supported())
        .map_err(|error| broken(&error))?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier));
    let mut config = match &settings.identity {
        None => builder.with_no_client_auth(),
        Some(Identity { chain, key }) => builder
            .with_client_auth_cert(chain.clone(), key.clone_key())
            .map_err(|error| broken(&error))?,
    };
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    if let Some(file) = &settings.key_log {
        config.key_log = Arc::clone(file) as Arc<dyn rustls::KeyLog>;
    }
    Ok(config)
}
