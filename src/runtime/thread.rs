//! The thread form: poll(2) on the caller's own thread.
//!
//! poll and not SO_RCVTIMEO, which fires up to 240 ms late at 4 s (kernel timer wheel) and can't
//! watch a second descriptor. A signal ends poll with EINTR, whatever SA_RESTART says
//! (signal(7)): that is where Ctrl-C gets in.

#![allow(unsafe_code)] // System calls.

use std::cell::{Cell, RefCell};
use std::io;
use std::os::fd::RawFd;
use std::time::{Duration, Instant};

use super::{Interest, Notify, PollEntry, WaitFor, WaitUntil, Waiter, WakeReason};

/// Asked when a signal interrupted a wait of this thread. Answers whether the call shall end.
pub(crate) struct InterruptCheck {
    /// Ask this often as well, for signals that were delivered to another thread.
    pub(crate) tick: Option<Duration>,
    pub(crate) ask: Box<dyn Fn() -> bool>,
}

/// Sets the calling thread's check, or takes it away.
pub(crate) fn set_interrupt_check(check: Option<InterruptCheck>) {
    // A thread that is ending has no check any more and needs none.
    let _ = CHECK.try_with(|slot| slot.replace(check));
}

thread_local! {
    static CHECK: RefCell<Option<InterruptCheck>> = const { RefCell::new(None) };
    /// When work that did not wait asked it last.
    static ASKED: Cell<Option<Instant>> = const { Cell::new(None) };
}

/// How often work that does not wait asks a check without a tick: no wait is interrupted meanwhile.
const WORK_TICK: Duration = Duration::from_millis(100);

pub(crate) struct ThreadWaiter;

impl Waiter for ThreadWaiter {
    fn wait(&self, want: WaitFor<'_>, until: WaitUntil) -> io::Result<WakeReason> {
        let mut fds = [descriptor(&want), pollfd(-1, 0)];
        let woken = match want.notify {
            // One descriptor: the second is not there.
            None => poll(&mut fds[..1], until)?,
            Some(notify) => poll_beside(notify, &mut fds, until)?,
        };
        Ok(woken.unwrap_or_else(|| what_happened(&fds[0])))
    }

