//! The part of a URL that names the host, as it is written. A URL in which two parsers find two hosts is
//! refused before it is parsed: a caller that checked the host with another parser would have checked
//! another host than the one that is connected to.
//!
//! The URL standard (WHATWG) repairs what RFC 3986 does not allow: it reads a backslash as a slash,
//! ignores missing and surplus slashes, tabs and line ends, decodes `%61` in hosts
//! and reads `0x7f.1` as an address. This module refuses all of these.

use std::borrow::Cow;
use std::fmt::Write;
use std::net::{Ipv4Addr, Ipv6Addr};

use url::Host;

/// Checks that an absolute URL names its host in one way only. The error says why not. A URL with another scheme
/// than http and https passes; it is refused for its scheme later.
pub(crate) fn check(url: &str) -> Result<(), String> {
    // The URL standard ignores spaces around a URL; other parsers take them as part of it.
    if let Some(byte) = url.bytes().find(u8::is_ascii_control).or_else(|| space_at_an_end(url)) {
        return Err(format!(
            "it holds the byte 0x{byte:02x}: control characters, and spaces before and behind it, must be \
             percent-encoded (%{byte:02X})"
        ));
    }
    check_reference(url)
}

fn space_at_an_end(url: &str) -> Option<u8> {
    (url.starts_with(' ') || url.ends_with(' ')).then_some(b' ')
}

/// As [`check`], for a URL that may be relative and hold spaces, as in a Location field.
pub(crate) fn check_reference(reference: &str) -> Result<(), String> {
    let before_query = check_path(reference)?;
    let scheme = scheme(before_query);
    let rest = scheme.map_or(before_query, |scheme| &before_query[scheme.len() + 1..]);
    let slashes = rest.len() - rest.trim_start_matches('/').len();
    let (expected, unix) = match scheme {
        Some(scheme) => {
            let is_one_of = |known: [&str; 2]| known.iter().any(|k| scheme.eq_ignore_ascii_case(k));
            if is_one_of(["http", "https"]) {
                (slashes == 2, false)
            } else if is_one_of(["http+unix", "https+unix"]) {
                (slashes == 2, true)
            } else {
                // It is refused later, for its scheme.
                return Ok(());
            }
        }
        None => (slashes <= 2, false),
    };
    if !expected {
        return Err("its host can be read in two ways: it must follow two slashes".to_owned());
    }
    if slashes < 2 {
        return Ok(());
    }
    let authority = rest[slashes..].split('/').next().unwrap_or_default();
    if unix { check_user(authority).map(drop) } else { check_authority(&without_zone(authority).0) }
}

/// What [`check_reference`] checks of a path, with what is behind it. Returns the path.
pub(crate) fn check_path(path: &str) -> Result<&str, String> {
    // Other parsers ignore some control characters, but no other characters.
    if let Some(byte) = path.bytes().find(u8::is_ascii_control) {
        return Err(format!("it holds the control character 0x{byte:02x}"));
    }
    let end = path.bytes().position(|byte| matches!(byte, b'?' | b'#')).unwrap_or(path.len());
    check_backslash(&path[..end])?;
    Ok(&path[..end])
}

/// Scheme and authority that every parser reads alike, and that are written as the URL standard writes them, but for
/// the port: there is nothing to repair in them, so that they need no parser of URLs.
pub(crate) struct Plain<'a> {
    pub(crate) secure: bool,
    pub(crate) host: &'a str,
    /// As it is given: it may be that of the scheme. Not 0.
    pub(crate) port: Option<u16>,
}

impl<'a> Plain<'a> {
    /// Reads `http://example.org:8080`. Most URLs begin so; the others are for the parser, malformed ones as well.
    pub(crate) fn read(begin: &'a str) -> Option<Self> {
        let rest = begin.strip_prefix("http")?;
        let (secure, rest) = rest.strip_prefix('s').map_or((false, rest), |rest| (true, rest));
        let authority = rest.strip_prefix("://")?;
        let end = authority.bytes().position(|byte| byte == b':').unwrap_or(authority.len());
        let (host, port) = authority.split_at(end);
        let port = match port.as_bytes() {
            [] => None,
            [_, digits @ ..] if digits.iter().all(u8::is_ascii_digit) => {
                Some(port[1..].parse().ok().filter(|port| *port > 0)?)
            }
            _ => return None,
        };
        let is_common = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.');
        let mut before = b'.';
        for byte in host.bytes() {
            // No empty labels, and no "xn--".
            if !is_common(byte) || (byte == before && matches!(byte, b'.' | b'-')) {
                return None;
            }
            before = byte;
        }
        let is_plain = before != b'.' && host.len() <= LONGEST_NAME && is_plain(host);
        is_plain.then_some(Self { secure, host, port })
    }
}

