//! Defaults over a manager, and the verbs: a request goes down from here.

mod no_proxy;
mod proxies;

use std::io::{self, Read};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use arc_swap::ArcSwap;
use http::Method;
use http::header::{self, HeaderMap, HeaderValue};

use self::proxies::Proxies;
use crate::error::{Clock, Error, Kind};
use crate::http::exchange::{self, Order};
use crate::http::upload::Upload;
use crate::limits::{Timeouts, not_zero};
use crate::manager::Manager;
use crate::net::tls::{self, Identity, Settings, Tls};
use crate::request::{Mode, Request, Source, field, open, own};
use crate::response::Response;
use crate::sync::lock;

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
    pub(crate) mode: Mode,
    pub(crate) max_head: usize,
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
            mode: Mode::Keep,
            max_head: 64 * 1024,
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
            request.timeout(Clock::Total, total)?;
        }
        self.send(&mut request)
    }

    /// Sends a request and waits for the head of the response, on this thread.
    ///
    /// # Errors
    /// Any [`Kind`].
    pub fn send(&self, request: &mut Request) -> Result<Response, Error> {
        let config = self.config.load();
        let mode = request.mode.unwrap_or(config.mode);
        let route = config.proxies.route(&request.target.origin)?;
        let at_hand = matches!(request.body.0, Source::Bytes(_) | Source::File(_));
        let (mut source, length) = begin(&mut request.body.0)?;
        let has_body = source.is_some() || needs_length(&request.method);
        let message = message(&config, request, mode, has_body.then_some(length))?;
        let mut nothing = io::empty();
        let body = has_body.then(|| match &mut source {
            Some(reader) => Upload::new(&mut **reader, length, at_hand),
            None => Upload::new(&mut nothing, Some(0), false),
        });
        let reader = exchange::run(Order {
            manager: &self.manager,
            key: request.target.key(&config.tls, route),
            request: message,
            body,
            timeouts: config.timeouts.with(&request.over),
            token: request.token.clone(),
            short: mode == Mode::CloseAfter,
            fresh: mode == Mode::Fresh,
            repeatable: request.is_repeatable(),
            max_head: config.max_head,
        })?;
        Ok(Response::new(reader, Arc::clone(&request.target)))
    }

    /// Sets a default limit; `None` is no limit.
    ///
    /// # Errors
    /// [`Kind::InvalidTimeout`] for zero.
    pub fn timeout(&self, clock: Clock, limit: Option<Duration>) -> Result<(), Error> {
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
    pub fn connection(&self, mode: Mode) {
        self.configure(|config| config.mode = mode);
    }

    /// Trusts the certificates in this PEM text and no others.
    ///
    /// # Errors
    /// [`Kind::InvalidArgument`] if there is none.
    pub fn tls_roots(&self, pem: &[u8]) -> Result<(), Error> {
        let roots = tls::certificates(pem)?;
        self.tls(|settings| settings.roots = Some(roots))
    }

    /// [`tls_roots`](Self::tls_roots) from a file.
    ///
    /// # Errors
    /// [`Kind::System`] if it can't be read.
    pub fn tls_roots_file(&self, path: &str) -> Result<(), Error> {
        let pem = std::fs::read(path)
            .map_err(|error| Error::from_os(Kind::System, &format!("can't read {path}"), &error))?;
        self.tls_roots(&pem)
    }

    /// Shows this certificate (PEM, the chain in order) with this key (PEM) to servers that ask.
    ///
    /// # Errors
    /// [`Kind::InvalidArgument`] if either can't be read or they don't belong together.
    pub fn tls_certificate(&self, chain: &[u8], key: &[u8]) -> Result<(), Error> {
        let identity = Identity::from_pem(chain, key)?;
        self.tls(|settings| settings.identity = Some(identity))
    }

    /// Believes any certificate of anybody. For tests against throw-away servers.
    ///
    /// # Errors
    /// None so far.
    pub fn tls_dangerously_trust_anybody(&self, on: bool) -> Result<(), Error> {
        self.tls(|settings| settings.trust_anybody = on)
    }

    /// The manager.
    pub fn manager(&self) -> &Arc<Manager> {
        &self.manager
    }

    pub(crate) fn configure(&self, change: impl FnOnce(&mut Config)) {
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
        let own_roots = settings.roots.is_some() || settings.trust_anybody;
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

/// The body's bytes, and how many if that is known.
type Opened = (Option<Box<dyn Read + Send>>, Option<u64>);

fn begin(source: &mut Source) -> Result<Opened, Error> {
    match source {
        Source::None => Ok((None, Some(0))),
        Source::Bytes(bytes) => {
            let length = bytes.len() as u64;
            Ok((Some(Box::new(io::Cursor::new(Arc::clone(bytes)))), Some(length)))
        }
        Source::File(path) => {
            let (file, length) = open(path)?;
            Ok((Some(Box::new(file)), Some(length)))
        }
        Source::Reader(reader, length) => match reader.take() {
            Some(reader) => Ok((Some(reader), *length)),
            None => {
                let what =
                    "the request's body came from a reader and was sent before; give it a new one";
                Err(Error::new(Kind::InvalidState, what))
            }
        },
    }
}

/// The message as ureq is to send it. `body`: its length, if there is one and it is known.
fn message(
    config: &Config,
    request: &Request,
    mode: Mode,
    body: Option<Option<u64>>,
) -> Result<http::Request<()>, Error> {
    let mut headers = HeaderMap::with_capacity(config.headers.len() + request.headers.len() + 4);
    // First, as RFC 9110 section 7.2 asks for; ureq would make the same, and take longer.
    headers.insert(header::HOST, request.target.host.clone());
    headers.extend(config.headers.iter().map(|(name, value)| (name.clone(), value.clone())));
    if !request.headers.is_empty() {
        check_framing(&request.headers, body)?;
        for name in request.headers.keys() {
            headers.remove(name);
        }
        for (name, value) in &request.headers {
            headers.append(name, value.clone());
        }
    }
    match body {
        Some(Some(length)) => drop(headers.insert(header::CONTENT_LENGTH, length.into())),
        Some(None) => {
            drop(headers.insert(header::TRANSFER_ENCODING, HeaderValue::from_static("chunked")))
        }
        None => {}
    }
    if mode == Mode::CloseAfter {
        headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    if let Some(credentials) = &request.target.credentials
        && !headers.contains_key(header::AUTHORIZATION)
    {
        headers.insert(header::AUTHORIZATION, credentials.clone());
    }
    let mut message = http::Request::new(());
    *message.method_mut() = request.method.clone();
    *message.uri_mut() = request.target.uri.clone();
    *message.headers_mut() = headers;
    Ok(message)
}

/// Framing that a caller asked for may say what the library will do, and nothing else: two
/// readings of one message are how requests are smuggled (RFC 9112 section 11.2).
fn check_framing(headers: &HeaderMap, body: Option<Option<u64>>) -> Result<(), Error> {
    for value in headers.get_all(header::CONTENT_LENGTH) {
        let says = value.to_str().ok().and_then(|text| text.parse::<u64>().ok());
        if says.is_none() || says != body.unwrap_or(Some(0)) {
            let why = match body.unwrap_or(Some(0)) {
                Some(length) => format!("the body has {length} bytes"),
                None => "the body's length is not known".to_owned(),
            };
            return Err(own(&header::CONTENT_LENGTH, &why));
        }
    }
    for value in headers.get_all(header::TRANSFER_ENCODING) {
        if !value.as_bytes().eq_ignore_ascii_case(b"chunked") || body != Some(None) {
            return Err(own(
                &header::TRANSFER_ENCODING,
                "give the body as a reader of unknown length instead",
            ));
        }
    }
    Ok(())
}

/// Methods whose requests say how long their body is even if it is empty (RFC 9110 section 8.6).
fn needs_length(method: &Method) -> bool {
    matches!(*method, Method::POST | Method::PUT | Method::PATCH)
}

const OWN: [header::HeaderName; 4] =
    [header::HOST, header::CONNECTION, header::CONTENT_LENGTH, header::TRANSFER_ENCODING];
const USER_AGENT: &str = concat!("hangup/", env!("CARGO_PKG_VERSION"));
