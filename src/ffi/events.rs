//! `hangup_events`: a subscription to what happens to connections.

use std::ffi::{CString, c_char};
use std::mem::offset_of;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use super::enums::{
    hangup_close_reason, hangup_event_type, hangup_phase, hangup_retry_reason, hangup_status,
};
use super::error::hangup_error;
use super::guard::{
    Handle, Report, guard, lock_for_one_thread, magic, or_default, out, report, status, struct_size,
};
use super::manager::hangup_manager;
use super::milliseconds::wait_ms;
use crate::error::Error;
use crate::manager::{Event, EventKind, Events, EventsCloser};
use crate::vocabulary::{Kind, Phase};

/// A subscription to a manager's events: everything that happens to its connections from then on, in order. Events are
/// recorded only while there is a subscription.
///
/// Create: hangup_manager_events. Use: hangup_events_*. It keeps the manager alive. In the child of a fork its functions
/// return HANGUP_FORKED.
/// Free: hangup_events_free.
/// Threads: one thread at a time; a second one gets HANGUP_INVALID_STATE. hangup_events_lost, hangup_events_fd and
/// hangup_events_close: any thread at any time.
pub struct hangup_events {
    _opaque: [u8; 0],
}

/// What a handle points to.
pub struct EventsHandle {
    inner: Mutex<Inner>,
    lost: AtomicU64,
    descriptor: i32,
    closer: EventsCloser,
}

/// The events, and the string that `hangup_events_origin` lends.
struct Inner {
    events: Events,
    origin: CString,
}

impl Handle for hangup_events {
    type Target = EventsHandle;
    const MAGIC: u64 = magic(b"hang-evt");
}

/// One event. Initialise it with HANGUP_EVENT_INIT. hangup_events_origin returns its origin.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct hangup_event {
    /// In: sizeof the structure; 0 is its layout in version 0.1. Out: how much of it was filled.
    pub size: usize,
    /// Consecutive in a manager: a gap is the number of lost events.
    pub number: u64,
    /// When it happened: nanoseconds since the manager's first subscription, on a monotonic clock.
    pub at_ns: i64,
    /// The connection; 0 if there is none.
    pub connection: u64,
    /// The duration of the phase in nanoseconds (HANGUP_EVENT_TYPE_PHASE); -1 for all others.
    pub took_ns: i64,
    /// What happened.
    pub r#type: hangup_event_type,
    /// Why it was closed (HANGUP_EVENT_TYPE_CLOSED); 0 for all others.
    pub reason: hangup_close_reason,
    /// Which phase (HANGUP_EVENT_TYPE_PHASE); HANGUP_PHASE_NONE for all others.
    pub phase: hangup_phase,
    /// Always 0.
    pub reserved: i32,
    /// The delay before the request is sent again, in nanoseconds (HANGUP_EVENT_TYPE_RETRIED); -1 for all others.
    pub delay_ns: i64,
    /// Why it is sent again (HANGUP_EVENT_TYPE_RETRIED); 0 for all others.
    pub retry_reason: hangup_retry_reason,
    /// Always 0.
    pub reserved_2: i32,
}

// SAFETY: `repr(C)`, `size` first, and no padding: the fields of 64 bits come before pairs of 32.
unsafe impl Report for hangup_event {
    const FIRST: usize = offset_of!(hangup_event, reserved_2) + size_of::<i32>();
}

/// Subscribes to the manager's events. At most `capacity` unread events are kept; the oldest are lost first. All
/// subscriptions of a manager share one buffer, of the largest capacity that was requested.
///
/// Fails: HANGUP_INVALID_ARGUMENT for a capacity of 0; HANGUP_SYSTEM if no descriptor is free.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hangup_manager_events(
    manager: *mut hangup_manager,
    capacity: usize,
    events: *mut *mut hangup_events,
    error: *mut *mut hangup_error,
) -> hangup_status {
    guard(error, || {
        let place = unsafe { out(events)? };
        let events = unsafe { hangup_manager::borrow(manager)? }.events(capacity)?;
        *place = hangup_events::into_raw(Arc::new(EventsHandle {
            descriptor: events.descriptor(),
            closer: events.closer(),
            lost: AtomicU64::new(0),
            inner: Mutex::new(Inner { events, origin: CString::default() }),
        }));
        Ok(())
    })
}

