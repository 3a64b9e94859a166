//! A URL as it will be requested: checked, and split into what the connection needs and what
//! is sent.
//!
//! The `url` crate reads the part that names the host. Path and query are sent as they are written, except for what
//! HTTP has no place for: it would encode `'` and follow `%2e%2e`, which a signature over the URL does not survive.
//!
//! Parsing is cached in two places here, each with its measured reason beside it.

use std::borrow::Cow;
use std::cell::RefCell;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};

use crate::authority::{self, Plain};
use crate::error::Error;
use crate::headers::Headers;
use crate::manager::{Origin, PoolKey};
use crate::net::route::Route;
use crate::net::tls::Tls;
use crate::runtime::on_thread_stack;
use crate::secret::{Secret, basic_credentials};
use crate::vocabulary::Kind;

/// A URL that can be requested. Threads: immutable.
#[derive(Debug)]
pub(crate) struct Target {
    /// Without user information and fragment (RFC 9110 section 4.2.4).
    url: Box<str>,
    /// Where the path begins in it, and where it ends.
    path: std::ops::Range<usize>,
    pub(crate) origin: Origin,
    /// The value of the Host header (RFC 9110 section 7.2).
    pub(crate) host: Box<str>,
    /// User information as Basic credentials (RFC 7617).
    pub(crate) credentials: Option<Secret<String>>,
    /// The pool key for the settings of the first request, which are mostly the only ones. Building the key
    /// again would add 1,160 instructions to a small GET of 21,500.
    key: OnceLock<(Arc<Tls>, Arc<Route>, Arc<PoolKey>)>,
    /// The registrable domain, which the cookies look up once.
    pub(crate) site: OnceLock<Arc<str>>,
    /// A head was made for it before.
    was_sent: AtomicBool,
    /// The fields of its second request, which are mostly those of all that follow. Making them again would add 900
    /// instructions to a small GET of 10,500.
    head: OnceLock<Box<KeptHead>>,
}

/// The fields of a request's head, and what they were made of. Threads: immutable.
#[derive(Debug)]
struct KeptHead {
    of: HeadOrigin,
    own: Box<[u8]>,
    headers: Arc<Headers>,
}

