//! `hangup_response`: its head, its body as a stream, and its timings.

use std::ffi::{CStr, CString, c_char, c_void};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock};

use super::enums::{hangup_close_mode, hangup_status};
use super::error::hangup_error;
use super::facts::FactsTexts;
use super::fields::FieldTexts;
use super::guard::{
    Handle, buffer, guard, lock_for_one_thread, magic, out, query, report, status, text,
};
use super::timings::hangup_timings;
use crate::error::Error;
use crate::response::{CloseHandle, Piece, Response, ResponseBody, ResponseHead};
use crate::spare_memory;
use crate::stream::Stream;
use crate::sync::lock;
use crate::vocabulary::{CloseMode, Kind};

/// One response: its head, and its body as a stream.
///
/// Create: hangup_client_get, hangup_client_send, hangup_client_submit. Use: hangup_response_*. Any thread may read it, the
/// body also in the background (hangup_response_submit_read). When the body was read to its end, its connection is
/// idle again before the last read returns.
/// Free: hangup_response_free. If the body was not read to its end, that closes the connection at once.
/// Threads: one thread at a time. But hangup_response_close may be called from any thread while another one is blocked in a
/// read or a submitted read is in progress; it ends that read with HANGUP_CLOSED.
pub struct hangup_response {
    _opaque: [u8; 0],
}

/// What a handle points to. The head needs no lock; the body has one reader at a time.
pub struct ResponseHandle {
    head: ResponseHead,
    close_handle: CloseHandle,
    body: Mutex<Reading>,
    texts: OnceLock<FieldTexts>,
    rare: OnceLock<Box<RareTexts>>,
    url: OnceLock<CString>,
    hops: OnceLock<Vec<CString>>,
}

/// Texts that few callers ask for, each made when it is first asked for.
#[derive(Default)]
pub(super) struct RareTexts {
    pub(super) reason: OnceLock<CString>,
    pub(super) raw: OnceLock<FieldTexts>,
    pub(super) interim: OnceLock<Vec<InterimTexts>>,
    /// Made after the end of the body only.
    pub(super) trailers: OnceLock<FieldTexts>,
    pub(super) facts: OnceLock<FactsTexts>,
}

/// An interim response as C wants it.
pub(super) struct InterimTexts {
    pub(super) status_code: u16,
    pub(super) fields: FieldTexts,
}

/// The body, and what was lent to the caller: by `hangup_response_read_all`, and by a submitted read.
struct Reading {
    body: ResponseBody,
    whole: Whole,
    piece: Lent,
}

enum Whole {
    NotRead,
    Read(Lent),
    Freed,
}

/// Bytes that the caller may read. Their memory is used again.
#[derive(Default)]
struct Lent(Vec<u8>);

impl Drop for Lent {
    fn drop(&mut self) {
        spare_memory::give_back(std::mem::take(&mut self.0));
    }
}

impl Handle for hangup_response {
    type Target = ResponseHandle;
    const MAGIC: u64 = magic(b"hang-rsp");
}

impl hangup_response {
    pub(super) fn begin(response: Response) -> *mut Self {
        let (head, body) = response.into_parts();
        Self::into_raw(Arc::new(ResponseHandle {
            head,
            close_handle: body.close_handle(),
            body: Mutex::new(Reading { body, whole: Whole::NotRead, piece: Lent::default() }),
            texts: OnceLock::new(),
            rare: OnceLock::new(),
            url: OnceLock::new(),
            hops: OnceLock::new(),
        }))
    }
}

/// The HTTP status code, 100 to 999. 0 for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hangup_response_status_code(response: *const hangup_response) -> i32 {
    query(0, || Ok(i32::from(unsafe { hangup_response::borrow(response)? }.head.status_code())))
}

/// The protocol version times ten: 10 or 11. 0 for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hangup_response_version(response: *const hangup_response) -> i32 {
    query(0, || Ok(unsafe { hangup_response::borrow(response)? }.head.version()))
}

/// The id of the connection that was used, also after that was closed. 0 for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hangup_response_connection_id(response: *const hangup_response) -> u64 {
    query(0, || Ok(unsafe { hangup_response::borrow(response)? }.head.connection_id()))
}

/// 1 if that connection had served a request before, else 0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hangup_response_reused(response: *const hangup_response) -> i32 {
    query(0, || Ok(i32::from(unsafe { hangup_response::borrow(response)? }.head.reused())))
}

