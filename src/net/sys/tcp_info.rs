//! What the kernel knows of a TCP connection (TCP_INFO, tcp(7)).

use std::time::Duration;

use socket2::Socket;

use crate::net::tcp_info::TcpInfo;

/// Asks the kernel; `None` for a socket that is not one of TCP.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub(in crate::net) fn tcp_info(socket: &Socket) -> Option<TcpInfo> {
    use std::os::fd::AsRawFd;

    let mut bytes = [0_u8; KNOWN];
    let mut size = KNOWN as libc::socklen_t;
    // SAFETY: a descriptor that lives as long as `socket`, and `size` writable bytes that outlive the call.
    let done = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::IPPROTO_TCP,
            libc::TCP_INFO,
            bytes.as_mut_ptr().cast(),
            &raw mut size,
        )
    };
    // A kernel that knows less writes less; what it does not write stays zero.
    (done == 0 && size as usize >= LEAST).then(|| parse(&bytes))
}

/// Other systems have other structures.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub(in crate::net) fn tcp_info(_: &Socket) -> Option<TcpInfo> {
    None
}

/// The offsets are those of `struct tcp_info` in linux/tcp.h, which only grows at its end.
#[cfg_attr(not(any(target_os = "linux", target_os = "android")), allow(dead_code))]
fn parse(bytes: &[u8; KNOWN]) -> TcpInfo {
    let u32_at = |at: usize| bytes[at..].first_chunk().copied().map_or(0, u32::from_ne_bytes);
    let u64_at = |at: usize| bytes[at..].first_chunk().copied().map_or(0, u64::from_ne_bytes);
    let micros = |at: usize| Duration::from_micros(u64::from(u32_at(at)));
    let millis = |at: usize| Duration::from_millis(u64::from(u32_at(at)));
    TcpInfo {
        retransmits: u32::from(bytes[2]),
        probes: u32::from(bytes[3]),
        backoff: u32::from(bytes[4]),
        rto: micros(8),
        send_mss: u32_at(16),
        unacked: u32_at(24),
        last_data_sent: millis(44),
        last_data_received: millis(52),
        last_ack_received: millis(56),
        rtt: micros(68),
        rtt_variance: micros(72),
        total_retransmits: u32_at(100),
        bytes_acked: u64_at(120),
        unsent: u32_at(144),
        bytes_sent: u64_at(200),
        bytes_resent: u64_at(208),
        is_closed: bytes[0] == TCP_CLOSE,
    }
}

/// The state of a connection that is over (linux/tcp.h, net/tcp_states.h).
const TCP_CLOSE: u8 = 7;
/// The bytes of the structure that are read: up to `tcpi_bytes_retrans`, which came with Linux 4.19.
const KNOWN: usize = 216;
/// Up to `tcpi_total_retrans`, which Linux has always had.
const LEAST: usize = 104;
