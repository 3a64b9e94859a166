//! Decodes a chunked body (RFC 9112 section 7.1).
//!
//! Line ends are CR LF and nothing else, and a size is hexadecimal digits and nothing else: anything that
//! two readers could understand differently is an error. Chunk extensions are ignored, as section 7.1.1
//! demands. The fields of the trailer section are read by the parser of heads.
//!
//! A caller with a large buffer has the connection's bytes read straight into it. The framing is taken out
//! there: the data of the chunk that was begun stays where it is, and what follows moves up.

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

/// What came of one pass over the bytes that are here.
struct Pass {
    /// Bytes that are done with, framing and data.
    consumed: usize,
    /// Bytes of the body.
    filled: usize,
    stopped: Stopped,
}

/// Why a pass went no further.
#[derive(Debug, PartialEq, Eq)]
enum Stopped {
    NeedsMore,
    /// There is no room for the data that comes next.
    Full,
    /// What comes next is the trailer section, or nothing.
    AtTrailers,
    /// The bytes that come next are wrong.
    Wrong(&'static str),
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
        let wait = |transport: &mut Transport, into: Option<&mut [u8]>| {
            transport.await_framed(into, exchange).map(Some)
        };
        self.read_by(transport, into, exchange, wait).map(Option::unwrap_or_default)
    }

    /// [`read`](Self::read) of what is here already; `None` if nothing is. Doesn't wait.
    pub(super) fn read_here(
        &mut self,
        transport: &mut Transport,
        into: &mut [u8],
        exchange: &Exchange,
    ) -> Result<Option<usize>, Stop> {
        let look = |transport: &mut Transport, into: Option<&mut [u8]>| {
            transport.framed_here(into, exchange)
        };
        self.read_by(transport, into, exchange, look)
    }

