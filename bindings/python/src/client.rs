//! `Client`: the setters, and one call for one exchange.

use std::ffi::{CStr, CString, c_char};
use std::ptr::{null, null_mut};

use pyo3::prelude::*;
use pyo3::types::PyTuple;

use crate::auth::{Holder, set_auth};
use crate::cancel::token;
use crate::content::{Beginning, begin, read_content};
use crate::failure::{OrRaise, c_string, call, checked, create, text};
use crate::handle::Owned;
use crate::interrupt::blocking;
use crate::manager::Manager;
use crate::pending::{Pending, PendingKind};
use crate::port::Port;
use crate::request::{Prepared, Request, header, raw};
use crate::response::Response;
use crate::sys::*;
use crate::tls::Tls;

/// An owned client. Threads: any, at any time.
#[pyclass(frozen, module = "hangup._native")]
pub struct Client {
    handle: Owned<hangup_client>,
}

#[pymethods]
impl Client {
    #[new]
    #[pyo3(signature = (manager = None))]
    fn new(py: Python<'_>, manager: Option<&Manager>) -> PyResult<Self> {
        let manager = manager.map_or(null_mut(), Manager::as_ptr);
        // SAFETY: NULL or a live manager, of which the client takes a share.
        let made = create(|out, error| unsafe { hangup_client_new(manager, out, error) });
        Ok(Client { handle: made.or_raise(py)? })
    }

    #[getter]
    fn address(&self) -> usize {
        self.handle.address()
    }

    fn set_timeout(&self, py: Python<'_>, which: i32, ms: i64) -> PyResult<()> {
        // SAFETY: a live client; the data is copied.
        self.set(py, |client, error| unsafe { hangup_client_set_timeout(client, which, ms, error) })
    }

    fn set_header(
        &self,
        py: Python<'_>,
        name: &Bound<'_, PyAny>,
        value: &Bound<'_, PyAny>,
    ) -> PyResult<()> {
        let name = raw(name, "header name")?;
        let value = match value.is_none() {
            true => None,
            false => Some(raw(value, "header value")?),
        };
        let client = self.handle.as_ptr();
        // SAFETY: a live client, NUL-terminated text, which is copied.
        header(name, value, |name, value, error| unsafe {
            hangup_client_set_header(client, name, value, error)
        })
        .or_raise(py)
    }

    fn set_connection_mode(&self, py: Python<'_>, mode: i32) -> PyResult<()> {
        // SAFETY: a live client; the data is copied.
        self.set(py, |client, error| unsafe {
            hangup_client_set_connection_mode(client, mode, error)
        })
    }

    fn set_tls(&self, py: Python<'_>, tls: &Tls) -> PyResult<()> {
        // SAFETY: a live client and live settings, which are copied.
        self.set(py, |client, error| unsafe { hangup_client_set_tls(client, tls.as_ptr(), error) })
    }

    fn set_max_head(&self, py: Python<'_>, bytes: usize) -> PyResult<()> {
        // SAFETY: a live client.
        self.set(py, |client, error| unsafe { hangup_client_set_max_head(client, bytes, error) })
    }

    fn set_redirects(&self, py: Python<'_>, max: i64) -> PyResult<()> {
        // SAFETY: a live client.
        self.set(py, |client, error| unsafe { hangup_client_set_redirects(client, max, error) })
    }

    fn set_retries(&self, py: Python<'_>, on: bool) -> PyResult<()> {
        // SAFETY: a live client.
        self.set(py, |client, error| unsafe { hangup_client_set_retries(client, on.into(), error) })
    }

    fn set_detect_lost_connections(&self, py: Python<'_>, on: bool) -> PyResult<()> {
        // SAFETY: a live client.
        self.set(py, |client, error| unsafe {
            hangup_client_set_detect_lost_connections(client, on.into(), error)
        })
    }

    fn set_max_rate(&self, py: Python<'_>, upload: i64, download: i64) -> PyResult<()> {
        // SAFETY: a live client.
        self.set(py, |client, error| unsafe {
            hangup_client_set_max_rate(client, upload, download, error)
        })
    }

    fn set_expect_continue(&self, py: Python<'_>, wait_ms: i64) -> PyResult<()> {
        // SAFETY: a live client.
        self.set(py, |client, error| unsafe {
            hangup_client_set_expect_continue(client, wait_ms, error)
        })
    }

    fn set_decode(&self, py: Python<'_>, on: bool) -> PyResult<()> {
        // SAFETY: a live client.
        self.set(py, |client, error| unsafe { hangup_client_set_decode(client, on.into(), error) })
    }

