//! Defaults over a manager, and the verbs: a request goes down from here.

mod call;
mod cookies;
mod no_proxy;
mod proxies;
mod redirect;
mod request_head;
mod retry;
#[cfg(test)]
mod stack;

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};

use self::cookies::Jar;
use self::proxies::Proxies;
use crate::error::Error;
use crate::http::decode::CODINGS;
use crate::manager::Manager;
use crate::net::tls::{self, Identity, Settings, Tls};
use crate::request::{Request, field, own};
use crate::response::Response;
use crate::sync::lock;
use crate::target::Target;
use crate::timeouts::{Timeouts, check_can_be_set, not_zero};
use crate::vocabulary::{ConnectionMode, Kind, Timeout};

/// Defaults over a manager: timeouts, headers, TLS. Many clients may share one manager.
///
/// A setting applies to requests that are sent after it. Threads: any thread at any time.
#[derive(Debug)]
pub struct Client {
    manager: Arc<Manager>,
    /// Read by every request without a lock; changed as a whole.
    config: ArcSwap<Config>,
    changing: Mutex<()>,
}

#[derive(Clone, Debug)]
pub(crate) struct Config {
    pub(crate) timeouts: Timeouts,
    pub(crate) headers: HeaderMap,
    pub(crate) mode: ConnectionMode,
    pub(crate) max_head: usize,
    retries: bool,
    redirects: u32,
    /// Headers that stay with the origin they were meant for, besides those that always do.
    sensitive: Vec<HeaderName>,
    jar: Option<Arc<Jar>>,
    decode: bool,
    max_codings: u32,
    tls: Arc<Tls>,
    proxies: Proxies,
}

impl Client {
    /// A client of that manager.
    pub fn new(manager: Arc<Manager>) -> Self {
        let mut headers = HeaderMap::new();
        headers.insert(header::USER_AGENT, HeaderValue::from_static(USER_AGENT));
        headers.insert(header::ACCEPT, HeaderValue::from_static("*/*"));
        let config = Config {
            timeouts: Timeouts::default(),
            headers,
            mode: ConnectionMode::Keep,
            max_head: 64 * 1024,
            retries: true,
            redirects: REDIRECTS,
            sensitive: Vec::new(),
            jar: None,
            decode: false,
            max_codings: CODINGS,
            proxies: Proxies::from_env(&Tls::standard()),
            tls: Tls::standard(),
        };
        Self { manager, config: ArcSwap::from_pointee(config), changing: Mutex::new(()) }
    }

    /// GET, within `total` from the call to the body's last byte (`None`: the client's own limits).
    ///
    /// # Errors
    /// Any [`Kind`].
    pub fn get(&self, url: &str, total: Option<Duration>) -> Result<Response, Error> {
        let mut request = Request::new("GET", url)?;
        if total.is_some() {
            request.set_timeout(Timeout::Total, total)?;
        }
        self.send(&mut request)
    }

    /// Sends a request and waits for the head of the response, on this thread. Redirects are
    /// followed ([`set_redirects`](Self::set_redirects)), and what a kept connection lost is sent again
    /// ([`set_retries`](Self::set_retries)); one total limit spans all of it.
    ///
    /// # Errors
    /// Any [`Kind`].
    pub fn send(&self, request: &mut Request) -> Result<Response, Error> {
        call::run(&self.manager, &self.config.load(), request, None)
    }

    /// A function that sends one request with the settings of this moment. The total timeout counts from now.
    pub(crate) fn sender(
        &self,
    ) -> impl FnOnce(&mut Request) -> Result<Response, Error> + Send + use<> {
        let (manager, config) = (Arc::clone(&self.manager), self.config.load_full());
        let now = Instant::now();
        move |request| call::run(&manager, &config, request, Some(now))
    }

    /// Sets a default limit; `None` is no limit.
    ///
    /// # Errors
    /// [`Kind::InvalidTimeout`] for zero; [`Kind::InvalidArgument`] for a clock that can't be set
    /// ([`Timeout::can_be_set`]).
    pub fn set_timeout(&self, clock: Timeout, limit: Option<Duration>) -> Result<(), Error> {
        check_can_be_set(clock)?;
        let limit = not_zero(limit)?;
        self.configure(|config| config.timeouts.set(clock, limit));
        Ok(())
    }

    /// A header for every request that has none of that name; `None` takes it away.
    ///
    /// # Errors
    /// [`Kind::InvalidHeader`].
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

