//! Parses the head of a response: where it ends, whether it is well-formed, and how the body that follows
//! is framed (RFC 9112 sections 2 to 6). Every response is parsed here, a proxy's response to CONNECT
//! included. Knows nothing of connections.
//!
//! One pass over the fields decides what follows the head: [`plain`] makes it for heads of the form that nearly all have,
//! and a parser for others. The whole head is kept as it came, and its fields are parsed again when the caller first asks
//! for them. More than 128 fields and obs-fold (RFC 9112 section
//! 5.2) are accepted; a Transfer-Encoding that is not chunked (section 6.1) is refused.

mod plain;

use std::borrow::Cow;
use std::fmt;
use std::mem::MaybeUninit;
use std::ops::Range;
use std::sync::OnceLock;

use http::header::{self, HeaderName};
use httparse::{Header, ParserConfig};
use memchr::memchr_iter;

use crate::keep_alive::KeepAlive;

/// The head of a response, whole. Threads: immutable.
pub(crate) struct RawHead {
    bytes: Box<[u8]>,
    pub(crate) status: u16,
    /// The version times ten: 10 or 11.
    pub(crate) version: u8,
    /// There is a Set-Cookie field: most heads have none, and a jar does not look further then.
    pub(crate) sets_cookies: bool,
    fields: OnceLock<Vec<(HeaderName, Vec<u8>)>>,
}

/// What the bytes so far are.
#[derive(Debug)]
pub(crate) enum Look {
    Incomplete,
    /// A head of so many bytes, its empty line included.
    Complete(usize),
    /// No head of HTTP/1; the reason.
    Wrong(&'static str),
}

/// The kind of request that a head responds to: it decides whether a body can follow
/// (RFC 9112 section 6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ResponseTo {
    /// HEAD: the head describes a body that is not sent.
    Head,
    /// CONNECT of the caller: no body follows a success. (The CONNECT of a dial is read by [`read_connect`].)
    Connect,
    /// Any other method.
    Other,
}

impl ResponseTo {
    pub(crate) fn of(method: &http::Method) -> Self {
        match *method {
            http::Method::HEAD => Self::Head,
            http::Method::CONNECT => Self::Connect,
            _ => Self::Other,
        }
    }
}

/// How the body of a response is framed (RFC 9112 section 6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BodyFraming {
    None,
    Length(u64),
    UntilClose,
    Chunked,
}

/// What a head means for the connection.
#[derive(Debug)]
pub(crate) struct Framing {
    pub(crate) head: RawHead,
    /// Both Transfer-Encoding and Content-Length: close afterwards (RFC 9112 section 6.1).
    pub(crate) ambiguous: bool,
    /// Whether the connection may serve another exchange afterwards (RFC 9112 section 9.3).
    pub(crate) keeps: bool,
    /// What the server says of how long it keeps the connection.
    pub(crate) keep_alive: Option<KeepAlive>,
    /// What follows the head, or what is wrong with its Content-Length.
    pub(crate) body: Result<BodyFraming, &'static str>,
}

/// Why a head is refused.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    Malformed(&'static str),
    TooManyFields,
    Unfinished,
}

impl Refusal {
    /// What is wrong with the head, for an error message.
    pub(crate) fn words(&self) -> &'static str {
        match self {
            Self::Malformed(what) => what,
            Self::TooManyFields => "the response head has too many header lines",
            Self::Unfinished => "malformed response: the head",
        }
    }
}

/// Looks for the end of a head; the first `seen` bytes were looked at before.
#[inline(always)] // As for the wait for a head, which is its one frequent caller.
pub(crate) fn look(bytes: &[u8], seen: usize) -> Look {
    let known = bytes.len().min(PREFIX.len());
    if bytes[..known] != PREFIX[..known] {
        let http = bytes.starts_with(b"HTTP/");
        return Look::Wrong(if http {
            "the answer has another version than HTTP/1.0 or HTTP/1.1"
        } else {
            "the answer does not begin with a status line of HTTP/1"
        });
    }
    match end_of_fields(bytes, seen) {
        Some(size) => Look::Complete(size),
        // A status line that is wrong is known before the head is whole.
        None => match memchr::memchr(b'\n', bytes) {
            Some(end) if seen <= end => look_at_line(&bytes[..=end]),
            _ => Look::Incomplete,
        },
    }
}

