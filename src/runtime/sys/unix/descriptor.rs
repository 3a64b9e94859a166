//! The number of a descriptor. It does not own the descriptor.

use std::os::fd::{AsRawFd, RawFd};

/// Threads: a value. It is valid for as long as its owner keeps the descriptor open; a wait for one that is
/// closed returns an error or ends at once (poll(2), POLLNVAL).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Descriptor(RawFd);

impl Descriptor {
    /// No descriptor: poll(2) ignores it.
    pub(crate) const NONE: Self = Self(-1);

    pub(crate) fn of(owner: &impl AsRawFd) -> Self {
        Self(owner.as_raw_fd())
    }

    /// As C has it: -1 for none.
    pub(crate) fn number(self) -> i32 {
        self.0
    }
}
