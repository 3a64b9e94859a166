//! The way to a server: proxies, addresses and interfaces, other places for an origin, and connections that the
//! program makes itself.

use std::net::IpAddr;
use std::time::Duration;

use crate::client::Client;
use crate::client::connect_rule::ConnectRule;
use crate::client::no_proxy::NoProxy;
use crate::error::Error;
use crate::net::connector::{Connect, Connector};
use crate::net::proxy::Proxy;
use crate::net::route::Route;
use crate::net::tls::Tls;
use crate::timeouts::not_zero;
use crate::vocabulary::{AddressFamily, Kind};

impl Client {
    /// Sends every request through this proxy, `[scheme://][user:password@]host[:port]` with a
    /// scheme of `http` (the default), `https`, `socks4`, `socks4a`, `socks5` or `socks5h`; `None`: through
    /// none. A path is ignored. With `socks4` and `socks5` names are resolved here, after the proxy is connected; with
    /// `socks4a` and `socks5h` by the proxy. SOCKS 4 knows a user but no password, and no IPv6. A
    /// new client uses the proxies of the environment: see [`set_proxy_from_env`](Self::set_proxy_from_env).
    ///
    /// ```
    /// let client = hangup::Client::default();
    /// client.set_proxy(Some("socks5h://localhost:1080"))?;
    /// client.set_no_proxy("example.org, 10.0.0.0/8")?;
    /// assert!(client.set_proxy(Some("gopher://localhost")).is_err());
    /// # Ok::<(), hangup::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`InvalidArgument`](crate::Kind::InvalidArgument) if it is malformed.
    pub fn set_proxy(&self, proxy: Option<&str>) -> Result<(), Error> {
        if let Some(text) = proxy {
            Proxy::parse(text, &Tls::standard())?;
        }
        self.configure(|config| {
            config.proxies.set_proxy(proxy, &config.tls);
        });
        Ok(())
    }

    /// Uses the proxies that the environment names now: `http_proxy`, `https_proxy`, `all_proxy` and
    /// `no_proxy`, each in lower or upper case. (`HTTP_PROXY` is ignored in CGI programs.) Entries of `no_proxy` that
    /// [`set_no_proxy`](Self::set_no_proxy) would refuse are passed over, as other clients do:
    /// [`ignored_no_proxy`](Self::ignored_no_proxy) returns them.
    ///
    /// ```
    /// let client = hangup::Client::default();
    /// client.set_proxy_from_env();
    /// ```
    pub fn set_proxy_from_env(&self) {
        self.configure(|config| config.proxies.read_env(&config.tls));
    }

    /// Connects to these hosts without a proxy, separated by commas: `example.org` (itself and all
    /// names below it), addresses, networks such as `10.0.0.0/8`, each with `:port` for one port only;
    /// `*` for all hosts. This replaces the environment's `no_proxy`.
    ///
    /// # Errors
    /// [`InvalidArgument`](crate::Kind::InvalidArgument) for an entry that is none of these.
    ///
    /// ```
    /// let client = hangup::Client::default();
    /// client.set_no_proxy("localhost, .internal.example, 10.0.0.0/8")?;
    /// # Ok::<(), hangup::Error>(())
    /// ```
    pub fn set_no_proxy(&self, list: &str) -> Result<(), Error> {
        let list = NoProxy::parse(list)?;
        self.configure(|config| config.proxies.set_no_proxy(list));
        Ok(())
    }

    /// The entries of the environment's `no_proxy` that are not understood and were passed over: these hosts are
    /// connected to through the proxy. Empty if the proxy is not the environment's. The event
    /// [`NoProxyIgnored`](crate::EventKind::NoProxyIgnored) tells that there are some.
    ///
    /// ```
    /// let client = hangup::Client::default();
    /// client.set_proxy(None)?;
    /// assert!(client.ignored_no_proxy().is_empty());
    /// # Ok::<(), hangup::Error>(())
    /// ```
    pub fn ignored_no_proxy(&self) -> Vec<String> {
        self.config.load().proxies.ignored().to_vec()
    }

    /// Connects from this address of the machine; `None`, the default, leaves it to the system.
    ///
    /// With one address there is one connection for each local port and server. A request that finds no free port waits
    /// for the other connections to its origin, until one is free or closed, as at a limit of the manager
    /// ([`Timeout::Pool`](crate::Timeout::Pool)); without another connection it fails with [`Kind::ConnectFailed`] and
    /// EADDRNOTAVAIL (connect(2)). It is the same without a local address.
    ///
    /// ```
    /// let client = hangup::Client::default();
    /// client.set_local_address(Some([127, 0, 0, 1].into()));
    /// ```
    pub fn set_local_address(&self, address: Option<IpAddr>) {
        self.change_route(|route| route.local = address);
    }

    /// Connects through this network interface of the machine, such as `eth0` (SO_BINDTODEVICE, socket(7)); `None`,
    /// the default, leaves it to the system. Link-local IPv6 addresses (`fe80::`) are reached through it as well:
    /// `http://[fe80::1]/` needs no zone then. Linux only; since Linux 5.7 it needs no privilege. If it can't be
    /// used, requests fail with [`Kind::ConnectFailed`].
    ///
    /// ```
    /// let client = hangup::Client::default();
    /// client.set_interface(Some("eth0"))?;
    /// client.set_interface(None)?;
    /// # Ok::<(), hangup::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Kind::InvalidArgument`] for a text that can't be the name of an interface.
    pub fn set_interface(&self, name: Option<&str>) -> Result<(), Error> {
        if let Some(name) = name
            // netdevice(7) has room for 15 bytes.
            && (name.is_empty() || name.len() > 15 || name.contains(['/', '\0', ' ']))
        {
            let what = format!("{name:?} is no name of a network interface; give one such as eth0");
            return Err(Error::new(Kind::InvalidArgument, what));
        }
        self.change_route(|route| route.interface = name.map(Into::into));
        Ok(())
    }