    fn set_max_body(&self, py: Python<'_>, bytes: i64) -> PyResult<()> {
        // SAFETY: a live client.
        self.set(py, |client, error| unsafe { hangup_client_set_max_body(client, bytes, error) })
    }

    fn set_max_codings(&self, py: Python<'_>, max: i64) -> PyResult<()> {
        // SAFETY: a live client.
        self.set(py, |client, error| unsafe { hangup_client_set_max_codings(client, max, error) })
    }

    fn add_sensitive_header(&self, py: Python<'_>, name: &Bound<'_, PyAny>) -> PyResult<()> {
        let name = c_string(HANGUP_INVALID_HEADER, "header name", raw(name, "header name")?);
        let name = name.or_raise(py)?;
        // SAFETY: a live client, NUL-terminated text, which is copied.
        self.set(py, |client, error| unsafe {
            hangup_client_add_sensitive_header(client, name.as_ptr(), error)
        })
    }

    fn set_proxy(&self, py: Python<'_>, proxy: Option<&str>) -> PyResult<()> {
        let proxy = optional_text(py, HANGUP_INVALID_ARGUMENT, "proxy", proxy)?;
        // SAFETY: a live client, NULL or NUL-terminated text, which is copied.
        self.set(py, |client, error| unsafe {
            hangup_client_set_proxy(client, pointer(&proxy), error)
        })
    }

    fn set_trace_file(&self, py: Python<'_>, path: &str, bodies: bool) -> PyResult<()> {
        let path = c_string(HANGUP_INVALID_ARGUMENT, "path", path.as_bytes()).or_raise(py)?;
        // SAFETY: a live client, NUL-terminated text.
        self.set(py, |client, error| unsafe {
            hangup_client_set_trace_file(client, path.as_ptr(), bodies.into(), error)
        })
    }

    fn set_no_proxy(&self, py: Python<'_>, list: &str) -> PyResult<()> {
        let list = optional_text(py, HANGUP_INVALID_ARGUMENT, "list of hosts", Some(list))?;
        // SAFETY: a live client, NUL-terminated text, which is copied.
        self.set(py, |client, error| unsafe {
            hangup_client_set_no_proxy(client, pointer(&list), error)
        })
    }

    fn set_local_address(&self, py: Python<'_>, address: &str) -> PyResult<()> {
        let address = optional_text(py, HANGUP_INVALID_ARGUMENT, "address", Some(address))?;
        // SAFETY: a live client, NUL-terminated text, which is copied.
        self.set(py, |client, error| unsafe {
            hangup_client_set_local_address(client, pointer(&address), error)
        })
    }

    fn set_auth(&self, py: Python<'_>, auth: &Bound<'_, PyTuple>) -> PyResult<()> {
        set_auth(Holder::Client(self.handle.as_ptr()), auth)?.or_raise(py)
    }

    fn set_proxy_digest(&self, py: Python<'_>, on: bool) -> PyResult<()> {
        // SAFETY: a live client.
        self.set(py, |client, error| unsafe {
            hangup_client_set_proxy_digest(client, on.into(), error)
        })
    }

    /// The fields of `RetryPolicy`, as its `_row` has them.
    fn set_retry_policy(&self, py: Python<'_>, row: PolicyRow) -> PyResult<()> {
        let (first, longest, total, budget, codes, attempts, connect_errors, percent) = row;
        // In C a 0 is the default; `_row` lets none pass but that of the percentage.
        let number = |number: i64| i32::try_from(number).unwrap_or(i32::MAX);
        let policy = hangup_retry_policy {
            size: size_of::<hangup_retry_policy>(),
            first_delay_ms: first,
            max_delay_ms: longest,
            max_total_ms: total,
            budget,
            status_codes: codes.as_ptr(),
            status_code_count: codes.len(),
            max_attempts: number(attempts),
            connect_errors: if connect_errors { 1 } else { -1 },
            budget_percent: if percent == 0 { -1 } else { number(percent) },
        };
        // SAFETY: a live client, and a structure with its size and a list with its length, which are copied.
        self.set(py, |client, error| unsafe {
            hangup_client_set_retry_policy(client, &raw const policy, error)
        })
    }

    fn set_secure_cookies_on_localhost(&self, py: Python<'_>, on: bool) -> PyResult<()> {
        // SAFETY: a live client.
        self.set(py, |client, error| unsafe {
            hangup_client_set_secure_cookies_on_localhost(client, on.into(), error)
        })
    }

