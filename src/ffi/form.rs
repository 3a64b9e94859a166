//! `hangup_form`: the fields of a form, sent as multipart/form-data or URL-encoded.

use std::ffi::{c_char, c_void};
use std::sync::{Arc, Mutex, MutexGuard};

use super::body::{
    ForeignBody, body_length, hangup_body_end_fn, hangup_body_read_fn, hangup_body_rewind_fn,
};
use super::enums::hangup_status;
use super::error::hangup_error;
use super::guard::{Handle, bytes, guard, lock_for_one_thread, magic, or_default, text};
use super::request::{hangup_request, lock as lock_request};
use crate::error::Error;
use crate::form::{Form, Part};

/// A form: named fields of text, bytes, files and readers, in their order. A name can occur several times. Names are sent as
/// UTF-8; a quotation mark, CR and LF in them are percent-encoded, as browsers do.
///
/// Create: hangup_form_new. Use: hangup_form_add_*, then hangup_request_set_body_form or hangup_request_set_body_urlencoded.
/// Free: hangup_form_free. Requests have what they need of it.
/// Threads: one thread at a time; a second one gets HANGUP_INVALID_STATE.
pub struct hangup_form {
    _opaque: [u8; 0],
}

impl Handle for hangup_form {
    type Target = Mutex<Form>;
    const MAGIC: u64 = magic(b"hang-frm");
}

/// A new form without fields, with a random boundary. Free it with hangup_form_free.
#[unsafe(no_mangle)]
pub extern "C" fn hangup_form_new() -> *mut hangup_form {
    or_default(std::ptr::null_mut(), || {
        Ok(hangup_form::into_raw(Arc::new(Mutex::new(Form::new()))))
    })
}

/// Sets the boundary between the parts of multipart/form-data, in place of the random one. It must occur in no part.
///
/// Fails: HANGUP_INVALID_ARGUMENT unless it is 1 to 70 letters, digits and '()+_,-./:=? (RFC 2046 section 5.1.1).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hangup_form_set_boundary(
    form: *mut hangup_form,
    boundary: *const c_char,
    error: *mut *mut hangup_error,
) -> hangup_status {
    guard(error, || {
        let form = unsafe { hangup_form::borrow(form)? };
        lock(form)?.set_boundary(unsafe { text(boundary, "boundary")? })
    })
}

/// Adds a field of text.
///
/// Fails: HANGUP_NULL; HANGUP_INVALID_ARGUMENT for text that is not UTF-8.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hangup_form_add_text(
    form: *mut hangup_form,
    name: *const c_char,
    value: *const c_char,
    error: *mut *mut hangup_error,
) -> hangup_status {
    guard(error, || {
        let form = unsafe { hangup_form::borrow(form)? };
        let (name, value) = unsafe { (text(name, "field name")?, text(value, "field value")?) };
        lock(form)?.add_text(name, value)
    })
}

/// Adds a field of bytes, which are copied. With a `file_name` it is sent as a file. `content_type` may be NULL:
/// application/octet-stream for a file, none for others.
///
/// Fails: HANGUP_NULL; HANGUP_INVALID_HEADER for a content type that no header can have.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hangup_form_add_bytes(
    form: *mut hangup_form,
    name: *const c_char,
    data: *const u8,
    size: usize,
    file_name: *const c_char,
    content_type: *const c_char,
    error: *mut *mut hangup_error,
) -> hangup_status {
    guard(error, || {
        let form = unsafe { hangup_form::borrow(form)? };
        let part = Part::bytes(unsafe { bytes(data, size, "field value")? });
        unsafe { add(form, name, part, file_name, content_type) }
    })
}

