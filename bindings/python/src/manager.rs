//! `Manager`: list, count, limit, drain and close connections. Results are tuples; Python names their fields.

use pyo3::prelude::*;

use crate::failure::{Failure, OrRaise, c_string, call, checked, create, text};
use crate::handle::Owned;
use crate::interrupt::blocking;
use crate::limits::{self, LimitPairs};
use crate::sys::*;
use crate::tcp_facts;

/// An owned manager. Threads: any, at any time.
#[pyclass(frozen, subclass, module = "hangup._native")]
pub struct Manager {
    handle: Owned<hangup_manager>,
}

/// id, origin, peer, local, tls, state, closing, age_ms, idle_ms, requests, bytes_in, bytes_out.
type Info = (u64, String, String, String, String, String, bool, i64, i64, u64, u64, u64);

/// A connection and what TCP knows of it.
type Row = (Info, tcp_facts::Row);

/// In the order of the header's hangup_stats.
type Stats = [u64; 14];

#[pymethods]
impl Manager {
    #[new]
    #[pyo3(signature = (limits = None, *, shared = false))]
    fn new(py: Python<'_>, limits: Option<LimitPairs>, shared: bool) -> PyResult<Self> {
        let made = if shared {
            // SAFETY: no arguments.
            Owned::new(unsafe { hangup_manager_shared() })
                .ok_or_else(|| Failure::local(HANGUP_PANIC, "the library returned no manager"))
        } else {
            limits::options(&limits.unwrap_or_default()).and_then(|options| {
                // SAFETY: live options, which are only read.
                create(|out, error| unsafe { hangup_manager_new(options.as_ptr(), out, error) })
            })
        };
        Ok(Manager { handle: made.or_raise(py)? })
    }

    /// The manager's number. Two objects with equal numbers are the same manager, in C and in Python.
    #[getter]
    fn id(&self) -> u64 {
        // SAFETY: a live manager.
        unsafe { hangup_manager_id(self.as_ptr()) }
    }

    #[getter(_address)]
    fn address(&self) -> usize {
        self.handle.address()
    }

    /// Sets all of them, or none if one is refused.
    #[pyo3(name = "_set_limits")]
    fn set_limits(&self, py: Python<'_>, limits: LimitPairs) -> PyResult<()> {
        limits::check_limits(py, limits.clone())?;
        for (limit, value) in limits {
            // SAFETY: a live manager.
            call(|error| unsafe { hangup_manager_set_limit(self.as_ptr(), limit, value, error) })
                .or_raise(py)?;
        }
        Ok(())
    }

    #[pyo3(name = "_limit")]
    fn limit(&self, py: Python<'_>, limit: i32) -> PyResult<i64> {
        let mut value = 0;
        // SAFETY: a live manager and room for the value.
        checked(unsafe { hangup_manager_limit(self.as_ptr(), limit, &raw mut value) })
            .or_raise(py)?;
        Ok(value)
    }

    #[pyo3(name = "_connections")]
    fn connections(&self, py: Python<'_>) -> PyResult<Vec<Row>> {
        self.rows().or_raise(py)
    }

    #[pyo3(name = "_connections_json")]
    fn connections_json(&self, py: Python<'_>) -> PyResult<String> {
        // SAFETY: a live manager, and a place for a list.
        let list =
            create(|out, error| unsafe { hangup_manager_connections(self.as_ptr(), out, error) })
                .or_raise(py)?;
        // SAFETY: a live list; the text is borrowed from it and copied at once.
        Ok(unsafe { text(hangup_connections_json(list.as_ptr())) }.into_owned())
    }

