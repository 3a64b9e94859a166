//! One request as a value: method, URL, headers, body, timeouts, and the token that cancels it.

use std::io::{Read, Seek};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use http::Method;

use crate::auth::Auth;
use crate::authority;
use crate::caller_reader::{CallerBytes, CallerReader};
use crate::cancel::CancelToken;
use crate::error::Error;
use crate::headers::{self, Headers};
use crate::http::request_body::BodySource;
use crate::http::sent_file;
use crate::net::tls::Tls;
use crate::runtime::{InputDescriptor, Opened, OwnedDescriptor, ReadFd};
use crate::target::{Target, is_target_byte};
use crate::timeouts::{Overrides, check_can_be_set, not_zero};
use crate::transfer::{Progress, TransferSettings};
use crate::upload::{self, BodyWriter};
use crate::vocabulary::{ConnectionMode, Kind, Timeout};

/// A request. It can be sent more than once if its body can be read more than once.
///
/// Create: [`new`](Self::new). Use: set what differs from the client's defaults, then
/// [`Client::send`](crate::Client::send) or [`Client::submit`](crate::Client::submit).
///
/// ```
/// use std::time::Duration;
/// use hangup::{Body, CancelToken, ConnectionMode, Request, Timeout};
///
/// let token = CancelToken::new();
/// let mut request = Request::new("PUT", "https://example.org/items/7")?;
/// request.add_header("content-type", "text/plain")?;
/// request.set_body(Body::from("seven"));
/// request.set_timeout(Timeout::Head, Some(Duration::from_secs(2)))?;
/// request.set_connection_mode(ConnectionMode::CloseAfter);
/// request.set_cancel(Some(token.clone()));
/// # Ok::<(), hangup::Error>(())
/// ```
///
/// Threads: a value, one at a time.
#[derive(Debug)]
pub struct Request {
    pub(crate) method: Method,
    pub(crate) target: Arc<Target>,
    pub(crate) headers: Headers,
    /// Names of defaults that are not sent.
    pub(crate) removed: Vec<Box<str>>,
    /// What is sent as the request target instead of the URL's path and query.
    pub(crate) given_target: Option<Box<[u8]>>,
    pub(crate) body: Body,
    pub(crate) over: Overrides,
    pub(crate) mode: Option<ConnectionMode>,
    pub(crate) token: Option<CancelToken>,
    pub(crate) retries: Option<bool>,
    pub(crate) redirects: Option<u32>,
    /// In place of the client's; the inner `None` is none.
    pub(crate) auth: Option<Box<Option<Auth>>>,
    pub(crate) buffer_body: Option<usize>,
    /// Bodies that are longer, as the head says, are not buffered.
    pub(crate) buffer_up_to: u64,
    /// The target of CONNECT.
    pub(crate) connect: Option<Arc<str>>,
    /// `Connection: Upgrade` was added.
    pub(crate) says_upgrade: bool,
    pub(crate) tls: Option<Arc<Tls>>,
    pub(crate) decode: Option<bool>,
    pub(crate) transfer: Option<Box<TransferSettings>>,
}

/// The body of a request.
///
/// ```
/// use std::io::Cursor;
/// use hangup::Body;
///
/// let text = Body::from("hello");
/// let bytes = Body::bytes(&[1, 2, 3]);
/// let not_copied = Body::shared(vec![0; 1 << 20]);
/// let streamed = Body::reader(Cursor::new("streamed"), None);
/// assert!(Body::file("/no/such/file").is_err());
/// ```
///
/// Threads: a value.
pub struct Body(pub(crate) BodySource);

impl Request {
    /// A request without a body. The URL is absolute, http or https; its fragment is not sent, and its user
    /// information is sent as Basic credentials. Path and query are sent as they are written, except that the path
    /// segments `.` and `..` are followed, and that spaces and other characters that no request can hold are
    /// percent-encoded. A Unix-domain socket is named by its percent-encoded path,
    /// `http+unix://%2Frun%2Fapp.sock/path`, an abstract one (Linux) by `%40` and its name: `http+unix://%40name/path`.
    /// A link-local IPv6 address has a zone, which is a network interface: `http://[fe80::1%25eth0]/` (RFC 6874); it is
    /// not sent.
    ///
    /// # Errors
    /// [`Kind::InvalidMethod`] for a method that is not a token (RFC 9110 section 9.1), and for CONNECT
    /// ([`connect`](Self::connect)); [`Kind::InvalidUrl`] for a URL that can't be requested, or that two parsers may read differently.
    ///
    /// ```
    /// assert!(hangup::Request::new("GET", "https://example.org/").is_ok());
    /// assert!(hangup::Request::new("GET", "ftp://example.org/").is_err());
    /// ```
    pub fn new(method: &str, url: &str) -> Result<Self, Error> {
        Self::to(method, Target::of(url)?)
    }

