//! `hangup_queue`: submitting requests and reads, and taking their completions.

use std::ffi::c_char;
use std::mem::offset_of;
use std::sync::{Arc, Weak};

use super::client::hangup_client;
use super::download::{self, hangup_download_options};
use super::enums::{hangup_completion_type, hangup_status};
use super::error::hangup_error;
use super::guard::{
    Handle, Report, bytes, guard, magic, or_default, report, status, struct_size, text,
};
use super::milliseconds::wait_ms;
use super::request::{hangup_request, lock as lock_request};
use super::response::{ResponseHandle, borrowed, hangup_response};
use super::stream::{self, StreamHandle, hangup_stream};
use super::upload::hangup_upload;
use crate::error::Error;
use crate::queue::{Place, Queue, QueueSender};
use crate::response::{Piece, Response};
use crate::threads::set_io_threads;
use crate::vocabulary::{CompletionType, Kind};

/// A completion queue: the outcomes of submitted requests and reads arrive in it, each exactly once, in the order in which
/// they ended.
///
/// Create: hangup_queue_new. Use: hangup_client_submit, hangup_response_submit_read, hangup_stream_submit_read,
/// hangup_stream_submit_write, hangup_queue_next. In the child of a
/// fork its functions return HANGUP_FORKED.
/// Free: hangup_queue_free. Work in progress goes on (fire its cancel token to end it), and its responses are closed.
/// Threads: any thread at any time. Several threads can wait at once; each completion goes to one of them.
pub struct hangup_queue {
    _opaque: [u8; 0],
}

impl Handle for hangup_queue {
    type Target = Queue<Completion>;
    const MAGIC: u64 = magic(b"hang-que");
}

/// The outcome of a submitted request or read, with its tag.
pub struct Completion {
    tag: u64,
    outcome: Outcome,
}

enum Outcome {
    Response(Result<Response, Error>),
    Read(ReadCompletion),
    StreamRead(StreamReadCompletion),
    StreamWrite(Result<(), Error>),
    UploadWrite(Result<(), Error>),
}

/// The outcome of a read, for its response. Dropped before it was taken from the queue, it closes the response, because a
/// part of the body is lost.
struct ReadCompletion {
    response: Weak<ResponseHandle>,
    piece: Option<Piece>,
}

/// The outcome of a read, for its stream. Dropped before it was taken from the queue, it closes the stream, because what was
/// read is lost.
struct StreamReadCompletion {
    stream: Weak<StreamHandle>,
    read: Option<Result<Vec<u8>, Error>>,
}

/// One completion. Initialise it with HANGUP_COMPLETION_INIT.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct hangup_completion {
    /// In: sizeof the structure; 0 is its layout in version 0.1. Out: how much of it was filled.
    pub size: usize,
    /// The tag that was passed when it was submitted.
    pub tag: u64,
    /// The response of a request that succeeded, which the caller must free; else NULL.
    pub response: *mut hangup_response,
    /// The error, which the caller must free; NULL if `status` is HANGUP_OK.
    pub error: *mut hangup_error,
    /// The piece that was read, or the whole body if the request asked for it (hangup_request_set_buffer_body). Borrowed from the
    /// response or the stream until the completion of its next read is taken, or until it is freed. NULL if there are no bytes.
    pub data: *const u8,
    /// The number of bytes at `data`. 0 for a read that succeeded is the end of the body, or of what the peer sends.
    pub data_size: usize,
    /// What the completion is about.
    pub r#type: hangup_completion_type,
    /// The outcome of the request or read.
    pub status: hangup_status,
}

// SAFETY: `repr(C)`, `size` first, and no padding: the fields of 64 bits come before pairs of 32.
unsafe impl Report for hangup_completion {
    const FIRST: usize = offset_of!(hangup_completion, status) + size_of::<i32>();
}

