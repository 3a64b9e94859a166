//! A URL as it will be requested: checked, and split into what the connection needs and what
//! is sent.
//!
//! Parsing is cached in two places here, each with its measured reason beside it.

use std::cell::RefCell;
use std::sync::{Arc, OnceLock};

use http::{HeaderValue, Uri};

use crate::authority;
use crate::error::Error;
use crate::manager::{Origin, PoolKey};
use crate::net::route::Route;
use crate::net::tls::Tls;
use crate::secret::basic_credentials;
use crate::vocabulary::Kind;

/// A URL that can be requested. Threads: immutable.
#[derive(Debug)]
pub(crate) struct Target {
    /// Without user information and fragment (RFC 9110 section 4.2.4).
    pub(crate) uri: Uri,
    pub(crate) origin: Origin,
    /// The value of the Host header (RFC 9110 section 7.2).
    pub(crate) host: HeaderValue,
    /// User information as Basic credentials (RFC 7617).
    pub(crate) credentials: Option<HeaderValue>,
    /// The pool key for the settings of the first request, which are mostly the only ones. Building the key
    /// again would add 1,160 instructions to a small GET of 21,500.
    key: OnceLock<(Arc<Tls>, Arc<Route>, Arc<PoolKey>)>,
}

impl Target {
    /// [`parse`](Self::parse), or the target of this thread's last call if the text is the same: programs request
    /// the same URL again. Parsing takes 14,000 instructions, two thirds of those of a small GET.
    pub(crate) fn of(text: &str) -> Result<Arc<Self>, Error> {
        let known = LAST.try_with(|last| match &*last.borrow() {
            Some((known, target)) if known == text => Some(Arc::clone(target)),
            _ => None,
        });
        if let Ok(Some(target)) = known {
            return Ok(target);
        }
        let target = Self::parse(text)?;
        let _ = LAST.try_with(|last| last.replace(Some((text.to_owned(), Arc::clone(&target)))));
        Ok(target)
    }

    /// Parses as the URL standard specifies, but refuses a URL that can be read in two ways instead of repairing it.
    pub(crate) fn parse(text: &str) -> Result<Arc<Self>, Error> {
        authority::check(text).map_err(|why| {
            Error::new(Kind::InvalidUrl, format!("not a URL that can be requested: {why}"))
        })?;
        let mut url = url::Url::parse(text).map_err(|error| {
            let hint = if text.contains("://") {
                ""
            } else {
                "; an absolute one begins with http:// or https://"
            };
            Error::new(Kind::InvalidUrl, format!("not a URL: {error}{hint}"))
        })?;
        let origin = Origin::of(&url).map_err(|why| {
            let what =
                format!("not a URL that can be requested: {why}; use http or https, with a host");
            Error::new(Kind::InvalidUrl, what)
        })?;
        if origin.port == 0 {
            return Err(Error::new(Kind::InvalidUrl, "port 0 can't be connected to"));
        }
        let credentials = credentials(&url);
        url.set_fragment(None);
        // Neither can fail for http and https URLs with a host.
        let _ = url.set_username("");
        let _ = url.set_password(None);
        let text = match &origin.unix {
            None => String::from(url),
            // HTTP has no place for the socket's path: the request names this machine.
            Some(_) => {
                let scheme = if origin.secure { "https" } else { "http" };
                format!("{scheme}://localhost{}", path_and_query(&url))
            }
        };
        if text.len() > MAX_URL {
            let what = format!("the URL has {} bytes; at most {MAX_URL} are sent", text.len());
            return Err(Error::new(Kind::InvalidUrl, what));
        }
        let uri = Uri::try_from(text).map_err(|error| {
            Error::new(Kind::InvalidUrl, format!("not a URL that can be requested: {error}"))
        })?;
        let authority = uri.authority().map_or("", |authority| authority.as_str());
        let host = HeaderValue::from_str(authority)
            .map_err(|_| Error::new(Kind::InvalidUrl, "not a host that can be requested"))?;
        Ok(Arc::new(Self { uri, origin, host, credentials, key: OnceLock::new() }))
    }

