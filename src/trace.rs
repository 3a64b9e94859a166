//! A trace of what a client sends and receives: every head, the size of every piece of a body, and what
//! happens to the connection, each with its time and the connection's id. It goes to a function of the caller
//! or to a file.
//!
//! It does not know exchanges: they say what to record.

use std::fmt::{self, Write as _};
use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::error::Error;
use crate::runtime::on_thread_stack;
use crate::vocabulary::{Kind, TraceType};

/// Where a client's trace goes, and whether it has the bytes of bodies.
///
/// Values of Authorization, Proxy-Authorization, Cookie, Set-Cookie and of the client's
/// [sensitive headers](crate::Client::add_sensitive_header) are replaced by their length. URLs, bodies and other headers
/// are recorded as they are: a trace may hold secrets.
///
/// ```no_run
/// use hangup::{Client, Trace};
///
/// let client = Client::default();
/// client.set_trace(Some(Trace::to_file("/tmp/http.trace")?));
/// client.set_trace(Some(Trace::new(|record| eprintln!("{record}")).with_bodies(true)));
/// # Ok::<(), hangup::Error>(())
/// ```
///
/// Threads: a value; copies share the function or the file.
#[derive(Clone)]
pub struct Trace {
    sink: Arc<dyn Fn(&TraceRecord<'_>) + Send + Sync>,
    bodies: bool,
}

/// One entry of a trace. As text it is what a file gets: lines that begin with the time (seconds since 1970-01-01
/// 00:00:00 UTC, with microseconds), the id of the connection, and `*` for information, `>` and `<` for lines of a head
/// that was sent or received, `}` and `{` for a piece of a body that was sent or received. Bytes that are no printable
/// ASCII are shown as `\x` and two hexadecimal digits.
///
/// Threads: a value.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct TraceRecord<'a> {
    /// What was recorded.
    pub kind: TraceType,
    /// When.
    pub time: SystemTime,
    /// The id of the connection; 0 while there is none.
    pub connection_id: u64,
    /// For a piece of a body its size in bytes; otherwise the size of `data`.
    pub size: u64,
    /// The text of information, the bytes of a head with secrets replaced, or the bytes of a piece of a body; empty for
    /// bodies unless they are wanted.
    pub data: &'a [u8],
}

/// The trace of one call: where it goes, and which headers are secret.
#[derive(Debug)]
pub(crate) struct Tracer {
    trace: Trace,
    /// Names in lower case, besides those that are always secret.
    secret: Vec<String>,
}

/// Called with each head that a proxy is sent or sends.
pub(crate) type SeeHead<'a> = &'a dyn Fn(TraceType, &[u8]);

impl Trace {
    /// Calls this function for every record, in order within an exchange, and from several threads at once for
    /// exchanges that run at once.
    ///
    /// It runs on the thread that does the exchange, that is on the caller's in the blocking form and on an I/O thread
    /// for a submitted request, and delays it: it should not block, and it must not send a request.
    pub fn new(record: impl Fn(&TraceRecord<'_>) + Send + Sync + 'static) -> Self {
        Self { sink: Arc::new(record), bodies: false }
    }

    /// Appends every record as text to this file, which is created if it does not exist. Several processes may append
    /// to the same file. What can't be written is lost.
    ///
    /// # Errors
    /// [`Kind::System`] if it can't be opened.
    pub fn to_file(path: impl AsRef<Path>) -> Result<Self, Error> {
        let path = path.as_ref();
        let file = OpenOptions::new().create(true).append(true).open(path).map_err(|error| {
            let what = format!("can't open the trace file {}", path.display());
            Error::from_os(Kind::System, &what, &error)
        })?;
        // One write for each record: appended writes don't mix (open(2), O_APPEND), so there is no lock, which the
        // child of a fork could find locked.
        Ok(Self::new(move |record| {
            let _ = (&file as &File).write_all(record.to_string().as_bytes());
        }))
    }

    /// With `true`, records have the bytes of bodies: those of a request as they are sent, chunk framing included, and
    /// those of a response without framing and before decoding. Default: `false`, only their sizes.
    #[must_use]
    pub fn with_bodies(mut self, on: bool) -> Self {
        self.bodies = on;
        self
    }
}

impl fmt::Debug for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Trace").field("bodies", &self.bodies).finish_non_exhaustive()
    }
}

/// Its lines, each with its end.
impl fmt::Display for TraceRecord<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let time = self.time.duration_since(UNIX_EPOCH).unwrap_or_default();
        let sign = match self.kind {
            TraceType::Info => '*',
            TraceType::RequestHead => '>',
            TraceType::ResponseHead => '<',
            TraceType::RequestBody => '}',
            TraceType::ResponseBody => '{',
        };
        let is_body = matches!(self.kind, TraceType::RequestBody | TraceType::ResponseBody);
        let mut start = String::new();
        let (seconds, micros) = (time.as_secs(), time.subsec_micros());
        write!(start, "{seconds}.{micros:06} #{} {sign}", self.connection_id)?;
        if is_body {
            writeln!(f, "{start} [{} bytes]", self.size)?;
        }
        for line in self.data.split_inclusive(|byte| *byte == b'\n') {
            let line = line.strip_suffix(b"\n").unwrap_or(line);
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            f.write_str(&start)?;
            if !line.is_empty() {
                f.write_char(' ')?;
            }
            for byte in line {
                match byte {
                    b'\t' | b' '..=b'~' => f.write_char(char::from(*byte))?,
                    _ => write!(f, "\\x{byte:02x}")?,
                }
            }
            f.write_char('\n')?;
        }
        Ok(())
    }
}