/// A new queue. Free it with hangup_queue_free. NULL only if the process has no free descriptor.
#[unsafe(no_mangle)]
pub extern "C" fn hangup_queue_new() -> *mut hangup_queue {
    or_default(std::ptr::null_mut(), || {
        let queue = Queue::new().map_err(|error| {
            Error::from_os(Kind::System, "no descriptor for a completion queue", &error)
        })?;
        Ok(hangup_queue::into_raw(Arc::new(queue)))
    })
}

/// A descriptor that is readable while there is a completion to take, and after hangup_queue_close: for poll(2), epoll(7) or
/// any event loop. It is not readable without a reason. Several completions can make it readable once, a moment after the
/// first of them can be taken. When it is readable, call hangup_queue_next with a timeout of 0 until it returns
/// HANGUP_TIMED_OUT. Only poll it; it is closed with the queue. -1 for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hangup_queue_fd(queue: *const hangup_queue) -> i32 {
    or_default(-1, || Ok(unsafe { hangup_queue::borrow(queue)? }.descriptor().number()))
}

/// Takes the oldest completion, or waits for one, at most `timeout_ms` milliseconds. 0 does not wait; HANGUP_NO_LIMIT waits
/// without limit. `completion->size` is sizeof(*completion) or 0. The caller must free its `response` and `error`.
///
/// The status that this function returns says whether a completion was taken; `completion->status` is the outcome of what was
/// submitted.
///
/// The thread waits in poll(2), and threads of the library do the work, unless hangup_queue_set_caller_runs changes that.
///
/// Fails: HANGUP_TIMED_OUT if there was no completion in that time; HANGUP_CLOSED after hangup_queue_close, when all
/// completions were taken; HANGUP_CANCELLED if the thread's interrupt check ended the wait; HANGUP_INVALID_TIMEOUT for another
/// negative number; HANGUP_INVALID_ARGUMENT for a structure that is too small; HANGUP_FORKED in the child of a fork;
/// HANGUP_SYSTEM. No completion is lost by a failure.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hangup_queue_next(
    queue: *mut hangup_queue,
    timeout_ms: i64,
    completion: *mut hangup_completion,
) -> hangup_status {
    status(|| {
        let queue = unsafe { hangup_queue::borrow(queue)? };
        // The structure is checked first: a completion that was taken can't be put back.
        if unsafe { struct_size(completion)? } < size_of::<hangup_completion>() {
            let what = "the completion's size field is too small: set it to sizeof(*completion)";
            return Err(Error::new(Kind::InvalidArgument, what));
        }
        let limit = wait_ms(timeout_ms)?;
        let completed = queue.next(limit)?;
        let completed = completed
            .ok_or_else(|| Error::new(Kind::TimedOut, "nothing was completed in that time"))?;
        unsafe { report(completion, completed.row()) }
    })
}

/// With 1, a thread that waits in hangup_queue_next for this queue may do the work itself, which saves waking it for each
/// completion. 0 is the default.
///
/// What is submitted to this queue from then on runs in an event loop of its own, which the thread runs if no other thread waits
/// for this queue and hangup_set_io_threads was not called: threads with a queue each do not wait for each other, and share the
/// connections. If the thread stays away for more than one to four milliseconds after taking a completion, a thread of the
/// library continues the work. The library has one such thread for each of these queues, which sleeps meanwhile.
///
/// For a program with an event loop, which polls a descriptor, see hangup_queue_drive_fd. There, with 1, a submission also begins
/// its work in the call, on this thread, as far as that goes without waiting, if nothing else of this queue is under way: the
/// event loop need not turn for it. Functions of the program that the library calls for its work may then be called in the
/// submitting call.
///
/// The work runs on separate stacks (256 KiB each), and signals are not blocked meanwhile. Leave it at 0 in a program with a
/// signal handler that inspects the stack of the interrupted thread, or needs much of it without SA_ONSTACK. Garbage
/// collectors that stop threads by a signal (D, Boehm's in Guile, SBCL) and some profilers do this.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hangup_queue_set_caller_runs(
    queue: *const hangup_queue,
    on: i32,
    error: *mut *mut hangup_error,
) -> hangup_status {
    guard(error, || {
        unsafe { hangup_queue::borrow(queue)? }.set_caller_runs(on != 0);
        Ok(())
    })
}

