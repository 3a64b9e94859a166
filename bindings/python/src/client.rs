//! `Client`: set up once, then one call for one exchange.

use std::ffi::{CString, c_char};
use std::ptr::{null, null_mut};

use pyo3::prelude::*;
use pyo3::types::{PyString, PyTuple};

use crate::cancel::{CancelToken, token};
use crate::failure::{c_string, call, checked, create, text};
use crate::handle::Owned;
use crate::interrupt::blocking;
use crate::manager::Manager;
use crate::port::Port;
use crate::request::{Request, header, raw};
use crate::response::{Response, read_all};
use crate::sys::*;
use crate::waiting::{Waiting, Work};

/// One share of a client. Any thread at any time.
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
        Ok(Client { handle: made.map_err(|failure| failure.raise(py, None))? })
    }

    #[getter]
    fn address(&self) -> usize {
        self.handle.address()
    }

    fn set_timeout(&self, py: Python<'_>, which: i32, ms: i64) -> PyResult<()> {
        // SAFETY: a live client; what is pointed to is copied.
        self.set(py, |client, error| unsafe { hangup_client_set_timeout(client, which, ms, error) })
    }

    fn set_header(
        &self,
        py: Python<'_>,
        name: &Bound<'_, PyAny>,
        value: &Bound<'_, PyAny>,
    ) -> PyResult<()> {
        let (name, value) = (raw(name, "header name")?, raw(value, "header value")?);
        let client = self.handle.as_ptr();
        // SAFETY: a live client, NUL-terminated text, which is copied.
        header(name, value, |name, value, error| unsafe {
            hangup_client_set_header(client, name, value, error)
        })
        .map_err(|failure| failure.raise(py, None))
    }

    fn set_connection(&self, py: Python<'_>, mode: i32) -> PyResult<()> {
        // SAFETY: a live client; what is pointed to is copied.
        self.set(py, |client, error| unsafe {
            hangup_client_set_connection_mode(client, mode, error)
        })
    }

    fn set_roots(&self, py: Python<'_>, pem: &[u8]) -> PyResult<()> {
        // SAFETY: a live client; what is pointed to is copied.
        self.set(py, |client, error| unsafe {
            hangup_client_set_tls_roots(client, pem.as_ptr(), pem.len(), error)
        })
    }

    fn set_roots_file(&self, py: Python<'_>, path: &str) -> PyResult<()> {
        let path = c_string(HANGUP_INVALID_ARGUMENT, "path", path.as_bytes())
            .map_err(|failure| failure.raise(py, None))?;
        // SAFETY: a live client; what is pointed to is copied.
        self.set(py, |client, error| unsafe {
            hangup_client_set_tls_roots_file(client, path.as_ptr(), error)
        })
    }

    fn set_certificate(&self, py: Python<'_>, certificate: &[u8], key: &[u8]) -> PyResult<()> {
        let (c, k) = (certificate, key);
        // SAFETY: a live client; what is pointed to is copied.
        self.set(py, |client, error| unsafe {
            hangup_client_set_tls_certificate(
                client,
                c.as_ptr(),
                c.len(),
                k.as_ptr(),
                k.len(),
                error,
            )
        })
    }

    fn trust_anybody(&self, py: Python<'_>) -> PyResult<()> {
        // SAFETY: a live client; what is pointed to is copied.
        self.set(py, |client, error| unsafe {
            hangup_client_set_tls_dangerously_accept_any_certificate(client, 1, error)
        })
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

    fn set_decode(&self, py: Python<'_>, on: bool) -> PyResult<()> {
        // SAFETY: a live client.
        self.set(py, |client, error| unsafe { hangup_client_set_decode(client, on.into(), error) })
    }

    fn set_max_codings(&self, py: Python<'_>, max: i64) -> PyResult<()> {
        // SAFETY: a live client.
        self.set(py, |client, error| unsafe { hangup_client_set_max_codings(client, max, error) })
    }

    fn add_sensitive_header(&self, py: Python<'_>, name: &Bound<'_, PyAny>) -> PyResult<()> {
        let name = c_string(HANGUP_INVALID_HEADER, "header name", raw(name, "header name")?);
        let name = name.map_err(|failure| failure.raise(py, None))?;
        // SAFETY: a live client, NUL-terminated text, which is copied.
        self.set(py, |client, error| unsafe {
            hangup_client_add_sensitive_header(client, name.as_ptr(), error)
        })
    }

    fn set_proxy(&self, py: Python<'_>, proxy: Option<&str>) -> PyResult<()> {
        let proxy = given(py, HANGUP_INVALID_ARGUMENT, "proxy", proxy)?;
        // SAFETY: a live client, NULL or NUL-terminated text, which is copied.
        self.set(py, |client, error| unsafe {
            hangup_client_set_proxy(client, pointer(&proxy), error)
        })
    }

    fn set_no_proxy(&self, py: Python<'_>, list: &str) -> PyResult<()> {
        let list = given(py, HANGUP_INVALID_ARGUMENT, "list of hosts", Some(list))?;
        // SAFETY: a live client, NUL-terminated text, which is copied.
        self.set(py, |client, error| unsafe {
            hangup_client_set_no_proxy(client, pointer(&list), error)
        })
    }

    fn set_local_address(&self, py: Python<'_>, address: &str) -> PyResult<()> {
        let address = given(py, HANGUP_INVALID_ARGUMENT, "address", Some(address))?;
        // SAFETY: a live client, NUL-terminated text, which is copied.
        self.set(py, |client, error| unsafe {
            hangup_client_set_local_address(client, pointer(&address), error)
        })
    }

    fn set_cookies(&self, py: Python<'_>, on: bool) -> PyResult<()> {
        // SAFETY: a live client.
        self.set(py, |client, error| unsafe { hangup_client_set_cookies(client, on.into(), error) })
    }

    fn set_cookie(&self, py: Python<'_>, url: &str, cookie: &str) -> PyResult<()> {
        let (url, cookie) = (
            given(py, HANGUP_INVALID_URL, "URL", Some(url))?,
            given(py, HANGUP_INVALID_ARGUMENT, "cookie", Some(cookie))?,
        );
        // SAFETY: a live client, NUL-terminated texts, which are copied.
        self.set(py, |client, error| unsafe {
            hangup_client_add_cookie(client, pointer(&url), pointer(&cookie), error)
        })
    }

    fn cookies_for(&self, py: Python<'_>, url: &str) -> PyResult<String> {
        let url = given(py, HANGUP_INVALID_URL, "URL", Some(url))?;
        // SAFETY: a live client, NUL-terminated text.
        let cookies = create(|out, error| unsafe {
            hangup_client_cookies_for(self.handle.as_ptr(), pointer(&url), out, error)
        })
        .map_err(|failure| failure.raise(py, None))?;
        // SAFETY: a live text, from which its value is borrowed and copied.
        Ok(unsafe { text(hangup_string_value(cookies.as_ptr(), null_mut())) }.into_owned())
    }

    fn clear_cookies(&self, py: Python<'_>) -> PyResult<()> {
        // SAFETY: a live client.
        checked(unsafe { hangup_client_clear_cookies(self.handle.as_ptr()) })
            .map_err(|failure| failure.raise(py, None))
    }

    fn preconnect(&self, py: Python<'_>, url: &str, wanted: usize) -> PyResult<usize> {
        let (url, mut begun) = (given(py, HANGUP_INVALID_URL, "URL", Some(url))?, 0);
        // SAFETY: a live client, NUL-terminated text, a place for the count.
        self.set(py, |client, error| unsafe {
            hangup_client_preconnect(client, pointer(&url), wanted, &raw mut begun, error)
        })?;
        Ok(begun)
    }

    /// One exchange: up to the head if `stream`, else up to the body's last byte.
    ///
    /// `headers`: pairs. `body`: see `Request::body`. `limits`: pairs of a clock and milliseconds.
    /// `mode`: one of HANGUP_CONNECTION_MODE_KEEP, HANGUP_CONNECTION_MODE_CLOSE_AFTER, HANGUP_CONNECTION_MODE_FRESH. `redirects`: how many are followed.
    /// `min_rate`: bytes per second, and a window in milliseconds. None is the client's.
    #[pyo3(signature = (
        method, url, headers, body, limits, mode, redirects, retries, min_rate, cancel, stream, /
    ))]
    #[allow(clippy::too_many_arguments)] // the hot path: no object in between
    fn send<'py>(
        &self,
        py: Python<'py>,
        method: &Bound<'py, PyString>,
        url: &Bound<'py, PyString>,
        headers: Option<&Bound<'py, PyAny>>,
        body: Option<&Bound<'py, PyAny>>,
        limits: &Bound<'py, PyTuple>,
        mode: Option<i32>,
        redirects: Option<i64>,
        retries: Option<bool>,
        min_rate: Option<(i64, i64)>,
        cancel: Option<&CancelToken>,
        stream: bool,
    ) -> PyResult<Response> {
        let mut request = Request::new((method, url))?;
        request.fill(headers, body, limits, mode, redirects, retries, min_rate)?;
        if let Some(token) = cancel {
            request.cancel_with(token.as_ptr())?;
        }
        let (client, sent) = (&self.handle, request.handle());
        let outcome = blocking(py, move || {
            // SAFETY: a live client and a live request, used by this thread alone.
            let response = create(|out, error| unsafe {
                hangup_client_send(client.as_ptr(), sent.as_ptr(), out, error)
            })?;
            if !stream {
                read_all(&response, usize::MAX)?;
            }
            Ok(response)
        })?;
        let response = request.outcome(outcome)?;
        Ok(Response::new(response, method, url, !stream))
    }

    /// Submits one exchange, of which `future` will be the end; answers its tag in the port. The arguments
    /// are those of `send`, the rest is different: nothing blocks.
    #[pyo3(signature = (
        method, url, headers, body, limits, mode, redirects, retries, min_rate, cancel, stream, port, future, /
    ))]
    #[allow(clippy::too_many_arguments)] // the hot path: no object in between
    fn submit<'py>(
        &self,
        py: Python<'py>,
        method: &Bound<'py, PyString>,
        url: &Bound<'py, PyString>,
        headers: Option<&Bound<'py, PyAny>>,
        body: Option<&Bound<'py, PyAny>>,
        limits: &Bound<'py, PyTuple>,
        mode: Option<i32>,
        redirects: Option<i64>,
        retries: Option<bool>,
        min_rate: Option<(i64, i64)>,
        cancel: Option<&CancelToken>,
        stream: bool,
        port: &Port,
        future: Py<PyAny>,
    ) -> PyResult<u64> {
        let mut request = Request::new((method, url))?;
        request.fill(headers, body, limits, mode, redirects, retries, min_rate)?;
        if !stream {
            request.whole()?;
        }
        // A token of its own for each: the task may be cancelled.
        let token = token(cancel).map_err(|failure| failure.raise(py, None))?;
        request.cancel_with(token.as_ptr())?;
        let work = Work::Exchange {
            token,
            raised: request.raised(),
            asked: (method.clone().unbind(), url.clone().unbind()),
            whole: !stream,
        };
        let submitted = port.submit(Waiting { future: Some(future), work }, |queue, tag| {
            let (client, sent) = (self.handle.as_ptr(), request.handle().as_ptr());
            // SAFETY: a live client, a live request and a live queue.
            call(|error| unsafe { hangup_client_submit(client, sent, queue, tag, error) })
        });
        request.outcome(submitted)
    }
}

impl Client {
    /// Calls a setter.
    fn set(
        &self,
        py: Python<'_>,
        setter: impl FnOnce(*mut hangup_client, *mut *mut hangup_error) -> hangup_status,
    ) -> PyResult<()> {
        call(|error| setter(self.handle.as_ptr(), error)).map_err(|failure| failure.raise(py, None))
    }
}

/// Text for the library, if there is some.
fn given(
    py: Python<'_>,
    status: hangup_status,
    what: &str,
    value: Option<&str>,
) -> PyResult<Option<CString>> {
    let text = value.map(|value| c_string(status, what, value.as_bytes()));
    text.transpose().map_err(|failure| failure.raise(py, None))
}

fn pointer(text: &Option<CString>) -> *const c_char {
    text.as_ref().map_or(null(), |text| text.as_ptr())
}
