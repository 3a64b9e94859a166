//! The cookies of a client: responses set them, and requests send them (RFC 6265, and the protections of
//! its successor draft-ietf-httpbis-rfc6265bis).
//!
//! This file checks a field against the URL of its response: domains, public suffixes, Secure cookies.
//! The lock is never held during a wait.

mod date;
mod list;
mod set_cookie;
mod store;

use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::SystemTime;

use http::header::SET_COOKIE;
use psl::Psl;

pub(crate) use self::date::parse as parse_date;
pub use self::list::KeptCookie;
use self::set_cookie::{MAX_ATTRIBUTE, MAX_SIZE, SetCookie};
use self::store::{Cookie, Identity, Place, Store};
use crate::error::Error;
use crate::headers::is_value;
use crate::response_head::RawHead;
use crate::sync::lock;
use crate::target::Target;
use crate::vocabulary::Kind;

/// The cookies of one client. Threads: any thread at any time.
#[derive(Default)]
pub(super) struct Jar {
    store: Mutex<Store>,
    has_any: AtomicBool,
    /// Secure cookies are set by and sent to this machine without TLS, too.
    trusts_localhost: AtomicBool,
}

impl Jar {
    /// Keeps the cookies of a response's Set-Cookie fields. Malformed and forbidden ones are
    /// ignored, as RFC 6265 section 5.2 specifies.
    pub(super) fn store_from_response(&self, from: &Target, head: &RawHead) {
        if !head.sets_cookies {
            return;
        }
        let (Some(from), now) = (self.place(from), SystemTime::now()) else { return };
        for field in head.values(&SET_COOKIE) {
            let _ = self.set_at(from, &field, now);
        }
    }

    /// Keeps one cookie, given as a Set-Cookie field of a response from that URL. The error is the reason for a refusal.
    pub(super) fn set(&self, from: &Target, field: &[u8]) -> Result<(), &'static str> {
        let from = self.place(from).ok_or(NO_PLACE)?;
        self.set_at(from, field, SystemTime::now())
    }

    fn set_at(&self, from: Place<'_>, field: &[u8], now: SystemTime) -> Result<(), &'static str> {
        let cookie = SetCookie::parse(field)?;
        if cookie.secure && !from.secure {
            return Err("it has the attribute Secure, and the URL is not https");
        }
        if !cookie.satisfies_prefix() {
            return Err("its name has a prefix whose attributes it does not have");
        }
        let domain = match cookie.domain {
            None => None,
            Some(domain) => domain_for(from.host, domain)?,
        };
        let identity = Identity {
            name: cookie.name.into(),
            host_only: domain.is_none(),
            domain: domain.unwrap_or_else(|| from.host.into()),
            path: cookie.path.unwrap_or_else(|| default_path(from.path)).into(),
        };
        let (end, http_only) = (cookie.end(now), cookie.http_only);
        let cookie =
            Cookie { identity, value: cookie.value.into(), secure: cookie.secure, http_only, end };
        self.change().set(from, cookie, now)
    }

    /// The store, which may have cookies afterwards.
    fn change(&self) -> MutexGuard<'_, Store> {
        let store = lock(&self.store);
        self.has_any.store(true, Ordering::Relaxed);
        store
    }

    /// The Cookie field that a request for that URL would have.
    pub(super) fn peek(&self, to: &Target) -> Option<Vec<u8>> {
        let field = lock(&self.store).peek(self.place(to)?, SystemTime::now());
        (!field.is_empty()).then_some(field)
    }

    /// The Cookie field of a request that is sent now.
    pub(super) fn send(&self, to: &Target) -> Option<Vec<u8>> {
        let field = lock(&self.store).send(self.place(to)?, SystemTime::now());
        (!field.is_empty() && is_value(&field)).then_some(field)
    }

    /// Whether there may be cookies. It is asked first, as most jars are empty.
    pub(super) fn has_any(&self) -> bool {
        // A cookie that was set before is seen by the thread that set it, and by those that know of it.
        self.has_any.load(Ordering::Relaxed)
    }

    pub(super) fn trust_localhost(&self, on: bool) {
        self.trusts_localhost.store(on, Ordering::Relaxed);
    }

    /// The cookies that have not expired, by domain, path and name.
    pub(super) fn list(&self) -> Vec<KeptCookie> {
        let now = SystemTime::now();
        let mut all: Vec<_> = lock(&self.store).all(now).iter().map(KeptCookie::of).collect();
        all.sort_by(|a, b| (&a.domain, &a.path, &a.name).cmp(&(&b.domain, &b.path, &b.name)));
        all
    }

    pub(super) fn to_netscape(&self) -> Vec<u8> {
        list::to_netscape(&self.list())
    }

    pub(super) fn to_json(&self) -> Vec<u8> {
        list::to_json(&self.list())
    }

    /// Keeps the cookies of a text in either format; one that has expired, or is for a public suffix, is passed over. None
    /// is kept if the text is malformed.
    pub(super) fn load(&self, text: &[u8]) -> Result<(), String> {
        let now = SystemTime::now();
        for cookie in list::parse(text)? {
            if !cookie.host_only && is_public_suffix(&cookie.domain) {
                continue;
            }
            // The jar's bound on its memory counts on this.
            if cookie.name.len() + cookie.value.len() > MAX_SIZE
                || cookie.path.len() > MAX_ATTRIBUTE
            {
                continue;
            }
            let host = cookie.domain.clone();
            // The file is the caller's: it may hold Secure cookies.
            let from = Place { site: site(&host), host: &host, path: b"/", secure: true };
            let _ = self.change().set(from, cookie.into_cookie(), now);
        }
        Ok(())
    }

    fn place<'a>(&self, target: &'a Target) -> Option<Place<'a>> {
        let place = place(target)?;
        let trusted = || self.trusts_localhost.load(Ordering::Relaxed) && is_localhost(place.host);
        Some(Place { secure: place.secure || trusted(), ..place })
    }

    pub(super) fn clear(&self) {
        let mut store = lock(&self.store);
        *store = Store::default();
        self.has_any.store(false, Ordering::Relaxed);
    }
}