/// A descriptor for the event loop of a program (epoll(7), libuv, GLib, asyncio) that does this queue's work itself: no other
/// thread has to be woken for it. It is readable while there is work that is ready or a completion to take, at the next timeout
/// of what was submitted, and after hangup_queue_close. When it is readable, call hangup_queue_drive, and then hangup_queue_next
/// with a timeout of 0 until it returns HANGUP_TIMED_OUT. Only poll it, level-triggered; it is closed with the queue.
///
/// From the first call on, what is submitted to this queue runs in an event loop of its own, whatever hangup_set_io_threads says;
/// what was submitted before is not affected. So call it before the first submission. Queues that are driven by several threads
/// do not wait for each other. If the program does not call hangup_queue_drive although the descriptor is readable, because it
/// computes or blocks, a thread of the library does the work after 10 to 20 milliseconds, until hangup_queue_drive is called
/// again. A thread that waits in hangup_queue_next for this queue does the work as well. Once there is a driven queue, there is
/// one more thread of the library for it, which sleeps while the program drives.
///
/// The work runs on separate stacks on the thread that calls: see hangup_queue_set_caller_runs, whose conditions apply. With the
/// environment variable HANGUP_ENGINE=threads, and where there are no such stacks, threads of the library do all of the work,
/// and the descriptor is that of hangup_queue_fd.
///
/// -1 on failure, and for NULL: the process has no free descriptor or thread, or it is the child of a fork.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hangup_queue_drive_fd(queue: *const hangup_queue) -> i32 {
    or_default(-1, || Ok(unsafe { hangup_queue::borrow(queue)? }.drive_descriptor()?.number()))
}

/// Does the work of this queue that is ready, on this thread: receives, sends, decrypts, decodes. Never waits; returns after a
/// bounded amount of work, and if there is more, the descriptor of hangup_queue_drive_fd stays readable. Then take the
/// completions with hangup_queue_next and a timeout of 0 until it returns HANGUP_TIMED_OUT: the descriptor does not show again
/// those that came during this call.
///
/// Threads: one at a time drives a queue; it does nothing while another thread does so. Functions of the program that the
/// library calls for its work (hangup_client_set_trace and others) may be called on this thread; called by one of them, it does
/// nothing.
///
/// Fails: HANGUP_INVALID_STATE before hangup_queue_drive_fd; HANGUP_FORKED in the child of a fork; HANGUP_NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hangup_queue_drive(queue: *mut hangup_queue) -> hangup_status {
    status(|| unsafe { hangup_queue::borrow(queue)? }.drive())
}

/// Closes the queue: a wait in hangup_queue_next ends, nothing more can be submitted to it, and when all completions were
/// taken, that function returns HANGUP_CLOSED. Work in progress still arrives. From any thread; never blocks. Can be called
/// again.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hangup_queue_close(queue: *const hangup_queue) -> hangup_status {
    status(|| {
        unsafe { hangup_queue::borrow(queue)? }.close();
        Ok(())
    })
}

/// Frees a queue. Work in progress is not cancelled; responses that can't be taken any more are closed. NULL does nothing.
/// Never blocks.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hangup_queue_free(queue: *mut hangup_queue) {
    unsafe { hangup_queue::free(queue) }
}