    fn cookies(&self, py: Python<'_>) -> PyResult<Vec<CookieFields>> {
        let list = create(|out, error| unsafe {
            // SAFETY: a live client.
            hangup_client_cookies(self.handle.as_ptr(), out, error)
        })
        .or_raise(py)?;
        let list: Owned<hangup_cookies> = list;
        // SAFETY: a live list.
        let count = unsafe { hangup_cookies_count(list.as_ptr()) };
        let mut found = Vec::with_capacity(count);
        for index in 0..count {
            // SAFETY: every field is a number or a pointer, for which zero is a value.
            let mut row: hangup_cookie_info = unsafe { std::mem::zeroed() };
            row.size = size_of_val(&row);
            // SAFETY: a live list and a structure with its size set.
            checked(unsafe { hangup_cookies_at(list.as_ptr(), index, &raw mut row) })
                .or_raise(py)?;
            // SAFETY: NUL-terminated texts that are borrowed from the list, and copied.
            let [name, value, path] = [row.name, row.value, row.path]
                .map(|text| unsafe { CStr::from_ptr(text) }.to_bytes().to_vec());
            // SAFETY: as above.
            let domain = unsafe { text(row.domain) }.into_owned();
            let flags = (row.host_only != 0, row.secure != 0, row.http_only != 0);
            found.push((name, value, domain, path, row.expires, flags));
        }
        Ok(found)
    }

    fn save_cookies(&self, py: Python<'_>, path: &str, format: i32) -> PyResult<()> {
        let path = optional_text(py, HANGUP_INVALID_ARGUMENT, "path", Some(path))?;
        // SAFETY: a live client, NUL-terminated text.
        self.set(py, |client, error| unsafe {
            hangup_client_save_cookies(client, pointer(&path), format, error)
        })
    }

    fn load_cookies(&self, py: Python<'_>, path: &str) -> PyResult<()> {
        let path = optional_text(py, HANGUP_INVALID_ARGUMENT, "path", Some(path))?;
        // SAFETY: a live client, NUL-terminated text.
        self.set(py, |client, error| unsafe {
            hangup_client_load_cookies(client, pointer(&path), error)
        })
    }

    fn set_interface(&self, py: Python<'_>, name: &str) -> PyResult<()> {
        let name = optional_text(py, HANGUP_INVALID_ARGUMENT, "interface", Some(name))?;
        // SAFETY: a live client, NUL-terminated text, which is copied.
        self.set(py, |client, error| unsafe {
            hangup_client_set_interface(client, pointer(&name), error)
        })
    }

    fn set_address_family(&self, py: Python<'_>, family: i32) -> PyResult<()> {
        // SAFETY: a live client.
        self.set(py, |client, error| unsafe {
            hangup_client_set_address_family(client, family, error)
        })
    }

    fn set_happy_eyeballs_delay(&self, py: Python<'_>, ms: i64) -> PyResult<()> {
        // SAFETY: a live client.
        self.set(py, |client, error| unsafe {
            hangup_client_set_happy_eyeballs_delay(client, ms, error)
        })
    }

    fn add_connect_to(
        &self,
        py: Python<'_>,
        origin: &str,
        place: &str,
        server_name: Option<&str>,
    ) -> PyResult<()> {
        let text = |what, value| optional_text(py, HANGUP_INVALID_ARGUMENT, what, value);
        let (origin, place) = (text("origin", Some(origin))?, text("place", Some(place))?);
        let name = text("server name", server_name)?;
        // SAFETY: a live client, NULL or NUL-terminated texts, which are copied.
        self.set(py, |client, error| unsafe {
            let (origin, place) = (pointer(&origin), pointer(&place));
            hangup_client_add_connect_to(client, origin, place, pointer(&name), error)
        })
    }

    fn ignored_no_proxy(&self, py: Python<'_>) -> PyResult<String> {
        // SAFETY: a live client.
        let entries = create(|out, error| unsafe {
            hangup_client_ignored_no_proxy(self.handle.as_ptr(), out, error)
        })
        .or_raise(py)?;
        // SAFETY: a live string, from which the text is borrowed and copied at once.
        Ok(unsafe { text(hangup_string_value(entries.as_ptr(), null_mut())) }.into_owned())
    }

    fn set_cookies(&self, py: Python<'_>, on: bool) -> PyResult<()> {
        // SAFETY: a live client.
        self.set(py, |client, error| unsafe { hangup_client_set_cookies(client, on.into(), error) })
    }