    /// How long connections live by default.
    pub fn set_connection_mode(&self, mode: ConnectionMode) {
        self.configure(|config| config.mode = mode);
    }

    /// Sets the most bytes that a response head may have, all 1xx heads before it included; 65,536 by
    /// default. A larger head fails the request with [`Kind::TooLarge`].
    ///
    /// # Errors
    /// [`Kind::InvalidArgument`] for less than 256.
    pub fn set_max_head(&self, bytes: usize) -> Result<(), Error> {
        if bytes < MIN_MAX_HEAD {
            let what =
                format!("the bound on a response head must be at least {MIN_MAX_HEAD} bytes");
            return Err(Error::new(Kind::InvalidArgument, what));
        }
        self.configure(|config| config.max_head = bytes);
        Ok(())
    }

    /// Whether a request that a kept connection lost is sent again by itself; it is by default.
    ///
    /// Only what is safe: the connection had served a request before, the peer closed or reset it
    /// before the first byte of the response, the body can be given again, and either not a byte
    /// went out or the method is GET, HEAD, OPTIONS, TRACE, PUT or DELETE, or there is an
    /// Idempotency-Key. After three lost connections a new one is made, and that is the last try.
    pub fn set_retries(&self, on: bool) {
        self.configure(|config| config.retries = on);
    }

    /// How many redirects a call follows, 10 by default; 0 hands a redirect out as it is.
    ///
    /// 301, 302 and 303 become GET without a body (HEAD stays HEAD), 307 and 308 repeat method and
    /// body. Authorization, Cookie, Proxy-Authorization, user information of the first URL and
    /// what [`add_sensitive_header`](Self::add_sensitive_header) names are dropped for the rest of the call
    /// once scheme, host or port changes.
    pub fn set_redirects(&self, max: u32) {
        self.configure(|config| config.redirects = max);
    }

    /// Names a header that a redirect to another origin must not take along, whether a request or
    /// the client's defaults have it.
    ///
    /// # Errors
    /// [`Kind::InvalidHeader`].
    pub fn add_sensitive_header(&self, name: &str) -> Result<(), Error> {
        let (name, _) = field(name, "")?;
        self.configure(|config| {
            if !config.sensitive.contains(&name) {
                config.sensitive.push(name);
            }
        });
        Ok(())
    }

    /// Keeps cookies, or stops and forgets them; off by default. Every response's cookies are kept,
    /// those of redirects included, and sent where RFC 6265 says so. A request that has a Cookie
    /// header of its own sends that one, and nothing from the jar.
    ///
    /// At most 3000 are kept, and 180 of a site (a registrable domain and all below it). When there
    /// are more, those that have ended go, then the least recently used of the site, or of the site
    /// with most cookies.
    pub fn set_cookies(&self, on: bool) {
        self.configure(|config| match on {
            true => drop(config.jar.get_or_insert_with(Arc::default)),
            false => config.jar = None,
        });
    }

    /// The Cookie header that a request for that URL would have; `None` if there is none. Bytes that
    /// are no UTF-8 are shown as U+FFFD; they are sent as they came.
    ///
    /// # Errors
    /// [`Kind::InvalidUrl`].
    pub fn cookies_for(&self, url: &str) -> Result<Option<String>, Error> {
        let target = cookies::target(url)?;
        let field = self.config.load().jar.as_ref().and_then(|jar| jar.peek(&target));
        Ok(field.map(|field| String::from_utf8_lossy(&field).into_owned()))
    }

    /// Puts a cookie into the jar as if a response from that URL had set it: `name=value`, then
    /// attributes as in a Set-Cookie header.
    ///
    /// # Errors
    /// [`Kind::InvalidUrl`]; [`Kind::InvalidArgument`] for a cookie that a response couldn't set;
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
    pub fn clear_cookies(&self) {
        if let Some(jar) = &self.config.load().jar {
            jar.clear();
        }
    }

    /// Asks for gzip and deflate and decodes such bodies; off by default.
    ///
    /// Headers stay as they came, Content-Encoding and Content-Length included. Bounds count decoded
    /// bytes. A body in any other coding is handed out as it is. Nothing is asked for if the
    /// request (or the client's defaults) has an Accept-Encoding or a Range header of its own.
    pub fn set_decode(&self, on: bool) {
        self.configure(|config| config.decode = on);
    }

