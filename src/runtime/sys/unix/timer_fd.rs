//! A descriptor that becomes readable at a set time: timerfd_create(2).

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::time::Duration;

use super::Descriptor;

/// Threads: any thread at any time.
#[derive(Debug)]
pub(crate) struct TimerFd(OwnedFd);

impl TimerFd {
    pub(crate) fn open() -> io::Result<Self> {
        let flags = libc::TFD_NONBLOCK | libc::TFD_CLOEXEC;
        // SAFETY: no pointers; the flags are those of timerfd_create(2).
        let fd = unsafe { libc::timerfd_create(libc::CLOCK_MONOTONIC, flags) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the system has just made this descriptor, and only this value owns it.
        Ok(Self(unsafe { OwnedFd::from_raw_fd(fd) }))
    }

    pub(crate) fn descriptor(&self) -> Descriptor {
        Descriptor::of(&self.0)
    }

    /// It becomes readable after so long, once. What was set before is forgotten.
    pub(crate) fn set(&self, after: Duration) {
        let zero = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        // A time of zero would set nothing.
        let after = after.max(Duration::from_nanos(1));
        let value = libc::timespec {
            tv_sec: libc::time_t::try_from(after.as_secs()).unwrap_or(libc::time_t::MAX),
            tv_nsec: libc::c_long::from(after.subsec_nanos().cast_signed()),
        };
        let timer = libc::itimerspec { it_interval: zero, it_value: value };
        // SAFETY: the structure lives during the call; the old value is not asked for.
        unsafe {
            libc::timerfd_settime(self.0.as_raw_fd(), 0, &raw const timer, std::ptr::null_mut());
        }
    }
}
