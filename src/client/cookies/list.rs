//! The cookies of a jar as a list, and the two formats in which they are saved: the text format of Netscape, which curl,
//! wget and Python's MozillaCookieJar have, and JSON.

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Map, Value, json};

use super::store::{Cookie, Identity};
use crate::headers::is_value;

/// A cookie that a client keeps, see [`Client::cookies`](crate::Client::cookies).
///
/// ```
/// let client = hangup::Client::default();
/// client.set_cookies(true);
/// client.add_cookie("https://example.org/shop/", "id=7; Secure")?;
/// let cookie = &client.cookies()[0];
/// assert_eq!((cookie.name.as_slice(), cookie.value.as_slice()), (&b"id"[..], &b"7"[..]));
/// assert_eq!((cookie.domain.as_str(), cookie.host_only, cookie.secure), ("example.org", true, true));
/// # Ok::<(), hangup::Error>(())
/// ```
///
/// Threads: a value.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct KeptCookie {
    /// The name, as bytes: it need not be UTF-8.
    pub name: Vec<u8>,
    /// The value.
    pub value: Vec<u8>,
    /// The host that it is sent to, without a dot at its beginning.
    pub domain: String,
    /// It is sent to that host only, and not to the names below it.
    pub host_only: bool,
    /// It is sent with this path and all below it.
    pub path: Vec<u8>,
    /// It is sent over https only.
    pub secure: bool,
    /// It had the attribute HttpOnly, which has a meaning for browsers only.
    pub http_only: bool,
    /// When it expires; `None`: with the client.
    pub expires: Option<SystemTime>,
}

/// Values are secrets.
impl fmt::Debug for KeptCookie {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = String::from_utf8_lossy(&self.name);
        write!(f, "KeptCookie({name}=*** for {})", self.domain)
    }
}

impl KeptCookie {
    pub(super) fn of(cookie: &Cookie) -> Self {
        let Identity { name, domain, host_only, path } = &cookie.identity;
        Self {
            name: name.to_vec(),
            value: cookie.value.to_vec(),
            domain: domain.to_string(),
            host_only: *host_only,
            path: path.to_vec(),
            secure: cookie.secure,
            http_only: cookie.http_only,
            expires: cookie.end,
        }
    }

    pub(super) fn into_cookie(self) -> Cookie {
        Cookie {
            identity: Identity {
                name: self.name.into(),
                domain: self.domain.into(),
                host_only: self.host_only,
                path: self.path.into(),
            },
            value: self.value.into(),
            secure: self.secure,
            http_only: self.http_only,
            end: self.expires,
        }
    }

    fn seconds(&self) -> u64 {
        let since = self.expires.and_then(|end| end.duration_since(UNIX_EPOCH).ok());
        since.map_or(0, |since| since.as_secs())
    }
}

/// The text format of Netscape. A cookie whose name or path has a tab can't be written, and is left out.
pub(super) fn to_netscape(cookies: &[KeptCookie]) -> Vec<u8> {
    let mut text = b"# Netscape HTTP Cookie File\n".to_vec();
    for cookie in cookies {
        if cookie.name.contains(&b'\t') || cookie.path.contains(&b'\t') {
            continue;
        }
        let flag = |on: bool| if on { "TRUE" } else { "FALSE" };
        let prefix = if cookie.http_only { HTTP_ONLY } else { "" };
        let dot = if cookie.host_only { "" } else { "." };
        let begin = format!("{prefix}{dot}{}\t{}\t", cookie.domain, flag(!cookie.host_only));
        let middle = format!("\t{}\t{}\t", flag(cookie.secure), cookie.seconds());
        for part in [
            begin.as_bytes(),
            &cookie.path,
            middle.as_bytes(),
            &cookie.name,
            b"\t",
            &cookie.value,
            b"\n",
        ] {
            text.extend_from_slice(part);
        }
    }
    text
}

/// A list of objects.
pub(super) fn to_json(cookies: &[KeptCookie]) -> Vec<u8> {
    let object = |cookie: &KeptCookie| {
        let mut object = Map::new();
        // Bytes that are not UTF-8 stand in a member of another name.
        for (key, bytes) in
            [("name", &cookie.name), ("value", &cookie.value), ("path", &cookie.path)]
        {
            match std::str::from_utf8(bytes) {
                Ok(text) => object.insert(key.to_owned(), json!(text)),
                Err(_) => {
                    object.insert(format!("{key}_base64"), json!(BASE64_STANDARD.encode(bytes)))
                }
            };
        }
        object.insert("domain".into(), json!(cookie.domain));
        object.insert("host_only".into(), json!(cookie.host_only));
        object.insert("secure".into(), json!(cookie.secure));
        object.insert("http_only".into(), json!(cookie.http_only));
        let expires = cookie.expires.map(|_| cookie.seconds());
        object.insert("expires".into(), json!(expires));
        Value::Object(object)
    };
    let list: Vec<Value> = cookies.iter().map(object).collect();
    let mut text = serde_json::to_vec_pretty(&list).unwrap_or_default();
    text.push(b'\n');
    text
}

