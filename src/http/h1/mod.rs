//! HTTP/1.1 over one connection: what is sent, what comes, and how it is framed.

mod buffers;
mod chunked;
mod proxy_form;
mod recv;
mod send;
mod transport;

pub(super) use self::chunked::{Chunks, Cut};
pub(super) use self::proxy_form::credentials;
pub(super) use self::send::{Incoming, Prepared, prepare, run};
pub(super) use self::transport::{Seam, Stopped};