    /// As [`new`](Self::new), but everything in the URL between its host and its fragment is sent exactly as it is
    /// written: no space is encoded and no `..` is followed. A backslash is sent, too. A URL that was signed and holds
    /// such characters stays signed.
    ///
    /// # Errors
    /// As [`new`](Self::new); [`Kind::InvalidUrl`] for a space or a control character.
    ///
    /// ```
    /// let request = hangup::Request::new_as_given("GET", "https://example.org/a/../b?c=d\\e")?;
    /// assert_eq!(request.url(), "https://example.org/a/../b?c=d\\e");
    /// # Ok::<(), hangup::Error>(())
    /// ```
    pub fn new_as_given(method: &str, url: &str) -> Result<Self, Error> {
        Self::to(method, Target::as_given(url)?)
    }

    pub(crate) fn to(method: &str, target: Arc<Target>) -> Result<Self, Error> {
        let bad = |why: &str| {
            let what = format!(
                "{method:?} is no method ({why}); use a token such as GET (RFC 9110 section 9.1)"
            );
            Error::new(Kind::InvalidMethod, what)
        };
        let parsed = Method::from_bytes(method.as_bytes()).map_err(|_| bad("not a token"))?;
        if parsed == Method::CONNECT {
            return Err(bad(
                "CONNECT has a host and a port as its target: use Request::connect, hangup_request_new_connect or Client.connect",
            ));
        }
        Ok(Self::with_method(parsed, target))
    }

    /// A request for a tunnel: `proxy` is the URL of a HTTP proxy, which shall connect to `target`, a host and a port
    /// such as `example.org:443` (RFC 9110 section 9.3.6). It is sent with the method CONNECT. After a success (2xx)
    /// the connection is a stream to the target: [`Response::take_stream`](crate::Response::take_stream). Any other
    /// response is an ordinary one, and redirects are not followed. User information in the URL is sent to the proxy
    /// as Basic credentials (Proxy-Authorization).
    ///
    /// To send requests through a proxy, set it with [`Client::set_proxy`](crate::Client::set_proxy) instead.
    ///
    /// # Errors
    /// [`Kind::InvalidUrl`] for a URL that can't be requested, and for a target that is no host and port.
    ///
    /// ```no_run
    /// let mut request = hangup::Request::connect("http://proxy.example:3128", "mail.example:993")?;
    /// let mut response = hangup::Client::default().send(&mut request)?;
    /// if response.status_code() == 200 {
    ///     let stream = response.take_stream()?;
    ///     stream.write_all(b"a1 LOGOUT\r\n")?;
    /// }
    /// # Ok::<(), hangup::Error>(())
    /// ```
    pub fn connect(proxy: &str, target: &str) -> Result<Self, Error> {
        let at = authority::host_and_port(target).map_err(|why| {
            let what = format!(
                "{:?} is no target of a tunnel ({why}); give host:port, such as example.org:443",
                authority::shown(target)
            );
            Error::new(Kind::InvalidUrl, what)
        })?;
        let mut request = Self::with_method(Method::CONNECT, Target::of(proxy)?);
        request.connect = Some(at.into());
        Ok(request)
    }

    fn with_method(method: Method, target: Arc<Target>) -> Self {
        Self {
            method,
            target,
            headers: Headers::default(),
            removed: Vec::new(),
            given_target: None,
            body: Body::none(),
            over: Overrides::default(),
            mode: None,
            token: None,
            retries: None,
            redirects: None,
            auth: None,
            buffer_body: None,
            buffer_up_to: u64::MAX,
            connect: None,
            says_upgrade: false,
            tls: None,
            decode: None,
            transfer: None,
        }
    }

    /// Adds a header; a name may be added several times. Names are sent with the case and in the order in which they
    /// were added, in front of the client's defaults. A value is any bytes but control characters other than HTAB
    /// (RFC 9110 section 5.5); text is sent as UTF-8.
    ///
    /// `Host` replaces the URL's: it has no influence on the connection and on TLS, and is not sent to another origin
    /// after a redirect. `Content-Length` must be the length of the body; for a body whose length is not known it
    /// announces that length, and another length fails the exchange with [`Kind::BodyFailed`]. `Transfer-Encoding` can
    /// only repeat what the library sends, and `Connection: close` sets [`ConnectionMode::CloseAfter`]. A value that
    /// contradicts the library is refused, here or when the request is sent.
    ///
    /// `Upgrade` asks for a switch to another protocol (RFC 9110 section 7.8), for example `websocket`; the library
    /// adds `Connection: Upgrade`. If the server agrees (101), [`Response::take_stream`](crate::Response::take_stream)
    /// returns the connection; any other response is an ordinary one. A server that switches without being asked, or
    /// to a protocol that was not named, fails the request with [`Kind::Protocol`]. Through a HTTP proxy such a request
    /// goes in a tunnel.
    ///
    /// # Errors
    /// [`Kind::InvalidHeader`].
    ///
    /// ```
    /// let mut request = hangup::Request::new("GET", "https://example.org/")?;
    /// request.add_header("Accept", "text/html")?;
    /// request.add_header("X-Name", b"caf\xe9")?;
    /// assert!(request.add_header("Accept", "a\nb").is_err());
    /// # Ok::<(), hangup::Error>(())
    /// ```
    pub fn add_header(&mut self, name: &str, value: impl AsRef<[u8]>) -> Result<(), Error> {
        let value = value.as_ref();
        headers::check(name, value)?;
        if headers::is(name, headers::HOST) {
            self.check_host(value)?;
        } else if headers::is(name, headers::CONNECTION) {
            self.check_connection(value)?;
        }
        self.headers.add(name, value);
        Ok(())
    }

