//! The head of a request as it is to be sent, in no protocol's notation yet. Knows nothing of connections.

use std::sync::Arc;

use super::request_body::BodyLength;
use crate::headers::Headers;
use crate::target::Target;

/// What of a head is not said by its exchange: the method and the URL are. Threads: a value.
pub(crate) struct RequestHead {
    /// What is sent as the request target instead of the URL's path and query.
    pub(crate) given_target: Option<Box<[u8]>>,
    /// All fields in the order in which they are sent, Host and those of the framing included. They may be shared with
    /// other requests.
    pub(crate) headers: Arc<Headers>,
    /// None of the fields is Expect, Proxy-Authorization or Upgrade.
    pub(crate) is_plain: bool,
    /// What the fields say of the body that follows.
    pub(crate) body: BodyLength,
}

impl RequestHead {
    /// The request target (RFC 9112 section 3.2), unless a proxy wants it in absolute form.
    pub(crate) fn request_target<'a>(&'a self, target: &'a Target) -> &'a [u8] {
        match &self.given_target {
            None => target.request_target().as_bytes(),
            Some(given) => given,
        }
    }
}
