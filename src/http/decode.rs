//! Content codings undone (RFC 9110 section 8.4) over a body as it comes: gzip, deflate, br and zstd, as far as
//! they are compiled in.
//!
//! Errors of the body below come through unchanged; a broken coding is a protocol error. The framing ends
//! the body, not the coding: only when nothing is left of the body is it over, and its connection free.
//! Only what the caller reads is decoded, so a compression bomb can't exhaust memory.
//!
//! A decoder may consume a lot of input for little or no output: empty gzip members, empty blocks.
//! Every decoder takes its input through a [`Feed`], which bounds that work, and between two pieces
//! checks whether the exchange was ended and yields to other fibers. The connection is held until
//! the decoding is over, so that a cancel, a close and a shutdown reach the exchange until then.

use std::io::{self, Read};

use http::header::CONTENT_ENCODING;

use super::codings::{Coding, Decoded};
use super::response_body::IncomingBody;
use crate::error::Error;
use crate::response_head::RawHead;
use crate::runtime::yield_if_due;
use crate::vocabulary::Kind;

/// The body of a response as the caller reads it. Threads: one at a time.
pub(crate) enum Content {
    /// As it comes.
    Plain(Box<IncomingBody>),
    /// Decoded.
    Decoded(Box<Decoder>),
}

/// Threads: one at a time.
pub(crate) struct Decoder {
    top: Stage,
    begun: bool,
    over: bool,
}

/// One coding over what is beneath it, the wire at the bottom.
enum Stage {
    Wire(Wire),
    Coded(Decoded<Feed>),
}

/// What a decoder takes its input through. It accounts for the work: each byte of input costs one,
/// each byte of output earns some, and a decoder without credit gets no more.
struct Feed {
    stage: Box<Stage>,
    rate: Rate,
    /// Below zero after a piece that was larger.
    credit: i64,
}

/// How much input a decoder may consume.
#[derive(Clone, Copy)]
struct Rate {
    /// Without any output; also the most that output can earn.
    free: i64,
    /// For each byte of output.
    earned: i64,
}

struct Wire {
    body: Box<IncomingBody>,
    got_any: bool,
}

impl Content {
    /// The body of a response with that head, decoded if that is possible. `most`: how many codings are
    /// allowed; `None` decodes nothing.
    ///
    /// # Errors
    /// [`Kind::Protocol`] for more codings.
    pub(crate) fn begin(
        body: Box<IncomingBody>,
        head: &RawHead,
        most: Option<u32>,
    ) -> Result<Self, Error> {
        let Some(most) = most.filter(|_| !body.is_over()) else {
            return Ok(Self::Plain(body));
        };
        // A part of a compressed body can't be decoded by itself.
        let codings =
            if head.status == 206 { None } else { codings(head.values(&CONTENT_ENCODING)) };
        let Some(codings) = codings.filter(|codings| !codings.is_empty()) else {
            return Ok(Self::Plain(body));
        };
        Self::decoded(body, &codings, most)
    }

    #[inline(never)] // A plain body does not need its frame.
    fn decoded(mut body: Box<IncomingBody>, codings: &[Coding], most: u32) -> Result<Self, Error> {
        if codings.len() as u64 > u64::from(most) {
            let what = format!(
                "the body has {} content codings, one over the other; {most} are allowed",
                codings.len()
            );
            return Err(body.refuse(Error::new(Kind::Protocol, what)));
        }
        body.hold();
        let mut top = Stage::Wire(Wire { body, got_any: false });
        // The last one was applied last.
        for coding in codings.iter().rev() {
            top = Stage::Coded(Decoded::new(coding.decoder(), Feed::new(top)));
        }
        Ok(Self::Decoded(Box::new(Decoder { top, begun: false, over: false })))
    }

