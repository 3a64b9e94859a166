//! A one-way switch that a thread can wait for together with a socket.
//!
//! A condition variable cannot be passed to poll(2), and a server that waits for one does not see
//! its peer hang up. So stop signals and barriers are eventfds that are written once and never
//! read: they stay readable for every thread that polls them, now or later. Knows nothing of
//! connections or scripts.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::time::{Duration, Instant};

/// Starts unset; once set it stays set. Any thread may do anything with it.
#[derive(Debug)]
pub(crate) struct Latch(OwnedFd);

impl Latch {
    pub(crate) fn new() -> io::Result<Latch> {
        // SAFETY: eventfd takes no pointers.
        let fd = unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the descriptor is new and valid, and nothing else owns it.
        Ok(Latch(unsafe { OwnedFd::from_raw_fd(fd) }))
    }

    pub(crate) fn set(&self) {
        let one = 1u64.to_ne_bytes();
        // SAFETY: the buffer is 8 bytes long. The only possible failure is a full counter, which is
        // "set" too.
        unsafe { libc::write(self.0.as_raw_fd(), one.as_ptr().cast(), one.len()) };
    }

    pub(crate) fn fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

/// One line of a poll(2) table.
pub(crate) fn entry(fd: RawFd, events: libc::c_short) -> libc::pollfd {
    libc::pollfd { fd, events, revents: 0 }
}

/// poll(2) until an instant (`None`: for ever), going on after signals. Returns how many entries
/// are ready, 0 when the time is up.
pub(crate) fn poll(entries: &mut [libc::pollfd], until: Option<Instant>) -> usize {
    loop {
        let millis = until.map_or(-1, |at| {
            let left = at.saturating_duration_since(Instant::now());
            // Rounded up, so that the wait never ends a fraction before its time.
            let up = left.saturating_add(Duration::from_nanos(999_999)).as_millis();
            libc::c_int::try_from(up).unwrap_or(libc::c_int::MAX)
        });
        // SAFETY: the pointer and the length describe one live, exclusively borrowed slice.
        let ready =
            unsafe { libc::poll(entries.as_mut_ptr(), entries.len() as libc::nfds_t, millis) };
        if ready >= 0 {
            return ready as usize;
        }
        let error = io::Error::last_os_error();
        assert_eq!(error.kind(), io::ErrorKind::Interrupted, "poll: {error}");
    }
}