/// A text without the zone of the link-local IPv6 address in it (`[fe80::1%25eth0]`: RFC 6874 section 2), and the
/// zone. The URL standard has no zones, and nothing but this machine knows what one means.
pub(crate) fn without_zone(text: &str) -> (Cow<'_, str>, Option<&str>) {
    let zone = || {
        let begin = text.rfind('[')? + 1;
        let end = begin + text[begin..].find(']')?;
        let (address, zone) = text[begin..end].split_once("%25")?;
        // RFC 3986 section 2.3.
        let is_unreserved =
            |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~');
        let is_zone = !zone.is_empty() && zone.bytes().all(is_unreserved);
        let is_local = address.parse::<Ipv6Addr>().is_ok_and(|ip| ip.is_unicast_link_local());
        (is_zone && is_local).then(|| (begin + address.len()..end, zone))
    };
    match zone() {
        None => (Cow::Borrowed(text), None),
        Some((place, zone)) => {
            let text = [&text[..place.start], &text[place.end..]].concat();
            (Cow::Owned(text), Some(zone))
        }
    }
}

/// As [`check`], for the part between the two slashes and the path.
pub(crate) fn check_authority(authority: &str) -> Result<(), String> {
    check_backslash(authority)?;
    let host_and_port = check_user(authority)?;
    let host = match host_and_port.find(']') {
        Some(end) if host_and_port.starts_with('[') => &host_and_port[..=end],
        _ => host_and_port.split(':').next().unwrap_or_default(),
    };
    if host_and_port.contains(' ') {
        return Err("its host holds a space, which some parsers ignore".to_owned());
    }
    if host.starts_with('[') && host.contains('%') {
        // The zone of a link-local address was taken out before, if it is written as it must be.
        return Err("its host is an IPv6 address with a zone: only link-local ones have one, in the form [fe80::1%25eth0]"
            .to_owned());
    }
    if host.contains('%') {
        return Err("its host can be read in two ways: it is percent-encoded".to_owned());
    }
    if is_plain(host) {
        return Ok(());
    }
    match Host::parse(host) {
        // Some parsers read "0177.0.0.1" as another address, and "127.1" as a name.
        Ok(Host::Ipv4(address)) if address.to_string() != host => {
            Err(format!("its host can be read in two ways: if it is an address, write {address}"))
        }
        // A label that becomes ASCII by mapping (UTS 46) is another name to a parser that does not map.
        Ok(Host::Domain(name)) if !host.is_ascii() && !is_spelt(host, &name) => {
            Err(format!("its host can be read in two ways: if it is {name}, write that"))
        }
        _ => Ok(()),
    }
}

/// The target of a tunnel: a host, which is an ASCII name or an address, and a port (RFC 9112 section 3.2.3), as they
/// are sent. The error says why it is none.
pub(crate) fn host_and_port(text: &str) -> Result<String, String> {
    if let Some(byte) = text.bytes().find(|byte| !byte.is_ascii_graphic()) {
        return Err(format!("it holds the byte 0x{byte:02x}"));
    }
    if text.contains(['@', '/', '?', '#']) {
        return Err("it holds more than a host and a port".to_owned());
    }
    check_authority(text)?;
    let (host, port) = text.rsplit_once(':').ok_or("it has no port")?;
    if host.is_empty() {
        return Err("it has no host".to_owned());
    }
    if host.contains(':') && !(host.starts_with('[') && host.ends_with(']')) {
        return Err("it has no port, or an IPv6 address without its brackets".to_owned());
    }
    let host = Host::parse(host).map_err(|error| error.to_string())?;
    let digits = !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
    match port.parse::<u16>() {
        Ok(port) if digits && port > 0 => Ok(format!("{host}:{port}")),
        _ => Err("its port is no number from 1 to 65535".to_owned()),
    }
}

/// Whether a host without a percent sign is certainly no address in an unusual form, and no international name: the URL
/// standard takes for an IPv4 address what has a last label of digits, or one that begins with 0x. Most hosts are plain,
/// and are parsed only once then.
fn is_plain(host: &str) -> bool {
    let name = host.strip_suffix('.').unwrap_or(host);
    let last = name.rsplit('.').next().unwrap_or_default();
    host.is_ascii()
        && (!last.starts_with(|c: char| c.is_ascii_digit()) || host.parse::<Ipv4Addr>().is_ok())
}

/// Whether each label of an international name is ASCII already or is encoded (`xn--`) in its ASCII form.
fn is_spelt(host: &str, name: &str) -> bool {
    host.split('.').count() == name.split('.').count()
        && host
            .split('.')
            .zip(name.split('.'))
            .all(|(label, ascii)| label.is_ascii() || ascii.starts_with("xn--"))
}