    /// Removes a header from the request, and from what the client and the library would add to it: the client's
    /// defaults such as Accept and User-Agent, Accept-Encoding, Cookie, and Authorization from the URL's user
    /// information. A header of that name that is added later is sent.
    ///
    /// # Errors
    /// [`Kind::InvalidHeader`] for Host, Connection, Content-Length and Transfer-Encoding, which the library sends
    /// where HTTP needs them.
    ///
    /// ```
    /// let mut request = hangup::Request::new("GET", "https://example.org/")?;
    /// request.remove_header("Accept")?; // the client's default is not sent
    /// assert!(request.remove_header("Host").is_err());
    /// # Ok::<(), hangup::Error>(())
    /// ```
    pub fn remove_header(&mut self, name: &str) -> Result<(), Error> {
        headers::check(name, b"")?;
        if OWN.iter().any(|own| headers::is(name, own)) {
            return Err(own(name, "it can't be taken away"));
        }
        self.headers.remove(name);
        if !self.removed.iter().any(|known| headers::is(known, name)) {
            self.removed.push(name.into());
        }
        Ok(())
    }

    /// Sets what is sent as the request target (RFC 9112 section 3.2) instead of the URL's path and query, byte for
    /// byte: `*` for OPTIONS of a server as a whole, or a path that the URL standard would change. Connection, Host,
    /// TLS and cookies follow the URL, and a redirect is resolved against it and has its own target. `None`, the
    /// default: the URL's.
    ///
    /// # Errors
    /// [`Kind::InvalidArgument`] for a target that is empty or holds a space or a control character.
    ///
    /// ```
    /// let mut request = hangup::Request::new("OPTIONS", "https://example.org/")?;
    /// request.set_target(Some(b"*"))?;
    /// assert!(request.set_target(Some(b"/a b")).is_err());
    /// # Ok::<(), hangup::Error>(())
    /// ```
    pub fn set_target(&mut self, target: Option<&[u8]>) -> Result<(), Error> {
        if let Some(target) = target {
            let wrong = target.iter().find(|byte| !is_target_byte(**byte));
            let why = match wrong {
                Some(byte) => {
                    format!("it holds the byte 0x{byte:02x}; percent-encode it (%{byte:02X})")
                }
                None if target.is_empty() => "it is empty; / is the shortest".to_owned(),
                None => String::new(),
            };
            if !why.is_empty() {
                let what = format!("not a request target: {why}");
                return Err(Error::new(Kind::InvalidArgument, what));
            }
        }
        self.given_target = target.map(Box::from);
        Ok(())
    }

    /// RFC 9110 section 7.2: a host, perhaps with a port; or nothing, for a URL without an authority.
    fn check_host(&self, value: &[u8]) -> Result<(), Error> {
        if self.headers.contains(headers::HOST) {
            return Err(own(headers::HOST, "a request has one (RFC 9112 section 3.2)"));
        }
        let (host, port) = match value.iter().rposition(|byte| *byte == b':') {
            Some(at) if !value[at..].contains(&b']') => (&value[..at], &value[at + 1..]),
            _ => (value, &[][..]),
        };
        let in_host =
            |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=%".contains(byte);
        let literal = host.strip_prefix(b"[").and_then(|host| host.strip_suffix(b"]"));
        let is_host = match literal {
            Some(literal) => {
                !literal.is_empty() && literal.iter().all(|byte| in_host(byte) || *byte == b':')
            }
            None => host.iter().all(in_host),
        };
        if is_host && port.iter().all(u8::is_ascii_digit) {
            return Ok(());
        }
        Err(own(headers::HOST, "its value is a host, or a host and a port (RFC 9110 section 7.2)"))
    }

