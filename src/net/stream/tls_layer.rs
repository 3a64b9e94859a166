//! One layer of TLS: rustls, and a bound on what a peer may send through it without any data.
//!
//! Session tickets and key updates (RFC 8446 section 4.6) are legal at any time, and nothing in TLS
//! bounds their number. A reader that takes them in a row would never return.

use std::cell::Cell;
use std::io::{self, BufRead, Read};
use std::ops::{Deref, DerefMut};

use rustls::ClientConnection;

/// Threads: one at a time.
#[derive(Debug)]
pub(super) struct TlsLayer {
    tls: ClientConnection,
    /// Bytes that came since data came last.
    without_data: usize,
    /// How many bytes of the connection had been written when its current request began.
    request_begin: u64,
    /// What is wrong with a record. The data that came before it is read first.
    failure: Option<Box<rustls::Error>>,
}

impl TlsLayer {
    pub(super) fn new(tls: ClientConnection) -> Self {
        Self { tls, without_data: 0, request_begin: 0, failure: None }
    }

    /// Decrypts what was taken in. The data before a broken record is read first, then
    /// [`take_failure`](Self::take_failure) returns what is wrong with it.
    pub(super) fn process_after_data(&mut self, got: usize) {
        if let Err(error) = self.process(got) {
            self.failure = Some(Box::new(error));
        }
    }

    /// What was wrong with a record, when the data before it was read.
    #[inline]
    pub(super) fn take_failure(&mut self) -> Option<rustls::Error> {
        self.failure.take().map(|error| *error)
    }

    /// Takes several records in at once, and reads their data, of which none was left: one system call for 64 KiB, where
    /// rustls would be given one record. `into` has [`ROOM_FOR_RECORDS`], so that no bytes are kept between two calls.
    #[inline(never)]
    pub(super) fn read_records(
        &mut self,
        wire: &mut dyn Read,
        into: &mut [u8],
    ) -> io::Result<usize> {
        // A record that had begun is completed by the first bytes.
        let size = into.len().saturating_sub(LARGEST_RECORD).min(RECORDS);
        let spare = SPARE.take();
        let is_spare = spare.is_some();
        let mut buffer = spare.unwrap_or_else(|| vec![0; RECORDS].into());
        let Some(room) = buffer.get_mut(..size) else { return Ok(0) };
        let got = match wire.read(room) {
            Ok(got) => got,
            Err(error) => {
                SPARE.set(Some(buffer).filter(|_| is_spare));
                return Err(error);
            }
        };
        let outcome = match room.get(..got) {
            Some(records) if got > 0 => self.decrypt(records, into),
            // An end of the stream.
            _ => self.tls.read_tls(&mut io::empty()).inspect(|&end| self.process_after_data(end)),
        };
        if got >= LARGEST_RECORD {
            // More follows, most likely; after a small read the memory is given back.
            SPARE.set(Some(buffer));
        }
        outcome
    }

    fn decrypt(&mut self, mut records: &[u8], into: &mut [u8]) -> io::Result<usize> {
        let mut filled = 0;
        while !records.is_empty() {
            let took = self.tls.read_tls(&mut records)?;
            if took == 0 {
                // The peer has ended this layer (RFC 8446 section 6.1): what follows is ignored.
                break;
            }
            self.process_after_data(took);
            let room = into.get_mut(filled..).unwrap_or_default();
            filled += self.read_plaintext(room).unwrap_or_default();
            if self.failure.is_some() {
                break;
            }
        }
        Ok(filled)
    }

    /// What is written from here on belongs to the next request.
    pub(super) fn begin_request(&mut self, written: u64) {
        self.request_begin = written;
    }

    /// See [`begin_request`](Self::begin_request).
    pub(super) fn request_begin(&self) -> u64 {
        self.request_begin
    }

    /// Reads data that was decrypted. `WouldBlock` if there is none.
    pub(super) fn read_plaintext(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let got = self.tls.reader().read(into)?;
        self.without_data = 0;
        Ok(got)
    }

    /// Decrypts what `read_tls` has just taken in.
    pub(super) fn process(&mut self, got: usize) -> Result<(), rustls::Error> {
        self.without_data += got;
        if self.without_data > MAX_WITHOUT_DATA && !self.tls.is_handshaking() {
            let what = format!(
                "the peer sent more than {MAX_WITHOUT_DATA} bytes without any data; report it to the operator of the server"
            );
            return Err(rustls::Error::General(what));
        }
        self.tls.process_new_packets().map(drop)
    }

    /// Whether data was decrypted and not read, or the peer has ended this layer.
    pub(super) fn holds_plaintext(&mut self) -> bool {
        let held = self.tls.reader().fill_buf().map(drop);
        self.failure.is_some()
            || !matches!(held, Err(error) if error.kind() == io::ErrorKind::WouldBlock)
    }
}

impl Deref for TlsLayer {
    type Target = ClientConnection;

    fn deref(&self) -> &ClientConnection {
        &self.tls
    }
}

impl DerefMut for TlsLayer {
    fn deref_mut(&mut self) -> &mut ClientConnection {
        &mut self.tls
    }
}

thread_local! {
    /// Where the records of the next read come, of a thread whose last read was large.
    static SPARE: Cell<Option<Box<[u8]>>> = const { Cell::new(None) };
}

/// How many bytes are received at once.
const RECORDS: usize = 64 * 1024;
/// A record of TLS with the largest expansion (RFC 5246 section 6.2.3).
const LARGEST_RECORD: usize = 5 + (16 + 2) * 1024;
/// From how much room on several records are received at once.
pub(super) const ROOM_FOR_RECORDS: usize = 56 * 1024;
/// A few session tickets, of which each may hold a chain of certificates, and a record that is not
/// whole yet (RFC 8446 sections 4.6.1 and 5.1: at most 64 KiB a ticket, 16 KiB a record).
const MAX_WITHOUT_DATA: usize = 256 * 1024;
