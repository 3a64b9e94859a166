//! A descriptor of the caller's that is read: a pipe, a socket, a device, or a file.

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};

use super::Descriptor;

/// The descriptor that a body is read from ([`Body::descriptor`](crate::Body::descriptor)). A
/// [`File`], a [`UnixStream`](std::os::unix::net::UnixStream), a [`TcpStream`](std::net::TcpStream), the output of a
/// child process and others become one by `into()`.
pub type OwnedDescriptor = OwnedFd;

/// Threads: one at a time.
#[derive(Debug)]
pub(crate) struct ReadFd(OwnedFd);

/// What a descriptor refers to.
pub(crate) enum Opened {
    /// A regular file: reading it may wait for a disk, and poll(2) does not say so.
    File(File),
    Other(ReadFd),
}

impl ReadFd {
    /// # Errors
    /// fstat(2) fails.
    pub(crate) fn open(fd: OwnedFd) -> io::Result<Opened> {
        let file = File::from(fd);
        let is_regular = file.metadata()?.is_file();
        Ok(if is_regular { Opened::File(file) } else { Opened::Other(Self(file.into())) })
    }

    pub(crate) fn descriptor(&self) -> Descriptor {
        Descriptor::of(&self.0)
    }

    /// read(2). It waits if there is nothing and the descriptor is a blocking one.
    pub(crate) fn read(&self, into: &mut [u8]) -> io::Result<usize> {
        // SAFETY: as many writable bytes as is said, and a descriptor that lives as long as `self`.
        let got = unsafe { libc::read(self.0.as_raw_fd(), into.as_mut_ptr().cast(), into.len()) };
        usize::try_from(got).map_err(|_| io::Error::last_os_error())
    }
}