/// The URL of the response after all redirects, without user information and fragment. Borrowed from the response. "" for
/// NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hangup_response_url(response: *const hangup_response) -> *const c_char {
    query(c"".as_ptr(), || {
        let opened = unsafe { hangup_response::borrow(response)? };
        let url = opened.url.get_or_init(|| CString::new(opened.head.url()).unwrap_or_default());
        Ok(url.as_ptr())
    })
}

/// How many times the last request of the call was tried: 1 without a retry (hangup_client_set_retries). 0 for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hangup_response_attempts(response: *const hangup_response) -> u32 {
    query(0, || Ok(unsafe { hangup_response::borrow(response)? }.head.attempts()))
}

/// How many redirects were followed. 0 for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hangup_response_history_count(response: *const hangup_response) -> usize {
    query(0, || Ok(unsafe { hangup_response::borrow(response)? }.head.history().len()))
}

/// The URL that returned redirect number `index`, beginning with 0, without user information and fragment. Borrowed from the
/// response; NULL if there is none. `status` may be NULL; it is set to 301, 302, 303, 307 or 308.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hangup_response_history_at(
    response: *const hangup_response,
    index: usize,
    status: *mut i32,
) -> *const c_char {
    query(std::ptr::null(), || {
        let opened = unsafe { hangup_response::borrow(response)? };
        let history = opened.head.history();
        let urls = opened.hops.get_or_init(|| {
            history.iter().map(|hop| CString::new(&*hop.url).unwrap_or_default()).collect()
        });
        let Some((hop, url)) = history.get(index).zip(urls.get(index)) else {
            return Ok(std::ptr::null());
        };
        // SAFETY: NULL, or a place for one number (the header's contract).
        if let Some(status) = unsafe { status.as_mut() } {
            *status = i32::from(hop.status_code);
        }
        Ok(url.as_ptr())
    })
}

/// The first header with that name, in any case; NULL if there is none. `size` may be NULL; it is set to the length without
/// the NUL. Borrowed from the response. The bytes are as received, UTF-8 or not.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hangup_response_header(
    response: *const hangup_response,
    name: *const c_char,
    size: *mut usize,
) -> *const c_char {
    query(std::ptr::null(), || {
        let opened = unsafe { hangup_response::borrow(response)? };
        let name = unsafe { text(name, "header name")? };
        Ok(unsafe { opened.texts().value(name, 0, size) })
    })
}

/// How many headers the response has. A name that occurs twice counts twice. 0 for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hangup_response_header_count(response: *const hangup_response) -> usize {
    query(0, || Ok(unsafe { hangup_response::borrow(response)? }.texts().len()))
}

/// The name (lower case) and value of header number `index`, borrowed from the response. `name`, `value` and `size` (of the
/// value) may be NULL.
///
/// Fails: HANGUP_INVALID_ARGUMENT if there is no such header.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hangup_response_header_at(
    response: *const hangup_response,
    index: usize,
    name: *mut *const c_char,
    value: *mut *const c_char,
    size: *mut usize,
) -> hangup_status {
    status(|| {
        let texts = unsafe { hangup_response::borrow(response)? }.texts();
        unsafe { texts.write("header", index, name, value, size) }
    })
}

/// Fills the durations. `timings->size` is sizeof(*timings) or 0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hangup_response_timings(
    response: *const hangup_response,
    timings: *mut hangup_timings,
) -> hangup_status {
    status(|| {
        let taken = unsafe { hangup_response::borrow(response)? }.close_handle.timings();
        unsafe { report(timings, hangup_timings::of(taken)) }
    })
}

/// Reads a piece of the body into `into`, which has `room` bytes: at least one byte, or none (`*got` is 0) at the end. Blocks
/// this thread. At the end the connection is idle or closed before the call returns. A body that is truncated, cancelled or
/// closed is a failure, never an end.
///
/// The call may write to all of `into`: the bytes behind the first `*got` are any, for example framing of the connection.
///
/// Fails: any status; HANGUP_INVALID_ARGUMENT for a room of 0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hangup_response_read(
    response: *mut hangup_response,
    into: *mut c_void,
    room: usize,
    got: *mut usize,
    error: *mut *mut hangup_error,
) -> hangup_status {
    guard(error, || {
        let got = unsafe { out(got)? };
        *got = unsafe { read_into(response, into, room, |body, into| body.read(into))? };
        Ok(())
    })
}

