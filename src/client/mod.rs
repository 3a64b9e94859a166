//! A client: defaults over a manager, and the blocking calls.
//!
//! Sending in the background stands above it (`submit`).

mod auth;
#[cfg(feature = "ureq")]
mod bare_exchange;
mod call;
mod config;
mod connect_rule;
mod cookies;
mod no_proxy;
mod proxies;
mod redirect;
mod request_head;
mod retry;
mod retry_policy;
mod settings;
#[cfg(test)]
mod silence;
// Its bounds are those of a build with the C ABI: other features make other frames.
#[cfg(all(test, feature = "capi"))]
mod stack;

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;

use self::config::Config;
pub use self::cookies::KeptCookie;
pub(crate) use self::cookies::parse_date;
pub use self::retry_policy::RetryPolicy;
use crate::error::Error;
use crate::manager::Manager;
use crate::request::Request;
use crate::response::Response;
use crate::target::Target;
use crate::vocabulary::Timeout;

/// Defaults over a [`Manager`]: timeouts, headers, redirects, cookies, TLS, proxy. Many clients may share one manager.
///
/// Create: [`new`](Self::new), or [`default`](Self::default) over the shared manager. Use: set defaults, then
/// [`get`](Self::get), [`send`](Self::send) or [`submit`](Self::submit). A setting applies to requests that are sent
/// or submitted after it.
///
/// ```
/// use std::time::Duration;
/// use hangup::{Client, Timeout};
///
/// let client = Client::default();
/// client.set_timeout(Timeout::Total, Some(Duration::from_secs(30)))?;
/// client.set_header("accept-language", Some("en"))?;
/// client.set_redirects(0);
/// # Ok::<(), hangup::Error>(())
/// ```
///
/// Threads: any thread at any time.
#[derive(Debug)]
pub struct Client {
    manager: Arc<Manager>,
    /// Each request reads it without a lock; it is replaced as a whole.
    config: ArcSwap<Config>,
    /// Held while the configuration is replaced.
    changing: Mutex<()>,
}

impl Client {
    /// A client of that manager, with the defaults and with the proxies of the environment
    /// ([`set_proxy_from_env`](Self::set_proxy_from_env)).
    ///
    /// ```
    /// use std::sync::Arc;
    /// use hangup::{Client, Limits, Manager};
    ///
    /// let client = Client::new(Arc::new(Manager::new(Limits::default())));
    /// assert!(client.manager().connections().is_empty());
    /// ```
    pub fn new(manager: Arc<Manager>) -> Self {
        let config = ArcSwap::from_pointee(Config::default());
        Self { manager, config, changing: Mutex::new(()) }
    }

    /// GET, within `total` from the call to the body's last byte; `None` leaves the client's own timeouts.
    ///
    /// ```no_run
    /// use std::time::Duration;
    ///
    /// let client = hangup::Client::default();
    /// let mut response = client.get("https://example.org/", Some(Duration::from_secs(5)))?;
    /// let body = response.read_all(1 << 20)?;
    /// # Ok::<(), hangup::Error>(())
    /// ```
    ///
    /// # Errors
    /// Any [`Kind`](crate::Kind).
    pub fn get(&self, url: &str, total: Option<Duration>) -> Result<Response, Error> {
        let mut request = get_request(url, total)?;
        self.send(&mut request)
    }

    /// Sends a request and waits, on this thread, for the head of the response. It follows redirects
    /// ([`set_redirects`](Self::set_redirects)) and sends the request again if a reused connection broke before the
    /// response ([`set_retries`](Self::set_retries)); one total timeout is for all of that.
    ///
    /// ```no_run
    /// use hangup::{Body, Client, Request};
    ///
    /// let mut request = Request::new("POST", "https://example.org/items")?;
    /// request.add_header("content-type", "application/json")?;
    /// request.set_body(Body::bytes(b"{}"));
    /// let response = Client::default().send(&mut request)?;
    /// # Ok::<(), hangup::Error>(())
    /// ```
    ///
    /// # Errors
    /// Any [`Kind`](crate::Kind).
    pub fn send(&self, request: &mut Request) -> Result<Response, Error> {
        call::run(&self.manager, &self.config.load(), request, None)
    }

    /// Opens connections in the background until `connections` of them to the URL's origin are idle, with this
    /// client's settings and within the manager's limits, and returns how many it began. Their outcome is seen in
    /// [`Manager::connections`] and [`Manager::events`].
    ///
    /// # Errors
    /// [`Kind::InvalidUrl`](crate::Kind::InvalidUrl); [`Kind::InvalidArgument`](crate::Kind::InvalidArgument) for a
    /// malformed proxy in the environment; [`Kind::ShutDown`](crate::Kind::ShutDown);
    /// [`Kind::System`](crate::Kind::System) if no thread can be started for any of them.
    ///
    /// ```no_run
    /// let client = hangup::Client::default();
    /// client.preconnect("https://example.org/", 2)?;
    /// # Ok::<(), hangup::Error>(())
    /// ```
    pub fn preconnect(&self, url: &str, connections: usize) -> Result<usize, Error> {
        let config = self.config.load();
        let target = Target::parse(url)?;
        let key = target.key(&config.tls, config.proxies.route(&target.origin)?);
        self.manager.preconnect(&key, connections)
    }

    /// The manager of this client's connections.
    pub fn manager(&self) -> &Arc<Manager> {
        &self.manager
    }

    /// A function that sends requests with the settings of this moment. The total timeout of each counts from now.
    pub(crate) fn sender(&self) -> impl Fn(&mut Request) -> Result<Response, Error> + Send + use<> {
        let (manager, config) = (Arc::clone(&self.manager), self.config.load_full());
        let now = Instant::now();
        move |request| call::run(&manager, &config, request, Some(now))
    }
}

/// The request of [`Client::get`].
#[inline(never)] // Keeps its frame out of the wait for the response.
fn get_request(url: &str, total: Option<Duration>) -> Result<Box<Request>, Error> {
    let mut request = Box::new(Request::new("GET", url)?);
    if total.is_some() {
        request.set_timeout(Timeout::Total, total)?;
    }
    Ok(request)
}

impl Default for Client {
    /// A client of the shared manager.
    fn default() -> Self {
        Self::new(Manager::shared())
    }
}
