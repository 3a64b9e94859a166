//! The small vocabularies: statuses, phases, clocks and the switches that go in as numbers.

use std::ffi::c_char;

use crate::vocabulary::{CloseReason, ConnectionState, Kind, Phase, Sent, Timeout};

/// What a call answers. 0 is success; everything else is a failure, and says its kind.
///
/// Numbers are never reused or changed. Later versions may add some: keep a default branch.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum hangup_status {
    /// Success.
    HANGUP_OK = 0,
    /// A pointer that must not be NULL was NULL.
    HANGUP_NULL = 1,
    /// A handle of another type; mostly also one that was freed, as long as nobody else has its memory.
    HANGUP_BAD_HANDLE = 2,
    /// An argument that is not known or out of range; the message says what is legal.
    HANGUP_INVALID_ARGUMENT = 3,
    /// The URL can't be requested: not http or https, no host, a space or a control character, or a host that two
    /// parsers would read differently: a backslash, slashes too many or too few, two @, a percent-encoded host, an
    /// address that is not written as four decimal numbers.
    HANGUP_INVALID_URL = 4,
    /// The method is not a token (RFC 9110 section 9.1).
    HANGUP_INVALID_METHOD = 5,
    /// A header name or value is malformed, or contradicts what the library itself must say.
    HANGUP_INVALID_HEADER = 6,
    /// A duration of zero or less. "No limit" is spelled HANGUP_NO_LIMIT.
    HANGUP_INVALID_TIMEOUT = 7,
    /// Legal, but not now: a handle used by two threads at once, a body that was already closed.
    HANGUP_INVALID_STATE = 8,
    /// A connection id that is not (or no longer) open.
    HANGUP_NOT_FOUND = 9,
    /// The cancel token was fired. Its reason stands in hangup_error_reason.
    HANGUP_CANCELLED = 20,
    /// A clock ran out: hangup_error_timeout says which, hangup_error_phase where.
    HANGUP_TIMED_OUT = 21,
    /// The connection was closed under the exchange by id, by origin, all, or by hangup_response_close; or the queue or
    /// listener was closed, and nothing is left in it.
    HANGUP_CLOSED = 22,
    /// The manager was shut down.
    HANGUP_SHUT_DOWN = 23,
    /// The handle belongs to a parent process; an exchange can't go on across fork.
    HANGUP_FORKED = 24,
    /// The queue for a connection is as long as it may be (HANGUP_LIMIT_QUEUE): refused at once.
    HANGUP_QUEUE_FULL = 25,
    /// The peer closed the connection: before the answer, inside its head or inside its body.
    HANGUP_PEER_CLOSED = 30,
    /// The peer reset the connection.
    HANGUP_PEER_RESET = 31,
    /// The host name could not be resolved.
    HANGUP_RESOLVE_FAILED = 32,
    /// No address of the host could be connected to.
    HANGUP_CONNECT_FAILED = 33,
    /// The TLS handshake failed or a certificate was refused; the message says why.
    HANGUP_TLS_FAILED = 34,
    /// The answer is not HTTP/1.1 as RFC 9112 has it.
    HANGUP_PROTOCOL = 35,
    /// A bound was exceeded: the head's size, or what hangup_response_read_all or hangup_request_set_buffer_body allowed.
    HANGUP_TOO_LARGE = 36,
    /// The body of the request failed or was shorter than it said.
    HANGUP_BODY_FAILED = 37,
    /// The operating system refused: out of descriptors, threads or memory, a file that can't be read. The error number
    /// (hangup_error_os_code) is EAGAIN for threads.
    HANGUP_SYSTEM = 38,
    /// The proxy refused, or did not answer as a proxy does; hangup_error_status_code has what it said.
    HANGUP_PROXY_FAILED = 39,
    /// The response redirects to where can't be followed; the message names the target.
    HANGUP_REDIRECT_REFUSED = 40,
    /// A defect in this library: please report it. The call had no effect beyond its own handle.
    HANGUP_PANIC = 99,
}

/// No limit: the one way to say it. (In the header from `cbindgen.toml`, with its type and parentheses.)
///
/// cbindgen:ignore
pub const HANGUP_NO_LIMIT: i64 = -1;

