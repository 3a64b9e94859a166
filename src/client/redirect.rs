//! Where a response redirects to, and what of the request goes along: pure policy.
//!
//! Targets are judged before anything is opened: what is no http or https URL, or could be read in
//! two ways, is refused with its own words. Knows nothing of connections.

use std::sync::Arc;

use http::Method;
use percent_encoding::{CONTROLS, percent_encode};

use crate::authority;
use crate::headers::{self, AUTHORIZATION, COOKIE, EXPECT, HOST, PROXY_AUTHORIZATION};
use crate::secret::Secret;
use crate::target::Target;

/// One request of a call: the first one, or the one that a redirect made of it.
/// Threads: a value.
#[derive(Clone, Debug)]
pub(super) struct RequestHop {
    pub(super) target: Arc<Target>,
    pub(super) method: Method,
    /// The request's body and the headers that describe it are sent.
    pub(super) has_body: bool,
    /// The call was redirected to another origin before: what was meant for the first one alone is not sent
    /// any more.
    pub(super) cross_origin: bool,
}

/// What a response with a redirect status asks for.
#[derive(Debug)]
pub(super) enum RedirectDecision {
    /// It is no redirect, or one that leaves the choice to the caller: the caller gets it.
    Return,
    /// Go there.
    Follow(RequestHop),
    /// It can't be followed; why, the target included.
    Reject(String),
}

impl RequestHop {
    pub(super) fn first(target: &Arc<Target>, method: &Method) -> Self {
        let (target, method) = (Arc::clone(target), method.clone());
        Self { target, method, has_body: true, cross_origin: false }
    }

    /// Whether every header goes along: nothing was redirected away from what it was meant for.
    pub(super) fn forwards_all(&self) -> bool {
        self.has_body && !self.cross_origin
    }

    /// Whether a header of the request, or of the client's defaults, goes along.
    pub(super) fn forwards_header(&self, name: &str, sensitive: &[Box<str>]) -> bool {
        if self.forwards_all() {
            return true;
        }
        let is = |other: &str| headers::is(name, other);
        let private = self.cross_origin
            && (PRIVATE.iter().any(|other| is(other)) || sensitive.iter().any(|other| is(other)));
        let of_body = !self.has_body
            && (name.get(..8).is_some_and(|begin| begin.eq_ignore_ascii_case("content-"))
                || is(headers::TRANSFER_ENCODING)
                || is(EXPECT));
        !private && !of_body
    }

    /// User information as credentials: this URL's own, for this hop, or the first one's.
    pub(super) fn credentials<'a>(&'a self, first: &'a Target) -> Option<&'a str> {
        let inherited = if self.cross_origin { None } else { first.credentials.as_ref() };
        self.target.credentials.as_ref().or(inherited).map(Secret::reveal).map(String::as_str)
    }

    /// What a response to this hop asks for. `body_replayable`: the body can be sent again.
    pub(super) fn redirect(
        &self,
        status: u16,
        locations: impl Iterator<Item = impl AsRef<[u8]>>,
        body_replayable: bool,
    ) -> RedirectDecision {
        // 300, 304, 305 and 306 leave the choice, or are none (RFC 9110 section 15.4).
        if !matches!(status, 301 | 302 | 303 | 307 | 308) {
            return RedirectDecision::Return;
        }
        let location = match single_location(locations) {
            Ok(Some(location)) => location,
            Ok(None) => return RedirectDecision::Return,
            Err(what) => {
                return RedirectDecision::Reject(format!("the redirect ({status}) {what}"));
            }
        };
        let refuse = |why: &str| {
            let to = authority::shown(&location);
            RedirectDecision::Reject(format!(
                "the redirect ({status}) to {to} is not followed: {why}"
            ))
        };
        let target = match resolve(&self.target, &location) {
            Ok(target) => target,
            Err(why) => return refuse(&why),
        };
        let cross_origin = self.cross_origin || target.origin != self.target.origin;
        if !self.becomes_get(status) {
            if self.has_body && !body_replayable {
                return refuse(
                    "it repeats the request, whose body came from a reader that can't be read again",
                );
            }
            return RedirectDecision::Follow(Self { target, cross_origin, ..self.clone() });
        }
        let method = if self.method == Method::HEAD { Method::HEAD } else { Method::GET };
        RedirectDecision::Follow(Self { target, method, has_body: false, cross_origin })
    }