/// Where the empty line behind fields ends, if it is here. The first `seen` bytes were looked at before.
pub(crate) fn end_of_fields(bytes: &[u8], seen: usize) -> Option<usize> {
    // The empty line may begin among the last bytes of what was seen: LF CR LF, or LF LF.
    let from = seen.saturating_sub(3);
    memchr_iter(b'\n', &bytes[from..]).map(|at| from + at).find_map(|at| match bytes[at + 1..] {
        [b'\n', ..] => Some(at + 2),
        [b'\r', b'\n', ..] => Some(at + 3),
        _ => None,
    })
}

/// Whether these bytes are well-formed fields, the empty line behind them included: those of a trailer
/// section (RFC 9112 section 7.1.2), by the rules of a head.
pub(crate) fn are_fields(bytes: &[u8]) -> bool {
    let lines = memchr_iter(b'\n', bytes).count();
    let head = [TRAILERS_PREFIX, bytes].concat();
    lines <= MAX_FIELDS && parse(&head, lines, Strictness::Fields, |_, _, _| ()).is_ok()
}

#[inline(never)] // Most heads come whole, and have no need of its frame.
fn look_at_line(status: &[u8]) -> Look {
    match parse(status, 0, Strictness::Fields, |_, _, _| ()) {
        Err(Refusal::Malformed(what)) => Look::Wrong(what),
        _ => Look::Incomplete,
    }
}

/// Reads the head that the bytes begin with, and returns how long it is, if it is whole and of the form that nearly all
/// have. `None`: [`look`] and [`read`] decide what it is.
#[inline]
pub(crate) fn read_plain(bytes: &[u8], to: ResponseTo) -> Option<(Framing, usize)> {
    let mut facts = Facts::new();
    let head = plain::read(bytes, MAX_FIELDS, |name, value| facts.add(name, value))?;
    let framing = facts.framing(&bytes[..head.size], to, head.version, head.status).ok()?;
    Some((framing, head.size))
}

/// Reads a whole head.
pub(crate) fn read(bytes: &[u8], to: ResponseTo) -> Result<Framing, Refusal> {
    let frame = |fields: &[Header<'_>], version, status| {
        let mut facts = Facts::new();
        for field in fields {
            facts.add(field.name.as_bytes(), &unfolded(field.value));
        }
        facts.framing(bytes, to, version, status)
    };
    match parse(bytes, FIELDS, Strictness::Fields, frame) {
        Err(Refusal::TooManyFields) => parse(bytes, MAX_FIELDS, Strictness::Fields, frame)?,
        other => other?,
    }
}

/// Reads a proxy's whole response to CONNECT: its status, and its reason phrase. None of its fields has
/// a meaning for the tunnel (RFC 9110 section 9.3.6), so malformed fields are ignored.
pub(crate) fn read_connect(bytes: &[u8]) -> Result<(u16, String), Refusal> {
    let status = |_: &[Header<'_>], _, status| status;
    let status = parse(bytes, MAX_FIELDS, Strictness::StatusLine, status)?;
    let line = bytes.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let reason = line.get(STATUS_END..).unwrap_or_default().trim_ascii();
    Ok((status, String::from_utf8_lossy(reason).into_owned()))
}

/// The fields of a proxy's refusal of CONNECT: names in lower case. None if they are malformed.
pub(crate) fn fields_of_refusal(bytes: &[u8]) -> Vec<(HeaderName, Vec<u8>)> {
    let collect = |fields: &[Header<'_>], _, _| {
        let owned = |field: &Header<'_>| {
            let name = HeaderName::from_bytes(field.name.as_bytes()).ok()?;
            Some((name, unfolded(field.value).into_owned()))
        };
        fields.iter().filter_map(owned).collect()
    };
    parse(bytes, MAX_FIELDS, Strictness::Fields, collect).unwrap_or_default()
}

impl RawHead {
    /// The trailer section of a body, its empty line included, of which [`are_fields`] is true.
    pub(crate) fn of_trailers(section: &[u8]) -> Self {
        let bytes = [TRAILERS_PREFIX, section].concat().into();
        // A cookie in a trailer section is none (RFC 9110 section 6.5.1).
        let (sets_cookies, fields) = (false, OnceLock::new());
        Self { bytes, status: 200, version: 11, sets_cookies, fields }
    }

    /// Everything from the status line to the empty line, as it came.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The reason phrase as it came, without the space before it.
    pub(crate) fn reason(&self) -> &[u8] {
        let line = self.bytes.split(|byte| *byte == b'\n').next().unwrap_or_default();
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let rest = line.get(STATUS_END..).unwrap_or_default();
        rest.strip_prefix(b" ").unwrap_or(rest)
    }

