//! A file that is sent as a body: how long it is, as far as that can be known.
//!
//! The size in fstat(2) can be wrong: it is 0 for files in /proc, a page for files in sysfs, and out of date
//! for a file that is being written. So a small file is read to its end before its length is announced, and
//! a large one must end at the size that was announced.

use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::path::Path;

use crate::caller_reader::{SlowRead, SlowReader};
use crate::error::Error;
use crate::runtime::{WorkerPool, open_without_waiting, read_without_waiting, run_on_worker};
use crate::vocabulary::Kind;

/// What is sent of a file. Threads: a value.
pub(crate) enum SentFile {
    /// All of it.
    Small(Vec<u8>),
    /// A reader of it, and its length if that is known.
    Large(SlowReader, Option<u64>),
}

impl SentFile {
    /// Opens the file and finds out its length; on a fiber, a worker does that.
    pub(crate) fn open(path: &Path) -> Result<Self, Error> {
        run_on_worker(&DISKS, || Self::begin(path))
    }

    fn begin(path: &Path) -> Result<Self, Error> {
        let (mut file, size) = open(path)?;
        if size > SMALL {
            return Ok(Self::Large(Box::new(Exactly { file, size, left: size }), Some(size)));
        }
        let mut first = Vec::new();
        let read = file.by_ref().take(SMALL + 1).read_to_end(&mut first);
        read.map_err(|error| cannot_read(path, &error))?;
        if first.len() as u64 <= SMALL {
            return Ok(Self::Small(first));
        }
        Ok(Self::Large(Box::new(io::Cursor::new(first).chain(file)), None))
    }
}

/// A regular file, and its size according to fstat(2). It never waits: other kinds of files may make open(2)
/// wait for a peer (fifo(7)), and read(2) for bytes.
pub(crate) fn open(path: &Path) -> Result<(File, u64), Error> {
    // Opening a FIFO would release a writer that waits for a reader, and opening a device may have any
    // effect.
    regular(path, std::fs::metadata(path))?;
    let file = open_without_waiting(path).map_err(|error| cannot_read(path, &error))?;
    // By now it may be another one.
    let size = regular(path, file.metadata())?.len();
    Ok((file, size))
}

fn regular(path: &Path, facts: io::Result<Metadata>) -> Result<Metadata, Error> {
    let facts = facts.map_err(|error| cannot_read(path, &error))?;
    if !facts.is_file() {
        return Err(Error::new(Kind::System, format!("{} is no regular file", path.display())));
    }
    Ok(facts)
}

fn cannot_read(path: &Path, error: &io::Error) -> Error {
    Error::from_os(Kind::System, &format!("can't read {}", path.display()), error)
}

/// A file that must end at the size that was announced: before its last piece is returned, a read checks
/// that nothing follows. The reader of the body notices a file that is shorter.
struct Exactly {
    file: File,
    size: u64,
    left: u64,
}

impl Read for Exactly {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let got = self.file.read(into)?;
        let more = match self.left.checked_sub(got as u64) {
            Some(left) => {
                self.left = left;
                left == 0 && got > 0 && has_more(&mut self.file)?
            }
            None => true,
        };
        if more {
            let size = self.size;
            let what = format!("the file grew while it was sent: it had {size} bytes before");
            return Err(io::Error::other(what));
        }
        Ok(got)
    }
}

impl SlowRead for Exactly {
    /// All but the last piece, whose end is checked.
    fn read_here(&mut self, into: &mut [u8]) -> Option<usize> {
        if self.left <= into.len() as u64 {
            return None;
        }
        let got = read_without_waiting(&self.file, into).filter(|got| *got > 0)?;
        self.left -= got as u64;
        Some(got)
    }
}

impl SlowRead for io::Chain<io::Cursor<Vec<u8>>, File> {}

/// Whether one more byte can be read.
fn has_more(file: &mut File) -> io::Result<bool> {
    loop {
        match file.read(&mut [0]) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            read => return read.map(|got| got > 0),
        }
    }
}

pub(super) static DISKS: WorkerPool = WorkerPool::for_blocking("hangup-file");
/// What is read before its length is announced.
const SMALL: u64 = 64 * 1024;
