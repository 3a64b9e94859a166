//! The one error type: the kind of a failure, the phase it happened in, the timeout that ran out, and
//! whether sending the request again is safe. Every call returns it, body reads included.
//!
//! An error is one pointer wide, so that results stay small. It does not know the code that makes it.

use std::error::Error as StdError;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::sync::Arc;
use std::{fmt, io};

use crate::tcp_facts::TcpFacts;
use crate::timings::Timings;
use crate::vocabulary::{Acknowledged, Kind, Phase, Sent, Timeout};

/// A failure. Its [`kind`](Error::kind) never depends on its [`phase`](Error::phase).
///
/// ```
/// use hangup::{Kind, Request};
///
/// let error = Request::new("GET", "ftp://example.org/").unwrap_err();
/// assert_eq!(error.kind(), Kind::InvalidUrl);
/// assert!(error.retry_safe(), "nothing was sent");
/// println!("{error}");
/// ```
///
/// Threads: immutable.
#[derive(Clone)]
pub struct Error(Box<Facts>);

#[derive(Clone, Default)]
struct Facts {
    kind: Kind,
    phase: Phase,
    timeout: Timeout,
    connection: Option<u64>,
    reused: bool,
    /// Its large segments got lost, and the next connection has small ones.
    lost_large_segments: bool,
    sent: Sent,
    bytes_sent: u64,
    response_started: bool,
    retry_safe: bool,
    attempts: u32,
    os_code: Option<i32>,
    resolver_code: Option<i32>,
    /// The resolver may find the name if it is asked again.
    name_may_exist: bool,
    status_code: Option<u16>,
    open_connections: u64,
    request: Option<About>,
    timings: Timings,
    /// Few errors have it.
    tcp: Option<Box<(TcpFacts, Acknowledged)>>,
    message: String,
    reason: Option<String>,
    source: Option<Arc<dyn StdError + Send + Sync>>,
}

/// The request that a failure belongs to.
#[derive(Clone)]
struct About {
    method: Option<String>,
    url: String,
    origin: String,
}

