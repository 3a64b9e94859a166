//! `hangup_stream`: a connection that a response handed over.

use std::ffi::c_void;
use std::sync::{Arc, Mutex};

use super::enums::{hangup_status, hangup_timeout};
use super::error::hangup_error;
use super::guard::{Handle, buffer, bytes, guard, magic, or_default, out, query, status};
use super::milliseconds::limit_ms;
use super::response::{borrowed, hangup_response};
use crate::error::Error;
use crate::stream::Stream;
use crate::sync::lock;

/// A connection that speaks another protocol than HTTP: after 101 Switching Protocols, or a tunnel after CONNECT.
///
/// Create: hangup_response_take_stream, hangup_stream_ref. Use: hangup_stream_*. Reading and writing are independent: two
/// threads can do both at the same time, blocking or in the background.
///
/// The manager still has the connection: it lists it as HANGUP_CONNECTION_STATE_UPGRADED, counts it as in use and never gives
/// it to another request. What ends an exchange ends the stream: the cancel token of its request and the token's deadline;
/// hangup_manager_close_connection, _close_origin and _close_all with HANGUP_CLOSE_MODE_NOW; hangup_manager_shutdown. With
/// HANGUP_CLOSE_MODE_GRACEFUL and in hangup_manager_drain it stays open until its owner closes it (hangup_stream_is_closing).
///
/// Two of the request's timeouts remain: HANGUP_TIMEOUT_READ for each read and HANGUP_TIMEOUT_WRITE for each step of a write
/// (hangup_stream_set_timeout). The total timeout ends with the response head. A read that timed out has lost nothing: the
/// stream can be read again. Any other failure but HANGUP_INVALID_STATE and HANGUP_INVALID_ARGUMENT closes the connection,
/// and later calls fail in the same way. In TLS, an end of the connection without close_notify is HANGUP_PEER_CLOSED.
///
/// Free: hangup_stream_free. The last handle closes the connection.
/// Threads: any thread at any time. One reads and one writes at a time: a second one gets HANGUP_INVALID_STATE.
pub struct hangup_stream {
    _opaque: [u8; 0],
}

/// What a handle points to: the stream, and what its last submitted read lends to the caller.
pub struct StreamHandle {
    pub(super) stream: Stream,
    piece: Mutex<Vec<u8>>,
}

impl Handle for hangup_stream {
    type Target = StreamHandle;
    const MAGIC: u64 = magic(b"hang-str");
}

/// Takes the connection of a response that hands it over: the response to an "Upgrade" header is 101, or the response to
/// hangup_request_new_connect is a success (2xx). Bytes that arrived together with the head are read first. The response keeps
/// its head, has an empty body, and can be freed. Until it is taken, the connection waits; hangup_response_close and
/// hangup_response_free close it.
///
/// Fails: HANGUP_INVALID_STATE for any other response, the second time, and after the response was closed; what ended the
/// exchange in the meantime, such as HANGUP_CANCELLED.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hangup_response_take_stream(
    response: *mut hangup_response,
    stream: *mut *mut hangup_stream,
    error: *mut *mut hangup_error,
) -> hangup_status {
    guard(error, || {
        let place = unsafe { out(stream)? };
        let stream = unsafe { hangup_response::borrow(response)? }.take_stream()?;
        let piece = Mutex::new(Vec::new());
        *place = hangup_stream::into_raw(Arc::new(StreamHandle { stream, piece }));
        Ok(())
    })
}

/// Another handle for the same stream, for another owner. NULL for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hangup_stream_ref(stream: *const hangup_stream) -> *mut hangup_stream {
    or_default(std::ptr::null_mut(), || {
        Ok(hangup_stream::into_raw(Arc::clone(unsafe { hangup_stream::borrow(stream)? })))
    })
}

/// Reads into `into`, which has `room` bytes: at least one byte, or none (`*got` is 0) if the peer ended its direction. Blocks
/// this thread.
///
/// Fails: any status. HANGUP_TIMED_OUT with HANGUP_TIMEOUT_READ: nothing arrived in that time, and the stream can be read
/// again. HANGUP_INVALID_STATE while another read is in progress; HANGUP_INVALID_ARGUMENT for a room of 0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hangup_stream_read(
    stream: *mut hangup_stream,
    into: *mut c_void,
    room: usize,
    got: *mut usize,
    error: *mut *mut hangup_error,
) -> hangup_status {
    guard(error, || {
        let got = unsafe { out(got)? };
        let opened = unsafe { hangup_stream::borrow(stream)? };
        let into = unsafe { buffer(into, room)? };
        *got = opened.stream.read(into)?;
        Ok(())
    })
}

