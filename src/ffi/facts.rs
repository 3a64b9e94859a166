//! `hangup_connection_facts`: what is known of a connection from its dial on, also after it was closed.

use std::ffi::{CString, c_char};
use std::mem::offset_of;

use super::guard::{Report, report};
use crate::error::Error;
use crate::net::facts::ConnectionFacts;
use crate::vocabulary::Kind;

/// The addresses of a connection, and what TLS agreed on. Initialise it with HANGUP_CONNECTION_FACTS_INIT. Its strings are
/// borrowed from the response or the list that was asked. TLS is that with the origin: TLS with a proxy does not count.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct hangup_connection_facts {
    /// In: sizeof the structure; 0 is its layout in version 0.1. Out: how much of it was filled.
    pub size: usize,
    /// The id of the connection.
    pub id: u64,
    /// The address and port of the peer, for example "127.0.0.1:8080": of the origin, or of the proxy if there is one. "" for a
    /// Unix-domain socket.
    pub peer: *const c_char,
    /// The local address and port; "" for a Unix-domain socket.
    pub local: *const c_char,
    /// "TLSv1.2" or "TLSv1.3"; "" without TLS.
    pub tls_version: *const c_char,
    /// The cipher suite by its name in the IANA registry, for example "TLS_AES_128_GCM_SHA256"; "" without TLS.
    pub cipher: *const c_char,
    /// The key exchange by its name in the IANA registry of TLS groups, for example "X25519"; "" without TLS, and if a session of
    /// TLS 1.2 was resumed.
    pub key_exchange: *const c_char,
    /// The protocol that ALPN (RFC 7301) selected, for example "http/1.1"; "" if none was.
    pub alpn: *const c_char,
    /// How many certificates the peer sent; after a resumption, those of the session that was resumed.
    pub certificate_count: usize,
    /// 1 if the TLS handshake resumed an earlier session, else 0.
    pub resumed: i32,
    /// 1 if there is TLS with the origin, else 0.
    pub is_tls: i32,
}

// SAFETY: `repr(C)`, `size` first, and no padding: the fields of 64 bits come before pairs of 32.
unsafe impl Report for hangup_connection_facts {
    const FIRST: usize = offset_of!(hangup_connection_facts, is_tls) + size_of::<i32>();
}

/// The texts of the facts as C wants them. Threads: immutable.
#[derive(Debug)]
pub(super) struct FactsTexts {
    peer: CString,
    local: CString,
    tls_version: CString,
    cipher: CString,
    key_exchange: CString,
    alpn: CString,
}

impl FactsTexts {
    pub(super) fn of(facts: &ConnectionFacts) -> Self {
        let c = |text: &str| CString::new(text).unwrap_or_default();
        let address = |address: Option<std::net::SocketAddr>| {
            c(&address.map_or(String::new(), |address| address.to_string()))
        };
        let tls = facts.tls.as_ref();
        Self {
            peer: address(facts.peer),
            local: address(facts.local),
            tls_version: c(tls.map_or("", |tls| tls.version)),
            cipher: c(tls.map_or("", |tls| &tls.cipher)),
            key_exchange: c(tls.map_or("", |tls| &tls.key_exchange)),
            alpn: c(tls.map_or("", |tls| &tls.alpn)),
        }
    }

    /// Fills the structure of the caller.
    ///
    /// # Safety
    /// As for [`report`].
    pub(super) unsafe fn report(
        &self,
        facts: &ConnectionFacts,
        place: *mut hangup_connection_facts,
    ) -> Result<(), Error> {
        let tls = facts.tls.as_ref();
        let filled = hangup_connection_facts {
            size: size_of::<hangup_connection_facts>(),
            id: facts.id,
            peer: self.peer.as_ptr(),
            local: self.local.as_ptr(),
            tls_version: self.tls_version.as_ptr(),
            cipher: self.cipher.as_ptr(),
            key_exchange: self.key_exchange.as_ptr(),
            alpn: self.alpn.as_ptr(),
            certificate_count: tls.map_or(0, |tls| tls.certificates.len()),
            resumed: i32::from(tls.is_some_and(|tls| tls.resumed)),
            is_tls: i32::from(tls.is_some()),
        };
        // SAFETY: as for the caller.
        unsafe { report(place, filled) }
    }
}

/// Certificate number `index`, DER.
pub(super) fn certificate(facts: &ConnectionFacts, index: usize) -> Result<&[u8], Error> {
    let all = facts.tls.as_ref().map_or(&[][..], |tls| &tls.certificates);
    all.get(index).map(Vec::as_slice).ok_or_else(|| {
        Error::new(Kind::InvalidArgument, format!("certificate {index} of {}", all.len()))
    })
}
