//! `hangup_queue`: thousands of requests from one thread, and what became of each.

use std::mem::offset_of;
use std::sync::{Arc, Weak};
use std::time::Duration;

use super::client::hangup_client;
use super::enums::{hangup_completion_type, hangup_status};
use super::error::hangup_error;
use super::guard::{Handle, Report, guard, magic, or_default, report, room_in, status};
use super::milliseconds::limit_ms;
use super::request::{hangup_request, lock as lock_request};
use super::response::{Opened, borrowed, hangup_response};
use crate::error::Error;
use crate::queue::Queue;
use crate::response::{Piece, Response};
use crate::threads::set_io_threads;
use crate::vocabulary::{CompletionType, Kind};

/// A completion queue: where the outcomes of submitted requests and reads arrive, each exactly once, in the order in
/// which they became known.
///
/// Begins: hangup_queue_new. Can: _fd, _next, _close; be given to hangup_client_submit and hangup_response_submit_read,
/// for as many as you like. Ends: hangup_queue_free; what is under way then goes on until it is over (fire its cancel
/// tokens to end it), and what it brings is closed. In the child of a fork it answers HANGUP_FORKED: make a new one
/// there.
/// Threads: any thread at any time; many may wait at once, and each completion goes to one of them.
pub struct hangup_queue {
    _opaque: [u8; 0],
}

impl Handle for hangup_queue {
    type Target = Queue<Completed>;
    const MAGIC: u64 = magic(b"hang-que");
}

/// What became of something that was submitted.
pub struct Completed {
    tag: u64,
    what: What,
}

enum What {
    Response(Result<Response, Error>),
    Read(Returning),
}

/// What a read brings back to its response. A response that was freed meanwhile takes nothing back; one whose read
/// nobody takes any more is closed, as part of its body is lost.
struct Returning {
    whose: Weak<Opened>,
    piece: Option<Piece>,
}

/// One outcome. Begin it with HANGUP_COMPLETION_INIT.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct hangup_completion {
    /// In: sizeof the structure; 0 is its layout in version 0.1. Out: how much of it was filled.
    pub size: usize,
    /// What was given when it was submitted.
    pub tag: u64,
    /// The response of a request that went well: yours, to be freed. NULL for all others.
    pub response: *mut hangup_response,
    /// What went wrong: yours, to be freed. NULL if `status` is HANGUP_OK.
    pub error: *mut hangup_error,
    /// The piece that was read, or the whole body if the request asked for it (hangup_request_set_buffer_body): borrowed from the
    /// response until its next read or its end. NULL if there are no bytes.
    pub data: *const u8,
    /// How many bytes these are. 0 of a read that went well is the end of the body.
    pub data_size: usize,
    /// What was completed: one of HANGUP_COMPLETION_TYPE_*.
    pub what: hangup_completion_type,
    /// How it ended: one of `hangup_status`.
    pub status: hangup_status,
}

// SAFETY: `repr(C)`, `size` first, and no padding: the fields of 64 bits come before pairs of 32.
unsafe impl Report for hangup_completion {
    const FIRST: usize = offset_of!(hangup_completion, status) + size_of::<i32>();
}

/// A queue. To be freed with hangup_queue_free. NULL only if the process has no free descriptor.
#[unsafe(no_mangle)]
pub extern "C" fn hangup_queue_new() -> *mut hangup_queue {
    or_default(std::ptr::null_mut(), || {
        let queue = Queue::new().map_err(|error| {
            Error::from_os(Kind::System, "no descriptor for a completion queue", &error)
        })?;
        Ok(hangup_queue::give(Arc::new(queue)))
    })
}

/// A descriptor that is readable while there is a completion to take, and after hangup_queue_close: for poll(2),
/// epoll(7) or any event loop. It is never readable for nothing; what completes together makes it readable once, which
/// may be a moment after the first of them can be taken. When it is, call hangup_queue_next with 0 until it answers
/// HANGUP_TIMED_OUT. It is to be polled only; it is closed with the queue. -1 for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hangup_queue_fd(queue: *const hangup_queue) -> i32 {
    or_default(-1, || Ok(unsafe { hangup_queue::borrow(queue)? }.descriptor()))
}