/// Sends all `size` bytes at `data`. Blocks this thread until the system or TLS has taken them. A failure closes the connection,
/// because a part may have been sent.
///
/// Fails: any status. HANGUP_TIMED_OUT with HANGUP_TIMEOUT_WRITE if nothing could be sent in that time. HANGUP_INVALID_STATE
/// while another write is in progress and after hangup_stream_shutdown_write: then the stream stays open.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hangup_stream_write_all(
    stream: *mut hangup_stream,
    data: *const u8,
    size: usize,
    error: *mut *mut hangup_error,
) -> hangup_status {
    guard(error, || {
        let opened = unsafe { hangup_stream::borrow(stream)? };
        opened.stream.write_all(unsafe { bytes(data, size, "data")? })
    })
}

/// Ends the direction of writing: the peer reads an end, and what it sends can still be read. In TLS this sends close_notify.
/// Does nothing the second time.
///
/// Fails: as hangup_stream_write_all.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hangup_stream_shutdown_write(
    stream: *mut hangup_stream,
    error: *mut *mut hangup_error,
) -> hangup_status {
    guard(error, || unsafe { hangup_stream::borrow(stream)? }.stream.shutdown_write())
}

/// Closes the connection. Calls that are blocked and work in the background end with HANGUP_CLOSED, and so do later ones. From any
/// thread; never blocks. Can be called again. In TLS it sends close_notify if that is possible at once.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hangup_stream_close(stream: *mut hangup_stream) -> hangup_status {
    status(|| {
        unsafe { hangup_stream::borrow(stream)? }.stream.close();
        Ok(())
    })
}

/// Sets HANGUP_TIMEOUT_READ or HANGUP_TIMEOUT_WRITE for calls that begin later; HANGUP_NO_LIMIT removes it. At first they are
/// those of the request.
///
/// Fails: HANGUP_INVALID_TIMEOUT for zero and other negative numbers; HANGUP_INVALID_ARGUMENT for another timeout.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hangup_stream_set_timeout(
    stream: *mut hangup_stream,
    timeout: hangup_timeout,
    ms: i64,
    error: *mut *mut hangup_error,
) -> hangup_status {
    guard(error, || {
        let opened = unsafe { hangup_stream::borrow(stream)? };
        opened.stream.set_timeout(timeout.get_settable()?, limit_ms(ms)?)
    })
}

/// How many bytes arrived together with the response head and were not read yet. They are not in the socket: before
/// hangup_stream_fd is polled, read until this is 0. 0 for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hangup_stream_buffered(stream: *const hangup_stream) -> usize {
    query(0, || Ok(unsafe { hangup_stream::borrow(stream)? }.stream.buffered()))
}

/// The socket of a stream without TLS, for poll(2), epoll(7) or any event loop: when it is readable, hangup_stream_read does not
/// wait. Only poll it: what is read or written past the library is not counted. It belongs to the stream and is closed when the
/// stream is closed, by whatever closes it; remove it from the event loop when a call fails. -1 for a stream in TLS (use
/// hangup_stream_submit_read), after the stream was closed, and for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hangup_stream_fd(stream: *const hangup_stream) -> i32 {
    or_default(-1, || {
        Ok(unsafe { hangup_stream::borrow(stream)? }.stream.descriptor().unwrap_or(-1))
    })
}

/// The id of the connection, also after it was closed. 0 for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hangup_stream_connection_id(stream: *const hangup_stream) -> u64 {
    query(0, || Ok(unsafe { hangup_stream::borrow(stream)? }.stream.connection_id()))
}

/// 1 if the owner of the stream is asked to end it, because a graceful close of its connection or hangup_manager_drain waits for
/// that; else 0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hangup_stream_is_closing(stream: *const hangup_stream) -> i32 {
    or_default(0, || Ok(i32::from(unsafe { hangup_stream::borrow(stream)? }.stream.is_closing())))
}

/// 1 if the stream was closed or has failed, else 0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hangup_stream_is_closed(stream: *const hangup_stream) -> i32 {
    query(0, || Ok(i32::from(unsafe { hangup_stream::borrow(stream)? }.stream.is_closed())))
}

/// Frees a handle. The last one closes the connection, also if work in the background is in progress, which ends with
/// HANGUP_CLOSED. NULL does nothing. Never blocks.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hangup_stream_free(stream: *mut hangup_stream) {
    unsafe { hangup_stream::free(stream) }
}

impl StreamHandle {
    /// Keeps what a submitted read got, and lends it until the next one.
    pub(super) fn lend(&self, read: Vec<u8>) -> (*const u8, usize) {
        let mut piece = lock(&self.piece);
        *piece = read;
        borrowed(&piece)
    }
}

/// The error of a read whose stream was freed before its completion was taken.
pub(super) fn freed() -> Error {
    Error::new(crate::vocabulary::Kind::Closed, "the stream was freed")
}
