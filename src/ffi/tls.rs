//! `hangup_tls`: the settings of TLS, which a client or a request is given; and the client's shortcuts for the commonest.

use std::ffi::c_char;
use std::path::Path;
use std::sync::{Arc, Mutex};

use super::client::hangup_client;
use super::enums::{hangup_status, hangup_tls_version};
use super::error::hangup_error;
use super::guard::{Handle, bytes, guard, magic, or_default, text};
use super::request::{hangup_request, lock as lock_request};
use crate::error::Error;
use crate::net::tls::Tls;
use crate::sync::lock;

/// The settings of TLS: which certificates are trusted, which one is presented, which versions are spoken.
///
/// Create: hangup_tls_new. Use: hangup_tls_set_*, hangup_tls_add_*, then hangup_client_set_tls or hangup_request_set_tls, which
/// take the settings as they are then: a later change has no effect on them. Connections are shared by requests with equal
/// settings only; sessions are resumed by requests that were given the same unchanged handle. So make one handle and give it to
/// all requests that need it.
/// Free: hangup_tls_free. Clients and requests that were given it go on.
/// Threads: any thread at any time.
pub struct hangup_tls {
    _opaque: [u8; 0],
}

impl Handle for hangup_tls {
    type Target = Mutex<Arc<Tls>>;
    const MAGIC: u64 = magic(b"hang-tls");
}

/// The default settings: the system's root certificates are trusted, or those of `SSL_CERT_FILE` and `SSL_CERT_DIR`, or a
/// bundled copy of Mozilla's if the system has none; TLS 1.2 and 1.3; no client certificate. Free them with hangup_tls_free.
#[unsafe(no_mangle)]
pub extern "C" fn hangup_tls_new() -> *mut hangup_tls {
    or_default(std::ptr::null_mut(), || {
        Ok(hangup_tls::into_raw(Arc::new(Mutex::new(Arc::new(Tls::new())))))
    })
}

/// Frees settings. NULL does nothing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hangup_tls_free(tls: *mut hangup_tls) {
    unsafe { hangup_tls::free(tls) }
}

/// Trusts these root certificates (PEM, one or more) and no others. A certificate that is given here is also accepted if the
/// server presents this very certificate, whatever its issuer is; it must be valid, and for the server's name.
///
/// Fails: HANGUP_INVALID_ARGUMENT if there is no certificate, or one can't be parsed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hangup_tls_set_roots(
    tls: *mut hangup_tls,
    pem: *const u8,
    size: usize,
    error: *mut *mut hangup_error,
) -> hangup_status {
    guard(error, || {
        let tls = unsafe { hangup_tls::borrow(tls)? };
        let pem = unsafe { bytes(pem, size, "pem")? };
        change(tls, |tls| tls.set_roots(pem))
    })
}

/// Trusts these root certificates (PEM, one or more) in addition to those that are trusted already: the system's, unless
/// hangup_tls_set_roots or hangup_tls_set_roots_path replaced them.
///
/// Fails: HANGUP_INVALID_ARGUMENT if there is no certificate, or one can't be parsed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hangup_tls_add_roots(
    tls: *mut hangup_tls,
    pem: *const u8,
    size: usize,
    error: *mut *mut hangup_error,
) -> hangup_status {
    guard(error, || {
        let tls = unsafe { hangup_tls::borrow(tls)? };
        let pem = unsafe { bytes(pem, size, "pem")? };
        change(tls, |tls| tls.add_roots(pem))
    })
}

/// Does what hangup_tls_set_roots does, with a file, or with all files of a directory. Files of a directory without usable
/// certificates are passed over, and their names don't matter. It is read now.
///
/// Fails: HANGUP_SYSTEM if it can't be read; HANGUP_INVALID_ARGUMENT if there is no certificate.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hangup_tls_set_roots_path(
    tls: *mut hangup_tls,
    path: *const c_char,
    error: *mut *mut hangup_error,
) -> hangup_status {
    guard(error, || {
        let tls = unsafe { hangup_tls::borrow(tls)? };
        let path = unsafe { text(path, "path")? };
        change(tls, |tls| tls.set_roots_path(path))
    })
}

