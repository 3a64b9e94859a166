//! What sockets need of the operating system beyond socket2. A port to another system is one more file beside
//! `unix` with the same names; nothing else in `net` names the system.

#![allow(unsafe_code)] // System calls.

mod unix;

pub(super) use unix::{
    append_to_private, bind_address, descriptor, has_nothing_to_read, is_again, is_connecting,
    is_unusable, recv, recv_again, send, send_vectored,
};
pub(crate) use unix::{is_exhaustion, path_bytes, path_from_bytes};
