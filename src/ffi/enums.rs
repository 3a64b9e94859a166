//! The enumerations of the header, as they cross the border: plain numbers, because C can pass any number and a later
//! library can return more than an old header has. Their values are declared in [`crate::vocabulary`]; the generator of
//! the header (`tests/header.rs`) writes them.

use std::ffi::c_char;

use crate::error::Error;
use crate::vocabulary::{
    Acknowledged, AddressFamily, CloseMode, CloseReason, CompletionType, ConnectionMode,
    ConnectionState, CookieFormat, Declared, EventType, Kind, Limit, Phase, RetryReason, Sent,
    Timeout, TlsVersion, TraceType,
};

/// `HANGUP_NO_LIMIT`. (The header's template has it with its type and parentheses.)
///
/// cbindgen:ignore
pub const HANGUP_NO_LIMIT: i64 = -1;

/// cbindgen does not look into macros: in the header these are names, and their enumerations are written there.
macro_rules! enumerations {
    ($($c_name:ident: $rust_name:ident,)+) => { $(
        #[repr(transparent)]
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub struct $c_name(i32);

        impl $c_name {
            /// Fails for a number that is not known, with a message that lists those that are.
            #[allow(dead_code, reason = "not every enumeration is passed to the library")]
            pub(super) fn get(self) -> Result<$rust_name, Error> {
                $rust_name::try_from(self.0).map_err(unknown::<$rust_name>)
            }
        }

        impl From<$rust_name> for $c_name {
            fn from(value: $rust_name) -> Self {
                Self(value.into())
            }
        }
    )+ };
}

enumerations! {
    hangup_status: Kind,
    hangup_phase: Phase,
    hangup_timeout: Timeout,
    hangup_sent: Sent,
    hangup_acknowledged: Acknowledged,
    hangup_connection_state: ConnectionState,
    hangup_close_reason: CloseReason,
    hangup_close_mode: CloseMode,
    hangup_limit: Limit,
    hangup_event_type: EventType,
    hangup_address_family: AddressFamily,
    hangup_retry_reason: RetryReason,
    hangup_cookie_format: CookieFormat,
    hangup_connection_mode: ConnectionMode,
    hangup_tls_version: TlsVersion,
    hangup_completion_type: CompletionType,
    hangup_trace_type: TraceType,
}

impl hangup_status {
    /// HANGUP_OK.
    pub const OK: Self = Self(0);
}

impl hangup_close_reason {
    /// The number in an event that is not about a closed connection.
    pub const NONE: Self = Self(0);
}

impl hangup_acknowledged {
    /// The number of an error without a look at TCP.
    pub const UNKNOWN: Self = Self(0);
}

impl hangup_retry_reason {
    /// The number in an event that is not about a retry.
    pub const NONE: Self = Self(0);
}

impl hangup_timeout {
    /// Fails for what is not known or can't be set.
    pub(super) fn get_settable(self) -> Result<Timeout, Error> {
        Timeout::try_from(self.0).ok().filter(|timeout| timeout.can_be_set()).ok_or_else(|| {
            let what = format!(
                "{} is no timeout that can be set: use HANGUP_TIMEOUT_TOTAL to HANGUP_TIMEOUT_READ",
                self.0
            );
            Error::new(Kind::InvalidArgument, what)
        })
    }
}

/// The name of a status, for example "TIMED_OUT"; "UNKNOWN" for a number that this version does not have. Static.
#[unsafe(no_mangle)]
pub extern "C" fn hangup_status_text(status: hangup_status) -> *const c_char {
    let name = match status {
        hangup_status::OK => c"OK",
        status => Kind::try_from(status.0).map_or(c"UNKNOWN", Kind::c_name),
    };
    name.as_ptr()
}

/// The name of a phase, for example "connect"; "unknown" for a number that this version does not have. Static.
#[unsafe(no_mangle)]
pub extern "C" fn hangup_phase_text(phase: hangup_phase) -> *const c_char {
    Phase::try_from(phase.0).map_or(c"unknown", Phase::c_name).as_ptr()
}

/// The name of a timeout, for example "total"; "unknown" for a number that this version does not have. Static.
#[unsafe(no_mangle)]
pub extern "C" fn hangup_timeout_text(timeout: hangup_timeout) -> *const c_char {
    Timeout::try_from(timeout.0).map_or(c"unknown", Timeout::c_name).as_ptr()
}

/// The name of how much was sent, for example "part"; "unknown" for a number that this version does not have. Static.
#[unsafe(no_mangle)]
pub extern "C" fn hangup_sent_text(sent: hangup_sent) -> *const c_char {
    Sent::try_from(sent.0).map_or(c"unknown", Sent::c_name).as_ptr()
}