/// Sends a request in the background, as hangup_client_send does, with the client's settings as they are now. The outcome
/// arrives in the queue as HANGUP_COMPLETION_TYPE_RESPONSE with this tag: after the response head, or after the last byte of the
/// body if the request asked for that (hangup_request_set_buffer_body). HANGUP_OK means that there will be exactly one
/// completion, also after a cancel or a shutdown; any other status means that there will be none.
///
/// Never blocks. Client, request and queue can be used and freed at once. The request can be changed and submitted again,
/// unless its body comes from a reader, which is sent once. Such a reader may block without delaying other requests: it runs
/// on a thread of its own. If that can't be started, the outcome is HANGUP_SYSTEM.
///
/// Fails: HANGUP_INVALID_STATE for a body that was sent already, or while another thread uses the request; HANGUP_CLOSED for a
/// closed queue; HANGUP_FORKED for a queue of the parent process. All other failures arrive in the queue.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hangup_client_submit(
    client: *mut hangup_client,
    request: *mut hangup_request,
    queue: *mut hangup_queue,
    tag: u64,
    error: *mut *mut hangup_error,
) -> hangup_status {
    guard(error, || {
        let client = unsafe { hangup_client::borrow(client)? };
        let request = unsafe { hangup_request::borrow(request)? };
        let (queue, _place) = submitter(unsafe { hangup_queue::borrow(queue)? })?;
        let request = lock_request(request)?.take()?;
        client.submit_with(request, move |outcome| {
            queue.put(Completion { tag, outcome: Outcome::Response(outcome) });
        });
        Ok(())
    })
}

/// Downloads a file in the background, as hangup_client_download does, with the client's settings as they are now. The outcome
/// arrives in the queue as HANGUP_COMPLETION_TYPE_RESPONSE with this tag, when the file is there. HANGUP_OK means that there will
/// be exactly one completion; any other status means that there will be none. Never blocks: threads of the library write the
/// file. A cancel during a write takes effect after that.
///
/// Fails: as hangup_client_submit; HANGUP_INVALID_ARGUMENT for a negative number in the options. All other failures arrive in the
/// queue.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hangup_client_submit_download(
    client: *mut hangup_client,
    request: *mut hangup_request,
    path: *const c_char,
    options: *const hangup_download_options,
    queue: *mut hangup_queue,
    tag: u64,
    error: *mut *mut hangup_error,
) -> hangup_status {
    guard(error, || {
        let client = unsafe { hangup_client::borrow(client)? };
        let request = unsafe { hangup_request::borrow(request)? };
        let (queue, _place) = submitter(unsafe { hangup_queue::borrow(queue)? })?;
        let (path, options) = unsafe { (text(path, "path")?, download::read(options)?) };
        let request = lock_request(request)?.take()?;
        client.submit_download_with(request, path, &options, move |outcome| {
            queue.put(Completion { tag, outcome: Outcome::Response(outcome) });
        });
        Ok(())
    })
}

/// Reads a piece of the body in the background. The outcome arrives in the queue as HANGUP_COMPLETION_TYPE_READ with this tag:
/// at least one byte, at most `at_most` and at most 262,144, in `data`; no bytes at the end of the body.
///
/// The read is in progress until its completion was taken from the queue; until then other reads of the response return
/// HANGUP_INVALID_STATE. hangup_response_close and hangup_response_free end it; its completion is then HANGUP_CLOSED, unless
/// it had failed before. HANGUP_OK means that there will be exactly one completion; any other status means none.
///
/// Never blocks. Taking the completion uses the response: another thread must not free that meanwhile.
///
/// Fails: HANGUP_INVALID_STATE while another read is in progress, or after the response was closed; HANGUP_INVALID_ARGUMENT
/// for 0 bytes; HANGUP_CLOSED for a closed queue; HANGUP_FORKED for a queue or response of the parent process. All other
/// failures arrive in the queue.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hangup_response_submit_read(
    response: *mut hangup_response,
    at_most: usize,
    queue: *mut hangup_queue,
    tag: u64,
    error: *mut *mut hangup_error,
) -> hangup_status {
    guard(error, || {
        let opened = unsafe { hangup_response::borrow(response)? };
        let (queue, _place) = submitter(unsafe { hangup_queue::borrow(queue)? })?;
        let response = Arc::downgrade(opened);
        opened.begin_read(at_most, move |piece| {
            let read = ReadCompletion { response, piece: Some(piece) };
            queue.put(Completion { tag, outcome: Outcome::Read(read) });
        })
    })
}

