//! `hangup_cookies`: the cookies of a client as a list, and in files.

use std::ffi::{CString, c_char};
use std::mem::offset_of;
use std::path::Path;
use std::sync::Arc;
use std::time::UNIX_EPOCH;

use super::client::hangup_client;
use super::enums::{hangup_cookie_format, hangup_status};
use super::error::hangup_error;
use super::guard::{Handle, Report, guard, magic, or_default, out, report, status, text};
use crate::client::KeptCookie;
use crate::error::Error;
use crate::vocabulary::Kind;

/// A list of the cookies of a client, as they were at one moment.
///
/// Create: hangup_client_cookies. Use: hangup_cookies_count, hangup_cookies_at.
/// Free: hangup_cookies_free.
/// Threads: immutable; any thread at any time.
pub struct hangup_cookies {
    _opaque: [u8; 0],
}

impl Handle for hangup_cookies {
    type Target = Vec<CookieRow>;
    const MAGIC: u64 = magic(b"hang-cks");
}

/// One cookie. Initialise it with HANGUP_COOKIE_INFO_INIT. Its strings are borrowed from the list. Bytes are never NUL, and
/// need not be UTF-8.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct hangup_cookie_info {
    /// In: sizeof the structure; 0 is its layout in version 0.1. Out: how much of it was filled.
    pub size: usize,
    /// The name.
    pub name: *const c_char,
    /// The value.
    pub value: *const c_char,
    /// The bytes of the value.
    pub value_size: usize,
    /// The host that it is sent to, without a dot at its beginning, for example "example.org".
    pub domain: *const c_char,
    /// It is sent with this path and all below it.
    pub path: *const c_char,
    /// When it expires, in seconds since 1970; -1: with the client.
    pub expires: i64,
    /// 1 if it is sent to that host only, 0 if to the names below it, too.
    pub host_only: i32,
    /// 1 if it is sent over https only, else 0.
    pub secure: i32,
    /// 1 if it had the attribute HttpOnly, which has a meaning for browsers only; else 0.
    pub http_only: i32,
    /// Always 0.
    pub reserved: i32,
}

// SAFETY: `repr(C)`, `size` first, and no padding: the fields of 64 bits come before pairs of 32.
unsafe impl Report for hangup_cookie_info {
    const FIRST: usize = offset_of!(hangup_cookie_info, reserved) + size_of::<i32>();
}

/// One cookie with its text as C wants it.
#[derive(Debug)]
pub struct CookieRow {
    cookie: KeptCookie,
    name: CString,
    value: CString,
    domain: CString,
    path: CString,
}

/// Lists the cookies that the client keeps and that have not expired, by domain, path and name. The list is empty if cookies
/// are not kept.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hangup_client_cookies(
    client: *const hangup_client,
    list: *mut *mut hangup_cookies,
    error: *mut *mut hangup_error,
) -> hangup_status {
    guard(error, || {
        let place = unsafe { out(list)? };
        let client = unsafe { hangup_client::borrow(client)? };
        let rows = client.cookies().into_iter().map(CookieRow::new).collect();
        *place = hangup_cookies::into_raw(Arc::new(rows));
        Ok(())
    })
}

/// How many cookies the list has. 0 for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hangup_cookies_count(list: *const hangup_cookies) -> usize {
    or_default(0, || Ok(unsafe { hangup_cookies::borrow(list)? }.len()))
}

/// Fills `info` with the cookie at `index`. `info->size` is sizeof(*info) or 0.
///
/// Fails: HANGUP_INVALID_ARGUMENT if there is none.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hangup_cookies_at(
    list: *const hangup_cookies,
    index: usize,
    info: *mut hangup_cookie_info,
) -> hangup_status {
    status(|| {
        let rows = unsafe { hangup_cookies::borrow(list)? };
        let row = rows.get(index).ok_or_else(|| {
            let what = format!("row {index} of a list of {}", rows.len());
            Error::new(Kind::InvalidArgument, what)
        })?;
        unsafe { report(info, row.report()) }
    })
}

/// Frees a list and the strings borrowed from it. NULL does nothing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hangup_cookies_free(list: *mut hangup_cookies) {
    unsafe { hangup_cookies::free(list) }
}

/// Writes the cookies into a file, those included that would be forgotten with the client. The file is written beside its
/// place and renamed, so that it is never half a file, and only its owner can read it. HANGUP_COOKIE_FORMAT_NETSCAPE leaves
/// out a cookie whose name or path has a tab.
///
/// Fails: HANGUP_SYSTEM if it can't be written; HANGUP_INVALID_STATE if cookies are not kept.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hangup_client_save_cookies(
    client: *const hangup_client,
    path: *const c_char,
    format: hangup_cookie_format,
    error: *mut *mut hangup_error,
) -> hangup_status {
    guard(error, || {
        let client = unsafe { hangup_client::borrow(client)? };
        let path = Path::new(unsafe { text(path, "path")? });
        client.save_cookies(path, format.get()?)
    })
}

/// Adds the cookies of a file to those that are kept. Either format is recognised: the text format of Netscape, also as curl
/// and browsers' extensions write it, and JSON. Cookies that have expired, those with more than 4096 bytes, and those for a public
/// suffix, are passed over.
///
/// Fails: HANGUP_SYSTEM if it can't be read; HANGUP_INVALID_ARGUMENT if it is neither, has a cookie with control characters, or is
/// larger than 16 MiB: nothing is kept then; HANGUP_INVALID_STATE if cookies are not kept.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hangup_client_load_cookies(
    client: *mut hangup_client,
    path: *const c_char,
    error: *mut *mut hangup_error,
) -> hangup_status {
    guard(error, || {
        let client = unsafe { hangup_client::borrow(client)? };
        client.load_cookies(Path::new(unsafe { text(path, "path")? }))
    })
}

impl CookieRow {
    fn new(cookie: KeptCookie) -> Self {
        // A cookie holds no control characters but tabs.
        let c = |bytes: &[u8]| CString::new(bytes).unwrap_or_default();
        Self {
            name: c(&cookie.name),
            value: c(&cookie.value),
            domain: c(cookie.domain.as_bytes()),
            path: c(&cookie.path),
            cookie,
        }
    }

    fn report(&self) -> hangup_cookie_info {
        let seconds = |end: std::time::SystemTime| {
            let since = end.duration_since(UNIX_EPOCH).unwrap_or_default();
            i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
        };
        hangup_cookie_info {
            size: size_of::<hangup_cookie_info>(),
            name: self.name.as_ptr(),
            value: self.value.as_ptr(),
            value_size: self.value.count_bytes(),
            domain: self.domain.as_ptr(),
            path: self.path.as_ptr(),
            expires: self.cookie.expires.map_or(-1, seconds),
            host_only: self.cookie.host_only.into(),
            secure: self.cookie.secure.into(),
            http_only: self.cookie.http_only.into(),
            reserved: 0,
        }
    }
}