/// Which clock. Used to set a limit, and in hangup_error_timeout to say which one fired.
pub type hangup_timeout = i32;
/// No clock (only in errors).
pub const HANGUP_TIMEOUT_NONE: hangup_timeout = 0;
/// From the call to the last byte of the body. Default: no limit.
pub const HANGUP_TIMEOUT_TOTAL: hangup_timeout = 1;
/// Waiting for a connection slot. Default 30,000 ms.
pub const HANGUP_TIMEOUT_POOL: hangup_timeout = 2;
/// Resolving the host name. Default 10,000 ms.
pub const HANGUP_TIMEOUT_RESOLVE: hangup_timeout = 3;
/// Connecting, all addresses together. Default 10,000 ms.
pub const HANGUP_TIMEOUT_CONNECT: hangup_timeout = 4;
/// The TLS handshake. Default 10,000 ms.
pub const HANGUP_TIMEOUT_TLS: hangup_timeout = 5;
/// Between two steps of the upload. Default 60,000 ms.
pub const HANGUP_TIMEOUT_WRITE: hangup_timeout = 6;
/// From the request's last byte to the whole response head. Default 60,000 ms.
pub const HANGUP_TIMEOUT_HEAD: hangup_timeout = 7;
/// Between two pieces of the body. Default 60,000 ms.
pub const HANGUP_TIMEOUT_READ: hangup_timeout = 8;
/// The body came slower than the minimum rate (only in errors; see hangup_request_set_min_rate).
pub const HANGUP_TIMEOUT_MIN_RATE: hangup_timeout = 9;
/// The deadline of a cancel token (only in errors; see hangup_cancel_fire_after).
pub const HANGUP_TIMEOUT_TOKEN: hangup_timeout = 10;

/// Where an exchange was when it ended.
pub type hangup_phase = i32;
/// In no phase: nothing was begun, or everything was over.
pub const HANGUP_PHASE_NONE: hangup_phase = 0;
/// Waiting for a connection slot.
pub const HANGUP_PHASE_POOL: hangup_phase = 1;
/// Resolving the host name.
pub const HANGUP_PHASE_RESOLVE: hangup_phase = 2;
/// Connecting.
pub const HANGUP_PHASE_CONNECT: hangup_phase = 3;
/// Talking to a proxy.
pub const HANGUP_PHASE_PROXY: hangup_phase = 4;
/// In the TLS handshake.
pub const HANGUP_PHASE_TLS: hangup_phase = 5;
/// Sending the request.
pub const HANGUP_PHASE_WRITE: hangup_phase = 6;
/// Waiting for the response head.
pub const HANGUP_PHASE_HEAD: hangup_phase = 7;
/// Reading the body.
pub const HANGUP_PHASE_READ: hangup_phase = 8;

/// How long the connection shall live.
pub type hangup_connection_mode = i32;
/// A long connection: kept for the next request when the exchange ends well. The default.
pub const HANGUP_CONNECTION_MODE_KEEP: hangup_connection_mode = 0;
/// A short connection: says "Connection: close" and is closed after the body.
pub const HANGUP_CONNECTION_MODE_CLOSE_AFTER: hangup_connection_mode = 1;
/// Not an idle one: always dials. The connection is kept afterwards.
pub const HANGUP_CONNECTION_MODE_FRESH: hangup_connection_mode = 2;

/// How to close.
pub type hangup_close_mode = i32;
/// Let the exchange in progress finish, then close. For a response: polite, see hangup_response_close.
pub const HANGUP_CLOSE_MODE_GRACEFUL: hangup_close_mode = 0;
/// Close at once; an exchange in progress ends with HANGUP_CLOSED.
pub const HANGUP_CLOSE_MODE_NOW: hangup_close_mode = 1;

/// What a connection is doing.
pub type hangup_connection_state = i32;
/// Resolving the host name.
pub const HANGUP_CONNECTION_STATE_RESOLVING: hangup_connection_state = 1;
/// Connecting.
pub const HANGUP_CONNECTION_STATE_CONNECTING: hangup_connection_state = 2;
/// Talking to a proxy.
pub const HANGUP_CONNECTION_STATE_PROXY: hangup_connection_state = 3;
/// In the TLS handshake.
pub const HANGUP_CONNECTION_STATE_TLS: hangup_connection_state = 4;
/// Serving an exchange.
pub const HANGUP_CONNECTION_STATE_IN_USE: hangup_connection_state = 5;
/// Open and free for the next request.
pub const HANGUP_CONNECTION_STATE_IDLE: hangup_connection_state = 6;

