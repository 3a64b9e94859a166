//! A descriptor of the caller's that a task reads without blocking its thread: a pipe, a socket or a device.
//!
//! The descriptor may be shared with the caller and other processes, so it is not made non-blocking: each read asks first
//! whether there is something. Only one may read it; bytes that another reader takes in between make this one wait.

use std::io;
use std::sync::Arc;

use super::interest::Interest;
use super::source::Source;
use super::sys::{ReadFd, is_ready};

/// Threads: one at a time.
#[derive(Debug)]
pub(crate) struct InputDescriptor {
    fd: ReadFd,
    source: Arc<Source>,
}

impl InputDescriptor {
    pub(crate) fn new(fd: ReadFd) -> Self {
        let source = Source::new(fd.descriptor());
        Self { fd, source }
    }

    /// Reads what is there; `None` if nothing is. 0 is the end.
    pub(crate) fn read(&mut self, into: &mut [u8]) -> io::Result<Option<usize>> {
        if !is_ready(self.fd.descriptor(), Interest::Read) {
            return Ok(None);
        }
        match self.fd.read(into) {
            Ok(got) => Ok(Some(got)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// What to wait for after a read that found nothing.
    pub(crate) fn source(&self) -> &Arc<Source> {
        &self.source
    }
}

impl Drop for InputDescriptor {
    fn drop(&mut self) {
        // A copy of the descriptor may stay open elsewhere, and the kernel's registration with it.
        self.source.withdraw();
    }
}
