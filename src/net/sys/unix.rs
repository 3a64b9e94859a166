//! Unix: recv(2), send(2), sendmsg(2), setsockopt(2), and what the errors of connect(2) mean.

use std::ffi::{CString, OsString};
use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use socket2::{Domain, SockAddr, Socket, Type};

use crate::runtime::Descriptor;

pub(in crate::net) fn descriptor(socket: &Socket) -> Descriptor {
    Descriptor::of(socket)
}

/// Reads what is there. `None` is a failure, about which [`recv_again`] is to be asked before any other call:
/// the failure is in errno, and the path of a read that succeeds has no error to drop.
#[inline]
pub(in crate::net) fn recv(socket: &Socket, into: &mut [u8]) -> Option<usize> {
    let flags = libc::MSG_DONTWAIT;
    // SAFETY: `into` is writable for its length and outlives the call.
    let got =
        unsafe { libc::recv(socket.as_raw_fd(), into.as_mut_ptr().cast(), into.len(), flags) };
    usize::try_from(got).ok()
}

/// Has reads with [`recv_waiting`] wait in the kernel, for at most so long. All other calls here stay as they are: each
/// of them asks not to wait. Returns `false` if the system does not permit it.
pub(in crate::net) fn let_reads_wait(socket: &Socket, at_most: Duration) -> bool {
    READS_MAY_WAIT
        && socket.set_read_timeout(Some(at_most)).is_ok()
        && socket.set_nonblocking(false).is_ok()
}

/// A signal ends a read that waits at most for some time, whatever SA_RESTART says: signal(7) on Linux.
const READS_MAY_WAIT: bool = cfg!(any(target_os = "linux", target_os = "android"));

/// Waits until something is there, and reads it. `WouldBlock`: the time of [`let_reads_wait`] passed, or a signal came.
pub(in crate::net) fn recv_waiting(socket: &Socket, into: &mut [u8]) -> io::Result<usize> {
    // SAFETY: `into` is writable for its length and outlives the call.
    let got = unsafe { libc::recv(socket.as_raw_fd(), into.as_mut_ptr().cast(), into.len(), 0) };
    usize::try_from(got).map_err(|_| match io::Error::last_os_error() {
        error if error.kind() == io::ErrorKind::Interrupted => io::ErrorKind::WouldBlock.into(),
        error => error,
    })
}

/// After a [`recv`] that failed: returns its error, or reads again if a signal had interrupted it.
pub(in crate::net) fn recv_again(socket: &Socket, into: &mut [u8]) -> io::Result<usize> {
    loop {
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
        if let Some(got) = recv(socket, into) {
            return Ok(got);
        }
    }
}

/// Sends what fits. `more`: the rest of the packet follows at once (MSG_MORE, tcp(7)).
pub(in crate::net) fn send(socket: &Socket, bytes: &[u8], more: bool) -> io::Result<usize> {
    let flags = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL | if more { libc::MSG_MORE } else { 0 };
    uninterrupted(|| {
        // SAFETY: `bytes` is readable for its length and outlives the call.
        unsafe { libc::send(socket.as_raw_fd(), bytes.as_ptr().cast(), bytes.len(), flags) }
    })
}

/// [`send`] from several places.
pub(in crate::net) fn send_vectored(
    socket: &Socket,
    pieces: &[io::IoSlice<'_>],
) -> io::Result<usize> {
    // SAFETY: all-zero is a valid msghdr: no name, no control data.
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    // IoSlice is an iovec on Unix (std::io::IoSlice).
    message.msg_iov = pieces.as_ptr().cast_mut().cast();
    message.msg_iovlen = pieces.len().min(MAX_PIECES) as _;
    let flags = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
    uninterrupted(|| {
        // SAFETY: the pieces are readable for their lengths and outlive the call, which only reads.
        unsafe { libc::sendmsg(socket.as_raw_fd(), &raw const message, flags) }
    })
}

/// The bytes in the send queue that are not acknowledged (SIOCOUTQ, tcp(7) and unix(7)).
#[cfg(any(target_os = "linux", target_os = "android"))]
pub(in crate::net) fn queued(socket: &Socket) -> Option<u32> {
    let mut bytes: libc::c_int = 0;
    // TIOCOUTQ is the same number. SAFETY: the call writes one int, which outlives it.
    let done = unsafe { libc::ioctl(socket.as_raw_fd(), libc::TIOCOUTQ, &raw mut bytes) };
    if done == 0 { u32::try_from(bytes).ok() } else { None }
}

/// Other systems have other calls.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub(in crate::net) fn queued(_: &Socket) -> Option<u32> {
    None
}

/// Whether a connection is open and has not a byte to read (MSG_PEEK).
pub(in crate::net) fn has_nothing_to_read(socket: &Socket) -> bool {
    let mut byte = 0u8;
    let flags = libc::MSG_DONTWAIT | libc::MSG_PEEK;
    let got = uninterrupted(|| {
        // SAFETY: one writable byte.
        unsafe { libc::recv(socket.as_raw_fd(), (&raw mut byte).cast(), 1, flags) }
    });
    matches!(got, Err(error) if error.kind() == io::ErrorKind::WouldBlock)
}

/// A new stream socket: closed on exec and non-blocking, from its first moment where the system can do that.
pub(in crate::net) fn open_stream(domain: Domain) -> io::Result<Socket> {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    return Socket::new(domain, Type::STREAM.nonblocking(), None);
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    {
        let socket = Socket::new(domain, Type::STREAM, None)?;
        socket.set_nonblocking(true)?;
        Ok(socket)
    }
}

