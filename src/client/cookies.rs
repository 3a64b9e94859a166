//! The cookies of a client: what responses set, and what requests send along (RFC 6265, and of
//! its successor draft-ietf-httpbis-rfc6265bis what protects a user).
//!
//! `cookie_store` keeps them and knows where they belong; here is what it leaves open: public
//! suffixes, cookies that say Secure, bounds. Its lock is never held while anything waits.

use std::cmp::Reverse;
use std::sync::Mutex;

use cookie_store::{CookieStore, RawCookie, StoreAction};
use http::header::{self, HeaderName, HeaderValue};
use psl::Psl;
use url::Url;

use crate::error::{Error, Kind};
use crate::sync::lock;
use crate::target::Target;

/// A jar. Threads: any thread at any time.
#[derive(Debug, Default)]
pub(super) struct Jar(Mutex<Kept>);

/// The cookies, and how many there are, those included that are over and still in the way.
#[derive(Debug, Default)]
struct Kept {
    store: CookieStore,
    count: usize,
}

impl Jar {
    /// What the Set-Cookie headers of a response say; those that are malformed or not allowed are
    /// ignored, as RFC 6265 section 5.2 has it.
    pub(super) fn take(&self, from: &Target, fields: &[(HeaderName, Vec<u8>)]) {
        let mut cookies = fields.iter().filter(|(name, _)| *name == header::SET_COOKIE).peekable();
        if cookies.peek().is_none() {
            return;
        }
        let Some(url) = url_of(from) else { return };
        for (_, value) in cookies {
            if let Ok(text) = std::str::from_utf8(value) {
                let _ = self.set(&url, text);
            }
        }
    }

    /// One cookie, as in a Set-Cookie header from that URL; why it is refused, if it is.
    pub(super) fn set(&self, url: &Url, text: &str) -> Result<(), &'static str> {
        if text.bytes().any(|byte| byte != b'\t' && byte.is_ascii_control()) {
            return Err("it holds a control character");
        }
        let mut cookie =
            RawCookie::parse(text).map_err(|_| "it must begin with name=value")?.into_owned();
        if cookie.name().len() + cookie.value().len() > LARGEST {
            return Err("its name and value have more than 4096 bytes");
        }
        let secure = cookie.secure() == Some(true);
        if secure && !is_secure(url) {
            return Err("it says Secure, and the URL is not https");
        }
        let host_only = cookie.domain().is_none() && cookie.path() == Some("/");
        let name = cookie.name().to_ascii_lowercase();
        if (name.starts_with("__secure-") && !secure)
            || (name.starts_with("__host-") && !(secure && host_only))
        {
            return Err("its name promises attributes that it does not have");
        }
        if let Some(domain) = cookie.domain().map(str::to_ascii_lowercase)
            && is_public_suffix(&domain)
        {
            if url.host_str() != Some(&domain) {
                return Err("its domain is a public suffix");
            }
            // A host that is a suffix itself may have cookies of its own (RFC 6265 section 5.3).
            cookie.unset_domain();
        }
        let mut kept = lock(&self.0);
        kept.make_room()?;
        match kept.store.insert_raw(&cookie, url) {
            Ok(StoreAction::Inserted) => {
                kept.count += 1;
                Ok(())
            }
            // Setting what is over already is how a cookie is taken away.
            Ok(_) | Err(cookie_store::CookieError::Expired) => Ok(()),
            Err(_) => Err("its domain or form does not fit the URL"),
        }
    }

    /// The Cookie header for that URL (RFC 6265 section 5.4): longer paths first, then as they came.
    pub(super) fn header(&self, url: &Url) -> Option<String> {
        let kept = lock(&self.0);
        let mut cookies = kept.store.matches(url);
        // The store takes loopback for secure; on the wire it is plain text like any other.
        cookies.retain(|cookie| is_secure(url) || cookie.secure() != Some(true));
        cookies.sort_by_key(|cookie| Reverse(cookie.path.len()));
        let mut text = String::new();
        for cookie in cookies {
            let separator = if text.is_empty() { "" } else { "; " };
            text.extend([separator, cookie.name(), "=", cookie.value()]);
        }
        (!text.is_empty()).then_some(text)
    }

    pub(super) fn header_for(&self, target: &Target) -> Option<HeaderValue> {
        let mut value = HeaderValue::from_bytes(self.header(&url_of(target)?)?.as_bytes()).ok()?;
        value.set_sensitive(true);
        Some(value)
    }

    pub(super) fn clear(&self) {
        *lock(&self.0) = Kept::default();
    }
}

impl Kept {
    /// A server that sets a new cookie with every response must not fill the memory.
    fn make_room(&mut self) -> Result<(), &'static str> {
        if self.count < MOST {
            return Ok(());
        }
        let all = self.store.iter_any();
        let over: Vec<_> = all.filter(|cookie| cookie.is_expired()).cloned().collect();
        for cookie in &over {
            if let Some(domain) = cookie.domain.as_cow() {
                self.store.remove(&domain, &cookie.path, cookie.name());
            }
        }
        self.count = self.store.iter_any().count();
        if self.count < MOST { Ok(()) } else { Err("the jar is full") }
    }
}