    /// Whether the next hop is a GET (HEAD stays HEAD) without the body: after 303, and after 301 and 302 if this one
    /// is a POST, for historical reasons (RFC 9110 section 15.4; the fetch standard, HTTP-redirect fetch, step 12).
    fn becomes_get(&self, status: u16) -> bool {
        status == 303 || (matches!(status, 301 | 302) && self.method == Method::POST)
    }
}

/// The one Location, as text. Two that differ are an error: different clients would follow different
/// ones.
fn single_location(
    mut locations: impl Iterator<Item = impl AsRef<[u8]>>,
) -> Result<Option<String>, String> {
    let Some(first) = locations.next() else { return Ok(None) };
    let first = first.as_ref().trim_ascii();
    // Bytes that are no text are meant to be percent-encoded.
    let text = |bytes| match std::str::from_utf8(bytes) {
        Ok(text) => text.to_owned(),
        Err(_) => percent_encode(bytes, CONTROLS).to_string(),
    };
    if let Some(other) = locations.find(|other| other.as_ref().trim_ascii() != first) {
        return Err(format!(
            "has two Location headers that differ: {} and {}",
            authority::shown(&text(first)),
            authority::shown(&text(other.as_ref().trim_ascii()))
        ));
    }
    Ok(if first.is_empty() { None } else { Some(text(first)) })
}

/// RFC 3986 section 5, without the URL standard's repairs of hosts.
fn resolve(from: &Target, location: &str) -> Result<Arc<Target>, String> {
    let target = from.follow(location)?;
    // A Unix-domain socket may redirect to itself only: no response from the network leads there.
    if target.origin.unix.is_some() && target.origin != from.origin {
        return Err("it leads from the network to this machine".to_owned());
    }
    Ok(target)
}

/// Headers that are always meant for one origin.
const PRIVATE: [&str; 4] = [AUTHORIZATION, COOKIE, HOST, PROXY_AUTHORIZATION];

#[cfg(test)]
mod tests {
    use super::*;

    fn hop(method: Method, url: &str) -> RequestHop {
        RequestHop::first(&Target::parse(url).unwrap(), &method)
    }

    fn follow(hop: &RequestHop, status: u16, location: &str) -> RequestHop {
        match hop.redirect(status, [location.as_bytes()].into_iter(), true) {
            RedirectDecision::Follow(hop) => hop,
            other => panic!("{location:?}: {other:?}"),
        }
    }

    #[test]
    fn targets_are_resolved_as_rfc_3986_has_them() {
        let from = hop(Method::GET, "http://a.example/b/c/d?q#f");
        for (location, to) in [
            ("g", "http://a.example/b/c/g"),
            ("../g", "http://a.example/b/g"),
            ("/g#s", "http://a.example/g"),
            ("?y", "http://a.example/b/c/d?y"),
            ("//g", "http://g/"),
            ("HTTPS://g:444/", "https://g:444/"),
            (" /\u{e9} b ", "http://a.example/%C3%A9%20b"),
            ("http://b\u{fc}cher.example/", "http://xn--bcher-kva.example/"),
        ] {
            assert_eq!(follow(&from, 302, location).target.url(), to, "{location:?}");
        }
    }

    #[test]
    fn other_schemes_and_broken_targets_are_refused_by_name() {
        let from = hop(Method::GET, "http://a.example/");
        for location in [
            "file:///etc/passwd",
            "gopher://a.example/",
            "data:text/plain,x",
            "http+unix://%2Frun%2Fdocker.sock/",
            "http:////a.example/",
            "http:///a.example/",
            "http:a.example",
            "///a.example/",
            "/\\a.example/",
            "\\\\a.example/",
            "http://",
            "http://[::1/",
            "http://a.example:99999/",
            "http://a.example:0/",
            "http://b.example\\@a.example/",
            "b\\c",
            "http://a@b@c.example/",
            "//127.1/",
            "http://%61.example/",
        ] {
            match from.redirect(302, [location.as_bytes()].into_iter(), true) {
                RedirectDecision::Reject(why) => {
                    assert!(why.contains(&authority::shown(location)), "{why}")
                }
                other => panic!("{location:?}: {other:?}"),
            }
        }
    }

