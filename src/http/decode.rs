//! Content codings undone (RFC 9110 section 8.4): gzip and deflate, over a body as it comes.
//!
//! What the wire says comes through unchanged; what a coding breaks is a protocol error. The end
//! is the framing's, not the coding's: only when nothing is left of the body is it over, and its
//! connection free. Nothing is decoded that was not asked for, so a bomb goes off in the caller's
//! hands, piece by piece.

use std::io::{self, BufRead, BufReader, Read};

use flate2::bufread::MultiGzDecoder;
use flate2::{Decompress, FlushDecompress, Status};
use http::header;

use super::exchange::Reader;
use crate::error::{Error, Kind};
use crate::wait::take_turns;

/// The body of a response as it is handed out. Threads: one at a time.
pub(crate) enum Content {
    /// As it comes.
    Plain(Box<Reader>),
    /// What its codings hide.
    Decoded(Box<Decoder>),
}

/// Threads: one at a time.
pub(crate) struct Decoder {
    top: Stage,
    over: bool,
}

/// A coding that can be undone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Coding {
    Gzip,
    Deflate,
}

type Input = BufReader<Box<Stage>>;

/// One coding over what is beneath it, the wire at the bottom.
enum Stage {
    Wire(Wire),
    Gzip(MultiGzDecoder<Input>),
    Deflate(Deflate),
}

struct Wire {
    reader: Box<Reader>,
    /// Nobody reads while decoders are put together: the body may take its time.
    begun: bool,
    got_any: bool,
}

/// "deflate" is the zlib format (RFC 9110 section 8.4.1.2), and without its wrapper from servers
/// that took the name at its word.
struct Deflate {
    input: Input,
    inflate: Option<Decompress>,
    over: bool,
}

impl Content {
    /// The body of that response, decoded if that is wanted and possible.
    ///
    /// # Errors
    /// [`Kind::Protocol`] for more codings than anybody would use in good faith.
    pub(crate) fn begin(reader: Box<Reader>, wanted: bool) -> Result<Self, Error> {
        if !wanted || reader.is_over() {
            return Ok(Self::Plain(reader));
        }
        let Some(head) = reader.exchange().head() else { return Ok(Self::Plain(reader)) };
        // A part of a compressed body can't be decoded by itself.
        let codings = if head.status == 206 { None } else { codings(head.fields()) };
        let Some(codings) = codings.filter(|codings| !codings.is_empty()) else {
            return Ok(Self::Plain(reader));
        };
        Self::decoded(reader, &codings)
    }

    #[inline(never)] // A plain body has no need of its frame.
    fn decoded(mut reader: Box<Reader>, codings: &[Coding]) -> Result<Self, Error> {
        if codings.len() > MOST {
            let what =
                format!("the body has {} content codings, one over the other", codings.len());
            return Err(reader.refuse(Error::new(Kind::Protocol, what)));
        }
        let mut top = Stage::Wire(Wire { reader, begun: false, got_any: false });
        // The last one was applied last.
        for coding in codings.iter().rev() {
            let input = BufReader::with_capacity(PIECE, Box::new(top));
            top = match coding {
                Coding::Gzip => Stage::Gzip(MultiGzDecoder::new(input)),
                Coding::Deflate => Stage::Deflate(Deflate { input, inflate: None, over: false }),
            };
        }
        top.wire_mut().begun = true;
        Ok(Self::Decoded(Box::new(Decoder { top, over: false })))
    }

    /// A piece: at least one byte, or 0 for the end.
    pub(crate) fn read(&mut self, into: &mut [u8]) -> Result<usize, Error> {
        match self {
            Self::Plain(reader) => reader.read(into),
            Self::Decoded(decoder) => decoder.read(into),
        }
    }

    /// How much is left of it, if that is known.
    pub(crate) fn left(&self) -> Option<u64> {
        match self {
            Self::Plain(reader) => reader.left(),
            Self::Decoded(_) => None,
        }
    }

    /// Whether it is known that nothing of it is left.
    pub(crate) fn is_over(&self) -> bool {
        match self {
            Self::Plain(reader) => reader.is_over(),
            Self::Decoded(decoder) => decoder.over,
        }
    }

    pub(crate) fn reader(&self) -> &Reader {
        match self {
            Self::Plain(reader) => reader,
            Self::Decoded(decoder) => &decoder.top.wire().reader,
        }
    }

    pub(crate) fn reader_mut(&mut self) -> &mut Reader {
        match self {
            Self::Plain(reader) => reader,
            Self::Decoded(decoder) => &mut decoder.top.wire_mut().reader,
        }
    }
}

