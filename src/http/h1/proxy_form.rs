//! What a HTTP proxy changes in a plain request: the request line names the origin, and the proxy's
//! credentials are a header. In a tunnel and without a proxy nothing changes, and no credentials that are
//! meant for a proxy reach the origin.

use http::HeaderMap;
use http::header::{HeaderValue, PROXY_AUTHORIZATION};

use crate::http::exchange::ExchangeConfig;
use crate::manager::PoolKey;
use crate::net::proxy::Proxy;

/// Sets the credentials of a message where a proxy reads them, and takes them away where one
/// would not.
pub(super) fn set_proxy_credentials(key: &PoolKey, headers: &mut HeaderMap) {
    match http_proxy(key) {
        // Comparing the names is quicker than a hash look-up, and most requests have no such field.
        None if headers.keys().any(|name| *name == PROXY_AUTHORIZATION) => {
            headers.remove(PROXY_AUTHORIZATION);
        }
        None => {}
        // A field of the request takes precedence over the credentials in the proxy's URL.
        Some(proxy) if !headers.contains_key(PROXY_AUTHORIZATION) => {
            let value = proxy.authorization().map(HeaderValue::try_from);
            if let Some(Ok(mut value)) = value {
                value.set_sensitive(true);
                headers.insert(PROXY_AUTHORIZATION, value);
            }
        }
        Some(_) => {}
    }
}

/// The first bytes of a message in the form that its peer wants; `None` if they may stay as they are.
pub(super) fn rewritten(config: &ExchangeConfig, output: &[u8]) -> Option<Vec<u8>> {
    match config.handover.tunnel_target() {
        None => absolute(&config.key, output),
        Some(target) => authority(target, output),
    }
}

/// The first bytes of a CONNECT request with its target in authority form (RFC 9112 section 3.2.3), which the engine
/// does not write.
fn authority(target: &str, output: &[u8]) -> Option<Vec<u8>> {
    let method = memchr::memchr(b' ', output)? + 1;
    let version = method + memchr::memchr(b' ', &output[method..])?;
    Some([&output[..method], target.as_bytes(), &output[version..]].concat())
}

/// The first bytes of a message as a HTTP proxy wants them: with the request line in absolute
/// form (RFC 9112 section 3.2.2). `None` if they may stay as they are. The engine writes no such line,
/// and an [`http::Uri`] can't hold one as its path; but it writes the whole line at once.
fn absolute(key: &PoolKey, output: &[u8]) -> Option<Vec<u8>> {
    http_proxy(key)?;
    let method = memchr::memchr(b' ', output)? + 1;
    // "OPTIONS *" is for the origin as a whole: its absolute form has no path at all
    // (RFC 9112 section 3.2.4).
    let target = match output[method..].strip_prefix(b"*") {
        Some(rest) if rest.first() == Some(&b' ') => rest,
        _ => &output[method..],
    };
    let origin = &key.origin;
    let mut with = Vec::with_capacity(output.len() + origin.host.len() + 16);
    with.extend_from_slice(&output[..method]);
    with.extend_from_slice(b"http://");
    with.extend_from_slice(origin.host.as_bytes());
    if origin.port != 80 {
        with.extend_from_slice(format!(":{}", origin.port).as_bytes());
    }
    with.extend_from_slice(target);
    Some(with)
}

/// The proxy that reads the message itself, if there is one.
fn http_proxy(key: &PoolKey) -> Option<&Proxy> {
    let origin = &key.origin;
    let reads = key.route.is_read_by_proxy(origin.secure) && origin.unix.is_none();
    key.route.proxy.as_deref().filter(|_| reads)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::manager::Origin;
    use crate::net::route::Route;
    use crate::net::tls::Tls;

    fn key(origin: &str, proxy: Option<&str>) -> Arc<PoolKey> {
        let tls = Tls::standard();
        let proxy = proxy.map(|proxy| Arc::new(Proxy::parse(proxy, &tls).unwrap()));
        let route = Arc::new(Route { proxy, ..Route::default() });
        PoolKey::new(Origin::parse(origin).unwrap(), &tls, &route)
    }

    fn line(origin: &str, proxy: Option<&str>, output: &str) -> Option<String> {
        absolute(&key(origin, proxy), output.as_bytes())
            .map(|bytes| String::from_utf8(bytes).unwrap())
    }

    #[test]
    fn a_proxy_that_reads_the_request_is_given_the_whole_url() {
        let get = "GET /a?b HTTP/1.1\r\nhost: x\r\n\r\n";
        assert_eq!(
            line("http://example.org", Some("p"), get).unwrap(),
            "GET http://example.org/a?b HTTP/1.1\r\nhost: x\r\n\r\n"
        );
        let there = line("http://[::1]:8080", Some("https://p"), get).unwrap();
        assert!(there.starts_with("GET http://[::1]:8080/a?b HTTP/1.1\r\n"));
        let all = line("http://example.org", Some("p"), "OPTIONS * HTTP/1.1\r\n").unwrap();
        assert_eq!(all, "OPTIONS http://example.org HTTP/1.1\r\n");
        for (origin, proxy) in [
            ("http://example.org", None),
            ("https://example.org", Some("p")),
            ("http://example.org", Some("socks5h://p")),
            ("http+unix://%2Fa", Some("p")),
        ] {
            assert_eq!(line(origin, proxy, get), None, "{origin} by {proxy:?}");
        }
    }

    #[test]
    fn no_credentials_of_a_proxy_reach_the_origin() {
        let sent = |origin, proxy, own: Option<&'static str>| {
            let mut headers = HeaderMap::new();
            if let Some(own) = own {
                headers.insert(PROXY_AUTHORIZATION, HeaderValue::from_static(own));
            }
            set_proxy_credentials(&key(origin, proxy), &mut headers);
            headers.get(PROXY_AUTHORIZATION).map(|value| value.to_str().unwrap().to_owned())
        };
        let proxy = Some("http://x:y@p");
        assert_eq!(sent("http://a", proxy, None).unwrap(), "Basic eDp5");
        assert_eq!(sent("http://a", proxy, Some("Own")).unwrap(), "Own");
        assert_eq!(sent("http://a", Some("p"), None), None);
        assert_eq!(sent("https://a", proxy, Some("Own")), None);
        assert_eq!(sent("http://a", Some("socks5://x:y@p"), Some("Own")), None);
        assert_eq!(sent("https://a", proxy, None), None);
        for origin in ["http://a", "https://a", "http+unix://%2Fa"] {
            assert_eq!(sent(origin, None, Some("Own")), None, "{origin}");
        }
        assert_eq!(sent("http+unix://%2Fa", proxy, Some("Own")), None);
    }
}