    fn check_connection(&mut self, value: &[u8]) -> Result<(), Error> {
        for option in value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii) {
            if option.eq_ignore_ascii_case(b"close") {
                self.mode = Some(ConnectionMode::CloseAfter);
            } else if option.eq_ignore_ascii_case(b"upgrade") {
                self.says_upgrade = true;
            } else if !option.eq_ignore_ascii_case(b"keep-alive") {
                let why = "only close, keep-alive and upgrade can be asked for";
                return Err(own(headers::CONNECTION, why));
            }
        }
        Ok(())
    }

    /// Sets the body.
    ///
    /// ```
    /// let mut request = hangup::Request::new("GET", "https://example.org/")?;
    /// request.set_body(hangup::Body::bytes(b"name=value"));
    /// # Ok::<(), hangup::Error>(())
    /// ```
    pub fn set_body(&mut self, body: Body) {
        self.body = body;
    }

    /// Sets the body to the fields of a form, and Content-Type to application/x-www-form-urlencoded unless the request has
    /// one already.
    ///
    /// # Errors
    /// [`Kind::InvalidHeader`], never for a request that could be made.
    ///
    /// ```
    /// let mut request = hangup::Request::new("POST", "https://example.org/")?;
    /// request.set_form_urlencoded([("name", "a b"), ("city", "Köln")])?;
    /// # Ok::<(), hangup::Error>(())
    /// ```
    pub fn set_form_urlencoded<'a>(
        &mut self,
        fields: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Result<(), Error> {
        self.set_typed_body(Body::urlencoded(fields), "application/x-www-form-urlencoded")
    }

    /// Sets the body, and its Content-Type unless the request has one already.
    pub(crate) fn set_typed_body(&mut self, body: Body, content_type: &str) -> Result<(), Error> {
        if !self.headers.contains("Content-Type") {
            self.add_header("Content-Type", content_type)?;
        }
        self.body = body;
        Ok(())
    }

    /// Sets a timeout of this request, in place of the client's; `None` is no timeout.
    ///
    /// # Errors
    /// [`Kind::InvalidTimeout`] for zero; [`Kind::InvalidArgument`] for a timeout that can't be set
    /// ([`Timeout::can_be_set`]).
    ///
    /// ```
    /// let mut request = hangup::Request::new("GET", "https://example.org/")?;
    /// request.set_timeout(hangup::Timeout::Head, Some(std::time::Duration::from_secs(2)))?;
    /// # Ok::<(), hangup::Error>(())
    /// ```
    pub fn set_timeout(&mut self, which: Timeout, limit: Option<Duration>) -> Result<(), Error> {
        check_can_be_set(which)?;
        self.over.set(which, not_zero(limit)?);
        Ok(())
    }

    /// Sets the minimum rate of the response's body, in bytes per second, and the window over which it is
    /// measured: a slower body fails with [`Kind::TimedOut`] and [`Timeout::MinRate`]. Only time in a read counts.
    /// `None`, the default, is no minimum.
    ///
    /// # Errors
    /// [`Kind::InvalidArgument`] for a rate of zero, [`Kind::InvalidTimeout`] for a window of zero.
    ///
    /// ```
    /// let mut request = hangup::Request::new("GET", "https://example.org/")?;
    /// request.set_min_rate(Some((1000, std::time::Duration::from_secs(5))))?;
    /// # Ok::<(), hangup::Error>(())
    /// ```
    pub fn set_min_rate(&mut self, rate: Option<(u64, Duration)>) -> Result<(), Error> {
        if let Some((bytes_per_second, window)) = rate {
            not_zero(Some(window))?;
            if bytes_per_second == 0 {
                let what = "a minimum rate of 0 bytes/s has no effect; set no rate instead";
                return Err(Error::new(Kind::InvalidArgument, what));
            }
        }
        self.over.min_rate = rate;
        Ok(())
    }

    /// Sets how long the connection lives, in place of the client's default.
    ///
    /// ```
    /// let mut request = hangup::Request::new("GET", "https://example.org/")?;
    /// request.set_connection_mode(hangup::ConnectionMode::Fresh);
    /// # Ok::<(), hangup::Error>(())
    /// ```
    pub fn set_connection_mode(&mut self, mode: ConnectionMode) {
        self.mode = Some(mode);
        if mode != ConnectionMode::CloseAfter && !self.headers.is_empty() {
            self.headers.retain(|name, value| {
                !(headers::is(name, headers::CONNECTION) && has_option(value, b"close"))
            });
        }
    }

    /// Sets the token that cancels the exchange, its body included, when it is fired; `None` removes it.
    ///
    /// ```
    /// let mut request = hangup::Request::new("GET", "https://example.org/")?;
    /// request.set_cancel(Some(hangup::CancelToken::new()));
    /// # Ok::<(), hangup::Error>(())
    /// ```
    pub fn set_cancel(&mut self, token: Option<CancelToken>) {
        self.token = token;
    }

    /// Sets whether the request is sent again if a reused connection breaks before the response, in place of the
    /// client's [`set_retries`](crate::Client::set_retries).
    ///
    /// ```
    /// let mut request = hangup::Request::new("GET", "https://example.org/")?;
    /// request.set_retries(false);
    /// # Ok::<(), hangup::Error>(())
    /// ```
    pub fn set_retries(&mut self, on: bool) {
        self.retries = Some(on);
    }

    /// Sets the credentials of this request, in place of the client's ([`Client::set_auth`](crate::Client::set_auth)) and of
    /// the URL's user information; with `None` it has none but those of its URL.
    ///
    /// ```
    /// let mut request = hangup::Request::new("GET", "https://example.org/")?;
    /// request.set_auth(Some(hangup::Auth::bearer("token")?));
    /// # Ok::<(), hangup::Error>(())
    /// ```
    pub fn set_auth(&mut self, auth: Option<Auth>) {
        self.auth = Some(Box::new(auth));
    }

    /// Sets how many redirects are followed; with 0 a redirect is returned as any other response. `None`, the
    /// default, is the client's number ([`set_redirects`](crate::Client::set_redirects)).
    ///
    /// ```
    /// let mut request = hangup::Request::new("GET", "https://example.org/")?;
    /// request.set_redirects(Some(0));
    /// # Ok::<(), hangup::Error>(())
    /// ```
    pub fn set_redirects(&mut self, max: Option<u32>) {
        self.redirects = max;
    }

    /// Has the whole body buffered, of at most so many bytes: the call ends with the body's last byte instead of
    /// the head, and reads don't wait. A larger body fails the call with [`Kind::TooLarge`]. `Some(usize::MAX)` is the
    /// client's bound ([`set_max_body`](crate::Client::set_max_body)). `None`, the default: the body is read as it
    /// arrives.
    ///
    /// ```
    /// let mut request = hangup::Request::new("GET", "https://example.org/")?;
    /// request.set_buffer_body(Some(1 << 20));
    /// # Ok::<(), hangup::Error>(())
    /// ```
    pub fn set_buffer_body(&mut self, at_most: Option<usize>) {
        self.buffer_body = at_most;
    }

    /// Buffers only bodies that are not known to be longer, where [`set_buffer_body`](Self::set_buffer_body) asks for it: with a
    /// Content-Length of more than so many bytes, within the bound, the call ends with the head, and
    /// [`Response::left`](crate::Response::left) says how much is to be read. So a large body is read into memory of the
    /// caller's, and a small one costs no second step. A body whose length is not known is buffered. `None`, the default: all are.
    ///
    /// ```
    /// let mut request = hangup::Request::new("GET", "https://example.org/")?;
    /// request.set_buffer_body(Some(usize::MAX));
    /// request.set_buffer_up_to(Some(65536));
    /// # Ok::<(), hangup::Error>(())
    /// ```
    pub fn set_buffer_up_to(&mut self, length: Option<u64>) {
        self.buffer_up_to = length.unwrap_or(u64::MAX);
    }

    /// Sets the TLS settings of this request, in place of the client's ([`Client::set_tls`](crate::Client::set_tls)); `None`
    /// removes them. Requests that share one `Tls` share its connections and sessions. A https proxy keeps the client's.
    ///
    /// ```
    /// use std::sync::Arc;
    /// use hangup::{Request, Tls};
    ///
    /// let mut tls = Tls::new();
    /// tls.set_server_name(Some("service.internal"))?;
    /// let tls = Arc::new(tls);
    /// let mut request = Request::new("GET", "https://10.0.0.7/")?;
    /// request.set_tls(Some(tls));
    /// # Ok::<(), hangup::Error>(())
    /// ```
    pub fn set_tls(&mut self, tls: Option<Arc<Tls>>) {
        self.tls = tls;
    }

    /// Sets whether this request asks for content codings and its body is decoded, in place of the client's
    /// [`set_decode`](crate::Client::set_decode).
    ///
    /// ```
    /// let mut request = hangup::Request::new("GET", "https://example.org/")?;
    /// request.set_decode(true);
    /// # Ok::<(), hangup::Error>(())
    /// ```
    pub fn set_decode(&mut self, on: bool) {
        self.decode = Some(on);
    }

    /// Sets the maximum rates of this request, in bytes per second, in place of the client's: of its body (`upload`) and of
    /// the response's body (`download`). `None` is no maximum.
    ///
    /// The rate is kept over any second. The time of a pause counts for the total timeout only, and not for the minimum rate;
    /// a cancel ends it at once.
    ///
    /// # Errors
    /// [`Kind::InvalidArgument`] for a rate of zero.
    ///
    /// ```
    /// let mut request = hangup::Request::new("GET", "https://example.org/")?;
    /// request.set_max_rate(None, Some(1_000_000))?;
    /// assert!(request.set_max_rate(Some(0), None).is_err());
    /// # Ok::<(), hangup::Error>(())
    /// ```
    pub fn set_max_rate(
        &mut self,
        upload: Option<u64>,
        download: Option<u64>,
    ) -> Result<(), Error> {
        check_rates(upload, download)?;
        let transfer = self.transfer();
        (transfer.max_upload, transfer.max_download) = (Some(upload), Some(download));
        Ok(())
    }

    /// Has the head sent with `Expect: 100-continue`, and the body only when the server asks for it, or has not responded for
    /// so long (RFC 9110 section 10.1.1); `None` sends the body at once. In place of the client's
    /// [`set_expect_continue`](crate::Client::set_expect_continue).
    ///
    /// A final response in place of 100 is returned, and the body is not sent. A server that does not know the expectation
    /// answers 417: the request is sent again without it, once. A request without a body has no Expect. For an `Expect` header
    /// that is added by hand the wait is one second, and 417 is returned.
    ///
    /// # Errors
    /// [`Kind::InvalidTimeout`] for zero.
    ///
    /// ```
    /// use std::time::Duration;
    /// let mut request = hangup::Request::new("PUT", "https://example.org/large")?;
    /// request.set_expect_continue(Some(Duration::from_millis(500)))?;
    /// # Ok::<(), hangup::Error>(())
    /// ```
    pub fn set_expect_continue(&mut self, wait: Option<Duration>) -> Result<(), Error> {
        self.transfer().expect_continue = Some(not_zero(wait)?);
        Ok(())
    }

    /// Sets the handle that says how far the bodies are; `None` removes it.
    ///
    /// ```
    /// let progress = hangup::Progress::new();
    /// let mut request = hangup::Request::new("GET", "https://example.org/")?;
    /// request.set_progress(Some(progress.clone()));
    /// # Ok::<(), hangup::Error>(())
    /// ```
    pub fn set_progress(&mut self, progress: Option<Progress>) {
        self.transfer().progress = progress;
    }

    fn transfer(&mut self) -> &mut TransferSettings {
        self.transfer.get_or_insert_default()
    }

    /// A copy that can be changed on its own; it shares the cancel token.
    ///
    /// # Errors
    /// [`Kind::InvalidState`] if the body comes from a reader, a writer or a descriptor.
    ///
    /// ```
    /// let mut request = hangup::Request::new("GET", "https://example.org/")?;
    /// assert_eq!(request.try_clone()?.url(), request.url());
    /// # Ok::<(), hangup::Error>(())
    /// ```
    pub fn try_clone(&self) -> Result<Self, Error> {
        Ok(self.with(self.body.try_clone()?))
    }

    /// A request to send now while this one is kept: a copy, except that a body from a reader moves into it.
    ///
    /// # Errors
    /// [`Kind::InvalidState`] if such a body was sent before.
    pub(crate) fn take(&mut self) -> Result<Self, Error> {
        let body = self.body.take()?;
        Ok(self.with(body))
    }

    fn with(&self, body: Body) -> Self {
        Self {
            method: self.method.clone(),
            target: Arc::clone(&self.target),
            headers: self.headers.clone(),
            removed: self.removed.clone(),
            given_target: self.given_target.clone(),
            body,
            over: self.over,
            mode: self.mode,
            token: self.token.clone(),
            retries: self.retries,
            redirects: self.redirects,
            auth: self.auth.clone(),
            buffer_body: self.buffer_body,
            buffer_up_to: self.buffer_up_to,
            connect: self.connect.clone(),
            says_upgrade: self.says_upgrade,
            tls: self.tls.clone(),
            decode: self.decode,
            transfer: self.transfer.clone(),
        }
    }

    /// The method, as it will be sent.
    pub fn method(&self) -> &str {
        self.method.as_str()
    }

    /// The URL, without user information and fragment, as it will be requested.
    pub fn url(&self) -> String {
        self.target.url()
    }
}

