//! What the body of a request is made from, for each attempt anew. It knows whether there can be
//! another one: bytes and files can be read again, a reader only if nobody read from it.

use std::fs::File;
use std::io::{self, Read};
use std::path::PathBuf;
use std::sync::Arc;

use crate::error::Error;
use crate::foreign::Foreign;
use crate::http::upload::{Origin, Upload};
use crate::request::{Source, open, sent_before};

/// The source of one call's body. A reader is dropped with it, once. Threads: one at a time.
pub(super) enum Supply {
    None,
    Bytes(Arc<[u8]>),
    File(PathBuf),
    Reader { reader: Foreign, length: Option<u64>, touched: bool },
}

/// The body for one attempt, and how long it is if that is known.
pub(super) struct Opened<'a> {
    bytes: Bytes<'a>,
    pub(super) length: Option<u64>,
}

enum Bytes<'a> {
    None,
    Slice(&'a [u8]),
    File(File),
    Reader(&'a mut Foreign, &'a mut bool),
}

impl Supply {
    /// Takes what the request has; a reader is taken for good.
    pub(super) fn of(source: &mut Source) -> Result<Self, Error> {
        Ok(match source {
            Source::None => Self::None,
            Source::Bytes(bytes) => Self::Bytes(Arc::clone(bytes)),
            Source::File(path) => Self::File(path.clone()),
            Source::Reader(reader, length) => {
                let reader = reader.take().ok_or_else(sent_before)?;
                Self::Reader { reader, length: *length, touched: false }
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
            Self::File(path) => {
                let (file, length) = open(path)?;
                (Bytes::File(file), Some(length))
            }
            Self::Reader { reader, length, touched } => (Bytes::Reader(reader, touched), *length),
        };
        Ok(Opened { bytes, length })
    }
}

impl Opened<'_> {
    pub(super) fn upload(&mut self) -> Upload<'_> {
        let origin = match self.bytes {
            Bytes::None | Bytes::Slice(_) => Origin::Memory,
            Bytes::File(_) => Origin::Disk,
            Bytes::Reader(..) => Origin::Caller,
        };
        let length = self.length;
        Upload::new(self, length, origin)
    }
}

impl Read for Opened<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        match &mut self.bytes {
            Bytes::None => Ok(0),
            Bytes::Slice(bytes) => bytes.read(into),
            Bytes::File(file) => file.read(into),
            Bytes::Reader(reader, touched) => {
                **touched = true;
                reader.read(into)
            }
        }
    }
}
