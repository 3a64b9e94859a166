//! Files: opening without waiting, locking, flushing.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

/// Opens a file for reading. It does not wait for a peer if the path turns out to be a FIFO (fifo(7)), and a
/// terminal does not become the controlling one.
pub(crate) fn open_without_waiting(path: &Path) -> io::Result<File> {
    let flags = libc::O_NONBLOCK | libc::O_NOCTTY;
    OpenOptions::new().read(true).custom_flags(flags).open(path)
}

/// Reads what the system has in memory of a file, from where the last read ended. `None` if the read might wait, or if the
/// system can't tell (RWF_NOWAIT, preadv2(2)).
#[cfg(any(target_os = "linux", target_os = "android"))]
pub(crate) fn read_without_waiting(file: &File, into: &mut [u8]) -> Option<usize> {
    let place = libc::iovec { iov_base: into.as_mut_ptr().cast(), iov_len: into.len() };
    // An offset of -1 is the position of the file. Not all C libraries have the function.
    let here: libc::c_long = -1;
    let (count, flags): (libc::c_long, libc::c_long) = (1, libc::RWF_NOWAIT.into());
    // SAFETY: `into` is writable for its length, and with `place` outlives the call.
    let got = unsafe {
        let descriptor = libc::c_long::from(file.as_raw_fd());
        libc::syscall(libc::SYS_preadv2, descriptor, &raw const place, count, here, here, flags)
    };
    usize::try_from(got).ok()
}

/// Other systems have no such call.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub(crate) fn read_without_waiting(_: &File, _: &mut [u8]) -> Option<usize> {
    None
}

/// Opens a file for reading and writing, and creates it if it is not there. A symbolic link is not followed.
pub(crate) fn open_or_create(path: &Path) -> io::Result<File> {
    let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_NOCTTY;
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .custom_flags(flags)
        .open(path)
}

/// Locks a file against other processes and other openings of it, until it is closed; `false` if it is locked.
pub(crate) fn try_lock(file: &File) -> io::Result<bool> {
    // SAFETY: flock(2) has no memory to access, and the descriptor is open.
    if unsafe { libc::flock(file.as_raw_fd(), libc::LOCK_EX | libc::LOCK_NB) } == 0 {
        return Ok(true);
    }
    match io::Error::last_os_error() {
        error if error.kind() == io::ErrorKind::WouldBlock => Ok(false),
        error => Err(error),
    }
}

/// Whether that path names this file.
pub(crate) fn is_file_at(file: &File, path: &Path) -> io::Result<bool> {
    let mine = file.metadata()?;
    match std::fs::symlink_metadata(path) {
        Ok(there) => Ok((mine.dev(), mine.ino()) == (there.dev(), there.ino())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// Flushes the directory of a file, so that the file's name is there after a power failure.
pub(crate) fn sync_directory(file: &Path) -> io::Result<()> {
    let directory = match file.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    match File::open(directory)?.sync_all() {
        // Some file systems can't do that.
        Err(error) if error.kind() == io::ErrorKind::InvalidInput => Ok(()),
        synced => synced,
    }
}
