//! A C request from the arguments that Python prepared.
//!
//! The arguments are in their plainest form: names, encodings and defaults are handled in Python.

use std::ffi::c_void;

use pyo3::conversion::FromPyObjectOwned;
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyString, PyTuple};

use crate::arrived::SMALL;
use crate::auth::{Holder, set_auth};
use crate::cancel::CancelToken;
use crate::failure::{Failure, MethodAndUrl, c_string, call, checked, create};
use crate::handle::Owned;
use crate::loan::{self, Loan};
use crate::progress::Progress;
use crate::pushed::BodyWriter;
use crate::sys::*;
use crate::tls::Tls;
use crate::upload::{self, BodyException, Upload};

/// The arguments of one request: the tuple `Prepared` of `python/hangup/_base.py`. `None`, and what a shorter tuple leaves out,
/// is the client's setting.
pub struct Prepared<'py> {
    pub method: Bound<'py, PyString>,
    pub url: Bound<'py, PyString>,
    /// Pairs of name and value, each text or bytes; `None` removes the default of that name.
    headers: Option<Bound<'py, PyAny>>,
    /// Bytes, which may be a bytearray or a memoryview; the path of a file as text; a BodyWriter; a callable, its length (-1:
    /// not known), a callable that rewinds it, or None, and whether the callable fills memory; or "form", a boundary or None,
    /// and parts.
    body: Option<Bound<'py, PyAny>>,
    /// Pairs of a HANGUP_TIMEOUT_* number and milliseconds.
    timeouts: Option<Bound<'py, PyTuple>>,
    /// A HANGUP_CONNECTION_MODE_* number.
    connection_mode: Option<i32>,
    /// How many redirects are followed; -1: any number.
    redirects: Option<i64>,
    retries: Option<bool>,
    /// Bytes per second, and the window in milliseconds.
    min_rate: Option<(i64, i64)>,
    pub cancel: Option<Bound<'py, CancelToken>>,
    /// The host and port that a CONNECT asks for.
    tunnel: Option<Bound<'py, PyString>>,
    decode: Option<bool>,
    /// The most bytes of a body that is read as a whole.
    max_body: Option<i64>,
    /// Text or bytes: what is sent as the request target.
    target: Option<Bound<'py, PyAny>>,
    /// Path and query of the URL are sent as they are written.
    url_as_given: bool,
    tls: Option<Bound<'py, Tls>>,
    /// What [`set_auth`] takes.
    auth: Option<Bound<'py, PyTuple>>,
    /// Bytes per second of both bodies; -1: no maximum.
    max_rate: Option<(i64, i64)>,
    /// Milliseconds; -1: Expect is not sent.
    expect_continue: Option<i64>,
    progress: Option<Bound<'py, Progress>>,
}

impl<'a, 'py> FromPyObject<'a, 'py> for Prepared<'py> {
    type Error = PyErr;

    fn extract(given: Borrowed<'a, 'py, PyAny>) -> PyResult<Self> {
        let given = given.cast::<PyTuple>()?;
        let items = Items { given, size: given.len() };
        Ok(Prepared {
            method: given.get_borrowed_item(0)?.extract()?,
            url: given.get_borrowed_item(1)?.extract()?,
            headers: items.get(2)?,
            body: items.get(3)?,
            timeouts: items.get(4)?,
            connection_mode: items.get(5)?,
            redirects: items.get(6)?,
            retries: items.get(7)?,
            min_rate: items.get(8)?,
            cancel: items.get(9)?,
            tunnel: items.get(10)?,
            decode: items.get(11)?,
            max_body: items.get(12)?,
            target: items.get(13)?,
            url_as_given: items.get(14)?.unwrap_or(false),
            tls: items.get(15)?,
            auth: items.get(16)?,
            max_rate: items.get(17)?,
            expect_continue: items.get(18)?,
            progress: items.get(19)?,
        })
    }
}

/// The items of a tuple, which may be missing.
struct Items<'a, 'py> {
    given: Borrowed<'a, 'py, PyTuple>,
    size: usize,
}

impl<'py> Items<'_, 'py> {
    /// `None` for None and for an item that is missing.
    fn get<T: FromPyObjectOwned<'py>>(&self, index: usize) -> PyResult<Option<T>> {
        if index >= self.size {
            return Ok(None);
        }
        let item = self.given.get_borrowed_item(index)?;
        if item.is_none() {
            return Ok(None);
        }
        item.extract().map(Some).map_err(Into::into)
    }
}

