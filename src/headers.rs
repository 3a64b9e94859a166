//! Header fields in their order, with names in the case and values in the bytes in which they were given: the fields
//! of a request, and the defaults of a client. They are kept as HTTP/1.1 writes them, so that writing them is one copy.
//!
//! Knows the meaning of no field.

use std::fmt;
use std::ops::Range;

use crate::error::Error;
use crate::vocabulary::Kind;

/// An ordered list of header fields. Threads: a value.
#[derive(Clone, Default)]
pub(crate) struct Headers {
    /// Each field as `Name: value`, with CR LF at its end.
    bytes: Vec<u8>,
    places: Vec<Place>,
}

/// Where a field's value begins and where its line ends. The line begins where the one before it ends.
#[derive(Clone, Copy)]
struct Place {
    value: usize,
    end: usize,
}

impl Headers {
    /// None, with room for so many fields and bytes.
    pub(crate) fn with_room(fields: usize, bytes: usize) -> Self {
        Self { bytes: Vec::with_capacity(bytes), places: Vec::with_capacity(fields) }
    }

    /// Adds a field behind the others. It passes [`check`].
    pub(crate) fn add(&mut self, name: &str, value: &[u8]) {
        debug_assert!(check(name, value).is_ok(), "{name}");
        self.bytes.reserve(name.len() + value.len() + 4);
        self.bytes.extend_from_slice(name.as_bytes());
        self.bytes.extend_from_slice(b": ");
        let start = self.bytes.len();
        self.bytes.extend_from_slice(value);
        self.bytes.extend_from_slice(b"\r\n");
        self.places.push(Place { value: start, end: self.bytes.len() });
    }

    /// Adds all fields of another list.
    pub(crate) fn add_all(&mut self, others: &Self) {
        let before = self.bytes.len();
        self.bytes.extend_from_slice(&others.bytes);
        let moved = others.places.iter();
        self.places.extend(
            moved.map(|place| Place { value: before + place.value, end: before + place.end }),
        );
    }

    /// Removes all fields of that name, and adds one.
    pub(crate) fn set(&mut self, name: &str, value: &[u8]) {
        self.remove(name);
        self.add(name, value);
    }

    /// Removes all fields of that name.
    pub(crate) fn remove(&mut self, name: &str) {
        if self.contains(name) {
            self.retain(|field, _| !is(field, name));
        }
    }

    /// Keeps the fields for which `keep` returns true.
    pub(crate) fn retain(&mut self, keep: impl Fn(&str, &[u8]) -> bool) {
        let mut kept = Self::with_room(self.places.len(), self.bytes.len());
        for (name, value) in self.iter().filter(|(name, value)| keep(name, value)) {
            kept.add(name, value);
        }
        *self = kept;
    }

    /// Names and values, in their order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &[u8])> {
        (0..self.places.len()).map(|at| (self.name(at), self.value(at)))
    }

    /// The values of that name, in their order.
    pub(crate) fn values<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
        (0..self.places.len()).filter(move |at| self.is_named(*at, name)).map(|at| self.value(at))
    }

    pub(crate) fn contains(&self, name: &str) -> bool {
        (0..self.places.len()).any(|at| self.is_named(at, name))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    pub(crate) fn len(&self) -> usize {
        self.places.len()
    }

    /// The fields as HTTP/1.1 writes them (RFC 9112 section 5): `Name: value` and CR LF for each.
    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    fn name(&self, at: usize) -> &str {
        // It was added as text.
        std::str::from_utf8(&self.bytes[self.name_place(at)]).unwrap_or_default()
    }

    /// As [`is`] of its name. Each request asks for several names, most of which have another length.
    fn is_named(&self, at: usize, name: &str) -> bool {
        let place = self.name_place(at);
        place.len() == name.len() && self.bytes[place].eq_ignore_ascii_case(name.as_bytes())
    }

    fn name_place(&self, at: usize) -> Range<usize> {
        let start = if at == 0 { 0 } else { self.places[at - 1].end };
        start..self.places[at].value - SEPARATOR
    }

    fn value(&self, at: usize) -> &[u8] {
        &self.bytes[self.places[at].value..self.places[at].end - LINE_END]
    }
}

/// Names alone: any value may be a secret.
impl fmt::Debug for Headers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter().map(|(name, _)| (name, format_args!("***")))).finish()
    }
}

/// Whether two names are the same: case does not matter (RFC 9110 section 5.1).
pub(crate) fn is(name: &str, other: &str) -> bool {
    name.len() == other.len() && name.eq_ignore_ascii_case(other)
}