/// What the fields of a request without credentials and cookies depend on, beside its URL and its own fields.
/// Threads: a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct HeadOrigin {
    /// The number of the client's configuration.
    pub(crate) config: u64,
    /// Content that is encoded is asked for.
    pub(crate) decodes: bool,
    /// Content-Length.
    pub(crate) length: Option<u64>,
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

    /// Parses a URL, but refuses one that can be read in two ways instead of repairing it. Of path and query, spaces
    /// and other characters that no request can hold are percent-encoded as the URL standard specifies, and the path
    /// segments `.` and `..` are followed.
    pub(crate) fn parse(text: &str) -> Result<Arc<Self>, Error> {
        let (begin, rest) = split(text);
        if let Some(plain) = Plain::read(begin)
            && !rest.ends_with(' ')
            && authority::check_path(rest).is_ok()
        {
            return Self::plain(&plain, &standard_form(rest));
        }
        authority::check(text).map_err(|why| {
            // A backslash behind the host means one thing to those who send it as it is.
            let hint = if text.contains('\\') && Self::as_given(text).is_ok() {
                ", or send the URL as it is given"
            } else {
                ""
            };
            not_requestable(&format!("{why}{hint}"))
        })?;
        Self::build(begin, &standard_form(rest))
    }

    /// As [`parse`](Self::parse), but path and query are sent exactly as they are written.
    pub(crate) fn as_given(text: &str) -> Result<Arc<Self>, Error> {
        let (begin, rest) = split(text);
        authority::check(begin).map_err(|why| not_requestable(&why))?;
        let rest = rest.split('#').next().unwrap_or_default();
        if let Some(byte) = rest.bytes().find(|byte| !is_target_byte(*byte)) {
            let why = format!(
                "it holds the byte 0x{byte:02x}: spaces and control characters must be percent-encoded (%{byte:02X})"
            );
            return Err(not_requestable(&why));
        }
        let slash = if rest.starts_with('/') { "" } else { "/" };
        Self::build(begin, &format!("{slash}{rest}"))
    }

    fn plain(
        &Plain { secure, host, port }: &Plain<'_>,
        request_target: &str,
    ) -> Result<Arc<Self>, Error> {
        let (scheme, usual) = if secure { ("https", 443) } else { ("http", 80) };
        let origin = Origin {
            secure,
            host: host.to_owned(),
            zone: None,
            port: port.unwrap_or(usual),
            unix: None,
        };
        let host: Box<str> = match port.filter(|port| *port != usual) {
            Some(port) => format!("{host}:{port}").into(),
            None => host.into(),
        };
        let begin = [scheme, "://", &host].concat();
        Self::with(&begin, request_target, origin, host, None)
    }

    /// Scheme and authority, as they are written; and what is sent as the request target.
    fn build(begin: &str, request_target: &str) -> Result<Arc<Self>, Error> {
        let (begin, zone) = authority::without_zone(begin);
        // The parser takes 4 KiB of stack, which a fiber that follows a redirect would keep.
        let url = on_thread_stack(|| url::Url::parse(&begin)).map_err(|error| {
            let hint = if begin.contains("://") {
                ""
            } else {
                "; an absolute one begins with http:// or https://"
            };
            Error::new(Kind::InvalidUrl, format!("not a URL: {error}{hint}"))
        })?;
        let origin = Origin::of(&url, zone)
            .map_err(|why| not_requestable(&format!("{why}; use http or https, with a host")))?;
        if origin.port == 0 {
            return Err(Error::new(Kind::InvalidUrl, "port 0 can't be connected to"));
        }
        let credentials = credentials(&url);
        let host = match (url.host_str().unwrap_or_default(), url.port()) {
            // HTTP has no place for the socket's path: the request names this machine.
            _ if origin.unix.is_some() => origin.host.clone(),
            (host, Some(port)) => format!("{host}:{port}"),
            (host, None) => host.to_owned(),
        };
        let text = match &origin.unix {
            // RFC 6874 section 4: the zone is not sent.
            None if zone.is_some() => {
                let port = url.port().map_or(String::new(), |port| format!(":{port}"));
                format!("{}://{}{port}", url.scheme(), origin.zoned_host())
            }
            None => format!("{}://{host}", url.scheme()),
            Some(_) => origin.to_string(),
        };
        Self::with(&text, request_target, origin, host.into(), credentials)
    }

    fn with(
        begin: &str,
        request_target: &str,
        origin: Origin,
        host: Box<str>,
        credentials: Option<Secret<String>>,
    ) -> Result<Arc<Self>, Error> {
        let (url, path) = with_request_target(begin, request_target)?;
        let (key, site, head) = (OnceLock::new(), OnceLock::new(), OnceLock::new());
        let was_sent = AtomicBool::new(false);
        Ok(Arc::new(Self { url, path, origin, host, credentials, key, site, was_sent, head }))
    }

    /// The target that a reference means in this one (RFC 3986 section 5.2.2), without the URL standard's repairs of
    /// hosts; or why it means none.
    pub(crate) fn follow(&self, reference: &str) -> Result<Arc<Self>, String> {
        self.reference(reference)?.map_err(|error| error.message().to_owned())
    }

    fn reference(&self, reference: &str) -> Result<Result<Arc<Self>, Error>, String> {
        // Scheme, host and port as this target has them, which need no other check.
        if let Some(rest) = reference.strip_prefix(&self.url[..self.path.start])
            && matches!(rest.as_bytes(), [] | [b'/' | b'?' | b'#', ..])
        {
            authority::check_path(rest)?;
            return Ok(self.beside(&standard_form(rest)));
        }
        let (begin, rest) = split(reference);
        if let Some(plain) = Plain::read(begin) {
            authority::check_path(rest)?;
            return Ok(Self::plain(&plain, &standard_form(rest)));
        }
        authority::check_reference(reference)?;
        if authority::scheme(reference).is_some() {
            return Ok(Self::build(begin, &standard_form(rest)));
        }
        if let Some(rest) = self.within(reference) {
            return Ok(self.beside(&standard_form(&rest)));
        }
        let text = match reference.starts_with("//") {
            true => format!("{}:{reference}", authority::scheme(&self.url).unwrap_or_default()),
            false => self.url(),
        };
        Ok(Self::parse(&text))
    }

    /// Path and query of a reference that begins with neither a scheme nor a host, with what is behind them. Path
    /// segments `.` and `..` are not followed. `None` if it means this very target.
    fn within<'a>(&self, reference: &'a str) -> Option<Cow<'a, str>> {
        // It is there only in a URL that was sent as it was given.
        let path = || self.path().replace('\\', "%5C");
        match reference.as_bytes() {
            [] | [b'#', ..] | [b'/', b'/', ..] => None,
            [b'/', ..] => Some(Cow::Borrowed(reference)),
            [b'?', ..] => Some(Cow::Owned(path() + reference)),
            _ => {
                let mut path = path();
                path.truncate(path.rfind('/').map_or(0, |at| at + 1));
                Some(Cow::Owned(path + reference))
            }
        }
    }

    /// Another request target of the same server: nothing has to be parsed.
    fn beside(&self, request_target: &str) -> Result<Arc<Self>, Error> {
        let (url, path) = with_request_target(&self.url[..self.path.start], request_target)?;
        Ok(Arc::new(Self {
            url,
            path,
            origin: self.origin.clone(),
            host: self.host.clone(),
            credentials: None,
            key: self.key.clone(),
            site: self.site.clone(),
            was_sent: AtomicBool::new(false),
            head: OnceLock::new(),
        }))
    }

    /// The URL that was requested, without user information and fragment.
    pub(crate) fn url(&self) -> String {
        self.url.to_string()
    }

    /// Path and query, as they are sent.
    pub(crate) fn request_target(&self) -> &str {
        &self.url[self.path.start..]
    }

    pub(crate) fn path(&self) -> &str {
        &self.url[self.path.clone()]
    }

    /// The fields that were kept for such a request with these own fields.
    #[inline]
    pub(crate) fn kept_head(&self, of: &HeadOrigin, own: &[u8]) -> Option<&Arc<Headers>> {
        let kept = self.head.get()?;
        (kept.of == *of && *kept.own == *own).then_some(&kept.headers)
    }

    /// Keeps the fields of a request, if it is not the first one: most URLs are requested once, and have no use for them.
    pub(crate) fn keep_head(&self, of: HeadOrigin, own: &[u8], headers: &Arc<Headers>) {
        if self.was_sent.swap(true, Ordering::Relaxed) && self.head.get().is_none() {
            // A copy has no more memory than it needs.
            let headers = Arc::new(Headers::clone(headers));
            let _ = self.head.set(Box::new(KeptHead { of, own: own.into(), headers }));
        }
    }

    /// The pool key for these settings.
    pub(crate) fn key(&self, tls: &Arc<Tls>, route: &Arc<Route>) -> Arc<PoolKey> {
        let make = || PoolKey::new(self.origin.clone(), tls, route);
        // A target may be kept for long, and a connector of the program is to end with its last use.
        if route.connector.is_some() {
            return make();
        }
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

/// Whether a request target can hold this byte: it is no space and no control character, which would end it.
pub(crate) fn is_target_byte(byte: u8) -> bool {
    byte > b' ' && byte != 0x7f
}

/// A URL of its beginning and its request target, and where the path is in it.
fn with_request_target(
    begin: &str,
    request_target: &str,
) -> Result<(Box<str>, std::ops::Range<usize>), Error> {
    if request_target.len() > MAX_URL {
        let size = request_target.len();
        let what = format!("the URL has {size} bytes; at most {MAX_URL} are sent");
        return Err(Error::new(Kind::InvalidUrl, what));
    }
    let end = begin.len() + request_target.find('?').unwrap_or(request_target.len());
    Ok(([begin, request_target].concat().into(), begin.len()..end))
}

/// Scheme and authority, and what is behind them.
fn split(text: &str) -> (&str, &str) {
    let authority = text.find("://").map_or(text.len(), |at| at + 3);
    let path = text[authority..].find(['/', '?', '#']).map_or(text.len(), |at| authority + at);
    text.split_at(path)
}

/// Path and query as they are sent.
fn standard_form(rest: &str) -> String {
    let rest = rest.split('#').next().unwrap_or_default();
    let (path, query) = match rest.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (rest, None),
    };
    let mut form = String::with_capacity(rest.len() + 1);
    if path.contains("/.") {
        without_dots(path, &mut form);
    } else if path.is_empty() {
        form.push('/');
    } else {
        form.extend(utf8_percent_encode(path, &IN_PATHS));
    }
    if let Some(query) = query {
        form.push('?');
        form.extend(utf8_percent_encode(query, &IN_QUERIES));
    }
    form
}