    /// From here on the body is read as it comes. `false` if some of it was decoded already.
    pub(crate) fn leave_coded(self) -> (Self, bool) {
        match self {
            Self::Decoded(decoder) if !decoder.begun => {
                let mut body = decoder.top.into_wire().body;
                // Nothing was read, so that there is no end to let go of.
                let _ = body.let_go();
                (Self::Plain(body), true)
            }
            Self::Decoded(decoder) => (Self::Decoded(decoder), false),
            Self::Plain(body) => (Self::Plain(body), true),
        }
    }

    /// A piece: at least one byte, or 0 for the end.
    pub(crate) fn read(&mut self, into: &mut [u8]) -> Result<usize, Error> {
        match self {
            Self::Plain(body) => body.read(into),
            Self::Decoded(decoder) => decoder.read(into),
        }
    }

    /// Reads what is here already; `None` if nothing is, or if that can't be known without a wait, as of a coding.
    /// Doesn't wait.
    pub(crate) fn read_here(&mut self, into: &mut [u8]) -> Result<Option<usize>, Error> {
        match self {
            Self::Plain(body) => body.read_here(into),
            Self::Decoded(_) => Ok(None),
        }
    }

    /// Whether more of it may be here after a read that was shorter than its room: over TLS, which gives it in records.
    pub(crate) fn may_hold_more(&mut self) -> bool {
        match self {
            Self::Plain(body) => body.may_hold_more(),
            Self::Decoded(_) => false,
        }
    }

    /// Whether it comes as it is on the wire. Then a read only writes to its buffer, which need not be initialised.
    pub(crate) fn is_plain(&self) -> bool {
        matches!(self, Self::Plain(_))
    }

    /// How much is left of it, if that is known.
    pub(crate) fn left(&self) -> Option<u64> {
        match self {
            Self::Plain(body) => body.left(),
            Self::Decoded(_) => None,
        }
    }

    /// Whether it is known that nothing of it is left.
    pub(crate) fn is_over(&self) -> bool {
        match self {
            Self::Plain(body) => body.is_over(),
            Self::Decoded(decoder) => decoder.over,
        }
    }

    pub(crate) fn body(&self) -> &IncomingBody {
        match self {
            Self::Plain(body) => body,
            Self::Decoded(decoder) => &decoder.top.wire().body,
        }
    }

    pub(crate) fn body_mut(&mut self) -> &mut IncomingBody {
        match self {
            Self::Plain(body) => body,
            Self::Decoded(decoder) => &mut decoder.top.wire_mut().body,
        }
    }
}

impl Decoder {
    fn read(&mut self, into: &mut [u8]) -> Result<usize, Error> {
        // Bytes may be here already, but an exchange that was ended has none to give.
        self.top.wire_mut().body.check()?;
        if self.over {
            return Ok(0);
        }
        self.begun = true;
        // A large buffer is filled from few bytes: other fibers get a turn in between.
        let size = into.len().min(MAX_STEP);
        let error = match self.top.read(&mut into[..size]) {
            Ok(got) => {
                yield_if_due();
                return if got == 0 { self.end() } else { Ok(got) };
            }
            Err(error) => error,
        };
        let what = match error.downcast::<Error>() {
            Ok(from_the_wire) => return Err(from_the_wire),
            Err(other) if other.kind() == io::ErrorKind::UnexpectedEof => {
                if !self.top.wire().got_any {
                    // A body of no bytes, coded by not being there.
                    return self.end();
                }
                "truncated: the content coding of the body does not end".to_owned()
            }
            Err(other) => format!("malformed response: the content coding of the body: {other}"),
        };
        Err(self.top.wire_mut().body.refuse(Error::new(Kind::Protocol, what)))
    }

    /// Everything is decoded: the connection is free.
    fn end(&mut self) -> Result<usize, Error> {
        self.over = true;
        self.top.wire_mut().body.let_go().map(|()| 0)
    }
}

impl Stage {
    fn wire(&self) -> &Wire {
        match self {
            Self::Wire(wire) => wire,
            Self::Coded(coded) => coded.input().stage.wire(),
        }
    }

