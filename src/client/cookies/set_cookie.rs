//! A Set-Cookie field, parsed as RFC 6265 section 5.2 specifies, on bytes: a cookie need not be UTF-8.
//! Rules of its successor, rfc6265bis, are named where they apply.
//!
//! It does not know the URL of the response.

use std::time::{Duration, SystemTime};

use super::date;

/// A parsed Set-Cookie field. A malformed attribute counts as absent.
#[derive(Clone, Copy)]
pub(super) struct SetCookie<'a> {
    pub(super) name: &'a [u8],
    pub(super) value: &'a [u8],
    /// Without the dot that it may begin with. Never empty.
    pub(super) domain: Option<&'a [u8]>,
    /// Begins with a slash.
    pub(super) path: Option<&'a [u8]>,
    pub(super) secure: bool,
    pub(super) http_only: bool,
    max_age: Option<i64>,
    expires: Option<SystemTime>,
}

impl<'a> SetCookie<'a> {
    /// Parses the field. The error is the reason why it sets no cookie.
    pub(super) fn parse(field: &'a [u8]) -> Result<Self, &'static str> {
        // rfc6265bis section 5.6, step 1.
        if field.iter().any(|byte| *byte != b'\t' && byte.is_ascii_control()) {
            return Err("it holds a control character");
        }
        let mut parts = field.split(|byte| *byte == b';');
        let pair = parts.next().unwrap_or_default();
        let (name, value) = split(pair).ok_or("it must begin with name=value")?;
        if name.is_empty() {
            return Err("it must begin with name=value");
        }
        if name.len() + value.len() > MAX_SIZE {
            return Err("its name and value have more than 4096 bytes");
        }
        let mut cookie = Self {
            name,
            value,
            domain: None,
            path: None,
            secure: false,
            http_only: false,
            max_age: None,
            expires: None,
        };
        for part in parts {
            let (name, value) = split(part).unwrap_or((trim(part), b""));
            // rfc6265bis section 5.6, step 6.
            if value.len() <= MAX_ATTRIBUTE {
                cookie.read_attribute(name, value);
            }
        }
        Ok(cookie)
    }

    /// Of two attributes with the same name the last one counts (RFC 6265 section 5.3).
    fn read_attribute(&mut self, name: &[u8], value: &'a [u8]) {
        let is = |known: &str| name.eq_ignore_ascii_case(known.as_bytes());
        if is("Expires") {
            self.expires = date::parse(value).or(self.expires);
        } else if is("Max-Age") {
            self.max_age = seconds(value).or(self.max_age);
        } else if is("Domain") {
            let value = value.strip_prefix(b".").unwrap_or(value);
            self.domain = (!value.is_empty()).then_some(value);
        } else if is("Path") {
            self.path = value.starts_with(b"/").then_some(value);
        } else if is("Secure") {
            self.secure = true;
        } else if is("HttpOnly") {
            self.http_only = true;
        }
    }

    /// When it expires: Max-Age takes precedence over Expires. `None`: with the client.
    pub(super) fn end(&self, now: SystemTime) -> Option<SystemTime> {
        match self.max_age {
            Some(..=0) => Some(SystemTime::UNIX_EPOCH),
            Some(seconds) => now.checked_add(Duration::from_secs(seconds.unsigned_abs())),
            None => self.expires,
        }
    }

    /// Whether it has the attributes that a prefix of its name requires (rfc6265bis section 4.1.3).
    pub(super) fn satisfies_prefix(&self) -> bool {
        let has_prefix = |prefix: &str| {
            let begin = self.name.get(..prefix.len());
            begin.is_some_and(|begin| begin.eq_ignore_ascii_case(prefix.as_bytes()))
        };
        let of_host = self.domain.is_none() && self.path == Some(b"/");
        !(has_prefix("__Secure-") && !self.secure
            || has_prefix("__Host-") && !(self.secure && of_host))
    }
}

/// The parts before and after the first equals sign.
fn split(pair: &[u8]) -> Option<(&[u8], &[u8])> {
    let at = memchr::memchr(b'=', pair)?;
    Some((trim(&pair[..at]), trim(&pair[at + 1..])))
}

fn trim(text: &[u8]) -> &[u8] {
    let is_blank = |byte: &u8| matches!(byte, b' ' | b'\t');
    let begin = text.iter().take_while(|byte| is_blank(byte)).count();
    let end = text[begin..].iter().rev().take_while(|byte| is_blank(byte)).count();
    &text[begin..text.len() - end]
}

/// The value of Max-Age: digits, with a minus sign or without (RFC 6265 section 5.2.2). What is out
/// of range is the nearest number that can be kept.
fn seconds(value: &[u8]) -> Option<i64> {
    let (negative, digits) = match value.strip_prefix(b"-") {
        Some(digits) => (true, digits),
        None => (false, value),
    };
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let number = digits.iter().fold(0_i64, |number, digit| {
        number.saturating_mul(10).saturating_add(i64::from(digit - b'0'))
    });
    Some(if negative { -number } else { number })
}

/// Bytes of name and value together (rfc6265bis section 5.6, step 5).
pub(super) const MAX_SIZE: usize = 4096;
/// Bytes of an attribute's value.
pub(super) const MAX_ATTRIBUTE: usize = 1024;

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use super::*;