/// Does what hangup_tls_add_roots does, with a file, or with all files of a directory, as hangup_tls_set_roots_path reads them.
///
/// Fails: HANGUP_SYSTEM if it can't be read; HANGUP_INVALID_ARGUMENT if there is no certificate.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hangup_tls_add_roots_path(
    tls: *mut hangup_tls,
    path: *const c_char,
    error: *mut *mut hangup_error,
) -> hangup_status {
    guard(error, || {
        let tls = unsafe { hangup_tls::borrow(tls)? };
        let path = unsafe { text(path, "path")? };
        change(tls, |tls| tls.add_roots_path(path))
    })
}

/// Presents this certificate (PEM, the chain in order, the client's own first) to servers that ask for one, with its private
/// key (PEM: PKCS#8, PKCS#1 or SEC1), which may be the same text. `password` decrypts a key of PKCS#8 ("ENCRYPTED PRIVATE KEY",
/// PBES2); it may be NULL, and is not used for a key that is not encrypted.
///
/// Fails: HANGUP_INVALID_ARGUMENT if either can't be parsed, the password is missing or wrong, or they don't belong together.
/// For other formats (PKCS#12, DER, "Proc-Type: 4,ENCRYPTED") the message has the command that converts them.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hangup_tls_set_certificate(
    tls: *mut hangup_tls,
    certificate_pem: *const u8,
    certificate_size: usize,
    key_pem: *const u8,
    key_size: usize,
    password: *const c_char,
    error: *mut *mut hangup_error,
) -> hangup_status {
    guard(error, || {
        let tls = unsafe { hangup_tls::borrow(tls)? };
        let certificate = unsafe { bytes(certificate_pem, certificate_size, "certificate_pem")? };
        let key = unsafe { bytes(key_pem, key_size, "key_pem")? };
        let password =
            if password.is_null() { None } else { Some(unsafe { text(password, "password")? }) };
        change(tls, |tls| tls.set_certificate(certificate, key, password))
    })
}

/// Sets the least and the greatest version of TLS. Default: from TLS 1.2 to TLS 1.3; older versions are not supported.
///
/// Fails: HANGUP_INVALID_ARGUMENT if the least one is greater than the greatest.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hangup_tls_set_versions(
    tls: *mut hangup_tls,
    min: hangup_tls_version,
    max: hangup_tls_version,
    error: *mut *mut hangup_error,
) -> hangup_status {
    guard(error, || {
        let tls = unsafe { hangup_tls::borrow(tls)? };
        let (min, max) = (min.get()?, max.get()?);
        change(tls, |tls| tls.set_versions(min, max))
    })
}

/// Adds a public key that the server's certificate may have: "sha256//" and the SHA-256 of its SubjectPublicKeyInfo in base64,
/// as curl's --pinnedpubkey; several are separated by ";". With one or more pins, a server whose own certificate has another
/// key is refused, in addition to all other checks, and also where any certificate is accepted. A pin is for the origin, not
/// for a proxy. `openssl x509 -in CERTIFICATE -noout -pubkey | openssl pkey -pubin -outform der | openssl dgst -sha256 -binary
/// | base64` writes the hash.
///
/// Fails: HANGUP_INVALID_ARGUMENT if it is malformed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hangup_tls_add_pin(
    tls: *mut hangup_tls,
    pin: *const c_char,
    error: *mut *mut hangup_error,
) -> hangup_status {
    guard(error, || {
        let tls = unsafe { hangup_tls::borrow(tls)? };
        let pin = unsafe { text(pin, "pin")? };
        change(tls, |tls| tls.add_pin(pin))
    })
}

/// Sets the host name, or the IP address, that is sent to the server (SNI) and that its certificate must be for, in place of
/// the URL's. The Host header is still the URL's. NULL, the default, is the URL's. A redirect to another origin does not use it
/// if it was given by hangup_request_set_tls; an https proxy never does. It is used also where hangup_client_add_connect_to
/// names another one.
///
/// Fails: HANGUP_INVALID_ARGUMENT for what no certificate can be for.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hangup_tls_set_server_name(
    tls: *mut hangup_tls,
    name: *const c_char,
    error: *mut *mut hangup_error,
) -> hangup_status {
    guard(error, || {
        let tls = unsafe { hangup_tls::borrow(tls)? };
        let name = if name.is_null() { None } else { Some(unsafe { text(name, "server name")? }) };
        change(tls, |tls| tls.set_server_name(name))
    })
}

