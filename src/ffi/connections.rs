//! `hangup_connections`: a list of the open connections.

use std::ffi::{CStr, CString, c_char};
use std::mem::offset_of;
use std::sync::{Arc, OnceLock};

use super::enums::{hangup_connection_state, hangup_status};
use super::error::hangup_error;
use super::facts::{FactsTexts, certificate, hangup_connection_facts};
use super::guard::{Handle, Report, guard, magic, or_default, out, report, status};
use super::manager::hangup_manager;
use super::tcp_facts::hangup_tcp_facts;
use crate::error::Error;
use crate::manager::ConnectionInfo;
use crate::net::facts::ConnectionFacts;
use crate::vocabulary::Kind;

/// A list of the open connections, as they were at one moment.
///
/// Create: hangup_manager_connections. Use: hangup_connections_count, hangup_connections_at.
/// Free: hangup_connections_free.
/// Threads: immutable; any thread at any time.
pub struct hangup_connections {
    _opaque: [u8; 0],
}

impl Handle for hangup_connections {
    type Target = ConnectionList;
    const MAGIC: u64 = magic(b"hang-lst");
}

/// One open connection. Initialise it with HANGUP_CONNECTION_INFO_INIT. Its strings are borrowed from the list.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct hangup_connection_info {
    /// In: sizeof the structure; 0 is its layout in version 0.1. Out: how much of it was filled.
    pub size: usize,
    /// Its id, which is unique in the process and never reused.
    pub id: u64,
    /// The origin, for example "https://example.org:443".
    pub origin: *const c_char,
    /// The peer's address and port, for example "127.0.0.1:8080"; "" while it is not connected.
    pub peer: *const c_char,
    /// The local address and port; "" while it is not connected.
    pub local: *const c_char,
    /// The TLS version, for example "TLSv1.3"; "" without TLS.
    pub tls: *const c_char,
    /// What it is doing.
    pub state: hangup_connection_state,
    /// 1 if it will be closed when its exchange ends (graceful close), else 0.
    pub closing: i32,
    /// Milliseconds since its dial began.
    pub age_ms: i64,
    /// Milliseconds since it became idle; -1 if it is not idle.
    pub idle_ms: i64,
    /// Requests that were begun on it.
    pub requests: u64,
    /// Bytes received from the network.
    pub bytes_in: u64,
    /// Bytes sent to the network.
    pub bytes_out: u64,
    /// From here on: what TCP knew of the connection when the list was made, see hangup_tcp_facts. All of it is -1 while it is
    /// not connected, for a Unix-domain socket, and on other systems than Linux and Android.
    ///
    /// The smoothed round-trip time in microseconds; -1 before it was measured.
    pub rtt_us: i64,
    /// Milliseconds since the last byte or acknowledgement of the peer came: its last sign of life.
    pub silence_ms: i64,
    /// Bytes that were written and that the peer has not acknowledged.
    pub unacked_bytes: i64,
    /// Those of them that were not sent yet.
    pub unsent_bytes: i64,
    /// Segments that were sent again since the connection was made.
    pub retransmissions: i64,
    /// How often the oldest unacknowledged segment was sent again, without an acknowledgement in between.
    pub retransmissions_in_row: i32,
    /// Keep-alive probes and probes of a full receive window that were sent in a row and not answered.
    pub unanswered_probes: i32,
}

// SAFETY: `repr(C)`, `size` first, and no padding: the fields of 64 bits come before pairs of 32.
unsafe impl Report for hangup_connection_info {
    const FIRST: usize = offset_of!(hangup_connection_info, unanswered_probes) + size_of::<i32>();
}

/// The rows of a list, and the list as JSON once it was asked for.
#[derive(Debug)]
pub struct ConnectionList {
    rows: Vec<ConnectionRow>,
    json: OnceLock<CString>,
}

/// One connection with its text as C wants it.
#[derive(Debug)]
pub struct ConnectionRow {
    info: ConnectionInfo,
    origin: CString,
    peer: CString,
    local: CString,
    tls: CString,
    facts: OnceLock<FactsTexts>,
}

/// Lists the connections that are open now: being dialled, in use or idle. Each is listed once.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hangup_manager_connections(
    manager: *const hangup_manager,
    list: *mut *mut hangup_connections,
    error: *mut *mut hangup_error,
) -> hangup_status {
    guard(error, || {
        let place = unsafe { out(list)? };
        let manager = unsafe { hangup_manager::borrow(manager)? };
        let rows = manager.connections().into_iter().map(ConnectionRow::new).collect();
        let list = ConnectionList { rows, json: OnceLock::new() };
        *place = hangup_connections::into_raw(Arc::new(list));
        Ok(())
    })
}

/// How many connections the list has. 0 for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hangup_connections_count(list: *const hangup_connections) -> usize {
    or_default(0, || Ok(unsafe { hangup_connections::borrow(list)? }.rows.len()))
}