/// Names and values are secrets.
impl fmt::Debug for Jar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} cookies", lock(&self.store).len())
    }
}

/// Parses a URL that can have cookies.
pub(super) fn target(url: &str) -> Result<Arc<Target>, Error> {
    let target = Target::of(url)?;
    match place(&target) {
        Some(_) => Ok(target),
        None => Err(Error::new(Kind::InvalidUrl, NO_PLACE)),
    }
}

/// `None` for a Unix-domain socket, which has no host name.
fn place(target: &Target) -> Option<Place<'_>> {
    let origin = &target.origin;
    let (host, path) = (origin.host.as_str(), target.path().as_bytes());
    if origin.unix.is_some() {
        return None;
    }
    let site = target.site.get_or_init(|| site(host).into());
    Some(Place { site, host, path, secure: origin.secure })
}

/// The registrable domain, or the host where there is none.
fn site(host: &str) -> &str {
    let host = host.strip_suffix('.').unwrap_or(host);
    let domain = if is_address(host) { None } else { psl::List.domain(host.as_bytes()) };
    domain.and_then(|domain| std::str::from_utf8(domain.as_bytes()).ok()).unwrap_or(host)
}

/// The domain of a cookie with this Domain attribute, if the host may set it; `None`: only the host itself.
fn domain_for(host: &str, attribute: &[u8]) -> Result<Option<Box<str>>, &'static str> {
    const UNFIT: &str = "its domain does not fit the URL";
    let domain = std::str::from_utf8(attribute).map_err(|_| UNFIT)?;
    let domain = match domain.is_ascii() {
        true => domain.to_ascii_lowercase(),
        // A host name has no percent sign; the parser would decode one.
        false if domain.contains('%') => return Err(UNFIT),
        false => url::Host::parse(domain).map_err(|_| UNFIT)?.to_string(),
    };
    let own = domain == host;
    if is_public_suffix(&domain) && !own {
        return Err("its domain is a public suffix");
    }
    // A host that is a suffix itself may have cookies of its own (RFC 6265 section 5.3).
    if own && (is_public_suffix(&domain) || is_address(host)) {
        return Ok(None);
    }
    match !is_address(host) && store::is_within(host, &domain) {
        true => Ok(Some(domain.into())),
        false => Err(UNFIT),
    }
}

