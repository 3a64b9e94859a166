//! The enumerations that Rust, C and Python share: kinds of failure, phases, timeouts, states, reasons and modes. Each
//! is declared once, with its numbers, its names and its documentation. `include/hangup.h` is generated from these
//! declarations, so their documentation is written for readers of Rust and of C.
//!
//! Numbers are part of the ABI: they are never changed and never reused.

#[cfg(feature = "capi")]
use std::ffi::CStr;
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

            /// The name as a C string.
            #[cfg(feature = "capi")]
            pub(crate) fn c_name(self) -> &'static CStr {
                match self { $(Self::$value => const {
                    match CStr::from_bytes_with_nul(concat!($text, "\0").as_bytes()) {
                        Ok(name) => name,
                        Err(_) => panic!("a name has no NUL"),
                    }
                },)+ }
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

        #[cfg(feature = "capi")]
        impl Declared for $name {
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

/// A vocabulary as the C header shows it. (For the generator of the header and for messages.)
#[cfg(feature = "capi")]
#[derive(Clone, Copy, Debug)]
pub struct Declaration {
    /// The name of the enumeration in C.
    pub c_type: &'static str,
    /// The lines of its documentation.
    pub documentation: &'static [&'static str],
    /// Its values, in the order of their numbers.
    pub values: &'static [Value],
}

/// One value of a [`Declaration`].
#[cfg(feature = "capi")]
#[derive(Clone, Copy, Debug)]
pub struct Value {
    /// The name in Rust. [`Declaration::constant`] makes the name in C of it.
    pub rust_name: &'static str,
    /// The number.
    pub number: i32,
    /// The lines of its documentation.
    pub documentation: &'static [&'static str],
}

/// Every vocabulary, in the order of this file.
#[cfg(feature = "capi")]
pub fn declarations() -> Vec<Declaration> {
    vec![
        Kind::DECLARATION,
        Phase::DECLARATION,
        Timeout::DECLARATION,
        Sent::DECLARATION,
        Acknowledged::DECLARATION,
        ConnectionState::DECLARATION,
        CloseReason::DECLARATION,
        CloseMode::DECLARATION,
        Limit::DECLARATION,
        EventType::DECLARATION,
        AddressFamily::DECLARATION,
        RetryReason::DECLARATION,
        CookieFormat::DECLARATION,
        ConnectionMode::DECLARATION,
        TlsVersion::DECLARATION,
        CompletionType::DECLARATION,
        TraceType::DECLARATION,
    ]
}

#[cfg(feature = "capi")]
impl Declaration {
    /// The name of a value in C: the type's name and the value's, in upper case. Statuses are named without "STATUS".
    pub fn constant(&self, value: &Value) -> String {
        let mut name = match self.c_type {
            "hangup_status" => "HANGUP".to_owned(),
            c_type => c_type.to_uppercase(),
        };
        for letter in value.rust_name.chars() {
            if letter.is_uppercase() {
                name.push('_');
            }
            name.push(letter.to_ascii_uppercase());
        }
        name
    }
}

/// An enumeration with its declaration.
#[cfg(feature = "capi")]
pub(crate) trait Declared {
    const DECLARATION: Declaration;
}