    /// The fields: names as they came, and values as [`fields`](Self::fields) has them.
    pub(crate) fn raw_fields(&self) -> Vec<(&str, Cow<'_, [u8]>)> {
        let lines = memchr_iter(b'\n', &self.bytes).count();
        let collect = |fields: &[Header<'_>], _, _| {
            // By their places, as the parser's borrows end with it.
            let start = self.bytes.as_ptr().addr();
            let place = |part: &[u8]| {
                let from = part.as_ptr().addr() - start;
                from..from + part.len()
            };
            let places = |field: &Header<'_>| (place(field.name.as_bytes()), place(field.value));
            fields.iter().map(places).collect::<Vec<_>>()
        };
        let places = parse(&self.bytes, lines, Strictness::Fields, collect).unwrap_or_default();
        let field = |(name, value): (Range<usize>, Range<usize>)| {
            let name = std::str::from_utf8(self.bytes.get(name)?).ok()?;
            Some((name, unfolded(self.bytes.get(value)?)))
        };
        places.into_iter().filter_map(field).collect()
    }

    /// The fields of a trailer section that have a meaning there (RFC 9110 section 6.5.1): what has to be known
    /// before the content is no trailer, so it is left out.
    pub(crate) fn trailer_fields(&self) -> impl Iterator<Item = (&str, &[u8])> {
        let all = self.fields().iter().map(|(name, value)| (name.as_str(), value.as_slice()));
        all.filter(|(name, _)| !NO_TRAILERS.contains(name) && !name.starts_with("if-"))
    }

    /// What Content-Length says, if that is one number.
    pub(crate) fn announced_length(&self) -> Option<u64> {
        let fields = self.fields().iter().filter(|(name, _)| *name == header::CONTENT_LENGTH);
        let mut lengths = fields.flat_map(|(_, value)| value.split(|byte| *byte == b','));
        let number = |text: &[u8]| {
            let digits = text.trim_ascii();
            let is_number = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
            std::str::from_utf8(digits).ok().filter(|_| is_number)?.parse().ok()
        };
        let first: u64 = number(lengths.next()?)?;
        lengths.all(|other| number(other) == Some(first)).then_some(first)
    }

    /// The values of the fields with that name, as [`fields`](Self::fields) has them. It looks at the beginnings of the
    /// lines only, which takes a twentieth of what parsing all fields takes.
    pub(crate) fn values<'a>(
        &'a self,
        name: &'a HeaderName,
    ) -> impl Iterator<Item = Cow<'a, [u8]>> {
        let (bytes, name) = (&*self.bytes, name.as_str().as_bytes());
        let mut ends = memchr_iter(b'\n', bytes).peekable();
        std::iter::from_fn(move || {
            loop {
                let begin = ends.next()? + 1;
                let colon = begin + name.len();
                // The head was parsed before: a name begins its line, and a colon follows it.
                if bytes.get(colon) != Some(&b':')
                    || !bytes[begin..colon].eq_ignore_ascii_case(name)
                {
                    continue;
                }
                let is_folded = |end: usize| matches!(bytes.get(end + 1), Some(b' ' | b'\t'));
                while ends.next_if(|end| is_folded(*end)).is_some() {}
                let end = ends.peek().copied().unwrap_or(bytes.len());
                return Some(unfolded(&bytes[colon + 1..end]));
            }
        })
    }

    /// The fields: names in lower case, values as they came, folds as one space.
    pub(crate) fn fields(&self) -> &[(HeaderName, Vec<u8>)] {
        self.fields.get_or_init(|| {
            let lines = memchr_iter(b'\n', &self.bytes).count();
            let collect = |fields: &[Header<'_>], _, _| {
                let owned = |field: &Header<'_>| {
                    let name = HeaderName::from_bytes(field.name.as_bytes()).ok()?;
                    Some((name, unfolded(field.value).into_owned()))
                };
                fields.iter().filter_map(owned).collect()
            };
            // It was parsed before; it has no more fields than lines.
            parse(&self.bytes, lines, Strictness::Fields, collect).unwrap_or_default()
        })
    }
}

/// Fields such as Set-Cookie hold secrets.
impl fmt::Debug for RawHead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { bytes, status, version, .. } = self;
        write!(f, "{status}, HTTP version {version}, {} bytes", bytes.len())
    }
}