    /// How many content codings, one over the other, a decoded body may have; 2 unless it is said
    /// here. A response with more of them fails with [`Kind::Protocol`]: each one multiplies by
    /// about a thousand what a byte of the peer can cost.
    ///
    /// # Errors
    /// [`Kind::InvalidArgument`] for zero: that is [`set_decode(false)`](Self::set_decode).
    pub fn set_max_codings(&self, max: u32) -> Result<(), Error> {
        if max == 0 {
            let what = "0 content codings decode nothing; say so with decode (off)";
            return Err(Error::new(Kind::InvalidArgument, what));
        }
        self.configure(|config| config.max_codings = max);
        Ok(())
    }

    /// Trusts the certificates in this PEM text and no others.
    ///
    /// # Errors
    /// [`Kind::InvalidArgument`] if there is none.
    pub fn set_tls_roots(&self, pem: &[u8]) -> Result<(), Error> {
        let roots = tls::certificates(pem)?;
        self.tls(|settings| settings.roots = Some(roots))
    }

    /// [`set_tls_roots`](Self::set_tls_roots) from a file.
    ///
    /// # Errors
    /// [`Kind::System`] if it can't be read.
    pub fn set_tls_roots_file(&self, path: &str) -> Result<(), Error> {
        let pem = std::fs::read(path)
            .map_err(|error| Error::from_os(Kind::System, &format!("can't read {path}"), &error))?;
        self.set_tls_roots(&pem)
    }

    /// Shows this certificate (PEM, the chain in order) with this key (PEM) to servers that ask.
    ///
    /// # Errors
    /// [`Kind::InvalidArgument`] if either can't be read or they don't belong together.
    pub fn set_tls_certificate(&self, chain: &[u8], key: &[u8]) -> Result<(), Error> {
        let identity = Identity::from_pem(chain, key)?;
        self.tls(|settings| settings.identity = Some(identity))
    }

    /// Believes any certificate of anybody. For tests against throw-away servers.
    ///
    /// # Errors
    /// None so far.
    pub fn set_tls_dangerously_accept_any_certificate(&self, on: bool) -> Result<(), Error> {
        self.tls(|settings| settings.accept_any_certificate = on)
    }

    /// Dials ahead, in the background, until so many connections to the URL's origin are idle, with
    /// this client's settings and within the manager's limits; answers how many dials were begun.
    /// What becomes of them is seen in the manager's list.
    ///
    /// # Errors
    /// [`Kind::InvalidUrl`], [`Kind::ShutDown`]; [`Kind::System`] without a thread for any of them.
    pub fn preconnect(&self, url: &str, connections: usize) -> Result<usize, Error> {
        let config = self.config.load();
        let target = Target::parse(url)?;
        let key = target.key(&config.tls, config.proxies.route(&target.origin)?);
        self.manager.preconnect(&key, connections)
    }

    /// The manager.
    pub fn manager(&self) -> &Arc<Manager> {
        &self.manager
    }

    fn configure(&self, change: impl FnOnce(&mut Config)) {
        let _one_at_a_time = lock(&self.changing);
        let mut config = Config::clone(&self.config.load());
        change(&mut config);
        self.config.store(Arc::new(config));
    }

    fn tls(&self, change: impl FnOnce(&mut Settings)) -> Result<(), Error> {
        let _one_at_a_time = lock(&self.changing);
        let mut config = Config::clone(&self.config.load());
        let mut settings = config.tls.settings().clone();
        change(&mut settings);
        let own_roots = settings.roots.is_some() || settings.accept_any_certificate;
        config.tls = Tls::new(settings);
        // What the caller gave is checked here, where the error belongs; the system's roots are
        // read when they are needed.
        if own_roots || config.tls.settings().identity.is_some() {
            config.tls.config()?;
        }
        config.proxies.secured_by(&config.tls);
        self.config.store(Arc::new(config));
        Ok(())
    }
}

impl Default for Client {
    /// A client of the shared manager.
    fn default() -> Self {
        Self::new(Manager::shared())
    }
}

const OWN: [HeaderName; 4] =
    [header::HOST, header::CONNECTION, header::CONTENT_LENGTH, header::TRANSFER_ENCODING];
/// Less does not hold the head of any real response.
const MIN_MAX_HEAD: usize = 256;
/// As many as Go follows; a longer row is mostly a loop.
const REDIRECTS: u32 = 10;
const USER_AGENT: &str = concat!("hangup/", env!("CARGO_PKG_VERSION"));