/// Reads from a stream in the background. The outcome arrives in the queue as HANGUP_COMPLETION_TYPE_STREAM_READ with this
/// tag: at least one byte, at most `at_most` and at most 262,144, in `data`; no bytes if the peer ended its direction.
///
/// Fails: HANGUP_INVALID_STATE while another read is in progress; what ended the stream; HANGUP_INVALID_ARGUMENT for 0 bytes;
/// HANGUP_CLOSED for a closed queue; HANGUP_FORKED. All other failures arrive in the queue. HANGUP_OK means that there will be
/// exactly one completion; any other status means none. Never blocks. Taking the completion uses the stream: another thread must
/// not free its last handle meanwhile. A completion that is dropped with its queue closes the stream.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hangup_stream_submit_read(
    stream: *mut hangup_stream,
    at_most: usize,
    queue: *mut hangup_queue,
    tag: u64,
    error: *mut *mut hangup_error,
) -> hangup_status {
    guard(error, || {
        let opened = unsafe { hangup_stream::borrow(stream)? };
        let (queue, _place) = submitter(unsafe { hangup_queue::borrow(queue)? })?;
        let stream = Arc::downgrade(opened);
        opened.stream.submit_read(at_most, move |read| {
            let read = StreamReadCompletion { stream, read: Some(read) };
            queue.put(Completion { tag, outcome: Outcome::StreamRead(read) });
        })
    })
}

/// Sends a copy of `size` bytes at `data` to a stream in the background. The outcome arrives in the queue as
/// HANGUP_COMPLETION_TYPE_STREAM_WRITE with this tag, when all were sent. The stream holds at most one such write: submit the next
/// one when its completion was taken.
///
/// Fails: HANGUP_INVALID_STATE while another write is in progress; what ended the stream; HANGUP_CLOSED for a closed queue;
/// HANGUP_FORKED. All other failures arrive in the queue. HANGUP_OK means that there will be exactly one completion; any other
/// status means none. Never blocks.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hangup_stream_submit_write(
    stream: *mut hangup_stream,
    data: *const u8,
    size: usize,
    queue: *mut hangup_queue,
    tag: u64,
    error: *mut *mut hangup_error,
) -> hangup_status {
    guard(error, || {
        let opened = unsafe { hangup_stream::borrow(stream)? };
        let data = unsafe { bytes(data, size, "data")? }.to_vec();
        let (queue, _place) = submitter(unsafe { hangup_queue::borrow(queue)? })?;
        opened.stream.submit_write(data, move |wrote| {
            queue.put(Completion { tag, outcome: Outcome::StreamWrite(wrote) });
        })
    })
}

/// hangup_stream_shutdown_write in the background. The outcome arrives in the queue as HANGUP_COMPLETION_TYPE_STREAM_WRITE with
/// this tag. In TLS, the end may have to wait for room in the socket; without TLS it never waits.
///
/// Fails: as hangup_stream_submit_write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hangup_stream_submit_shutdown_write(
    stream: *mut hangup_stream,
    queue: *mut hangup_queue,
    tag: u64,
    error: *mut *mut hangup_error,
) -> hangup_status {
    guard(error, || {
        let opened = unsafe { hangup_stream::borrow(stream)? };
        let (queue, _place) = submitter(unsafe { hangup_queue::borrow(queue)? })?;
        opened.stream.submit_shutdown_write(move |ended| {
            queue.put(Completion { tag, outcome: Outcome::StreamWrite(ended) });
        })
    })
}

/// Writes all of these bytes, which are copied, in the background. The outcome arrives in the queue as
/// HANGUP_COMPLETION_TYPE_UPLOAD_WRITE with this tag, when the last byte is in the buffer, or when the exchange has failed. Until then
/// other writes return HANGUP_INVALID_STATE. HANGUP_OK means that there will be exactly one completion; any other status means
/// none.
///
/// Never blocks. If no exchange begins to send the body, there is no outcome before the request and the upload are freed.
///
/// Fails: as hangup_upload_try_write; HANGUP_CLOSED for a closed queue.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hangup_upload_submit_write(
    upload: *mut hangup_upload,
    data: *const u8,
    size: usize,
    queue: *mut hangup_queue,
    tag: u64,
    error: *mut *mut hangup_error,
) -> hangup_status {
    guard(error, || {
        let upload = unsafe { hangup_upload::borrow(upload)? };
        let data = unsafe { bytes(data, size, "body")? };
        let (queue, _place) = submitter(unsafe { hangup_queue::borrow(queue)? })?;
        let _writing = upload.enter()?;
        upload.writer.begin_write(data.to_vec(), move |wrote| {
            queue.put(Completion { tag, outcome: Outcome::UploadWrite(wrote) });
        })
    })
}

