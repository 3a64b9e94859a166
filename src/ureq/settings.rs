//! What ureq's configuration means for a connection: a client of its own for each combination of proxy and TLS settings.

use std::fmt::Write as _;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use ::ureq::config::Config;
use ::ureq::http::Uri;
use ::ureq::tls::{RootCerts, TlsConfig, TlsProvider};
use ::ureq::{Proxy, ProxyProtocol};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use crate::cancel::CancelToken;
use crate::client::Client;
use crate::error::Error;
use crate::http::exchange::Exchange;
use crate::net::tls::Tls;
use crate::sync::lock;
use crate::target::Target;
use crate::timeouts::Timeouts;
use crate::vocabulary::Kind;

/// A copy of the client, and its variants. Threads: any thread at any time.
#[derive(Debug)]
pub(super) struct Settings {
    client: Client,
    variants: Mutex<Vec<Variant>>,
}

/// The client with the proxy and the TLS settings of a configuration.
struct Variant {
    proxy: Option<Proxy>,
    tls: TlsConfig,
    client: Arc<Client>,
}

/// A connection that can be asked for.
pub(super) struct Prepared {
    client: Arc<Client>,
    target: Arc<Target>,
}

impl Settings {
    pub(super) fn new(client: &Client) -> Self {
        Self { client: client.copy(), variants: Mutex::default() }
    }

    /// # Errors
    /// [`Kind::InvalidUrl`]; [`Kind::InvalidArgument`] for a setting that has no meaning here.
    pub(super) fn prepare(&self, uri: &Uri, config: &Config) -> Result<Prepared, Error> {
        let target = Target::of(&uri.to_string())?;
        let proxy = config.proxy().filter(|proxy| !proxy.is_no_proxy(uri));
        let client = self.client(proxy, config.tls_config())?;
        Ok(Prepared { client, target })
    }

    fn client(&self, proxy: Option<&Proxy>, tls: &TlsConfig) -> Result<Arc<Client>, Error> {
        let mut variants = lock(&self.variants);
        let known = variants
            .iter()
            .find(|variant| variant.proxy.as_ref() == proxy && is_same(&variant.tls, tls));
        if let Some(known) = known {
            return Ok(Arc::clone(&known.client));
        }
        let client = self.client.copy();
        client.set_proxy(proxy.map(proxy_url).transpose()?.as_deref())?;
        // ureq has looked at its list of hosts without a proxy.
        client.set_no_proxy("")?;
        if let Some(tls) = own_tls(tls)? {
            client.set_tls(tls);
        }
        let client = Arc::new(client);
        if variants.len() == MAX_VARIANTS {
            variants.remove(0);
        }
        let variant =
            Variant { proxy: proxy.cloned(), tls: tls.clone(), client: Arc::clone(&client) };
        variants.push(variant);
        Ok(client)
    }
}

impl Prepared {
    /// Begins the exchange that the connection is for; `change` sets its timeouts.
    pub(super) fn begin(
        self,
        token: Option<CancelToken>,
        now: Instant,
        change: impl FnOnce(&mut Timeouts),
    ) -> Result<Exchange, Error> {
        self.client.begin_exchange(self.target, token, now, change)
    }
}

impl std::fmt::Debug for Variant {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Variant").field("proxy", &self.proxy).finish_non_exhaustive()
    }
}

/// The proxy as the client takes it. The name of the target is resolved by the proxy unless ureq says otherwise.
fn proxy_url(proxy: &Proxy) -> Result<String, Error> {
    let scheme = match (proxy.protocol(), proxy.resolve_target()) {
        (ProxyProtocol::Http, _) => "http",
        (ProxyProtocol::Https, _) => "https",
        (ProxyProtocol::Socks5, false) => "socks5h",
        (ProxyProtocol::Socks5, true) => "socks5",
        (ProxyProtocol::Socks4, true) => "socks4",
        (ProxyProtocol::Socks4 | ProxyProtocol::Socks4A, false) => "socks4a",
        (other, _) => {
            return Err(refused(&format!("the proxy protocol {other:?} is not supported")));
        }
    };
    let mut url = format!("{scheme}://");
    if let Some(user) = proxy.username() {
        let encoded = |text| utf8_percent_encode(text, NON_ALPHANUMERIC);
        let password = encoded(proxy.password().unwrap_or(""));
        let _ = write!(url, "{}:{password}@", encoded(user));
    }
    let _ = write!(url, "{}:{}", proxy.host(), proxy.port());
    Ok(url)
}