/// The name of how much was acknowledged, for example "part"; "unknown" for 0 and for a number that this version does not
/// have. Static.
#[unsafe(no_mangle)]
pub extern "C" fn hangup_acknowledged_text(acknowledged: hangup_acknowledged) -> *const c_char {
    Acknowledged::try_from(acknowledged.0).map_or(c"unknown", Acknowledged::c_name).as_ptr()
}

/// The name of a connection's state, for example "idle"; "unknown" for a number that this version does not have. Static.
#[unsafe(no_mangle)]
pub extern "C" fn hangup_connection_state_text(state: hangup_connection_state) -> *const c_char {
    ConnectionState::try_from(state.0).map_or(c"unknown", ConnectionState::c_name).as_ptr()
}

/// The name of a close reason, for example "peer closed"; "unknown" for a number that this version does not have. Static.
#[unsafe(no_mangle)]
pub extern "C" fn hangup_close_reason_text(reason: hangup_close_reason) -> *const c_char {
    CloseReason::try_from(reason.0).map_or(c"unknown", CloseReason::c_name).as_ptr()
}

/// The name of a close mode, for example "graceful"; "unknown" for a number that this version does not have. Static.
#[unsafe(no_mangle)]
pub extern "C" fn hangup_close_mode_text(mode: hangup_close_mode) -> *const c_char {
    CloseMode::try_from(mode.0).map_or(c"unknown", CloseMode::c_name).as_ptr()
}

/// The name of a version of TLS, for example "TLSv1.3"; "unknown" for a number that this version does not have. Static.
#[unsafe(no_mangle)]
pub extern "C" fn hangup_tls_version_text(version: hangup_tls_version) -> *const c_char {
    TlsVersion::try_from(version.0).map_or(c"unknown", TlsVersion::c_name).as_ptr()
}

/// The name of a limit, for example "per_origin"; "unknown" for a number that this version does not have. Static.
#[unsafe(no_mangle)]
pub extern "C" fn hangup_limit_text(limit: hangup_limit) -> *const c_char {
    Limit::try_from(limit.0).map_or(c"unknown", Limit::c_name).as_ptr()
}

/// The name of an event type, for example "leased"; "unknown" for a number that this version does not have. Static.
#[unsafe(no_mangle)]
pub extern "C" fn hangup_event_type_text(event_type: hangup_event_type) -> *const c_char {
    EventType::try_from(event_type.0).map_or(c"unknown", EventType::c_name).as_ptr()
}

/// The name of an address family, for example "ipv4"; "unknown" for a number that this version does not have. Static.
#[unsafe(no_mangle)]
pub extern "C" fn hangup_address_family_text(family: hangup_address_family) -> *const c_char {
    AddressFamily::try_from(family.0).map_or(c"unknown", AddressFamily::c_name).as_ptr()
}

/// The name of a format, for example "netscape"; "unknown" for a number that this version does not have. Static.
#[unsafe(no_mangle)]
pub extern "C" fn hangup_cookie_format_text(format: hangup_cookie_format) -> *const c_char {
    CookieFormat::try_from(format.0).map_or(c"unknown", CookieFormat::c_name).as_ptr()
}

/// The name of a reason, for example "status code"; "unknown" for a number that this version does not have. Static.
#[unsafe(no_mangle)]
pub extern "C" fn hangup_retry_reason_text(reason: hangup_retry_reason) -> *const c_char {
    RetryReason::try_from(reason.0).map_or(c"unknown", RetryReason::c_name).as_ptr()
}

/// The name of a connection mode, for example "keep"; "unknown" for a number that this version does not have. Static.
#[unsafe(no_mangle)]
pub extern "C" fn hangup_connection_mode_text(mode: hangup_connection_mode) -> *const c_char {
    ConnectionMode::try_from(mode.0).map_or(c"unknown", ConnectionMode::c_name).as_ptr()
}

/// The name of a completion type, for example "read"; "unknown" for a number that this version does not have. Static.
#[unsafe(no_mangle)]
pub extern "C" fn hangup_completion_type_text(
    completion_type: hangup_completion_type,
) -> *const c_char {
    CompletionType::try_from(completion_type.0).map_or(c"unknown", CompletionType::c_name).as_ptr()
}

/// The name of a trace type, for example "request head"; "unknown" for a number that this version does not have. Static.
#[unsafe(no_mangle)]
pub extern "C" fn hangup_trace_type_text(trace_type: hangup_trace_type) -> *const c_char {
    TraceType::try_from(trace_type.0).map_or(c"unknown", TraceType::c_name).as_ptr()
}

/// The error for a number that is no value of `T`.
fn unknown<T: Declared>(number: i32) -> Error {
    let declaration = T::DECLARATION;
    let known: Vec<_> = declaration.values.iter().map(|v| declaration.constant(v)).collect();
    let what =
        format!("{} {number} is not known: use one of {}", declaration.c_type, known.join(", "));
    Error::new(Kind::InvalidArgument, what)
}