/// Takes the oldest completion; waits for one, at most `timeout_ms` milliseconds. 0 does not wait, HANGUP_NO_LIMIT waits
/// for as long as it takes. `completion->size` is sizeof(*completion) or 0. Its `response` and `error` are the caller's
/// from then on.
///
/// The status of this call says whether a completion was taken; how that ended stands in `completion->status`.
///
/// The wait is one in poll(2), and the work is done by the library's threads; hangup_queue_set_caller_runs has the waiting
/// thread do it.
///
/// Fails: HANGUP_TIMED_OUT if nothing came in that time, and nothing is lost by that; HANGUP_CLOSED after
/// hangup_queue_close, when all that came was taken; HANGUP_CANCELLED if the thread's interrupt check ended the wait;
/// HANGUP_INVALID_TIMEOUT for another negative number; HANGUP_INVALID_ARGUMENT for a structure that is too small to hold
/// it, and nothing is taken then; HANGUP_FORKED in the child of a fork; HANGUP_SYSTEM.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hangup_queue_next(
    queue: *mut hangup_queue,
    timeout_ms: i64,
    completion: *mut hangup_completion,
) -> hangup_status {
    status(|| {
        let queue = unsafe { hangup_queue::borrow(queue)? };
        // First the place: what was taken can't be put back, and what is cut off would be lost.
        if unsafe { room_in(completion)? } < size_of::<hangup_completion>() {
            let what = "the completion's size field is too small: set it to sizeof(*completion)";
            return Err(Error::new(Kind::InvalidArgument, what));
        }
        let limit = match timeout_ms {
            0 => Some(Duration::ZERO),
            ms => limit_ms(ms)?,
        };
        let completed = queue.next(limit)?;
        let completed = completed
            .ok_or_else(|| Error::new(Kind::TimedOut, "nothing was completed in that time"))?;
        unsafe { report(completion, completed.row()) }
    })
}

/// With 1, a thread that waits in hangup_queue_next for this queue may do the work itself meanwhile, which spares waking
/// it for each completion; 0 is the default.
///
/// It does the work if it is the only one to wait for what is under way in the process, and hangup_set_io_threads was not
/// called. When it is away with a completion for more than one to four milliseconds, the library's thread goes on.
///
/// That work runs on stacks of its own (256 KiB each), and signals are not held back. Leave it at 0 in a program with a
/// signal handler that looks at the stack of the thread that it interrupts, or uses much of it without SA_ONSTACK:
/// garbage collectors that stop threads by a signal are among these (D, Boehm's, which Guile has, SBCL), and some
/// profilers.
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

/// Ends a wait in hangup_queue_next, and every later one: from now on it answers HANGUP_CLOSED when there is no more to
/// take, and nothing more can be submitted to it. What is under way still arrives. From any thread; never blocks. Twice
/// is once.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hangup_queue_close(queue: *const hangup_queue) -> hangup_status {
    status(|| {
        unsafe { hangup_queue::borrow(queue)? }.close();
        Ok(())
    })
}

/// Frees a queue. What is under way is not cancelled; responses that nobody can take any more are closed. NULL is a
/// no-op. Never blocks.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hangup_queue_free(queue: *mut hangup_queue) {
    unsafe { hangup_queue::free(queue) }
}

