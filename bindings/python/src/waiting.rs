//! What was submitted and has not come back: who waits for which tag.
//!
//! A tag is a place in a table and how often that place was given away before, so that a late word about
//! one exchange never reaches the next.

use pyo3::prelude::*;
use pyo3::types::PyString;

use crate::handle::Owned;
use crate::response::Response;
use crate::sys::*;
use crate::upload::Raised;

/// One submitted thing.
pub struct Waiting {
    /// None: nobody waits any more.
    pub future: Option<Py<PyAny>>,
    pub work: Work,
}

pub enum Work {
    /// An exchange, up to its head or to the body's end.
    Exchange {
        token: Owned<hangup_cancel>,
        raised: Option<Raised>,
        asked: (Py<PyString>, Py<PyString>),
        whole: bool,
    },
    /// A piece of a body. The response lives as long as it is read.
    Read(Py<Response>),
}

/// The table.
#[derive(Default)]
pub struct Table {
    places: Vec<Place>,
    free: Vec<u32>,
}

#[derive(Default)]
struct Place {
    given: u32,
    waiting: Option<Waiting>,
}

impl Table {
    /// A place for what is to be submitted now, and its tag.
    pub fn put(&mut self, waiting: Waiting) -> u64 {
        let at = self.free.pop().unwrap_or_else(|| {
            self.places.push(Place::default());
            self.places.len() as u32 - 1
        });
        let place = &mut self.places[at as usize];
        place.waiting = Some(waiting);
        u64::from(place.given) << 32 | u64::from(at)
    }

    /// What stands behind a tag, and the end of that tag.
    pub fn take(&mut self, tag: u64) -> Option<Waiting> {
        let waiting = self.place(tag)?.waiting.take()?;
        self.places[tag as u32 as usize].given += 1;
        self.free.push(tag as u32);
        Some(waiting)
    }

    /// What stands behind a tag.
    pub fn get(&mut self, tag: u64) -> Option<&mut Waiting> {
        self.place(tag)?.waiting.as_mut()
    }

    pub fn all(&self) -> impl Iterator<Item = &Waiting> {
        self.places.iter().filter_map(|place| place.waiting.as_ref())
    }

    pub fn is_empty(&self) -> bool {
        self.free.len() == self.places.len()
    }

    fn place(&mut self, tag: u64) -> Option<&mut Place> {
        let place = self.places.get_mut(tag as u32 as usize)?;
        (u64::from(place.given) == tag >> 32).then_some(place)
    }
}