    /// The URL that was requested, without user information and fragment.
    pub(crate) fn url(&self) -> String {
        match &self.origin.unix {
            None => self.uri.to_string(),
            Some(_) => {
                let path = self.uri.path_and_query().map_or("/", |path| path.as_str());
                format!("{}{path}", self.origin)
            }
        }
    }

    /// The pool key for these settings.
    pub(crate) fn key(&self, tls: &Arc<Tls>, route: &Arc<Route>) -> Arc<PoolKey> {
        let make = || PoolKey::new(self.origin.clone(), tls, route);
        let (its_tls, its_route, key) =
            self.key.get_or_init(|| (Arc::clone(tls), Arc::clone(route), make()));
        if Arc::ptr_eq(its_tls, tls) && Arc::ptr_eq(its_route, route) {
            return Arc::clone(key);
        }
        make()
    }
}

thread_local! {
    static LAST: RefCell<Option<(String, Arc<Target>)>> = const { RefCell::new(None) };
}

/// The path with a slash at its beginning, which the standard omits for some URLs.
fn path_and_query(url: &url::Url) -> String {
    let slash = if url.path().starts_with('/') { "" } else { "/" };
    let query = url.query().map_or(String::new(), |query| format!("?{query}"));
    format!("{slash}{}{query}", url.path())
}

fn credentials(url: &url::Url) -> Option<HeaderValue> {
    let (user, password) = (url.username(), url.password());
    if user.is_empty() && password.is_none() {
        return None;
    }
    let decode = |text| percent_encoding::percent_decode_str(text).collect::<Vec<u8>>();
    let text = basic_credentials(&decode(user), &decode(password.unwrap_or("")));
    let mut value = HeaderValue::from_str(&text).ok()?;
    value.set_sensitive(true);
    Some(value)
}

