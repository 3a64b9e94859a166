//! Where a proxy of ours finds the host that it is asked for: in a table of the test, never in DNS,
//! and never outside of loopback and of the tests' own networks.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// Names (in lower case) and the loopback addresses that stand for them. Port 0 is the one asked
/// for.
pub type Hosts = HashMap<String, SocketAddr>;

/// The address of a host, which may be a name of the table, `localhost` or an address.
pub(crate) fn locate(hosts: &Hosts, host: &str, port: u16) -> Option<SocketAddr> {
    let host = host.trim_start_matches('[').trim_end_matches(']').to_ascii_lowercase();
    let found = match hosts.get(&host) {
        Some(addr) if addr.port() == 0 => SocketAddr::new(addr.ip(), port),
        Some(addr) => *addr,
        None if host == "localhost" => (Ipv4Addr::LOCALHOST, port).into(),
        None => (host.parse::<IpAddr>().ok()?, port).into(),
    };
    (found.ip().is_loopback() || crate::network::is_far(found.ip())).then_some(found)
}

/// `host:port` in its parts; the brackets of an IPv6 address stay on.
pub(crate) fn split(authority: &str, default_port: u16) -> Option<(&str, u16)> {
    let port_at = authority.rfind(':').filter(|at| !authority[*at..].contains(']'));
    match port_at {
        Some(at) => Some((&authority[..at], authority[at + 1..].parse().ok()?)),
        None => Some((authority, default_port)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_table_and_loopback_are_known() {
        let at = |text: &str| text.parse::<SocketAddr>().unwrap();
        let table = [("a.test", "127.0.0.1:80"), ("b.test", "[::1]:0"), ("far.test", "10.0.0.1:1")];
        let hosts = table.map(|(name, addr)| (name.to_owned(), at(addr))).into();
        assert_eq!(locate(&hosts, "A.test", 443), Some(at("127.0.0.1:80")));
        assert_eq!(locate(&hosts, "b.test", 443), Some(at("[::1]:443")));
        assert_eq!(locate(&hosts, "[::1]", 1), Some(at("[::1]:1")));
        assert_eq!(locate(&hosts, "localhost", 1), Some(at("127.0.0.1:1")));
        for host in ["far.test", "c.test", "10.0.0.1"] {
            assert_eq!(locate(&hosts, host, 1), None, "{host}");
        }
    }

    #[test]
    fn authorities_are_split() {
        assert_eq!(split("a:1", 80), Some(("a", 1)));
        assert_eq!(split("[::1]", 80), Some(("[::1]", 80)));
        assert_eq!(split("[::1]:8", 80), Some(("[::1]", 8)));
        assert_eq!(split("a:b", 80), None);
    }
}