impl Body {
    /// No body.
    pub fn none() -> Self {
        Self(BodySource::None)
    }

    /// These bytes, copied.
    pub fn bytes(data: &[u8]) -> Self {
        Self(BodySource::Bytes(Arc::from(data)))
    }

    /// These bytes, not copied: their owner is kept until nothing sends them any more, and then
    /// dropped on any thread.
    ///
    /// ```
    /// let body = hangup::Body::shared(vec![0; 1 << 20]); // the bytes are not copied
    /// ```
    pub fn shared(owner: impl AsRef<[u8]> + Send + Sync + 'static) -> Self {
        Self(BodySource::Shared(Arc::new(CallerBytes::new(owner))))
    }

    /// The content of a regular file, which is opened and read when the request is sent. It is sent
    /// with its length, or chunked if its size can't be trusted, as in `/proc`. A file that grows
    /// or shrinks while it is sent fails the exchange with [`Kind::BodyFailed`]; it is never truncated.
    ///
    /// # Errors
    /// [`Kind::System`] if it can't be opened or is not a regular file. For a FIFO, a socket or a device give
    /// something that reads it to [`reader`](Self::reader).
    ///
    /// ```
    /// assert!(hangup::Body::file("/no/such/file").is_err());
    /// ```
    pub fn file(path: impl Into<PathBuf>) -> Result<Self, Error> {
        let path = path.into();
        sent_file::open(&path)?;
        Ok(Self(BodySource::File(path)))
    }

