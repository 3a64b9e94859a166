//! What sockets need of the operating system beyond socket2. A port to another system is one more file beside
//! `unix` with the same names; nothing else in `net` names the system.

#![allow(unsafe_code)] // System calls.

mod connected_socket;
mod interfaces;
mod netlink;
mod tcp_info;
mod unix;

pub use connected_socket::ConnectedSocket;

pub(super) use interfaces::{LocalAddress, local_addresses};
pub(super) use netlink::{Heard, RouteSocket, close_inherited};
pub(super) use tcp_info::tcp_info;
pub(super) use unix::{
    HAS_ABSTRACT_SOCKETS, POLL_TELLS_OF_CONNECT, append_to_private, bind_address, bind_interface,
    descriptor, descriptor_limit, has_nothing_to_read, interface_index, is_again, is_connecting,
    is_forbidden, is_unusable, let_reads_wait, open_stream, path_from_bytes, queued, recv,
    recv_again, recv_waiting, send, send_vectored, set_largest_segment,
};
pub(crate) use unix::{is_exhaustion, path_bytes};
