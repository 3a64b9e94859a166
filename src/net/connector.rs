//! A connector: a function of the program that makes connections in place of the library, and what it is asked
//! for and returns.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::io;
use std::sync::Arc;

pub use super::sys::ConnectedSocket;

/// Makes a connection, see [`Client::set_connector`](crate::Client::set_connector).
pub type Connect =
    Arc<dyn Fn(&ConnectRequest<'_>) -> io::Result<ConnectedSocket> + Send + Sync + 'static>;

/// What a connector is asked for. Threads: a value.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct ConnectRequest<'a> {
    /// The origin of the request: scheme, host and port, for example `https://example.org:443`.
    pub origin: &'a str,
    /// The host to connect to: the origin's, or that of the proxy that was set. An IPv6 address has brackets.
    pub host: &'a str,
    /// The port to connect to.
    pub port: u16,
}

/// A connector as a setting. Two are equal if they are the same function. Threads: any thread at any time.
#[derive(Clone)]
pub(crate) struct Connector(Connect);

impl Connector {
    pub(crate) fn new(connect: Connect) -> Self {
        Self(connect)
    }

    pub(super) fn connect(&self, request: &ConnectRequest<'_>) -> io::Result<ConnectedSocket> {
        (self.0)(request)
    }

    fn identity(&self) -> *const () {
        Arc::as_ptr(&self.0).cast()
    }
}

impl PartialEq for Connector {
    fn eq(&self, other: &Self) -> bool {
        self.identity() == other.identity()
    }
}

impl Eq for Connector {}

impl Hash for Connector {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.identity().hash(state);
    }
}

impl fmt::Debug for Connector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Connector")
    }
}
