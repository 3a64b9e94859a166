//! `Manager`: list, count, limit, drain and close connections. Rows are tuples here; Python names their fields.

use pyo3::prelude::*;

use crate::failure::{Failure, c_string, call, checked, create, text};
use crate::handle::Owned;
use crate::interrupt::blocking;
use crate::limits::{self, Pairs};
use crate::sys::*;

/// One share of a manager. Any thread at any time.
#[pyclass(frozen, subclass, module = "hangup._native")]
pub struct Manager {
    handle: Owned<hangup_manager>,
}

/// id, origin, peer, local, tls, state, closing, age_ms, idle_ms, requests, bytes_in, bytes_out.
type Row = (u64, String, String, String, String, String, bool, i64, i64, u64, u64, u64);

/// In the order of the header's hangup_stats.
type Counters = [u64; 14];

#[pymethods]
impl Manager {
    #[new]
    #[pyo3(signature = (limits = None, *, shared = false))]
    fn new(py: Python<'_>, limits: Option<Pairs>, shared: bool) -> PyResult<Self> {
        let made = if shared {
            // SAFETY: no arguments.
            Owned::new(unsafe { hangup_manager_shared() })
                .ok_or_else(|| Failure::local(HANGUP_PANIC, "the library gave no manager"))
        } else {
            limits::options(&limits.unwrap_or_default()).and_then(|options| {
                // SAFETY: live options, which are only read.
                create(|out, error| unsafe { hangup_manager_new(options.as_ptr(), out, error) })
            })
        };
        Ok(Manager { handle: made.map_err(|failure| failure.raise(py, None))? })
    }

    /// The manager's number: the same for everybody in this process who sees the same manager.
    #[getter]
    fn id(&self) -> u64 {
        // SAFETY: a live manager.
        unsafe { hangup_manager_id(self.as_ptr()) }
    }

    #[getter(_address)]
    fn address(&self) -> usize {
        self.handle.address()
    }

    /// All of them, or none if one is refused.
    #[pyo3(name = "_set_limits")]
    fn set_limits(&self, py: Python<'_>, limits: Pairs) -> PyResult<()> {
        limits::check_limits(py, limits.clone())?;
        for (limit, value) in limits {
            // SAFETY: a live manager.
            call(|error| unsafe { hangup_manager_set_limit(self.as_ptr(), limit, value, error) })
                .map_err(|failure| failure.raise(py, None))?;
        }
        Ok(())
    }

    #[pyo3(name = "_get_limit")]
    fn get_limit(&self, py: Python<'_>, limit: i32) -> PyResult<i64> {
        let mut value = 0;
        // SAFETY: a live manager and a place for the value.
        checked(unsafe { hangup_manager_limit(self.as_ptr(), limit, &raw mut value) })
            .map_err(|failure| failure.raise(py, None))?;
        Ok(value)
    }

    #[pyo3(name = "_list")]
    fn list(&self, py: Python<'_>) -> PyResult<Vec<Row>> {
        self.rows().map_err(|failure| failure.raise(py, None))
    }

    #[pyo3(name = "_counters")]
    fn counters(&self, py: Python<'_>) -> PyResult<Counters> {
        // SAFETY: every field is a number, for which zero is a value.
        let mut s: hangup_stats = unsafe { std::mem::zeroed() };
        s.size = size_of_val(&s);
        // SAFETY: a live manager and a structure that says its size.
        checked(unsafe { hangup_manager_stats(self.as_ptr(), &raw mut s) })
            .map_err(|failure| failure.raise(py, None))?;
        Ok([
            s.open,
            s.dialling,
            s.in_use,
            s.idle,
            s.opened,
            s.closed,
            s.reused,
            s.dials_failed,
            s.stale,
            s.queued,
            s.swept,
            s.waited,
            s.refused,
            s.retried,
        ])
    }

    #[pyo3(name = "_close_connection")]
    fn close_connection(&self, py: Python<'_>, id: u64, how: i32) -> PyResult<()> {
        // SAFETY: a live manager.
        let close =
            |error| unsafe { hangup_manager_close_connection(self.as_ptr(), id, how, error) };
        call(close).map_err(|failure| failure.raise(py, None))
    }

    #[pyo3(name = "_close_origin")]
    fn close_origin(&self, py: Python<'_>, origin: &str, how: i32) -> PyResult<usize> {
        let mut closed = 0;
        c_string(HANGUP_INVALID_URL, "origin", origin.as_bytes())
            .and_then(|origin| {
                // SAFETY: a live manager, NUL-terminated text, a place for the count.
                call(|error| unsafe {
                    let (manager, place) = (self.as_ptr(), &raw mut closed);
                    hangup_manager_close_origin(manager, origin.as_ptr(), how, place, error)
                })
            })
            .map_err(|failure| failure.raise(py, None))?;
        Ok(closed)
    }

    #[pyo3(name = "_close_idle")]
    fn close_idle(&self, py: Python<'_>, idle_for_ms: i64) -> PyResult<usize> {
        let mut closed = 0;
        // SAFETY: a live manager and a place for the count.
        checked(unsafe { hangup_manager_close_idle(self.as_ptr(), idle_for_ms, &raw mut closed) })
            .map_err(|failure| failure.raise(py, None))?;
        Ok(closed)
    }

    #[pyo3(name = "_close_all")]
    fn close_all(&self, py: Python<'_>, how: i32) -> PyResult<usize> {
        let mut closed = 0;
        // SAFETY: a live manager and a place for the count.
        checked(unsafe { hangup_manager_close_all(self.as_ptr(), how, &raw mut closed) })
            .map_err(|failure| failure.raise(py, None))?;
        Ok(closed)
    }

