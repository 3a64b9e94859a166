//! A netrc file: a user and a password for each host. The format is that of ftp(1); as curl and Python have it, `#`
//! begins a comment where a keyword could stand, and a value may be in double quotes.

use std::fmt;
use std::io::Read;
use std::path::{Path, PathBuf};

use crate::error::Error;
use crate::secret::Secret;
use crate::vocabulary::Kind;

/// The entries of a file. Threads: immutable.
#[derive(Default, PartialEq, Eq)]
pub(super) struct Netrc {
    entries: Vec<Entry>,
}

/// What stands behind one `machine`, or behind `default`.
#[derive(Default, PartialEq, Eq)]
struct Entry {
    /// In lower case; `None` is `default`.
    machine: Option<String>,
    login: Option<Secret<String>>,
    password: Option<Secret<String>>,
}

impl Netrc {
    /// Reads a file. `None` is the file that the environment variable NETRC names, or else `.netrc` in the home
    /// directory; if that one does not exist, there are no entries.
    ///
    /// # Errors
    /// [`Kind::System`] if it can't be read, [`Kind::InvalidArgument`] if it is malformed.
    pub(super) fn read(path: Option<&Path>) -> Result<Self, Error> {
        let (path, is_default) = match path {
            Some(path) => (path.to_owned(), false),
            None => match default_path() {
                Some(path) => (path, true),
                None => return Ok(Self::default()),
            },
        };
        let failed = |error: &std::io::Error| {
            let what = format!("can't read the netrc file {}", path.display());
            Error::from_os(Kind::System, &what, error)
        };
        let file = match std::fs::File::open(&path) {
            Ok(file) => file,
            Err(error) if is_default && error.kind() == std::io::ErrorKind::NotFound => {
                return Ok(Self::default());
            }
            Err(error) => return Err(failed(&error)),
        };
        let mut bytes = Vec::new();
        file.take(MAX_SIZE + 1).read_to_end(&mut bytes).map_err(|error| failed(&error))?;
        let bad = |why: &str| {
            let what = format!("{} is no netrc file: {why}", path.display());
            Error::new(Kind::InvalidArgument, what)
        };
        if bytes.len() as u64 > MAX_SIZE {
            return Err(bad("it has more than a million bytes"));
        }
        let text = std::str::from_utf8(&bytes).map_err(|_| bad("it is not UTF-8"))?;
        let netrc = Self::parse(text).map_err(|line| {
            bad(&format!(
                "line {line} has something else than machine, default, login, password, account or macdef \
                 with its value"
            ))
        })?;
        if netrc.entries.iter().any(|entry| !entry.is_sendable()) {
            return Err(bad(
                "a login has a colon, or a login or password a control character, which Basic credentials can't have \
                 (RFC 7617 section 2)",
            ));
        }
        Ok(netrc)
    }

    /// Parses the text. The error is the number of the line that can't be understood: its words may be secrets.
    fn parse(text: &str) -> Result<Self, usize> {
        let mut words = Words { rest: text, line: 1 };
        let mut entries: Vec<Entry> = Vec::new();
        while let Some(keyword) = words.keyword() {
            let line = words.line;
            let mut value = || words.word().ok_or(line);
            match keyword {
                "machine" => {
                    let machine = Some(value()?.to_ascii_lowercase());
                    entries.push(Entry { machine, ..Entry::default() });
                }
                "default" => entries.push(Entry::default()),
                "login" | "user" => {
                    entries.last_mut().ok_or(line)?.login = Some(Secret::new(value()?));
                }
                "password" | "passwd" => {
                    entries.last_mut().ok_or(line)?.password = Some(Secret::new(value()?));
                }
                "account" => drop(value()?),
                "macdef" => words.skip_macro(),
                _ => return Err(line),
            }
        }
        Ok(Self { entries })
    }

    /// The user and the password for a host: those of the first `machine` with that name, or else of `default`.
    pub(super) fn of(&self, host: &str) -> Option<(&str, &str)> {
        let is_of = |entry: &&Entry| entry.machine.as_deref() == Some(host);
        let mut entries = self.entries.iter();
        let entry =
            entries.clone().find(is_of).or_else(|| entries.find(|e| e.machine.is_none()))?;
        let login = entry.login.as_ref()?.reveal();
        Some((login, entry.password.as_ref().map_or("", |password| password.reveal())))
    }
}

impl Entry {
    /// Whether Basic credentials can have its login and password.
    fn is_sendable(&self) -> bool {
        let text = |secret: &Option<Secret<String>>, bad: fn(char) -> bool| {
            secret.as_ref().is_none_or(|secret| !secret.reveal().contains(bad))
        };
        text(&self.login, |c| c == ':' || c.is_control()) && text(&self.password, char::is_control)
    }
}