/// Why a connection ended: exactly one of these.
pub type hangup_close_reason = i32;
/// The dial failed: there never was a connection.
pub const HANGUP_CLOSE_REASON_DIAL_FAILED: hangup_close_reason = 1;
/// The peer closed it.
pub const HANGUP_CLOSE_REASON_PEER_CLOSED: hangup_close_reason = 2;
/// The peer reset it.
pub const HANGUP_CLOSE_REASON_PEER_RESET: hangup_close_reason = 3;
/// The request asked for it (HANGUP_CONNECTION_MODE_CLOSE_AFTER).
pub const HANGUP_CLOSE_REASON_ASKED_BY_REQUEST: hangup_close_reason = 4;
/// The response asked for it, or can't be followed by another (RFC 9112 section 9.6).
pub const HANGUP_CLOSE_REASON_ASKED_BY_RESPONSE: hangup_close_reason = 5;
/// What came is not HTTP/1.1.
pub const HANGUP_CLOSE_REASON_PROTOCOL_ERROR: hangup_close_reason = 6;
/// The response was closed or freed before its body ended.
pub const HANGUP_CLOSE_REASON_BODY_LEFT_UNREAD: hangup_close_reason = 7;
/// The exchange was cancelled.
pub const HANGUP_CLOSE_REASON_CANCELLED: hangup_close_reason = 8;
/// The exchange timed out.
pub const HANGUP_CLOSE_REASON_TIMED_OUT: hangup_close_reason = 9;
/// hangup_manager_close_connection.
pub const HANGUP_CLOSE_REASON_CLOSED_BY_ID: hangup_close_reason = 10;
/// hangup_manager_close_origin.
pub const HANGUP_CLOSE_REASON_CLOSED_BY_ORIGIN: hangup_close_reason = 11;
/// hangup_manager_close_all.
pub const HANGUP_CLOSE_REASON_CLOSED_BY_ALL: hangup_close_reason = 12;
/// Idle for too long, or hangup_manager_close_idle.
pub const HANGUP_CLOSE_REASON_IDLE_TOO_LONG: hangup_close_reason = 13;
/// Too old.
pub const HANGUP_CLOSE_REASON_TOO_OLD: hangup_close_reason = 14;
/// It served enough requests.
pub const HANGUP_CLOSE_REASON_SERVED_ENOUGH: hangup_close_reason = 15;
/// There was no room for it among the idle ones.
pub const HANGUP_CLOSE_REASON_POOL_FULL: hangup_close_reason = 16;
/// The look at checkout found it closed, or with bytes that nobody asked for.
pub const HANGUP_CLOSE_REASON_STALE_AT_CHECKOUT: hangup_close_reason = 17;
/// hangup_manager_shutdown, or the manager was given back.
pub const HANGUP_CLOSE_REASON_MANAGER_SHUT_DOWN: hangup_close_reason = 18;
/// It belongs to the parent of this process.
pub const HANGUP_CLOSE_REASON_FORKED_AWAY: hangup_close_reason = 19;
/// The network changed: hangup_manager_network_changed.
pub const HANGUP_CLOSE_REASON_NETWORK_CHANGED: hangup_close_reason = 20;

/// How much of the request went out.
pub type hangup_sent = i32;
/// Not a byte.
pub const HANGUP_SENT_NOTHING: hangup_sent = 0;
/// Some of it.
pub const HANGUP_SENT_PART: hangup_sent = 1;
/// The whole request.
pub const HANGUP_SENT_ALL: hangup_sent = 2;

/// The name of a status, for example "TIMED_OUT"; "UNKNOWN" for a number this version does not know. Static.
#[unsafe(no_mangle)]
pub extern "C" fn hangup_status_text(status: i32) -> *const c_char {
    match status {
        0 => text("OK\0"),
        status => text(Kind::try_from(status).map_or("UNKNOWN\0", Kind::name_with_nul)),
    }
}

/// The name of a phase, for example "connect"; "unknown" for a number this version does not know. Static.
#[unsafe(no_mangle)]
pub extern "C" fn hangup_phase_text(phase: i32) -> *const c_char {
    text(Phase::try_from(phase).map_or("unknown\0", Phase::name_with_nul))
}