    /// The bytes of a reader: as many as `length`, or up to its end if that is `None`. Such a body can be sent once. It is read
    /// in pieces of up to 128 KiB, each of which is sent at once.
    ///
    /// The reader may block. A submitted request that is ended does not wait for a read that is under way: the
    /// reader is dropped when that read returns, which may be after the outcome is known.
    ///
    /// ```
    /// let body = hangup::Body::reader(std::io::Cursor::new(b"name=value"), Some(10));
    /// ```
    pub fn reader(reader: impl Read + Send + 'static, length: Option<u64>) -> Self {
        Self(BodySource::reader(CallerReader::once(reader), length))
    }

    /// The bytes of a reader from where it is now, which can go back there: for a redirect and a retry the body is sent
    /// again. Otherwise as [`reader`](Self::reader).
    ///
    /// # Errors
    /// [`Kind::BodyFailed`] if the reader does not say where it is.
    ///
    /// ```
    /// let body = hangup::Body::seekable(std::io::Cursor::new(b"name=value"), Some(10))?;
    /// # Ok::<(), hangup::Error>(())
    /// ```
    pub fn seekable(
        reader: impl Read + Seek + Send + 'static,
        length: Option<u64>,
    ) -> Result<Self, Error> {
        let reader = CallerReader::seekable(reader).map_err(|error| {
            let what = format!("the reader of the body does not say where it is: {error}");
            Error::new(Kind::BodyFailed, what).caused_by(error)
        })?;
        Ok(Self(BodySource::reader(reader, length)))
    }

