//! One failure, told whole: its kind, the phase it fell in, the clock that fired and whether
//! it is safe to send again. The same error comes from every call, body reads included.
//!
//! Knows nothing of who makes it. One word wide, so that results stay small.

use std::ffi::{CStr, CString};
use std::{fmt, io};

use crate::vocabulary::{Kind, Phase, Sent, Timeout};

/// A failure. Its [`kind`](Error::kind) never depends on its [`phase`](Error::phase).
///
/// Threads: immutable.
#[derive(Clone)]
pub struct Error(Box<Facts>);

#[derive(Clone, Default)]
struct Facts {
    kind: Kind,
    phase: Phase,
    limit: Timeout,
    connection: Option<u64>,
    reused: bool,
    sent: Sent,
    bytes_sent: u64,
    response_started: bool,
    retry_safe: bool,
    attempts: u32,
    os_code: Option<i32>,
    http_status: Option<u16>,
    left: u64,
    message: CString,
    reason: Option<CString>,
}

impl Error {
    /// A failure that says what happened and, for bad input, what to do.
    pub fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self::said(kind, message.into())
    }

    // Out of line: what goes well shall not have its frame.
    #[cold]
    #[inline(never)]
    fn said(kind: Kind, mut message: String) -> Self {
        message.retain(|c| c != '\0');
        let message = CString::new(message).unwrap_or_default();
        Self(Box::new(Facts { kind, message, retry_safe: true, ..Facts::default() }))
    }

    /// A failure of the operating system.
    pub fn from_os(kind: Kind, what: &str, error: &io::Error) -> Self {
        let mut failure = Self::new(kind, format!("{what}: {error}"));
        failure.0.os_code = error.raw_os_error();
        failure
    }

    /// A thread is needed, and the operating system makes none.
    pub(crate) fn no_thread(error: &io::Error) -> Self {
        let what = "there is no thread to do this, and the system makes no more; try again with \
                    fewer threads in the process, or raise its limit (ulimit -u)";
        Self::from_os(Kind::System, what, error)
    }

    pub(crate) fn in_phase(mut self, phase: Phase) -> Self {
        self.0.phase = phase;
        self
    }

    pub(crate) fn by_clock(mut self, limit: Timeout) -> Self {
        self.0.limit = limit;
        self
    }

    pub(crate) fn because(mut self, reason: Option<&str>) -> Self {
        self.0.reason = reason.map(|r| CString::new(r.replace('\0', "")).unwrap_or_default());
        self
    }

    pub(crate) fn on_connection(mut self, id: u64, reused: bool) -> Self {
        self.0.connection = Some(id);
        self.0.reused = reused;
        self
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

    pub(crate) fn with_http_status(mut self, status: u16) -> Self {
        self.0.http_status = Some(status);
        self
    }

    pub(crate) fn with_left(mut self, connections: u64) -> Self {
        self.0.left = connections;
        self
    }

    /// What kind of failure.
    pub fn kind(&self) -> Kind {
        self.0.kind
    }

    /// Where the exchange was.
    pub fn phase(&self) -> Phase {
        self.0.phase
    }

    /// Which clock fired; [`Timeout::None`] unless the kind is [`Kind::TimedOut`].
    pub fn timeout(&self) -> Timeout {
        self.0.limit
    }

    /// The connection that was used, if there was one.
    pub fn connection(&self) -> Option<u64> {
        self.0.connection
    }

    /// Whether that connection had served a request before.
    pub fn reused(&self) -> bool {
        self.0.reused
    }

    /// How much of the request went out.
    pub fn sent(&self) -> Sent {
        self.0.sent
    }

    /// How many bytes of the request the operating system took, before TLS.
    pub fn bytes_sent(&self) -> u64 {
        self.0.bytes_sent
    }

    /// Whether a byte of the response had come.
    pub fn response_started(&self) -> bool {
        self.0.response_started
    }

    /// Whether sending the same request again can't make the server do it twice. After a redirect this
    /// speaks of the whole call, from its first URL.
    pub fn retry_safe(&self) -> bool {
        self.0.retry_safe
    }

    /// How often the message was sent or tried to be: 1 without a retry, 0 if it never came to that.
    /// After redirects this counts the last hop's attempts only.
    pub fn attempts(&self) -> u32 {
        self.0.attempts
    }

    /// The operating system's error number.
    pub fn os_code(&self) -> Option<i32> {
        self.0.os_code
    }

    /// The HTTP status that a proxy refused with, or that redirects to where can't be followed.
    pub fn status_code(&self) -> Option<u16> {
        self.0.http_status
    }

    /// After a drain that ran out of time: how many connections were left.
    pub fn open_connections(&self) -> u64 {
        self.0.left
    }

    /// One sentence for people.
    pub fn message(&self) -> &str {
        self.0.message.to_str().unwrap_or("")
    }

    /// The reason that was given when the token was fired.
    pub fn reason(&self) -> Option<&str> {
        self.0.reason.as_ref().and_then(|reason| reason.to_str().ok())
    }

    pub(crate) fn c_message(&self) -> &CStr {
        &self.0.message
    }

    pub(crate) fn c_reason(&self) -> Option<&CStr> {
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
            .field("limit", &self.0.limit)
            .field("message", &self.message())
            .field("reason", &self.reason())
            .field("connection", &self.0.connection)
            .field("reused", &self.0.reused)
            .field("sent", &self.0.sent)
            .field("retry_safe", &self.0.retry_safe)
            .finish()
    }
}

impl std::error::Error for Error {}

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
    fn numbers_are_the_order_of_the_vocabulary() {
        assert_eq!(Phase::ALL[Phase::Read as usize], Phase::Read);
        assert_eq!(Timeout::ALL[Timeout::Token as usize], Timeout::Token);
        assert_eq!(Phase::Read as i32, 8);
        assert_eq!(Timeout::Token as i32, 10);
    }
}
