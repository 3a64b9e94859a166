//! The trace of a client: to a function of the caller or to a file.

use std::ffi::{c_char, c_void};
use std::mem::offset_of;
use std::time::UNIX_EPOCH;

use super::callback;
use super::client::hangup_client;
use super::enums::{hangup_status, hangup_trace_type};
use super::error::hangup_error;
use super::guard::{Handle, guard, text};
use crate::trace::{Trace, TraceRecord};

/// One record of a trace. A later version may add fields at the end.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct hangup_trace_record {
    /// Nanoseconds since 1970-01-01 00:00:00 UTC.
    pub time_ns: i64,
    /// The id of the connection; 0 while there is none.
    pub connection_id: u64,
    /// What was recorded.
    pub r#type: hangup_trace_type,
    /// 0.
    pub reserved: i32,
    /// For a piece of a body its size in bytes; otherwise `data_size`.
    pub length: u64,
    /// The text of information, the bytes of a head with secrets replaced by their length, or the bytes of a piece of a
    /// body; no NUL follows. Valid until the function returns.
    pub data: *const u8,
    /// How many bytes that are; 0 for bodies unless they are wanted.
    pub data_size: usize,
}

const _: () = assert!(
    offset_of!(hangup_trace_record, data_size) + size_of::<usize>()
        == size_of::<hangup_trace_record>(),
    "no padding at the end"
);

/// Takes one record of a trace.
///
/// It is called on the thread that does the exchange, that is on the caller's for a blocking call and on an I/O thread for a
/// submitted request, possibly on several at once, and delays the exchange: it should not block, and it must not call a
/// function of this library that sends, submits, reads or waits.
pub type hangup_trace_fn =
    Option<unsafe extern "C-unwind" fn(user_data: *mut c_void, record: *const hangup_trace_record)>;

/// Called exactly once with the `user_data` of a trace, when the trace was replaced or its client is gone, and no call of it
/// is running; also when hangup_client_set_trace failed. It may run on any thread. It may be NULL.
pub type hangup_trace_end_fn = Option<unsafe extern "C-unwind" fn(user_data: *mut c_void)>;

/// Records every head, every piece of a body and what happens to the connections of this client's requests, and calls `record`
/// for each record; NULL records nothing, which is the default. With `bodies` 1 the records have the bytes of bodies too, those
/// of a request as they are sent, chunk framing included, and those of a response without framing and before decoding.
///
/// Values of Authorization, Proxy-Authorization, Cookie, Set-Cookie and of the headers named by
/// hangup_client_add_sensitive_header are replaced by their length. URLs, bodies and other headers are recorded as they are.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hangup_client_set_trace(
    client: *mut hangup_client,
    record: hangup_trace_fn,
    end: hangup_trace_end_fn,
    user_data: *mut c_void,
    bodies: i32,
    error: *mut *mut hangup_error,
) -> hangup_status {
    guard(error, || {
        let foreign = ForeignTrace { record, end, user_data };
        let client = unsafe { hangup_client::borrow(client)? };
        let trace = record
            .is_some()
            .then(|| Trace::new(move |record| foreign.record(record)).with_bodies(bodies != 0));
        client.set_trace(trace);
        Ok(())
    })
}

/// Does what hangup_client_set_trace does, and appends each record as text to a file, which is created if it does not exist;
/// NULL records nothing. Each line begins with the time (seconds since 1970-01-01 00:00:00 UTC, with microseconds), "#" and the
/// connection's id, and "*" for information, ">" and "<" for lines of a head that was sent or received, "}" and "{" for a piece
/// of a body that was sent or received. Bytes that are not printable ASCII are shown as "\x" and two hexadecimal digits.
///
/// Fails: HANGUP_SYSTEM if the file can't be opened. Records that can't be written later are lost.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hangup_client_set_trace_file(
    client: *mut hangup_client,
    path: *const c_char,
    bodies: i32,
    error: *mut *mut hangup_error,
) -> hangup_status {
    guard(error, || {
        let client = unsafe { hangup_client::borrow(client)? };
        let trace = if path.is_null() {
            None
        } else {
            let path = unsafe { text(path, "path")? };
            Some(Trace::to_file(path)?.with_bodies(bodies != 0))
        };
        client.set_trace(trace);
        Ok(())
    })
}

/// A function of the caller's for records; its drop is the one call of `end`.
struct ForeignTrace {
    record: hangup_trace_fn,
    end: hangup_trace_end_fn,
    user_data: *mut c_void,
}

// SAFETY: the header says that `record` runs on several threads at once, and `end` on any.
unsafe impl Send for ForeignTrace {}
// SAFETY: as above.
unsafe impl Sync for ForeignTrace {}

impl ForeignTrace {
    fn record(&self, record: &TraceRecord<'_>) {
        let Some(function) = self.record else { return };
        let time = record.time.duration_since(UNIX_EPOCH).unwrap_or_default();
        let record = hangup_trace_record {
            time_ns: i64::try_from(time.as_nanos()).unwrap_or(i64::MAX),
            connection_id: record.connection_id,
            r#type: record.kind.into(),
            reserved: 0,
            length: record.size,
            data: record.data.as_ptr(),
            data_size: record.data.len(),
        };
        // SAFETY: the record lives until the function returns; `user_data` is the caller's own.
        // An exception of the function has no call that it could fail: the record is lost.
        let _ = callback::call(|| unsafe { function(self.user_data, &raw const record) });
    }
}

impl Drop for ForeignTrace {
    fn drop(&mut self) {
        if let Some(end) = self.end {
            // SAFETY: once, by `Drop`; `user_data` is the caller's own.
            // There is no call to report an exception to.
            let _ = callback::call(|| unsafe { end(self.user_data) });
        }
    }
}