impl Prepared<'_> {
    /// The bound of a body that is read as a whole; usize::MAX is the client's.
    pub fn max_body(&self) -> usize {
        self.max_body.and_then(|bytes| usize::try_from(bytes).ok()).unwrap_or(usize::MAX)
    }
}

/// A request, ready to be sent once.
pub struct Request<'a, 'py> {
    handle: Owned<hangup_request>,
    info: MethodAndUrl<'a, 'py>,
    body_exception: Option<BodyException>,
}

impl<'a, 'py> Request<'a, 'py> {
    /// Everything but the cancel token, which the sender sets.
    pub fn new(prepared: &'a Prepared<'py>) -> PyResult<Self> {
        let (method, url) = (&prepared.method, &prepared.url);
        let create = || {
            let method = c_string(HANGUP_INVALID_METHOD, "method", utf8(method)?.as_bytes())?;
            let url = c_string(HANGUP_INVALID_URL, "URL", utf8(url)?.as_bytes())?;
            let target = prepared
                .tunnel
                .as_ref()
                .map(|target| c_string(HANGUP_INVALID_URL, "target", utf8(target)?.as_bytes()));
            match target.transpose()? {
                None => {
                    let new = match prepared.url_as_given {
                        true => hangup_request_new_as_given,
                        false => hangup_request_new,
                    };
                    // SAFETY: NUL-terminated text, which is copied.
                    create(|out, error| unsafe { new(method.as_ptr(), url.as_ptr(), out, error) })
                }
                // SAFETY: NUL-terminated text, which is copied.
                Some(target) => create(|out, error| unsafe {
                    hangup_request_new_connect(url.as_ptr(), target.as_ptr(), out, error)
                }),
            }
        };
        let handle = create().map_err(|failure| failure.raise(method.py(), Some((method, url))))?;
        let mut request = Request { handle, info: (method, url), body_exception: None };
        prepared.headers.as_ref().map_or(Ok(()), |headers| request.add_headers(headers))?;
        prepared.target.as_ref().map_or(Ok(()), |target| request.set_target(target))?;
        prepared.body.as_ref().map_or(Ok(()), |body| request.set_body(body))?;
        prepared.timeouts.as_ref().map_or(Ok(()), |timeouts| request.set_timeouts(timeouts))?;
        prepared.connection_mode.map_or(Ok(()), |mode| request.set_connection_mode(mode))?;
        prepared.redirects.map_or(Ok(()), |max| request.set_redirects(max))?;
        prepared.retries.map_or(Ok(()), |on| request.set_retries(on))?;
        prepared.min_rate.map_or(Ok(()), |rate| request.set_min_rate(rate))?;
        prepared.decode.map_or(Ok(()), |on| request.set_decode(on))?;
        prepared.tls.as_ref().map_or(Ok(()), |tls| request.set_tls(tls.get()))?;
        if let Some(auth) = &prepared.auth {
            let holder = Holder::Request(request.handle.as_ptr());
            request.checked(set_auth(holder, auth)?)?;
        }
        prepared.max_rate.map_or(Ok(()), |rates| request.set_max_rate(rates))?;
        prepared.expect_continue.map_or(Ok(()), |ms| request.set_expect_continue(ms))?;
        prepared.progress.as_ref().map_or(Ok(()), |progress| request.set_progress(progress))?;
        Ok(request)
    }

    pub fn set_cancel(&self, token: *mut hangup_cancel) -> PyResult<()> {
        // SAFETY: a live request and a live token, of which the request takes a share.
        self.checked(checked(unsafe { hangup_request_set_cancel(self.handle.as_ptr(), token) }))
    }

    /// Makes a submitted request complete when its whole body was read, of at most so many bytes; usize::MAX is the
    /// client's bound. A body that is known to be large is left to be read.
    pub fn set_buffer_body(&self, at_most: usize) -> PyResult<()> {
        let at_most = i64::try_from(at_most).unwrap_or(i64::MAX);
        // SAFETY: a live request.
        self.checked(call(|error| unsafe {
            hangup_request_set_buffer_body(self.handle.as_ptr(), at_most, error)
        }))?;
        // SAFETY: a live request.
        self.checked(call(|error| unsafe {
            hangup_request_set_buffer_up_to(self.handle.as_ptr(), SMALL, error)
        }))
    }