/// The name of a timeout, for example "total"; "unknown" for a number this version does not know. Static.
#[unsafe(no_mangle)]
pub extern "C" fn hangup_timeout_text(which: i32) -> *const c_char {
    text(Timeout::try_from(which).map_or("unknown\0", Timeout::name_with_nul))
}

/// The name of a connection's state, for example "idle"; "unknown" for a number this version does not know. Static.
#[unsafe(no_mangle)]
pub extern "C" fn hangup_connection_state_text(state: i32) -> *const c_char {
    text(ConnectionState::try_from(state).map_or("unknown\0", ConnectionState::name_with_nul))
}

/// The name of a close reason, for example "peer closed"; "unknown" for a number this version does not know. Static.
#[unsafe(no_mangle)]
pub extern "C" fn hangup_close_reason_text(reason: i32) -> *const c_char {
    text(CloseReason::try_from(reason).map_or("unknown\0", CloseReason::name_with_nul))
}

/// A static text that ends with a NUL byte.
fn text(with_nul: &'static str) -> *const c_char {
    with_nul.as_ptr().cast()
}

impl From<Kind> for hangup_status {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Null => Self::HANGUP_NULL,
            Kind::BadHandle => Self::HANGUP_BAD_HANDLE,
            Kind::InvalidArgument => Self::HANGUP_INVALID_ARGUMENT,
            Kind::InvalidUrl => Self::HANGUP_INVALID_URL,
            Kind::InvalidMethod => Self::HANGUP_INVALID_METHOD,
            Kind::InvalidHeader => Self::HANGUP_INVALID_HEADER,
            Kind::InvalidTimeout => Self::HANGUP_INVALID_TIMEOUT,
            Kind::InvalidState => Self::HANGUP_INVALID_STATE,
            Kind::NotFound => Self::HANGUP_NOT_FOUND,
            Kind::Cancelled => Self::HANGUP_CANCELLED,
            Kind::TimedOut => Self::HANGUP_TIMED_OUT,
            Kind::Closed => Self::HANGUP_CLOSED,
            Kind::ShutDown => Self::HANGUP_SHUT_DOWN,
            Kind::Forked => Self::HANGUP_FORKED,
            Kind::QueueFull => Self::HANGUP_QUEUE_FULL,
            Kind::PeerClosed => Self::HANGUP_PEER_CLOSED,
            Kind::PeerReset => Self::HANGUP_PEER_RESET,
            Kind::ResolveFailed => Self::HANGUP_RESOLVE_FAILED,
            Kind::ConnectFailed => Self::HANGUP_CONNECT_FAILED,
            Kind::TlsFailed => Self::HANGUP_TLS_FAILED,
            Kind::Protocol => Self::HANGUP_PROTOCOL,
            Kind::TooLarge => Self::HANGUP_TOO_LARGE,
            Kind::BodyFailed => Self::HANGUP_BODY_FAILED,
            Kind::System => Self::HANGUP_SYSTEM,
            Kind::ProxyFailed => Self::HANGUP_PROXY_FAILED,
            Kind::RedirectRefused => Self::HANGUP_REDIRECT_REFUSED,
            Kind::Panic => Self::HANGUP_PANIC,
        }
    }
}