/// Follows the segments `.` and `..` of a path that begins with a slash (RFC 3986 section 5.2.4).
fn without_dots(path: &str, into: &mut String) {
    let mut kept = Vec::new();
    let mut segments = path[1..].split('/').peekable();
    while let Some(segment) = segments.next() {
        let is_last = segments.peek().is_none();
        match segment {
            "." => {}
            ".." => drop(kept.pop()),
            other => {
                kept.push(other);
                continue;
            }
        }
        // The folder is meant, not a file.
        if is_last {
            kept.push("");
        }
    }
    for segment in kept {
        into.push('/');
        into.extend(utf8_percent_encode(segment, &IN_PATHS));
    }
}

fn credentials(url: &url::Url) -> Option<Secret<String>> {
    let (user, password) = (url.username(), url.password());
    if user.is_empty() && password.is_none() {
        return None;
    }
    let decode = |text| percent_encoding::percent_decode_str(text).collect::<Vec<u8>>();
    Some(Secret::new(basic_credentials(&decode(user), &decode(password.unwrap_or("")))))
}

fn not_requestable(why: &str) -> Error {
    Error::new(Kind::InvalidUrl, format!("not a URL that can be requested: {why}"))
}

/// What the URL standard encodes in the query of any URL. It encodes `'` as well in those of http, which no other
/// client does.
const IN_QUERIES: AsciiSet = CONTROLS.add(b' ').add(b'"').add(b'#').add(b'<').add(b'>');
/// What the URL standard encodes in paths.
const IN_PATHS: AsciiSet = IN_QUERIES.add(b'?').add(b'`').add(b'{').add(b'}');
/// A request with a longer one has a larger head than is sent.
const MAX_URL: usize = 1024 * 1024;