    #[test]
    fn a_refused_target_is_shown_without_its_password() {
        let from = hop(Method::GET, "http://a.example/");
        for locations in [
            &[&b"ftp://u:secret@b.example/"[..]][..],
            &[b"http:\\\\u:secret@b.example/"],
            &[b"http://u:secret/x@b.example/"],
            &[b"http://b.example/\tx"],
            &[b"http://u:secret@b.example/", b"http://v:secret@c.example/"],
        ] {
            match from.redirect(302, locations.iter().copied(), true) {
                RedirectDecision::Reject(why) => {
                    assert!(why.contains("b.example") && !why.contains("secret"), "{why}");
                    assert!(!why.contains(|c: char| c.is_ascii_control()), "{why}");
                }
                other => panic!("{other:?}"),
            }
        }
    }

    #[test]
    fn what_is_no_redirect_is_handed_out() {
        let from = hop(Method::GET, "http://a.example/");
        for status in [200, 201, 300, 304, 305, 306, 399] {
            let next = from.redirect(status, [&b"/b"[..]].into_iter(), true);
            assert!(matches!(next, RedirectDecision::Return), "{status}");
        }
        assert!(matches!(
            from.redirect(302, std::iter::empty::<&[u8]>(), true),
            RedirectDecision::Return
        ));
        let twice = [&b"/b"[..], b"/b"];
        assert!(matches!(from.redirect(302, twice.into_iter(), true), RedirectDecision::Follow(_)));
        let differing = [&b"/b"[..], b"/c"];
        assert!(matches!(
            from.redirect(302, differing.into_iter(), true),
            RedirectDecision::Reject(_)
        ));
    }

    #[test]
    fn methods_and_bodies_follow_the_status() {
        for method in [Method::POST, Method::PUT, Method::DELETE, Method::GET, Method::HEAD] {
            let from = hop(method.clone(), "http://a.example/");
            for status in [301, 302, 303] {
                let to = follow(&from, status, "/b");
                let expected = match (status, &method) {
                    (303, &Method::HEAD) => (Method::HEAD, false),
                    (303, _) | (_, &Method::POST) => (Method::GET, false),
                    (_, method) => (method.clone(), true),
                };
                assert_eq!((to.method, to.has_body), expected);
            }
            for status in [307, 308] {
                let to = follow(&from, status, "/b");
                assert_eq!((&to.method, to.has_body), (&method, true));
            }
        }
        let spent =
            hop(Method::POST, "http://a.example/").redirect(307, [&b"/"[..]].into_iter(), false);
        assert!(matches!(spent, RedirectDecision::Reject(_)));
    }

    #[test]
    fn what_was_meant_for_one_origin_stays_there_for_good() {
        let from = hop(Method::GET, "http://u:p@a.example/");
        let first = Arc::clone(&from.target);
        let same = follow(&from, 302, "http://a.example:80/b");
        assert!(same.forwards_header(AUTHORIZATION, &[]) && same.credentials(&first).is_some());
        for elsewhere in ["https://a.example/", "http://b.example/", "http://a.example:81/"] {
            let cross_origin = follow(&same, 302, elsewhere);
            let back = follow(&cross_origin, 302, "http://a.example/");
            for hop in [cross_origin, back] {
                assert!(PRIVATE.iter().all(|name| !hop.forwards_header(name, &[])));
                assert!(!hop.forwards_header("Referer", &["referer".into()]));
                assert!(hop.forwards_header("Referer", &[]));
                assert!(hop.credentials(&first).is_none());
            }
        }
        let own = follow(&from, 302, "http://x:y@b.example/");
        assert!(own.credentials(&first).is_some());
        assert!(follow(&own, 302, "/next").credentials(&first).is_none());
    }
}
