//! What makes two connections interchangeable.
//!
//! A connection that is given to the wrong request is a security hole. So the key is one struct, and
//! its comparison names every field: a new setting that shapes connections becomes a field here and
//! can't be forgotten.

use std::borrow::Cow;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::path::Path;
use std::sync::Arc;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, percent_encode};

use crate::authority;
use crate::error::Error;
use crate::net;
use crate::net::connect_to;
use crate::net::route::Route;
use crate::net::tls::Tls;
use crate::vocabulary::Kind;

/// Scheme, host and port; or a Unix-domain socket. Threads: immutable.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Origin {
    pub(crate) secure: bool,
    /// Lower case; an IPv6 literal keeps its brackets. "localhost" for a Unix-domain socket.
    pub(crate) host: String,
    /// The zone of a link-local IPv6 address (RFC 4007): a network interface, by its name or number.
    pub(crate) zone: Option<Arc<str>>,
    pub(crate) port: u16,
    /// The path of the Unix-domain socket that is connected to instead of host and port.
    pub(crate) unix: Option<Arc<Path>>,
}

/// Everything that shapes a connection. Threads: immutable.
pub(crate) struct PoolKey {
    pub(crate) origin: Origin,
    /// `None` for plain text: TLS settings don't separate plain connections.
    pub(crate) tls: Option<Arc<Tls>>,
    pub(crate) route: Arc<Route>,
    /// The hash of all other fields, computed once: every request looks a key up.
    hash: u64,
}

impl Origin {
    /// Parses text such as `https://example.org:8443/ignored`.
    pub(crate) fn parse(text: &str) -> Result<Self, Error> {
        let bad = |why: &str| {
            let shown = authority::shown(text);
            let what =
                format!("{shown:?} is no origin ({why}); give scheme://host or scheme://host:port");
            Error::new(Kind::InvalidUrl, what)
        };
        authority::check(text).map_err(|why| bad(&why))?;
        let (text, zone) = authority::without_zone(text);
        let url = url::Url::parse(&text).map_err(|error| bad(&error.to_string()))?;
        Self::of(&url, zone).map_err(|why| bad(&why))
    }

    /// The origin of a URL, whose zone was taken out before, or why it has none. `http+unix://%2Frun%2Fapp.sock` names a Unix-domain
    /// socket by its percent-encoded path, as other clients have it, and `http+unix://%40name` one in the abstract
    /// namespace of Linux.
    pub(crate) fn of(url: &url::Url, zone: Option<&str>) -> Result<Self, String> {
        let (secure, unix) = match url.scheme() {
            "https" => (true, false),
            "http" => (false, false),
            "https+unix" => (true, true),
            "http+unix" => (false, true),
            other => return Err(format!("{other:?} is not http or https")),
        };
        let host = url.host_str().filter(|host| !host.is_empty()).ok_or("it has no host")?;
        if unix {
            if url.port().is_some() {
                return Err("a Unix-domain socket has no port".into());
            }
            let path = connect_to::socket_path(percent_decode_str(host).collect())
                .map_err(|why| format!("its host is no percent-encoded path: {why}"))?;
            let port = if secure { 443 } else { 80 };
            let (host, unix) = ("localhost".into(), Some(path.into()));
            return Ok(Self { secure, host, zone: None, port, unix });
        }
        let port = url.port_or_known_default().ok_or("it has no port")?;
        Ok(Self { secure, host: host.to_owned(), zone: zone.map(Into::into), port, unix: None })
    }
}

impl Origin {
    /// The host as URLs have it, with its zone.
    pub(crate) fn zoned_host(&self) -> Cow<'_, str> {
        match &self.zone {
            None => Cow::Borrowed(&self.host),
            Some(zone) => Cow::Owned(format!("{}%25{zone}]", self.host.trim_end_matches(']'))),
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.secure { "https" } else { "http" };
        match &self.unix {
            None => write!(f, "{scheme}://{}:{}", self.zoned_host(), self.port),
            Some(path) => {
                let bytes = net::path_bytes(path);
                // The zero byte of an abstract name is written as most tools write it.
                let (mark, bytes) = match bytes {
                    [0, name @ ..] => ("%40", name),
                    path => ("", path),
                };
                write!(f, "{scheme}+unix://{mark}{}", percent_encode(bytes, IN_PATHS))
            }
        }
    }
}

impl PoolKey {
    pub(crate) fn new(origin: Origin, tls: &Arc<Tls>, route: &Arc<Route>) -> Arc<Self> {
        let tls = origin.secure.then(|| Arc::clone(tls));
        let mut key = Self { origin, tls, route: Arc::clone(route), hash: 0 };
        let mut hasher = std::hash::DefaultHasher::new();
        key.parts().hash(&mut hasher);
        key.hash = hasher.finish();
        Arc::new(key)
    }

    /// What is compared and hashed. Every field is named: a new one does not compile until it is
    /// added here.
    fn parts(&self) -> (&Origin, Option<&Tls>, &Route) {
        let Self { origin, tls, route, hash: _ } = self;
        (origin, tls.as_deref(), route)
    }
}

impl PartialEq for PoolKey {
    fn eq(&self, other: &Self) -> bool {
        std::ptr::eq(self, other) || (self.hash == other.hash && self.parts() == other.parts())
    }
}

impl Eq for PoolKey {}

impl Hash for PoolKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.hash);
    }
}

impl fmt::Debug for PoolKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PoolKey({})", self.origin)
    }
}

