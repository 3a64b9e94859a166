//! A body as a whole, in one vector: read without clearing its memory first, and into memory of an earlier body where that
//! came back. It knows nothing of who reads.
//!
//! A false Content-Length must not make us allocate: capacity is address space, and its pages become memory when bytes are
//! put there. So the room is not cleared, which would also cost a pass over it.

#![allow(unsafe_code)] // Memory that is not cleared.

use crate::error::Error;
use crate::http::decode::Content;
use crate::spare_memory;
use crate::vocabulary::{Kind, Phase, Sent};

/// The most bytes of a whole body, and what says so.
#[derive(Clone, Copy)]
pub(super) struct Bound {
    pub(super) bytes: usize,
    pub(super) of: &'static str,
}

/// The rest of a body, at most so many bytes.
pub(super) fn read_to_end(content: &mut Content, bound: Bound) -> Result<Vec<u8>, Error> {
    let at_most = bound.bytes;
    let expected = content.left().and_then(|left| usize::try_from(left).ok());
    if expected.is_some_and(|size| size > at_most) {
        return Err(too_large(content, bound));
    }
    let mut whole = room_for(expected.unwrap_or(0).min(MAX_RESERVE));
    loop {
        let size = whole.len();
        if content.is_over() {
            return content.read(&mut [0]).map(|_| whole);
        }
        if size == at_most || expected == Some(size) {
            // Full: reading one more byte shows whether that was all.
            return match content.read(&mut [0])? {
                0 => Ok(whole),
                _ => Err(too_large(content, bound)),
            };
        }
        if size == whole.capacity() {
            // It doubles.
            whole.reserve(size.clamp(FIRST_STEP, MAX_STEP).min(at_most - size));
        }
        if read_more(content, &mut whole, at_most - size)? == 0 {
            return Ok(whole);
        }
    }
}

/// Reads a piece of at most `most` bytes into what is left of the capacity, which is not empty; 0 is the end.
pub(super) fn read_more(
    content: &mut Content,
    whole: &mut Vec<u8>,
    most: usize,
) -> Result<usize, Error> {
    let size = whole.len();
    if !content.is_plain() {
        // A decoder may read from its output, which therefore has to be initialised.
        let room = (whole.capacity() - size).min(most).min(DECODED_STEP);
        whole.resize(size + room, 0);
        let got = content.read(&mut whole[size..]);
        whole.truncate(size + *got.as_ref().unwrap_or(&0));
        return got;
    }
    let read = |into: &mut [u8]| content.read(into).map(Some);
    Ok(read_into_spare(whole, most, read)?.unwrap_or_default())
}

/// [`read_more`] of what is here already; `None` if nothing is. Doesn't wait.
pub(super) fn read_here(
    content: &mut Content,
    whole: &mut Vec<u8>,
    most: usize,
) -> Result<Option<usize>, Error> {
    if !content.is_plain() {
        return Ok(None);
    }
    read_into_spare(whole, most, |into| content.read_here(into))
}

/// Reads content that is not decoded into what is left of the capacity, at most so much.
fn read_into_spare(
    whole: &mut Vec<u8>,
    most: usize,
    read: impl FnOnce(&mut [u8]) -> Result<Option<usize>, Error>,
) -> Result<Option<usize>, Error> {
    let size = whole.len();
    let spare = whole.spare_capacity_mut();
    let room = spare.len().min(most);
    // SAFETY: the memory belongs to the vector, nothing else refers to it during the call, and every value of a byte is
    // valid. It is not initialised, and what reads a body that is not decoded only writes there: by recv(2), by the copy out of
    // TLS, or by the copy out of our buffer (`Transport::read_body`). The decoder of chunks and a trace look at nothing but what
    // was just written.
    let into = unsafe { std::slice::from_raw_parts_mut(spare.as_mut_ptr().cast::<u8>(), room) };
    let Some(got) = read(into)? else { return Ok(None) };
    assert!(got <= room, "a read of {room} bytes returned {got}");
    // SAFETY: within the capacity, and the read has written that many bytes.
    unsafe { whole.set_len(size + got) };
    Ok(Some(got))
}

/// The error of a body that is larger than the bound. The connection is closed.
pub(super) fn too_large(content: &mut Content, Bound { bytes, of }: Bound) -> Error {
    let info = content.body().info();
    content.body_mut().close();
    let what = format!(
        "the body is larger than the {bytes} bytes that {of} allows; read it in pieces, or raise that bound"
    );
    content
        .body()
        .shared()
        .describe(Error::new(Kind::TooLarge, what))
        .in_phase(Phase::Read)
        .on_connection(info.connection, info.reused)
        .after_sending(Sent::All, info.bytes_sent, true)
        .after_attempts(info.attempt)
}

/// An empty vector with that capacity at least, if there is memory for it.
pub(super) fn room_for(size: usize) -> Vec<u8> {
    if let Some(kept) = spare_memory::take(size) {
        return kept;
    }
    let mut whole = Vec::new();
    // Without success it grows with what arrives.
    let _ = whole.try_reserve_exact(size);
    whole
}

const FIRST_STEP: usize = 8 * 1024;
/// How much is decoded at once.
const DECODED_STEP: usize = 64 * 1024;
const MAX_STEP: usize = 64 * 1024 * 1024;
const MAX_RESERVE: usize = 256 * 1024 * 1024;
