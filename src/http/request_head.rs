//! The head of a request as it is to be sent, in no protocol's notation yet. Knows nothing of connections.

use std::sync::Arc;

use http::Method;

use super::request_body::BodyLength;
use crate::headers::Headers;
use crate::target::Target;

/// Threads: a value.
pub(crate) struct RequestHead {
    pub(crate) method: Method,
    pub(crate) target: Arc<Target>,
    /// What is sent as the request target instead of the URL's path and query.
    pub(crate) given_target: Option<Box<[u8]>>,
    /// All fields in the order in which they are sent, Host and those of the framing included.
    pub(crate) headers: Headers,
    /// What the fields say of the body that follows.
    pub(crate) body: BodyLength,
}

impl RequestHead {
    /// The request target (RFC 9112 section 3.2), unless a proxy wants it in absolute form.
    pub(crate) fn request_target(&self) -> &[u8] {
        match &self.given_target {
            None => self.target.request_target().as_bytes(),
            Some(given) => given,
        }
    }
}