vocabulary! {
    /// The kind of a failure. In C it is the status that a call returns, and HANGUP_OK (0) is success.
    ///
    /// Numbers are never changed or reused. Later versions may add some: keep a default branch.
    Kind: "hangup_status", default Panic {
        /// A pointer that must not be NULL was NULL (C only).
        Null = 1 "NULL",
        /// A handle of another type (C only). A handle that was freed is often reported so, too; don't rely on it.
        BadHandle = 2 "BAD_HANDLE",
        /// An argument is unknown or out of range; the message says what is legal.
        InvalidArgument = 3 "INVALID_ARGUMENT",
        /// The URL can't be requested: not http or https, no host, a space or a control character, or a host that two
        /// parsers would read differently: a backslash, too many or too few slashes, two @, a percent-encoded host, an
        /// IPv4 address that is not written as four decimal numbers.
        InvalidUrl = 4 "INVALID_URL",
        /// The method is not a token (RFC 9110 section 9.1).
        InvalidMethod = 5 "INVALID_METHOD",
        /// A header's name or value is malformed, or contradicts a header that the library itself sends.
        InvalidHeader = 6 "INVALID_HEADER",
        /// A duration of zero or less. "No limit" is HANGUP_NO_LIMIT in C, `None` in Rust and Python.
        InvalidTimeout = 7 "INVALID_TIMEOUT",
        /// The call is legal, but not now: a handle is used by two threads at once, or a body was already closed.
        InvalidState = 8 "INVALID_STATE",
        /// No connection with this id is open.
        NotFound = 9 "NOT_FOUND",
        /// The cancel token was fired. The error has the reason that was given.
        Cancelled = 20 "CANCELLED",
        /// A timeout expired. The error says which one, and in which phase.
        TimedOut = 21 "TIMED_OUT",
        /// The connection was closed in this process during the exchange: by id, by origin, with all others, or by closing
        /// the response. Or the queue or event subscription was closed and is empty.
        Closed = 22 "CLOSED",
        /// The manager was shut down.
        ShutDown = 23 "SHUT_DOWN",
        /// The object belongs to the parent process. An exchange can't go on across fork.
        Forked = 24 "FORKED",
        /// As many requests as allowed wait for a connection already.
        QueueFull = 25 "QUEUE_FULL",
        /// The peer closed the connection before the response, inside its head or inside its body.
        PeerClosed = 30 "PEER_CLOSED",
        /// The peer reset the connection.
        PeerReset = 31 "PEER_RESET",
        /// The host name could not be resolved.
        ResolveFailed = 32 "RESOLVE_FAILED",
        /// No address of the host accepted a connection.
        ConnectFailed = 33 "CONNECT_FAILED",
        /// The TLS handshake failed or a certificate was refused; the message says why.
        TlsFailed = 34 "TLS_FAILED",
        /// The response is not valid HTTP/1.1 (RFC 9112).
        Protocol = 35 "PROTOCOL",
        /// A size limit was exceeded: that of the response head, or the one that was given for the body.
        TooLarge = 36 "TOO_LARGE",
        /// The source of the request's body failed, or gave less than it had announced.
        BodyFailed = 37 "BODY_FAILED",
        /// The operating system refused: no free descriptor, thread or memory, a file that can't be read or written, or a
        /// full disk. The error has the system's error number; it is EAGAIN if no thread could be started.
        System = 38 "SYSTEM",
        /// The proxy refused, or its response is not that of a proxy. The error has the proxy's HTTP status code.
        ProxyFailed = 39 "PROXY_FAILED",
        /// The redirect target is not allowed; the message names it.
        RedirectRefused = 40 "REDIRECT_REFUSED",
        /// A download got a response that is not 2xx. The error has its HTTP status code.
        UnexpectedStatus = 41 "UNEXPECTED_STATUS",
        /// The bytes of a download do not have the digest that the server announced (RFC 9530).
        DigestMismatch = 42 "DIGEST_MISMATCH",
        /// The peer can't be reached any more, although it closed nothing: what was sent on a connection that was kept is
        /// not acknowledged while a new connection to the same origin is made, large packets vanish on the path of a new
        /// one, or the system gave the connection up (ETIMEDOUT, EHOSTUNREACH, ENETUNREACH or ECONNABORTED). The message
        /// says which. The peer may have processed the request.
        PeerSilent = 43 "PEER_SILENT",
        /// There are no credentials to send: the function that gives tokens failed, or the server asks for a form of digest
        /// authentication that is not supported; the message says which.
        AuthFailed = 45 "AUTH_FAILED",
        /// A defect in this library: please report it. The call had no effect beyond its own handle.
        Panic = 99 "PANIC",
    }
}

