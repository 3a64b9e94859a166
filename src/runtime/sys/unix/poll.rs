//! poll(2): which of some descriptors are ready, now or after a wait.

use std::io;
use std::time::Duration;

use super::Descriptor;
use crate::runtime::interest::Interest;

/// A descriptor to poll, and the answer. Errors and hang-ups count as ready.
#[repr(transparent)]
#[derive(Clone, Copy)]
pub(crate) struct PollSlot(libc::pollfd);

impl PollSlot {
    /// Ignored by [`poll`].
    pub(crate) const UNUSED: Self = Self(libc::pollfd { fd: -1, events: 0, revents: 0 });

    pub(crate) fn new(descriptor: Descriptor, interest: Interest) -> Self {
        let events = match interest {
            Interest::Read => libc::POLLIN,
            Interest::Write => libc::POLLOUT,
            Interest::Either => libc::POLLIN | libc::POLLOUT,
        };
        Self(libc::pollfd { fd: descriptor.number(), events, revents: 0 })
    }

    pub(crate) fn is_used(&self) -> bool {
        self.0.fd >= 0
    }

    pub(crate) fn is_ready(&self) -> bool {
        self.0.revents != 0
    }

    /// Whether it has an error or was ended.
    pub(crate) fn is_broken(&self) -> bool {
        self.0.revents & (libc::POLLERR | libc::POLLHUP | libc::POLLNVAL) != 0
    }

    /// Whether it is ready for reading, and for writing.
    pub(crate) fn readiness(&self) -> (bool, bool) {
        let (seen, broken) = (self.0.revents, self.is_broken());
        (broken || seen & libc::POLLIN != 0, broken || seen & libc::POLLOUT != 0)
    }
}

/// Waits until one of them is ready, at most for so long; `None` is without an end. Returns how many are
/// ready.
///
/// # Errors
/// `Interrupted`: a signal arrived. Others: see poll(2).
pub(crate) fn poll(slots: &mut [PollSlot], wait: Option<Duration>) -> io::Result<usize> {
    let count = slots.len() as libc::nfds_t;
    // SAFETY: `PollSlot` is a `pollfd`, and there are as many as is said.
    let ready = unsafe { libc::poll(slots.as_mut_ptr().cast(), count, milliseconds(wait)) };
    usize::try_from(ready).map_err(|_| io::Error::last_os_error())
}

/// Whether a descriptor is ready now, or has failed. Doesn't wait.
pub(crate) fn is_ready(descriptor: Descriptor, interest: Interest) -> bool {
    let mut slot = [PollSlot::new(descriptor, interest)];
    poll(&mut slot, Some(Duration::ZERO)).is_ok_and(|ready| ready > 0)
}

/// Which of these have something to read, or have ended. Doesn't wait.
pub(crate) fn poll_readable(descriptors: &[Descriptor]) -> io::Result<Vec<bool>> {
    let slot = |one: &Descriptor| PollSlot::new(*one, Interest::Read);
    let mut slots: Vec<PollSlot> = descriptors.iter().map(slot).collect();
    poll(&mut slots, Some(Duration::ZERO))?;
    Ok(slots.iter().map(PollSlot::is_ready).collect())
}

/// [`poll_readable`]; if poll(2) fails, none is.
pub(crate) fn are_readable(descriptors: &[Descriptor]) -> Vec<bool> {
    poll_readable(descriptors).unwrap_or_else(|_| vec![false; descriptors.len()])
}

/// Rounded up: to wake a little late costs one system call, to wake a little early costs two.
fn milliseconds(wait: Option<Duration>) -> i32 {
    match wait {
        None => -1,
        Some(wait) => i32::try_from(wait.as_nanos().div_ceil(1_000_000)).unwrap_or(i32::MAX),
    }
}
