//! A reader of the caller's: dropped where code of others may run, and read where
//! [`Upload`](crate::http::upload::Upload) sees to that. It may block for as long as it likes and
//! take what stack it likes.

use std::io::{self, Read};
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::wait::{Crew, apart_now};

/// Threads: one at a time.
pub(crate) struct Foreign(Option<Box<dyn Read + Send>>);

impl Foreign {
    pub(crate) fn new(reader: impl Read + Send + 'static) -> Self {
        Self(Some(Box::new(reader)))
    }
}

impl Read for Foreign {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        match &mut self.0 {
            Some(reader) => reader.read(into),
            None => Ok(0),
        }
    }
}

impl Drop for Foreign {
    fn drop(&mut self) {
        let Some(reader) = self.0.take() else { return };
        // A panic in a drop has nowhere to go.
        let _ = catch_unwind(AssertUnwindSafe(|| apart_now(&ENDS, || drop(reader))));
    }
}

static ENDS: Crew = Crew::new("hangup-upload-end", 4);
