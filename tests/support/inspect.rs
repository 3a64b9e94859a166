//! The connections, descriptors, sockets and threads that a manager and this process hold.

use std::fs;
use std::time::Duration;

use hangup::Manager;
use testserver::{HeldSocket, Server, sockets_to};

use super::wait_until;

/// Asserts at once, without waiting, that no connection is being dialled or in use and that every connection that was
/// opened is either idle or closed.
#[track_caller]
pub fn assert_at_rest(manager: &Manager) {
    let stats = manager.stats();
    assert_eq!((stats.dialling, stats.in_use), (0, 0), "{stats:?}");
    assert_eq!(stats.opened - stats.closed, stats.idle, "{stats:?}");
    assert_eq!(manager.connections().len() as u64, stats.idle, "{:?}", manager.connections());
}

/// Asserts at once that the manager is at rest and that no socket to that port is open.
#[track_caller]
pub fn assert_gone(manager: &Manager, port: u16) {
    assert_at_rest(manager);
    assert_eq!(manager.stats().idle, 0);
    assert_eq!(sockets(port), [], "a descriptor is left");
}

/// [`assert_at_rest`] after the background dials have ended: the dial of an ended call goes on for a moment.
#[track_caller]
pub fn wait_at_rest(manager: &Manager) {
    wait_until("the end of what is dialled", || manager.stats().dialling == 0);
    assert_at_rest(manager);
}

/// [`assert_gone`] after the background dials have ended.
#[track_caller]
pub fn wait_gone(manager: &Manager, port: u16) {
    wait_at_rest(manager);
    assert_gone(manager, port);
}

/// This process's sockets whose peer has that port. The kernel's table is read while it changes, so a row may be
/// read twice.
pub fn sockets(port: u16) -> Vec<HeldSocket> {
    let mut all = sockets_to(port);
    all.sort_unstable_by_key(|held| (held.fd, held.local));
    all.dedup_by_key(|held| (held.fd, held.local));
    all
}

/// How many sockets there are to that port, none of which opens or closes meanwhile: the maximum of several counts.
pub fn count_sockets(port: u16) -> usize {
    (0..5).map(|_| sockets(port).len()).max().unwrap_or(0)
}

/// Asserts the number of sockets to that port. A row of the table may be missed, so it is read several times.
#[track_caller]
pub fn assert_sockets(port: u16, count: usize) {
    let mut seen = Vec::new();
    for _ in 0..5 {
        seen = sockets(port);
        if seen.len() == count {
            return;
        }
    }
    assert_eq!(seen.len(), count, "{seen:?}");
}

/// The only socket to that port.
#[track_caller]
pub fn only_socket(port: u16) -> HeldSocket {
    assert_sockets(port, 1);
    let mut all = Vec::new();
    wait_until("the one socket", || {
        all = sockets(port);
        all.len() == 1
    });
    all.remove(0)
}

/// Waits until the kernel has so many bytes that came from that port and were not read, on the only socket to it.
#[track_caller]
pub fn wait_unread(port: u16, bytes: usize) {
    let socket = only_socket(port);
    wait_until("the bytes in the socket", || {
        let mut unread: libc::c_int = 0;
        // SAFETY: FIONREAD writes an int (ioctl_tty(2), tcp(7)).
        let outcome = unsafe { libc::ioctl(socket.fd, libc::FIONREAD, &raw mut unread) };
        assert_eq!(outcome, 0, "{}", std::io::Error::last_os_error());
        usize::try_from(unread).unwrap() >= bytes
    });
}

/// What a descriptor refers to. A later descriptor with the same number has another target.
pub fn descriptor_target(fd: i32) -> Option<std::path::PathBuf> {
    fs::read_link(format!("/proc/self/fd/{fd}")).ok()
}

/// Lets the server act on the only connection to its port, which is idle, and waits until the kernel has its bytes or
/// its close, or until the manager has noticed.
#[track_caller]
pub fn disturb_idle(manager: &Manager, server: &Server, latch: &str) {
    let fd = only_socket(server.port()).fd;
    assert_eq!(manager.stats().idle, 1);
    server.release(latch);
    wait_until("bytes or a close from the server", || {
        poll(fd, libc::POLLIN) || manager.stats().idle == 0
    });
}

/// Waits until the send buffer of every socket to that port is full.
#[track_caller]
pub fn wait_full(port: u16) {
    let full = || {
        let all = sockets(port);
        !all.is_empty()
            && all.iter().all(|held| held.state == "ESTABLISHED" && !poll(held.fd, libc::POLLOUT))
    };
    // The kernel's buffers grow while they fill, so a second look follows.
    wait_until("a full socket", || {
        full() && {
            std::thread::sleep(Duration::from_millis(5));
            full()
        }
    });
}

/// Whether a thread of this process sleeps in the kernel.
pub fn sleeps(tid: i32) -> bool {
    let stat = fs::read_to_string(format!("/proc/self/task/{tid}/stat")).unwrap_or_default();
    // proc(5): the state comes after the name, which is in parentheses.
    stat.rsplit(')').next().is_some_and(|rest| rest.trim_start().starts_with('S'))
}

/// Whether every I/O thread sleeps, so that no submission makes progress.
pub fn io_sleeps() -> bool {
    threads_named("hangup-io").into_iter().all(sleeps)
}

/// The threads of this process with that name.
pub fn threads_named(name: &str) -> Vec<i32> {
    let tasks = fs::read_dir("/proc/self/task").unwrap();
    let numbers = tasks.filter_map(|task| task.ok()?.file_name().to_str()?.parse().ok());
    let is_it = |tid: &i32| {
        let comm = fs::read_to_string(format!("/proc/self/task/{tid}/comm"));
        comm.is_ok_and(|comm| comm.trim_end() == name)
    };
    numbers.filter(is_it).collect()
}

/// The calling thread's number, for [`sleeps`].
pub fn thread_number() -> i32 {
    // SAFETY: gettid(2) has no arguments and can't fail.
    unsafe { libc::gettid() }
}

/// How many threads this process has.
pub fn threads() -> usize {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("Threads:")).unwrap();
    line.trim().parse().unwrap()
}

/// The descriptors of this process.
pub fn descriptors() -> Vec<i32> {
    let dir = fs::read_dir("/proc/self/fd").unwrap();
    let listed = dir.filter_map(|item| item.ok()?.file_name().to_str()?.parse().ok());
    let mut open: Vec<i32> = listed.collect();
    // The descriptor of the directory itself is closed by now.
    open.retain(|fd| flags(*fd) >= 0);
    open.sort_unstable();
    open
}

/// Whether a descriptor is closed on exec.
pub fn closes_on_exec(fd: i32) -> bool {
    flags(fd) & libc::FD_CLOEXEC != 0
}

fn flags(fd: i32) -> i32 {
    // SAFETY: no pointers; a number that is no descriptor is answered with -1.
    unsafe { libc::fcntl(fd, libc::F_GETFD) }
}

fn poll(fd: i32, events: i16) -> bool {
    let mut entry = libc::pollfd { fd, events, revents: 0 };
    // SAFETY: one valid entry.
    unsafe { libc::poll(&raw mut entry, 1, 0) == 1 }
}