/// What the fields say of what follows the head, as far as they were read.
struct Facts {
    /// What Content-Length says; `None` without one.
    length: Result<Option<u64>, &'static str>,
    /// How many Transfer-Encoding there are, and whether one of them is not chunked.
    codings: usize,
    other_coding: bool,
    close: bool,
    keep: bool,
    keep_alive: Option<KeepAlive>,
    sets_cookies: bool,
}

impl Facts {
    /// Of none; what is known before the status line is read.
    #[inline]
    fn new() -> Self {
        Self {
            length: Ok(None),
            codings: 0,
            close: false,
            keep: false,
            keep_alive: None,
            sets_cookies: false,
            other_coding: false,
        }
    }

    /// A field: its value has no folds.
    #[inline(always)] // The pass over the fields is one loop.
    fn add(&mut self, name: &[u8], value: &[u8]) {
        match name.len() {
            14 if plain::is(name, b"content-length") => self.add_length(value),
            17 if plain::is(name, b"transfer-encoding") => {
                self.codings += 1;
                self.other_coding |= !value.trim_ascii().eq_ignore_ascii_case(b"chunked");
            }
            10 if plain::is(name, b"connection") => self.add_connection(value),
            10 if plain::is(name, b"keep-alive") => self.add_keep_alive(value),
            10 if plain::is(name, b"set-cookie") => self.sets_cookies = true,
            _ => {}
        }
    }

    fn add_length(&mut self, value: &[u8]) {
        self.length = self.length.and_then(|known| add_length(known, value).map(Some));
    }

    fn add_connection(&mut self, value: &[u8]) {
        for option in value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii) {
            self.close |= plain::is(option, b"close");
            self.keep |= plain::is(option, b"keep-alive");
        }
    }

    #[inline(never)]
    fn add_keep_alive(&mut self, value: &[u8]) {
        self.keep_alive.get_or_insert_default().add(value.trim_ascii());
    }

    /// What they mean for a head of that version and status.
    #[inline]
    fn framing(
        self,
        bytes: &[u8],
        to: ResponseTo,
        version: u8,
        status: u16,
    ) -> Result<Framing, Refusal> {
        // These end at the empty line, whatever their fields are (RFC 9112 section 6.3, rule 1).
        let has_no_body = match to {
            ResponseTo::Head => true,
            // Rule 2.
            ResponseTo::Connect if (200..300).contains(&status) => true,
            ResponseTo::Connect | ResponseTo::Other => matches!(status, 100..=199 | 204 | 304),
        };
        let (codings, length) = match has_no_body {
            true => (0, Ok(None)),
            false => (self.codings, self.length),
        };
        if codings > 0 {
            self.check_codings(version)?;
        }
        let body = length.map(|length| match length {
            _ if has_no_body => BodyFraming::None,
            // It overrides a Content-Length (RFC 9112 section 6.3, rule 3).
            _ if codings > 0 => BodyFraming::Chunked,
            Some(length) => BodyFraming::Length(length),
            None => BodyFraming::UntilClose,
        });
        let keep = self.keep || version > 0;
        Ok(Framing {
            head: RawHead {
                bytes: bytes.into(),
                status,
                version: 10 + version,
                sets_cookies: self.sets_cookies,
                fields: OnceLock::new(),
            },
            ambiguous: codings > 0 && length != Ok(None),
            keeps: keep && !self.close && !self.keep_alive.is_some_and(KeepAlive::is_over),
            keep_alive: self.keep_alive,
            body,
        })
    }

    #[inline(never)]
    fn check_codings(&self, version: u8) -> Result<(), Refusal> {
        let what = if version == 0 {
            // RFC 9112 section 6.1: the framing of such a message is faulty.
            "a Transfer-Encoding in a response of HTTP/1.0"
        } else if self.other_coding {
            "a Transfer-Encoding other than chunked, which was not asked for"
        } else if self.codings > 1 {
            "more than one Transfer-Encoding"
        } else {
            return Ok(());
        };
        Err(Refusal::Malformed(what))
    }
}