/// The numbers of the header are those of the Rust vocabularies: a mismatch does not compile.
const _: () = {
    let clocks = [
        (HANGUP_TIMEOUT_NONE, Timeout::None),
        (HANGUP_TIMEOUT_TOTAL, Timeout::Total),
        (HANGUP_TIMEOUT_POOL, Timeout::Pool),
        (HANGUP_TIMEOUT_RESOLVE, Timeout::Resolve),
        (HANGUP_TIMEOUT_CONNECT, Timeout::Connect),
        (HANGUP_TIMEOUT_TLS, Timeout::Tls),
        (HANGUP_TIMEOUT_WRITE, Timeout::Write),
        (HANGUP_TIMEOUT_HEAD, Timeout::Head),
        (HANGUP_TIMEOUT_READ, Timeout::Read),
        (HANGUP_TIMEOUT_MIN_RATE, Timeout::MinRate),
        (HANGUP_TIMEOUT_TOKEN, Timeout::Token),
    ];
    let phases = [
        (HANGUP_PHASE_NONE, Phase::None),
        (HANGUP_PHASE_POOL, Phase::Pool),
        (HANGUP_PHASE_RESOLVE, Phase::Resolve),
        (HANGUP_PHASE_CONNECT, Phase::Connect),
        (HANGUP_PHASE_PROXY, Phase::Proxy),
        (HANGUP_PHASE_TLS, Phase::Tls),
        (HANGUP_PHASE_WRITE, Phase::Write),
        (HANGUP_PHASE_HEAD, Phase::Head),
        (HANGUP_PHASE_READ, Phase::Read),
    ];
    let reasons = [
        (HANGUP_CLOSE_REASON_DIAL_FAILED, CloseReason::DialFailed),
        (HANGUP_CLOSE_REASON_PEER_CLOSED, CloseReason::PeerClosed),
        (HANGUP_CLOSE_REASON_PEER_RESET, CloseReason::PeerReset),
        (HANGUP_CLOSE_REASON_ASKED_BY_REQUEST, CloseReason::AskedByRequest),
        (HANGUP_CLOSE_REASON_ASKED_BY_RESPONSE, CloseReason::AskedByResponse),
        (HANGUP_CLOSE_REASON_PROTOCOL_ERROR, CloseReason::ProtocolError),
        (HANGUP_CLOSE_REASON_BODY_LEFT_UNREAD, CloseReason::BodyLeftUnread),
        (HANGUP_CLOSE_REASON_CANCELLED, CloseReason::Cancelled),
        (HANGUP_CLOSE_REASON_TIMED_OUT, CloseReason::TimedOut),
        (HANGUP_CLOSE_REASON_CLOSED_BY_ID, CloseReason::ClosedById),
        (HANGUP_CLOSE_REASON_CLOSED_BY_ORIGIN, CloseReason::ClosedByOrigin),
        (HANGUP_CLOSE_REASON_CLOSED_BY_ALL, CloseReason::ClosedByAll),
        (HANGUP_CLOSE_REASON_IDLE_TOO_LONG, CloseReason::IdleTooLong),
        (HANGUP_CLOSE_REASON_TOO_OLD, CloseReason::TooOld),
        (HANGUP_CLOSE_REASON_SERVED_ENOUGH, CloseReason::ServedEnough),
        (HANGUP_CLOSE_REASON_POOL_FULL, CloseReason::PoolFull),
        (HANGUP_CLOSE_REASON_STALE_AT_CHECKOUT, CloseReason::StaleAtCheckout),
        (HANGUP_CLOSE_REASON_MANAGER_SHUT_DOWN, CloseReason::ManagerShutDown),
        (HANGUP_CLOSE_REASON_FORKED_AWAY, CloseReason::ForkedAway),
        (HANGUP_CLOSE_REASON_NETWORK_CHANGED, CloseReason::NetworkChanged),
    ];
    let mut at = 0;
    while at < clocks.len() {
        assert!(clocks[at].0 == clocks[at].1 as i32);
        at += 1;
    }
    at = 0;
    while at < phases.len() {
        assert!(phases[at].0 == phases[at].1 as i32);
        at += 1;
    }
    at = 0;
    assert!(reasons.len() == CloseReason::ALL.len());
    while at < reasons.len() {
        assert!(reasons[at].0 == reasons[at].1 as i32);
        at += 1;
    }
    assert!(HANGUP_CONNECTION_STATE_RESOLVING == ConnectionState::Resolving as i32);
    assert!(HANGUP_CONNECTION_STATE_CONNECTING == ConnectionState::Connecting as i32);
    assert!(HANGUP_CONNECTION_STATE_PROXY == ConnectionState::Proxy as i32);
    assert!(HANGUP_CONNECTION_STATE_TLS == ConnectionState::Tls as i32);
    assert!(HANGUP_CONNECTION_STATE_IN_USE == ConnectionState::InUse as i32);
    assert!(HANGUP_CONNECTION_STATE_IDLE == ConnectionState::Idle as i32);
    assert!(HANGUP_SENT_NOTHING == Sent::Nothing as i32);
    assert!(HANGUP_SENT_PART == Sent::Part as i32);
    assert!(HANGUP_SENT_ALL == Sent::All as i32);
};