    /// A piece; `more` reads what comes next, into the transport's buffer or straight to where it shall go.
    #[inline(always)] // Once for each way to read.
    fn read_by(
        &mut self,
        transport: &mut Transport,
        into: &mut [u8],
        exchange: &Exchange,
        mut more: impl FnMut(&mut Transport, Option<&mut [u8]>) -> Result<Option<usize>, Stop>,
    ) -> Result<Option<usize>, Stop> {
        let mut filled = 0;
        loop {
            let buffers = &mut transport.buffers;
            let ground = Apart { here: buffers.unconsumed(), into: &mut into[filled..] };
            let pass = self.pass(ground);
            buffers.consume(pass.consumed);
            filled += pass.filled;
            match pass.stopped {
                Stopped::AtTrailers => match self.take_trailers(transport, exchange) {
                    Ok(true) => return Ok(Some(filled)),
                    Ok(false) if filled > 0 => return Ok(Some(filled)),
                    Ok(false) => {}
                    Err(_) if filled > 0 => return Ok(Some(filled)),
                    Err(why) => return Err(broken(why)),
                },
                // The bytes stay where they are, so the next call finds the same error.
                Stopped::NeedsMore | Stopped::Wrong(_) if filled > 0 => return Ok(Some(filled)),
                Stopped::Full => return Ok(Some(filled)),
                Stopped::NeedsMore => {}
                Stopped::Wrong(why) => return Err(broken(why)),
            }
            // Nothing is held back but the beginning of a line or of a trailer section.
            let got = if transport.buffers.unconsumed().is_empty()
                && let Some(most) = self.direct(into.len())
            {
                let Some(got) = more(transport, Some(&mut into[..most]))? else { return Ok(None) };
                filled = self.take_in_place(transport, &mut into[..got]);
                got
            } else {
                let Some(got) = more(transport, None)? else { return Ok(None) };
                got
            };
            if got == 0 {
                // The peer closed.
                if let Expects::Trailers { .. } = self.expects
                    && matches!(transport.buffers.unconsumed(), [] | [b'\r'])
                {
                    self.expects = Expects::Nothing { cut: true };
                }
                return Ok(Some(0));
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

    /// How much is read straight into a caller's buffer of that size, if anything is. What is read behind the
    /// chunk that was begun may have to be moved to our buffer: it is bounded.
    fn direct(&self, room: usize) -> Option<usize> {
        let sure = match self.expects {
            Expects::Data(left) => usize::try_from(left).unwrap_or(usize::MAX),
            Expects::DataEnd | Expects::Size => 0,
            Expects::Trailers { .. } | Expects::Nothing { .. } => return None,
        };
        (room >= DIRECT_READ).then(|| room.min(sure.max(MAX_IN_PLACE)))
    }

    /// Takes the framing out of bytes that came. Returns how many bytes of the body are at the beginning then. What
    /// is not done with is put into the transport's buffer, which is empty.
    fn take_in_place(&mut self, transport: &mut Transport, bytes: &mut [u8]) -> usize {
        let pass = self.pass(InPlace(bytes));
        transport.buffers.put(&bytes[pass.consumed..]);
        pass.filled
    }

    /// One pass over the bytes that are here, up to the trailer section.
    #[inline(always)] // Once for each kind of ground.
    fn pass(&mut self, mut ground: impl Ground) -> Pass {
        let (mut consumed, mut filled) = (0, 0);
        let stopped = loop {
            let here = &ground.here()[consumed..];
            match self.expects {
                Expects::Size => match size_line(here) {
                    Ok(Some((line, size))) => {
                        consumed += line;
                        self.expects = match size {
                            0 => Expects::Trailers { seen: 0 },
                            size => Expects::Data(size),
                        };
                    }
                    Ok(None) => break Stopped::NeedsMore,
                    Err(why) => break Stopped::Wrong(why),
                },
                Expects::Data(_) if here.is_empty() => break Stopped::NeedsMore,
                Expects::Data(left) => {
                    let room = ground.room(filled);
                    if room == 0 {
                        break Stopped::Full;
                    }
                    let most = usize::try_from(left).unwrap_or(usize::MAX);
                    let size = here.len().min(room).min(most);
                    ground.take(consumed, size, filled);
                    consumed += size;
                    filled += size;
                    self.expects = after_data(left - size as u64);
                }
                Expects::DataEnd => match here {
                    [b'\r', b'\n', ..] => {
                        consumed += 2;
                        self.expects = Expects::Size;
                    }
                    [] | [b'\r'] => break Stopped::NeedsMore,
                    _ => break Stopped::Wrong("a chunk is longer than its size says"),
                },
                Expects::Trailers { .. } | Expects::Nothing { .. } => break Stopped::AtTrailers,
            }
        };
        Pass { consumed, filled, stopped }
    }

    /// Takes the trailer section, if it is here whole. Whether the body is over.
    #[inline(never)] // Once for a body.
    fn take_trailers(
        &mut self,
        transport: &mut Transport,
        exchange: &Exchange,
    ) -> Result<bool, &'static str> {
        let Expects::Trailers { seen } = self.expects else { return Ok(true) };
        let here = transport.buffers.unconsumed();
        let Some(size) = trailers(here, seen)? else {
            self.expects = Expects::Trailers { seen: here.len() };
            return Ok(false);
        };
        if size > EMPTY_LINE {
            exchange.shared().keep_trailers(&here[..size]);
        }
        transport.buffers.consume(size);
        self.expects = Expects::Nothing { cut: false };
        Ok(true)
    }
}

/// Bytes that came, and the place where those of the body go.
trait Ground {
    fn here(&self) -> &[u8];

    /// How much room is left behind the bytes of the body so far.
    fn room(&self, filled: usize) -> usize;

    /// Puts so many bytes from that place behind those of the body so far.
    fn take(&mut self, from: usize, size: usize, filled: usize);
}

/// They go into another buffer.
struct Apart<'a> {
    here: &'a [u8],
    into: &'a mut [u8],
}

impl Ground for Apart<'_> {
    #[inline(always)] // As for `pass`; so are the others.
    fn here(&self) -> &[u8] {
        self.here
    }