#[cfg(test)]
mod tests {
    use proptest::proptest;

    use super::*;

    #[test]
    fn urls_are_as_the_url_standard_has_them() {
        let uri = |text: &str| Target::parse(text).unwrap().url();
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
    fn path_and_query_are_sent_as_they_are_written_where_http_allows_it() {
        let sent = |rest: &str| {
            let target = Target::parse(&format!("http://a.test{rest}")).unwrap();
            target.request_target().to_owned()
        };
        for rest in [
            "/?q=it's",
            "/a/%2e%2e/b",
            "/%41%2f%20?q=%2B+&x",
            "//a//b",
            "/?",
            "/a.b/..c/.d",
            "/?/../a",
            "/|^'?`{}|^\\",
        ] {
            assert_eq!(sent(rest), rest);
        }
        for (rest, expected) in [
            ("", "/"),
            ("#f", "/"),
            ("?q#f", "/?q"),
            ("/a b?c d", "/a%20b?c%20d"),
            ("/'\"<>`{}", "/'%22%3C%3E%60%7B%7D"),
            ("/?\"<>\u{fc}", "/?%22%3C%3E%C3%BC"),
            ("/a/../b/./c", "/b/c"),
            ("/..", "/"),
            ("/../../a", "/a"),
            ("/a/b/..", "/a/"),
            ("/a/.", "/a/"),
            ("/a//../b", "/a/b"),
            ("/./?..", "/?.."),
        ] {
            assert_eq!(sent(rest), expected, "{rest:?}");
        }
    }

    /// What is requested, or why nothing is.
    fn parts(target: Result<Arc<Target>, Error>) -> Result<(String, Origin, Box<str>), String> {
        let parts = |target: Arc<Target>| {
            assert!(target.credentials.is_none());
            (target.url(), target.origin.clone(), target.host.clone())
        };
        target.map(parts).map_err(|error| error.message().to_owned())
    }

    #[test]
    fn a_plain_url_is_read_as_the_url_standard_reads_it() {
        let is_plain = |text: &str| {
            let (begin, rest) = split(text);
            let plain = Plain::read(begin);
            if let Some(plain) = &plain {
                assert_eq!(authority::check(begin), Ok(()), "{text}");
                let own = Target::plain(plain, &standard_form(rest));
                let parsed = Target::build(begin, &standard_form(rest));
                assert_eq!(parts(own), parts(parsed), "{text}");
            }
            plain.is_some()
        };
        for text in [
            "http://a.test",
            "https://a.test:443/b?c#d",
            "http://a.test:443",
            "https://a-b.c1.test:08443/b/../c d",
            "http://127.0.0.1:80/",
            "http://localhost?b",
            "http://-a-.test-/",
            "http://1a.b2/",
        ] {
            assert!(is_plain(text), "{text}");
        }
        for text in [
            "",
            "http",
            "https:",
            "http://",
            "http:///b",
            "httpss://a.test",
            "http+unix://%2Fa/",
            "HTTP://a.test",
            "http://A.test",
            "http://b\u{fc}cher.test",
            "http://xn--bcher-kva.test",
            "http://u@a.test",
            "http://[::1]",
            "http://a..test",
            "http://a.test.",
            "http://.a.test",
            "http://a.test:",
            "http://a.test:+1",
            "http://a.test:0",
            "http://a.test:65536",
            "http://a.test:80:80",
            "http://127.1",
            "http://127.0.0.01",
            "http://1.2.3.4.5",
            "http://a.0x1f",
            "http://a.1",
            "http://a_b.test",
            "http://a%2e.test",
            "http://a.test\\b",
        ] {
            assert!(!is_plain(text), "{text}");
        }
        proptest!(|(text in "https?://[a-zA0-2x.-]{0,8}(:[0-9]{0,5})?[/?#]?[a/?#. ]{0,4}")| {
            is_plain(&text);
        });
        proptest!(|(text in "https?://([0-9]{1,3}\\.){0,4}[0-9x]{0,3}(:[0-9]{0,3})?")| {
            is_plain(&text);
        });
    }

    #[test]
    fn a_url_as_given_keeps_every_byte_behind_the_host() {
        for rest in ["/a\\b", "/a/../b", "/a/%2e%2e/b?x='", "/\u{e9}?\"<>`{}", "/a//./b?/../"] {
            let target = Target::as_given(&format!("http://u:p@a.test:81{rest}#f")).unwrap();
            assert_eq!(target.request_target(), rest);
            assert_eq!(
                (target.url(), &*target.host),
                (format!("http://a.test:81{rest}"), "a.test:81")
            );
            assert!(target.credentials.is_some());
        }
        for (rest, expected) in [("", "/"), ("?q", "/?q")] {
            let target = Target::as_given(&format!("http://a.test{rest}")).unwrap();
            assert_eq!(target.request_target(), expected);
        }
        for text in [
            "http://a.test/a b",
            "http://a.test/\n",
            "http://a.test/\x7f",
            "http://a.test\\@b.test/",
            "a",
            "http:a",
            " http://a.test/",
        ] {
            assert_eq!(Target::as_given(text).unwrap_err().kind(), Kind::InvalidUrl, "{text:?}");
        }
    }

    #[test]
    fn a_reference_leads_where_its_resolved_text_does() {
        for from in [
            "http://a.test/b/c?d",
            "http://us:er@a.test",
            "https://A.test:8443/b/",
            "http://[fe80::1%25eth0]:81/b/c",
            "http+unix://us:er@%2Frun%2Fapp.sock/b/c?d",
        ] {
            let from = Target::parse(from).unwrap();
            let begin = &from.url[..from.path.start];
            let (path, folder) = (from.path(), &from.path()[..=from.path().rfind('/').unwrap()]);
            for (reference, resolved) in [
                ("e", format!("{folder}e")),
                ("../e f?g h#i", format!("{folder}../e f?g h#i")),
                ("./a:b", format!("{folder}a:b")),
                ("/e/../f/", "/e/../f/".to_owned()),
                ("/#e", "/".to_owned()),
                ("?e/f?g", format!("{path}?e/f?g")),
                ("#e", from.request_target().to_owned()),
                (begin, "/".to_owned()),
                (&format!("{begin}?e"), "/?e".to_owned()),
                (&format!("{begin}#e"), "/".to_owned()),
                (&format!("{begin}//e/./f"), "//e/./f".to_owned()),
            ] {
                let to = from.follow(reference).unwrap();
                let expected = Target::parse(&format!("{begin}{resolved}")).unwrap();
                let parts = |target: &Target| {
                    (target.url(), target.path.clone(), target.origin.clone(), target.host.clone())
                };
                assert_eq!(parts(&to), parts(&expected), "{begin} {reference}");
                assert!(to.credentials.is_none());
            }
        }
        let from = Target::parse("http://a.test/b").unwrap();
        for (reference, url) in [
            ("http://a.test.example/", "http://a.test.example/"),
            ("http://a.test:81/", "http://a.test:81/"),
            ("http://a.test:80/c", "http://a.test/c"),
            ("HTTP://A.TEST/c", "http://a.test/c"),
            ("http://a.testing", "http://a.testing/"),
            ("//a.test/c", "http://a.test/c"),
            ("//b.test", "http://b.test/"),
        ] {
            let to = from.follow(reference).unwrap();
            assert_eq!(to.url(), url, "{reference}");
            assert_eq!(to.origin == from.origin, url.starts_with("http://a.test/"), "{reference}");
        }
        let own = from.follow("http://u:p@a.test/c").unwrap();
        assert!(own.credentials.is_some() && own.origin == from.origin);
        let long = format!("/{}", "e".repeat(MAX_URL));
        assert!(from.follow(&long).unwrap_err().contains("at most"));
    }

    #[test]
    fn the_parts_of_a_server_are_kept_from_one_redirect_to_the_next() {
        let from = Target::parse("http://a.test/b").unwrap();
        let (tls, route) = (Tls::standard(), Arc::new(Route::default()));
        let key = from.key(&tls, &route);
        for reference in ["c", "/c", "?c", "http://a.test/c"] {
            let to = from.follow(reference).unwrap();
            assert!(Arc::ptr_eq(&to.key(&tls, &route), &key), "{reference}");
        }
        let to = from.follow("http://b.test/c").unwrap();
        assert!(to.key(&tls, &route) != key);
    }

    #[test]
    fn user_information_becomes_basic_credentials() {
        let target = Target::parse("http://us%3Aer:p%40ss@example.org/").unwrap();
        let sent = target.credentials.as_ref().unwrap().reveal();
        assert_eq!(sent, "Basic dXM6ZXI6cEBzcw==");
        assert!(Target::parse("http://example.org/").unwrap().credentials.is_none());
    }

    #[test]
    fn a_unix_domain_socket_is_requested_as_localhost() {
        let parse = |text| Target::parse(text).unwrap();
        let target = parse("http+unix://us:er@%2Frun%2Fapp.sock/a/../b?c=d#e");
        assert_eq!(target.request_target(), "/b?c=d");
        assert_eq!(&*target.host, "localhost");
        assert_eq!(target.url(), "http+unix://%2Frun%2Fapp.sock/b?c=d");
        assert!(target.credentials.is_some());
        let bare = parse("https+unix://%2Frun%2Fapp.sock");
        assert_eq!(bare.request_target(), "/");
        assert_eq!(bare.url(), "https+unix://%2Frun%2Fapp.sock/");
        assert_eq!(parse("http+unix://%2Fa?b").request_target(), "/?b");
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
            assert_eq!((&again.origin, again.url()), (&target.origin, target.url()), "{text:?}");
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