    fn set_decode(&self, on: bool) -> PyResult<()> {
        // SAFETY: a live request.
        self.checked(call(|error| unsafe {
            hangup_request_set_decode(self.handle.as_ptr(), on.into(), error)
        }))
    }

    /// The result of the exchange. An exception of the body replaces the library's error.
    pub fn outcome<T>(&self, outcome: Result<T, Failure>) -> PyResult<T> {
        match self.body_exception.as_ref().and_then(BodyException::take) {
            Some(raised) => Err(raised),
            None => self.checked(outcome),
        }
    }

    /// The place of an exception that the body raises; `None` if the body calls no Python code.
    pub fn body_exception(&self) -> Option<BodyException> {
        self.body_exception.clone()
    }

    pub fn handle(&self) -> &Owned<hangup_request> {
        &self.handle
    }

    fn add_headers(&self, headers: &Bound<'py, PyAny>) -> PyResult<()> {
        for pair in headers.try_iter()? {
            let (name, value): (Bound<'py, PyAny>, Bound<'py, PyAny>) = pair?.extract()?;
            let (request, name) = (self.handle.as_ptr(), raw(&name, "header name")?);
            let value = match value.is_none() {
                true => None,
                false => Some(raw(&value, "header value")?),
            };
            // SAFETY: a live request, NUL-terminated text, which is copied.
            self.checked(header(name, value, |name, value, error| unsafe {
                match value.is_null() {
                    true => hangup_request_remove_header(request, name, error),
                    false => hangup_request_add_header(request, name, value, error),
                }
            }))?;
        }
        Ok(())
    }

    fn set_target(&self, target: &Bound<'py, PyAny>) -> PyResult<()> {
        let target = c_string(HANGUP_INVALID_ARGUMENT, "target", raw(target, "target")?);
        self.checked(target.and_then(|target| {
            // SAFETY: a live request, NUL-terminated text, which is copied.
            call(|error| unsafe {
                hangup_request_set_target(self.handle.as_ptr(), target.as_ptr(), error)
            })
        }))
    }

    fn set_body(&mut self, body: &Bound<'py, PyAny>) -> PyResult<()> {
        let request = self.handle.as_ptr();
        if let Some(loan) = Loan::of(body)? {
            let (at, size) = (loan.address() as *const u8, loan.size());
            if size < MIN_BORROWED {
                // SAFETY: a live request; the bytes are copied.
                return self.checked(call(|error| unsafe {
                    hangup_request_set_body(request, at, size, error)
                }));
            }
            let (end, data) = (Some(loan::end as _), loan.into_raw());
            // SAFETY: a live request; the memory is lent until the library calls `end`, which it does also if this call
            // fails.
            return self.checked(call(|error| unsafe {
                hangup_request_set_body_borrowed(request, at, size, end, data, error)
            }));
        }
        if let Ok(path) = body.cast::<PyString>() {
            let path = c_string(HANGUP_INVALID_ARGUMENT, "path", path.to_str()?.as_bytes());
            return self.checked(path.and_then(|path| {
                // SAFETY: a live request, NUL-terminated text.
                call(|error| unsafe { hangup_request_set_body_file(request, path.as_ptr(), error) })
            }));
        }
        if let Ok(writer) = body.cast::<BodyWriter>() {
            // SAFETY: a live request and a live upload, of whose body the request becomes the owner.
            self.checked(call(|error| unsafe {
                hangup_request_set_body_upload(request, writer.get().as_ptr(), error)
            }))?;
            writer.get().set_request(self.info);
            return Ok(());
        }
        let body = body.cast::<PyTuple>()?;
        if body.get_item(0)?.is_instance_of::<PyString>() {
            return self.set_form(body);
        }
        let (data, rewind, length) = self.reader(body)?;
        let (read, end) = (Some(upload::read as _), Some(upload::end as _));
        // SAFETY: a live request; the library calls `end`, which frees the box, also if this call fails.
        self.checked(call(|error| unsafe {
            match rewind {
                true => {
                    let rewind = Some(upload::rewind as _);
                    hangup_request_set_body_rewindable(
                        request, read, rewind, end, data, length, error,
                    )
                }
                false => hangup_request_set_body_reader(request, read, end, data, length, error),
            }
        }))
    }