/// Reads either format. The error says where the text is neither, without showing it.
pub(super) fn parse(text: &[u8]) -> Result<Vec<KeptCookie>, String> {
    // As editors on Windows begin a text.
    let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
    match text.trim_ascii_start().first() {
        Some(b'[') => from_json(text),
        _ => from_netscape(text),
    }
}

fn from_netscape(text: &[u8]) -> Result<Vec<KeptCookie>, String> {
    let mut found = Vec::new();
    for (number, line) in text.split(|byte| *byte == b'\n').enumerate() {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let (line, http_only) = match line.strip_prefix(HTTP_ONLY.as_bytes()) {
            Some(rest) => (rest, true),
            None => (line, false),
        };
        if line.trim_ascii().is_empty() || (!http_only && line.starts_with(b"#")) {
            continue;
        }
        let cookie = netscape_line(line, http_only).ok_or_else(|| {
            format!("line {} is no cookie: seven fields with tabs between them", number + 1)
        })?;
        if !is_text(&cookie) {
            return Err(format!("the cookie in line {} holds a control character", number + 1));
        }
        found.push(cookie);
        check_count(&found)?;
    }
    Ok(found)
}

fn netscape_line(line: &[u8], http_only: bool) -> Option<KeptCookie> {
    let mut fields = line.splitn(7, |byte| *byte == b'\t');
    let mut next = || fields.next();
    let (domain, below, path) = (next()?, flag(next()?)?, next()?);
    let (secure, expires, name) = (flag(next()?)?, next()?, next()?);
    // A cookie without a value may have lost its last tab.
    let value = next().unwrap_or_default();
    let expires = match std::str::from_utf8(expires).ok()?.trim() {
        // As http.cookiejar writes a cookie that is forgotten with its client; curl writes 0.
        "" => 0,
        seconds => seconds.parse::<i64>().ok()?,
    };
    let domain = std::str::from_utf8(domain).ok()?;
    let domain = domain.strip_prefix('.').unwrap_or(domain).to_ascii_lowercase();
    if domain.is_empty() || name.is_empty() || !path.starts_with(b"/") {
        return None;
    }
    let expires = u64::try_from(expires).unwrap_or(1);
    Some(KeptCookie {
        name: name.to_vec(),
        value: value.to_vec(),
        domain,
        host_only: !below,
        path: path.to_vec(),
        secure,
        http_only,
        expires: (expires > 0)
            .then(|| UNIX_EPOCH.checked_add(Duration::from_secs(expires)))
            .flatten(),
    })
}

fn flag(field: &[u8]) -> Option<bool> {
    match () {
        () if field.eq_ignore_ascii_case(b"TRUE") => Some(true),
        () if field.eq_ignore_ascii_case(b"FALSE") => Some(false),
        () => None,
    }
}

fn from_json(text: &[u8]) -> Result<Vec<KeptCookie>, String> {
    let list: Value = serde_json::from_slice(text).map_err(|error| {
        format!("it is no JSON: line {}, column {}", error.line(), error.column())
    })?;
    let mut found = Vec::new();
    for (number, object) in list.as_array().into_iter().flatten().enumerate() {
        let cookie = json_object(object).ok_or_else(|| {
            format!("cookie {number} of the list lacks a name, a value, a domain or a path, or has it in a wrong form")
        })?;
        if !is_text(&cookie) {
            return Err(format!("cookie {number} of the list holds a control character"));
        }
        found.push(cookie);
        check_count(&found)?;
    }
    Ok(found)
}

fn json_object(object: &Value) -> Option<KeptCookie> {
    let bytes = |key: &str| match object.get(key) {
        Some(text) => Some(text.as_str()?.as_bytes().to_vec()),
        None => BASE64_STANDARD.decode(object.get(format!("{key}_base64"))?.as_str()?).ok(),
    };
    let flag = |key: &str| object.get(key).and_then(Value::as_bool).unwrap_or(false);
    let expires = match object.get("expires") {
        None | Some(Value::Null) => None,
        Some(seconds) => {
            // Whole seconds; browsers' exports have a fraction.
            let seconds = seconds.as_f64()?.max(1.0);
            Some(UNIX_EPOCH.checked_add(Duration::try_from_secs_f64(seconds).ok()?)?)
        }
    };
    let domain = object.get("domain")?.as_str()?.to_ascii_lowercase();
    let cookie = KeptCookie {
        name: bytes("name")?,
        value: bytes("value")?,
        host_only: object
            .get("host_only")
            .and_then(Value::as_bool)
            .unwrap_or(!domain.starts_with('.')),
        domain: domain.strip_prefix('.').unwrap_or(&domain).to_owned(),
        path: bytes("path")?,
        secure: flag("secure"),
        http_only: flag("http_only"),
        expires,
    };
    let usable =
        !cookie.name.is_empty() && !cookie.domain.is_empty() && cookie.path.starts_with(b"/");
    usable.then_some(cookie)
}