    #[pyo3(name = "_stats")]
    fn stats(&self, py: Python<'_>) -> PyResult<Stats> {
        // SAFETY: every field is a number, for which zero is a value.
        let mut s: hangup_stats = unsafe { std::mem::zeroed() };
        s.size = size_of_val(&s);
        // SAFETY: a live manager and a structure with its size set.
        checked(unsafe { hangup_manager_stats(self.as_ptr(), &raw mut s) }).or_raise(py)?;
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
    fn close_connection(&self, py: Python<'_>, id: u64, mode: i32) -> PyResult<()> {
        // SAFETY: a live manager.
        let close =
            |error| unsafe { hangup_manager_close_connection(self.as_ptr(), id, mode, error) };
        call(close).or_raise(py)
    }

    #[pyo3(name = "_close_origin")]
    fn close_origin(&self, py: Python<'_>, origin: &str, mode: i32) -> PyResult<usize> {
        let mut closed = 0;
        c_string(HANGUP_INVALID_URL, "origin", origin.as_bytes())
            .and_then(|origin| {
                // SAFETY: a live manager, NUL-terminated text, room for the count.
                call(|error| unsafe {
                    let (manager, count) = (self.as_ptr(), &raw mut closed);
                    hangup_manager_close_origin(manager, origin.as_ptr(), mode, count, error)
                })
            })
            .or_raise(py)?;
        Ok(closed)
    }

    #[pyo3(name = "_close_idle")]
    fn close_idle(&self, py: Python<'_>, idle_for_ms: i64) -> PyResult<usize> {
        let mut closed = 0;
        // SAFETY: a live manager and room for the count.
        checked(unsafe { hangup_manager_close_idle(self.as_ptr(), idle_for_ms, &raw mut closed) })
            .or_raise(py)?;
        Ok(closed)
    }

    #[pyo3(name = "_close_all")]
    fn close_all(&self, py: Python<'_>, mode: i32) -> PyResult<usize> {
        let mut closed = 0;
        // SAFETY: a live manager and room for the count.
        checked(unsafe { hangup_manager_close_all(self.as_ptr(), mode, &raw mut closed) })
            .or_raise(py)?;
        Ok(closed)
    }

    /// Closes idle connections, closes those in use after their exchange, and forgets all resolved addresses.
    ///
    /// Call it when the network has changed: another Wi-Fi, a VPN, resume from sleep. On Linux most changes are
    /// noticed without it (`network_watch`). Returns how many connections were closed or will be. Requests are
    /// not retried.
    fn network_changed(&self, py: Python<'_>) -> PyResult<usize> {
        let mut closed = 0;
        // SAFETY: a live manager and room for the count.
        checked(unsafe { hangup_manager_network_changed(self.as_ptr(), &raw mut closed) })
            .or_raise(py)?;
        Ok(closed)
    }

    /// Whether the manager acts on changes of the network that the system tells of (on Linux). Default: True.
    ///
    /// Setting it takes effect at once. When an address of this machine goes, or its interface is switched off, idle
    /// connections from that address are closed ("network changed"), and those in use are closed after their exchange.
    /// When an address goes or comes, or the default route is another one, resolved addresses are forgotten, and
    /// connections for which the system would choose another local address now are closed, too: a VPN has taken over
    /// the way to their peers. It is noticed within half a second while connections are idle, and before each new
    /// connection and each request that could not be sent again. Where a sandbox forbids netlink sockets, and on other
    /// systems, nothing is noticed: call `network_changed`.
    #[getter]
    fn network_watch(&self) -> bool {
        // SAFETY: a live manager.
        unsafe { hangup_manager_network_watch(self.as_ptr()) != 0 }
    }

    #[setter]
    fn set_network_watch(&self, py: Python<'_>, on: bool) -> PyResult<()> {
        // SAFETY: a live manager.
        checked(unsafe { hangup_manager_set_network_watch(self.as_ptr(), i32::from(on)) })
            .or_raise(py)
    }

    /// `addresses`: separated by commas; None removes the entry.
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
        set().or_raise(py)
    }

    #[pyo3(name = "_preconnect")]
    fn preconnect(&self, py: Python<'_>, origin: &str, wanted: usize) -> PyResult<usize> {
        let mut dials = 0;
        c_string(HANGUP_INVALID_URL, "origin", origin.as_bytes())
            .and_then(|origin| {
                // SAFETY: a live manager, NUL-terminated text, room for the count.
                call(|error| unsafe {
                    let (manager, count) = (self.as_ptr(), &raw mut dials);
                    hangup_manager_preconnect(manager, origin.as_ptr(), wanted, count, error)
                })
            })
            .or_raise(py)?;
        Ok(dials)
    }

    /// Forgets all resolved addresses: the next dial resolves again. Open connections stay.
    fn clear_addresses(&self, py: Python<'_>) -> PyResult<()> {
        // SAFETY: a live manager.
        checked(unsafe { hangup_manager_clear_addresses(self.as_ptr()) }).or_raise(py)
    }

    #[pyo3(name = "_drain")]
    fn drain(&self, py: Python<'_>, timeout_ms: i64) -> PyResult<()> {
        let manager = &self.handle;
        blocking(py, || {
            // SAFETY: a live manager.
            call(|error| unsafe { hangup_manager_drain(manager.as_ptr(), timeout_ms, error) })
        })?
        .or_raise(py)
    }

    /// Why a connection was closed, for example "peer closed". The last 256 closed connections are known.
    ///
    /// Raises NotFound if it is still open, never existed, or is not among those 256.
    fn close_reason(&self, py: Python<'_>, id: u64) -> PyResult<String> {
        let mut reason = 0;
        // SAFETY: a live manager and room for the reason.
        checked(unsafe { hangup_manager_close_reason(self.as_ptr(), id, &raw mut reason) })
            .or_raise(py)?;
        // SAFETY: static text.
        Ok(unsafe { text(hangup_close_reason_text(reason)) }.into_owned())
    }

    /// Shuts the manager down for good: exchanges in progress and later requests raise ManagerShutDown.
    ///
    /// Never blocks; does nothing the second time. The shared manager stays shut down in this process.
    fn shutdown(&self, py: Python<'_>) -> PyResult<()> {
        // SAFETY: a live manager.
        checked(unsafe { hangup_manager_shutdown(self.as_ptr()) }).or_raise(py)
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
    // SAFETY: a live list and a structure with its size set.
    checked(unsafe { hangup_connections_at(list.as_ptr(), index, &raw mut i) })?;
    // SAFETY: the texts are borrowed from the list, or static, and copied at once.
    let [origin, peer, local, tls, state] = unsafe {
        [i.origin, i.peer, i.local, i.tls, hangup_connection_state_text(i.state)]
            .map(|t| text(t).into_owned())
    };
    let closing = i.closing != 0;
    let (age, idle) = (i.age_ms, i.idle_ms);
    let info = (
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
    );
    Ok((info, tcp_facts::of_connection(&i)))
}