    pub(crate) fn from_caller(reader: CallerReader, length: Option<u64>) -> Self {
        Self(BodySource::reader(reader, length))
    }

    /// The bytes that are written to the returned writer: as many as `length`, or up to
    /// [`finish`](BodyWriter::finish) if that is `None`. Such a body can be sent once. For programs that can't give a reader
    /// away because they make the body piece by piece.
    ///
    /// ```
    /// let (body, mut writer) = hangup::Body::pushed(None);
    /// writer.write(b"name=value")?;
    /// writer.finish()?;
    /// # Ok::<(), hangup::Error>(())
    /// ```
    pub fn pushed(length: Option<u64>) -> (Self, BodyWriter) {
        let (writer, reader) = upload::pipe(length);
        (Self(BodySource::pushed(reader, length)), writer)
    }

    /// The bytes of a descriptor: a pipe, a socket, a device or a file. As many as `length`, or up to its end if that is
    /// `None`. A file is sent from its current offset, and again from there for a redirect and a retry; all others can be
    /// sent once.
    ///
    /// The exchange waits for the descriptor, and not for [`Read::read`]: a cancel, a timeout or a close ends that wait at
    /// once, also in a blocking call. Only the exchange may read the descriptor meanwhile; it is closed afterwards.
    ///
    /// # Errors
    /// [`Kind::System`] if the descriptor is none.
    ///
    /// ```no_run
    /// use std::process::{Command, Stdio};
    ///
    /// let child = Command::new("tar").args(["-c", "."]).stdout(Stdio::piped()).spawn().unwrap();
    /// let body = hangup::Body::descriptor(child.stdout.unwrap(), None)?;
    /// # Ok::<(), hangup::Error>(())
    /// ```
    pub fn descriptor(
        descriptor: impl Into<OwnedDescriptor>,
        length: Option<u64>,
    ) -> Result<Self, Error> {
        match ReadFd::open(descriptor.into()) {
            Ok(Opened::File(file)) => Self::seekable(file, length),
            Ok(Opened::Other(fd)) => {
                Ok(Self(BodySource::descriptor(InputDescriptor::new(fd), length)))
            }
            Err(error) => {
                Err(Error::from_os(Kind::System, "can't read the body's descriptor", &error))
            }
        }
    }

    /// The fields of a form, application/x-www-form-urlencoded as the URL standard has it. The request needs that
    /// Content-Type; [`Request::set_form_urlencoded`] sets both.
    ///
    /// ```
    /// let body = hangup::Body::urlencoded([("name", "a b"), ("city", "Köln")]);
    /// ```
    pub fn urlencoded<'a>(fields: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let mut text = url::form_urlencoded::Serializer::new(String::new());
        text.extend_pairs(fields);
        Self::from(text.finish())
    }

    /// One after the other.
    pub(crate) fn sequence(parts: Vec<Self>) -> Self {
        Self(BodySource::Sequence(parts.into_iter().map(|part| part.0).collect()))
    }

    pub(crate) fn take(&mut self) -> Result<Self, Error> {
        self.0.take().map(Self)
    }

    fn try_clone(&self) -> Result<Self, Error> {
        self.0.try_clone().map(Self)
    }
}

