//! HTTP/1.1 as far as a test server needs it: request heads, request bodies, plain answers.
//!
//! Requests come from the client under test, so reading is strict about framing and bounded;
//! responses built here are well-formed. Malformed ones are written out in scripts.

use crate::script::Answer;
use crate::wire::{Halt, Wire};

/// A head as it came, with its blank line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Head(pub(crate) String);

/// Where the body of a request ends.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    Length(u64),
    Chunked,
}

impl Head {
    pub(crate) fn method(&self) -> &str {
        self.0.split(' ').next().unwrap_or_default()
    }

    pub(crate) fn target(&self) -> &str {
        self.0.split(' ').nth(1).unwrap_or_default()
    }

    /// The value of the first field of this name.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.0.lines().skip(1).find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }

    pub(crate) fn wants_close(&self) -> bool {
        self.header("connection").is_some_and(|value| value.eq_ignore_ascii_case("close"))
    }

    pub(crate) fn framing(&self) -> Result<Framing, Halt> {
        if let Some(coding) = self.header("transfer-encoding") {
            return if coding.eq_ignore_ascii_case("chunked") {
                Ok(Framing::Chunked)
            } else {
                Err(Halt::Broken(format!("request with Transfer-Encoding: {coding}")))
            };
        }
        let length = self.header("content-length").unwrap_or("0");
        let parsed = length.parse().map(Framing::Length);
        parsed.map_err(|_| Halt::Broken(format!("request with Content-Length: {length}")))
    }
}

/// Reads one head. A peer that closes first, or in the middle, is `Halt::PeerFin`.
pub(crate) fn read_head(wire: &mut Wire) -> Result<Head, Halt> {
    Ok(read_head_bytes(wire)?.0)
}

/// As `read_head`, with the bytes as they came: a head as text has no others than those of UTF-8.
pub(crate) fn read_head_bytes(wire: &mut Wire) -> Result<(Head, Vec<u8>), Halt> {
    let head = await_head(wire)?;
    let bytes = wire.take(head);
    Ok((Head(String::from_utf8_lossy(&bytes).into_owned()), bytes))
}

/// As `read_head`, and leaves it to be read again.
pub(crate) fn peek_head(wire: &mut Wire) -> Result<Head, Halt> {
    let head = await_head(wire)?;
    Ok(Head(String::from_utf8_lossy(&wire.inbox()[..head]).into_owned()))
}

/// Waits until a head is in the inbox and answers its length.
fn await_head(wire: &mut Wire) -> Result<usize, Halt> {
    let mut searched = 0;
    loop {
        let inbox = wire.inbox();
        // Three bytes back: the blank line may straddle two reads.
        let from = usize::saturating_sub(searched, 3);
        if let Some(at) = find(&inbox[from..], b"\r\n\r\n") {
            return Ok(from + at + 4);
        }
        searched = inbox.len();
        if searched > HEAD_LIMIT {
            return Err(Halt::Broken("a head without end".to_owned()));
        }
        more(wire)?;
    }
}

/// Reads the body that belongs to a head, decoded, and hands it over piece by piece.
pub(crate) fn read_body(
    wire: &mut Wire,
    head: &Head,
    mut piece: impl FnMut(&[u8]),
) -> Result<(), Halt> {
    match head.framing()? {
        Framing::Length(length) => read_exactly(wire, length, &mut piece),
        Framing::Chunked => loop {
            let line = read_line(wire)?;
            let digits = line.split(';').next().unwrap_or_default().trim();
            let size = u64::from_str_radix(digits, 16)
                .map_err(|_| Halt::Broken(format!("request chunk of size {digits:?}")))?;
            if size == 0 {
                while !read_line(wire)?.is_empty() {}
                return Ok(());
            }
            read_exactly(wire, size, &mut piece)?;
            if !read_line(wire)?.is_empty() {
                return Err(Halt::Broken("request chunk longer than announced".to_owned()));
            }
        },
    }
}

/// Reads so few bytes that they may be kept.
pub(crate) fn read_few(wire: &mut Wire, count: usize) -> Result<Vec<u8>, Halt> {
    while wire.inbox().len() < count {
        more(wire)?;
    }
    Ok(wire.take(count))
}

/// Reads `count` bytes and hands them over piece by piece.
pub(crate) fn read_exactly(
    wire: &mut Wire,
    mut count: u64,
    piece: &mut impl FnMut(&[u8]),
) -> Result<(), Halt> {
    while count > 0 {
        if wire.inbox().is_empty() {
            more(wire)?;
        }
        let part = count.min(wire.inbox().len() as u64);
        piece(&wire.take(part as usize));
        count -= part;
    }
    Ok(())
}

/// A complete response to a request of this method.
pub(crate) fn response(answer: &Answer, method: &str) -> Vec<u8> {
    let status = answer.status;
    let mut text = format!("HTTP/1.1 {status} {}\r\n", reason(status));
    for (name, value) in &answer.headers {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    // RFC 9110 section 8.6: no Content-Length in 1xx and 204, and 304 would announce another body.
    let bodiless = status < 200 || status == 204 || status == 304;
    if !bodiless {
        text.push_str(&format!("Content-Length: {}\r\n", answer.body.len()));
    }
    text.push_str("\r\n");
    if !bodiless && method != "HEAD" {
        text.push_str(&answer.body);
    }
    text.into_bytes()
}

/// The usual reason phrase, or `Unnamed`.
pub(crate) fn reason(status: u16) -> &'static str {
    match status {
        100 => "Continue",
        101 => "Switching Protocols",
        200 => "OK",
        201 => "Created",
        204 => "No Content",
        301 => "Moved Permanently",
        302 => "Found",
        303 => "See Other",
        304 => "Not Modified",
        307 => "Temporary Redirect",
        308 => "Permanent Redirect",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        407 => "Proxy Authentication Required",
        408 => "Request Timeout",
        417 => "Expectation Failed",
        429 => "Too Many Requests",
        500 => "Internal Server Error",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        _ => "Unnamed",
    }
}

/// A line without its CRLF.
pub(crate) fn read_line(wire: &mut Wire) -> Result<String, Halt> {
    loop {
        if let Some(at) = find(wire.inbox(), b"\r\n") {
            let line = wire.take(at + 2);
            return Ok(String::from_utf8_lossy(&line[..at]).into_owned());
        }
        if wire.inbox().len() > HEAD_LIMIT {
            return Err(Halt::Broken("a line without end".to_owned()));
        }
        more(wire)?;
    }
}

fn more(wire: &mut Wire) -> Result<(), Halt> {
    if wire.fill()? == 0 { Err(Halt::PeerFin) } else { Ok(()) }
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|window| window == needle)
}

/// Far above what any test sends, and an end to what a runaway client could.
const HEAD_LIMIT: usize = 1024 * 1024;