impl Decoder {
    fn read(&mut self, into: &mut [u8]) -> Result<usize, Error> {
        // Bytes may be here already, but an exchange that was ended has none to give.
        self.top.wire_mut().reader.go_on()?;
        if self.over {
            return Ok(0);
        }
        // A large buffer is filled from few bytes: others may want their turn in between.
        let size = into.len().min(AT_ONCE);
        let error = match self.top.read(&mut into[..size]) {
            Ok(got) => {
                take_turns();
                self.over = got == 0;
                return Ok(got);
            }
            Err(error) => error,
        };
        let what = match error.downcast::<Error>() {
            Ok(from_the_wire) => return Err(from_the_wire),
            Err(other) if other.kind() == io::ErrorKind::UnexpectedEof => {
                if !self.top.wire().got_any {
                    // A body of no bytes, coded by not being there.
                    self.over = true;
                    return Ok(0);
                }
                "truncated: the content coding of the body does not end".to_owned()
            }
            Err(other) => format!("malformed response: the content coding of the body: {other}"),
        };
        Err(self.top.wire_mut().reader.refuse(Error::new(Kind::Protocol, what)))
    }
}

impl Stage {
    fn wire(&self) -> &Wire {
        match self {
            Self::Wire(wire) => wire,
            Self::Gzip(gzip) => gzip.get_ref().get_ref().wire(),
            Self::Deflate(deflate) => deflate.input.get_ref().wire(),
        }
    }

    fn wire_mut(&mut self) -> &mut Wire {
        match self {
            Self::Wire(wire) => wire,
            Self::Gzip(gzip) => gzip.get_mut().get_mut().wire_mut(),
            Self::Deflate(deflate) => deflate.input.get_mut().wire_mut(),
        }
    }
}

impl Read for Stage {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Wire(wire) => wire.read(into),
            // It reads on to the end of its input, and takes nothing there but another member.
            Self::Gzip(gzip) => gzip.read(into),
            Self::Deflate(deflate) => deflate.read(into),
        }
    }
}

impl Read for Wire {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if !self.begun {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let got = self.reader.read(into).map_err(io::Error::other)?;
        self.got_any |= got > 0;
        Ok(got)
    }
}

impl Read for Deflate {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        loop {
            let bytes = self.input.fill_buf()?;
            let at_end = bytes.is_empty();
            if self.over {
                let behind = || io::Error::other("bytes behind its end");
                return if at_end { Ok(0) } else { Err(behind()) };
            }
            if self.inflate.is_none() {
                let first = bytes.first().ok_or(io::ErrorKind::UnexpectedEof)?;
                // A zlib header names method 8 (RFC 1950 section 2.2); a deflate stream that begins
                // with these bits would be a stored block with padding that nobody writes.
                self.inflate = Some(Decompress::new(first & 0x0f == 8));
            }
            let Some(inflate) = &mut self.inflate else { continue };
            // At the end of the input there may still be output that found no room before.
            let flush = if at_end { FlushDecompress::Finish } else { FlushDecompress::None };
            let (read, wrote) = (inflate.total_in(), inflate.total_out());
            let status = inflate.decompress(bytes, into, flush);
            let (read, wrote) = (inflate.total_in() - read, inflate.total_out() - wrote);
            self.input.consume(usize::try_from(read).unwrap_or(usize::MAX));
            let corrupt = || io::Error::other("corrupt deflate stream");
            self.over = status.map_err(|_| corrupt())? == Status::StreamEnd;
            if wrote > 0 {
                return Ok(usize::try_from(wrote).unwrap_or(into.len()));
            }
            if read == 0 && !self.over {
                return Err(if at_end { io::ErrorKind::UnexpectedEof.into() } else { corrupt() });
            }
        }
    }
}

/// The codings of a body in the order in which they were applied; `None` if one is not known here.
fn codings(fields: &[(header::HeaderName, Vec<u8>)]) -> Option<Vec<Coding>> {
    let mut codings = Vec::new();
    for (_, value) in fields.iter().filter(|(name, _)| *name == header::CONTENT_ENCODING) {
        for coding in value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii) {
            match coding.to_ascii_lowercase().as_slice() {
                b"gzip" | b"x-gzip" => codings.push(Coding::Gzip),
                b"deflate" => codings.push(Coding::Deflate),
                b"identity" | b"" => {}
                _ => return None,
            }
        }
    }
    Some(codings)
}

/// What is decoded at once.
const AT_ONCE: usize = 64 * 1024;
/// What is taken from the wire at once.
const PIECE: usize = 8 * 1024;
/// Codings one over the other: each multiplies what a byte can cost.
const MOST: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codings_are_read_in_the_order_in_which_they_were_applied() {
        let of = |values: &[&str]| {
            let field = |value: &&str| (header::CONTENT_ENCODING, value.as_bytes().to_vec());
            codings(&values.iter().map(field).collect::<Vec<_>>())
        };
        assert_eq!(of(&[]), Some(vec![]));
        assert_eq!(of(&["identity"]), Some(vec![]));
        assert_eq!(of(&["X-GZIP , deflate"]), Some(vec![Coding::Gzip, Coding::Deflate]));
        assert_eq!(of(&["deflate", "gzip"]), Some(vec![Coding::Deflate, Coding::Gzip]));
        assert_eq!(of(&["gzip, br"]), None);
    }
}