    fn wait_any(
        &self,
        fds: &mut [PollEntry<'_>],
        notify: &Notify,
        until: WaitUntil,
    ) -> io::Result<WakeReason> {
        let mut polled = all(fds);
        polled.push(pollfd(-1, 0));
        if let Some(woken) = poll_beside(notify, &mut polled, until)? {
            return Ok(woken);
        }
        for (one, seen) in fds.iter_mut().zip(&polled) {
            one.ready = seen.revents != 0;
        }
        Ok(WakeReason::Ready { read: true, write: true })
    }
}

/// Waits for any of these, and for the event in place of the last; `None`: it is in the `revents` of
/// the others what happened. The event is told before what is ready.
fn poll_beside(
    notify: &Notify,
    fds: &mut [libc::pollfd],
    mut until: WaitUntil,
) -> io::Result<Option<WakeReason>> {
    let last = fds.len() - 1;
    let beside = fds[..last].iter().any(|fd| fd.fd >= 0);
    loop {
        let Some(polls) = notify.polls(beside)? else { return Ok(Some(WakeReason::Notified)) };
        fds[last] = pollfd(polls.fd(), libc::POLLIN);
        let woken = poll(fds, until)?;
        if woken.is_some() {
            return Ok(woken);
        }
        // Its descriptor may have been readable for another one's event.
        if fds[last].revents != 0 && polls.is_for(notify) {
            return Ok(Some(WakeReason::Notified));
        }
        drop(polls);
        if fds[..last].iter().any(|fd| fd.revents != 0) {
            return Ok(None);
        }
        until = until.later();
        if until.has_come() {
            return Ok(Some(WakeReason::Deadline));
        }
    }
}

/// Waits for any of these; `None`: it is in their `revents` what happened.
fn poll(fds: &mut [libc::pollfd], mut until: WaitUntil) -> io::Result<Option<WakeReason>> {
    let tick = tick();
    loop {
        let left = until.at.map(|at| at.saturating_duration_since(until.now));
        let nap = match (left, tick) {
            (Some(left), Some(tick)) => Some(left.min(tick)),
            (left, tick) => left.or(tick),
        };
        // SAFETY: valid pollfd structures, as many as are said; an unused one has fd -1 (poll(2):
        // ignored).
        let ready = unsafe { libc::poll(fds.as_mut_ptr(), fds.len() as _, milliseconds(nap)) };
        let interrupted = if ready < 0 {
            let error = io::Error::last_os_error();
            if error.kind() != io::ErrorKind::Interrupted {
                return Err(error);
            }
            true
        } else {
            ready == 0 && tick.is_some()
        };
        if ready > 0 {
            return Ok(None);
        }
        if interrupted && wants_an_end() {
            return Ok(Some(WakeReason::Interrupted));
        }
        until = until.later();
        if until.has_come() {
            return Ok(Some(WakeReason::Deadline));
        }
    }
}

/// When this thread's check is to be asked though no signal interrupted the wait.
pub(super) fn tick_at() -> Option<Instant> {
    tick().map(|tick| Instant::now() + tick)
}

fn tick() -> Option<Duration> {
    with_check(|check| check.tick).flatten()
}

/// Whether the call shall end: this thread's check says so.
pub(super) fn wants_an_end() -> bool {
    with_check(|check| (check.ask)()) == Some(true)
}

/// As [`wants_an_end`], but asks no more often than the check's tick, for work that asks often.
pub(super) fn wants_an_end_by_now() -> bool {
    let tick = tick().unwrap_or(WORK_TICK);
    let now = Instant::now();
    // A thread that is ending has no check any more and needs none.
    let asked = ASKED.try_with(Cell::get).ok().flatten();
    if asked.is_some_and(|asked| now.saturating_duration_since(asked) < tick) {
        return false;
    }
    let _ = ASKED.try_with(|asked| asked.set(Some(now)));
    wants_an_end()
}

/// Whether this thread has a check.
pub(super) fn has_check() -> bool {
    with_check(|_| ()).is_some()
}

/// Marks those that are ready; `false` if none is. Doesn't wait. A failure is an error: the kernel
/// reports only once that a descriptor became ready, so a later call would not see it.
pub(super) fn mark_ready(fds: &mut [PollEntry<'_>]) -> io::Result<bool> {
    let mut polled = all(fds);
    // SAFETY: as many valid pollfd structures as are said.
    while unsafe { libc::poll(polled.as_mut_ptr(), polled.len() as libc::nfds_t, 0) } < 0 {
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
    for (one, seen) in fds.iter_mut().zip(&polled) {
        one.ready = seen.revents != 0;
    }
    Ok(fds.iter().any(|one| one.ready))
}

fn all(fds: &[PollEntry<'_>]) -> Vec<libc::pollfd> {
    fds.iter().map(|one| pollfd(one.source.fd(), events(one.interest))).collect()
}

/// Whether a descriptor is ready now, or has failed. Doesn't wait.
pub(crate) fn ready_now(fd: RawFd, interest: Interest) -> bool {
    let mut fd = pollfd(fd, events(interest));
    // SAFETY: one valid pollfd structure.
    unsafe { libc::poll(&raw mut fd, 1, 0) > 0 }
}

/// Which of these have something to read, or have ended. Doesn't wait.
pub(crate) fn readable_now(descriptors: &[RawFd]) -> Vec<bool> {
    let of = |fd: &RawFd| libc::pollfd { fd: *fd, events: libc::POLLIN, revents: 0 };
    let mut fds: Vec<libc::pollfd> = descriptors.iter().map(of).collect();
    // SAFETY: as many valid pollfd structures as are said. A failure leaves `revents` at 0.
    unsafe { libc::poll(fds.as_mut_ptr(), fds.len() as libc::nfds_t, 0) };
    fds.iter().map(|fd| fd.revents != 0).collect()
}

fn with_check<T>(ask: impl FnOnce(&InterruptCheck) -> T) -> Option<T> {
    // The check may itself block in hangup on another request: only shared borrows are held.
    CHECK.try_with(|check| check.try_borrow().ok()?.as_ref().map(ask)).ok().flatten()
}

fn descriptor(want: &WaitFor<'_>) -> libc::pollfd {
    want.fd.map_or(pollfd(-1, 0), |(source, interest)| pollfd(source.fd(), events(interest)))
}

fn pollfd(fd: RawFd, events: i16) -> libc::pollfd {
    libc::pollfd { fd, events, revents: 0 }
}

fn events(interest: Interest) -> i16 {
    match interest {
        Interest::Read => libc::POLLIN,
        Interest::Write => libc::POLLOUT,
        Interest::Either => libc::POLLIN | libc::POLLOUT,
    }
}

fn what_happened(fd: &libc::pollfd) -> WakeReason {
    let seen = fd.revents;
    let broken = seen & (libc::POLLERR | libc::POLLHUP | libc::POLLNVAL) != 0;
    WakeReason::Ready {
        read: broken || seen & libc::POLLIN != 0,
        write: broken || seen & libc::POLLOUT != 0,
    }
}

/// Rounded up: waking a little late is one system call, waking a little early is two.
fn milliseconds(nap: Option<Duration>) -> i32 {
    match nap {
        None => -1,
        Some(nap) => i32::try_from(nap.as_nanos().div_ceil(1_000_000)).unwrap_or(i32::MAX),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_wakes_and_a_deadline_ends() {
        let notify = Notify::new().unwrap();
        let want = WaitFor { fd: None, notify: Some(&notify) };
        let soon = std::time::Instant::now() + Duration::from_millis(5);
        assert_eq!(
            ThreadWaiter.wait(want, WaitUntil::new(Some(soon))).unwrap(),
            WakeReason::Deadline
        );
        assert!(std::time::Instant::now() >= soon);
        std::thread::scope(|scope| {
            scope.spawn(|| notify.set());
            assert_eq!(
                ThreadWaiter.wait(want, WaitUntil::new(None)).unwrap(),
                WakeReason::Notified
            );
        });
    }

    #[test]
    fn of_several_descriptors_those_that_are_ready_are_told() {
        use std::io::Write;
        use std::os::fd::AsRawFd;

        use crate::runtime::Source;
        let notify = Notify::new().unwrap();
        let (quiet_end, _peer) = std::os::unix::net::UnixStream::pair().unwrap();
        let (speaks_end, mut peer) = std::os::unix::net::UnixStream::pair().unwrap();
        let (quiet, speaks) =
            (Source::new(quiet_end.as_raw_fd()), Source::new(speaks_end.as_raw_fd()));
        let watched = |source| PollEntry { source, interest: Interest::Read, ready: false };
        let mut fds = [watched(&quiet), watched(&speaks)];
        let soon = WaitUntil::new(Some(std::time::Instant::now() + Duration::from_millis(2)));
        assert_eq!(ThreadWaiter.wait_any(&mut fds, &notify, soon).unwrap(), WakeReason::Deadline);
        peer.write_all(b"x").unwrap();
        let woken = ThreadWaiter.wait_any(&mut fds, &notify, WaitUntil::new(None)).unwrap();
        assert!(matches!(woken, WakeReason::Ready { .. }));
        assert_eq!(fds.map(|one| one.ready), [false, true]);
        notify.set();
        let woken = ThreadWaiter.wait_any(&mut fds, &notify, WaitUntil::new(None)).unwrap();
        assert_eq!(woken, WakeReason::Notified);
    }

    #[test]
    fn the_tick_asks_the_check() {
        let notify = Notify::new().unwrap();
        let tick = Some(Duration::from_millis(1));
        set_interrupt_check(Some(InterruptCheck { tick, ask: Box::new(|| true) }));
        let want = WaitFor { fd: None, notify: Some(&notify) };
        assert_eq!(ThreadWaiter.wait(want, WaitUntil::new(None)).unwrap(), WakeReason::Interrupted);
        set_interrupt_check(None);
    }

    #[test]
    fn work_that_does_not_wait_asks_the_check_at_its_tick() {
        let asked = std::rc::Rc::new(Cell::new(0));
        let count = std::rc::Rc::clone(&asked);
        let ask = Box::new(move || {
            count.set(count.get() + 1);
            true
        });
        set_interrupt_check(Some(InterruptCheck { tick: Some(Duration::from_secs(3600)), ask }));
        assert!(wants_an_end_by_now());
        assert!(!wants_an_end_by_now());
        assert_eq!(asked.get(), 1);
        set_interrupt_check(None);
        assert!(!has_check());
    }
}
