//! The small vocabularies that Rust, C and Python share: kinds of failure, phases, timeouts, states, reasons and
//! modes. Each is declared once, with its numbers, its names and its documentation. `include/hangup.h` is generated
//! from these declarations, and Python reads the numbers from the library.
//!
//! Numbers are part of the ABI: they are never changed and never reused.

use std::fmt;

/// Declares one vocabulary: the enumeration, its values with their numbers and names, and what the header needs.
macro_rules! vocabulary {
    ($(#[doc = $doc:literal])+ $name:ident: $c_type:literal $(, default $default:ident)? {
        $($(#[doc = $value_doc:literal])+ $value:ident = $number:literal $text:literal,)+
    }) => {
        $(#[doc = $doc])+
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        #[repr(i32)]
        pub enum $name { $($(#[doc = $value_doc])+ $value = $number,)+ }

        impl $name {
            /// Every value, in the order of their numbers.
            pub const ALL: &'static [Self] = &[$(Self::$value,)+];

            /// The name, for example for a log.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$value => $text,)+ }
            }

            /// The name with a NUL byte behind it.
            pub(crate) const fn name_with_nul(self) -> &'static str {
                match self { $(Self::$value => concat!($text, "\0"),)+ }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.name())
            }
        }

        impl From<$name> for i32 {
            fn from(value: $name) -> Self {
                value as Self
            }
        }

        /// Fails with the number itself if no value has it.
        impl TryFrom<i32> for $name {
            type Error = i32;

            fn try_from(number: i32) -> Result<Self, i32> {
                match number { $($number => Ok(Self::$value),)+ unknown => Err(unknown) }
            }
        }

        $(impl Default for $name {
            fn default() -> Self {
                Self::$default
            }
        })?

        impl Described for $name {
            const DECLARATION: Declaration = Declaration {
                c_type: $c_type,
                documentation: &[$($doc,)+],
                values: &[$(Value {
                    rust_name: stringify!($value),
                    number: $number,
                    documentation: &[$($value_doc,)+],
                },)+],
            };
        }
    };
}

/// What the generator of the C header reads of a vocabulary.
#[derive(Clone, Copy, Debug)]
pub struct Declaration {
    /// The name of the enumeration in C. The constants begin with it, in upper case.
    pub c_type: &'static str,
    /// The lines of its documentation.
    pub documentation: &'static [&'static str],
    /// Its values, in the order of their numbers.
    pub values: &'static [Value],
}

/// One value of a [`Declaration`].
#[derive(Clone, Copy, Debug)]
pub struct Value {
    /// The name in Rust. In C it is written in upper case with underscores.
    pub rust_name: &'static str,
    /// The number.
    pub number: i32,
    /// The lines of its documentation.
    pub documentation: &'static [&'static str],
}

/// A vocabulary with its declaration.
pub(crate) trait Described {
    const DECLARATION: Declaration;
}

vocabulary! {
    /// What kind of failure. The C ABI's statuses are these.
    Kind: "hangup_status", default Panic {
        /// A pointer that must not be NULL was NULL (C ABI only).
        Null = 1 "NULL",
        /// A handle of another type, or a freed one (C ABI only).
        BadHandle = 2 "BAD_HANDLE",
        /// An argument that is not known or out of range.
        InvalidArgument = 3 "INVALID_ARGUMENT",
        /// The URL can't be requested.
        InvalidUrl = 4 "INVALID_URL",
        /// The method is not a token (RFC 9110 section 9.1).
        InvalidMethod = 5 "INVALID_METHOD",
        /// A header is malformed or contradicts what the library itself must say.
        InvalidHeader = 6 "INVALID_HEADER",
        /// A duration of zero.
        InvalidTimeout = 7 "INVALID_TIMEOUT",
        /// Legal, but not now.
        InvalidState = 8 "INVALID_STATE",
        /// No such connection is open.
        NotFound = 9 "NOT_FOUND",
        /// The cancel token was fired.
        Cancelled = 20 "CANCELLED",
        /// A clock ran out.
        TimedOut = 21 "TIMED_OUT",
        /// The connection was closed under the exchange by somebody in this process.
        Closed = 22 "CLOSED",
        /// The manager was shut down.
        ShutDown = 23 "SHUT_DOWN",
        /// An exchange can't go on across fork.
        Forked = 24 "FORKED",
        /// The queue for a connection is as long as it may be.
        QueueFull = 25 "QUEUE_FULL",
        /// The peer closed the connection too early.
        PeerClosed = 30 "PEER_CLOSED",
        /// The peer reset the connection.
        PeerReset = 31 "PEER_RESET",
        /// The host name could not be resolved.
        ResolveFailed = 32 "RESOLVE_FAILED",
        /// No address of the host could be connected to.
        ConnectFailed = 33 "CONNECT_FAILED",
        /// The handshake failed or a certificate was refused.
        TlsFailed = 34 "TLS_FAILED",
        /// The answer is not HTTP/1.1 as RFC 9112 has it.
        Protocol = 35 "PROTOCOL",
        /// A bound was exceeded.
        TooLarge = 36 "TOO_LARGE",
        /// The request's body failed or was shorter than it said.
        BodyFailed = 37 "BODY_FAILED",
        /// The operating system refused.
        System = 38 "SYSTEM",
        /// The proxy refused, or did not answer as a proxy does.
        ProxyFailed = 39 "PROXY_FAILED",
        /// The response redirects to where can't be followed.
        RedirectRefused = 40 "REDIRECT_REFUSED",
        /// A defect in this library.
        Panic = 99 "PANIC",
    }
}

vocabulary! {
    /// Where an exchange was.
    Phase: "hangup_phase", default None {
        /// Nothing was begun, or everything was over.
        None = 0 "none",
        /// Waiting for a connection slot.
        Pool = 1 "pool",
        /// Resolving the host name.
        Resolve = 2 "resolve",
        /// Connecting.
        Connect = 3 "connect",
        /// Talking to a proxy.
        Proxy = 4 "proxy",
        /// In the TLS handshake.
        Tls = 5 "tls",
        /// Sending the request.
        Write = 6 "write",
        /// Waiting for the response head.
        Head = 7 "head",
        /// Reading the body.
        Read = 8 "read",
    }
}

vocabulary! {
    /// Which clock fired, or is to be set.
    Timeout: "hangup_timeout", default None {
        /// None.
        None = 0 "none",
        /// From the call to the last byte of the body.
        Total = 1 "total",
        /// Waiting for a connection slot.
        Pool = 2 "pool",
        /// Resolving the host name.
        Resolve = 3 "resolve",
        /// Connecting, all addresses together.
        Connect = 4 "connect",
        /// The TLS handshake.
        Tls = 5 "tls",
        /// Between two steps of the upload.
        Write = 6 "write",
        /// From the request's last byte to the whole response head.
        Head = 7 "head",
        /// Between two pieces of the body.
        Read = 8 "read",
        /// The body's minimum rate.
        MinRate = 9 "min_rate",
        /// A cancel token's deadline.
        Token = 10 "token",
    }
}

vocabulary! {
    /// How much of the request went out.
    Sent: "hangup_sent", default Nothing {
        /// Not a byte.
        Nothing = 0 "nothing",
        /// Some of it.
        Part = 1 "part",
        /// The whole request.
        All = 2 "all",
    }
}

vocabulary! {
    /// What a connection is doing.
    ConnectionState: "hangup_connection_state" {
        /// Resolving the host name.
        Resolving = 1 "resolving",
        /// Connecting.
        Connecting = 2 "connecting",
        /// Talking to a proxy.
        Proxy = 3 "proxy",
        /// In the TLS handshake.
        Tls = 4 "tls",
        /// Serving an exchange.
        InUse = 5 "in use",
        /// Open and free for the next request.
        Idle = 6 "idle",
    }
}

vocabulary! {
    /// Why a connection ended: exactly one of these.
    CloseReason: "hangup_close_reason" {
        /// The dial failed: there never was a connection.
        DialFailed = 1 "dial failed",
        /// The peer closed it.
        PeerClosed = 2 "peer closed",
        /// The peer reset it.
        PeerReset = 3 "peer reset",
        /// The request asked for it (`CLOSE_AFTER`).
        AskedByRequest = 4 "asked by request",
        /// The response asked for it (RFC 9112 section 9.6), or can't be followed by another.
        AskedByResponse = 5 "asked by response",
        /// What came is not HTTP/1.1.
        ProtocolError = 6 "protocol error",
        /// The response was closed or dropped before its body ended.
        BodyLeftUnread = 7 "body left unread",
        /// The exchange was cancelled.
        Cancelled = 8 "request cancelled",
        /// The exchange timed out.
        TimedOut = 9 "request timed out",
        /// Closed by its id.
        ClosedById = 10 "closed by id",
        /// Closed with its origin.
        ClosedByOrigin = 11 "closed by origin",
        /// Closed with all others.
        ClosedByAll = 12 "closed with all",
        /// Idle for too long, or closed as idle.
        IdleTooLong = 13 "idle too long",
        /// Too old.
        TooOld = 14 "too old",
        /// Served enough requests.
        ServedEnough = 15 "served enough",
        /// There was no room for it among the idle ones.
        PoolFull = 16 "pool full",
        /// The look at checkout found it closed, or with bytes that nobody asked for.
        StaleAtCheckout = 17 "stale at checkout",
        /// The manager was shut down or given back.
        ManagerShutDown = 18 "manager shut down",
        /// It belongs to the parent of this process.
        ForkedAway = 19 "forked away",
        /// The network changed: what was connected before is not trusted any more.
        NetworkChanged = 20 "network changed",
    }
}

vocabulary! {
    /// How to close a connection or a response.
    CloseMode: "hangup_close_mode" {
        /// Let the exchange in progress finish, then close.
        Graceful = 0 "graceful",
        /// At once; the exchange in progress ends with `Closed`.
        Now = 1 "now",
    }
}

vocabulary! {
    /// How long the connection of a request lives.
    ConnectionMode: "hangup_connection_mode", default Keep {
        /// A long connection: kept for the next request when the exchange ends well.
        Keep = 0 "keep",
        /// A short connection: says `Connection: close` and is closed after the body.
        CloseAfter = 1 "close after",
        /// Not an idle one: always dials. The connection is kept afterwards.
        Fresh = 2 "fresh",
    }
}

impl Timeout {
    /// Whether it has a limit of its own that callers set ([`Timeout::Total`] to [`Timeout::Read`]).
    pub fn can_be_set(self) -> bool {
        !matches!(self, Self::None | Self::MinRate | Self::Token)
    }
}