    /// Closes what is idle, marks what is in use and forgets every address that was looked up.
    ///
    /// For when the network is another one now: another Wi-Fi, a VPN, back from sleep. Says how many
    /// connections were closed or marked; nothing is asked again by itself.
    fn network_changed(&self, py: Python<'_>) -> PyResult<usize> {
        let mut closed = 0;
        // SAFETY: a live manager and a place for the count.
        checked(unsafe { hangup_manager_network_changed(self.as_ptr(), &raw mut closed) })
            .map_err(|failure| failure.raise(py, None))?;
        Ok(closed)
    }

    /// `addresses`: separated by commas; None takes them back.
    #[pyo3(name = "_set_address")]
    fn set_address(&self, py: Python<'_>, host: &str, addresses: Option<&str>) -> PyResult<()> {
        let text = |what, value: &str| c_string(HANGUP_INVALID_ARGUMENT, what, value.as_bytes());
        let set = || {
            let host = text("host", host)?;
            let addresses = addresses.map(|list| text("list of addresses", list)).transpose()?;
            let list = addresses.as_ref().map_or(std::ptr::null(), |list| list.as_ptr());
            // SAFETY: a live manager, NULL or NUL-terminated text, which is copied.
            call(|error| unsafe {
                hangup_manager_set_address(self.as_ptr(), host.as_ptr(), list, error)
            })
        };
        set().map_err(|failure| failure.raise(py, None))
    }

    #[pyo3(name = "_preconnect")]
    fn preconnect(&self, py: Python<'_>, origin: &str, wanted: usize) -> PyResult<usize> {
        let mut begun = 0;
        c_string(HANGUP_INVALID_URL, "origin", origin.as_bytes())
            .and_then(|origin| {
                // SAFETY: a live manager, NUL-terminated text, a place for the count.
                call(|error| unsafe {
                    let (manager, place) = (self.as_ptr(), &raw mut begun);
                    hangup_manager_preconnect(manager, origin.as_ptr(), wanted, place, error)
                })
            })
            .map_err(|failure| failure.raise(py, None))?;
        Ok(begun)
    }

    /// Forgets every address that was looked up: the next dial asks again. Connections are not touched.
    fn clear_addresses(&self, py: Python<'_>) -> PyResult<()> {
        // SAFETY: a live manager.
        checked(unsafe { hangup_manager_clear_addresses(self.as_ptr()) })
            .map_err(|failure| failure.raise(py, None))
    }

    #[pyo3(name = "_drain")]
    fn drain(&self, py: Python<'_>, timeout_ms: i64) -> PyResult<()> {
        let manager = &self.handle;
        blocking(py, || {
            // SAFETY: a live manager.
            call(|error| unsafe { hangup_manager_drain(manager.as_ptr(), timeout_ms, error) })
        })?
        .map_err(|failure| failure.raise(py, None))
    }

    /// Why a connection ended, for example "peer closed". The last 256 that ended are remembered.
    ///
    /// Raises NotFound if it is still open, never was, or ended too long ago.
    fn why_closed(&self, py: Python<'_>, id: u64) -> PyResult<String> {
        let mut reason = 0;
        // SAFETY: a live manager and a place for the reason.
        checked(unsafe { hangup_manager_close_reason(self.as_ptr(), id, &raw mut reason) })
            .map_err(|failure| failure.raise(py, None))?;
        // SAFETY: static text.
        Ok(unsafe { text(hangup_close_reason_text(reason)) }.into_owned())
    }

    /// Ends the manager for good: exchanges end with ManagerShutDown, as does every later request.
    ///
    /// Never blocks; twice is once. Shutting down the shared manager is legal, and final for the process.
    fn shutdown(&self, py: Python<'_>) -> PyResult<()> {
        // SAFETY: a live manager.
        checked(unsafe { hangup_manager_shutdown(self.as_ptr()) })
            .map_err(|failure| failure.raise(py, None))
    }
}

impl Manager {
    pub fn as_ptr(&self) -> *mut hangup_manager {
        self.handle.as_ptr()
    }

    pub fn handle(&self) -> &Owned<hangup_manager> {
        &self.handle
    }

    fn rows(&self) -> Result<Vec<Row>, Failure> {
        // SAFETY: a live manager.
        let list =
            create(|out, error| unsafe { hangup_manager_connections(self.as_ptr(), out, error) })?;
        // SAFETY: a live list.
        let count = unsafe { hangup_connections_count(list.as_ptr()) };
        (0..count).map(|index| row(&list, index)).collect()
    }
}

fn row(list: &Owned<hangup_connections>, index: usize) -> Result<Row, Failure> {
    // SAFETY: numbers and pointers, for which zero is a value.
    let mut i: hangup_connection_info = unsafe { std::mem::zeroed() };
    i.size = size_of_val(&i);
    // SAFETY: a live list and a structure that says its size.
    checked(unsafe { hangup_connections_at(list.as_ptr(), index, &raw mut i) })?;
    // SAFETY: the texts are borrowed from the list, or static, and copied at once.
    let [origin, peer, local, tls, state] = unsafe {
        [i.origin, i.peer, i.local, i.tls, hangup_connection_state_text(i.state)]
            .map(|t| text(t).into_owned())
    };
    let closing = i.closing != 0;
    let (age, idle) = (i.age_ms, i.idle_ms);
    Ok((
        i.id,
        origin,
        peer,
        local,
        tls,
        state,
        closing,
        age,
        idle,
        i.requests,
        i.bytes_in,
        i.bytes_out,
    ))
}
