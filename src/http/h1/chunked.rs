//! Decodes a chunked body (RFC 9112 section 7.1).
//!
//! Line ends are CR LF and nothing else, and a size is hexadecimal digits and nothing else: anything that
//! two readers could understand differently is an error. Chunk extensions are ignored, as section 7.1.1
//! demands. The fields of the trailer section are read by the parser of heads.

use super::codec::protocol_error;
use super::transport::Transport;
use crate::http::exchange::Exchange;
use crate::net::Stop;
use crate::response_head;

/// How far a body is. Threads: one at a time.
pub(super) struct ChunkedDecoder {
    expects: Expects,
}

/// What comes next on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Expects {
    /// The line with a chunk's size, extensions included.
    Size,
    /// So many bytes of a chunk.
    Data(u64),
    /// The line end behind a chunk's data.
    DataEnd,
    /// The trailer section; its first `seen` bytes were looked at and hold no end.
    Trailers { seen: usize },
    /// Nothing: the body is over. `cut`: the peer closed the connection instead of sending the line end
    /// of an empty trailer section. Then the body is whole, but the connection can't be used again.
    Nothing { cut: bool },
}

/// The outcome of one step over the bytes that are here.
enum Step {
    NeedsMore,
    Next(Expects),
}

impl ChunkedDecoder {
    pub(super) fn new() -> Self {
        Self { expects: Expects::Size }
    }

    /// A piece: as much as is here and fits; 0 at the end of the body, and if the peer closed before.
    /// What came before an error is returned first, and the error by the next call.
    pub(super) fn read(
        &mut self,
        transport: &mut Transport,
        into: &mut [u8],
        exchange: &Exchange,
    ) -> Result<usize, Stop> {
        let mut filled = 0;
        loop {
            match self.step(transport, into, &mut filled, exchange) {
                Ok(Step::Next(next)) => {
                    self.expects = next;
                    match next {
                        Expects::Nothing { .. } => return Ok(filled),
                        // A full buffer still takes framing that is here: the body may end with it.
                        Expects::Data(_) if filled == into.len() => return Ok(filled),
                        _ => {}
                    }
                }
                Ok(Step::NeedsMore) if filled > 0 => return Ok(filled),
                Ok(Step::NeedsMore) => match self.expects {
                    Expects::Data(left) if Transport::reads_directly(into.len(), left) => {
                        let got = transport.read_body(into, Some(left), exchange)?;
                        if got > 0 {
                            self.expects = after_data(left - got as u64);
                        }
                        return Ok(got);
                    }
                    _ if transport.await_chunk(exchange)? => {}
                    // The peer closed.
                    Expects::Trailers { .. }
                        if matches!(transport.buffers.unconsumed(), [] | [b'\r']) =>
                    {
                        self.expects = Expects::Nothing { cut: true };
                    }
                    _ => return Ok(0),
                },
                // The bytes stay where they are, so the next call finds the same error.
                Err(_) if filled > 0 => return Ok(filled),
                Err(why) => {
                    let what =
                        format!("malformed response: the framing of the body is broken: {why}");
                    return Err(protocol_error(&what));
                }
            }
        }
    }

    /// Whether the body was read to its end.
    pub(super) fn is_over(&self) -> bool {
        matches!(self.expects, Expects::Nothing { .. })
    }

    /// Whether the connection can serve another exchange after this body.
    pub(super) fn is_reusable(&self) -> bool {
        self.expects == (Expects::Nothing { cut: false })
    }

    /// One step over the bytes that are here.
    fn step(
        &mut self,
        transport: &mut Transport,
        into: &mut [u8],
        filled: &mut usize,
        exchange: &Exchange,
    ) -> Result<Step, &'static str> {
        let buffers = &mut transport.buffers;
        let here = buffers.unconsumed();
        Ok(match self.expects {
            Expects::Size => match size_line(here)? {
                None => Step::NeedsMore,
                Some((line, size)) => {
                    buffers.consume(line);
                    Step::Next(match size {
                        0 => Expects::Trailers { seen: 0 },
                        size => Expects::Data(size),
                    })
                }
            },
            Expects::Data(_) if here.is_empty() || *filled == into.len() => Step::NeedsMore,
            Expects::Data(left) => {
                let most = usize::try_from(left).unwrap_or(usize::MAX);
                let room = &mut into[*filled..];
                let size = room.len().min(most);
                let took = buffers.take_into(&mut room[..size]);
                *filled += took;
                Step::Next(after_data(left - took as u64))
            }
            Expects::DataEnd => match here {
                [b'\r', b'\n', ..] => {
                    buffers.consume(2);
                    Step::Next(Expects::Size)
                }
                [] | [b'\r'] => Step::NeedsMore,
                _ => return Err("a chunk is longer than its size says"),
            },
            Expects::Trailers { seen } => match trailers(here, seen)? {
                None => {
                    self.expects = Expects::Trailers { seen: here.len() };
                    Step::NeedsMore
                }
                Some(size) => {
                    if size > EMPTY_LINE {
                        exchange.shared().keep_trailers(&here[..size]);
                    }
                    buffers.consume(size);
                    Step::Next(Expects::Nothing { cut: false })
                }
            },
            Expects::Nothing { cut } => Step::Next(Expects::Nothing { cut }),
        })
    }
}

fn after_data(left: u64) -> Expects {
    if left > 0 { Expects::Data(left) } else { Expects::DataEnd }
}

