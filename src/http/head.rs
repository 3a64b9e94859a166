//! A look at a response head before ureq parses it: where it ends, and what ureq would pass over.
//!
//! ureq refuses what is malformed. This adds what it lets through (an unknown
//! Transfer-Encoding, RFC 9112 section 6.1), what it refuses although it is legal to accept
//! (obs-fold, section 5.2), and tells an answer that is no HTTP from one that is late.

/// What a complete head says about itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Facts {
    /// Its length, the empty line included.
    pub(super) size: usize,
    pub(super) status: u16,
    /// How many header lines it has.
    pub(super) fields: usize,
    /// Both Transfer-Encoding and Content-Length: close afterwards (RFC 9112 section 6.1).
    pub(super) ambiguous: bool,
    pub(super) folded: bool,
}

/// What the bytes so far are.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Look {
    Incomplete,
    Complete(Facts),
    Wrong(&'static str),
}

/// Looks at the bytes from the beginning of a head.
pub(super) fn look(bytes: &[u8]) -> Look {
    let known = bytes.len().min(PREFIX.len());
    if bytes[..known] != PREFIX[..known] {
        let http = bytes.starts_with(b"HTTP/");
        return Look::Wrong(if http {
            "the answer has another version than HTTP/1.0 or HTTP/1.1"
        } else {
            "the answer does not begin with a status line of HTTP/1"
        });
    }
    let mut lines = Lines { bytes, at: 0 };
    let Some(first) = lines.next() else { return Look::Incomplete };
    let Some(status) = status_of(first) else {
        return Look::Wrong(
            "the status line has no HTTP/1.0 or HTTP/1.1 version, or no three-digit status",
        );
    };
    let (mut length, mut codings, mut folded) = (false, 0, false);
    let mut fields = 0;
    while let Some(line) = lines.next() {
        let Some(initial) = line.first() else {
            if codings > 1 {
                return Look::Wrong("more than one Transfer-Encoding");
            }
            let ambiguous = length && codings > 0;
            return Look::Complete(Facts { size: lines.at, status, fields, ambiguous, folded });
        };
        match initial {
            b' ' | b'\t' if fields == 0 => {
                return Look::Wrong("the first header line begins with a space");
            }
            b' ' | b'\t' => folded = true,
            b't' | b'T' if field(line, b"transfer-encoding").is_some() => {
                codings += 1;
                let coding = field(line, b"transfer-encoding").unwrap_or_default();
                if !coding.trim_ascii().eq_ignore_ascii_case(b"chunked") {
                    return Look::Wrong(
                        "a Transfer-Encoding other than chunked, which was not asked for",
                    );
                }
            }
            b'c' | b'C' if field(line, b"content-length").is_some() => length = true,
            _ => {}
        }
        fields += 1;
    }
    Look::Incomplete
}

/// Where the folds of a head are: pairs of (offset, length) to be replaced by one space each.
pub(super) fn folds(head: &[u8]) -> Vec<(usize, usize)> {
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(end) = memchr::memchr(b'\n', &head[at..]).map(|offset| at + offset) {
        at = end + 1;
        if !matches!(head.get(at), Some(b' ' | b'\t')) {
            continue;
        }
        let blank = |byte: &u8| matches!(byte, b' ' | b'\t' | b'\r' | b'\n');
        let before = head[..end].iter().rev().take_while(|byte| blank(byte)).count();
        let after = head[at..].iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
        found.push((end - before, before + 1 + after));
        at += after;
    }
    found
}

/// The header lines after the first `keep` that say nothing about framing: (offset, length) each, its
/// end included. ureq-proto has room for 128.
pub(super) fn surplus(head: &[u8], keep: usize) -> Vec<(usize, usize)> {
    let mut lines = Lines { bytes: head, at: 0 };
    let mut found = Vec::new();
    lines.next();
    let mut start = lines.at;
    let mut seen = 0;
    while let Some(line) = lines.next().filter(|line| !line.is_empty()) {
        seen += 1;
        if seen > keep && !FRAMING.iter().any(|name| field(line, name).is_some()) {
            found.push((start, lines.at - start));
        }
        start = lines.at;
    }
    found
}

/// A header line as a name and a value; `None` if it is none (RFC 9112 section 5).
pub(super) fn parse(line: &[u8]) -> Option<(http::HeaderName, http::HeaderValue)> {
    let colon = memchr::memchr(b':', line)?;
    let name = http::HeaderName::from_bytes(&line[..colon]).ok()?;
    let value = http::HeaderValue::from_bytes(line[colon + 1..].trim_ascii()).ok()?;
    Some((name, value))
}

