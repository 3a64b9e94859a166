//! The file of a download that is not complete: `NAME.part` beside the file NAME that it will be, and
//! `NAME.part.state` beside that, which says what it is a part of.
//!
//! The state is written before the first byte, and replaced as a whole. A length in it was flushed to the disk. What
//! is beyond that length is relied on only as long as the system has not been started anew, because a file can
//! have its size before its bytes when the power fails. All of this blocks: on a fiber, workers do it.

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use super::digests::Digests;
use super::validator::Validator;
use crate::error::Error;
use crate::runtime::{is_file_at, open_or_create, sync_directory, try_lock};
use crate::vocabulary::Kind;

/// A download's file. While it lives, no other download writes to it. Threads: one at a time.
pub(super) struct Partial {
    file: File,
    target: PathBuf,
    part: PathBuf,
    state_path: PathBuf,
    /// What identifies the request.
    key: String,
    sync: bool,
    state: Option<State>,
    length: u64,
    synced: u64,
}

/// What it is a part of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct State {
    pub(super) validator: Validator,
    /// How long the whole is, if that is known.
    pub(super) total: Option<u64>,
}

impl Partial {
    /// Opens or creates it. `key` identifies the request; with another one, and without `resume`, it is empty.
    ///
    /// # Errors
    /// [`Kind::System`]; [`Kind::InvalidArgument`] for a path that is no file's; [`Kind::InvalidState`] if another
    /// download writes to it.
    pub(super) fn open(target: &Path, key: &str, resume: bool, sync: bool) -> Result<Self, Error> {
        let invalid = |why: &str| {
            let what = match target.as_os_str().is_empty() {
                true => format!("an empty path {why}"),
                false => format!("{} {why}", target.display()),
            };
            Error::new(Kind::InvalidArgument, what)
        };
        let name = target.file_name().ok_or_else(|| invalid("names no file"))?;
        let permissions = match fs::metadata(target) {
            Ok(facts) if facts.is_dir() => {
                return Err(invalid("is a directory; name the file that the download becomes"));
            }
            Ok(facts) if !facts.is_file() => {
                return Err(invalid("is no regular file; read the response, and write it there"));
            }
            Ok(facts) => Some(facts.permissions()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(cannot("replace", target, &error)),
        };
        let beside = |end: &str| {
            let mut name = name.to_owned();
            name.push(end);
            target.with_file_name(name)
        };
        let (part, state_path) = (beside(".part"), beside(".part.state"));
        let file = lock(&part)?;
        // A file that is replaced gives its permissions to the new one.
        if let Some(permissions) = permissions {
            file.set_permissions(permissions).map_err(|error| cannot("write", &part, &error))?;
        }
        let size = file.metadata().map_err(|error| cannot("read", &part, &error))?.len();
        let mut partial = Self {
            file,
            target: target.to_owned(),
            part,
            state_path,
            key: key.to_owned(),
            sync,
            state: None,
            length: 0,
            synced: 0,
        };
        let known = if resume && size > 0 { read_state(&partial.state_path, key) } else { None };
        match known {
            Some((state, trusted)) => {
                let length = size.min(trusted);
                partial.truncate(length)?;
                partial.state = Some(state);
                (partial.length, partial.synced) = (length, length);
            }
            None => partial.begin(None)?,
        }
        Ok(partial)
    }

    /// What it is a part of, if it can be continued.
    pub(super) fn state(&self) -> Option<&State> {
        self.state.as_ref().filter(|_| self.length > 0)
    }

    pub(super) fn length(&self) -> u64 {
        self.length
    }

    /// It is empty now, and will be a part of that.
    pub(super) fn begin(&mut self, state: Option<State>) -> Result<(), Error> {
        // In this order: a state is never beside bytes of something else.
        remove(&self.state_path)?;
        self.truncate(0)?;
        (self.length, self.synced) = (0, 0);
        self.state = state;
        self.write_state()
    }

    pub(super) fn append(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.file.write_all(bytes).map_err(|error| cannot("write", &self.part, &error))?;
        self.length += bytes.len() as u64;
        if self.sync && self.length - self.synced >= CHECKPOINT {
            self.keep()?;
        }
        Ok(())
    }

    /// Makes sure that what came is there after a power failure, if that is wanted.
    pub(super) fn keep(&mut self) -> Result<(), Error> {
        if self.state.is_some() && self.sync && self.synced < self.length {
            self.file.sync_data().map_err(|error| cannot("write", &self.part, &error))?;
            self.synced = self.length;
            self.write_state()?;
        }
        Ok(())
    }

    /// Adds all that is there to digests.
    pub(super) fn digest(&mut self, digests: &mut Digests) -> Result<(), Error> {
        let failed = |error: io::Error, part: &Path| cannot("read", part, &error);
        self.file.seek(SeekFrom::Start(0)).map_err(|error| failed(error, &self.part))?;
        let mut piece = vec![0; 256 * 1024];
        loop {
            match self.file.read(&mut piece) {
                Ok(0) => return Ok(()),
                Ok(got) => digests.update(&piece[..got]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(failed(error, &self.part)),
            }
        }
    }

    /// It is complete: it gets its name, in place of a file that has it.
    pub(super) fn finish(&mut self) -> Result<(), Error> {
        if self.sync {
            self.file.sync_all().map_err(|error| cannot("write", &self.part, &error))?;
        }
        fs::rename(&self.part, &self.target)
            .map_err(|error| cannot("replace", &self.target, &error))?;
        // The state is of no use now, and without its file it means nothing.
        let _ = remove(&self.state_path);
        if self.sync {
            sync_directory(&self.target).map_err(|error| cannot("write", &self.target, &error))?;
        }
        Ok(())
    }

    /// Nothing of it can be used.
    pub(super) fn discard(&mut self) {
        let _ = remove(&self.state_path);
        let _ = remove(&self.part);
    }

    fn truncate(&mut self, length: u64) -> Result<(), Error> {
        let cut = self.file.set_len(length).and_then(|()| self.file.seek(SeekFrom::Start(length)));
        cut.map(drop).map_err(|error| cannot("write", &self.part, &error))
    }

    /// Writes the state beside itself and renames it, so that it is never there in part.
    fn write_state(&self) -> Result<(), Error> {
        let Some(state) = &self.state else { return Ok(()) };
        let total = state.total.map_or("-".to_owned(), |total| total.to_string());
        let text = format!(
            "{HEAD}\nrequest {}\nvalidator {}\ntotal {total}\nflushed {}\nboot {}\n",
            self.key,
            state.validator.as_str(),
            self.synced,
            boot_id()
        );
        let mut new = self.state_path.clone();
        new.as_mut_os_string().push(".new");
        let write = || {
            let mut file = File::create(&new)?;
            file.write_all(text.as_bytes())?;
            if self.sync {
                file.sync_data()?;
            }
            fs::rename(&new, &self.state_path)
        };
        write().map_err(|error| cannot("write", &self.state_path, &error))
    }
}

/// Opens or creates the file, and locks it.
fn lock(part: &Path) -> Result<File, Error> {
    for _ in 0..10 {
        let file = open_or_create(part).map_err(|error| cannot("create", part, &error))?;
        let facts = file.metadata().map_err(|error| cannot("read", part, &error))?;
        if !facts.is_file() {
            let what = format!("{} is no regular file; remove it", part.display());
            return Err(Error::new(Kind::System, what));
        }
        if !try_lock(&file).map_err(|error| cannot("lock", part, &error))? {
            break;
        }
        // Another download may have renamed it between the two.
        if is_file_at(&file, part).map_err(|error| cannot("read", part, &error))? {
            return Ok(file);
        }
    }
    let what = format!("another download writes to {}; wait for its end", part.display());
    Err(Error::new(Kind::InvalidState, what))
}

/// The state, and how many bytes can be relied on, if it is one of that request.
fn read_state(path: &Path, key: &str) -> Option<(State, u64)> {
    let mut text = String::new();
    File::open(path).ok()?.take(MAX_STATE).read_to_string(&mut text).ok()?;
    let mut lines = text.lines();
    if lines.next() != Some(HEAD) || !text.ends_with('\n') {
        return None;
    }
    let mut value = |name: &str| lines.next()?.strip_prefix(name)?.strip_prefix(' ');
    let of_request = value("request")? == key;
    let validator = Validator::parse(value("validator")?)?;
    let total = value("total")?;
    let total = if total == "-" { None } else { Some(total.parse().ok()?) };
    let flushed = value("flushed")?.parse().ok()?;
    let boot = value("boot")?;
    let same_boot = !boot.is_empty() && boot == boot_id();
    of_request.then_some((State { validator, total }, if same_boot { u64::MAX } else { flushed }))
}

/// What differs each time when the system is started; empty if that is not known.
fn boot_id() -> String {
    let id = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    id.trim().to_owned()
}

fn remove(path: &Path) -> Result<(), Error> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(cannot("remove", path, &error))
        }
        _ => Ok(()),
    }
}

fn cannot(what: &str, path: &Path, error: &io::Error) -> Error {
    Error::from_os(Kind::System, &format!("can't {what} {}", path.display()), error)
}

const HEAD: &str = "hangup download 1";
/// A validator of 1 KiB, and the rest.
const MAX_STATE: u64 = 4 * 1024;
/// After so many bytes the file is flushed.
const CHECKPOINT: u64 = 64 * 1024 * 1024;