/// The line with a chunk's size, if it is here whole: its length, and the size.
fn size_line(bytes: &[u8]) -> Result<Option<(usize, u64)>, &'static str> {
    let digits = bytes.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
    let mut size: u64 = 0;
    for digit in &bytes[..digits] {
        let value = (*digit as char).to_digit(16).unwrap_or_default();
        let shifted = size.checked_mul(16).ok_or("a chunk size is larger than 2^64")?;
        size = shifted + u64::from(value);
    }
    let rest = &bytes[digits..];
    match rest {
        [] | [b'\r'] if digits > 0 || bytes.is_empty() => return too_long(bytes),
        _ if digits == 0 => return Err("a chunk size is not a hexadecimal number"),
        // Most have no extension.
        [b'\r', b'\n', ..] => return Ok(Some((digits + 2, size))),
        _ => {}
    }
    let Some(end) = memchr::memchr(b'\n', rest) else {
        extension(rest.strip_suffix(b"\r").unwrap_or(rest))?;
        return too_long(bytes);
    };
    extension(rest[..end].strip_suffix(b"\r").ok_or(BARE_LINE_FEED)?)?;
    Ok(Some((digits + end + 1, size)))
}

/// Whether this can be the beginning of what may stand behind a size: white space, and extensions behind a
/// semicolon. What these mean is not looked at, but they are text (RFC 9112 section 7.1.1).
fn extension(bytes: &[u8]) -> Result<(), &'static str> {
    match bytes.trim_ascii_start().first() {
        None | Some(b';') => {}
        Some(_) => return Err("a chunk size is not a hexadecimal number"),
    }
    let is_text = |byte: &u8| *byte == b'\t' || (*byte >= b' ' && *byte != 0x7f);
    if bytes.iter().all(is_text) { Ok(()) } else { Err("a control character in a chunk extension") }
}

/// A line that has not ended: more of it is needed, if it may be longer.
fn too_long<T>(line: &[u8]) -> Result<Option<T>, &'static str> {
    if line.len() > MAX_LINE { Err("the line with a chunk's size is too long") } else { Ok(None) }
}

/// The size of the trailer section, if it is here whole (RFC 9112 section 7.1.2). The first `seen` bytes hold
/// no end of it.
fn trailers(bytes: &[u8], seen: usize) -> Result<Option<usize>, &'static str> {
    match bytes {
        [] | [b'\r'] => Ok(None),
        [b'\r', b'\n', ..] => Ok(Some(2)),
        [b'\r' | b'\n', ..] => Err(BARE_LINE_FEED),
        _ => match response_head::end_of_fields(bytes, seen) {
            None => Ok(None),
            Some(size) if response_head::are_fields(&bytes[..size]) => Ok(Some(size)),
            Some(_) => Err("a malformed field in the trailer section"),
        },
    }
}

/// The line with a chunk's size, extensions included. Go's bound is 4 KiB.
const MAX_LINE: usize = 16 * 1024;
/// A trailer section without fields.
const EMPTY_LINE: usize = 2;
const BARE_LINE_FEED: &str = "a line end that is not CR LF";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_is_hexadecimal_digits_and_nothing_else() {
        for (line, size) in [
            ("0\r\n", 0),
            ("000A\r\n", 10),
            ("ffffffffffffffff\r\n", u64::MAX),
            ("00000000000000000001\r\n", 1),
            ("2;\r\n", 2),
            ("2 ; name = \"a;b\"\r\n", 2),
            ("2\t \r\n", 2),
            ("2;caf\u{e9}\r\n", 2),
        ] {
            assert_eq!(size_line(line.as_bytes()), Ok(Some((line.len(), size))), "{line:?}");
            assert_eq!(size_line(format!("{line}x").as_bytes()), Ok(Some((line.len(), size))));
            for cut in 0..line.len() {
                assert_eq!(size_line(&line.as_bytes()[..cut]), Ok(None), "{line:?} up to {cut}");
            }
        }
        for line in [
            "\r\n",
            "\n",
            " 2\r\n",
            "+2\r\n",
            "-2\r\n",
            "0x2\r\n",
            "2x\r\n",
            "2 2\r\n",
            "2\n",
            "2\r2\n",
            "2;a\nb\r\n",
            "2;a\rb\r\n",
            "2;\0\r\n",
            "2\u{a0}\r\n",
            "\u{a0}2\r\n",
            "g\r\n",
            ";\r\n",
            "10000000000000000\r\n",
            "fffffffffffffffff\r\n",
        ] {
            assert!(size_line(line.as_bytes()).is_err(), "{line:?}");
        }
    }

    #[test]
    fn a_line_without_an_end_is_bounded() {
        let line = format!("2;{}", "a".repeat(MAX_LINE));
        assert!(size_line(line.as_bytes()).is_err());
        assert_eq!(size_line(&line.as_bytes()[..MAX_LINE]), Ok(None));
    }

    #[test]
    fn a_trailer_section_is_fields_up_to_the_empty_line() {
        for section in ["\r\n", "A: b\r\n\r\n", "A: b\r\nC:\r\n\r\n", "A: b\r\n c\r\n\r\n"] {
            let bytes = section.as_bytes();
            assert_eq!(trailers(bytes, 0), Ok(Some(bytes.len())), "{section:?}");
            for cut in 0..bytes.len() {
                assert_eq!(trailers(&bytes[..cut], 0), Ok(None), "{section:?} up to {cut}");
                assert_eq!(trailers(bytes, cut), Ok(Some(bytes.len())), "{section:?} from {cut}");
            }
        }
        for section in
            ["\n", "\rx", "no colon\r\n\r\n", "A : b\r\n\r\n", "A: \0\r\n\r\n", ": b\r\n\r\n"]
        {
            assert!(trailers(section.as_bytes(), 0).is_err(), "{section:?}");
        }
    }
}