/// The TLS settings of the configuration; `None` if they are those of the client.
fn own_tls(config: &TlsConfig) -> Result<Option<Tls>, Error> {
    if config.provider() != TlsProvider::Rustls {
        return Err(refused(
            "the TLS provider NativeTls is not supported: use TlsProvider::Rustls",
        ));
    }
    if config.unversioned_rustls_crypto_provider().is_some() {
        return Err(refused("a crypto provider of one's own is not supported: leave it unset"));
    }
    if !config.use_sni() {
        return Err(refused("use_sni(false) is not supported: the server name is always sent"));
    }
    let roots = match config.root_certs() {
        RootCerts::Specific(roots) => Some(roots),
        _ => None,
    };
    if roots.is_none() && config.client_cert().is_none() && !config.disable_verification() {
        return Ok(None);
    }
    let mut tls = Tls::new();
    if let Some(roots) = roots {
        let pem: String = roots.iter().map(|root| pem("CERTIFICATE", root.der())).collect();
        tls.set_roots(pem.as_bytes())?;
    }
    if let Some(own) = config.client_cert() {
        let chain: String = own.certs().iter().map(|one| pem("CERTIFICATE", one.der())).collect();
        // ureq does not export the type of this kind.
        let label = match format!("{:?}", own.private_key().kind()).as_str() {
            "Pkcs1" => "RSA PRIVATE KEY",
            "Sec1" => "EC PRIVATE KEY",
            _ => "PRIVATE KEY",
        };
        let key = pem(label, own.private_key().der());
        tls.set_certificate(chain.as_bytes(), key.as_bytes(), None)?;
    }
    tls.set_dangerously_accept_any_certificate(config.disable_verification());
    Ok(Some(tls))
}

/// Whether a connection of one may be used by the other, without comparing every certificate.
fn is_same(a: &TlsConfig, b: &TlsConfig) -> bool {
    let same_roots = match (a.root_certs(), b.root_certs()) {
        (RootCerts::Specific(a), RootCerts::Specific(b)) => Arc::ptr_eq(a, b),
        (RootCerts::Specific(_), _) | (_, RootCerts::Specific(_)) => false,
        _ => true,
    };
    let same_identity = match (a.client_cert(), b.client_cert()) {
        (None, None) => true,
        // Copies share the certificates.
        (Some(a), Some(b)) => std::ptr::eq(a.certs(), b.certs()),
        _ => false,
    };
    let same_provider = a.unversioned_rustls_crypto_provider().is_none()
        && b.unversioned_rustls_crypto_provider().is_none()
        && a.provider() == b.provider();
    same_roots
        && same_identity
        && same_provider
        && a.use_sni() == b.use_sni()
        && a.disable_verification() == b.disable_verification()
}

/// Text of RFC 7468.
fn pem(label: &str, der: &[u8]) -> String {
    let mut text = format!("-----BEGIN {label}-----\n");
    for line in STANDARD.encode(der).as_bytes().chunks(64) {
        text.extend(line.iter().map(|byte| char::from(*byte)));
        text.push('\n');
    }
    let _ = writeln!(text, "-----END {label}-----");
    text
}

fn refused(what: &str) -> Error {
    Error::new(Kind::InvalidArgument, format!("ureq over hangup: {what}"))
}

/// How many combinations are kept: a program has few.
const MAX_VARIANTS: usize = 16;
