//! One layer of TLS: rustls, and a bound on what a peer may send through it without any data.
//!
//! Session tickets and key updates (RFC 8446 section 4.6) are legal at any time, and nothing in TLS
//! bounds their number. A reader that takes them in a row would never return.

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
}

impl TlsLayer {
    pub(super) fn new(tls: ClientConnection) -> Self {
        Self { tls, without_data: 0, request_begin: 0 }
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
        !matches!(held, Err(error) if error.kind() == io::ErrorKind::WouldBlock)
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

/// A few session tickets, of which each may hold a chain of certificates, and a record that is not
/// whole yet (RFC 8446 sections 4.6.1 and 5.1: at most 64 KiB a ticket, 16 KiB a record).
const MAX_WITHOUT_DATA: usize = 256 * 1024;