/// Sends a request in the background, as hangup_client_send does, with the client's settings as they are now. The
/// outcome arrives at the queue as HANGUP_COMPLETION_TYPE_RESPONSE with this tag: at the response head, or with the body's
/// last byte if the request says so (hangup_request_set_buffer_body). HANGUP_OK means that there will be exactly one completion,
/// whatever happens, a cancel or a shutdown included; any other status means that there will be none.
///
/// Never blocks. Client, request and queue can be used and freed at once; the request can be changed and submitted
/// again, but for a body that comes from a reader, which is sent once. That reader may block without holding up anybody
/// else: it has a thread of its own meanwhile. If the system makes none, the outcome is HANGUP_SYSTEM.
///
/// Fails: HANGUP_INVALID_STATE for such a body, or while another thread uses the request; HANGUP_CLOSED for a queue that
/// was closed; HANGUP_FORKED for a queue of the parent process. All else arrives at the queue.
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
        let queue = unsafe { hangup_queue::borrow(queue)? }.sender()?;
        let request = lock_request(request)?.take()?;
        client.submit_with(request, move |outcome| {
            queue.put(Completed { tag, what: What::Response(outcome) });
        });
        Ok(())
    })
}

/// Reads a piece of the body in the background. The outcome arrives at the queue as HANGUP_COMPLETION_TYPE_READ with this
/// tag: at least one byte, at most `at_most` and at most 65,536, in `data`; or no bytes, which is the end.
///
/// Until that completion was taken from the queue the read is under way: other reads of the response answer
/// HANGUP_INVALID_STATE. hangup_response_close and hangup_response_free end it; its completion then is HANGUP_CLOSED,
/// unless it had failed before. HANGUP_OK means exactly one completion; any other status means none.
///
/// Never blocks. Whoever takes that completion uses the response: it must not be freed by another thread meanwhile.
///
/// Fails: HANGUP_INVALID_STATE while another read is under way, or after the response was closed;
/// HANGUP_INVALID_ARGUMENT for 0 bytes; HANGUP_CLOSED for a queue that was closed; HANGUP_FORKED for what is the parent
/// process's. All else arrives at the queue.
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
        let queue = unsafe { hangup_queue::borrow(queue)? }.sender()?;
        let whose = Arc::downgrade(opened);
        opened.begin_read(at_most, move |piece| {
            let returning = Returning { whose, piece: Some(piece) };
            queue.put(Completed { tag, what: What::Read(returning) });
        })
    })
}

/// How many threads of the library do what is submitted, in the whole process: 1 to 64. One is enough for thousands of
/// requests, unless their TLS or decoding keeps it busy. Default one. From this call on, 1 included, no waiting thread does
/// the work (hangup_queue_set_caller_runs). The number applies to what is submitted from then on: surplus threads end, with
/// their descriptors, as soon as what they have under way has ended.
///
/// Fails: HANGUP_INVALID_ARGUMENT.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hangup_set_io_threads(
    count: usize,
    error: *mut *mut hangup_error,
) -> hangup_status {
    guard(error, || set_io_threads(count))
}

impl Completed {
    /// As C gets it: what is owned in it is the caller's from here on.
    fn row(self) -> hangup_completion {
        let mut row = hangup_completion {
            size: size_of::<hangup_completion>(),
            tag: self.tag,
            response: std::ptr::null_mut(),
            error: std::ptr::null_mut(),
            data: std::ptr::null(),
            data_size: 0,
            what: match &self.what {
                What::Response(_) => CompletionType::Response.into(),
                What::Read(_) => CompletionType::Read.into(),
            },
            status: hangup_status::OK,
        };
        let lent = match self.what {
            What::Response(outcome) => outcome.map(|response| {
                let data = response.buffered().map(borrowed);
                row.response = hangup_response::begin(response);
                data
            }),
            What::Read(returning) => returning.arrive(),
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

impl Returning {
    /// What was read, borrowed from its response.
    fn arrive(mut self) -> Result<Option<(*const u8, usize)>, Error> {
        match (self.piece.take(), self.whose.upgrade()) {
            (Some(piece), Some(opened)) => opened.finish_read(piece).map(Some),
            (Some(piece), None) => Err(piece.closed_error()),
            (None, _) => Ok(None),
        }
    }
}

impl Drop for Returning {
    fn drop(&mut self) {
        if self.piece.is_some()
            && let Some(opened) = self.whose.upgrade()
        {
            opened.give_up();
        }
    }
}