/// Adds a field with the contents of a regular file, which is opened and read when the request is sent, as
/// hangup_request_set_body_file does. `file_name` may be NULL: the last part of the path. `content_type` may be NULL:
/// application/octet-stream.
///
/// Fails: HANGUP_SYSTEM if it can't be opened or is not a regular file; otherwise as hangup_form_add_bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hangup_form_add_file(
    form: *mut hangup_form,
    name: *const c_char,
    path: *const c_char,
    file_name: *const c_char,
    content_type: *const c_char,
    error: *mut *mut hangup_error,
) -> hangup_status {
    guard(error, || {
        let form = unsafe { hangup_form::borrow(form)? };
        let part = Part::file(unsafe { text(path, "path")? })?;
        unsafe { add(form, name, part, file_name, content_type) }
    })
}

/// Adds a field with what a callback returns; `rewind`, which may be NULL, `end` and `length` are those of
/// hangup_request_set_body_rewindable. `file_name` and `content_type` are those of hangup_form_add_bytes. If the length of one
/// part is not known, the form is sent chunked. `end` is called exactly once, also when this call fails.
///
/// Fails: as hangup_form_add_bytes; HANGUP_INVALID_ARGUMENT for a negative length other than HANGUP_NO_LIMIT.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hangup_form_add_reader(
    form: *mut hangup_form,
    name: *const c_char,
    read: hangup_body_read_fn,
    rewind: hangup_body_rewind_fn,
    end: hangup_body_end_fn,
    user_data: *mut c_void,
    length: i64,
    file_name: *const c_char,
    content_type: *const c_char,
    error: *mut *mut hangup_error,
) -> hangup_status {
    guard(error, || {
        let reader = ForeignBody::new(read, rewind, end, user_data);
        let form = unsafe { hangup_form::borrow(form)? };
        let part = Part::new(reader.into_body(body_length(length)?)?);
        unsafe { add(form, name, part, file_name, content_type) }
    })
}

/// Frees a form. NULL does nothing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hangup_form_free(form: *mut hangup_form) {
    unsafe { hangup_form::free(form) }
}

/// Sets the body to a form as multipart/form-data (RFC 7578), and Content-Type unless the request has one already. It is sent
/// with its length if the lengths of all parts are known, and again for redirects and retries if all parts can be read again.
/// The form can be changed and used again, unless a part comes from a reader.
///
/// Fails: HANGUP_INVALID_STATE for a form with a reader that was set before.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hangup_request_set_body_form(
    request: *mut hangup_request,
    form: *mut hangup_form,
    error: *mut *mut hangup_error,
) -> hangup_status {
    guard(error, || {
        let request = unsafe { hangup_request::borrow(request)? };
        let form = unsafe { hangup_form::borrow(form)? };
        let mut request = lock_request(request)?;
        let form = lock(form)?.take()?;
        request.set_form(form)
    })
}

/// Sets the body to a form of text as application/x-www-form-urlencoded (WHATWG URL, section 5), and Content-Type unless the
/// request has one already.
///
/// Fails: HANGUP_INVALID_ARGUMENT for a field that is no text.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hangup_request_set_body_urlencoded(
    request: *mut hangup_request,
    form: *mut hangup_form,
    error: *mut *mut hangup_error,
) -> hangup_status {
    guard(error, || {
        let request = unsafe { hangup_request::borrow(request)? };
        let form = unsafe { hangup_form::borrow(form)? };
        let mut request = lock_request(request)?;
        request.set_urlencoded(&*lock(form)?)
    })
}

fn lock(form: &Mutex<Form>) -> Result<MutexGuard<'_, Form>, Error> {
    lock_for_one_thread(form, "this form is used by another thread right now")
}

/// # Safety
/// The texts are those of the caller's call.
unsafe fn add(
    form: &Mutex<Form>,
    name: *const c_char,
    mut part: Part,
    file_name: *const c_char,
    content_type: *const c_char,
) -> Result<(), Error> {
    let name = unsafe { text(name, "field name")? };
    if !file_name.is_null() {
        part = part.file_name(unsafe { text(file_name, "file name")? });
    }
    if !content_type.is_null() {
        part = part.content_type(unsafe { text(content_type, "content type")? })?;
    }
    lock(form)?.add_part(name, part)
}