    /// Connects to IPv4 or to IPv6 addresses only; [`AddressFamily::Any`] unless set here. It is also for the
    /// addresses that a SOCKS proxy is asked for. If a host has no such address, requests fail with
    /// [`Kind::ConnectFailed`].
    ///
    /// ```
    /// let client = hangup::Client::default();
    /// client.set_address_family(hangup::AddressFamily::Ipv4);
    /// ```
    pub fn set_address_family(&self, family: AddressFamily) {
        self.change_route(|route| route.family = family);
    }

    /// Sets how long an attempt to connect to one address of a host has before the next address is tried beside it
    /// (happy eyeballs, RFC 8305 section 5): 250 ms unless set here. `None`: the next address is tried only when the
    /// one before has failed.
    ///
    /// The last address, which may be the only one, gets a second attempt beside the first after 300 ms, or after this
    /// delay if it is longer, as the system sends a SYN that was lost again only after a second. An address whose last
    /// connect took longer than a third of that gets it after three times that long. Both together are one attempt to
    /// the limits, the list of connections and errors; the one that connects first is used, and the other is closed.
    /// At most one in 32 of the process's descriptors (RLIMIT_NOFILE) is used for second attempts at a time. With `None` there is no second attempt.
    ///
    /// The address that connected last is the first to be tried at the next dials of the host, for ten minutes
    /// (RFC 8305 section 4), unless it fails: a family that does not work costs the delay once. It is forgotten with
    /// [`Manager::clear_addresses`](crate::Manager::clear_addresses) and
    /// [`Manager::network_changed`](crate::Manager::network_changed), and when
    /// [`Manager::set_address`](crate::Manager::set_address) gives the host other addresses.
    ///
    /// ```
    /// let client = hangup::Client::default();
    /// client.set_happy_eyeballs_delay(Some(std::time::Duration::from_millis(100)))?;
    /// # Ok::<(), hangup::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Kind::InvalidTimeout`] for zero.
    pub fn set_happy_eyeballs_delay(&self, delay: Option<Duration>) -> Result<(), Error> {
        let delay = not_zero(delay)?;
        // A time that no clock can hold is no time.
        let delay = delay.filter(|delay| *delay < LONGEST_DELAY);
        self.change_route(|route| route.attempt_delay = delay);
        Ok(())
    }

    /// Connects an origin elsewhere: requests to `origin` (`host:port`, `host` for every port, `*:port`, or `*` for
    /// all) connect to `place` (`host:port`, `host` with the origin's port, `:port` with its host, or
    /// `unix:/run/app.sock`, where `unix:@name` is an abstract socket). The first rule that is for an origin counts.
    ///
    /// The requests stay as they are, and so do the URL, the Host header and the origin under which the connection is
    /// listed. TLS asks for the origin's name and verifies it, or for `server_name` if that is given (RFC 6066
    /// section 3). A proxy is asked for the other place, always by a tunnel; Unix-domain sockets are connected to
    /// without a proxy.
    ///
    /// ```
    /// let client = hangup::Client::default();
    /// client.add_connect_to("example.org:443", "192.0.2.7:8443", None)?;
    /// client.add_connect_to("docker.test", "unix:/run/docker.sock", None)?;
    /// client.add_connect_to("front.test", "cdn.test", Some("cdn.test"))?;
    /// client.clear_connect_to();
    /// # Ok::<(), hangup::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Kind::InvalidArgument`].
    pub fn add_connect_to(
        &self,
        origin: &str,
        place: &str,
        server_name: Option<&str>,
    ) -> Result<(), Error> {
        let rule = ConnectRule::parse(origin, place, server_name)?;
        self.configure(|config| config.proxies.add_rule(rule, &config.tls));
        Ok(())
    }

    /// Removes all rules of [`add_connect_to`](Self::add_connect_to).
    pub fn clear_connect_to(&self) {
        self.configure(|config| config.proxies.clear_rules());
    }

    /// Has this function make the connections, in place of a name lookup and a connect: for vsock, SSH tunnels, or
    /// the socket pairs of a test. `None` returns to the library's own.
    ///
    /// It is called on a thread of the library, never on the caller's, possibly on several at once, and it may block: a
    /// request that is cancelled or times out (the connect timeout) does not wait for it, and what it returns then is
    /// closed. TLS is added for https. Its connections are pooled, listed and closed like any other, and no client with
    /// another connector uses them. Its error is a [`Kind::ConnectFailed`] with its message and its OS error number.
    ///
    /// It is asked for the proxy if one was set by [`set_proxy`](Self::set_proxy); proxies of the environment are not
    /// used. Local address, interface and address family have no effect. A URL that names a Unix-domain socket is
    /// connected to without it.
    ///
    /// ```no_run
    /// use std::os::unix::net::UnixStream;
    /// use std::sync::Arc;
    ///
    /// let client = hangup::Client::default();
    /// client.set_connector(Some(Arc::new(|request: &hangup::ConnectRequest<'_>| {
    ///     Ok(UnixStream::connect(format!("/run/tunnels/{}", request.host))?.into())
    /// })));
    /// let response = client.get("http://service.internal/", None)?;
    /// # Ok::<(), hangup::Error>(())
    /// ```
    pub fn set_connector(&self, connect: Option<Connect>) {
        self.change_route(|route| route.connector = connect.map(Connector::new));
    }

    fn change_route(&self, change: impl FnOnce(&mut Route)) {
        self.configure(|config| config.proxies.change_base(&config.tls, change));
    }
}

/// Longer than any connect.
const LONGEST_DELAY: Duration = Duration::from_secs(24 * 60 * 60);