/// Fills `info` with the connection at `index`. `info->size` is sizeof(*info) or 0.
///
/// Fails: HANGUP_INVALID_ARGUMENT if there is none.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hangup_connections_at(
    list: *const hangup_connections,
    index: usize,
    info: *mut hangup_connection_info,
) -> hangup_status {
    status(|| {
        let row = unsafe { hangup_connections::borrow(list)? }.row(index)?;
        unsafe { report(info, row.report()) }
    })
}

/// Fills what is known of the connection at `index` since it was made; its strings are borrowed from the list. `facts->size` is
/// sizeof(*facts) or 0.
///
/// Fails: HANGUP_INVALID_ARGUMENT if there is none; HANGUP_NOT_FOUND if it is still being dialled.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hangup_connections_facts_at(
    list: *const hangup_connections,
    index: usize,
    facts: *mut hangup_connection_facts,
) -> hangup_status {
    status(|| {
        let row = unsafe { hangup_connections::borrow(list)? }.row(index)?;
        let known = row.facts()?;
        unsafe { row.facts.get_or_init(|| FactsTexts::of(known)).report(known, facts) }
    })
}

/// Certificate number `which` of those that the peer of the connection at `index` sent, in DER, the peer's own one first.
/// Borrowed from the list.
///
/// Fails: HANGUP_INVALID_ARGUMENT if there is none; HANGUP_NOT_FOUND if the connection is still being dialled.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hangup_connections_certificate_at(
    list: *const hangup_connections,
    index: usize,
    which: usize,
    data: *mut *const u8,
    size: *mut usize,
) -> hangup_status {
    status(|| {
        let (data, size) = unsafe { (out(data)?, out(size)?) };
        let row = unsafe { hangup_connections::borrow(list)? }.row(index)?;
        let found = certificate(row.facts()?, which)?;
        (*data, *size) = (found.as_ptr(), found.len());
        Ok(())
    })
}

/// The list as a JSON array (RFC 8259) on one line, with an object for each connection that has the members of
/// hangup_connection_info but for `size`; those of TCP, from `rtt_us` on, are in an object `tcp_facts`, which is null if there
/// are none. A member that has no value is null; `state` is a name, as hangup_connection_state_text
/// gives it, and `closing` is true or false. Later versions may add members. Borrowed from the list; "[]" for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hangup_connections_json(list: *const hangup_connections) -> *const c_char {
    or_default(c"[]".as_ptr(), || Ok(unsafe { hangup_connections::borrow(list)? }.json().as_ptr()))
}

/// Frees a list and the strings borrowed from it. NULL does nothing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hangup_connections_free(list: *mut hangup_connections) {
    unsafe { hangup_connections::free(list) }
}

impl ConnectionList {
    fn row(&self, index: usize) -> Result<&ConnectionRow, Error> {
        self.rows.get(index).ok_or_else(|| {
            let what = format!("row {index} of a list of {}", self.rows.len());
            Error::new(Kind::InvalidArgument, what)
        })
    }

    fn json(&self) -> &CStr {
        self.json.get_or_init(|| {
            let rows: Vec<_> = self.rows.iter().map(|row| row.info.clone()).collect();
            CString::new(ConnectionInfo::list_to_json(&rows)).unwrap_or_default()
        })
    }
}

impl ConnectionRow {
    fn new(info: ConnectionInfo) -> Self {
        let c = |text: String| CString::new(text).unwrap_or_default();
        let address =
            |a: Option<std::net::SocketAddr>| c(a.map_or(String::new(), |a| a.to_string()));
        Self {
            origin: c(info.origin.clone()),
            peer: address(info.peer),
            local: address(info.local),
            tls: c(info.tls.unwrap_or("").to_owned()),
            facts: OnceLock::new(),
            info,
        }
    }

    fn facts(&self) -> Result<&ConnectionFacts, Error> {
        self.info.facts.as_deref().ok_or_else(|| {
            let what = format!("connection {} is still being dialled", self.info.id);
            Error::new(Kind::NotFound, what)
        })
    }

    fn report(&self) -> hangup_connection_info {
        let ms = |d: std::time::Duration| i64::try_from(d.as_millis()).unwrap_or(i64::MAX);
        let tcp = hangup_tcp_facts::of(self.info.tcp_facts);
        hangup_connection_info {
            size: size_of::<hangup_connection_info>(),
            id: self.info.id,
            origin: self.origin.as_ptr(),
            peer: self.peer.as_ptr(),
            local: self.local.as_ptr(),
            tls: self.tls.as_ptr(),
            state: self.info.state.into(),
            closing: i32::from(self.info.closing),
            age_ms: ms(self.info.age),
            idle_ms: self.info.idle.map_or(-1, ms),
            requests: self.info.requests,
            bytes_in: self.info.bytes_in,
            bytes_out: self.info.bytes_out,
            rtt_us: tcp.rtt_us,
            silence_ms: tcp.silence_ms,
            unacked_bytes: tcp.unacked_bytes,
            unsent_bytes: tcp.unsent_bytes,
            retransmissions: tcp.retransmissions,
            retransmissions_in_row: tcp.retransmissions_in_row,
            unanswered_probes: tcp.unanswered_probes,
        }
    }
}
