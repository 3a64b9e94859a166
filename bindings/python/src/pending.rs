//! The table of submitted work: which future waits for which tag.
//!
//! A tag is an index into the table and the number of times that this entry was used before, so that a late
//! call about one exchange never reaches the next one with the same index.

use pyo3::prelude::*;
use pyo3::types::PyString;

use crate::handle::Owned;
use crate::pushed::BodyWriter;
use crate::response::Response;
use crate::stream::Stream;
use crate::sys::*;
use crate::upload::BodyException;

/// Submitted work whose completion has not arrived.
pub struct Pending {
    /// `None` after [`Port::forget`](crate::port::Port): the completion is dropped.
    pub future: Option<Py<PyAny>>,
    pub kind: PendingKind,
}

pub enum PendingKind {
    /// An exchange, up to its head, or up to the end of its body if `buffered`.
    Exchange {
        token: Owned<hangup_cancel>,
        body_exception: Option<BodyException>,
        /// Method and URL, for the response or the exception.
        request: (Py<PyString>, Py<PyString>),
        buffered: bool,
    },
    /// One read of a body. This share keeps the response alive during the read.
    Read(Py<Response>),
    /// One read of a stream.
    StreamRead(Py<Stream>),
    /// One write to a stream.
    StreamWrite(Py<Stream>),
    /// One write to the body of a request.
    UploadWrite(Py<BodyWriter>),
}

#[derive(Default)]
pub struct Table {
    entries: Vec<Entry>,
    free: Vec<u32>,
}

#[derive(Default)]
struct Entry {
    uses: u32,
    pending: Option<Pending>,
}

impl Table {
    /// Stores `pending` and returns its tag.
    pub fn insert(&mut self, pending: Pending) -> u64 {
        let index = self.free.pop().unwrap_or_else(|| {
            self.entries.push(Entry::default());
            self.entries.len() as u32 - 1
        });
        let entry = &mut self.entries[index as usize];
        entry.pending = Some(pending);
        u64::from(entry.uses) << 32 | u64::from(index)
    }

    /// Removes the work with this tag. The tag is never valid again.
    pub fn remove(&mut self, tag: u64) -> Option<Pending> {
        let entry = self.entry(tag)?;
        let pending = entry.pending.take()?;
        entry.uses += 1;
        self.free.push(tag as u32);
        Some(pending)
    }

    pub fn get_mut(&mut self, tag: u64) -> Option<&mut Pending> {
        self.entry(tag)?.pending.as_mut()
    }

    pub fn iter(&self) -> impl Iterator<Item = &Pending> {
        self.entries.iter().filter_map(|entry| entry.pending.as_ref())
    }

    pub fn is_empty(&self) -> bool {
        self.free.len() == self.entries.len()
    }

    fn entry(&mut self, tag: u64) -> Option<&mut Entry> {
        let entry = self.entries.get_mut(tag as u32 as usize)?;
        (u64::from(entry.uses) == tag >> 32).then_some(entry)
    }
}