    fn add_cookie(&self, py: Python<'_>, url: &str, cookie: &str) -> PyResult<()> {
        let (url, cookie) = (
            optional_text(py, HANGUP_INVALID_URL, "URL", Some(url))?,
            optional_text(py, HANGUP_INVALID_ARGUMENT, "cookie", Some(cookie))?,
        );
        // SAFETY: a live client, NUL-terminated texts, which are copied.
        self.set(py, |client, error| unsafe {
            hangup_client_add_cookie(client, pointer(&url), pointer(&cookie), error)
        })
    }

    fn cookies_for(&self, py: Python<'_>, url: &str) -> PyResult<String> {
        let url = optional_text(py, HANGUP_INVALID_URL, "URL", Some(url))?;
        // SAFETY: a live client, NUL-terminated text.
        let cookies = create(|out, error| unsafe {
            hangup_client_cookies_for(self.handle.as_ptr(), pointer(&url), out, error)
        })
        .or_raise(py)?;
        // SAFETY: a live string, from which the text is borrowed and copied at once.
        Ok(unsafe { text(hangup_string_value(cookies.as_ptr(), null_mut())) }.into_owned())
    }

    fn clear_cookies(&self, py: Python<'_>) -> PyResult<()> {
        // SAFETY: a live client.
        checked(unsafe { hangup_client_clear_cookies(self.handle.as_ptr()) }).or_raise(py)
    }

    fn preconnect(&self, py: Python<'_>, url: &str, wanted: usize) -> PyResult<usize> {
        let (url, mut dials) = (optional_text(py, HANGUP_INVALID_URL, "URL", Some(url))?, 0);
        // SAFETY: a live client, NUL-terminated text, room for the count.
        self.set(py, |client, error| unsafe {
            hangup_client_preconnect(client, pointer(&url), wanted, &raw mut dials, error)
        })?;
        Ok(dials)
    }

    /// Sends a request and returns when its head has arrived (`stream`), or else its whole body.
    #[pyo3(signature = (prepared, stream, /))]
    fn send(&self, py: Python<'_>, prepared: Prepared<'_>, stream: bool) -> PyResult<Response> {
        let request = Request::new(&prepared)?;
        if let Some(token) = &prepared.cancel {
            request.set_cancel(token.get().as_ptr())?;
        }
        let (client, sent, at_most) = (&self.handle, request.handle(), prepared.max_body());
        let outcome = blocking(py, move || {
            // SAFETY: a live client and a live request, used by this thread alone.
            let response = create(|out, error| unsafe {
                hangup_client_send(client.as_ptr(), sent.as_ptr(), out, error)
            })?;
            let beginning = if stream { None } else { Some(begin(&response, at_most)?) };
            Ok((response, beginning))
        })?;
        let (response, beginning) = request.outcome(outcome)?;
        let part = match beginning {
            None => return Ok(Response::new(response, &prepared.method, &prepared.url, false)),
            Some(Beginning::InLibrary) => {
                return Ok(Response::new(response, &prepared.method, &prepared.url, true));
            }
            Some(Beginning::Part { bytes, ended }) => Some((bytes, ended)),
            Some(Beginning::Unread) => None,
        };
        let content = request.outcome(read_content(py, &response, part, at_most)?)?;
        let response = Response::new(response, &prepared.method, &prepared.url, false);
        Ok(response.with_content(content))
    }

    /// Sends a request and writes its body to a file. `options`: max_bytes, resumes, resume, sync.
    #[pyo3(signature = (prepared, path, options, /))]
    fn download(
        &self,
        py: Python<'_>,
        prepared: Prepared<'_>,
        path: &[u8],
        options: (i64, i64, bool, bool),
    ) -> PyResult<Response> {
        let request = Request::new(&prepared)?;
        if let Some(token) = &prepared.cancel {
            request.set_cancel(token.get().as_ptr())?;
        }
        let path = c_string(HANGUP_INVALID_ARGUMENT, "path", path).or_raise(py)?;
        let options = download_options(options);
        let (client, sent) = (&self.handle, request.handle());
        let outcome = blocking(py, move || {
            // SAFETY: a live client, a live request that this thread alone uses, NUL-terminated text, a structure
            // with its size set.
            create(|out, error| unsafe {
                let (client, sent) = (client.as_ptr(), sent.as_ptr());
                hangup_client_download(client, sent, path.as_ptr(), &raw const options, out, error)
            })
        })?;
        let response = request.outcome(outcome)?;
        Ok(Response::new(response, &prepared.method, &prepared.url, true))
    }