/// Reads the next event, or waits for one, at most `timeout_ms` milliseconds. 0 does not wait; HANGUP_NO_LIMIT waits without
/// limit. `event->size` is sizeof(*event) or 0.
///
/// Fails: HANGUP_TIMED_OUT if there was no event in that time; HANGUP_CLOSED after hangup_events_close, when all events were
/// read; HANGUP_CANCELLED if the thread's interrupt check ended the wait; HANGUP_INVALID_TIMEOUT for another negative number;
/// HANGUP_INVALID_STATE while another thread is in this call; HANGUP_FORKED in the child of a fork; HANGUP_SYSTEM. No event is
/// lost by a failure.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hangup_events_next(
    events: *mut hangup_events,
    timeout_ms: i64,
    event: *mut hangup_event,
) -> hangup_status {
    status(|| {
        let handle = unsafe { hangup_events::borrow(events)? };
        // The structure is checked first: an event that was read can't be put back.
        unsafe { struct_size(event)? };
        let limit = wait_ms(timeout_ms)?;
        let mut inner = handle.lock()?;
        let next = inner.events.next(limit)?;
        handle.lost.store(inner.events.lost(), Ordering::Relaxed);
        let next =
            next.ok_or_else(|| Error::new(Kind::TimedOut, "nothing happened in that time"))?;
        unsafe { report(event, row_of(&next))? };
        inner.origin = CString::new(next.origin).unwrap_or_default();
        Ok(())
    })
}

/// The origin of the last event that was read, for example "https://example.org:443"; "" before the first one, and for an
/// event that concerns no origin. Borrowed until
/// the next call of hangup_events_next.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hangup_events_origin(events: *const hangup_events) -> *const c_char {
    or_default(c"".as_ptr(), || {
        Ok(unsafe { hangup_events::borrow(events)? }.lock()?.origin.as_ptr())
    })
}

/// How many events were lost before the last one that was read, because they were not read in time. 0 for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hangup_events_lost(events: *const hangup_events) -> u64 {
    or_default(0, || Ok(unsafe { hangup_events::borrow(events)? }.lost.load(Ordering::Relaxed)))
}

/// A descriptor that is readable while there is an event to read, for poll(2), epoll(7) or any event loop. When it is, call
/// hangup_events_next with a timeout of 0 until it returns HANGUP_TIMED_OUT. Only poll it; it is closed with the subscription.
/// -1 for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hangup_events_fd(events: *const hangup_events) -> i32 {
    or_default(-1, || Ok(unsafe { hangup_events::borrow(events)? }.descriptor))
}

/// Ends the subscription: a wait in hangup_events_next ends, and when all events were read, that function returns
/// HANGUP_CLOSED. From any thread; never blocks. Can be called again.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hangup_events_close(events: *const hangup_events) -> hangup_status {
    status(|| {
        unsafe { hangup_events::borrow(events)? }.closer.close();
        Ok(())
    })
}

/// Frees a subscription. NULL does nothing. Never blocks.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hangup_events_free(events: *mut hangup_events) {
    unsafe { hangup_events::free(events) }
}

impl EventsHandle {
    /// Fails while another thread reads events.
    fn lock(&self) -> Result<MutexGuard<'_, Inner>, Error> {
        lock_for_one_thread(&self.inner, "these events are read by another thread right now")
    }
}

fn row_of(event: &Event) -> hangup_event {
    let ns = |time: Duration| i64::try_from(time.as_nanos()).unwrap_or(i64::MAX);
    let (mut reason, mut phase, mut took_ns) = (hangup_close_reason::NONE, Phase::None.into(), -1);
    let (mut retry_reason, mut delay_ns) = (hangup_retry_reason::NONE, -1);
    match event.kind {
        EventKind::Closed(why) => reason = why.into(),
        EventKind::Retried(why, delay) => (retry_reason, delay_ns) = (why.into(), ns(delay)),
        EventKind::Phase(over, took) => (phase, took_ns) = (over.into(), ns(took)),
        _ => {}
    }
    hangup_event {
        size: size_of::<hangup_event>(),
        number: event.number,
        at_ns: ns(event.at),
        connection: event.connection,
        took_ns,
        r#type: event.kind.event_type().into(),
        reason,
        phase,
        reserved: 0,
        delay_ns,
        retry_reason,
        reserved_2: 0,
    }
}
