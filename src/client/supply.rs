//! What the body of a request is made from, for each attempt anew. It knows whether there can be
//! another one: bytes and files can be read again, a reader only if nobody read from it.

use std::path::PathBuf;
use std::sync::Arc;

use crate::error::Error;
use crate::foreign::ForeignBytes;
use crate::http::request_body::{self, Slow, Upload};
use crate::http::sent_file::SentFile;
use crate::request::{Source, sent_before};

/// The source of one call's body. A reader is dropped with it, once. Threads: one at a time.
pub(super) enum Supply {
    None,
    Bytes(Arc<[u8]>),
    Shared(Arc<ForeignBytes>),
    File(PathBuf),
    Reader { reader: Option<Slow>, length: Option<u64>, touched: bool },
}

/// The body for one attempt, and how long it is if that is known.
pub(super) struct Opened<'a> {
    bytes: Bytes<'a>,
    pub(super) length: Option<u64>,
}

enum Bytes<'a> {
    None,
    Slice(&'a [u8]),
    Small(Vec<u8>),
    File(Option<Slow>),
    Reader(&'a mut Option<Slow>, &'a mut bool),
}

impl Supply {
    /// Takes what the request has; a reader is taken for good.
    pub(super) fn of(source: &mut Source) -> Result<Self, Error> {
        Ok(match source {
            Source::None => Self::None,
            Source::Bytes(bytes) => Self::Bytes(Arc::clone(bytes)),
            Source::Shared(bytes) => Self::Shared(Arc::clone(bytes)),
            Source::File(path) => Self::File(path.clone()),
            Source::Reader(reader, length) => {
                let reader = reader.take().ok_or_else(sent_before)?;
                Self::Reader { reader: Some(Box::new(reader)), length: *length, touched: false }
            }
        })
    }

    pub(super) fn is_some(&self) -> bool {
        !matches!(self, Self::None)
    }

    /// Whether it can be read from its beginning (still, or again).
    pub(super) fn is_whole(&self) -> bool {
        !matches!(self, Self::Reader { touched: true, .. })
    }

    /// The body from its beginning, or none if `wanted` says so.
    pub(super) fn open(&mut self, wanted: bool) -> Result<Opened<'_>, Error> {
        let (bytes, length) = match self {
            _ if !wanted => (Bytes::None, Some(0)),
            Self::None => (Bytes::None, Some(0)),
            Self::Bytes(bytes) => (Bytes::Slice(bytes), Some(bytes.len() as u64)),
            Self::Shared(bytes) => {
                let bytes = (**bytes).as_ref();
                (Bytes::Slice(bytes), Some(bytes.len() as u64))
            }
            Self::File(path) => match SentFile::open(path)? {
                SentFile::Small(bytes) => {
                    let length = bytes.len() as u64;
                    (Bytes::Small(bytes), Some(length))
                }
                SentFile::Large(file, length) => (Bytes::File(Some(file)), length),
            },
            Self::Reader { reader, length, touched } => (Bytes::Reader(reader, touched), *length),
        };
        Ok(Opened { bytes, length })
    }
}

impl Opened<'_> {
    pub(super) fn upload(&mut self) -> Upload<'_> {
        let source = match &mut self.bytes {
            Bytes::None => request_body::Source::Memory(&[]),
            Bytes::Slice(bytes) => request_body::Source::Memory(bytes),
            Bytes::Small(bytes) => request_body::Source::Memory(bytes),
            Bytes::File(file) => request_body::Source::File(file),
            Bytes::Reader(reader, touched) => request_body::Source::Reader(reader, touched),
        };
        Upload::new(source, self.length)
    }
}