    /// Submits a download and returns its tag in `port`. `future` gets the response when the file is there.
    #[pyo3(signature = (prepared, path, options, port, future, /))]
    fn submit_download(
        &self,
        py: Python<'_>,
        prepared: Prepared<'_>,
        path: &[u8],
        options: (i64, i64, bool, bool),
        port: &Port,
        future: Py<PyAny>,
    ) -> PyResult<u64> {
        let request = Request::new(&prepared)?;
        let token = token(prepared.cancel.as_ref().map(Bound::get)).or_raise(py)?;
        request.set_cancel(token.as_ptr())?;
        let path = c_string(HANGUP_INVALID_ARGUMENT, "path", path).or_raise(py)?;
        let options = download_options(options);
        let kind = PendingKind::Exchange {
            token,
            body_exception: request.body_exception(),
            request: (prepared.method.clone().unbind(), prepared.url.clone().unbind()),
            buffered: true,
        };
        let submitted = port.submit(Pending { future: Some(future), kind }, |queue, tag| {
            let (client, sent) = (self.handle.as_ptr(), request.handle().as_ptr());
            let (path, options) = (path.as_ptr(), &raw const options);
            // SAFETY: a live client, a live request, a live queue, text and options, which are copied.
            call(|error| unsafe {
                hangup_client_submit_download(client, sent, path, options, queue, tag, error)
            })
        });
        request.outcome(submitted)
    }

    /// Submits a request and returns its tag in `port`. `future` gets the response when its head has arrived
    /// (`stream`), or else its whole body. Never blocks.
    #[pyo3(signature = (prepared, stream, port, future, /))]
    fn submit(
        &self,
        py: Python<'_>,
        prepared: Prepared<'_>,
        stream: bool,
        port: &Port,
        future: Py<PyAny>,
    ) -> PyResult<u64> {
        let request = Request::new(&prepared)?;
        if !stream {
            request.set_buffer_body(prepared.max_body())?;
        }
        // Each submitted request has its own token, which the cancellation of its task fires.
        let token = token(prepared.cancel.as_ref().map(Bound::get)).or_raise(py)?;
        request.set_cancel(token.as_ptr())?;
        let kind = PendingKind::Exchange {
            token,
            body_exception: request.body_exception(),
            request: (prepared.method.clone().unbind(), prepared.url.clone().unbind()),
            buffered: !stream,
        };
        let submitted = port.submit(Pending { future: Some(future), kind }, |queue, tag| {
            let (client, sent) = (self.handle.as_ptr(), request.handle().as_ptr());
            // SAFETY: a live client, a live request and a live queue.
            call(|error| unsafe { hangup_client_submit(client, sent, queue, tag, error) })
        });
        request.outcome(submitted)
    }
}

impl Client {
    pub fn as_ptr(&self) -> *mut hangup_client {
        self.handle.as_ptr()
    }

    /// Calls a setter.
    fn set(
        &self,
        py: Python<'_>,
        setter: impl FnOnce(*mut hangup_client, *mut *mut hangup_error) -> hangup_status,
    ) -> PyResult<()> {
        call(|error| setter(self.handle.as_ptr(), error)).or_raise(py)
    }
}

/// max_bytes, resumes, resume, sync.
fn download_options(
    (max_bytes, resumes, resume, sync): (i64, i64, bool, bool),
) -> hangup_download_options {
    let size = size_of::<hangup_download_options>();
    hangup_download_options { size, max_bytes, resumes, resume: resume.into(), sync: sync.into() }
}

/// A retry policy: three delays and a budget, the status codes, attempts, connect errors, percent.
type PolicyRow = (i64, i64, i64, i64, Vec<i32>, i64, bool, i64);

/// A cookie: name, value, domain, path, expiry (-1: none), and whether it is host-only, secure and HttpOnly.
type CookieFields = (Vec<u8>, Vec<u8>, String, Vec<u8>, i64, (bool, bool, bool));

/// Text for the library; `None` stays `None`.
fn optional_text(
    py: Python<'_>,
    status: hangup_status,
    what: &str,
    value: Option<&str>,
) -> PyResult<Option<CString>> {
    let text = value.map(|value| c_string(status, what, value.as_bytes()));
    text.transpose().or_raise(py)
}

fn pointer(text: &Option<CString>) -> *const c_char {
    text.as_ref().map_or(null(), |text| text.as_ptr())
}