/// Whether a host is this machine by its name or address (Secure Contexts, section 3.1).
fn is_localhost(host: &str) -> bool {
    let name = host.strip_suffix('.').unwrap_or(host);
    if name == "localhost" || name.ends_with(".localhost") {
        return true;
    }
    let literal = host.trim_start_matches('[').trim_end_matches(']');
    literal.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// For a host in the canonical form of a URL.
fn is_address(host: &str) -> bool {
    host.starts_with('[') || host.parse::<Ipv4Addr>().is_ok()
}

/// Names without a dot count as well, listed or not: no cookie is for all of `internal`.
fn is_public_suffix(domain: &str) -> bool {
    let domain = domain.strip_suffix('.').unwrap_or(domain).as_bytes();
    psl::List.suffix(domain).is_some_and(|suffix| suffix.as_bytes() == domain)
}

/// The path of the URL up to its last slash (RFC 6265 section 5.1.4).
fn default_path(path: &[u8]) -> &[u8] {
    match memchr::memrchr(b'/', path) {
        Some(last) if last > 0 => &path[..last],
        _ => b"/",
    }
}

const NO_PLACE: &str = "no URL for cookies: a Unix-domain socket has no name";

#[cfg(test)]
mod tests {
    use super::store::{MAX_COOKIES, MAX_PER_SITE};
    use super::*;

    #[test]
    fn what_is_loaded_is_no_larger_than_what_a_response_sets() {
        let jar = Jar::default();
        for (path, value) in [
            ("/".to_owned(), "v".repeat(MAX_SIZE - 1)),
            ("/".to_owned(), "v".repeat(MAX_SIZE)),
            (format!("/{}", "p".repeat(MAX_ATTRIBUTE)), "v".to_owned()),
        ] {
            let line = format!("a.example\tFALSE\t{path}\tFALSE\t0\ta\t{value}\n");
            jar.load(line.as_bytes()).unwrap();
        }
        assert_eq!(lock(&jar.store).len(), 1);
    }

    fn set(jar: &Jar, from: &str, cookie: &str) -> Result<(), &'static str> {
        jar.set(&target(from).unwrap(), cookie.as_bytes())
    }

    fn jar(from: &str, cookies: &[&str]) -> Jar {
        let jar = Jar::default();
        for cookie in cookies {
            let _ = set(&jar, from, cookie);
        }
        jar
    }

    fn sent(jar: &Jar, to: &str) -> String {
        String::from_utf8(jar.peek(&target(to).unwrap()).unwrap_or_default()).unwrap()
    }

    #[test]
    fn cookies_go_where_they_belong() {
        let all = ["a=1", "b=2; Path=/x", "c=3; Domain=shop.example.org", "d=4; HttpOnly"];
        let jar = jar("http://www.shop.example.org/", &all);
        assert_eq!(sent(&jar, "http://www.shop.example.org/x/y"), "b=2; a=1; c=3; d=4");
        assert_eq!(sent(&jar, "http://api.shop.example.org/"), "c=3");
        assert_eq!(sent(&jar, "http://example.org/"), "");
        assert_eq!(sent(&jar, "http://www.shop.example.org:81/"), "a=1; c=3; d=4");
        assert_eq!(sent(&jar, "http://shop.example.org./"), "");
    }

    #[test]
    fn a_cookie_without_a_path_is_for_the_folder_of_its_url() {
        for (url, path) in [
            ("/", "/"),
            ("/x", "/"),
            ("/x/", "/x"),
            ("/x/y", "/x"),
            ("/x/y/?/z", "/x/y"),
            ("/%C3%A9/y", "/\u{e9}"),
        ] {
            let jar = jar(&format!("http://shop.example{url}"), &["a=1", "b=2; Path=x"]);
            assert_eq!(sent(&jar, &format!("http://shop.example{path}")), "a=1; b=2", "{url}");
            let elsewhere = format!("http://shop.example{path}z");
            assert_eq!(sent(&jar, &elsewhere).is_empty(), path != "/", "{url}");
        }
    }

    #[test]
    fn a_secure_cookie_is_never_sent_in_the_clear() {
        for host in ["shop.example", "localhost", "127.0.0.1", "[::1]"] {
            let https = format!("https://{host}/");
            let http = format!("http://{host}/");
            let jar = jar(&https, &["s=1; Secure", "p=2"]);
            assert_eq!(sent(&jar, &https), "s=1; p=2");
            assert_eq!(sent(&jar, &http), "p=2", "{host}");
            assert!(set(&jar, &http, "t=1; Secure").is_err());
        }
    }

    #[test]
    fn a_secure_cookie_is_not_changed_by_a_response_in_the_clear() {
        let https = "https://www.shop.example/";
        let secure = "sid=good; Secure; Path=/a";
        for (from, refused) in [
            ("http://www.shop.example/", "sid=evil; Path=/a"),
            ("http://www.shop.example/", "sid=evil; Path=/a/b"),
            ("http://www.shop.example/a/", "sid=evil"),
            ("http://www.shop.example/", "sid=; Path=/a; Max-Age=0"),
            ("http://x.shop.example/", "sid=evil; Domain=shop.example; Path=/a"),
            ("http://x.www.shop.example/", "sid=evil; Domain=www.shop.example; Path=/a"),
            ("http://x.www.shop.example/", "sid=evil; Path=/a"),
        ] {
            let jar = jar(https, &[secure]);
            assert!(set(&jar, from, refused).is_err(), "{from}: {refused}");
            assert_eq!(sent(&jar, "https://www.shop.example/a/b"), "sid=good", "{refused}");
        }
        for (from, taken) in [
            ("http://www.shop.example/", "sid=1; Path=/"),
            ("http://www.shop.example/", "SID=1; Path=/a"),
            ("http://x.shop.example/", "sid=1; Path=/a"),
            ("http://other.example/", "sid=1; Path=/a"),
            (https, "sid=1; Path=/a"),
        ] {
            let jar = jar(https, &[secure]);
            assert_eq!(set(&jar, from, taken), Ok(()), "{from}: {taken}");
        }
    }

    #[test]
    fn a_cookie_for_a_domain_does_not_replace_one_for_a_host() {
        let jar = jar("https://a.example/", &["sid=host; Path=/"]);
        set(&jar, "https://x.a.example/", "sid=domain; Domain=a.example; Path=/").unwrap();
        assert_eq!(sent(&jar, "https://a.example/"), "sid=host; sid=domain");
    }

    #[test]
    fn no_cookie_is_for_a_public_suffix_or_a_foreign_domain() {
        for domain in ["org", "co.uk", "github.io", "internal", "xn--55qx5d.cn", "", "."] {
            let host = format!("a.{}", domain.trim_matches('.'));
            let from = format!("http://{}/", host.trim_end_matches('.'));
            let jar = jar(&from, &[&format!("a=1; Domain={domain}")]);
            let to = format!("http://b.{}/", domain.trim_matches('.'));
            assert_eq!(sent(&jar, to.trim_end_matches("./")), "", "{domain}");
        }
        for domain in ["b.org", "xa.org", "x.a.org", "a.org.", "%61.org", "a.org%00", "\u{e9}.%61"]
        {
            let cookie = format!("a=1; Domain={domain}");
            assert!(set(&Jar::default(), "http://a.org/", &cookie).is_err(), "{domain}");
        }
        for domain in ["0.0.1", "127.0.0.2", "1"] {
            let cookie = format!("a=1; Domain={domain}");
            assert!(set(&Jar::default(), "http://127.0.0.1/", &cookie).is_err(), "{domain}");
        }
        let own = jar("http://github.io/", &["a=1; Domain=github.io"]);
        assert_eq!(sent(&own, "http://github.io/"), "a=1");
        assert_eq!(sent(&own, "http://x.github.io/"), "");
        for host in ["127.0.0.1", "[::1]"] {
            let url = format!("http://{host}/");
            assert_eq!(sent(&jar(&url, &[&format!("a=1; Domain={host}")]), &url), "a=1");
        }
        let named = jar("http://www.b\u{fc}cher.example/", &["a=1; Domain=B\u{dc}CHER.example"]);
        assert_eq!(sent(&named, "http://xn--bcher-kva.example/"), "a=1");
    }

    #[test]
    fn expired_cookies_are_removed_and_malformed_ones_refused() {
        let from = "http://shop.example/";
        let jar =
            jar(from, &["a=1", "b=2; Max-Age=0", "a=; Max-Age=0", "=", "x", "y=\r\nz", "c=3"]);
        assert_eq!(sent(&jar, from), "c=3");
        for refused in ["__Secure-a=1", "__Host-a=1; Secure; Domain=shop.example"] {
            assert!(set(&jar, "https://shop.example/", refused).is_err());
        }
        let large = format!("a={}", "x".repeat(5000));
        assert!(set(&jar, from, &large).is_err());
        jar.clear();
        assert_eq!(sent(&jar, from), "");
    }

    #[test]
    fn a_full_jar_accepts_new_cookies_and_stays_bounded() {
        let jar = Jar::default();
        for site in 0..=MAX_COOKIES / MAX_PER_SITE {
            for cookie in 0..MAX_PER_SITE + 5 {
                let from = format!("http://{cookie}.shop{site}.example/");
                let cookie = format!("c{cookie}=1; Domain=shop{site}.example");
                assert_eq!(set(&jar, &from, &cookie), Ok(()));
            }
        }
        assert_eq!(lock(&jar.store).len(), MAX_COOKIES);
        set(&jar, "http://new.example/", "sid=1").unwrap();
        assert_eq!(sent(&jar, "http://new.example/"), "sid=1");
        assert_eq!(lock(&jar.store).len(), MAX_COOKIES);
    }

    #[test]
    fn all_cookies_of_a_site_fit_into_a_head() {
        let from = "http://shop.example/";
        let jar = Jar::default();
        for number in 100..100 + MAX_PER_SITE {
            let cookie = format!("{number}={}", "v".repeat(MAX_SIZE - 3));
            assert_eq!(set(&jar, from, &cookie), Ok(()));
        }
        assert!(sent(&jar, from).len() < 768 * 1024);
    }

    #[test]
    fn a_jar_shows_how_many_cookies_it_has_and_none_of_them() {
        let jar = jar("http://shop.example/", &["name=value"]);
        assert_eq!(format!("{jar:?}"), "1 cookies");
    }
}