/// Whether a response could have set it, as far as its characters go. In a file of lines a line end would be the begin of
/// another cookie.
fn is_text(cookie: &KeptCookie) -> bool {
    let KeptCookie { name, value, path, domain, .. } = cookie;
    [name, value, path].into_iter().all(|part| is_value(part))
        && !domain.bytes().any(|byte| byte.is_ascii_control())
}

/// A file of more cookies than a jar holds is mostly another file.
fn check_count(found: &[KeptCookie]) -> Result<(), String> {
    match found.len() > MAX_COOKIES {
        true => Err(format!("it has more than {MAX_COOKIES} cookies")),
        false => Ok(()),
    }
}

/// What marks a cookie that had the attribute HttpOnly in the text format.
const HTTP_ONLY: &str = "#HttpOnly_";
const MAX_COOKIES: usize = 30_000;

#[cfg(test)]
mod tests {
    use super::*;

    fn cookie() -> KeptCookie {
        KeptCookie {
            name: b"id".to_vec(),
            value: b"7=\t8".to_vec(),
            domain: "example.org".into(),
            host_only: false,
            path: b"/a".to_vec(),
            secure: true,
            http_only: true,
            expires: Some(UNIX_EPOCH + Duration::from_secs(4_000_000_000)),
        }
    }

    #[test]
    fn the_netscape_format_is_that_of_curl() {
        let session = KeptCookie {
            host_only: true,
            secure: false,
            http_only: false,
            expires: None,
            value: b"\xff".to_vec(),
            ..cookie()
        };
        let text = to_netscape(&[cookie(), session.clone()]);
        let expected = b"# Netscape HTTP Cookie File\n\
            #HttpOnly_.example.org\tTRUE\t/a\tTRUE\t4000000000\tid\t7=\t8\n\
            example.org\tFALSE\t/a\tFALSE\t0\tid\t\xff\n";
        assert_eq!(text, expected);
        assert!(parse(&text).unwrap() == [cookie(), session]);
    }

    #[test]
    fn json_keeps_everything() {
        let odd = KeptCookie {
            value: b"\xff".to_vec(),
            name: b"a\tb".to_vec(),
            expires: None,
            ..cookie()
        };
        let text = to_json(&[cookie(), odd.clone()]);
        assert!(parse(&text).unwrap() == [cookie(), odd]);
        // As browsers' extensions export cookies.
        let other = br#"[{"domain": ".example.org", "name": "a", "value": "b", "path": "/", "expires": 4e9}]"#;
        let read = parse(other).unwrap();
        assert!(!read[0].host_only && read[0].expires == cookie().expires);
    }

    #[test]
    fn no_cookie_holds_what_no_response_could_set() {
        let object = |name: &str, value: &str, domain: &str, path: &str| {
            let list = json!([{ "name": name, "value": value, "domain": domain, "path": path }]);
            serde_json::to_vec(&list).unwrap()
        };
        for text in [
            object("a", "b\n.other.example\tTRUE\t/\tFALSE\t0\tc\td", "a.example", "/"),
            object("a", "b\r\nX: y", "a.example", "/"),
            object("a\n", "b", "a.example", "/"),
            object("a", "b\0", "a.example", "/"),
            object("a", "b", "a.example\n", "/"),
            object("a", "b", "a.example", "/\r"),
            b"a.example\tTRUE\t/\tFALSE\t0\ta\tb\rc".to_vec(),
            b"a.example\tTRUE\t/\tFALSE\t0\ta\0\tb".to_vec(),
        ] {
            let error = parse(&text).unwrap_err();
            assert!(error.contains("control character"), "{error}");
        }
        let marked = b"\xef\xbb\xbf# begun by an editor\na.example\tTRUE\t/\tFALSE\t0\ta\tb\n";
        assert_eq!(parse(marked).unwrap().len(), 1);
    }

    #[test]
    fn what_is_neither_is_refused_by_its_place_and_not_shown() {
        for (text, place) in [
            ("# a comment\n\nsecret", "line 3"),
            ("a\tTRUE\t/\tMAYBE\t0\tsecret\tb", "line 1"),
            ("[{\"name\": \"secret\"}]", "cookie 0"),
            ("[{\"secret", "line 1"),
        ] {
            let error = parse(text.as_bytes()).unwrap_err();
            assert!(error.contains(place) && !error.contains("secret"), "{error}");
        }
        assert!(parse(b"").unwrap().is_empty());
        let session = parse(b"a.example\tFALSE\t/\tFALSE\t\tname\tvalue\n").unwrap();
        assert!(session[0].expires.is_none() && session[0].value == b"value");
    }
}
