//! Descriptors in an event loop's registry: edge-triggered (epoll(7), EPOLLET).

use std::io;

use mio::unix::SourceFd;
use mio::{Interest, Registry, Token};

use super::Descriptor;

/// Registers a descriptor for all that may happen to it, urgent data included where there is such an event
/// (EPOLLPRI).
pub(crate) fn register(
    registry: &Registry,
    descriptor: Descriptor,
    token: usize,
) -> io::Result<()> {
    let all = Interest::READABLE | Interest::WRITABLE;
    #[cfg(any(target_os = "linux", target_os = "android"))]
    let all = all | Interest::PRIORITY;
    registry.register(&mut SourceFd(&descriptor.number()), Token(token), all)
}

/// Registers a descriptor for input and its end alone.
pub(crate) fn register_input(
    registry: &Registry,
    descriptor: Descriptor,
    token: usize,
) -> io::Result<()> {
    registry.register(&mut SourceFd(&descriptor.number()), Token(token), Interest::READABLE)
}

pub(crate) fn deregister(registry: &Registry, descriptor: Descriptor) -> io::Result<()> {
    registry.deregister(&mut SourceFd(&descriptor.number()))
}
