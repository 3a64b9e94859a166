//! HTTP/1.1 over one connection: what is sent, what comes, and how bodies are framed.
//!
//! Its errors are [`Stop`](crate::net::Stop)s: the layer above makes the exchange's error of them.
//! HTTP/2 will be a sibling of this folder.

mod body;
mod buffers;
mod chunked;
mod codec;
mod head_writer;
mod large_segments;
mod min_rate;
mod proxy_form;
mod recv;
mod send;
mod silence;
mod transport;

pub(super) use self::body::Http1Body;
pub(crate) use self::codec::Message;
pub(super) use self::recv::{ResponseStart, recv_head};
pub(super) use self::send::{send_request, send_request_with_body};
pub(super) use self::transport::Transport;