/// What a Content-Length says, which is the same as that of those before it. A list of the same number is that number
/// (RFC 9110 section 8.6).
fn add_length(mut known: Option<u64>, value: &[u8]) -> Result<u64, &'static str> {
    const NO_NUMBER: &str = "content-length header not a number";
    let mut length = 0;
    for element in value.split(|byte| *byte == b',') {
        let digits = element.trim_ascii();
        if digits.is_empty() {
            return Err(NO_NUMBER);
        }
        length = 0;
        for digit in digits {
            if !digit.is_ascii_digit() {
                return Err(NO_NUMBER);
            }
            let added = u64::checked_mul(length, 10);
            let added = added.and_then(|tens| tens.checked_add(u64::from(digit - b'0')));
            length = added.ok_or(NO_NUMBER)?;
        }
        if known.is_some_and(|known| known != length) {
            return Err("conflicting content-length headers");
        }
        known = Some(length);
    }
    Ok(length)
}

/// Which part of a head has to be well-formed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Strictness {
    StatusLine,
    /// The status line and the fields.
    Fields,
}

/// Parses with room for so many fields, and hands over what it found.
fn parse<T>(
    bytes: &[u8],
    most: usize,
    strictness: Strictness,
    then: impl FnOnce(&[Header<'_>], u8, u16) -> T,
) -> Result<T, Refusal> {
    let mut few = [const { MaybeUninit::uninit() }; FIELDS];
    let mut many = Vec::new();
    let room = if most <= FIELDS {
        &mut few[..]
    } else {
        many.resize_with(most, MaybeUninit::uninit);
        &mut many[..]
    };
    let mut response = httparse::Response::new(&mut []);
    let mut config = ParserConfig::default();
    config.allow_obsolete_multiline_headers_in_responses(true);
    if strictness == Strictness::StatusLine {
        config.ignore_invalid_headers_in_responses(true);
    }
    match config.parse_response_with_uninit_headers(&mut response, bytes, room) {
        Ok(httparse::Status::Complete(_)) => {}
        Ok(httparse::Status::Partial) => return Err(Refusal::Unfinished),
        Err(httparse::Error::TooManyHeaders) => return Err(Refusal::TooManyFields),
        Err(error) => return Err(Refusal::Malformed(explain(error))),
    }
    match (response.version, response.code) {
        (Some(version), Some(status)) if status >= 100 => {
            Ok(then(response.headers, version, status))
        }
        _ => Err(Refusal::Malformed("the status code is below 100")),
    }
}

fn explain(error: httparse::Error) -> &'static str {
    match error {
        httparse::Error::Version => "the answer has another version than HTTP/1.0 or HTTP/1.1",
        httparse::Error::Status => "the status line has no three-digit status code",
        httparse::Error::HeaderName => {
            "malformed response: a header name is none, or has no colon after it"
        }
        httparse::Error::HeaderValue => "malformed response: a control character in a header value",
        httparse::Error::NewLine => "malformed response: a carriage return without its line feed",
        _ => "malformed response: the head",
    }
}

/// A value with each fold as one space.
fn unfolded(value: &[u8]) -> Cow<'_, [u8]> {
    if memchr::memchr(b'\n', value).is_none() {
        return Cow::Borrowed(value.trim_ascii());
    }
    let mut text = Vec::with_capacity(value.len());
    for line in
        value.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii).filter(|line| !line.is_empty())
    {
        if !text.is_empty() {
            text.push(b' ');
        }
        text.extend_from_slice(line);
    }
    Cow::Owned(text)
}

