//! What makes two connections interchangeable.
//!
//! Handing a connection to the wrong request is a security hole. So the key is one struct with
//! derived equality: a new setting that shapes connections becomes a field here and can't be
//! forgotten in a comparison.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use crate::error::{Error, Kind};
use crate::net::route::Route;
use crate::net::tls::{Settings, Tls};

/// Scheme, host and port. Threads: immutable.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Origin {
    pub(crate) secure: bool,
    /// Lower case; an IPv6 literal keeps its brackets.
    pub(crate) host: String,
    pub(crate) port: u16,
}

/// Everything that shapes a connection. Threads: immutable.
pub(crate) struct PoolKey {
    pub(crate) origin: Origin,
    /// `None` for plain text: TLS settings don't separate plain connections.
    pub(crate) tls: Option<Arc<Tls>>,
    pub(crate) route: Arc<Route>,
    /// Of all fields, computed once: the pool looks keys up on every request.
    hash: u64,
}

impl Origin {
    /// From text such as "https://example.org:8443/ignored".
    pub(crate) fn parse(text: &str) -> Result<Self, Error> {
        let bad = |why: &str| {
            let what =
                format!("{text:?} is no origin ({why}); give scheme://host or scheme://host:port");
            Error::new(Kind::InvalidUrl, what)
        };
        let url = url::Url::parse(text).map_err(|error| bad(&error.to_string()))?;
        Self::of(&url).ok_or_else(|| bad("not http or https, or no host"))
    }

    pub(crate) fn of(url: &url::Url) -> Option<Self> {
        let secure = match url.scheme() {
            "https" => true,
            "http" => false,
            _ => return None,
        };
        let host = url.host_str().filter(|host| !host.is_empty())?.to_owned();
        Some(Self { secure, host, port: url.port_or_known_default()? })
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.secure { "https" } else { "http" };
        write!(f, "{scheme}://{}:{}", self.host, self.port)
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

    pub(crate) fn plan(&self, keep_alive: Option<std::time::Duration>) -> crate::net::dial::Plan {
        crate::net::dial::Plan {
            host: self.origin.host.clone(),
            port: self.origin.port,
            tls: self.tls.clone(),
            route: Arc::clone(&self.route),
            keep_alive,
        }
    }

    /// What counts, every field by name: a new one does not compile until it is put here.
    fn parts(&self) -> (&Origin, Option<&Settings>, &Route) {
        let Self { origin, tls, route, hash: _ } = self;
        (origin, tls.as_ref().map(|tls| tls.settings()), route)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_setting_that_shapes_a_connection_separates() {
        let origin = Origin::parse("https://Example.org").unwrap();
        assert_eq!(origin.to_string(), "https://example.org:443");
        let standard = Tls::standard();
        let trusting = Tls::new(Settings { trust_anybody: true, ..Settings::default() });
        let own = Tls::new(Settings { roots: Some(vec![vec![1].into()]), ..Settings::default() });
        let direct = Arc::new(Route::default());
        let key = |tls| PoolKey::new(origin.clone(), tls, &direct);
        let same = Tls::new(Settings::default());
        assert_eq!(key(&standard), key(&same));
        assert_ne!(key(&standard), key(&trusting));
        assert_ne!(key(&standard), key(&own));
        let from = Route { local: "127.0.0.2".parse().ok(), ..Route::default() };
        assert_ne!(key(&standard), PoolKey::new(origin.clone(), &standard, &Arc::new(from)));
        let plain = |tls| PoolKey::new(Origin::parse("http://example.org").unwrap(), tls, &direct);
        assert_eq!(plain(&standard), plain(&trusting));
        assert_ne!(
            plain(&standard),
            PoolKey::new(Origin::parse("http://example.org:81").unwrap(), &standard, &direct)
        );
    }

    #[test]
    fn what_is_no_origin_is_refused() {
        for text in ["", "example.org", "ftp://example.org", "http://", "file:///etc/passwd"] {
            assert_eq!(Origin::parse(text).unwrap_err().kind(), Kind::InvalidUrl, "{text}");
        }
    }
}