    #[inline(always)]
    fn room(&self, filled: usize) -> usize {
        self.into.len() - filled
    }

    #[inline(always)]
    fn take(&mut self, from: usize, size: usize, filled: usize) {
        let from = &self.here[from..from + size];
        let into = &mut self.into[filled..filled + size];
        match (from.first_chunk(), from.last_chunk()) {
            (Some(first), Some(last)) if size <= 2 * SHORT => {
                put_short(into, *first, *last);
            }
            _ => into.copy_from_slice(from),
        }
    }
}

/// They stay in the buffer that they came in.
struct InPlace<'a>(&'a mut [u8]);

impl Ground for InPlace<'_> {
    #[inline(always)]
    fn here(&self) -> &[u8] {
        self.0
    }

    /// No byte of the body comes before its place.
    #[inline(always)]
    fn room(&self, _: usize) -> usize {
        usize::MAX
    }

    #[inline(always)]
    fn take(&mut self, from: usize, size: usize, filled: usize) {
        if from == filled {
            return;
        }
        let source = &self.0[from..from + size];
        match (source.first_chunk(), source.last_chunk()) {
            (Some(&first), Some(&last)) if size <= 2 * SHORT => {
                put_short(&mut self.0[filled..filled + size], first, last);
            }
            _ => self.0.copy_within(from..from + size, filled),
        }
    }
}

/// Puts the data of a short chunk, of which these are the beginning and the end, without a call of memcpy.
#[inline(always)]
fn put_short(into: &mut [u8], first: [u8; SHORT], last: [u8; SHORT]) {
    if let Some(place) = into.first_chunk_mut() {
        *place = first;
    }
    if let Some(place) = into.last_chunk_mut() {
        *place = last;
    }
}

#[cold]
fn broken(why: &str) -> Stop {
    protocol_error(&format!("malformed response: the framing of the body is broken: {why}"))
}

fn after_data(left: u64) -> Expects {
    if left > 0 { Expects::Data(left) } else { Expects::DataEnd }
}

/// The line with a chunk's size, if it is here whole: its length, and the size.
#[inline(always)] // As for `pass`.
fn size_line(bytes: &[u8]) -> Result<Option<(usize, u64)>, &'static str> {
    let mut size = 0;
    // Most lines are a few digits and a line end.
    for (digits, byte) in bytes.iter().take(SHORT_SIZE).enumerate() {
        let value = HEX[usize::from(*byte)];
        if value < 16 {
            size = size << 4 | u64::from(value);
        } else if digits > 0 && bytes[digits..].starts_with(b"\r\n") {
            return Ok(Some((digits + 2, size)));
        } else {
            break;
        }
    }
    any_size_line(bytes)
}