/// Checks that a field can be sent: its name is a token, and its value holds no control character but HTAB, so that
/// neither ends the line early (RFC 9110 sections 5.1 and 5.5). Bytes above 0x7f are legal in values (obs-text).
///
/// # Errors
/// [`Kind::InvalidHeader`].
pub(crate) fn check(name: &str, value: &[u8]) -> Result<(), Error> {
    let bad = |what: String| Error::new(Kind::InvalidHeader, what);
    if name.is_empty() || !name.bytes().all(is_token) {
        // A whole line, "Authorization: Bearer x": the value is not shown.
        let shown = name.find(':').map_or(name, |at| &name[..=at]);
        return Err(bad(format!("{shown:?} is no header name: use letters, digits and hyphens")));
    }
    if !is_value(value) {
        return Err(bad(format!(
            "the value of {name} holds a control character (CR, LF and NUL are never legal)"
        )));
    }
    Ok(())
}

/// Whether these bytes can be a field's value.
pub(crate) fn is_value(value: &[u8]) -> bool {
    value.iter().all(|byte| (*byte >= b' ' && *byte != 0x7f) || *byte == b'\t')
}

/// RFC 9110 section 5.6.2.
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

// The names of the fields that the library reads or writes itself, as it writes them.
pub(crate) const ACCEPT: &str = "Accept";
pub(crate) const ACCEPT_ENCODING: &str = "Accept-Encoding";
pub(crate) const AUTHORIZATION: &str = "Authorization";
pub(crate) const CONNECTION: &str = "Connection";
pub(crate) const CONTENT_LENGTH: &str = "Content-Length";
pub(crate) const COOKIE: &str = "Cookie";
pub(crate) const EXPECT: &str = "Expect";
pub(crate) const HOST: &str = "Host";
pub(crate) const IDEMPOTENCY_KEY: &str = "Idempotency-Key";
pub(crate) const PROXY_AUTHORIZATION: &str = "Proxy-Authorization";
pub(crate) const RANGE: &str = "Range";
pub(crate) const TRANSFER_ENCODING: &str = "Transfer-Encoding";
pub(crate) const UPGRADE: &str = "Upgrade";
pub(crate) const USER_AGENT: &str = "User-Agent";

/// ": " between a name and its value.
const SEPARATOR: usize = 2;
/// CR LF.
const LINE_END: usize = 2;

#[cfg(test)]
mod tests {
    use super::*;

    fn some() -> Headers {
        let mut headers = Headers::default();
        headers.add("X-One", b"1");
        headers.add("y-Two", b"caf\xe9\t");
        headers.add("x-ONE", b"");
        headers
    }

    #[test]
    fn fields_keep_their_order_their_case_and_their_bytes() {
        let headers = some();
        assert_eq!(headers.as_bytes(), b"X-One: 1\r\ny-Two: caf\xe9\t\r\nx-ONE: \r\n");
        let fields: Vec<_> = headers.iter().collect();
        assert_eq!(fields, [("X-One", &b"1"[..]), ("y-Two", b"caf\xe9\t"), ("x-ONE", b"")]);
        assert_eq!(headers.values("X-ONE").collect::<Vec<_>>(), [&b"1"[..], b""]);
        assert!(headers.contains("Y-TWO") && !headers.contains("Y"));
        let mut all = some();
        all.add_all(&headers);
        assert_eq!(all.len(), 6);
        assert_eq!(all.as_bytes(), [headers.as_bytes(), headers.as_bytes()].concat());
        assert_eq!(all.values("y-two").count(), 2);
    }

    #[test]
    fn a_field_that_is_set_replaces_all_of_its_name() {
        let mut headers = some();
        headers.set("X-one", b"3");
        assert_eq!(headers.as_bytes(), b"y-Two: caf\xe9\t\r\nX-one: 3\r\n");
        headers.remove("Y-two");
        headers.remove("none");
        assert_eq!(headers.as_bytes(), b"X-one: 3\r\n");
        headers.remove("x-one");
        assert!(headers.is_empty() && headers.as_bytes().is_empty());
    }

    #[test]
    fn no_value_is_shown() {
        let shown = format!("{:?}", some());
        assert!(shown.contains("y-Two") && !shown.contains("caf"), "{shown}");
    }

    #[test]
    fn every_byte_is_legal_or_refused_as_rfc_9110_has_it() {
        for byte in 0..=255_u8 {
            let legal = byte == b'\t' || (byte >= b' ' && byte != 0x7f);
            assert_eq!(is_value(&[b'a', byte, b'b']), legal, "{byte}");
            let token = byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
            if let Ok(name) = std::str::from_utf8(&[byte]) {
                assert_eq!(check(name, b"").is_ok(), token, "{byte}");
            }
        }
        for name in ["", "a b", "a:", "\u{e9}", "a\r\n"] {
            assert_eq!(check(name, b"x").unwrap_err().kind(), Kind::InvalidHeader, "{name:?}");
        }
    }
}