impl Error {
    /// A failure with one sentence that says what happened and, for bad input, what to do instead.
    pub fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self::with_message(kind, message.into())
    }

    // Out of line and cold, to keep the frames of its callers small.
    #[cold]
    #[inline(never)]
    fn with_message(kind: Kind, message: String) -> Self {
        let message = without_nul(message);
        Self(Box::new(Facts { kind, message, retry_safe: true, ..Facts::default() }))
    }

    /// A failure of the operating system, whose error is its [`source`](StdError::source).
    pub(crate) fn from_os(kind: Kind, what: &str, error: &io::Error) -> Self {
        let mut failure = Self::new(kind, format!("{what}: {error}"));
        failure.0.os_code = error.raw_os_error();
        // An `io::Error` can't be cloned: this one has the same number, or the same kind and text.
        failure.caused_by(match error.raw_os_error() {
            Some(code) => io::Error::from_raw_os_error(code),
            None => io::Error::new(error.kind(), error.to_string()),
        })
    }

    /// A thread is needed, and the operating system can't start one.
    pub(crate) fn no_thread(error: &io::Error) -> Self {
        let what = "there is no thread to do this, and the system makes no more; try again with \
                    fewer threads in the process, or raise its limit (ulimit -u)";
        Self::from_os(Kind::System, what, error)
    }

    /// Sets the [`source`](StdError::source): the error of another library that led to this one.
    pub(crate) fn caused_by(mut self, source: impl StdError + Send + Sync + 'static) -> Self {
        self.0.source = Some(Arc::new(source));
        self
    }

    pub(crate) fn in_phase(mut self, phase: Phase) -> Self {
        self.0.phase = phase;
        self
    }

    pub(crate) fn by_clock(mut self, timeout: Timeout) -> Self {
        self.0.timeout = timeout;
        self
    }

    /// What TCP knew of the connection when the wait for the peer was over, and what that means, for the message.
    pub(crate) fn with_tcp_facts(
        mut self,
        facts: TcpFacts,
        acknowledged: Acknowledged,
        meaning: &str,
    ) -> Self {
        self.0.tcp = Some(Box::new((facts, acknowledged)));
        self.0.message.push_str("; ");
        self.0.message.push_str(meaning);
        self
    }

    /// Adds to the message of a timeout what was waited for.
    pub(crate) fn also(mut self, what: &str) -> Self {
        if self.0.kind == Kind::TimedOut {
            self.0.message.push_str("; ");
            self.0.message.push_str(what);
        }
        self
    }

    pub(crate) fn because(mut self, reason: Option<&str>) -> Self {
        self.0.reason = reason.map(|reason| without_nul(reason.to_owned()));
        self
    }

    pub(crate) fn on_connection(mut self, id: u64, reused: bool) -> Self {
        self.0.connection = Some(id);
        self.0.reused = reused;
        self
    }

    pub(crate) fn after_losing_large_segments(mut self) -> Self {
        self.0.lost_large_segments = true;
        self
    }

    /// Whether the large segments of the connection got lost, and the next connection has small ones.
    pub(crate) fn lost_large_segments(&self) -> bool {
        self.0.lost_large_segments
    }

    pub(crate) fn after_sending(mut self, sent: Sent, bytes: u64, response_started: bool) -> Self {
        self.0.sent = sent;
        self.0.bytes_sent = bytes;
        self.0.response_started = response_started;
        self
    }

    pub(crate) fn safe_to_retry(mut self, safe: bool) -> Self {
        self.0.retry_safe = safe;
        self
    }

    pub(crate) fn after_attempts(mut self, attempts: u32) -> Self {
        self.0.attempts = attempts;
        self
    }

    /// The request that failed; `url` has neither user information nor a fragment.
    pub(crate) fn about_request(
        mut self,
        method: Option<&http::Method>,
        url: &str,
        origin: &str,
    ) -> Self {
        self.0.request = Some(About {
            method: method.map(|method| method.as_str().to_owned()),
            url: url.to_owned(),
            origin: origin.to_owned(),
        });
        self
    }

    pub(crate) fn with_timings(mut self, timings: Timings) -> Self {
        self.0.timings = timings;
        self
    }

    /// `may_recover`: the name may be found if the resolver is asked again.
    pub(crate) fn with_resolver_code(mut self, code: i32, may_recover: bool) -> Self {
        self.0.resolver_code = Some(code);
        self.0.name_may_exist = may_recover;
        self
    }

    pub(crate) fn with_status_code(mut self, status_code: u16) -> Self {
        self.0.status_code = Some(status_code);
        self
    }

    pub(crate) fn with_open_connections(mut self, connections: u64) -> Self {
        self.0.open_connections = connections;
        self
    }

    /// What kind of failure this is.
    ///
    /// ```
    /// let error = hangup::Request::new("GET", "nonsense").unwrap_err();
    /// assert_eq!(error.kind(), hangup::Kind::InvalidUrl);
    /// ```
    pub fn kind(&self) -> Kind {
        self.0.kind
    }

    /// What the exchange was doing; [`Phase::None`] if there was no exchange.
    pub fn phase(&self) -> Phase {
        self.0.phase
    }

    /// Which timeout ran out; [`Timeout::None`] unless the kind is [`Kind::TimedOut`].
    pub fn timeout(&self) -> Timeout {
        self.0.timeout
    }

    /// The id of the connection that was used, if there was one.
    pub fn connection_id(&self) -> Option<u64> {
        self.0.connection
    }

    /// Whether that connection had served a request before.
    pub fn reused(&self) -> bool {
        self.0.reused
    }

    /// How much of the request was sent.
    pub fn sent(&self) -> Sent {
        self.0.sent
    }

    /// How many bytes of the request the operating system accepted, head and body, before TLS.
    pub fn bytes_sent(&self) -> u64 {
        self.0.bytes_sent
    }

    /// Whether at least one byte of the response had been received.
    pub fn response_started(&self) -> bool {
        self.0.response_started
    }

    /// How much of the request the peer's TCP acknowledged, if that was looked at: of an error by a timeout or of the kind
    /// [`Kind::PeerSilent`], in one of the phases [`Phase::Write`], [`Phase::Head`] and [`Phase::Read`], on a connection that has
    /// [`tcp_facts`](Self::tcp_facts). [`Acknowledged::All`] says that the peer's host is there and has the request, so that
    /// the server is slow or hangs; [`Acknowledged::Nothing`] says that the way to it is gone. Whether sending the request
    /// again is safe is another question: what is not acknowledged may have been received.
    ///
    /// After a [`Stream`](crate::Stream) was taken this is about what was written to it; [`Acknowledged::Part`] says then that
    /// some bytes of it are not acknowledged.
    ///
    /// ```no_run
    /// use hangup::Acknowledged;
    ///
    /// let client = hangup::Client::default();
    /// if let Err(error) = client.get("https://example.org/", Some(std::time::Duration::from_secs(5))) {
    ///     match error.acknowledged() {
    ///         Some(Acknowledged::All) => println!("the server has the request and is slow"),
    ///         Some(_) => println!("the network loses what is sent: {:?}", error.tcp_facts()),
    ///         None => println!("{error}"),
    ///     }
    /// }
    /// ```
    pub fn acknowledged(&self) -> Option<Acknowledged> {
        self.0.tcp.as_ref().map(|tcp| tcp.1)
    }

    /// What TCP knew of the connection when the wait for the peer ended, before the connection was closed: the round-trip
    /// time, retransmissions, and how long the peer had been silent. `None` for other errors than those of
    /// [`acknowledged`](Self::acknowledged), for Unix-domain sockets, and on other systems than Linux and Android.
    pub fn tcp_facts(&self) -> Option<TcpFacts> {
        self.0.tcp.as_ref().map(|tcp| tcp.0)
    }

    /// Whether the server can't perform the request twice if it is sent again: no byte of it was sent,
    /// its method is idempotent (RFC 9110 section 9.2.2), or it has an Idempotency-Key header. After a
    /// redirect this holds for the whole call, from its first URL.
    ///
    /// ```
    /// let error = hangup::Request::new("GET", "nonsense").unwrap_err();
    /// assert!(error.retry_safe());
    /// ```
    pub fn retry_safe(&self) -> bool {
        self.0.retry_safe
    }

    /// How many times the request was sent, or an attempt to send it was made: 1 without a retry, 0 if
    /// no attempt was made. After redirects this counts the attempts of the last request only.
    pub fn attempts(&self) -> u32 {
        self.0.attempts
    }

    /// The operating system's error number (errno), if there was one.
    pub fn os_code(&self) -> Option<i32> {
        self.0.os_code
    }

    /// The resolver's error code (`EAI_NONAME`, `EAI_AGAIN` and others of getaddrinfo(3)), if the resolver gave one.
    /// Its numbers differ between operating systems.
    pub fn resolver_code(&self) -> Option<i32> {
        self.0.resolver_code
    }

    /// The method of the request that failed; `None` if there was no exchange.
    pub fn method(&self) -> Option<&str> {
        self.0.request.as_ref().and_then(|request| request.method.as_deref())
    }

    /// The URL that was requested when the failure happened (after redirects: the last one), without user information
    /// and fragment; its query is included. `None` if there was no exchange.
    pub fn url(&self) -> Option<&str> {
        self.0.request.as_ref().map(|request| request.url.as_str())
    }

    /// The origin of that URL, for example `https://example.org:443`.
    pub fn origin(&self) -> Option<&str> {
        self.0.request.as_ref().map(|request| request.origin.as_str())
    }

    /// How long each part took until the failure; all `None` if there was no exchange.
    pub fn timings(&self) -> Timings {
        self.0.timings
    }

    /// The HTTP status code that was received before the failure: of the response whose body failed, of the redirect
    /// that is not followed, or with which a proxy refused.
    pub fn status_code(&self) -> Option<u16> {
        self.0.status_code
    }

    /// After a [`drain`](crate::Manager::drain) that ran out of time: how many connections are still open.
    /// 0 for any other error.
    pub fn open_connections(&self) -> u64 {
        self.0.open_connections
    }

    /// Whether the same request may succeed if it is sent again: the failure comes from the network, from the server or
    /// from a limit that is reached for now, and not from the request, from a setting, or from the program itself. This
    /// says nothing about whether sending it again is safe: that is [`retry_safe`](Self::retry_safe).
    ///
    /// It is false for every `Invalid` kind, for [`Kind::TlsFailed`], [`Kind::Protocol`], [`Kind::TooLarge`], [`Kind::BodyFailed`],
    /// [`Kind::RedirectRefused`], [`Kind::AuthFailed`], [`Kind::Cancelled`], [`Kind::Closed`] and [`Kind::ShutDown`], for a host name that
    /// does not exist (`EAI_NONAME`), and for a proxy that refused for another reason than 429 or a status of 500 and above.
    ///
    /// ```
    /// let error = hangup::Request::new("GET", "nonsense").unwrap_err();
    /// assert!(!error.retry_may_help());
    /// ```
    pub fn retry_may_help(&self) -> bool {
        match self.0.kind {
            Kind::TimedOut
            | Kind::QueueFull
            | Kind::PeerClosed
            | Kind::PeerReset
            | Kind::PeerSilent
            | Kind::ConnectFailed
            | Kind::Forked
            | Kind::DigestMismatch => true,
            Kind::UnexpectedStatus => {
                self.0.status_code.is_some_and(|status| matches!(status, 408 | 425 | 429 | 500..))
            }
            Kind::ResolveFailed => self.0.resolver_code.is_none() || self.0.name_may_exist,
            Kind::System => self.0.os_code.is_some_and(may_recover),
            Kind::ProxyFailed => {
                self.0.status_code.is_none_or(|status| status == 429 || status >= 500)
            }
            Kind::Null
            | Kind::BadHandle
            | Kind::InvalidArgument
            | Kind::InvalidUrl
            | Kind::InvalidMethod
            | Kind::InvalidHeader
            | Kind::InvalidTimeout
            | Kind::InvalidState
            | Kind::NotFound
            | Kind::Cancelled
            | Kind::Closed
            | Kind::ShutDown
            | Kind::TlsFailed
            | Kind::Protocol
            | Kind::TooLarge
            | Kind::BodyFailed
            | Kind::RedirectRefused
            | Kind::AuthFailed
            | Kind::Panic => false,
        }
    }

    /// One sentence that says what happened and, for bad input, what to do instead.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// The reason that was given to [`CancelToken::fire`](crate::CancelToken::fire).
    pub fn reason(&self) -> Option<&str> {
        self.0.reason.as_deref()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.message())?;
        if let Some(reason) = self.reason() {
            write!(f, " ({reason})")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Error")
            .field("kind", &self.0.kind)
            .field("phase", &self.0.phase)
            .field("timeout", &self.0.timeout)
            .field("message", &self.message())
            .field("reason", &self.reason())
            .field("connection", &self.0.connection)
            .field("reused", &self.0.reused)
            .field("sent", &self.0.sent)
            .field("retry_safe", &self.0.retry_safe)
            .field("acknowledged", &self.acknowledged())
            .field("tcp_facts", &self.tcp_facts())
            .field("source", &self.0.source)
            .finish()
    }
}

