//! The descriptors and sockets of this process, as the kernel reports them, for tests that assert that none is left.
//!
//! Reads /proc only, but for the limit. Counts are of the whole process, so a test that compares them must not run
//! beside others.

use std::collections::HashMap;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// A TCP socket that this process holds, as seen in /proc/net/tcp and /proc/net/tcp6.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeldSocket {
    /// Its descriptor.
    pub fd: i32,
    /// This end.
    pub local: SocketAddr,
    /// The other end.
    pub peer: SocketAddr,
    /// Its state by the name that ss(8) and the kernel use: `ESTABLISHED`, `SYN_SENT`,
    /// `CLOSE_WAIT`...
    pub state: &'static str,
}

/// The number of descriptors that this process has open, without the one used for counting.
pub fn open_descriptors() -> usize {
    // One of them is the directory being read.
    fs::read_dir("/proc/self/fd").map_or(0, Iterator::count).saturating_sub(1)
}

/// The sockets of this process whose *other* end has this port: with a server in the same process,
/// the client's sockets and not the server's. Dials in progress are among them.
pub fn sockets_to(port: u16) -> Vec<HeldSocket> {
    let held = held_inodes();
    let mut found = Vec::new();
    for table in ["/proc/self/net/tcp", "/proc/self/net/tcp6"] {
        let text = fs::read_to_string(table).unwrap_or_default();
        let lines = text.lines().skip(1).filter_map(|line| parse(line, &held));
        found.extend(lines.filter(|socket| socket.peer.port() == port));
    }
    found
}

/// Raises this process's limit of open descriptors as far as it may without privileges, and answers
/// what it got.
pub fn raise_descriptor_limit() -> u64 {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the pointers are valid for the calls.
    unsafe {
        libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit);
        let raised = libc::rlimit { rlim_cur: limit.rlim_max, ..limit };
        if libc::setrlimit(libc::RLIMIT_NOFILE, &raw const raised) == 0 {
            limit = raised;
        }
    }
    limit.rlim_cur
}

/// The descriptors of this process that are sockets, by inode.
fn held_inodes() -> HashMap<String, i32> {
    let Ok(dir) = fs::read_dir("/proc/self/fd") else {
        return HashMap::new();
    };
    dir.filter_map(|item| {
        let item = item.ok()?;
        let target = fs::read_link(item.path()).ok()?;
        let inode = target.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.to_owned();
        Some((inode, item.file_name().to_str()?.parse().ok()?))
    })
    .collect()
}

/// One line of the table: `sl local peer state queues timer retransmits uid timeout inode ...`
/// (proc(5)).
fn parse(line: &str, held: &HashMap<String, i32>) -> Option<HeldSocket> {
    let fields: Vec<&str> = line.split_whitespace().collect();
    let fd = *held.get(*fields.get(9)?)?;
    let number = usize::from_str_radix(fields.get(3)?, 16).ok()?;
    Some(HeldSocket {
        fd,
        local: address(fields.get(1)?)?,
        peer: address(fields.get(2)?)?,
        state: STATES.get(number).copied().unwrap_or("UNKNOWN"),
    })
}

/// `0100007F:1F90`: 32-bit words in the machine's byte order, the port in plain hexadecimal.
fn address(text: &str) -> Option<SocketAddr> {
    let (ip, port) = text.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let word = |at: usize| u32::from_str_radix(ip.get(at..at + 8)?, 16).ok().map(u32::to_ne_bytes);
    let ip = if ip.len() == 8 {
        IpAddr::V4(Ipv4Addr::from(word(0)?))
    } else {
        let words = [word(0)?, word(8)?, word(16)?, word(24)?];
        let bytes: [u8; 16] = words.concat().try_into().ok()?;
        IpAddr::V6(Ipv6Addr::from(bytes))
    };
    Some(SocketAddr::new(ip, port))
}

/// By number, include/net/tcp_states.h.
const STATES: [&str; 13] = [
    "UNKNOWN",
    "ESTABLISHED",
    "SYN_SENT",
    "SYN_RECV",
    "FIN_WAIT1",
    "FIN_WAIT2",
    "TIME_WAIT",
    "CLOSE",
    "CLOSE_WAIT",
    "LAST_ACK",
    "LISTEN",
    "CLOSING",
    "NEW_SYN_RECV",
];

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{TcpListener, TcpStream};

    #[test]
    fn finds_the_clients_end_only() {
        for ip in ["127.0.0.1:0", "[::1]:0"] {
            let listener = TcpListener::bind(ip).unwrap();
            let server = listener.local_addr().unwrap();
            let client = TcpStream::connect(server).unwrap();
            let (_accepted, _) = listener.accept().unwrap();
            let found = sockets_to(server.port());
            assert_eq!(found.len(), 1, "{found:?}");
            assert_eq!(found[0].local, client.local_addr().unwrap());
            assert_eq!((found[0].peer, found[0].state), (server, "ESTABLISHED"));
            drop(client);
            assert_eq!(sockets_to(server.port()), []);
        }
    }

    #[test]
    fn counts_descriptors() {
        assert!(open_descriptors() >= 3);
    }

    #[test]
    fn the_limit_is_raised_once() {
        let got = raise_descriptor_limit();
        assert!(got >= 256);
        assert_eq!(raise_descriptor_limit(), got);
    }
}
