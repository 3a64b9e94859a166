//! A body in chunks as it comes (RFC 9112 section 7.1), with its framing taken away.
//!
//! Line ends are CR LF and nothing else, and a size is hexadecimal digits and nothing else: what two
//! readers could understand in two ways is an error. Chunk extensions are ignored, as section 7.1.1
//! demands. The fields of the trailer section are read by the parser of heads.

use super::transport::{Seam, Stopped};
use crate::response_head;

/// Threads: one at a time.
pub(in crate::http) struct Chunks {
    seam: Seam,
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
    /// of an empty trailer section, so the body is whole, and the connection is not.
    Nothing { cut: bool },
}

/// Why a body broke off.
#[derive(Debug)]
pub(in crate::http) enum Cut {
    /// The exchange failed; its error is in `Exchange::failure`.
    Stopped,
    /// The peer closed before the last chunk.
    Short,
    /// The framing is malformed, in these words.
    Malformed(&'static str),
}

/// What one step over the bytes that are here came to.
enum Step {
    /// More bytes are needed.
    Starved,
    Next(Expects),
}

impl Chunks {
    pub(super) fn new(seam: Seam) -> Self {
        Self { seam, expects: Expects::Size }
    }

    /// A piece: as much as is here and fits; 0 only at the end of the body. What came before an error is
    /// returned first, and the error by the next call.
    pub(in crate::http) fn read(&mut self, into: &mut [u8]) -> Result<usize, Cut> {
        let mut filled = 0;
        loop {
            match self.step(into, &mut filled) {
                Ok(Step::Next(next)) => {
                    self.expects = next;
                    match next {
                        Expects::Nothing { .. } => return Ok(filled),
                        // A full buffer still takes framing that is here: the body may be over by it.
                        Expects::Data(_) if filled == into.len() => return Ok(filled),
                        _ => {}
                    }
                }
                Ok(Step::Starved) if filled > 0 => return Ok(filled),
                Ok(Step::Starved) => match self.expects {
                    Expects::Data(left) if self.seam.goes_straight(into.len(), left) => {
                        let got = self.await_data(into, left)?;
                        self.expects = after_data(left - got as u64);
                        return Ok(got);
                    }
                    _ => self.await_more()?,
                },
                // The bytes stay where they are, so the next call finds the same error.
                Err(_) if filled > 0 => return Ok(filled),
                Err(what) => return Err(Cut::Malformed(what)),
            }
        }
    }

    /// Whether the body was read to its end.
    pub(in crate::http) fn is_over(&self) -> bool {
        matches!(self.expects, Expects::Nothing { .. })
    }

    /// The body is over: ends the exchange.
    pub(in crate::http) fn finish(self) {
        if self.expects == (Expects::Nothing { cut: false }) {
            self.seam.ends_well();
        }
    }

    /// One step over the bytes that are here.
    fn step(&mut self, into: &mut [u8], filled: &mut usize) -> Result<Step, &'static str> {
        let buffers = &mut self.seam.buffers;
        let here = buffers.unconsumed();
        Ok(match self.expects {
            Expects::Size => match size_line(here)? {
                None => Step::Starved,
                Some((line, size)) => {
                    buffers.consume(line);
                    Step::Next(match size {
                        0 => Expects::Trailers { seen: 0 },
                        size => Expects::Data(size),
                    })
                }
            },
            Expects::Data(_) if here.is_empty() || *filled == into.len() => Step::Starved,
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
                [] | [b'\r'] => Step::Starved,
                _ => return Err("a chunk is longer than its size says"),
            },
            Expects::Trailers { seen } => match trailers(here, seen)? {
                None => {
                    self.expects = Expects::Trailers { seen: here.len() };
                    Step::Starved
                }
                Some(size) => {
                    buffers.consume(size);
                    Step::Next(Expects::Nothing { cut: false })
                }
            },
            Expects::Nothing { cut } => Step::Next(Expects::Nothing { cut }),
        })
    }

    /// Waits for bytes of the framing, or of a small chunk.
    fn await_more(&mut self) -> Result<(), Cut> {
        if self.seam.await_body()? {
            return Ok(());
        }
        match self.expects {
            Expects::Trailers { .. } if matches!(self.seam.buffers.unconsumed(), [] | [b'\r']) => {
                self.expects = Expects::Nothing { cut: true };
                Ok(())
            }
            _ => Err(Cut::Short),
        }
    }

    /// Waits for bytes of a chunk of which so many are left, and takes them into the caller's buffer.
    fn await_data(&mut self, into: &mut [u8], left: u64) -> Result<usize, Cut> {
        match self.seam.read_body(into, Some(left))? {
            0 => Err(Cut::Short),
            got => Ok(got),
        }
    }
}

impl From<Stopped> for Cut {
    fn from(Stopped: Stopped) -> Self {
        Self::Stopped
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
    if line.len() > LONGEST_LINE {
        Err("the line with a chunk's size is too long")
    } else {
        Ok(None)
    }
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
const LONGEST_LINE: usize = 16 * 1024;
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
        let line = format!("2;{}", "a".repeat(LONGEST_LINE));
        assert!(size_line(line.as_bytes()).is_err());
        assert_eq!(size_line(&line.as_bytes()[..LONGEST_LINE]), Ok(None));
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
