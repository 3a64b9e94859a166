//! What a HTTP proxy changes in a plain request: the request line names the origin, and the proxy's
//! credentials are a header. In a tunnel and without a proxy nothing changes, and no credentials that are
//! meant for a proxy reach the origin.

use std::sync::Arc;

use http::Method;

use crate::headers::PROXY_AUTHORIZATION;
use crate::http::request_head::RequestHead;
use crate::manager::PoolKey;
use crate::net::proxy::Proxy;
use crate::target::Target;

/// Sets the credentials of a message where a proxy reads them, and takes them away where one
/// would not.
#[inline]
pub(super) fn set_proxy_credentials(
    key: &PoolKey,
    method: &Method,
    target: &Target,
    head: &mut RequestHead,
) {
    match http_proxy(key) {
        None if head.is_plain => {}
        None => Arc::make_mut(&mut head.headers).remove(PROXY_AUTHORIZATION),
        Some(proxy) => add_proxy_credentials(proxy, method, target, head),
    }
}

#[inline(never)] // Few requests go through such a proxy.
fn add_proxy_credentials(proxy: &Proxy, method: &Method, target: &Target, head: &mut RequestHead) {
    // A field of the request takes precedence over the credentials in the proxy's URL.
    if head.headers.contains(PROXY_AUTHORIZATION) {
        return;
    }
    // The path alone, as curl and browsers have it for digest authentication.
    let path = String::from_utf8_lossy(head.request_target(target));
    if let Some(value) = proxy.authorization(method.as_str(), &path) {
        Arc::make_mut(&mut head.headers).add(PROXY_AUTHORIZATION, value.as_bytes());
    }
}

/// The request target as a HTTP proxy wants it: in absolute form (RFC 9112 section 3.2.2). `None` if it may stay
/// as it is.
pub(super) fn absolute(key: &PoolKey, target: &[u8]) -> Option<Vec<u8>> {
    http_proxy(key)?;
    let path = match target {
        // "OPTIONS *" is for the origin as a whole: its absolute form has no path at all
        // (RFC 9112 section 3.2.4).
        b"*" => b"",
        [b'/', ..] => target,
        // The caller gave another form.
        _ => return None,
    };
    let origin = &key.origin;
    let mut absolute = Vec::with_capacity(path.len() + origin.host.len() + 16);
    absolute.extend_from_slice(b"http://");
    absolute.extend_from_slice(origin.host.as_bytes());
    if origin.port != 80 {
        absolute.extend_from_slice(format!(":{}", origin.port).as_bytes());
    }
    absolute.extend_from_slice(path);
    Some(absolute)
}

/// The proxy that reads the message itself, if there is one.
fn http_proxy(key: &PoolKey) -> Option<&Proxy> {
    let origin = &key.origin;
    let reads = key.route.is_read_by_proxy(origin.secure) && origin.unix.is_none();
    key.route.proxy.as_deref().filter(|_| reads)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::headers::Headers;
    use crate::http::request_body::BodyLength;
    use crate::manager::Origin;
    use crate::net::route::Route;
    use crate::net::tls::Tls;

    fn key(origin: &str, proxy: Option<&str>) -> Arc<PoolKey> {
        let tls = Tls::standard();
        let proxy = proxy.map(|proxy| Arc::new(Proxy::parse(proxy, &tls).unwrap()));
        let route = Arc::new(Route { proxy, ..Route::default() });
        PoolKey::new(Origin::parse(origin).unwrap(), &tls, &route)
    }

    fn form(origin: &str, proxy: Option<&str>, target: &str) -> Option<String> {
        absolute(&key(origin, proxy), target.as_bytes())
            .map(|bytes| String::from_utf8(bytes).unwrap())
    }

    #[test]
    fn a_proxy_that_reads_the_request_is_given_the_whole_url() {
        let there = form("http://example.org", Some("p"), "/a?b").unwrap();
        assert_eq!(there, "http://example.org/a?b");
        let there = form("http://[::1]:8080", Some("https://p"), "/a?b").unwrap();
        assert_eq!(there, "http://[::1]:8080/a?b");
        assert_eq!(form("http://example.org", Some("p"), "*").unwrap(), "http://example.org");
        assert_eq!(form("http://example.org", Some("p"), "http://other.example/"), None);
        for (origin, proxy) in [
            ("http://example.org", None),
            ("https://example.org", Some("p")),
            ("http://example.org", Some("socks5h://p")),
            ("http+unix://%2Fa", Some("p")),
        ] {
            assert_eq!(form(origin, proxy, "/a?b"), None, "{origin} by {proxy:?}");
        }
    }

    #[test]
    fn no_credentials_of_a_proxy_reach_the_origin() {
        let sent = |origin, proxy, own: Option<&'static str>| {
            let mut headers = Headers::default();
            if let Some(own) = own {
                headers.add("proxy-authorization", own.as_bytes());
            }
            let (headers, is_plain) = (Arc::new(headers), own.is_none());
            // Another request has the same fields.
            let shared = Arc::clone(&headers);
            let body = BodyLength::None;
            let mut head = RequestHead { given_target: None, headers, is_plain, body };
            let target = Target::parse("http://localhost/").unwrap();
            set_proxy_credentials(&key(origin, proxy), &Method::GET, &target, &mut head);
            assert_eq!(shared.len(), usize::from(own.is_some()));
            let value = head.headers.values(PROXY_AUTHORIZATION).next();
            value.map(|value| String::from_utf8(value.to_vec()).unwrap())
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
