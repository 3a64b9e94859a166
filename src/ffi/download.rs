//! `hangup_client_download`: the body of a response as a file.

use std::ffi::c_char;
use std::mem::offset_of;

use super::client::hangup_client;
use super::enums::{HANGUP_NO_LIMIT, hangup_status};
use super::error::hangup_error;
use super::guard::{Handle, Report, guard, out, report, status, struct_size, text};
use super::request::{hangup_request, lock as lock_request};
use super::response::hangup_response;
use crate::download::DownloadOptions;
use crate::error::Error;
use crate::vocabulary::Kind;

/// How a download is done. Initialise it with HANGUP_DOWNLOAD_OPTIONS_INIT, which has the defaults.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct hangup_download_options {
    /// sizeof the structure; 0 is its layout in version 0.1.
    pub size: usize,
    /// The most bytes that the file may have: a larger one fails with HANGUP_TOO_LARGE, and nothing of it is kept.
    /// HANGUP_NO_LIMIT, the default, is any number.
    pub max_bytes: i64,
    /// How many times the call asks for the rest after its connection broke. Default: 0.
    pub resumes: i64,
    /// 1, the default: what an earlier call received is continued, if the server still has the same version. 0: the file is
    /// received from its beginning.
    pub resume: i32,
    /// 1, the default: file and name are flushed to the disk (fsync(2)) before the call returns, and what came every 64 MiB and
    /// before an error, so that a power failure loses little.
    pub sync: i32,
}

// SAFETY: `repr(C)`, `size` first, and no padding: the fields of 64 bits come before pairs of 32.
unsafe impl Report for hangup_download_options {
    const FIRST: usize = offset_of!(hangup_download_options, sync) + size_of::<i32>();
}

/// What a download did. Initialise it with HANGUP_DOWNLOAD_INIT.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct hangup_download {
    /// In: sizeof the structure; 0 is its layout in version 0.1. Out: how much of it was filled.
    pub size: usize,
    /// How many bytes the file has.
    pub bytes: u64,
    /// How many bytes the call received.
    pub received: u64,
    /// How many bytes of an earlier call were used; 0 if the file was received from its beginning.
    pub resumed_at: u64,
    /// How many times the call asked for the rest after its connection broke.
    pub resumes: u32,
    /// 1 if the server announced a digest (RFC 9530) of a known algorithm, which matched; else 0.
    pub verified: i32,
}

// SAFETY: `repr(C)`, `size` first, and no padding: the fields of 64 bits come before pairs of 32.
unsafe impl Report for hangup_download {
    const FIRST: usize = offset_of!(hangup_download, verified) + size_of::<i32>();
}

/// Sends a request and writes the body of its response to a file, which is there under its name when it is complete. The
/// response has no body left; hangup_response_download says what was done. `options` may be NULL for the defaults. Blocks this
/// thread.
///
/// The bytes go to "NAME.part" beside the file, which is renamed at the end. If the call fails, that file stays, and so does
/// "NAME.part.state", which has the validator of the response; the next call of the same URL asks for the rest with Range and
/// If-Range (RFC 9110 sections 14.2 and 13.1.5). It begins anew if the server has another version, gave no strong ETag nor a
/// Last-Modified that is older than its Date, or answers with another range; without a validator nothing is kept. Only GET is
/// continued. One download at a time writes to a file.
///
/// The length must be the announced one, and so must the digests of Repr-Digest and Content-Digest (RFC 9530, sha-256 and
/// sha-512). The body is written as it arrives, without decoding, and the request asks for no coding, unless
/// hangup_request_set_decode is on for it; such a body can't be continued.
///
/// A file that is replaced gives its permissions to the new one; a new one has those of any new file (the umask). A symbolic link
/// at the path is replaced, not followed. Timeouts are the request's; the total one is for all of it.
///
/// Fails: any status. HANGUP_UNEXPECTED_STATUS for a response that is not 2xx, whose status code the error has;
/// HANGUP_DIGEST_MISMATCH, after which nothing is kept; HANGUP_SYSTEM with the system's error number if the file can't be written,
/// for example because the disk is full; HANGUP_INVALID_STATE if another download writes to the file, and for a body from a
/// reader; HANGUP_INVALID_ARGUMENT for a request with a Range, for a path that is a directory or a device, and for a negative
/// number in the options.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hangup_client_download(
    client: *mut hangup_client,
    request: *mut hangup_request,
    path: *const c_char,
    options: *const hangup_download_options,
    response: *mut *mut hangup_response,
    error: *mut *mut hangup_error,
) -> hangup_status {
    guard(error, || {
        let place = unsafe { out(response)? };
        let client = unsafe { hangup_client::borrow(client)? };
        let request = unsafe { hangup_request::borrow(request)? };
        let (path, options) = unsafe { (text(path, "path")?, read(options)?) };
        let done = client.download(&mut *lock_request(request)?, path, &options)?;
        *place = hangup_response::begin(done);
        Ok(())
    })
}

/// What a download did. `download->size` is sizeof(*download) or 0.
///
/// Fails: HANGUP_INVALID_STATE for a response of another call.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hangup_response_download(
    response: *const hangup_response,
    download: *mut hangup_download,
) -> hangup_status {
    status(|| {
        let opened = unsafe { hangup_response::borrow(response)? };
        let done = opened.head().download().ok_or_else(|| {
            Error::new(Kind::InvalidState, "this is no response of hangup_client_download")
        })?;
        let filled = hangup_download {
            size: size_of::<hangup_download>(),
            bytes: done.bytes,
            received: done.received,
            resumed_at: done.resumed_at,
            resumes: done.resumes,
            verified: done.verified.into(),
        };
        unsafe { report(download, filled) }
    })
}

/// The options of the caller, and the defaults for what it does not know of.
///
/// # Safety
/// NULL, or a structure whose size field is 0 or its own size in bytes.
pub(super) unsafe fn read(
    options: *const hangup_download_options,
) -> Result<DownloadOptions, Error> {
    let mut given = hangup_download_options {
        size: 0,
        max_bytes: HANGUP_NO_LIMIT,
        resumes: 0,
        resume: 1,
        sync: 1,
    };
    if !options.is_null() {
        // SAFETY: as for the caller; it is only read.
        let known = unsafe { struct_size(options.cast_mut())? };
        // SAFETY: `known` bytes are within both, and any bytes are a value of these numbers.
        unsafe {
            std::ptr::copy_nonoverlapping(
                options.cast::<u8>(),
                (&raw mut given).cast::<u8>(),
                known,
            );
        }
    }
    let negative = |what: &str| Error::new(Kind::InvalidArgument, format!("a negative {what}"));
    Ok(DownloadOptions {
        resume: given.resume != 0,
        resumes: u32::try_from(given.resumes.min(i64::from(u32::MAX)))
            .map_err(|_| negative("number of resumes"))?,
        max_bytes: match given.max_bytes {
            HANGUP_NO_LIMIT => None,
            bytes => Some(
                u64::try_from(bytes)
                    .map_err(|_| negative("size of a file; HANGUP_NO_LIMIT allows any size"))?,
            ),
        },
        sync: given.sync != 0,
    })
}