/// The part after the user information.
fn check_user(authority: &str) -> Result<&str, String> {
    let Some((user, host)) = authority.split_once('@') else { return Ok(authority) };
    let encode = |found: char, code: &str| {
        Err(format!(
            "its host can be read in two ways: {found} in user information must be written {code}"
        ))
    };
    match user.find(['[', ']', ' ']).map(|at| user.as_bytes()[at]) {
        Some(b'[') => return encode('[', "%5B"),
        Some(b']') => return encode(']', "%5D"),
        Some(_) => return encode(' ', "%20"),
        None => {}
    }
    if host.contains('@') { encode('@', "%40") } else { Ok(host) }
}

fn check_backslash(text: &str) -> Result<(), String> {
    match text.contains('\\') {
        true => Err("it can be read in two ways: write a backslash as %5C".to_owned()),
        false => Ok(()),
    }
}

/// RFC 3986 section 3.1.
pub(crate) fn scheme(text: &str) -> Option<&str> {
    let (scheme, _) = text.split_once(':')?;
    let rest = scheme.strip_prefix(|c: char| c.is_ascii_alphabetic())?;
    let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.');
    rest.chars().all(legal).then_some(scheme)
}

/// A URL for a message: control characters are percent-encoded, and user information, which may hold a
/// password, is `***`. Of a malformed URL more is hidden if that is not certain.
pub(crate) fn shown(url: &str) -> String {
    let (begin, host) = user_information(url);
    let hidden = if begin < host { "***@" } else { "" };
    let mut shown = String::with_capacity(url.len());
    for c in url[..begin].chars().chain(hidden.chars()).chain(url[host..].chars()) {
        match c.is_ascii_control() {
            true => drop(write!(shown, "%{:02X}", u32::from(c))),
            false => shown.push(c),
        }
    }
    shown
}

/// Where the user information begins, and where the host does; the same place twice if there is none.
fn user_information(url: &str) -> (usize, usize) {
    let after_scheme = scheme(url).map_or(0, |scheme| scheme.len() + 1);
    let rest = url[after_scheme..].trim_start_matches(['/', '\\']);
    let slashes = url.len() - after_scheme - rest.len();
    // A path, unless it begins as "user:password@" would.
    let segment = &rest[..rest.find(['/', '?', '#']).unwrap_or(rest.len())];
    if after_scheme == 0 && (slashes == 1 || (slashes == 0 && !segment.contains(':'))) {
        return (0, 0);
    }
    // A password with a slash in it ends the authority early, and looks like a port that is none.
    let host_and_port = segment.rsplit('@').next().unwrap_or_default();
    let port = host_and_port.rsplit_once(':').map_or("", |(_, port)| port);
    let is_whole = host_and_port.ends_with(']') || port.bytes().all(|byte| byte.is_ascii_digit());
    let begin = url.len() - rest.len();
    let host = if is_whole { segment } else { rest }.rfind('@').map_or(0, |at| at + 1);
    (begin, begin + host)
}