/// The bound of [`http::Uri`].
const MAX_URL: usize = 65_534;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_as_the_url_standard_has_them() {
        let uri = |text: &str| Target::parse(text).unwrap().uri.to_string();
        assert_eq!(uri("http://EXAMPLE.org"), "http://example.org/");
        assert_eq!(uri("http://example.org:80/a#b"), "http://example.org/a");
        assert_eq!(uri("http://[::1]:8080/?q=%20"), "http://[::1]:8080/?q=%20");
        assert_eq!(
            uri("https://b\u{fc}cher.example/\u{e9}"),
            "https://xn--bcher-kva.example/%C3%A9"
        );
        assert_eq!(uri("http://u:p@example.org/"), "http://example.org/");
    }

    #[test]
    fn user_information_becomes_basic_credentials() {
        let target = Target::parse("http://us%3Aer:p%40ss@example.org/").unwrap();
        assert_eq!(target.credentials.as_ref().unwrap(), "Basic dXM6ZXI6cEBzcw==");
        assert!(Target::parse("http://example.org/").unwrap().credentials.is_none());
    }

    #[test]
    fn a_unix_domain_socket_is_requested_as_localhost() {
        let parse = |text| Target::parse(text).unwrap();
        let target = parse("http+unix://us:er@%2Frun%2Fapp.sock/a/../b?c=d#e");
        assert_eq!(target.uri, "http://localhost/b?c=d");
        assert_eq!(target.host, "localhost");
        assert_eq!(target.url(), "http+unix://%2Frun%2Fapp.sock/b?c=d");
        assert!(target.credentials.is_some());
        let bare = parse("https+unix://%2Frun%2Fapp.sock");
        assert_eq!(bare.uri, "https://localhost/");
        assert_eq!(bare.url(), "https+unix://%2Frun%2Fapp.sock/");
        assert_eq!(parse("http+unix://%2Fa?b").uri, "http://localhost/?b");
        for text in ["http+unix://app.sock/", "http+unix:///run/app.sock", "http+unix://%2Fa:80/"] {
            assert_eq!(Target::parse(text).unwrap_err().kind(), Kind::InvalidUrl, "{text}");
        }
    }

    /// The host as RFC 3986 appendix B takes a URL apart, and section 3.2 its authority.
    fn host_of_rfc_3986(url: &str) -> Option<String> {
        let (_, rest) = url.split_once(':')?;
        let authority = rest.strip_prefix("//")?.split(['/', '?', '#']).next()?;
        let host = authority.split_once('@').map_or(authority, |(_, host)| host);
        let host = match host.find(']') {
            Some(end) if host.starts_with('[') => &host[..=end],
            _ => host.split(':').next()?,
        };
        Some(host.to_ascii_lowercase())
    }

    #[test]
    fn every_url_that_is_accepted_has_the_same_host_by_rfc_3986() {
        const PARTS: [&str; 34] = [
            "a",
            "b.test",
            "u",
            "127.0.0.1",
            "0x7f.1",
            "1",
            "0",
            ".",
            "..",
            ":",
            ":80",
            "@",
            "/",
            "//",
            "\\",
            "?",
            "#",
            "%40",
            "%2e",
            "%2F",
            "%5c",
            "[",
            "]",
            "[::1]",
            " ",
            "\t",
            "\n",
            "\u{e9}",
            "\u{3002}",
            "\u{ff0f}",
            "\u{ad}",
            "http:",
            "-",
            "+",
        ];
        let (mut random, mut accepted) = (1_u64, 0);
        let mut below = |limit: usize| {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (random >> 33) as usize % limit
        };
        for _ in 0..30_000 {
            let begin = ["http://", "http://", "HTTPS://", "http:", ""][below(5)];
            let parts = (0..below(8)).map(|_| PARTS[below(PARTS.len())]);
            let text = format!("{begin}{}", parts.collect::<String>());
            let Ok(target) = Target::parse(&text) else { continue };
            accepted += 1;
            let host = host_of_rfc_3986(&text).unwrap_or_else(|| panic!("{text:?}"));
            // An international name is the same name in its ASCII form.
            if host.is_ascii() {
                assert_eq!(target.origin.host, host, "{text:?}");
            }
            let again =
                Target::parse(&target.url()).unwrap_or_else(|why| panic!("{text:?}: {why}"));
            assert_eq!((&again.origin, &again.uri), (&target.origin, &target.uri), "{text:?}");
        }
        assert!(accepted > 1000, "{accepted}");
    }

    #[test]
    fn what_can_be_read_in_two_ways_is_refused() {
        for text in [
            "",
            "/path",
            "example.org",
            "http://",
            "http:///x",
            "file:///etc/passwd",
            "gopher://x/",
            "http://exa mple.org/",
            "http://example.org/a b",
            "http://example.org/\r\nX: y",
            "http://[::1/",
            "http://example.org/\0",
            "http://example.org:99999/",
            "http://example.org:0/",
            "http://a\tb/",
            "http://a.test\\@b.test/",
            "http:\\\\a.test/",
            "http:a.test/",
            "http://a@b@c/",
            "http://%61/",
            "http://0x7f.1/",
            "http://a.test\u{ff0f}b/",
            "http://a.test\u{ff20}b/",
            "http://a.test\u{ff1f}b/",
            "http://a.test\u{ff03}b/",
            "http://a.test\u{ff3c}b/",
            "http://a.test\u{ff1a}80/",
            "http://a.test\u{2100}/",
            "http://a.test:\u{ff18}0/",
            "http://a.test:+80/",
            "http://a.test:80:81/",
            "http://[::1]a/",
            "http://a[::1]/",
            "http://1.2.3.4.5/",
        ] {
            let error = Target::parse(text).unwrap_err();
            assert_eq!(error.kind(), Kind::InvalidUrl, "{text:?}");
        }
    }
}