const PREFIX: &[u8] = b"HTTP/1.";
/// What makes a head of a trailer section.
const TRAILERS_PREFIX: &[u8] = b"HTTP/1.1 200\r\n";
/// Fields that describe framing, routing, authentication, the content or how the response is to be handled, and are
/// no trailers therefore (RFC 9110 section 6.5.1); the conditions, whose names begin with If-, are others.
const NO_TRAILERS: [&str; 31] = [
    "age",
    "authorization",
    "cache-control",
    "connection",
    "content-encoding",
    "content-length",
    "content-range",
    "content-type",
    "cookie",
    "expect",
    "expires",
    "host",
    "keep-alive",
    "location",
    "max-forwards",
    "pragma",
    "proxy-authenticate",
    "proxy-authentication-info",
    "proxy-authorization",
    "proxy-connection",
    "range",
    "retry-after",
    "set-cookie",
    "set-cookie2",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "vary",
    "warning",
    "www-authenticate",
];
/// "HTTP/1.1 200": the reason phrase after it has no meaning for a program (RFC 9112 section 4).
const STATUS_END: usize = 12;
/// What nearly every head has room in.
const FIELDS: usize = 48;
/// More than any response needs, whatever the bound in bytes is.
const MAX_FIELDS: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    /// Compares what is read in one pass with what the parser finds.
    fn compare(bytes: &[u8], to: ResponseTo) -> bool {
        let Some((plain, size)) = read_plain(bytes, to) else { return false };
        assert!(matches!(look(bytes, 0), Look::Complete(at) if at == size), "{bytes:?}");
        let parsed = read(&bytes[..size], to).unwrap();
        let shown = |framing: &Framing| {
            let RawHead { bytes, status, version, sets_cookies, .. } = &framing.head;
            let Framing { ambiguous, keeps, keep_alive, body, .. } = framing;
            format!(
                "{bytes:?} {status} {version} {sets_cookies} {ambiguous} {keeps} {keep_alive:?} {body:?}"
            )
        };
        assert_eq!(shown(&plain), shown(&parsed), "{bytes:?}");
        true
    }

    #[test]
    fn a_head_that_is_read_in_one_pass_is_read_so_by_the_parser() {
        let lines = [
            "Content-Length: 3",
            "content-length:3 ,3",
            "Content-Length: 4\t",
            "Content-Length: x",
            "CONTENT-LENGTH:",
            "Transfer-Encoding: chunked",
            "transfer-encoding: \tCHUNKED ",
            "Transfer-Encoding: gzip, chunked",
            "Connection: keep-alive",
            "Connection:close",
            "CONNECTION: x , Close",
            "Keep-Alive: timeout=5, max=7",
            "keep-alive: timeout=0",
            "Set-Cookie: a=b",
            "X-Y: caf\u{e9}\tz",
            "Set_Cookie: a",
            "A\r\n b: c",
            "A : b",
            "A: b\n c",
            "A: b\u{7f}",
            "\u{e9}: b",
            "A: b\rC: d",
        ];
        let starts = [
            "HTTP/1.1 200 OK",
            "HTTP/1.0 200 ",
            "HTTP/1.1 304 Not Modified",
            "HTTP/1.1 101 S",
            "HTTP/1.1 200",
            "HTTP/1.1 999 \u{e9}\t",
        ];
        let (mut read_so, mut all) = (0, 0);
        for start in starts {
            for one in lines {
                for two in lines {
                    for end in ["\r\n", "\n"] {
                        let head = format!("{start}\r\n{one}{end}{two}\r\n\r\nbody");
                        for to in [ResponseTo::Head, ResponseTo::Connect, ResponseTo::Other] {
                            all += 1;
                            read_so += usize::from(compare(head.as_bytes(), to));
                        }
                    }
                }
            }
        }
        assert!(read_so > all / 10, "{read_so} of {all}");
        // One byte of a head is any other one.
        let head = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nConnection: close\r\nA: b\r\n\r\nbody";
        for at in 0..head.len() {
            for byte in 0..=255 {
                let mut other = *head;
                other[at] = byte;
                compare(&other, ResponseTo::Other);
            }
        }
    }

    fn framing(head: &str) -> Framing {
        read(head.as_bytes(), ResponseTo::Other)
            .unwrap_or_else(|refusal| panic!("{refusal:?}: {head}"))
    }

    #[test]
    fn a_head_is_incomplete_until_its_empty_line() {
        let head = "HTTP/1.1 200 OK\r\nA: b\r\n\r\nbody";
        for end in 0..head.len() - 4 {
            for seen in 0..=end {
                assert!(matches!(look(&head.as_bytes()[..end], seen), Look::Incomplete), "{end}");
            }
        }
        assert!(matches!(look(head.as_bytes(), 22), Look::Complete(25)));
        assert!(matches!(look(b"HTTP/1.0 999\n\n", 0), Look::Complete(14)));
    }

    #[test]
    fn the_values_of_a_name_are_those_among_all_fields() {
        for lines in [
            "",
            "A: b\r\n",
            "A:b\nSet-Cookie: a=1\nX: y\nset-cookie:\t b=2 \n",
            "SET-COOKIE: a=1\r\n b\r\n\t c\r\nSet-Cookie:\r\nSet-Cookie: \r\n d\r\nSet-Cookie2: e\r\n",
            "X: y\r\n Set-Cookie: folded\r\nSet-Cook: f\r\nXSet-Cookie: g\r\nSet-Cookie: last\r\n",
            "Set-Cookie: \u{e9}\r\nset-cookie: set-cookie: x\r\n",
        ] {
            let head = framing(&format!("HTTP/1.1 200 Set-Cookie: no\r\n{lines}\r\n")).head;
            let all = head.fields().iter().filter(|(name, _)| *name == header::SET_COOKIE);
            let all: Vec<_> = all.map(|(_, value)| value.clone()).collect();
            let values: Vec<_> = head.values(&header::SET_COOKIE).map(Cow::into_owned).collect();
            assert_eq!(values, all, "{lines:?}");
            assert_eq!(head.sets_cookies, !all.is_empty(), "{lines:?}");
        }
    }

    #[test]
    fn what_is_no_status_line_is_known_at_once() {
        for wrong in [
            "<html>",
            "HTTP/2 200\r\n",
            "HTTP/1.2 200\r\n",
            "HTTP/1.1 -12 OK\r\n",
            "HTTP/1.1 2 OK\r\n",
            "HTTP/1.1 2000 OK\r\n",
            "HTTP/1.1  200 OK\r\n",
        ] {
            assert!(matches!(look(wrong.as_bytes(), 0), Look::Wrong(_)), "{wrong}");
        }
        assert!(matches!(
            read(b"HTTP/1.1 099 X\r\n\r\n", ResponseTo::Other),
            Err(Refusal::Malformed(_))
        ));
    }

    #[test]
    fn the_framing_fields_decide_and_nothing_else() {
        let head = framing(
            "HTTP/1.0 200 Fine\r\nServer: x\r\ncontent-length:  3 \r\nConnection: close\r\n\r\n",
        );
        assert_eq!(head.body, Ok(BodyFraming::Length(3)));
        assert_eq!((head.head.status, head.head.version, head.ambiguous), (200, 10, false));
        assert!(!head.keeps);
        let names: Vec<&str> = head.head.fields().iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["server", "content-length", "connection"]);
        let kept = "Connection: keep-alive\r\nContent-Length: 3\r\n\r\n";
        for version in ["1.1", "1.0"] {
            let head = framing(&format!("HTTP/{version} 200 OK\r\n{kept}"));
            assert_eq!((head.body, head.keeps), (Ok(BodyFraming::Length(3)), true));
        }
        assert!(!framing("HTTP/1.0 200 OK\r\nContent-Length: 3\r\n\r\n").keeps);
        assert_eq!(framing("HTTP/1.1 200 OK\r\n\r\n").body, Ok(BodyFraming::UntilClose));
    }

    #[test]
    fn framing_that_can_be_read_in_two_ways_is_seen() {
        let head = |fields: &str| format!("HTTP/1.1 200 OK\r\n{fields}\r\n");
        assert!(framing(&head("content-length: 1\r\nTransfer-Encoding: Chunked\r\n")).ambiguous);
        let twice = "Transfer-Encoding: chunked\r\ntransfer-encoding: chunked\r\n";
        let codings = ["gzip, chunked", "identity", "chunked, chunked", ""];
        let codings = codings.map(|coding| format!("Transfer-Encoding: {coding}\r\n"));
        for wrong in codings.iter().map(String::as_str).chain([twice]) {
            assert!(
                matches!(
                    read(head(wrong).as_bytes(), ResponseTo::Other),
                    Err(Refusal::Malformed(_))
                ),
                "{wrong}"
            );
        }
    }

    #[test]
    fn the_framing_of_a_response_without_a_body_is_not_looked_at() {
        for fields in [
            "Transfer-Encoding: identity",
            "Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked",
            "Content-Length: 2\r\nContent-Length: 3",
            "Content-Length:",
        ] {
            let read = |status: u16, to| {
                let head = format!("HTTP/1.1 {status} X\r\n{fields}\r\n\r\n");
                read(head.as_bytes(), to).unwrap_or_else(|refusal| panic!("{refusal:?}: {head}"))
            };
            for status in [100, 103, 204, 304] {
                assert_eq!(read(status, ResponseTo::Other).body, Ok(BodyFraming::None));
            }
            assert_eq!(read(200, ResponseTo::Head).body, Ok(BodyFraming::None));
        }
    }

    #[test]
    fn a_transfer_encoding_in_http_1_0_is_refused() {
        for fields in ["", "Content-Length: 5\r\n"] {
            let head = format!("HTTP/1.0 200 OK\r\n{fields}Transfer-Encoding: chunked\r\n\r\n");
            let refusal = read(head.as_bytes(), ResponseTo::Other).unwrap_err();
            assert!(matches!(refusal, Refusal::Malformed(what) if what.contains("HTTP/1.0")));
        }
    }

    #[test]
    fn an_answer_to_connect_is_its_status_line() {
        for fields in [
            "",
            "Via: 1.1 a,\r\n 1.1 b\r\n",
            "Proxy-Agent : x\r\n",
            "X Y: z\r\n",
            "Transfer-Encoding: gzip\r\n",
            &"X: y\r\n".repeat(130),
        ] {
            let head = format!("HTTP/1.1 200 Connection established\r\n{fields}\r\n");
            let (status, reason) = read_connect(head.as_bytes()).unwrap();
            assert_eq!((status, reason.as_str()), (200, "Connection established"), "{fields}");
        }
        assert!(read_connect(b"HTTP/1.1 2 OK\r\n\r\n").is_err());
        assert_eq!(read_connect(b"HTTP/1.0 407\n\n").unwrap(), (407, String::new()));
    }

    #[test]
    fn folds_become_one_space_and_a_folded_first_line_is_refused() {
        let head = framing("HTTP/1.1 200 OK\r\nA: b \r\n \t c\r\n  d\r\nE: f\r\n\r\n");
        assert_eq!(head.head.fields()[0].1, b"b c d");
        assert!(read(b"HTTP/1.1 200 OK\r\n A: b\r\n\r\n", ResponseTo::Other).is_err());
    }

    #[test]
    fn a_head_is_there_as_it_came() {
        let text = "HTTP/1.1 200  All \u{e9}t\u{e9} \r\nX-B: 1\r\nx-a:\t2 \r\nX-Fold: a\r\n  b\r\nX-b:\r\n\r\n";
        let head = framing(text).head;
        assert_eq!(head.bytes(), text.as_bytes());
        assert_eq!(head.reason(), " All \u{e9}t\u{e9} ".as_bytes());
        let raw = head.raw_fields();
        let raw: Vec<_> = raw.iter().map(|(name, value)| (*name, &**value)).collect();
        let expected: [(&str, &[u8]); 4] =
            [("X-B", b"1"), ("x-a", b"2"), ("X-Fold", b"a b"), ("X-b", b"")];
        assert_eq!(raw, expected);
        for (line, reason) in [("200", ""), ("200 ", ""), ("200 OK", "OK"), ("200\t", "")] {
            for end in ["\n", "\r\n"] {
                let head = format!("HTTP/1.1 {line}{end}{end}");
                if let Ok(read) = read(head.as_bytes(), ResponseTo::Other) {
                    assert_eq!(read.head.reason(), reason.as_bytes(), "{head:?}");
                }
            }
        }
    }

    #[test]
    fn what_frames_or_routes_a_message_is_no_trailer() {
        let section = "X-Sum: 1\r\nContent-Length: 5\r\nETag: \"a\"\r\nSet-Cookie: a=b\r\nIf-Match: *\r\n\
                       TRANSFER-ENCODING: gzip\r\nx-sum: 2\r\n\r\n";
        assert!(are_fields(section.as_bytes()));
        let trailers = RawHead::of_trailers(section.as_bytes());
        let names: Vec<&str> = trailers.trailer_fields().map(|(name, _)| name).collect();
        assert_eq!(names, ["x-sum", "etag", "x-sum"]);
    }

    #[test]
    fn an_announced_length_is_one_number() {
        let length = |fields: &str| {
            let head = format!("HTTP/1.1 200 OK\r\n{fields}\r\n");
            let read = read(head.as_bytes(), ResponseTo::Head);
            read.unwrap_or_else(|why| panic!("{why:?}: {head}")).head.announced_length()
        };
        assert_eq!(length("Content-Length: 5\r\n"), Some(5));
        assert_eq!(length("Content-Length: 5, 5\r\ncontent-length:5\r\n"), Some(5));
        for fields in
            ["", "Content-Length:\r\n", "Content-Length: +5\r\n", "Content-Length: 5,6\r\n"]
        {
            assert_eq!(length(fields), None, "{fields:?}");
        }
    }

    #[test]
    fn many_fields_are_read_and_too_many_refused() {
        let head = |count: usize| format!("HTTP/1.1 200 OK\r\n{}\r\n", "a: b\r\n".repeat(count));
        assert_eq!(framing(&head(1000)).head.fields().len(), 1000);
        assert_eq!(
            read(head(5000).as_bytes(), ResponseTo::Other).unwrap_err(),
            Refusal::TooManyFields
        );
    }
}
