//! The settings of a client. Each applies to requests that are sent or submitted after it.

use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use http::header::{self, HeaderName};

use super::config::Config;
use super::no_proxy::NoProxy;
use super::{Client, cookies};
use crate::error::Error;
use crate::net::proxy::Proxy;
use crate::net::tls::{self, Identity, Settings, Tls};
use crate::request::{field, own};
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

    /// Sets a header for every request that has none of that name; `None` removes it. The defaults are User-Agent and
    /// Accept.
    ///
    /// # Errors
    /// [`Kind::InvalidHeader`].
    ///
    /// ```
    /// let client = hangup::Client::default();
    /// client.set_header("Accept", Some("application/json"))?;
    /// client.set_header("Accept", None)?;
    /// # Ok::<(), hangup::Error>(())
    /// ```
    pub fn set_header(&self, name: &str, value: Option<&str>) -> Result<(), Error> {
        let (name, parsed) = field(name, value.unwrap_or(""))?;
        if OWN.contains(&name) {
            return Err(own(&name, "it can't be a default"));
        }
        self.configure(|config| match value {
            Some(_) => drop(config.headers.insert(name, parsed)),
            None => drop(config.headers.remove(name)),
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

    /// Sets whether a request is sent again if a reused connection breaks before the response; it is by default.
    ///
    /// Only if that is safe: the connection had served a request before, the peer closed or reset it
    /// before the first byte of the response, the body can be read again, and either no byte
    /// was sent, or the method is GET, HEAD, OPTIONS, TRACE, PUT or DELETE, or there is an
    /// Idempotency-Key header. After three broken connections a new one is opened for the last attempt.
    ///
    /// ```
    /// let client = hangup::Client::default();
    /// client.set_retries(false);
    /// ```
    pub fn set_retries(&self, on: bool) {
        self.configure(|config| config.retries = on);
    }

    /// Sets how many redirects a call follows, 10 by default; with 0 a redirect is returned as any other response.
    ///
    /// 301, 302 and 303 become GET without a body (HEAD stays HEAD), 307 and 308 repeat method and
    /// body. Once scheme, host or port changes, Authorization, Cookie, Proxy-Authorization, the user information of
    /// the first URL and the headers of [`add_sensitive_header`](Self::add_sensitive_header) are dropped for the rest of
    /// the call.
    ///
    /// ```
    /// let client = hangup::Client::default();
    /// client.set_redirects(0); // a redirect is returned as the response
    /// ```
    pub fn set_redirects(&self, max: u32) {
        self.configure(|config| config.redirects = max);
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
        let (name, _) = field(name, "")?;
        self.configure(|config| {
            if !config.sensitive.contains(&name) {
                config.sensitive.push(name);
            }
        });
        Ok(())
    }

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

    /// Sends every request through this proxy, `[scheme://][user:password@]host[:port]` with a
    /// scheme of `http` (the default), `https`, `socks5` or `socks5h`; `None`: through none. A
    /// new client uses the proxies of the environment: see [`set_proxy_from_env`](Self::set_proxy_from_env).
    ///
    /// ```
    /// let client = hangup::Client::default();
    /// client.set_proxy(Some("socks5h://localhost:1080"))?;
    /// client.set_no_proxy("example.org, 10.0.0.0/8")?;
    /// assert!(client.set_proxy(Some("gopher://localhost")).is_err());
    /// # Ok::<(), hangup::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Kind::InvalidArgument`] if it is malformed.
    pub fn set_proxy(&self, proxy: Option<&str>) -> Result<(), Error> {
        if let Some(text) = proxy {
            Proxy::parse(text, &Tls::standard())?;
        }
        self.configure(|config| {
            config.proxies.set_proxy(proxy, &config.tls);
        });
        Ok(())
    }

    /// Uses the proxies that the environment names now: `http_proxy`, `https_proxy`, `all_proxy` and
    /// `no_proxy`, each in lower or upper case. (`HTTP_PROXY` is ignored in CGI programs.)
    ///
    /// ```
    /// let client = hangup::Client::default();
    /// client.set_proxy_from_env();
    /// ```
    pub fn set_proxy_from_env(&self) {
        self.configure(|config| config.proxies.read_env(&config.tls));
    }

    /// Connects to these hosts without a proxy, separated by commas: `example.org` (itself and all
    /// names below it), addresses, networks such as `10.0.0.0/8`, each with `:port` for one port only;
    /// `*` for all hosts. This replaces the environment's `no_proxy`.
    ///
    /// # Errors
    /// [`Kind::InvalidArgument`] for an entry that is none of these.
    ///
    /// ```
    /// let client = hangup::Client::default();
    /// client.set_no_proxy("localhost, .internal.example, 10.0.0.0/8")?;
    /// # Ok::<(), hangup::Error>(())
    /// ```
    pub fn set_no_proxy(&self, list: &str) -> Result<(), Error> {
        let list = NoProxy::parse(list)?;
        self.configure(|config| config.proxies.set_no_proxy(list));
        Ok(())
    }

    /// Connects from this address of the machine; `None`, the default, leaves it to the system.
    ///
    /// ```
    /// let client = hangup::Client::default();
    /// client.set_local_address(Some([127, 0, 0, 1].into()));
    /// ```
    pub fn set_local_address(&self, address: Option<IpAddr>) {
        self.configure(|config| config.proxies.set_local_address(address, &config.tls));
    }

    fn configure(&self, change: impl FnOnce(&mut Config)) {
        let _changing = lock(&self.changing);
        let mut config = Config::clone(&self.config.load());
        change(&mut config);
        self.config.store(Arc::new(config));
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

/// Headers that the library writes itself.
const OWN: [HeaderName; 4] =
    [header::HOST, header::CONNECTION, header::CONTENT_LENGTH, header::TRANSFER_ENCODING];
/// Less does not hold the head of any real response.
const MIN_MAX_HEAD: usize = 256;