/// As [`size_line`], for a line of any kind.
#[inline(never)] // Few lines are not of the short kind.
fn any_size_line(bytes: &[u8]) -> Result<Option<(usize, u64)>, &'static str> {
    let digits = bytes.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
    let mut size: u64 = 0;
    for digit in &bytes[..digits] {
        let shifted = size.checked_mul(16).ok_or("a chunk size is larger than 2^64")?;
        size = shifted + u64::from(HEX[usize::from(*digit)]);
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

/// The value of each hexadecimal digit, and [`NO_DIGIT`] for other bytes.
const HEX: [u8; 256] = {
    let mut values = [NO_DIGIT; 256];
    let mut value = 0;
    while value < 16 {
        values[b"0123456789abcdef"[value] as usize] = value as u8;
        values[b"0123456789ABCDEF"[value] as usize] = value as u8;
        value += 1;
    }
    values
};
const NO_DIGIT: u8 = u8::MAX;
/// So many digits never make a size that is too large.
const SHORT_SIZE: usize = 16;
/// Up to twice this, the data of a chunk is copied as its beginning and its end.
const SHORT: usize = 16;
/// Into a buffer of the caller's of this size and more the connection's bytes are read directly; a smaller one is
/// filled from ours, so that a caller who reads byte by byte does not make a system call for each.
const DIRECT_READ: usize = 16 * 1024;
/// How much is read directly when more than the rest of the chunk may come.
const MAX_IN_PLACE: usize = 256 * 1024;
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

    /// A body in chunks of these sizes, and its framing.
    fn chunked(sizes: &[usize]) -> (Vec<u8>, Vec<u8>) {
        let (mut body, mut wire) = (Vec::new(), Vec::new());
        for (number, size) in sizes.iter().enumerate() {
            let data: Vec<u8> = (0..*size).map(|at| (at * 7 + number) as u8).collect();
            let extension = if number % 5 == 4 { ";a=b" } else { "" };
            wire.extend_from_slice(format!("{size:x}{extension}\r\n").as_bytes());
            wire.extend_from_slice(&data);
            wire.extend_from_slice(b"\r\n");
            body.extend_from_slice(&data);
        }
        wire.extend_from_slice(b"0\r\n\r\n");
        (body, wire)
    }

    #[test]
    fn a_body_is_the_same_in_place_and_apart_however_it_is_cut() {
        let sizes: Vec<usize> =
            (1..70).chain([256, 1, 1000, 15, 16, 17, 31, 32, 33, 5000]).collect();
        let (body, wire) = chunked(&sizes);
        for cut in [1, 2, 3, 7, 16, 19, 64, 255, 1024, wire.len()] {
            for room in [1, 2, 15, 33, 700, wire.len()] {
                let mut decoder = ChunkedDecoder::new();
                let (mut got, mut here) = (Vec::new(), Vec::new());
                for piece in wire.chunks(cut) {
                    here.extend_from_slice(piece);
                    loop {
                        let mut into = vec![0; room];
                        let pass = decoder.pass(Apart { here: &here, into: &mut into });
                        got.extend_from_slice(&into[..pass.filled]);
                        here.drain(..pass.consumed);
                        if pass.stopped != Stopped::Full {
                            break;
                        }
                    }
                }
                assert_eq!(got, body, "apart, cut after {cut}, room for {room}");
                assert_eq!(
                    (decoder.expects, &here[..]),
                    (Expects::Trailers { seen: 0 }, &b"\r\n"[..])
                );
            }
            let mut decoder = ChunkedDecoder::new();
            let (mut got, mut here) = (Vec::new(), Vec::new());
            for piece in wire.chunks(cut) {
                here.extend_from_slice(piece);
                let pass = decoder.pass(InPlace(&mut here));
                got.extend_from_slice(&here[..pass.filled]);
                here.drain(..pass.consumed);
            }
            assert_eq!(got, body, "in place, cut after {cut}");
            assert_eq!((decoder.expects, &here[..]), (Expects::Trailers { seen: 0 }, &b"\r\n"[..]));
        }
    }

    #[test]
    fn what_comes_before_a_broken_line_is_taken_and_the_line_stays() {
        for (wire, body, rest) in [
            ("3\r\nabc\r\nx\r\n", "abc", "x\r\n"),
            ("3\r\nabcd", "abc", "d"),
            ("2\r\nab\r\n1\r\nc\r\n1\n", "abc", "1\n"),
        ] {
            let mut bytes = wire.as_bytes().to_vec();
            let mut decoder = ChunkedDecoder::new();
            let pass = decoder.pass(InPlace(&mut bytes));
            assert!(matches!(pass.stopped, Stopped::Wrong(_)), "{wire:?}");
            assert_eq!(&bytes[..pass.filled], body.as_bytes());
            assert_eq!(&bytes[pass.consumed..], rest.as_bytes());
            let again = decoder.pass(Apart { here: rest.as_bytes(), into: &mut [0; 9] });
            assert_eq!((again.stopped, again.filled), (pass.stopped, 0), "{wire:?}");
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