/// The number of threads of the library that do submitted work, in the whole process: 1 to 64. Default: 1, which is enough for
/// thousands of requests unless their TLS or decoding keeps it busy. After this call, also with 1, waiting threads never do
/// the work (hangup_queue_set_caller_runs). The number applies to what is submitted later: surplus threads end when their
/// work has ended.
///
/// Fails: HANGUP_INVALID_ARGUMENT.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hangup_set_io_threads(
    count: usize,
    error: *mut *mut hangup_error,
) -> hangup_status {
    guard(error, || set_io_threads(count))
}

/// The sending end for one submission, and where its work is spawned meanwhile.
fn submitter(queue: &Queue<Completion>) -> Result<(QueueSender<Completion>, Place), Error> {
    Ok((queue.sender()?, queue.place()))
}

impl Completion {
    /// The structure that C gets, which owns its response and error.
    fn row(self) -> hangup_completion {
        let mut row = hangup_completion {
            size: size_of::<hangup_completion>(),
            tag: self.tag,
            response: std::ptr::null_mut(),
            error: std::ptr::null_mut(),
            data: std::ptr::null(),
            data_size: 0,
            r#type: match &self.outcome {
                Outcome::Response(_) => CompletionType::Response.into(),
                Outcome::Read(_) => CompletionType::Read.into(),
                Outcome::StreamRead(_) => CompletionType::StreamRead.into(),
                Outcome::StreamWrite(_) => CompletionType::StreamWrite.into(),
                Outcome::UploadWrite(_) => CompletionType::UploadWrite.into(),
            },
            status: hangup_status::OK,
        };
        let lent = match self.outcome {
            Outcome::Response(outcome) => outcome.map(|response| {
                let data = response.buffered().map(borrowed);
                row.response = hangup_response::begin(response);
                data
            }),
            Outcome::Read(read) => read.arrive(),
            Outcome::StreamRead(read) => read.arrive(),
            Outcome::StreamWrite(outcome) | Outcome::UploadWrite(outcome) => outcome.map(|()| None),
        };
        match lent {
            Ok(Some(lent)) => (row.data, row.data_size) = lent,
            Ok(None) => {}
            Err(error) => {
                row.status = error.kind().into();
                row.error = hangup_error::begin(error);
            }
        }
        row
    }
}

impl ReadCompletion {
    /// Gives what was read to its response; the bytes are borrowed from that.
    fn arrive(mut self) -> Result<Option<(*const u8, usize)>, Error> {
        match (self.piece.take(), self.response.upgrade()) {
            (Some(piece), Some(opened)) => opened.finish_read(piece).map(Some),
            (Some(piece), None) => Err(piece.closed_error()),
            (None, _) => Ok(None),
        }
    }
}

impl StreamReadCompletion {
    /// Gives what was read to its stream; the bytes are borrowed from that.
    fn arrive(mut self) -> Result<Option<(*const u8, usize)>, Error> {
        let Some(read) = self.read.take() else { return Ok(None) };
        let read = read?;
        self.stream.upgrade().map(|opened| Some(opened.lend(read))).ok_or_else(stream::freed)
    }
}

impl Drop for StreamReadCompletion {
    fn drop(&mut self) {
        if self.read.is_some()
            && let Some(opened) = self.stream.upgrade()
        {
            opened.stream.close();
        }
    }
}

impl Drop for ReadCompletion {
    fn drop(&mut self) {
        if self.piece.is_some()
            && let Some(opened) = self.response.upgrade()
        {
            opened.abandon_read();
        }
    }
}