vocabulary! {
    /// The phase that an exchange was in.
    Phase: "hangup_phase", default None {
        /// No phase: nothing had begun, or everything was over.
        None = 0 "none",
        /// Waiting for a connection slot.
        Pool = 1 "pool",
        /// Resolving the host name.
        Resolve = 2 "resolve",
        /// Connecting.
        Connect = 3 "connect",
        /// In the handshake with a proxy.
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
    /// The timeouts of a request. Those from total to read can be set; the others only appear in errors.
    Timeout: "hangup_timeout", default None {
        /// No timeout.
        None = 0 "none",
        /// From the call to the last byte of the body. Default: no limit.
        Total = 1 "total",
        /// Waiting for a connection slot. Default: 30 s.
        Pool = 2 "pool",
        /// Resolving the host name. Default: 10 s.
        Resolve = 3 "resolve",
        /// Connecting, all addresses together. Default: 10 s.
        Connect = 4 "connect",
        /// The TLS handshake. Default: 10 s.
        Tls = 5 "tls",
        /// Sending the request: since the peer's system took a segment of it, or, if this is less than a second, since this
        /// system's buffer had room. So it does not run out on a slow path while data moves. Default: 60 s.
        Write = 6 "write",
        /// From the request's last byte to the whole response head. Default: 60 s.
        Head = 7 "head",
        /// Between two pieces of the body. Default: 60 s.
        Read = 8 "read",
        /// The body came slower than the minimum rate of the request.
        MinRate = 9 "min_rate",
        /// The deadline of a cancel token.
        Token = 10 "token",
    }
}

vocabulary! {
    /// How much of the request was sent.
    Sent: "hangup_sent", default Nothing {
        /// No byte.
        Nothing = 0 "nothing",
        /// A part of it.
        Part = 1 "part",
        /// The whole request.
        All = 2 "all",
    }
}

vocabulary! {
    /// How much of a request the peer's TCP acknowledged, by what the system knew when the wait for the peer ended.
    Acknowledged: "hangup_acknowledged" {
        /// No byte: the network or the peer's host is gone, or what was sent got lost on the way. The peer may have received it
        /// all the same, because acknowledgements get lost, too.
        Nothing = 1 "nothing",
        /// A part of it.
        Part = 2 "part",
        /// Every byte: the host of the peer is there and has the request; the server does not answer it. If there is a
        /// proxy, it is the proxy's host that has it.
        All = 3 "all",
    }
}

vocabulary! {
    /// The state of an open connection.
    ConnectionState: "hangup_connection_state" {
        /// Resolving the host name.
        Resolving = 1 "resolving",
        /// Connecting.
        Connecting = 2 "connecting",
        /// In the handshake with a proxy.
        Proxy = 3 "proxy",
        /// In the TLS handshake.
        Tls = 4 "tls",
        /// Serving an exchange.
        InUse = 5 "in use",
        /// Open and free for the next request.
        Idle = 6 "idle",
        /// Handed over as a stream, for another protocol (RFC 9110 sections 7.8 and 9.3.6). It counts as in use.
        Upgraded = 7 "upgraded",
    }
}

vocabulary! {
    /// Why a connection was closed: exactly one of these.
    CloseReason: "hangup_close_reason" {
        /// The dial failed, so that it never was connected.
        DialFailed = 1 "dial failed",
        /// The peer closed it.
        PeerClosed = 2 "peer closed",
        /// The peer reset it.
        PeerReset = 3 "peer reset",
        /// The request asked for it (the connection mode "close after").
        AskedByRequest = 4 "asked by request",
        /// The response asked for it, or leaves the connection unusable for another one (RFC 9112 section 9.6).
        AskedByResponse = 5 "asked by response",
        /// The peer sent what is not HTTP/1.1.
        ProtocolError = 6 "protocol error",
        /// The response was closed, freed or dropped before its body ended.
        BodyLeftUnread = 7 "body left unread",
        /// The exchange was cancelled.
        Cancelled = 8 "request cancelled",
        /// The exchange timed out.
        TimedOut = 9 "request timed out",
        /// Closed by its id.
        ClosedById = 10 "closed by id",
        /// Closed together with all connections of its origin.
        ClosedByOrigin = 11 "closed by origin",
        /// Closed together with all others.
        ClosedByAll = 12 "closed with all",
        /// Idle for longer than the limit, or closed because it was idle.
        IdleTooLong = 13 "idle too long",
        /// Older than the limit.
        TooOld = 14 "too old",
        /// It served as many requests as one connection may.
        ServedEnough = 15 "served enough",
        /// The limit of idle connections was reached.
        PoolFull = 16 "pool full",
        /// The check at checkout found it closed by the peer, or with unexpected data.
        StaleAtCheckout = 17 "stale at checkout",
        /// The manager was shut down, or its last share was freed.
        ManagerShutDown = 18 "manager shut down",
        /// It belongs to the parent of this process.
        ForkedAway = 19 "forked away",
        /// It was opened before the network changed.
        NetworkChanged = 20 "network changed",
        /// It was handed over as a stream, and the stream was closed, freed or dropped.
        StreamClosed = 21 "stream closed",
        /// The peer acknowledged nothing any more: neither a request, while a new connection to the same origin was
        /// made, nor the probes of the system (SO_KEEPALIVE) between two requests.
        PeerSilent = 22 "peer silent",
        /// The system gave it up: ETIMEDOUT, EHOSTUNREACH, ENETUNREACH or ECONNABORTED (tcp(7), ip(7)).
        PeerUnreachable = 23 "peer unreachable",
    }
}

vocabulary! {
    /// How to close a connection or a response.
    CloseMode: "hangup_close_mode" {
        /// Let the exchange in progress finish, then close. A connection that was handed over as a stream is closed when its
        /// owner closes it. For a response: read the rest of a short body first.
        Graceful = 0 "graceful",
        /// Close at once. An exchange in progress ends with the failure "closed".
        Now = 1 "now",
    }
}

#[cfg(feature = "capi")]
vocabulary! {
    /// The limits of a manager. HANGUP_NO_LIMIT removes each of them.
    Limit: "hangup_limit" {
        /// Open connections: being dialled, in use and idle together. Default: no limit; 0 is refused (use
        /// hangup_manager_drain or hangup_manager_shutdown). At the limit the least recently used idle connection is
        /// closed for a new one; if none is idle, requests wait, for at most HANGUP_TIMEOUT_POOL.
        Total = 1 "total",
        /// Open connections of one origin, counted as HANGUP_LIMIT_TOTAL does. Default: no limit; 0 is refused.
        PerOrigin = 2 "per_origin",
        /// Idle connections. Default: 256; 0 keeps none. Over it, the least recently used one is closed.
        IdleTotal = 3 "idle_total",
        /// Idle connections of one origin. Default: 64; 0 keeps none.
        IdlePerOrigin = 4 "idle_per_origin",
        /// Requests that may wait for a connection. Default: 10,000; one more fails with HANGUP_QUEUE_FULL at once. With 0
        /// no request waits.
        Queue = 5 "queue",
        /// How long a connection may be idle, in milliseconds. Default: 90,000; 0 is refused. Checked in the background. If its
        /// server says `Keep-Alive: timeout=N` (RFC 9112 section C.2.2), it may be idle for N seconds less one (N / 2 if N is
        /// less than 2), so that no request meets the server's close; a longer time than the limit counts for nothing.
        IdleMs = 6 "idle_ms",
        /// How old a connection may become, in milliseconds. Each connection gets up to a tenth less, so that connections
        /// that were opened together don't close together. It is closed between exchanges, never inside one. Default: no
        /// limit; 0 is refused.
        AgeMs = 7 "age_ms",
        /// Requests that one connection may serve; it is closed after the last one. Default: no limit; 0 is refused.
        Requests = 8 "requests",
        /// After how many milliseconds without traffic the kernel probes whether the peer is alive (SO_KEEPALIVE, tcp(7)),
        /// for connections that are opened later. Default: 15,000; 0 is refused; HANGUP_NO_LIMIT never probes. The probes are
        /// 3,000 ms apart, or as far apart as that time is long if it is shorter, and three that are not answered end the
        /// connection: after 24,000 ms by default. TCP counts in whole seconds, and at least one. An idle connection that does
        /// not answer is not used: it is closed for HANGUP_CLOSE_REASON_PEER_SILENT before a request is sent on it. On a
        /// connection of HANGUP_CONNECTION_MODE_CLOSE_AFTER this is set in the first wait of more than a second.
        KeepAliveMs = 9 "keep_alive_ms",
    }
}

vocabulary! {
    /// What happened to a connection. Later versions may add some: keep a default branch.
    EventType: "hangup_event_type" {
        /// A dial began. The connection has its id from here on.
        Opened = 1 "opened",
        /// The connection began to serve an exchange.
        Leased = 2 "leased",
        /// The connection became idle: its exchange ended, or the request that it was dialled for got another one.
        Returned = 3 "returned",
        /// The connection was closed; the event has the reason.
        Closed = 4 "closed",
        /// A request began to wait for a connection. The event has no connection.
        Queued = 5 "queued",
        /// A request is sent again; the event has the reason and the delay before that. Its connection is the one of the last
        /// attempt, or 0.
        Retried = 6 "retried",
        /// A phase of an exchange on this connection; the event has the phase and its duration. All phases of an exchange
        /// are reported when it is over, which may be after its connection was returned or closed.
        Phase = 7 "phase",
        /// Entries of `no_proxy` in the environment are not understood and are passed over, so that these hosts are
        /// connected to through the proxy; hangup_client_ignored_no_proxy returns them. Reported once for a client, by its
        /// first request while there is a subscription. The event has no connection; its origin is that request's.
        NoProxyIgnored = 8 "no_proxy ignored",
        /// A request on this connection waits, and bytes of it have not been acknowledged for longer than lost
        /// packets explain. "Probed" follows, at once or as soon as the limits leave room for a second connection; "lost" or
        /// "recovered" ends it, or "closed", if a timeout or a cancel ends the request before that.
        Suspected = 9 "suspected",
        /// After "suspected": a second connection to the same origin is being opened, to find out whether the network or this
        /// connection is gone. That one has an id and events of its own. If it can't be made, the network is away, and
        /// "probed" comes again after a pause, which grows up to 16 s.
        Probed = 10 "probed",
        /// After "probed": the second connection was made, and the bytes were still not acknowledged. "Closed" follows, with
        /// the reason "peer silent", also for idle connections of the origin that have been idle since then; the request
        /// is sent again ("retried") or fails with HANGUP_PEER_SILENT.
        Lost = 11 "lost",
        /// After "suspected" or "probed": the bytes were acknowledged, or an answer came, and the exchange goes on. The second
        /// connection, if it is made, becomes idle.
        Recovered = 12 "recovered",
        /// The network of this machine changed, as the system said (hangup_manager_set_network_watch) or the program did
        /// (hangup_manager_network_changed): resolved addresses are forgotten. The connections that are closed for it have
        /// events of their own. The event has no connection, and its origin is "".
        NetworkChanged = 13 "network changed",
    }
}

vocabulary! {
    /// The addresses that a client connects to.
    AddressFamily: "hangup_address_family", default Any {
        /// IPv6 and IPv4, alternately, beginning with what the resolver puts first (RFC 8305). The default.
        Any = 0 "any",
        /// IPv4 only.
        Ipv4 = 4 "ipv4",
        /// IPv6 only.
        Ipv6 = 6 "ipv6",
    }
}

vocabulary! {
    /// Why a request is sent again. Later versions may add some: keep a default branch.
    RetryReason: "hangup_retry_reason" {
        /// A reused connection broke before the response, or large packets vanish on the path of a new one.
        ConnectionLost = 1 "connection lost",
        /// No connection could be made, and the retry policy allows another attempt.
        ConnectFailed = 2 "connect failed",
        /// The response has a status code that the retry policy names.
        StatusCode = 3 "status code",
        /// The server or the proxy asked for credentials, and there are some.
        Challenge = 4 "challenge",
        /// The server does not know "Expect: 100-continue" (417), which was sent because of a setting.
        ExpectRefused = 5 "expect refused",
    }
}

vocabulary! {
    /// A format in which cookies are saved.
    CookieFormat: "hangup_cookie_format", default Netscape {
        /// The text format of Netscape, which curl, wget and Python's MozillaCookieJar read and write.
        Netscape = 1 "netscape",
        /// A list of objects with the members name, value, domain, host_only, path, secure, http_only and expires (seconds
        /// since 1970, or null). A name, value or path that is not UTF-8 stands in name_base64, value_base64 or path_base64.
        Json = 2 "json",
    }
}

vocabulary! {
    /// How long the connection of a request lives.
    ConnectionMode: "hangup_connection_mode", default Keep {
        /// Kept for the next request if the exchange ends well. The default.
        Keep = 0 "keep",
        /// Closed after the body. The request says "Connection: close".
        CloseAfter = 1 "close after",
        /// Opens a new connection for this request, and keeps it afterwards.
        Fresh = 2 "fresh",
    }
}

vocabulary! {
    /// A version of TLS.
    TlsVersion: "hangup_tls_version" {
        /// TLS 1.2 (RFC 5246).
        Tls12 = 12 "TLSv1.2",
        /// TLS 1.3 (RFC 8446).
        Tls13 = 13 "TLSv1.3",
    }
}

#[cfg(feature = "capi")]
vocabulary! {
    /// What a completion is about. Later versions may add some: keep a default branch.
    CompletionType: "hangup_completion_type" {
        /// A request, submitted by hangup_client_submit.
        Response = 1 "response",
        /// A read, submitted by hangup_response_submit_read.
        Read = 2 "read",
        /// A read, submitted by hangup_stream_submit_read.
        StreamRead = 3 "stream read",
        /// A write, submitted by hangup_stream_submit_write or hangup_stream_submit_shutdown_write.
        StreamWrite = 4 "stream write",
        /// A write, submitted by hangup_upload_submit_write.
        UploadWrite = 5 "upload write",
    }
}

vocabulary! {
    /// What a record of a trace is. Later versions may add some: keep a default branch.
    TraceType: "hangup_trace_type" {
        /// What happens to the exchange or its connection, as text.
        Info = 0 "info",
        /// The head of a request, as it is sent, with secrets replaced by their length.
        RequestHead = 1 "request head",
        /// A piece of the body of a request.
        RequestBody = 2 "request body",
        /// The head of a response, interim ones (1xx) included, as it was received, with secrets replaced by their length.
        ResponseHead = 3 "response head",
        /// A piece of the body of a response.
        ResponseBody = 4 "response body",
    }
}

impl Timeout {
    /// Whether callers can set it ([`Timeout::Total`] to [`Timeout::Read`]).
    pub fn can_be_set(self) -> bool {
        !matches!(self, Self::None | Self::MinRate | Self::Token)
    }
}

#[cfg(all(test, feature = "capi"))]
mod tests {
    use super::*;

    #[test]
    fn a_constant_is_named_for_its_type_and_value() {
        let constant = |declaration: Declaration, index: usize| {
            declaration.constant(&declaration.values[index])
        };
        assert_eq!(constant(Kind::DECLARATION, 1), "HANGUP_BAD_HANDLE");
        assert_eq!(constant(CloseReason::DECLARATION, 0), "HANGUP_CLOSE_REASON_DIAL_FAILED");
        assert_eq!(constant(Timeout::DECLARATION, 5), "HANGUP_TIMEOUT_TLS");
    }

    #[test]
    fn numbers_are_unique_and_ascend() {
        for declaration in declarations() {
            assert!(declaration.values.is_sorted_by(|a, b| a.number < b.number), "{declaration:?}");
        }
    }
}
