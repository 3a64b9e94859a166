//! A watch over many descriptors: each is added once, and is reported when input or an end has come. No task waits for
//! that. To ask costs as much as has happened, however many descriptors are watched (epoll(7), edge-triggered).

use std::fmt;
use std::io;
use std::time::Duration;

use mio::{Events, Poll};

use super::sys::{self, Descriptor};
use crate::sync::{Mutex, lock};

/// Threads: any thread at any time. It is of the process that made it.
pub(crate) struct InputWatch(Mutex<Option<(Poll, Events)>>);

impl InputWatch {
    pub(crate) fn open() -> io::Result<Self> {
        Ok(Self(Mutex::new(Some((Poll::new()?, Events::with_capacity(MAX_REPORTS))))))
    }

    /// Closes its descriptor, for the child of a fork: threads of the parent, which are not there, may have shares of it.
    /// If one of them was inside a call, the descriptor stays open, unused.
    pub(crate) fn close(&self) {
        if let Ok(mut inner) = self.0.try_lock() {
            *inner = None;
        }
    }

    /// Adds a descriptor that is open, until it is closed. What it holds already is reported, too.
    pub(crate) fn add(&self, descriptor: Descriptor, token: u64) -> io::Result<()> {
        let token = usize::try_from(token).map_err(io::Error::other)?;
        match &*lock(&self.0) {
            Some((poll, _)) => sys::register_input(poll.registry(), descriptor, token),
            None => Err(io::ErrorKind::NotConnected.into()),
        }
    }

    /// The tokens of some descriptors on which something came since they were reported last, and was not read; and
    /// whether there may be more of them. Does not wait.
    pub(crate) fn take_reports(&self) -> (Vec<u64>, bool) {
        let mut inner = lock(&self.0);
        let Some((poll, events)) = &mut *inner else { return (Vec::new(), false) };
        // No error of epoll_wait(2) takes an event away.
        if poll.poll(events, Some(Duration::ZERO)).is_err() {
            events.clear();
        }
        let tokens: Vec<u64> = events.iter().map(|event| event.token().0 as u64).collect();
        let is_full = tokens.len() == MAX_REPORTS;
        (tokens, is_full)
    }
}

impl fmt::Debug for InputWatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InputWatch").finish_non_exhaustive()
    }
}

/// How many reports are taken at once.
const MAX_REPORTS: usize = 256;

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::os::unix::net::UnixStream;

    use super::*;

    fn reports(watch: &InputWatch) -> Vec<u64> {
        let mut all = Vec::new();
        loop {
            let (some, more) = watch.take_reports();
            all.extend(some);
            if !more {
                all.sort_unstable();
                return all;
            }
        }
    }

    #[test]
    fn what_comes_is_reported_once_and_what_was_read_is_not() {
        let watch = InputWatch::open().unwrap();
        let mut pairs: Vec<_> = (0..3).map(|_| UnixStream::pair().unwrap()).collect();
        // What came before is reported as well.
        pairs[0].1.write_all(b"a").unwrap();
        for (token, pair) in pairs.iter().enumerate() {
            watch.add(Descriptor::of(&pair.0), token as u64).unwrap();
        }
        assert_eq!(reports(&watch), [0]);
        assert!(reports(&watch).is_empty(), "reported once");
        pairs[0].1.write_all(b"b").unwrap();
        pairs[1].1.write_all(b"c").unwrap();
        pairs[2].1.shutdown(std::net::Shutdown::Write).unwrap();
        pairs[1].0.read_exact(&mut [0]).unwrap();
        assert_eq!(reports(&watch), [0, 2], "what was read meanwhile is no report");
        pairs.remove(0);
        assert!(reports(&watch).is_empty(), "it was closed");
        let (_here, there) = pairs.remove(0);
        drop(there);
        assert_eq!(reports(&watch), [1], "an end is a report");
    }

    #[test]
    fn more_reports_than_are_taken_at_once_are_all_taken() {
        let watch = InputWatch::open().unwrap();
        let pairs: Vec<_> = (0..300).map(|_| UnixStream::pair().unwrap()).collect();
        for (token, pair) in pairs.iter().enumerate() {
            watch.add(Descriptor::of(&pair.0), token as u64).unwrap();
            (&pair.1).write_all(b"x").unwrap();
        }
        assert_eq!(reports(&watch), (0..300).collect::<Vec<u64>>());
        assert!(watch.add(Descriptor::of(&pairs[0].0), 7).is_err(), "it is there already");
        assert!(watch.add(Descriptor::NONE, 7).is_err());
    }
}
