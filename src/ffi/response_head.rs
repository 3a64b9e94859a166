//! The head of a `hangup_response` as it came, the interim responses before it, and the trailers behind its body.

use std::ffi::{CStr, c_char};

use super::enums::hangup_status;
use super::fields::FieldTexts;
use super::guard::{Handle, out, query, status, text, write_str};
use super::response::{InterimTexts, ResponseHandle, borrowed, hangup_response};
use crate::error::Error;
use crate::vocabulary::Kind;

/// The reason phrase of the status line as it came, often "". `size` may be NULL; it is set to the length without the NUL.
/// The bytes are any but control characters, UTF-8 or not; they have no meaning for a program (RFC 9112 section 4). Borrowed
/// from the response. "" for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hangup_response_reason(
    response: *const hangup_response,
    size: *mut usize,
) -> *const c_char {
    query(c"".as_ptr(), || {
        let reason: &CStr = unsafe { hangup_response::borrow(response)? }.reason();
        Ok(unsafe { write_str(reason, size) })
    })
}

/// How many bytes the body has on the wire, before content codings are undone: 0 if there is no body, -1 if that is not
/// known, as in a chunked body. In a response to HEAD it is what Content-Length says of the body that is not sent. -1 for
/// NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hangup_response_content_length(response: *const hangup_response) -> i64 {
    query(-1, || {
        let length = unsafe { hangup_response::borrow(response)? }.head().content_length();
        Ok(length.map_or(-1, |length| i64::try_from(length).unwrap_or(i64::MAX)))
    })
}

/// Value number `index`, beginning with 0, of the headers with that name, in any case; NULL if there are not so many. A value
/// is not split at its commas. `size` may be NULL; it is set to the length without the NUL. Borrowed from the response. The
/// bytes are as received, UTF-8 or not.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hangup_response_header_value(
    response: *const hangup_response,
    name: *const c_char,
    index: usize,
    size: *mut usize,
) -> *const c_char {
    query(std::ptr::null(), || {
        let opened = unsafe { hangup_response::borrow(response)? };
        let name = unsafe { text(name, "header name")? };
        Ok(unsafe { opened.texts().value(name, index, size) })
    })
}

/// As hangup_response_header_at, with the name in the case in which it came. The value has no white space around it, and
/// each line fold is one space (RFC 9112 section 5.2); hangup_response_raw_head has it without any change.
///
/// Fails: HANGUP_INVALID_ARGUMENT if there is no such header.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hangup_response_raw_header_at(
    response: *const hangup_response,
    index: usize,
    name: *mut *const c_char,
    value: *mut *const c_char,
    size: *mut usize,
) -> hangup_status {
    status(|| {
        let opened = unsafe { hangup_response::borrow(response)? };
        unsafe { opened.raw_texts().write("header", index, name, value, size) }
    })
}

/// The bytes of the head as they came, from the status line to the empty line. They are not NUL-terminated. Borrowed from
/// the response.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hangup_response_raw_head(
    response: *const hangup_response,
    data: *mut *const u8,
    size: *mut usize,
) -> hangup_status {
    status(|| {
        let (data, size) = unsafe { (out(data)?, out(size)?) };
        (*data, *size) = borrowed(unsafe { hangup_response::borrow(response)? }.head().raw_head());
        Ok(())
    })
}

/// How many interim responses (1xx, RFC 9110 section 15.2) came before this response, 100 Continue included; at most 100 are
/// kept, the first ones. All of them together are no larger than a head may be (hangup_client_set_max_head). 0 for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hangup_response_interim_count(response: *const hangup_response) -> usize {
    query(0, || Ok(unsafe { hangup_response::borrow(response)? }.head().interim_responses().len()))
}

/// The status code of interim response number `index`, beginning with 0: 100, or 102 to 199. 0 if there is none, and for
/// NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hangup_response_interim_status_code(
    response: *const hangup_response,
    index: usize,
) -> i32 {
    query(0, || {
        let interim = unsafe { hangup_response::borrow(response)? }.interim();
        Ok(interim.get(index).map_or(0, |one| i32::from(one.status_code)))
    })
}

/// How many headers interim response number `index` has. 0 if there is none, and for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hangup_response_interim_header_count(
    response: *const hangup_response,
    index: usize,
) -> usize {
    query(0, || {
        let interim = unsafe { hangup_response::borrow(response)? }.interim();
        Ok(interim.get(index).map_or(0, |one| one.fields.len()))
    })
}

/// The name (lower case) and value of header number `header` of interim response number `index`, borrowed from the response.
/// `name`, `value` and `size` (of the value) may be NULL.
///
/// Fails: HANGUP_INVALID_ARGUMENT if there is no such interim response or header.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hangup_response_interim_header_at(
    response: *const hangup_response,
    index: usize,
    header: usize,
    name: *mut *const c_char,
    value: *mut *const c_char,
    size: *mut usize,
) -> hangup_status {
    status(|| {
        let interim = unsafe { hangup_response::borrow(response)? }.interim();
        let one = interim.get(index).ok_or_else(|| {
            let what = format!("interim response {index} of {}", interim.len());
            Error::new(Kind::InvalidArgument, what)
        })?;
        unsafe { one.fields.write("header", header, name, value, size) }
    })
}

/// How many trailer fields came behind the body. 0 before the body was read to its end, and for NULL.
///
/// Trailers are never merged into the headers (RFC 9110 section 6.5.2). Fields that have to be known before the content are
/// left out: those about framing, routing, authentication, caching, conditions and the format of the content, and cookies
/// (section 6.5.1). The whole section is bounded as a head is (hangup_client_set_max_head).
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hangup_response_trailer_count(response: *const hangup_response) -> usize {
    query(0, || {
        let trailers = unsafe { hangup_response::borrow(response)? }.trailers();
        Ok(trailers.map_or(0, FieldTexts::len))
    })
}

/// The name (lower case) and value of trailer field number `index`, borrowed from the response. `name`, `value` and `size` (of
/// the value) may be NULL.
///
/// Fails: HANGUP_INVALID_ARGUMENT if there is no such trailer field, as before the end of the body.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn hangup_response_trailer_at(
    response: *const hangup_response,
    index: usize,
    name: *mut *const c_char,
    value: *mut *const c_char,
    size: *mut usize,
) -> hangup_status {
    status(|| {
        let opened = unsafe { hangup_response::borrow(response)? };
        match opened.trailers() {
            Some(trailers) => unsafe { trailers.write("trailer", index, name, value, size) },
            None => {
                let what = format!(
                    "trailer {index} of 0: there are none, or the body was not read to its end"
                );
                Err(Error::new(Kind::InvalidArgument, what))
            }
        }
    })
}

impl ResponseHandle {
    fn raw_texts(&self) -> &FieldTexts {
        let made = || FieldTexts::of(self.head().raw_headers());
        self.rare().raw.get_or_init(made)
    }

    fn interim(&self) -> &[InterimTexts] {
        self.rare().interim.get_or_init(|| {
            let texts = |one: crate::response::InterimResponse<'_>| InterimTexts {
                status_code: one.status_code(),
                fields: FieldTexts::of(one.headers()),
            };
            self.head().interim_responses().map(texts).collect()
        })
    }

    /// `None` if there are none yet.
    fn trailers(&self) -> Option<&FieldTexts> {
        self.head().trailers().next()?;
        let made = || FieldTexts::of(self.head().trailers());
        Some(self.rare().trailers.get_or_init(made))
    }
}