/// Appends the secrets of each TLS session to this file, so that programs such as Wireshark can decrypt captured traffic. The
/// file is opened now, and created with access for its owner only. NULL, the default, writes none. WITH THE FILE, ALL THE
/// TRAFFIC CAN BE READ.
///
/// Fails: HANGUP_SYSTEM if it can't be opened.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hangup_tls_set_key_log(
    tls: *mut hangup_tls,
    path: *const c_char,
    error: *mut *mut hangup_error,
) -> hangup_status {
    guard(error, || {
        let tls = unsafe { hangup_tls::borrow(tls)? };
        let path = if path.is_null() { None } else { Some(unsafe { text(path, "path")? }) };
        change(tls, |tls| tls.set_key_log(path.map(Path::new)))
    })
}

/// Does what hangup_tls_set_key_log does, with the file that the environment variable SSLKEYLOGFILE names; without the variable
/// it writes none. The variable has no effect unless this is called.
///
/// Fails: HANGUP_SYSTEM if it can't be opened.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hangup_tls_set_key_log_from_env(
    tls: *mut hangup_tls,
    error: *mut *mut hangup_error,
) -> hangup_status {
    guard(error, || change(unsafe { hangup_tls::borrow(tls)? }, Tls::set_key_log_from_env))
}

/// With 1, accepts ANY certificate: an attacker on the network can read and change everything. For tests against local
/// servers. 0 is the default. Pins still count (hangup_tls_add_pin).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hangup_tls_set_dangerously_accept_any_certificate(
    tls: *mut hangup_tls,
    on: i32,
    error: *mut *mut hangup_error,
) -> hangup_status {
    guard(error, || {
        change(unsafe { hangup_tls::borrow(tls)? }, |tls| {
            tls.set_dangerously_accept_any_certificate(on != 0);
            Ok(())
        })
    })
}

/// Sets the TLS settings of requests that have none of their own (hangup_request_set_tls), as they are now, and of the
/// connection to an https proxy, for which server name and pins don't count. NULL sets the defaults.
///
/// Later requests don't use connections that were opened with other settings.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hangup_client_set_tls(
    client: *mut hangup_client,
    tls: *const hangup_tls,
    error: *mut *mut hangup_error,
) -> hangup_status {
    guard(error, || {
        let client = unsafe { hangup_client::borrow(client)? };
        client.set_tls(unsafe { settings(tls)? }.unwrap_or_else(Tls::standard));
        Ok(())
    })
}

/// Sets the TLS settings of this request, as they are now, in place of the client's. NULL removes them. A https proxy keeps the
/// client's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hangup_request_set_tls(
    request: *mut hangup_request,
    tls: *const hangup_tls,
    error: *mut *mut hangup_error,
) -> hangup_status {
    guard(error, || {
        let request = unsafe { hangup_request::borrow(request)? };
        let tls = unsafe { settings(tls)? };
        lock_request(request)?.set_tls(tls);
        Ok(())
    })
}

/// Trusts these root certificates (PEM, one or more) and no others: hangup_tls_set_roots for this client's settings. By default
/// those of the system are trusted, or those of `SSL_CERT_FILE` and `SSL_CERT_DIR`, or a bundled copy of Mozilla's if the system
/// has none.
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

/// Does what hangup_client_set_tls_roots does, with a file, or with all files of a directory (hangup_tls_set_roots_path).
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
/// key (PEM: PKCS#8, PKCS#1 or SEC1, not encrypted): hangup_tls_set_certificate for this client's settings.
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

/// The settings as they are now; `None` for NULL.
///
/// # Safety
/// As for [`Handle::borrow`].
unsafe fn settings(tls: *const hangup_tls) -> Result<Option<Arc<Tls>>, Error> {
    if tls.is_null() {
        return Ok(None);
    }
    // SAFETY: as for the caller.
    let tls = unsafe { hangup_tls::borrow(tls)? };
    Ok(Some(Arc::clone(&*lock(tls))))
}

/// Changes settings; what was given to clients and requests stays as it was.
fn change(
    tls: &Mutex<Arc<Tls>>,
    change: impl FnOnce(&mut Tls) -> Result<(), Error>,
) -> Result<(), Error> {
    change(Arc::make_mut(&mut lock(tls)))
}
