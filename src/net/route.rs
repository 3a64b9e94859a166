//! The route to an origin: everything that decides how its connections are made, but for TLS.
//!
//! It is part of the pool key, and its comparison is derived: a new field separates connections without any
//! further line.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use once_cell::sync::OnceCell;

use super::connect_to::ConnectTo;
use super::connector::Connector;
use super::proxy::Proxy;
use super::sys::interface_index;
use crate::vocabulary::AddressFamily;

/// How connections to an origin are made, as far as that separates them. Threads: immutable.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Route {
    pub(crate) proxy: Option<Arc<Proxy>>,
    /// Makes the connection to the proxy or the origin, in place of a name lookup and a connect.
    pub(crate) connector: Option<Connector>,
    /// Where to connect instead of the origin's own host and port.
    pub(crate) connect_to: Option<Arc<ConnectTo>>,
    /// The local address to connect from; `None` is the system's choice.
    pub(crate) local: Option<IpAddr>,
    /// A HTTP proxy makes a tunnel for plain requests, too, and does not read them.
    pub(crate) tunnels: bool,
    /// The network interface to connect through; `None` is the system's choice.
    pub(crate) interface: Option<Arc<str>>,
    pub(crate) family: AddressFamily,
    /// How long an attempt at an address has before the next one begins beside it; `None`: until it failed.
    pub(crate) attempt_delay: Option<Duration>,
}

impl Default for Route {
    fn default() -> Self {
        Self {
            proxy: None,
            connector: None,
            connect_to: None,
            local: None,
            tunnels: false,
            interface: None,
            family: AddressFamily::default(),
            attempt_delay: Some(ATTEMPT_DELAY),
        }
    }
}

impl Route {
    /// The direct route from an address of the system's choice. It is shared, so that keys with it are compared by
    /// a pointer.
    pub(crate) fn direct() -> Arc<Self> {
        static DIRECT: OnceCell<Arc<Route>> = OnceCell::new();
        Arc::clone(DIRECT.get_or_init(Arc::default))
    }

    /// Whether a HTTP proxy reads the requests themselves (RFC 9112 section 3.2.2). `secure`: they go to an https URL.
    /// What is to reach another host than the one that it names goes through a tunnel.
    pub(crate) fn is_read_by_proxy(&self, secure: bool) -> bool {
        let reads = |proxy: &Arc<Proxy>| proxy.speaks_http();
        !secure
            && !self.tunnels
            && self.connect_to.is_none()
            && self.proxy.as_ref().is_some_and(reads)
    }

    /// The same route with a tunnel through the proxy, whatever the URL.
    pub(crate) fn tunnelled(&self) -> Arc<Self> {
        Arc::new(Self { tunnels: true, ..self.clone() })
    }

    /// The one family of the addresses that may be connected to, if there is only one.
    pub(super) fn wanted_family(&self) -> Option<&'static str> {
        match (self.family, self.local) {
            (AddressFamily::Ipv4, _) | (AddressFamily::Any, Some(IpAddr::V4(_))) => Some("IPv4"),
            (AddressFamily::Ipv6, _) | (AddressFamily::Any, Some(IpAddr::V6(_))) => Some("IPv6"),
            (AddressFamily::Any, None) => None,
        }
    }

    /// Whether an address is of a family that may be connected to. From a local address only those of its own
    /// family can be reached.
    pub(super) fn permits(&self, address: IpAddr) -> bool {
        let by_family = match self.family {
            AddressFamily::Any => true,
            AddressFamily::Ipv4 => address.is_ipv4(),
            AddressFamily::Ipv6 => address.is_ipv6(),
        };
        by_family && self.local.is_none_or(|local| local.is_ipv4() == address.is_ipv4())
    }

    /// An address as it is given to connect(2) or bind(2): a link-local one without a zone is one of the interface
    /// (RFC 4007 section 6).
    pub(super) fn with_zone(&self, mut address: SocketAddr) -> SocketAddr {
        if let (SocketAddr::V6(v6), Some(interface)) = (&mut address, &self.interface)
            && v6.scope_id() == 0
            && v6.ip().is_unicast_link_local()
            && let Some(index) = interface_index(interface)
        {
            v6.set_scope_id(index);
        }
        address
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

/// RFC 8305 section 5: the "Connection Attempt Delay".
pub(super) const ATTEMPT_DELAY: Duration = Duration::from_millis(250);
