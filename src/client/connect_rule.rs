//! Which origins connect to another place than the host and port of their URLs: the rules that a client was given.

use std::sync::Arc;

use crate::authority;
use crate::error::Error;
use crate::manager::Origin;
use crate::net::connect_to::{ConnectTo, Place, host_and_port};
use crate::vocabulary::Kind;

/// One rule. Threads: immutable.
#[derive(Clone, Debug)]
pub(super) struct ConnectRule {
    /// `None` is every host.
    host: Option<String>,
    /// `None` is every port.
    port: Option<u16>,
    pub(super) to: Arc<ConnectTo>,
}

impl ConnectRule {
    /// For the origins `host:port`, `host`, `*:port` or `*`.
    pub(super) fn parse(from: &str, to: &str, server_name: Option<&str>) -> Result<Self, Error> {
        let bad = |text: &str, what: &str, why: &str| {
            let shown = authority::shown(text);
            Error::new(Kind::InvalidArgument, format!("{shown:?} is no {what} ({why})"))
        };
        let bad_origin = |why: &str| {
            let what = "origin that can be connected elsewhere";
            bad(from, what, &format!("{why}; give host:port, host, *:port or *"))
        };
        let (host, port) = match from.strip_prefix('*') {
            Some("") => (None, None),
            Some(port) if port.starts_with(':') => {
                host_and_port(port).map_err(|why| bad_origin(&why))?
            }
            _ => {
                let (host, port) = host_and_port(from).map_err(|why| bad_origin(&why))?;
                (Some(host.ok_or_else(|| bad_origin("it has no host"))?), port)
            }
        };
        let place = Place::parse(to).map_err(|why| {
            let forms = "give host:port, host, :port, or unix: and a path";
            bad(to, "place to connect to", &format!("{why}; {forms}"))
        })?;
        let server_name = server_name.map(|name| match host_and_port(name) {
            Ok((Some(host), None)) => Ok(host),
            Ok(_) => Err(bad(name, "server name", "give a host without a port")),
            Err(why) => Err(bad(name, "server name", &why)),
        });
        let to = Arc::new(ConnectTo { place, server_name: server_name.transpose()? });
        Ok(Self { host, port, to })
    }

    pub(super) fn is_for(&self, origin: &Origin) -> bool {
        self.host.as_ref().is_none_or(|host| *host == origin.host)
            && self.port.is_none_or(|port| port == origin.port)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_for(from: &str, origin: &str) -> bool {
        let rule = ConnectRule::parse(from, "a:1", None).unwrap();
        rule.is_for(&Origin::parse(origin).unwrap())
    }

    #[test]
    fn a_rule_is_for_a_host_a_port_both_or_all() {
        for (from, origin) in [
            ("Example.org:443", "https://example.org"),
            ("example.org", "http://example.org:81"),
            ("*:443", "https://example.org"),
            ("*", "http://[::1]"),
            ("[::1]:80", "http://[::1]"),
        ] {
            assert!(is_for(from, origin), "{from} must be for {origin}");
        }
        for (from, origin) in [
            ("example.org:443", "http://example.org"),
            ("example.org", "http://www.example.org"),
            ("*:443", "http://example.org"),
        ] {
            assert!(!is_for(from, origin), "{from} must not be for {origin}");
        }
    }

    #[test]
    fn what_is_no_rule_is_refused() {
        for (from, to, name) in [
            ("", "a:1", None),
            (":80", "a:1", None),
            ("*a", "a:1", None),
            ("http://a", "a:1", None),
            ("a:0", "a:1", None),
            ("a", "", None),
            ("a", "b:x", None),
            ("a", "unix:b", None),
            ("a", "b:1", Some("")),
            ("a", "b:1", Some("c:1")),
            ("a", "b:1", Some("c d")),
        ] {
            let error = ConnectRule::parse(from, to, name).unwrap_err();
            assert_eq!(error.kind(), Kind::InvalidArgument, "{from} {to} {name:?}");
        }
    }
}