/// Names and passwords are secrets.
impl fmt::Debug for Netrc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} entries", self.entries.len())
    }
}

fn default_path() -> Option<PathBuf> {
    let variable = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
    variable("NETRC")
        .map(PathBuf::from)
        .or_else(|| Some(Path::new(&variable("HOME")?).join(".netrc")))
}

/// What is left of the text.
struct Words<'a> {
    rest: &'a str,
    line: usize,
}

impl<'a> Words<'a> {
    fn skip_blanks(&mut self) {
        let rest = self.rest.trim_start();
        self.pass(self.rest.len() - rest.len());
    }

    fn pass(&mut self, bytes: usize) {
        let (passed, rest) = self.rest.split_at(bytes);
        self.line += passed.matches('\n').count();
        self.rest = rest;
    }

    fn plain(&mut self) -> &'a str {
        let end = self.rest.find(char::is_whitespace).unwrap_or(self.rest.len());
        let word = &self.rest[..end];
        self.pass(end);
        word
    }

    /// The next word that is not a comment; `None` at the end.
    fn keyword(&mut self) -> Option<&'a str> {
        loop {
            self.skip_blanks();
            if !self.rest.starts_with('#') {
                break;
            }
            self.pass(self.rest.find('\n').unwrap_or(self.rest.len()));
        }
        Some(self.plain()).filter(|word| !word.is_empty())
    }

    /// A value, which may be in double quotes with backslashes before quotes and backslashes.
    fn word(&mut self) -> Option<String> {
        self.skip_blanks();
        if !self.rest.starts_with('"') {
            return Some(self.plain().to_owned()).filter(|word| !word.is_empty());
        }
        let mut value = String::new();
        let mut letters = self.rest.char_indices().skip(1);
        while let Some((at, letter)) = letters.next() {
            match letter {
                '"' => {
                    self.pass(at + 1);
                    return Some(value);
                }
                '\\' => value.push(letters.next()?.1),
                letter => value.push(letter),
            }
        }
        None
    }

    /// A macro ends with an empty line.
    fn skip_macro(&mut self) {
        let end = self.rest.find("\n\n").map_or(self.rest.len(), |at| at + 2);
        self.pass(end);
    }
}

const MAX_SIZE: u64 = 1_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "\
# a comment
machine example.org login alice password s3cret
machine API.example
    login \"bob \\\"b\\\"\"
    password #hash account x # not part of it
macdef init
cd /pub
mget *

default login anonymous password guest@
";

    #[test]
    fn the_first_entry_of_a_host_counts() {
        let netrc = Netrc::parse(TEXT).unwrap();
        assert_eq!(netrc.of("example.org"), Some(("alice", "s3cret")));
        assert_eq!(netrc.of("api.example"), Some(("bob \"b\"", "#hash")));
        assert_eq!(netrc.of("other.example"), Some(("anonymous", "guest@")));
        assert_eq!(Netrc::parse("machine a login b").unwrap().of("a"), Some(("b", "")));
        assert_eq!(Netrc::parse("machine a password b").unwrap().of("a"), None);
        assert_eq!(Netrc::parse("machine a login b").unwrap().of("b.a"), None);
        assert_eq!(format!("{netrc:?}"), "3 entries");
    }

    #[test]
    fn a_malformed_file_is_refused_by_its_line() {
        for (text, line) in [
            ("login a", 1),
            ("machine a\nlogin", 2),
            ("machine a\n\nsecret", 3),
            ("machine", 1),
            ("machine a login \"open", 1),
        ] {
            assert_eq!(Netrc::parse(text), Err(line), "{text:?}");
        }
        assert_eq!(Netrc::parse(""), Ok(Netrc::default()));
    }

    #[test]
    fn logins_that_basic_credentials_cannot_have_are_found() {
        let sendable = |text: &str| Netrc::parse(text).unwrap().entries[0].is_sendable();
        assert!(sendable("machine a login b password c:d"));
        assert!(!sendable("machine a login b:c password d"));
        assert!(!sendable("machine a login b password \"c\u{7}\""));
        assert!(!sendable("machine a login \"b\u{7}\""));
    }

    #[test]
    fn a_file_that_is_named_must_exist() {
        let error = Netrc::read(Some(Path::new("/no/such/netrc"))).unwrap_err();
        assert_eq!(error.kind(), Kind::System);
        assert!(error.message().contains("/no/such/netrc"));
    }
}