    /// The data pointer of a reader, whether it can be rewound, and its length.
    fn reader(&mut self, body: &Bound<'py, PyTuple>) -> PyResult<(*mut c_void, bool, i64)> {
        let (source, length, rewind, fills): (Py<PyAny>, i64, Option<Py<PyAny>>, bool) =
            body.extract()?;
        let can_rewind = rewind.is_some();
        let exception = self.body_exception.get_or_insert_default().clone();
        let upload = Upload::new(source, fills, rewind, exception);
        Ok((Box::into_raw(upload).cast(), can_rewind, length))
    }

    fn set_form(&mut self, form: &Bound<'py, PyTuple>) -> PyResult<()> {
        let (_, boundary, parts): (String, Option<String>, Bound<'py, PyAny>) = form.extract()?;
        // SAFETY: no arguments.
        let form = Owned::new(unsafe { hangup_form_new() })
            .ok_or_else(|| Failure::local(HANGUP_PANIC, "the library returned no form"));
        let form = self.checked(form)?;
        let text =
            |what: &str, value: &str| c_string(HANGUP_INVALID_ARGUMENT, what, value.as_bytes());
        if let Some(boundary) = boundary {
            self.checked(text("boundary", &boundary).and_then(|boundary| {
                // SAFETY: a live form, NUL-terminated text.
                call(|error| unsafe {
                    hangup_form_set_boundary(form.as_ptr(), boundary.as_ptr(), error)
                })
            }))?;
        }
        for part in parts.try_iter()? {
            let (name, body, file_name, kind): (
                String,
                Bound<'py, PyAny>,
                Option<String>,
                Option<String>,
            ) = part?.extract()?;
            let name = self.checked(text("field name", &name))?;
            let file_name = file_name.map(|name| text("file name", &name)).transpose();
            let file_name = self.checked(file_name)?;
            let kind = self.checked(kind.map(|kind| text("content type", &kind)).transpose())?;
            let or_null = |text: &Option<std::ffi::CString>| {
                text.as_ref().map_or(std::ptr::null(), |text| text.as_ptr())
            };
            let (name, file_name, kind) = (name.as_ptr(), or_null(&file_name), or_null(&kind));
            let form = form.as_ptr();
            if let Some(loan) = Loan::of(&body)? {
                let (data, size) = (loan.address() as *const u8, loan.size());
                if size >= MIN_BORROWED {
                    let (read, end) = (Some(loan::read as _), Some(loan::end_reading as _));
                    let rewind: hangup_body_rewind_fn = Some(loan::rewind as _);
                    let (data, size) = (loan::Reading::of(loan), size as i64);
                    // SAFETY: a live form, texts that are NUL-terminated or NULL; the memory is lent until the library
                    // calls `end`, which it does also if this call fails.
                    self.checked(call(|error| unsafe {
                        hangup_form_add_reader(
                            form, name, read, rewind, end, data, size, file_name, kind, error,
                        )
                    }))?;
                    continue;
                }
                // SAFETY: a live form, texts that are NUL-terminated or NULL, and bytes, which are copied.
                self.checked(call(|error| unsafe {
                    hangup_form_add_bytes(form, name, data, size, file_name, kind, error)
                }))?;
            } else if let Ok(path) = body.cast::<PyString>() {
                let path = self.checked(text("path", path.to_str()?))?;
                // SAFETY: a live form, texts that are NUL-terminated or NULL.
                self.checked(call(|error| unsafe {
                    hangup_form_add_file(form, name, path.as_ptr(), file_name, kind, error)
                }))?;
            } else {
                let (data, rewind, length) = self.reader(body.cast::<PyTuple>()?)?;
                let (read, end) = (Some(upload::read as _), Some(upload::end as _));
                let rewind: hangup_body_rewind_fn =
                    if rewind { Some(upload::rewind as _) } else { None };
                // SAFETY: a live form, texts that are NUL-terminated or NULL; the library calls `end`, which frees
                // the box, also if this call fails.
                self.checked(call(|error| unsafe {
                    hangup_form_add_reader(
                        form, name, read, rewind, end, data, length, file_name, kind, error,
                    )
                }))?;
            }
        }
        // SAFETY: a live request and a live form.
        self.checked(call(|error| unsafe {
            hangup_request_set_body_form(self.handle.as_ptr(), form.as_ptr(), error)
        }))
    }

    fn set_max_rate(&self, (upload, download): (i64, i64)) -> PyResult<()> {
        // SAFETY: a live request.
        self.checked(call(|error| unsafe {
            hangup_request_set_max_rate(self.handle.as_ptr(), upload, download, error)
        }))
    }

    fn set_expect_continue(&self, wait_ms: i64) -> PyResult<()> {
        // SAFETY: a live request.
        self.checked(call(|error| unsafe {
            hangup_request_set_expect_continue(self.handle.as_ptr(), wait_ms, error)
        }))
    }

    fn set_progress(&self, progress: &Bound<'py, Progress>) -> PyResult<()> {
        // SAFETY: a live request and a live handle, of which the request takes a share.
        self.checked(call(|error| unsafe {
            hangup_request_set_progress(self.handle.as_ptr(), progress.get().as_ptr(), error)
        }))
    }

    fn set_timeouts(&self, timeouts: &Bound<'py, PyTuple>) -> PyResult<()> {
        for timeout in timeouts {
            let (which, ms): (i32, i64) = timeout.extract()?;
            // SAFETY: a live request.
            self.checked(call(|error| unsafe {
                hangup_request_set_timeout(self.handle.as_ptr(), which, ms, error)
            }))?;
        }
        Ok(())
    }

    fn set_connection_mode(&self, mode: i32) -> PyResult<()> {
        // SAFETY: a live request.
        self.checked(call(|error| unsafe {
            hangup_request_set_connection_mode(self.handle.as_ptr(), mode, error)
        }))
    }

    fn set_redirects(&self, max: i64) -> PyResult<()> {
        // SAFETY: a live request.
        self.checked(call(|error| unsafe {
            hangup_request_set_redirects(self.handle.as_ptr(), max, error)
        }))
    }

    fn set_retries(&self, on: bool) -> PyResult<()> {
        // SAFETY: a live request.
        self.checked(call(|error| unsafe {
            hangup_request_set_retries(self.handle.as_ptr(), on.into(), error)
        }))
    }

    fn set_tls(&self, tls: &Tls) -> PyResult<()> {
        // SAFETY: a live request and live settings, which are copied.
        self.checked(call(|error| unsafe {
            hangup_request_set_tls(self.handle.as_ptr(), tls.as_ptr(), error)
        }))
    }

    fn set_min_rate(&self, (rate, window_ms): (i64, i64)) -> PyResult<()> {
        // SAFETY: a live request.
        self.checked(call(|error| unsafe {
            hangup_request_set_min_rate(self.handle.as_ptr(), rate, window_ms, error)
        }))
    }

    fn checked<T>(&self, outcome: Result<T, Failure>) -> PyResult<T> {
        outcome.map_err(|failure| failure.raise(self.info.0.py(), Some(self.info)))
    }
}

/// The smallest body that is borrowed while it is sent. A copy of a smaller one is cheaper than the end of
/// the loan, for which a thread has to wait for the interpreter lock.
const MIN_BORROWED: usize = 256 * 1024;

/// Calls a setter with the name and the value of a header; `None` is NULL.
pub fn header(
    name: &[u8],
    value: Option<&[u8]>,
    set: impl FnOnce(
        *const std::ffi::c_char,
        *const std::ffi::c_char,
        *mut *mut hangup_error,
    ) -> hangup_status,
) -> Result<(), Failure> {
    let name = c_string(HANGUP_INVALID_HEADER, "header name", name)?;
    let value =
        value.map(|value| c_string(HANGUP_INVALID_HEADER, "header value", value)).transpose()?;
    let pointer = value.as_ref().map_or(std::ptr::null(), |value| value.as_ptr());
    call(|error| set(name.as_ptr(), pointer, error))
}

/// The bytes of a `bytes` object, or of text as UTF-8.
pub fn raw<'a>(value: &'a Bound<'_, PyAny>, what: &str) -> PyResult<&'a [u8]> {
    if let Ok(text) = value.cast::<PyString>() {
        return Ok(text.to_str()?.as_bytes());
    }
    if let Ok(bytes) = value.cast::<PyBytes>() {
        return Ok(bytes.as_bytes());
    }
    let kind = value.get_type();
    Err(PyTypeError::new_err(format!("a {what} is str or bytes, not {kind}")))
}

fn utf8<'a>(text: &'a Bound<'_, PyString>) -> Result<&'a str, Failure> {
    text.to_str().map_err(|_| Failure::local(HANGUP_INVALID_URL, "text that is not valid Unicode"))
}