/// Reads into a buffer of the caller's.
///
/// # Safety
/// As for [`buffer`], and `response` is NULL or a response.
unsafe fn read_into(
    response: *mut hangup_response,
    into: *mut c_void,
    room: usize,
    read: impl FnOnce(&mut ResponseBody, &mut [u8]) -> Result<usize, Error>,
) -> Result<usize, Error> {
    // SAFETY: as for the caller.
    let (opened, into) = unsafe { (hangup_response::borrow(response)?, buffer(into, room)?) };
    read(&mut opened.reading()?.body, into)
}

/// From here on the body is read as it arrives, and its content codings are not undone.
///
/// Fails: HANGUP_INVALID_STATE after the first read of a body that is decoded, and while a read is in progress.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hangup_response_set_raw(
    response: *mut hangup_response,
    error: *mut *mut hangup_error,
) -> hangup_status {
    guard(error, || unsafe { hangup_response::borrow(response)? }.reading()?.body.set_raw())
}

/// Fills `into` with the next `room` bytes of the body, fewer only at its end: `*got` says how many. Blocks this thread. So a
/// body whose size is known (hangup_response_left) is read into memory of the caller's without a copy. `at_most` bounds the
/// body as a whole, that is the bytes of all these calls; SIZE_MAX is the client's limit (hangup_client_set_max_body).
///
/// Fails: any status, also after a part of the buffer was filled, and `*got` is not set then; HANGUP_TOO_LARGE if the body is
/// larger than `at_most`, and the connection is closed; HANGUP_INVALID_ARGUMENT for a room of 0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hangup_response_read_full(
    response: *mut hangup_response,
    into: *mut c_void,
    room: usize,
    at_most: usize,
    got: *mut usize,
    error: *mut *mut hangup_error,
) -> hangup_status {
    guard(error, || {
        let got = unsafe { out(got)? };
        *got =
            unsafe { read_into(response, into, room, |body, into| body.read_full(into, at_most))? };
        Ok(())
    })
}

/// Reads what has arrived of the body, at most `room` bytes, and never waits. `*is_here` is 1 if that was possible: `*got` bytes were
/// read, and 0 bytes are the end of the body. It is 0 if nothing has arrived; then wait with hangup_response_submit_read, whose
/// completion comes with the next bytes, or in hangup_response_read. Of a body that is decoded, and with a trace
/// (hangup_client_set_trace) or a maximum rate, nothing counts as arrived before the end.
///
/// Fails: as hangup_response_read; HANGUP_INVALID_STATE while a submitted read is in progress.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hangup_response_read_available(
    response: *mut hangup_response,
    into: *mut c_void,
    room: usize,
    got: *mut usize,
    is_here: *mut i32,
    error: *mut *mut hangup_error,
) -> hangup_status {
    guard(error, || {
        let (got, is_here) = unsafe { (out(got)?, out(is_here)?) };
        let (opened, into) = unsafe { (hangup_response::borrow(response)?, buffer(into, room)?) };
        let read = opened.reading()?.body.read_available(into)?;
        *is_here = i32::from(read.is_some());
        *got = read.unwrap_or(0);
        Ok(())
    })
}

/// How many bytes of the body are left to read; -1 if that is not known: of a body that is chunked or decoded, while a read is
/// in progress, after a close, and for NULL. It is what the head says, and the peer may send less.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hangup_response_left(response: *const hangup_response) -> i64 {
    query(-1, || {
        let left = unsafe { hangup_response::borrow(response)? }.reading()?.body.left();
        Ok(left.map_or(-1, |left| i64::try_from(left).unwrap_or(i64::MAX)))
    })
}

/// Reads the rest of the body, at most `at_most` bytes, and lends it until the response or its body (hangup_response_free_body)
/// is freed. A second call lends the same bytes. SIZE_MAX is the client's limit (hangup_client_set_max_body), 256 MiB by
/// default.
///
/// Fails: any status. HANGUP_TOO_LARGE if the body is larger, and the connection is closed; but a body that was received
/// already (hangup_request_set_buffer_body) is kept, and can be read with a larger limit.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hangup_response_read_all(
    response: *mut hangup_response,
    at_most: usize,
    data: *mut *const u8,
    size: *mut usize,
    error: *mut *mut hangup_error,
) -> hangup_status {
    guard(error, || {
        let (data, size) = unsafe { (out(data)?, out(size)?) };
        let mut reading = unsafe { hangup_response::borrow(response)? }.reading()?;
        let Reading { body, whole, .. } = &mut *reading;
        if matches!(whole, Whole::NotRead) {
            *whole = Whole::Read(Lent(body.read_all(at_most)?));
        }
        let Whole::Read(Lent(bytes)) = whole else {
            let what = "the body was read and freed (hangup_response_free_body)";
            return Err(Error::new(Kind::InvalidState, what));
        };
        *data = bytes.as_ptr();
        *size = bytes.len();
        Ok(())
    })
}