struct Lines<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Iterator for Lines<'a> {
    type Item = &'a [u8];

    /// The next line without its end, CRLF or LF (RFC 9112 section 2.2).
    fn next(&mut self) -> Option<&'a [u8]> {
        let rest = &self.bytes[self.at..];
        let end = memchr::memchr(b'\n', rest)?;
        self.at += end + 1;
        let line = &rest[..end];
        Some(line.strip_suffix(b"\r").unwrap_or(line))
    }
}

fn status_of(line: &[u8]) -> Option<u16> {
    let rest = line.strip_prefix(PREFIX)?;
    let [b'0' | b'1', b' ', code @ ..] = rest else { return None };
    let (code, after) = code.split_at_checked(3)?;
    if !code.iter().all(u8::is_ascii_digit) || !matches!(after.first(), None | Some(b' ')) {
        return None;
    }
    let number = code.iter().fold(0u16, |sum, digit| sum * 10 + u16::from(digit - b'0'));
    (number >= 100).then_some(number)
}

/// The value of a header line with that name. A space before the colon is not a name.
fn field<'a>(line: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let (start, rest) = line.split_at_checked(name.len())?;
    (start.eq_ignore_ascii_case(name)).then(|| rest.strip_prefix(b":")).flatten()
}

/// Header lines that ureq must see, whatever their number.
const FRAMING: [&[u8]; 4] = [b"content-length", b"transfer-encoding", b"connection", b"location"];
const PREFIX: &[u8] = b"HTTP/1.";

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(head: &str) -> Facts {
        match look(head.as_bytes()) {
            Look::Complete(facts) => facts,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_head_is_incomplete_until_its_empty_line() {
        let head = "HTTP/1.1 200 OK\r\nA: b\r\n\r\nbody";
        for end in 0..head.len() - 4 {
            assert_eq!(look(&head.as_bytes()[..end]), Look::Incomplete, "{end}");
        }
        assert_eq!(facts(head).size, head.len() - 4);
        assert_eq!(facts("HTTP/1.0 999\n\n").status, 999);
    }

    #[test]
    fn what_is_no_status_line_is_known_at_once() {
        for wrong in [
            "<html>",
            "HTTP/2 200\r\n",
            "HTTP/1.2 200\r\n",
            "HTTP/1.1 -12 OK\r\n",
            "HTTP/1.1 2 OK\r\n",
            "HTTP/1.1 099 X\r\n",
            "HTTP/1.1 2000 OK\r\n",
            "HTTP/1.1  200 OK\r\n",
        ] {
            assert!(matches!(look(wrong.as_bytes()), Look::Wrong(_)), "{wrong}");
        }
    }

    #[test]
    fn framing_that_can_be_read_in_two_ways_is_seen() {
        let head = |fields: &str| format!("HTTP/1.1 200 OK\r\n{fields}\r\n");
        assert!(facts(&head("content-length: 1\r\nTransfer-Encoding: Chunked\r\n")).ambiguous);
        assert!(!facts(&head("Content-Length: 1\r\n")).ambiguous);
        for wrong in ["gzip, chunked", "identity", "chunked, chunked", ""] {
            let head = head(&format!("Transfer-Encoding: {wrong}\r\n"));
            assert!(matches!(look(head.as_bytes()), Look::Wrong(_)), "{wrong}");
        }
        let twice = head("Transfer-Encoding: chunked\r\ntransfer-encoding: chunked\r\n");
        assert!(matches!(look(twice.as_bytes()), Look::Wrong(_)));
    }

    #[test]
    fn surplus_lines_are_those_that_say_nothing_about_framing() {
        let head = b"HTTP/1.1 200 OK\r\nA: 1\r\nB: 2\r\nConnection: close\r\nC:  3 \r\n\r\n";
        let lines: Vec<&[u8]> =
            surplus(head, 1).into_iter().map(|(at, size)| &head[at..at + size]).collect();
        assert_eq!(lines, [b"B: 2\r\n".as_slice(), b"C:  3 \r\n"]);
        let (name, value) = parse(lines[1]).unwrap();
        assert_eq!((name.as_str(), value.as_bytes()), ("c", b"3".as_slice()));
        assert!(
            parse(b"no colon").is_none()
                && parse(b"sp ace: x").is_none()
                && parse(b"a: x\0").is_none()
        );
    }

    #[test]
    fn folds_are_found_and_a_folded_first_line_is_refused() {
        let head = "HTTP/1.1 200 OK\r\nA: b \r\n \t c\r\n  d\r\nE: f\r\n\r\n";
        assert!(facts(head).folded);
        let mut text = head.to_owned();
        for (at, size) in folds(head.as_bytes()).into_iter().rev() {
            text.replace_range(at..at + size, " ");
        }
        assert_eq!(text, "HTTP/1.1 200 OK\r\nA: b c d\r\nE: f\r\n\r\n");
        assert!(matches!(look(b"HTTP/1.1 200 OK\r\n A: b\r\n"), Look::Wrong(_)));
    }
}
