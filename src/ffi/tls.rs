//! Whom a client trusts, and who it says it is.

use std::ffi::c_char;

use super::client::hangup_client;
use super::enums::hangup_status;
use super::error::hangup_error;
use super::guard::{Handle, bytes, guard, text};

/// Trusts these certificates (PEM, one or more) and no others. By default the system's are trusted, or those of
/// `SSL_CERT_FILE` / `SSL_CERT_DIR`, or a bundled copy of Mozilla's where the system has none.
///
/// Connections made before are not used for requests after it: the roots are part of the pool key.
/// Fails: HANGUP_INVALID_ARGUMENT if there is no certificate in it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hangup_client_set_tls_roots(
    client: *mut hangup_client,
    pem: *const u8,
    size: usize,
    error: *mut *mut hangup_error,
) -> hangup_status {
    guard(error, || {
        let client = unsafe { hangup_client::borrow(client)? };
        client.set_tls_roots(unsafe { bytes(pem, size, "pem")? })
    })
}

/// hangup_client_set_tls_roots from a file.
///
/// Fails: HANGUP_SYSTEM if it can't be read, HANGUP_INVALID_ARGUMENT if there is no certificate in it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hangup_client_set_tls_roots_file(
    client: *mut hangup_client,
    path: *const c_char,
    error: *mut *mut hangup_error,
) -> hangup_status {
    guard(error, || {
        let client = unsafe { hangup_client::borrow(client)? };
        client.set_tls_roots_file(unsafe { text(path, "path")? })
    })
}

/// Shows this certificate (PEM, the chain in order, the client's own first) to servers that ask for one, with
/// its private key (PEM: PKCS#8, PKCS#1 or SEC1).
///
/// Fails: HANGUP_INVALID_ARGUMENT if either can't be read or they don't belong together.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hangup_client_set_tls_certificate(
    client: *mut hangup_client,
    certificate_pem: *const u8,
    certificate_size: usize,
    key_pem: *const u8,
    key_size: usize,
    error: *mut *mut hangup_error,
) -> hangup_status {
    guard(error, || {
        let client = unsafe { hangup_client::borrow(client)? };
        let certificate = unsafe { bytes(certificate_pem, certificate_size, "certificate_pem")? };
        let key = unsafe { bytes(key_pem, key_size, "key_pem")? };
        client.set_tls_certificate(certificate, key)
    })
}

/// With 1, believes ANY certificate of anybody: whoever sits on the network can read and change everything.
/// For tests against throw-away servers. 0 is the default.
///
/// Such connections are never used by a client that verifies.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hangup_client_set_tls_dangerously_accept_any_certificate(
    client: *mut hangup_client,
    on: i32,
    error: *mut *mut hangup_error,
) -> hangup_status {
    guard(error, || {
        unsafe { hangup_client::borrow(client)? }
            .set_tls_dangerously_accept_any_certificate(on != 0)
    })
}