/// A URL that cookies can be for.
pub(super) fn url(text: &str) -> Result<Url, Error> {
    url_of(&*Target::of(text)?).ok_or_else(|| Error::new(Kind::InvalidUrl, "no URL for cookies"))
}

fn url_of(target: &Target) -> Option<Url> {
    // A Unix-domain socket has no name that a cookie could be for.
    let named = target.origin.unix.is_none();
    named.then(|| Url::parse(&target.uri.to_string()).ok()).flatten()
}

fn is_secure(url: &Url) -> bool {
    url.scheme() == "https"
}

/// Names without a dot count as well, listed or not: nobody shares cookies with all of `internal`.
fn is_public_suffix(domain: &str) -> bool {
    let domain = domain.strip_prefix('.').unwrap_or(domain);
    let domain = domain.strip_suffix('.').unwrap_or(domain).as_bytes();
    psl::List.suffix(domain).is_some_and(|suffix| suffix.as_bytes() == domain)
}

/// Bytes of name and value together (rfc6265bis section 5.6).
const LARGEST: usize = 4096;
/// RFC 6265 section 6.1.
const MOST: usize = 3000;

#[cfg(test)]
mod tests {
    use super::*;

    fn jar(from: &str, cookies: &[&str]) -> Jar {
        let jar = Jar::default();
        for cookie in cookies {
            let _ = jar.set(&url(from).unwrap(), cookie);
        }
        jar
    }

    fn sent(jar: &Jar, to: &str) -> String {
        jar.header(&url(to).unwrap()).unwrap_or_default()
    }

    #[test]
    fn cookies_go_where_they_belong() {
        let all = ["a=1", "b=2; Path=/x", "c=3; Domain=shop.example.org", "d=4; HttpOnly"];
        let jar = jar("http://www.shop.example.org/", &all);
        assert_eq!(sent(&jar, "http://www.shop.example.org/x/y"), "b=2; a=1; d=4; c=3");
        assert_eq!(sent(&jar, "http://api.shop.example.org/"), "c=3");
        assert_eq!(sent(&jar, "http://example.org/"), "");
        assert_eq!(sent(&jar, "http://www.shop.example.org:81/"), "a=1; d=4; c=3");
    }

    #[test]
    fn a_cookie_that_says_secure_is_never_sent_in_the_clear() {
        for host in ["shop.example", "localhost", "127.0.0.1", "[::1]"] {
            let https = format!("https://{host}/");
            let http = format!("http://{host}/");
            let jar = jar(&https, &["s=1; Secure", "p=2"]);
            assert_eq!(sent(&jar, &https), "s=1; p=2");
            assert_eq!(sent(&jar, &http), "p=2", "{host}");
            assert!(jar.set(&url(&http).unwrap(), "t=1; Secure").is_err());
        }
    }

    #[test]
    fn no_cookie_is_for_a_public_suffix_or_somebody_else() {
        for domain in ["org", "co.uk", "github.io", "internal", "xn--55qx5d.cn", "", "."] {
            let host = format!("a.{}", domain.trim_matches('.'));
            let from = format!("http://{}/", host.trim_end_matches('.'));
            let jar = jar(&from, &[&format!("a=1; Domain={domain}")]);
            let to = format!("http://b.{}/", domain.trim_matches('.'));
            assert_eq!(sent(&jar, to.trim_end_matches("./")), "", "{domain}");
        }
        assert!(Jar::default().set(&url("http://a.org/").unwrap(), "a=1; Domain=b.org").is_err());
        let own = jar("http://github.io/", &["a=1; Domain=github.io"]);
        assert_eq!(sent(&own, "http://github.io/"), "a=1");
        assert_eq!(sent(&own, "http://x.github.io/"), "");
    }

    #[test]
    fn what_is_over_goes_and_what_is_malformed_never_comes() {
        let from = "http://shop.example/";
        let jar =
            jar(from, &["a=1", "b=2; Max-Age=0", "a=; Max-Age=0", "=", "x", "y=\r\nz", "c=3"]);
        assert_eq!(sent(&jar, from), "c=3");
        for refused in ["__Secure-a=1", "__Host-a=1; Secure; Domain=shop.example"] {
            assert!(jar.set(&url("https://shop.example/").unwrap(), refused).is_err());
        }
        let large = format!("a={}", "x".repeat(5000));
        assert!(jar.set(&url(from).unwrap(), &large).is_err());
        jar.clear();
        assert_eq!(sent(&jar, from), "");
    }

    #[test]
    fn a_jar_is_bounded() {
        let jar = Jar::default();
        let from = url("http://shop.example/").unwrap();
        let taken = (0..MOST + 5).filter(|n| jar.set(&from, &format!("c{n}=1")).is_ok()).count();
        assert_eq!(taken, MOST);
    }
}
