//! `hangup_client`: the roots that it trusts and the certificate that it presents.

use std::ffi::c_char;

use super::client::hangup_client;
use super::enums::hangup_status;
use super::error::hangup_error;
use super::guard::{Handle, bytes, guard, text};

/// Trusts these root certificates (PEM, one or more) and no others. By default those of the system are trusted, or those of
/// `SSL_CERT_FILE` and `SSL_CERT_DIR`, or a bundled copy of Mozilla's if the system has none.
///
/// Later requests don't use connections that were opened with other roots.
/// Fails: HANGUP_INVALID_ARGUMENT if there is no certificate.
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

/// Does what hangup_client_set_tls_roots does, with the contents of a file.
///
/// Fails: HANGUP_SYSTEM if it can't be read; HANGUP_INVALID_ARGUMENT if there is no certificate.
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

/// Presents this certificate (PEM, the chain in order, the client's own first) to servers that ask for one, with its private
/// key (PEM: PKCS#8, PKCS#1 or SEC1).
///
/// Fails: HANGUP_INVALID_ARGUMENT if either can't be parsed or they don't belong together.
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

/// With 1, accepts ANY certificate: an attacker on the network can read and change everything. For tests against local
/// servers. 0 is the default.
///
/// Clients that verify certificates never use such connections.
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
