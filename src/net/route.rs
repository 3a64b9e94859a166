//! The route to an origin: direct or through a proxy, and from which local address.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use once_cell::sync::OnceCell;

use super::proxy::Proxy;

/// How connections to an origin are made, as far as that separates them. Threads: immutable.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Route {
    pub(crate) proxy: Option<Arc<Proxy>>,
    /// The local address to connect from; `None` is the system's choice.
    pub(crate) local: Option<IpAddr>,
    /// A HTTP proxy makes a tunnel for plain requests, too, and does not read them.
    pub(crate) tunnels: bool,
}

impl Route {
    /// The direct route from an address of the system's choice. It is shared, so that keys with it are compared by
    /// a pointer.
    pub(crate) fn direct() -> Arc<Self> {
        static DIRECT: OnceCell<Arc<Route>> = OnceCell::new();
        Arc::clone(DIRECT.get_or_init(Arc::default))
    }

    /// Whether a HTTP proxy reads the requests themselves (RFC 9112 section 3.2.2). `secure`: they go to an https URL.
    pub(crate) fn is_read_by_proxy(&self, secure: bool) -> bool {
        let reads = |proxy: &Arc<Proxy>| proxy.speaks_http();
        !secure && !self.tunnels && self.proxy.as_ref().is_some_and(reads)
    }

    /// The same route with a tunnel through the proxy, whatever the URL.
    pub(crate) fn tunnelled(&self) -> Arc<Self> {
        Arc::new(Self { tunnels: true, ..self.clone() })
    }
}

/// For messages: "direct", or "proxy http://proxy.example:80".
impl fmt::Display for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.proxy {
            None => f.write_str("direct"),
            Some(proxy) => proxy.fmt(f),
        }
    }
}
