//! Hosts that are reached without a proxy: the list that `no_proxy` holds.
//!
//! There is no standard for it. A name covers the names below it, with and without a dot in front;
//! addresses are compared as addresses. Other entries of an argument are refused: ignoring one would send requests
//! to a proxy that they were not meant for. Those of the environment are passed over, as by other clients: it is
//! written for all programs, and one entry must not stop all requests. The client reports them.

use std::net::IpAddr;

use ipnet::IpNet;

use crate::authority;
use crate::error::Error;
use crate::net::dns::parse_literal;
use crate::vocabulary::Kind;

/// Hosts that are reached without a proxy. Threads: a value.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct NoProxy(Vec<Exception>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Exception {
    which: Which,
    /// `None` is every port.
    port: Option<u16>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Which {
    All,
    /// A name and the names below it; lower case, without a dot in front.
    Name(String),
    /// An address is a network of one.
    Network(IpNet),
}

impl NoProxy {
    pub(super) fn empty() -> &'static Self {
        static EMPTY: NoProxy = NoProxy(Vec::new());
        &EMPTY
    }

    pub(super) fn parse(list: &str) -> Result<Self, Error> {
        let parts = list.split(|c: char| c == ',' || c.is_ascii_whitespace());
        let entries = parts.filter(|entry| !entry.is_empty());
        entries.map(Exception::parse).collect::<Result<_, _>>().map(Self)
    }

    /// [`parse`](Self::parse) for a list of the environment: returns the entries that are not understood, too.
    pub(super) fn parse_known(list: &str) -> (Self, Vec<String>) {
        let (mut known, mut unknown) = (Vec::new(), Vec::new());
        for entry in list.split(|c: char| c == ',' || c.is_ascii_whitespace()) {
            match Exception::parse(entry) {
                Ok(exception) => known.push(exception),
                Err(_) if entry.is_empty() => {}
                Err(_) => unknown.push(authority::shown(entry)),
            }
        }
        (Self(known), unknown)
    }

    pub(super) fn covers(&self, host: &str, port: u16) -> bool {
        let host = host.strip_suffix('.').unwrap_or(host);
        let address = parse_literal(host).map(|address| address.to_canonical());
        self.0.iter().any(|entry| {
            entry.port.is_none_or(|only| only == port) && entry.which.covers(host, address)
        })
    }
}

impl Which {
    fn covers(&self, host: &str, address: Option<IpAddr>) -> bool {
        match (self, address) {
            (Self::All, _) => true,
            (Self::Network(network), Some(address)) => network.contains(&address),
            (Self::Name(name), None) => host
                .strip_suffix(name.as_str())
                .is_some_and(|before| before.is_empty() || before.ends_with('.')),
            _ => false,
        }
    }
}

impl Exception {
    fn parse(text: &str) -> Result<Self, Error> {
        let bad = || {
            let shown = authority::shown(text);
            let what = format!(
                "{shown:?} is no host that can be excluded from the proxy; give a name, an address, a \
                 network such as 10.0.0.0/8, or *"
            );
            Error::new(Kind::InvalidArgument, what)
        };
        // A bare IPv6 address is full of colons; none of them is before a port.
        if let Some(network) = network(text) {
            return Ok(Self { which: Which::Network(network), port: None });
        }
        let (host, port) = match text.rsplit_once(':') {
            Some((host, port)) => (host, Some(port.parse().map_err(|_| bad())?)),
            None => (text, None),
        };
        let which = match network(host) {
            Some(network) => Which::Network(network),
            None if host == "*" => Which::All,
            None => Which::Name(name(host).ok_or_else(bad)?),
        };
        Ok(Self { which, port })
    }
}

fn network(text: &str) -> Option<IpNet> {
    if let Some(address) = parse_literal(text) {
        return Some(IpNet::from(address.to_canonical()));
    }
    text.parse().ok()
}

fn name(text: &str) -> Option<String> {
    let name = text.strip_prefix("*.").unwrap_or(text);
    let name = name.strip_prefix('.').unwrap_or(name);
    let name = name.strip_suffix('.').unwrap_or(name);
    if name.is_empty() || name.contains(['/', ':', '[', ']', '*', '@']) {
        return None;
    }
    if name.is_ascii() {
        return Some(name.to_ascii_lowercase());
    }
    // In the form of the URL standard, which the origin's name has as well.
    url::Host::parse(name).ok().map(|host| host.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_proxy_has_names_addresses_networks_and_ports() {
        let covers =
            |list: &str, host: &str, port| NoProxy::parse(list).unwrap().covers(host, port);
        for (list, host) in [
            ("*", "example.org"),
            ("a, *", "[::1]"),
            ("example.org", "example.org"),
            ("example.org", "www.example.org"),
            (".example.org", "example.org"),
            (".Example.ORG.", "a.b.example.org"),
            ("*.example.org", "a.example.org"),
            ("example.org", "example.org."),
            ("a b,\texample.org ,", "example.org"),
            ("b\u{fc}cher.example", "xn--bcher-kva.example"),
            ("127.0.0.1", "127.0.0.1"),
            ("::1", "[::1]"),
            ("[::1]", "[::1]"),
            ("[::1]:80", "[::1]"),
            ("10.0.0.0/8", "10.1.2.3"),
            ("fd00::/8", "[fd12::1]"),
            ("example.org:80", "www.example.org"),
            ("10.0.0.0/8:80", "10.1.2.3"),
            ("127.0.0.1", "[::ffff:127.0.0.1]"),
        ] {
            assert!(covers(list, host, 80), "{list} must cover {host}");
        }
        for (list, host) in [
            ("", "example.org"),
            ("example.org", "notexample.org"),
            ("www.example.org", "example.org"),
            ("example.org:81", "example.org"),
            ("10.0.0.0/8", "11.0.0.1"),
            ("10.0.0.0/8", "10.example.org"),
            ("0.0.1", "127.0.0.1"),
            ("fd00::/8", "[fe80::1]"),
            ("::1", "127.0.0.1"),
            ("localhost", "127.0.0.1"),
            ("127.0.0.1", "localhost"),
        ] {
            assert!(!covers(list, host, 80), "{list} must not cover {host}");
        }
        let list = "localhost,/var/run/docker.sock 192.168.*, ,http://u:secret@a";
        let (known, unknown) = NoProxy::parse_known(list);
        assert!(known.covers("localhost", 80) && !known.covers("192.168.0.1", 80));
        assert_eq!(unknown, ["/var/run/docker.sock", "192.168.*", "http://***@a"]);
        for list in ["10.0.0.0/33", "a/b", "example.org:http", "[::1", "http://a", "."] {
            assert!(NoProxy::parse(list).is_err(), "{list}");
        }
    }
}
