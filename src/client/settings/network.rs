//! The way to a server: proxies, and the address that a client connects from.

use std::net::IpAddr;

use crate::client::Client;
use crate::client::no_proxy::NoProxy;
use crate::error::Error;
use crate::net::proxy::Proxy;
use crate::net::tls::Tls;

impl Client {
    /// Sends every request through this proxy, `[scheme://][user:password@]host[:port]` with a
    /// scheme of `http` (the default), `https`, `socks5` or `socks5h`; `None`: through none. A
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
    /// `no_proxy`, each in lower or upper case. (`HTTP_PROXY` is ignored in CGI programs.)
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

    /// Connects from this address of the machine; `None`, the default, leaves it to the system.
    ///
    /// ```
    /// let client = hangup::Client::default();
    /// client.set_local_address(Some([127, 0, 0, 1].into()));
    /// ```
    pub fn set_local_address(&self, address: Option<IpAddr>) {
        self.configure(|config| config.proxies.set_local_address(address, &config.tls));
    }
}