    fn parse(field: &str) -> SetCookie<'_> {
        SetCookie::parse(field.as_bytes()).unwrap_or_else(|why| panic!("{field:?}: {why}"))
    }

    #[test]
    fn a_name_and_a_value_are_what_stands_around_the_first_equals_sign() {
        for (field, name, value) in [
            ("a=b", "a", "b"),
            (" a \t=\t b c ;Path=/", "a", "b c"),
            ("a=b=c", "a", "b=c"),
            ("a=", "a", ""),
            ("a=\"b\"", "a", "\"b\""),
            ("a,b=c,d", "a,b", "c,d"),
            ("a=b;", "a", "b"),
        ] {
            let cookie = parse(field);
            assert_eq!((cookie.name, cookie.value), (name.as_bytes(), value.as_bytes()), "{field}");
        }
        for field in ["", "=", "=b", " =b", "a", ";a=b", "a=b\r\nc", "a=\0", "a=b; Path=/\x7f"] {
            assert!(SetCookie::parse(field.as_bytes()).is_err(), "{field:?}");
        }
        let with = |size: usize| format!("a={}", "b".repeat(size));
        assert!(SetCookie::parse(with(MAX_SIZE - 1).as_bytes()).is_ok());
        assert!(SetCookie::parse(with(MAX_SIZE).as_bytes()).is_err());
    }

    #[test]
    fn bytes_that_are_no_utf_8_are_kept() {
        let cookie = SetCookie::parse(b"n\xe9=caf\xe9; Comment=\xff; Path=/\xe9").unwrap();
        assert_eq!((cookie.name, cookie.value), (&b"n\xe9"[..], &b"caf\xe9"[..]));
        assert_eq!(cookie.path, Some(&b"/\xe9"[..]));
    }

    #[test]
    fn the_last_attribute_of_a_name_counts_and_a_malformed_one_does_not() {
        let cookie = parse("a=b; domain=.X.example; PATH=/x; Path=/y ; secure=no; HttpOnly; z");
        assert_eq!(cookie.domain, Some(&b"X.example"[..]));
        assert_eq!(cookie.path, Some(&b"/y"[..]));
        assert!(cookie.secure);
        for field in ["a=b; Path=x", "a=b; Path=/x; Path=", "a=b; Path"] {
            assert_eq!(parse(field).path, None, "{field}");
        }
        for field in ["a=b; Domain=", "a=b; Domain=.", "a=b; Domain", "a=b; Domain=x; Domain="] {
            assert_eq!(parse(field).domain, None, "{field}");
        }
        let long = format!("a=b; Path=/{}", "x".repeat(MAX_ATTRIBUTE));
        assert_eq!(parse(&long).path, None);
    }

    #[test]
    fn max_age_counts_before_expires_unless_it_is_no_number() {
        let now = UNIX_EPOCH + Duration::from_secs(1000);
        let end = |field: &str| parse(field).end(now);
        let at = |seconds| Some(UNIX_EPOCH + Duration::from_secs(seconds));
        const EXPIRES: &str = "Expires=Thu, 01 Jan 1970 00:01:00 GMT";
        assert_eq!(end("a=b"), None);
        assert_eq!(end("a=b; Max-Age=5"), at(1005));
        assert_eq!(end("a=b; max-age= 5 "), at(1005));
        for past in ["0", "-1", "-0", "00", "-99999999999999999999"] {
            assert_eq!(end(&format!("a=b; Max-Age={past}")), at(0), "{past}");
        }
        assert_eq!(end("a=b; Max-Age=99999999999999999999"), None);
        for malformed in ["", "-", "+5", "5s", "x", "\"5\"", "1.5", "5 5", "0x5"] {
            assert_eq!(end(&format!("a=b; {EXPIRES}; Max-Age={malformed}")), at(60), "{malformed}");
        }
        assert_eq!(end(&format!("a=b; Max-Age; {EXPIRES}")), at(60));
        assert_eq!(end(&format!("a=b; Max-Age=5; {EXPIRES}; Max-Age=")), at(1005));
        assert_eq!(end(&format!("a=b; {EXPIRES}; Expires=never")), at(60));
    }

    #[test]
    fn a_prefix_of_a_name_is_a_promise() {
        for kept in ["__Secure-a=1; Secure", "__host-a=1; Secure; Path=/", "__Other-a=1"] {
            assert!(parse(kept).satisfies_prefix(), "{kept}");
        }
        for broken in [
            "__Secure-a=1",
            "__SECURE-a=1; Path=/",
            "__Host-a=1; Secure",
            "__Host-a=1; Path=/",
            "__Host-a=1; Secure; Path=/x",
            "__host-a=1; Secure; Path=/; Domain=a.example",
        ] {
            assert!(!parse(broken).satisfies_prefix(), "{broken}");
        }
    }
}