impl StdError for Error {
    /// The error of the operating system, of TLS or of a body's reader that led to this one.
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source.as_ref().map(|source| &**source as &(dyn StdError + 'static))
    }
}

// Nothing changes an error after it was returned, and its source is only shown and downcast.
impl UnwindSafe for Error {}
impl RefUnwindSafe for Error {}

/// For code that reads a body through [`std::io::Read`]. The error itself is the inner error.
impl From<Error> for io::Error {
    fn from(error: Error) -> Self {
        let kind = match error.kind() {
            Kind::TimedOut => io::ErrorKind::TimedOut,
            Kind::PeerClosed => io::ErrorKind::UnexpectedEof,
            Kind::PeerReset => io::ErrorKind::ConnectionReset,
            Kind::PeerSilent | Kind::Closed | Kind::ShutDown => io::ErrorKind::ConnectionAborted,
            Kind::InvalidArgument | Kind::InvalidState => io::ErrorKind::InvalidInput,
            Kind::Protocol | Kind::TooLarge => io::ErrorKind::InvalidData,
            // Not `Interrupted` for a cancel: callers of `read` try again after that one.
            _ => io::ErrorKind::Other,
        };
        Self::new(kind, error)
    }
}

/// Whether the operating system may do later what it refused now: a resource was used up, and not a file missing or
/// forbidden.
fn may_recover(os_code: i32) -> bool {
    !matches!(
        io::Error::from_raw_os_error(os_code).kind(),
        io::ErrorKind::NotFound
            | io::ErrorKind::PermissionDenied
            | io::ErrorKind::AlreadyExists
            | io::ErrorKind::InvalidInput
            | io::ErrorKind::IsADirectory
            | io::ErrorKind::NotADirectory
            | io::ErrorKind::ReadOnlyFilesystem
            | io::ErrorKind::AddrNotAvailable
            | io::ErrorKind::Unsupported
    )
}

/// In a text with a NUL byte, programs in C and many terminals would show only the part before it.
fn without_nul(mut text: String) -> String {
    text.retain(|c| c != '\0');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_one_word_and_keeps_its_reason_beside_its_kind() {
        assert_eq!(size_of::<Error>(), size_of::<usize>());
        let error =
            Error::new(Kind::Cancelled, "cancelled\0 while waiting").because(Some("user left"));
        assert_eq!(error.kind(), Kind::Cancelled);
        assert_eq!(error.to_string(), "cancelled while waiting (user left)");
    }

    #[test]
    fn the_cause_of_an_error_is_its_source() {
        let os = io::Error::from_raw_os_error(11);
        let error = Error::from_os(Kind::System, "can't wait", &os);
        let source = error.source().and_then(|source| source.downcast_ref::<io::Error>());
        assert_eq!(source.and_then(io::Error::raw_os_error), Some(11));
        assert_eq!(error.os_code(), Some(11));
        assert!(Error::new(Kind::Closed, "closed").source().is_none());
        let as_io = io::Error::from(Error::new(Kind::TimedOut, "timed out"));
        assert_eq!(as_io.kind(), io::ErrorKind::TimedOut);
        let inner = as_io.get_ref().and_then(|inner| inner.downcast_ref::<Error>());
        assert_eq!(inner.map(Error::kind), Some(Kind::TimedOut));
    }

    #[test]
    fn numbers_are_the_order_of_the_vocabulary() {
        assert_eq!(Phase::ALL[Phase::Read as usize], Phase::Read);
        assert_eq!(Timeout::ALL[Timeout::Token as usize], Timeout::Token);
        assert_eq!(Phase::Read as i32, 8);
        assert_eq!(Timeout::Token as i32, 10);
    }
}