    fn wire_mut(&mut self) -> &mut Wire {
        match self {
            Self::Wire(wire) => wire,
            Self::Coded(coded) => coded.input_mut().stage.wire_mut(),
        }
    }

    fn into_wire(self) -> Wire {
        match self {
            Self::Wire(wire) => wire,
            Self::Coded(coded) => coded.into_input().stage.into_wire(),
        }
    }
}

impl Feed {
    fn new(stage: Stage) -> Self {
        let rate = if matches!(stage, Stage::Wire(_)) { OF_THE_WIRE } else { OF_A_CODING };
        Self { stage: Box::new(stage), rate, credit: rate.free }
    }

    /// The decoder made output from what it got.
    fn earn(&mut self, output: usize) {
        let output = i64::try_from(output).unwrap_or(i64::MAX);
        let earned = self.rate.earned.saturating_mul(output);
        self.credit = self.credit.saturating_add(earned).min(self.rate.free);
    }
}

impl Read for Feed {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        // A decoder that always finds input never waits, and only a wait notices a cancel or a timeout.
        yield_if_due();
        self.stage.wire_mut().body.check_during_work().map_err(io::Error::other)?;
        if self.credit <= 0 {
            let what = format!(
                "{} bytes and more of it decode to next to nothing, such as empty gzip members",
                self.rate.free
            );
            return Err(io::Error::other(what));
        }
        let got = self.stage.read(into)?;
        self.credit = self.credit.saturating_sub(i64::try_from(got).unwrap_or(i64::MAX));
        Ok(got)
    }
}

impl Read for Stage {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Wire(wire) => wire.read(into),
            Self::Coded(coded) => {
                // It reads on to the end of its input.
                let got = coded.read(into)?;
                coded.input_mut().earn(got);
                Ok(got)
            }
        }
    }
}

impl Read for Wire {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let got = self.body.read(into).map_err(io::Error::other)?;
        self.got_any |= got > 0;
        Ok(got)
    }
}

/// The codings of a body in the order in which they were applied; `None` if one is not known here.
fn codings(values: impl Iterator<Item = impl AsRef<[u8]>>) -> Option<Vec<Coding>> {
    let mut codings = Vec::new();
    for value in values {
        for coding in value.as_ref().split(|byte| *byte == b',').map(<[u8]>::trim_ascii) {
            match coding.to_ascii_lowercase().as_slice() {
                b"identity" | b"" => {}
                name => codings.push(Coding::named(name)?),
            }
        }
    }
    Some(codings)
}

/// How much output is decoded in one step.
const MAX_STEP: usize = 64 * 1024;
/// Codings one over the other, unless the client allows more: each multiplies by a thousand what a
/// byte of the wire can cost.
pub(crate) const CODINGS: u32 = 2;
/// Input from the wire costs the peer as much as it costs us. A gzip member of one byte has 21, and
/// a stream that is kept alive by empty blocks of 5 bytes lives for days.
const OF_THE_WIRE: Rate = Rate { free: 1024 * 1024, earned: 32 };
/// Input that was decoded itself may come from a thousandth of it, and costs the peer nothing. No
/// compressor makes a body twice as large.
const OF_A_CODING: Rate = Rate { free: 256 * 1024, earned: 2 };

#[cfg(all(test, feature = "gzip", feature = "brotli", feature = "zstd"))]
mod tests {
    use super::*;

    #[test]
    fn codings_are_read_in_the_order_in_which_they_were_applied() {
        let of = |values: &[&str]| codings(values.iter());
        assert_eq!(of(&[]), Some(vec![]));
        assert_eq!(of(&["identity"]), Some(vec![]));
        assert_eq!(of(&["X-GZIP , deflate"]), Some(vec![Coding::Gzip, Coding::Deflate]));
        assert_eq!(of(&["deflate", "gzip"]), Some(vec![Coding::Deflate, Coding::Gzip]));
        assert_eq!(of(&["zstd", "br"]), Some(vec![Coding::Zstd, Coding::Brotli]));
        assert_eq!(of(&["gzip, compress"]), None);
    }
}