impl std::fmt::Debug for Body {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

impl Default for Body {
    fn default() -> Self {
        Self::none()
    }
}

impl From<Vec<u8>> for Body {
    fn from(bytes: Vec<u8>) -> Self {
        Self::shared(bytes)
    }
}

impl From<String> for Body {
    fn from(text: String) -> Self {
        Self::shared(text)
    }
}

impl From<&[u8]> for Body {
    fn from(bytes: &[u8]) -> Self {
        Self::bytes(bytes)
    }
}

impl From<&str> for Body {
    fn from(text: &str) -> Self {
        Self::bytes(text.as_bytes())
    }
}

/// Refuses a maximum rate of zero.
pub(crate) fn check_rates(upload: Option<u64>, download: Option<u64>) -> Result<(), Error> {
    if upload == Some(0) || download == Some(0) {
        let what = "a maximum rate of 0 bytes/s would send nothing; set no rate instead";
        return Err(Error::new(Kind::InvalidArgument, what));
    }
    Ok(())
}

/// Whether performing it twice has the effect of once: an idempotent method (RFC 9110 section 9.2.2), or a key by
/// which the server recognises the second one.
pub(crate) fn is_repeatable(method: &Method, headers: &Headers) -> bool {
    matches!(
        *method,
        Method::GET | Method::HEAD | Method::OPTIONS | Method::TRACE | Method::PUT | Method::DELETE
    ) || headers.contains(headers::IDEMPOTENCY_KEY)
}

/// Whether a Connection field has that option.
pub(crate) fn has_option(value: &[u8], option: &[u8]) -> bool {
    value.split(|byte| *byte == b',').any(|other| other.trim_ascii().eq_ignore_ascii_case(option))
}

/// Methods whose requests announce how long their body is even if it is empty (RFC 9110 section 8.6).
pub(crate) fn needs_length(method: &Method) -> bool {
    matches!(*method, Method::POST | Method::PUT | Method::PATCH)
}

/// A header that the library writes itself.
pub(crate) fn own(name: &str, why: &str) -> Error {
    Error::new(Kind::InvalidHeader, format!("the header {name} is the library's own: {why}"))
}

/// Headers that the library writes itself, wherever HTTP needs them.
pub(crate) const OWN: [&str; 4] =
    [headers::HOST, headers::CONNECTION, headers::CONTENT_LENGTH, headers::TRANSFER_ENCODING];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_types_of_the_api_move_between_threads() {
        fn shared<T: Send + Sync>() {}
        fn sent<T: Send>() {}
        shared::<Request>();
        shared::<Body>();
        shared::<crate::Client>();
        shared::<crate::Manager>();
        shared::<crate::CancelToken>();
        shared::<crate::CloseHandle>();
        shared::<crate::ResponseHead>();
        shared::<crate::Submission>();
        shared::<Error>();
        sent::<crate::Response>();
        sent::<crate::ResponseBody>();
        sent::<crate::ReadFuture<'_>>();
        sent::<crate::Events>();
    }

    #[test]
    fn methods_are_tokens() {
        assert!(Request::new("PROPFIND", "http://localhost/").is_ok());
        for method in ["", "GE T", "GET\r\n", "G\0T", "CONNECT"] {
            let error = Request::new(method, "http://localhost/").unwrap_err();
            assert_eq!(error.kind(), Kind::InvalidMethod, "{method:?}");
        }
    }

    #[test]
    fn no_message_has_the_value_of_a_header() {
        let mut request = Request::new("GET", "http://localhost/").unwrap();
        for (name, value) in [("Authorization: secret", ""), ("Authorization", "secret\r\n")] {
            let error = request.add_header(name, value).unwrap_err();
            assert!(error.message().contains("Authorization"), "{error}");
            assert!(!error.message().contains("secret"), "{error}");
        }
    }

    #[test]
    fn headers_that_could_split_a_request_are_refused() {
        let mut request = Request::new("GET", "http://localhost/").unwrap();
        for (name, value) in [
            ("", "x"),
            ("a b", "x"),
            ("a:", "x"),
            ("a\r\n", "x"),
            ("a", "x\r\nb: c"),
            ("a", "x\0"),
            ("a", "x\r"),
            ("host", "a b"),
            ("connection", "te"),
        ] {
            let error = request.add_header(name, value).unwrap_err();
            assert_eq!(error.kind(), Kind::InvalidHeader, "{name:?}: {value:?}");
        }
        request.add_header("Host", "LOCALHOST").unwrap();
        request.add_header("Connection", "keep-alive, close").unwrap();
        assert_eq!(request.mode, Some(ConnectionMode::CloseAfter));
        request.set_connection_mode(ConnectionMode::Keep);
        assert_eq!(request.headers.as_bytes(), b"Host: LOCALHOST\r\n");
    }

    #[test]
    fn host_is_a_host_and_a_port_and_is_there_once() {
        for host in [
            "",
            "example.org",
            "EXAMPLE.org:8080",
            "[::1]",
            "[::1]:80",
            "a_b",
            "a:",
            "%41",
            "x.local",
        ] {
            let mut request = Request::new("GET", "http://localhost/").unwrap();
            request.add_header("host", host).unwrap();
            assert!(request.add_header("Host", host).is_err(), "{host:?}: twice");
        }
        for host in [
            "a b",
            "a/b",
            "u@a",
            "a?b",
            "a#b",
            "a\\b",
            "a:b",
            "a:80:81",
            "[::1",
            "::1",
            "[]",
            "a,b\t",
            "caf\u{e9}",
        ] {
            let mut request = Request::new("GET", "http://localhost/").unwrap();
            let error = request.add_header("Host", host).unwrap_err();
            assert_eq!(error.kind(), Kind::InvalidHeader, "{host:?}");
        }
    }

    #[test]
    fn what_was_removed_can_be_added_again_and_framing_is_never_removed() {
        let mut request = Request::new("GET", "http://localhost/").unwrap();
        request.add_header("X-A", "1").unwrap();
        request.remove_header("x-a").unwrap();
        request.remove_header("X-A").unwrap();
        assert!(request.headers.is_empty() && request.removed.len() == 1);
        request.add_header("X-A", "2").unwrap();
        assert_eq!(request.headers.as_bytes(), b"X-A: 2\r\n");
        for name in ["Host", "content-length", "Transfer-Encoding", "connection", "a b", ""] {
            assert_eq!(request.remove_header(name).unwrap_err().kind(), Kind::InvalidHeader);
        }
    }
}