impl Tracer {
    /// `secret`: names of headers whose values are replaced, besides those that always are.
    pub(crate) fn new<'a>(trace: &Trace, secret: impl Iterator<Item = &'a str>) -> Self {
        Self { trace: trace.clone(), secret: secret.map(str::to_ascii_lowercase).collect() }
    }

    pub(crate) fn info(&self, connection: u64, text: &str) {
        self.record(TraceType::Info, connection, text.len(), text.as_bytes());
    }

    /// A whole head, its empty line included.
    pub(crate) fn head(&self, kind: TraceType, connection: u64, head: &[u8]) {
        let shown = self.without_secrets(head);
        self.record(kind, connection, shown.len(), &shown);
    }

    pub(crate) fn body(&self, kind: TraceType, connection: u64, piece: &[u8]) {
        let data = if self.trace.bodies { piece } else { &[] };
        self.record(kind, connection, piece.len(), data);
    }

    fn record(&self, kind: TraceType, connection_id: u64, size: usize, data: &[u8]) {
        let time = SystemTime::now();
        let record = TraceRecord { kind, time, connection_id, size: size as u64, data };
        // The function is the caller's, and a fiber's stack is small.
        on_thread_stack(|| (self.trace.sink)(&record));
    }

    /// A head with the values of secret fields replaced by their length. A continued line (obs-fold, RFC 9112 section
    /// 5.2) belongs to the value before it.
    fn without_secrets(&self, head: &[u8]) -> Vec<u8> {
        let mut shown = Vec::with_capacity(head.len());
        let mut in_secret = false;
        for (number, line) in head.split_inclusive(|byte| *byte == b'\n').enumerate() {
            let is_continued = number > 0 && matches!(line.first(), Some(b' ' | b'\t'));
            if is_continued {
                if !in_secret {
                    shown.extend_from_slice(line);
                }
                continue;
            }
            let colon = line.iter().position(|byte| *byte == b':').filter(|_| number > 0);
            in_secret = colon.is_some_and(|colon| self.is_secret(&line[..colon]));
            match colon {
                Some(colon) if in_secret => {
                    shown.extend_from_slice(&line[..=colon]);
                    let value = line[colon + 1..].trim_ascii();
                    shown.extend_from_slice(format!(" [{} bytes hidden]", value.len()).as_bytes());
                    let end = if line.ends_with(b"\r\n") { "\r\n" } else { "\n" };
                    shown.extend_from_slice(end.as_bytes());
                }
                _ => shown.extend_from_slice(line),
            }
        }
        shown
    }

    fn is_secret(&self, name: &[u8]) -> bool {
        let name = name.trim_ascii_end();
        let own = self.secret.iter().map(String::as_str);
        SECRET.into_iter().chain(own).any(|secret| name.eq_ignore_ascii_case(secret.as_bytes()))
    }
}

/// Fields whose values let others act in the user's name.
const SECRET: [&str; 6] = [
    "authorization",
    "proxy-authorization",
    "cookie",
    "set-cookie",
    "authentication-info",
    "proxy-authentication-info",
];

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(head: &str) -> String {
        let tracer = Tracer::new(&Trace::new(|_| ()), ["X-Key"].into_iter());
        String::from_utf8(tracer.without_secrets(head.as_bytes())).unwrap()
    }

    #[test]
    fn secrets_are_replaced_by_their_length() {
        assert_eq!(
            shown("GET /a:b HTTP/1.1\r\nauthorization: Basic abc\r\nX-KEY:  s \r\nA: b\r\n\r\n"),
            "GET /a:b HTTP/1.1\r\nauthorization: [9 bytes hidden]\r\nX-KEY: [1 bytes hidden]\r\nA: b\r\n\r\n"
        );
        assert_eq!(
            shown("HTTP/1.1 200\nSet-Cookie: a\n more\nB: c\n d\n\n"),
            "HTTP/1.1 200\nSet-Cookie: [1 bytes hidden]\nB: c\n d\n\n"
        );
    }

    #[test]
    fn a_record_is_printable_text() {
        let record = TraceRecord {
            kind: TraceType::ResponseHead,
            time: UNIX_EPOCH + std::time::Duration::from_micros(7_000_001),
            connection_id: 3,
            size: 0,
            data: b"HTTP/1.1 200 \x1b[0m\r\nA: \xe9\r\n\r\n",
        };
        assert_eq!(
            record.to_string(),
            "7.000001 #3 < HTTP/1.1 200 \\x1b[0m\n7.000001 #3 < A: \\xe9\n7.000001 #3 <\n"
        );
        let body = TraceRecord { kind: TraceType::RequestBody, size: 5, data: b"", ..record };
        assert_eq!(body.to_string(), "7.000001 #3 } [5 bytes]\n");
    }
}
