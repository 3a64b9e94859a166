//! How a thread of the caller waits: poll(2).
//!
//! poll and not SO_RCVTIMEO, which fires up to 240 ms late at 4 s (kernel timer wheel) and can't watch a
//! second descriptor. But a wait for input of one socket begins in the read ([`may_wait_in_read`](super::may_wait_in_read)). A signal ends poll with EINTR, whatever SA_RESTART says (signal(7)): that is where
//! Ctrl-C is noticed.

use std::cell::{Cell, RefCell};
use std::io;
use std::time::{Duration, Instant};

use super::interest::Interest;
use super::notify::Notify;
use super::sys::{self, PollSlot};
use super::wait_for::{PollEntry, WaitFor, WaitUntil, WakeReason};

/// A callback of the program that says whether the call that waits shall end. It is asked when a signal
/// interrupted a wait of this thread.
pub(crate) struct InterruptCheck {
    /// Ask this often as well, for signals that were delivered to another thread.
    pub(crate) tick: Option<Duration>,
    pub(crate) ask: Box<dyn Fn() -> bool>,
}

/// Sets the calling thread's check, or removes it.
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
const WORK_INTERVAL: Duration = Duration::from_millis(100);

pub(super) fn wait(want: WaitFor<'_>, until: WaitUntil) -> io::Result<WakeReason> {
    let descriptor = want.fd.map_or(PollSlot::UNUSED, |(source, interest)| {
        PollSlot::new(source.descriptor(), interest)
    });
    let mut slots = [descriptor, PollSlot::UNUSED];
    let ended = match want.notify {
        None => poll(&mut slots[..1], until)?,
        Some(notify) => poll_beside(notify, &mut slots, until)?,
    };
    Ok(ended.unwrap_or_else(|| {
        let (read, write) = slots[0].readiness();
        WakeReason::Ready { read, write }
    }))
}

pub(super) fn wait_any(
    entries: &mut [PollEntry<'_>],
    notify: &Notify,
    until: WaitUntil,
) -> io::Result<WakeReason> {
    let mut slots: Vec<_> = entries.iter().map(PollEntry::slot).collect();
    slots.push(PollSlot::UNUSED);
    if let Some(ended) = poll_beside(notify, &mut slots, until)? {
        return Ok(ended);
    }
    for (entry, slot) in entries.iter_mut().zip(&slots) {
        entry.answered(slot);
    }
    Ok(WakeReason::Ready { read: true, write: true })
}

/// Waits for any of these, and for the notification in place of the last. `None`: one of the others is ready.
/// The notification is reported before what is ready.
fn poll_beside(
    notify: &Notify,
    slots: &mut [PollSlot],
    mut until: WaitUntil,
) -> io::Result<Option<WakeReason>> {
    let last = slots.len() - 1;
    let beside_others = slots[..last].iter().any(PollSlot::is_used);
    loop {
        let Some(polled) = notify.poll_for(beside_others)? else {
            return Ok(Some(WakeReason::Notified));
        };
        slots[last] = PollSlot::new(polled.descriptor(), Interest::Read);
        let ended = poll(slots, until)?;
        if ended.is_some() {
            return Ok(ended);
        }
        // Its descriptor may have been readable for another notification.
        if slots[last].is_ready() && polled.is_for(notify) {
            return Ok(Some(WakeReason::Notified));
        }
        drop(polled);
        if slots[..last].iter().any(PollSlot::is_ready) {
            return Ok(None);
        }
        until = until.later();
        if until.has_come() {
            return Ok(Some(WakeReason::Deadline));
        }
    }
}

/// Waits for any of these. `None`: one is ready.
fn poll(slots: &mut [PollSlot], mut until: WaitUntil) -> io::Result<Option<WakeReason>> {
    let tick = tick();
    loop {
        let left = until.at.map(|at| at.saturating_duration_since(until.now));
        let wait = match (left, tick) {
            (Some(left), Some(tick)) => Some(left.min(tick)),
            (left, tick) => left.or(tick),
        };
        let ask = match sys::poll(slots, wait) {
            Ok(0) => tick.is_some(),
            Ok(_) => return Ok(None),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => true,
            Err(error) => return Err(error),
        };
        if ask && wants_an_end() {
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

/// Whether this thread's check is to be asked within that time though no signal comes.
pub(super) fn asks_within(time: Duration) -> bool {
    tick().is_some_and(|tick| tick < time)
}

fn tick() -> Option<Duration> {
    with_check(|check| check.tick).flatten()
}

/// Asks this thread's check whether the call shall end.
pub(super) fn wants_an_end() -> bool {
    with_check(|check| (check.ask)()) == Some(true)
}

/// As [`wants_an_end`], but asks no more often than the check's tick, for work that asks often.
pub(super) fn wants_an_end_by_now() -> bool {
    let tick = tick().unwrap_or(WORK_INTERVAL);
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

fn with_check<T>(ask: impl FnOnce(&InterruptCheck) -> T) -> Option<T> {
    // The check may itself block in hangup on another request: only shared borrows are held.
    CHECK.try_with(|check| check.try_borrow().ok()?.as_ref().map(ask)).ok().flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_notification_and_a_deadline_end_a_wait() {
        let notify = Notify::new().unwrap();
        let want = WaitFor { fd: None, notify: Some(&notify) };
        let soon = std::time::Instant::now() + Duration::from_millis(5);
        assert_eq!(wait(want, WaitUntil::new(Some(soon))).unwrap(), WakeReason::Deadline);
        assert!(std::time::Instant::now() >= soon);
        std::thread::scope(|scope| {
            scope.spawn(|| notify.set());
            assert_eq!(wait(want, WaitUntil::new(None)).unwrap(), WakeReason::Notified);
        });
    }

    #[test]
    fn of_several_descriptors_those_that_are_ready_are_marked() {
        use std::io::Write;

        use crate::runtime::{Descriptor, Source};
        let notify = Notify::new().unwrap();
        let (quiet_end, _peer) = std::os::unix::net::UnixStream::pair().unwrap();
        let (speaks_end, mut peer) = std::os::unix::net::UnixStream::pair().unwrap();
        let (quiet, speaks) =
            (Source::new(Descriptor::of(&quiet_end)), Source::new(Descriptor::of(&speaks_end)));
        let entry = |source| PollEntry::new(source, Interest::Read);
        let mut fds = [entry(&quiet), entry(&speaks)];
        let soon = WaitUntil::new(Some(std::time::Instant::now() + Duration::from_millis(2)));
        assert_eq!(wait_any(&mut fds, &notify, soon).unwrap(), WakeReason::Deadline);
        peer.write_all(b"x").unwrap();
        let reason = wait_any(&mut fds, &notify, WaitUntil::new(None)).unwrap();
        assert!(matches!(reason, WakeReason::Ready { .. }));
        assert_eq!(fds.map(|one| one.ready), [false, true]);
        notify.set();
        let reason = wait_any(&mut fds, &notify, WaitUntil::new(None)).unwrap();
        assert_eq!(reason, WakeReason::Notified);
    }

    #[test]
    fn the_tick_asks_the_check() {
        let notify = Notify::new().unwrap();
        let tick = Some(Duration::from_millis(1));
        set_interrupt_check(Some(InterruptCheck { tick, ask: Box::new(|| true) }));
        let want = WaitFor { fd: None, notify: Some(&notify) };
        assert_eq!(wait(want, WaitUntil::new(None)).unwrap(), WakeReason::Interrupted);
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