/// RFC 1035 section 2.3.4, as text.
const LONGEST_NAME: usize = 253;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_names_one_host_is_in_order() {
        for url in [
            "http://a.test",
            "HTTPS://A.test:8443/b/c?d\\e#f\\g",
            "http://u:p@a.test/@b.test//c:d",
            "http://u:p:q%40@a.test:80",
            "http://@a.test/",
            "http://a.test?x@b.test/",
            "http://a.test#@b.test",
            "http://[::1]:8080/",
            "http://u@[::ffff:127.0.0.1]/",
            "http://u@[fe80::1%25eth0]:80/[a%25b]",
            "http://127.0.0.1/",
            "http://127.0.0.1.example/",
            "http://a.test:/",
            "http://b\u{fc}cher.example/\u{e9}%2F",
            "http://www.B\u{dc}CHER.\u{4e2d}\u{56fd}/",
            "http+unix://u:p@%2Frun%2Fapp.sock/a",
            "file:///etc/passwd",
            "http://a.test/b c?d e#f g",
            "mailto:a@b",
            "relative",
            "",
        ] {
            assert_eq!(check(url), Ok(()), "{url}");
        }
        for reference in [
            "b",
            "/b",
            "?b\\c",
            "#b",
            "//b.test",
            "//u@b.test:80/c",
            "b c",
            "@b",
            "./a:b",
            "..",
            "/http://b.test",
            "b//c",
            "/b//c",
            "?http:\\\\b",
        ] {
            assert_eq!(check_reference(reference), Ok(()), "{reference}");
        }
    }

    #[test]
    fn what_can_be_read_as_two_hosts_is_refused_by_name() {
        for (url, word) in [
            ("http://a.test\\@b.test/", "%5C"),
            ("http:\\\\a.test/", "%5C"),
            ("http:/\\a.test/", "%5C"),
            ("http://a.test\\b", "%5C"),
            ("http://a.test/b\\c?d", "%5C"),
            ("http+unix://%2Fa\\b/", "%5C"),
            ("http:a.test", "two slashes"),
            ("http:", "two slashes"),
            ("http:/a.test/", "two slashes"),
            ("http:///a.test/", "two slashes"),
            ("HTTP:////a.test/", "two slashes"),
            ("http:?a.test", "two slashes"),
            ("http+unix:%2Fa", "two slashes"),
            ("http://u@a.test@b.test/", "%40"),
            ("http://u:p@ss@b.test/", "%40"),
            ("http://@@b.test/", "%40"),
            ("http+unix://a@b@%2Fc/", "%40"),
            ("http://[::1]@b.test/", "%5B"),
            ("http://u:]@b.test/", "%5D"),
            ("http://%61.test/", "percent-encoded"),
            ("http://a.test%2f@b.test%2f/", "percent-encoded"),
            ("http://a.test%40b.test/", "percent-encoded"),
            ("http://a.test%5Cb.test/", "percent-encoded"),
            ("http://[fe80::1%eth0]/", "zone"),
            ("http://[fe80::1%25]/", "zone"),
            ("http://[fe80::1%25a%20b]/", "zone"),
            ("http://[2001:db8::1%25eth0]/", "zone"),
            ("http://a%25eth0.test/", "percent-encoded"),
            ("http://0177.0.0.1/", "127.0.0.1"),
            ("http://u@0x7f.1:80/", "127.0.0.1"),
            ("http://2130706433/", "127.0.0.1"),
            ("http://127.1/", "127.0.0.1"),
            ("http://127.0.0.1./", "127.0.0.1"),
            ("http://127.0.0.01/", "127.0.0.1"),
            ("http://\u{2460}\u{2461}\u{2466}.0.0.1/", "127.0.0.1"),
            ("http://127\u{3002}0\u{3002}0\u{3002}1/", "127.0.0.1"),
            ("http://a\u{3002}test/", "a.test"),
            ("http://\u{ff41}.test/", "a.test"),
            ("http://a\u{ad}.test/", "a.test"),
            ("http://\u{212a}.test/", "k.test"),
            ("http://b\u{fc}cher\u{ff0e}a.test/", "xn--"),
            ("http://a.test /", "space"),
            ("http://a.te st:80/", "space"),
            ("http://a.te\tst/", "0x09"),
            ("ht\ntp://a.test/", "0x0a"),
            (" http://a.test/", "0x20"),
            ("http://a.test/ ", "0x20"),
            ("http://a.test/\0", "0x00"),
            ("http://a.test/\x7f", "0x7f"),
        ] {
            let why = check(url).expect_err(url);
            assert!(why.contains(word), "{url}: {why}");
        }
        for reference in [
            "///b.test",
            "\\b",
            "/\\b.test",
            "\\\\b.test",
            "b\\c",
            "/\t/b.test",
            "b\r\nc",
            "//b@c@d",
            "//%62.test",
            "//127.1",
            "http:b",
            "https:/b",
            "//u p@b.test/",
        ] {
            assert!(check_reference(reference).is_err(), "{reference:?}");
        }
    }

    #[test]
    fn what_is_shown_has_no_user_information() {
        for (url, expected) in [
            ("http://a.test/b@c?d#e", "http://a.test/b@c?d#e"),
            ("http://a.test:80/@b", "http://a.test:80/@b"),
            ("http://[::1]/@b", "http://[::1]/@b"),
            ("/@b", "/@b"),
            ("b@c", "b@c"),
            ("/b:c@d/e@f", "/b:c@d/e@f"),
            ("b@c/d", "b@c/d"),
            ("?b:c@d", "?b:c@d"),
            ("./b:c@d", "./b:c@d"),
            ("1u:pw@a.test/", "***@a.test/"),
            ("\\\\u:pw@a.test/", "\\\\***@a.test/"),
            ("http:///u:pw@a.test/", "http:///***@a.test/"),
            ("http://@a.test/", "http://***@a.test/"),
            ("http://u:pw@a.test:80/b@c?d@e", "http://***@a.test:80/b@c?d@e"),
            ("http://u:pw@a.test/", "http://***@a.test/"),
            ("http://pw@a.test/", "http://***@a.test/"),
            ("//u:pw@a.test", "//***@a.test"),
            ("http://u:p@pw@a.test/", "http://***@a.test/"),
            ("http://u:pw/w@a.test/", "http://***@a.test/"),
            ("http://u:pw?w#@a.test/", "http://***@a.test/"),
            ("http:u:pw@a.test", "http:***@a.test"),
            ("http:\\\\u:pw@a.test", "http:\\\\***@a.test"),
            ("u:pw@a.test", "u:***@a.test"),
            ("http://u:p\tw@a.test\t", "http://***@a.test%09"),
        ] {
            assert_eq!(shown(url), expected, "{url}");
        }
    }
}
