//! Writes the secrets of TLS sessions to a file, for programs that decrypt captured traffic, such as Wireshark. Only
//! where it was asked for.

use std::fmt::{self, Write as _};
use std::fs::File;
use std::hash::{Hash, Hasher};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use rustls::KeyLog;

use crate::error::Error;
use crate::net::sys::append_to_private;
use crate::sync::lock;
use crate::vocabulary::Kind;

/// A file of secrets in the NSS key log format, which is appended to. Equal paths are equal. Threads: any thread at any
/// time.
pub(crate) struct KeyLogFile {
    path: PathBuf,
    file: Mutex<File>,
}

impl KeyLogFile {
    /// Opens the file, or creates it so that only its owner can read it.
    pub(super) fn open(path: &Path) -> Result<Self, Error> {
        let file = append_to_private(path).map_err(|error| {
            let what = format!("can't write TLS secrets to {}", path.display());
            Error::from_os(Kind::System, &what, &error)
        })?;
        Ok(Self { path: path.to_owned(), file: Mutex::new(file) })
    }
}

impl KeyLog for KeyLogFile {
    fn log(&self, label: &str, client_random: &[u8], secret: &[u8]) {
        let hex = |bytes: &[u8]| {
            bytes.iter().fold(String::new(), |mut text, byte| {
                let _ = write!(text, "{byte:02x}");
                text
            })
        };
        let line = format!("{label} {} {}\n", hex(client_random), hex(secret));
        // One write for each line, so that several processes may write to the same file. A full disk must not end
        // connections.
        let _ = lock(&self.file).write_all(line.as_bytes());
    }
}

impl PartialEq for KeyLogFile {
    fn eq(&self, other: &Self) -> bool {
        self.path == other.path
    }
}

impl Eq for KeyLogFile {}

impl Hash for KeyLogFile {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.path.hash(state);
    }
}

impl fmt::Debug for KeyLogFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyLogFile({})", self.path.display())
    }
}