/// All bytes but those that RFC 3986 section 2.3 calls unreserved.
const IN_PATHS: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::connect_to::{ConnectTo, LONGEST_PATH, Place};
    use crate::net::connector::Connector;
    use crate::net::tls::{Roots, Settings};
    use crate::vocabulary::AddressFamily;

    #[test]
    fn every_setting_that_shapes_a_connection_separates() {
        let origin = Origin::parse("https://Example.org").unwrap();
        assert_eq!(origin.to_string(), "https://example.org:443");
        let standard = Tls::standard();
        let trusting =
            Arc::new(Tls::with(Settings { accept_any_certificate: true, ..Settings::default() }));
        let own = Arc::new(Tls::with(Settings {
            roots: Roots::only(vec![vec![1].into()]),
            ..Settings::default()
        }));
        let direct = Arc::new(Route::default());
        let key = |tls| PoolKey::new(origin.clone(), tls, &direct);
        let same = Arc::new(Tls::new());
        assert_eq!(key(&standard), key(&same));
        assert_ne!(key(&standard), key(&trusting));
        assert_ne!(key(&standard), key(&own));
        let place = Place::Tcp { host: None, port: Some(81) };
        let connector =
            || Some(Connector::new(Arc::new(|_| Err(std::io::ErrorKind::Other.into()))));
        let routes = [
            Route::default(),
            Route { local: "127.0.0.2".parse().ok(), ..Route::default() },
            Route { interface: Some("lo".into()), ..Route::default() },
            Route { family: AddressFamily::Ipv4, ..Route::default() },
            Route { family: AddressFamily::Ipv6, ..Route::default() },
            Route { attempt_delay: None, ..Route::default() },
            Route {
                connect_to: Some(Arc::new(ConnectTo { place: place.clone(), server_name: None })),
                ..Route::default()
            },
            Route {
                connect_to: Some(Arc::new(ConnectTo { place, server_name: Some("a".into()) })),
                ..Route::default()
            },
            Route { connector: connector(), ..Route::default() },
            Route { connector: connector(), ..Route::default() },
        ];
        let keys = routes.map(|route| PoolKey::new(origin.clone(), &standard, &Arc::new(route)));
        for (index, one) in keys.iter().enumerate() {
            for (other, two) in keys.iter().enumerate() {
                assert_eq!(one == two, index == other, "{index} and {other}");
            }
        }
        let plain = |tls| PoolKey::new(Origin::parse("http://example.org").unwrap(), tls, &direct);
        assert_eq!(plain(&standard), plain(&trusting));
        assert_ne!(
            plain(&standard),
            PoolKey::new(Origin::parse("http://example.org:81").unwrap(), &standard, &direct)
        );
    }

    #[test]
    fn what_is_no_origin_is_refused() {
        for text in [
            "",
            "example.org",
            "ftp://u:secret@example.org",
            "http://",
            "file:///etc/passwd",
            "http:example.org",
            "http:\\\\u:secret@example.org",
            " http://example.org",
        ] {
            let error = Origin::parse(text).unwrap_err();
            assert_eq!(error.kind(), Kind::InvalidUrl, "{text}");
            assert!(!error.message().contains("secret"), "{}", error.message());
        }
    }

    #[test]
    fn a_link_local_address_has_a_zone() {
        let text = "http://[fe80::1%25eth0]:8080";
        let origin = Origin::parse(text).unwrap();
        assert_eq!((&*origin.host, origin.zone.as_deref()), ("[fe80::1]", Some("eth0")));
        assert_eq!(origin.to_string(), text);
        for other in ["http://[fe80::1]:8080", "http://[fe80::1%25eth1]:8080"] {
            assert_ne!(Origin::parse(other).unwrap(), origin);
        }
        assert!(Origin::parse("http://[::1%25lo]").is_err());
    }

    #[test]
    fn a_unix_domain_socket_is_an_origin_by_its_path() {
        let text = "http+unix://%2Frun%2FMy%20app.sock";
        let origin = Origin::parse(&format!("{text}/ignored?x")).unwrap();
        assert_eq!(origin.unix.as_deref(), Some(Path::new("/run/My app.sock")));
        assert_eq!(origin.to_string(), text);
        assert_eq!(Origin::parse(&origin.to_string()).unwrap(), origin);
        assert_ne!(Origin::parse("http+unix://%2Frun%2Fmy%20app.sock").unwrap(), origin);
        assert_ne!(Origin::parse("https+unix://%2Frun%2FMy%20app.sock").unwrap(), origin);
        let named = Origin::parse("http+unix://%40my%20app").unwrap();
        assert_eq!(named.unix.as_deref(), Some(Path::new("\0my app")));
        assert_eq!(named.to_string(), "http+unix://%40my%20app");
        assert_eq!(Origin::parse("http+unix://%00my%20app").unwrap(), named);
        let long = format!("http+unix://%2F{}", "x".repeat(LONGEST_PATH));
        for (bad, word) in [
            ("http+unix://run%2Fapp.sock", "absolute"),
            ("http+unix://%2Frun%2Fapp.sock:80", "port"),
            ("http+unix:///run/app.sock", "host"),
            ("http+unix://%2Frun%00", "zero"),
            ("http+unix://%40a%00", "zero"),
            ("http+unix://%40", "name"),
            (&*long, "107"),
        ] {
            let error = Origin::parse(bad).unwrap_err();
            assert_eq!(error.kind(), Kind::InvalidUrl, "{bad}");
            assert!(error.message().contains(word), "{}", error.message());
        }
    }
}