/// Frees the bytes that hangup_response_read_all lends, before the response is freed. Reading the body again is
/// HANGUP_INVALID_STATE then. Before hangup_response_read_all it does nothing.
///
/// Fails: HANGUP_INVALID_STATE while another thread reads.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hangup_response_free_body(
    response: *mut hangup_response,
) -> hangup_status {
    status(|| {
        let mut reading = unsafe { hangup_response::borrow(response)? }.reading()?;
        if matches!(reading.whole, Whole::Read(_)) {
            reading.whole = Whole::Freed;
        }
        Ok(())
    })
}

/// Closes the response early. HANGUP_CLOSE_MODE_GRACEFUL reads and drops the rest of the body, at most 256 KiB, so that the
/// connection can be reused; it is closed if that takes longer than 50 ms or three round trips, whichever is longer, and
/// one second at most. The call itself takes at most 2 ms; the rest happens in the background, where the connection counts
/// as in use. HANGUP_CLOSE_MODE_NOW closes the connection at once. After the end of the body, and the
/// second time, it does nothing.
///
/// It may be called from any thread while another one is blocked in a read or a submitted read is in progress; it ends that
/// read with HANGUP_CLOSED.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hangup_response_close(
    response: *mut hangup_response,
    mode: hangup_close_mode,
) -> hangup_status {
    status(|| {
        let opened = unsafe { hangup_response::borrow(response)? };
        let mode = mode.get()?;
        match opened.reading() {
            Ok(mut reading) => reading.body.close(mode),
            // Another thread is in a read, which this ends.
            Err(_) => opened.close_handle.close(),
        }
        Ok(())
    })
}

/// Frees a response and everything borrowed from it. Closes its connection, unless the body was read to its end or closed
/// gracefully. NULL does nothing. Never blocks.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hangup_response_free(response: *mut hangup_response) {
    unsafe { hangup_response::free(response) }
}

impl ResponseHandle {
    /// Begins a submitted read; `done` gets what [`finish_read`](Self::finish_read) wants.
    pub(super) fn begin_read(
        &self,
        at_most: usize,
        done: impl FnOnce(Piece) + Send + 'static,
    ) -> Result<(), Error> {
        self.reading()?.body.begin_read(at_most, done)
    }

    /// Takes the connection that the response hands over.
    pub(super) fn take_stream(&self) -> Result<Stream, Error> {
        self.reading()?.body.take_stream()
    }

    /// Ends a submitted read, and lends what it read until the next one.
    pub(super) fn finish_read(&self, piece: Piece) -> Result<(*const u8, usize), Error> {
        // Another holder of the lock only finds out that a read is in progress, and gives the lock back.
        let mut reading = lock(&self.body);
        reading.piece = Lent(reading.body.finish_read(piece)?);
        Ok(borrowed(&reading.piece.0))
    }

    /// Ends a submitted read whose completion is never taken.
    pub(super) fn abandon_read(&self) {
        // Another holder of the lock only finds out that a read is in progress, or has just submitted this one.
        if let Ok(mut reading) = self.reading() {
            reading.body.close(CloseMode::Now);
        }
    }

    /// Fails while another thread reads.
    fn reading(&self) -> Result<MutexGuard<'_, Reading>, Error> {
        lock_for_one_thread(&self.body, "this response is read by another thread right now")
    }

    /// Headers as C wants them: made when first asked for, as most callers never ask for most of them.
    pub(super) fn texts(&self) -> &FieldTexts {
        self.texts.get_or_init(|| FieldTexts::of(self.head.headers()))
    }

    pub(super) fn head(&self) -> &ResponseHead {
        &self.head
    }

    pub(super) fn reason(&self) -> &CStr {
        let made = || CString::new(self.head.reason()).unwrap_or_default();
        self.rare().reason.get_or_init(made)
    }

    pub(super) fn rare(&self) -> &RareTexts {
        self.rare.get_or_init(Box::default)
    }
}

/// Bytes as C wants them: (NULL, 0) is none.
pub(super) fn borrowed(bytes: &[u8]) -> (*const u8, usize) {
    if bytes.is_empty() { (std::ptr::null(), 0) } else { (bytes.as_ptr(), bytes.len()) }
}