/// Gives a new socket its local address. Its port is chosen when it connects: then another connection to
/// another peer may have the same one, while a port that bind(2) chose is used up for all peers
/// (IP_BIND_ADDRESS_NO_PORT, ip(7)).
pub(in crate::net) fn bind_address(socket: &Socket, local: &SockAddr) -> io::Result<()> {
    let on: libc::c_int = 1;
    let size = size_of_val(&on) as libc::socklen_t;
    // Where there is no such option, bind(2) chooses the port. IPv6 sockets have the option, too.
    // SAFETY: a descriptor that lives as long as `socket`, and a readable int of that size.
    unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::IPPROTO_IP,
            libc::IP_BIND_ADDRESS_NO_PORT,
            (&raw const on).cast(),
            size,
        )
    };
    socket.bind(local)
}

/// Has a new socket send and announce segments of at most so many bytes (TCP_MAXSEG, tcp(7)). Without it, it works as well
/// as without this.
pub(in crate::net) fn set_largest_segment(socket: &Socket, bytes: u32) {
    let bytes = libc::c_int::try_from(bytes).unwrap_or(libc::c_int::MAX);
    let size = size_of_val(&bytes) as libc::socklen_t;
    // SAFETY: a descriptor that lives as long as `socket`, and a readable int of that size.
    unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::IPPROTO_TCP,
            libc::TCP_MAXSEG,
            (&raw const bytes).cast(),
            size,
        )
    };
}

/// A file to append to, created with access for its owner only.
pub(in crate::net) fn append_to_private(path: &Path) -> io::Result<File> {
    OpenOptions::new().append(true).create(true).mode(0o600).open(path)
}

/// Has a new socket use this network interface only (SO_BINDTODEVICE, socket(7)).
#[cfg(any(target_os = "linux", target_os = "android"))]
pub(in crate::net) fn bind_interface(socket: &Socket, name: &str) -> io::Result<()> {
    // SAFETY: a descriptor that lives as long as `socket`, and as many readable bytes.
    let done = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_BINDTODEVICE,
            name.as_ptr().cast(),
            name.len() as libc::socklen_t,
        )
    };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// There is no such option here.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub(in crate::net) fn bind_interface(_: &Socket, _: &str) -> io::Result<()> {
    Err(io::Error::from_raw_os_error(libc::ENOTSUP))
}

/// The number of a network interface, by which addresses name it (RFC 4007 section 6).
pub(in crate::net) fn interface_index(name: &str) -> Option<u32> {
    let name = CString::new(name).ok()?;
    // SAFETY: a C string that outlives the call.
    Some(unsafe { libc::if_nametoindex(name.as_ptr()) }).filter(|index| *index != 0)
}

/// Has the descriptor closed by exec(3).
pub(in crate::net) fn close_on_exec(socket: &Socket) -> io::Result<()> {
    // SAFETY: a descriptor that lives as long as `socket`.
    let done = unsafe { libc::fcntl(socket.as_raw_fd(), libc::F_SETFD, libc::FD_CLOEXEC) };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Whether a stream socket is one of TCP.
pub(in crate::net) fn is_tcp(socket: &Socket) -> bool {
    socket.local_addr().is_ok_and(|address| address.is_ipv4() || address.is_ipv6())
}

/// The path of a Unix-domain socket: any bytes but zero (unix(7)).
pub(in crate::net) fn path_from_bytes(bytes: Vec<u8>) -> PathBuf {
    PathBuf::from(OsString::from_vec(bytes))
}

pub(crate) fn path_bytes(path: &Path) -> &[u8] {
    path.as_os_str().as_bytes()
}

/// Whether connect(2) goes on in the background.
pub(in crate::net) fn is_connecting(error: &io::Error) -> bool {
    error.raw_os_error() == Some(libc::EINPROGRESS)
}

/// Whether a connecting socket that poll(2) reports as ready is connected unless it reports an error or an end as well. Linux
/// sets the error and the state before it wakes (tcp_poll); others are asked for SO_ERROR.
pub(in crate::net) const POLL_TELLS_OF_CONNECT: bool =
    cfg!(any(target_os = "linux", target_os = "android"));

/// Whether the system does not permit it to this user.
pub(in crate::net) fn is_forbidden(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EPERM | libc::EACCES))
}

/// Whether the process or the system is out of descriptors or memory.
pub(crate) fn is_exhaustion(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE | libc::ENOBUFS | libc::ENOMEM))
}

/// How many descriptors the process may have (getrlimit(2)).
pub(in crate::net) fn descriptor_limit() -> usize {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: a writable rlimit for the call.
    let done = unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) };
    if done == 0 { usize::try_from(limit.rlim_cur).unwrap_or(usize::MAX) } else { 0 }
}

/// Whether an address, or its family, can't be used from this machine.
pub(in crate::net) fn is_unusable(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(libc::ENETUNREACH | libc::EADDRNOTAVAIL | libc::EAFNOSUPPORT | libc::EHOSTUNREACH)
    )
}

/// Whether a connect to a Unix-domain listener is to be tried again later (connect(2), EAGAIN).
pub(in crate::net) fn is_again(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::WouldBlock
}

/// The result of a system call that returns a count; it is made again if a signal interrupted it.
fn uninterrupted(mut call: impl FnMut() -> isize) -> io::Result<usize> {
    loop {
        if let Ok(count) = usize::try_from(call()) {
            return Ok(count);
        }
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
}

/// unix(7): only Linux has the abstract namespace.
pub(in crate::net) const HAS_ABSTRACT_SOCKETS: bool =
    cfg!(any(target_os = "linux", target_os = "android"));

/// Less than IOV_MAX (limits.h) everywhere.
const MAX_PIECES: usize = 64;
