//! What happened on a server's connections, for the test that watches.
//!
//! Connection threads write, tests read and wait; one lock protects all of it, with one condition
//! variable, since nothing here is ever busy. Knows neither scripts nor protocols: proxies and SOCKS
//! servers keep the same books.

use crate::latch::{Latch, entry, poll};
use std::collections::HashMap;
use std::io;
use std::os::fd::RawFd;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Which side ended a connection, and how. The first end counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// The peer closed in good order.
    Fin,
    /// The peer reset it; Linux does that too when a socket is closed over unread bytes.
    Rst,
    /// The server did: its script closed or ended, or the server was stopped.
    ByServer,
}

/// What a `Server`, a `Proxy` or a `Socks` has seen so far; each of them derefs to its own. Begins
/// and ends with its server, and can be read after the server was stopped. All methods from any
/// thread.
///
/// Connections are counted from 0 in the order in which they were accepted. Waits answer false or
/// `None` when the time is up.
#[derive(Debug, Default)]
pub struct Ledger {
    state: Mutex<State>,
    changed: Condvar,
}

/// One connection's history.
#[derive(Debug, Default)]
pub(crate) struct Record {
    pub(crate) heads: Vec<String>,
    pub(crate) bodies: Vec<Vec<u8>>,
    pub(crate) received: Vec<u8>,
    pub(crate) ended: Option<(Ended, Instant)>,
    pub(crate) broken: Option<String>,
    /// The script waits for a request head, so all that it had to send before is sent.
    pub(crate) awaits_head: bool,
    /// Where a proxy's tunnel leads, as the client put it.
    pub(crate) tunnel: Option<String>,
    /// The server's socket, while it is certain to be open.
    socket: Option<RawFd>,
    /// The server's socket is gone.
    pub(crate) closed: bool,
}

#[derive(Debug, Default)]
pub(crate) struct State {
    connections: Vec<Record>,
    /// Connection and number of its head, by arrival.
    order: Vec<(usize, usize)>,
    most_open: usize,
    marks: HashMap<String, usize>,
    latches: HashMap<String, Arc<Latch>>,
}

impl Ledger {
    /// Waits until a script has reached the mark of this name at least once.
    pub fn wait_mark(&self, name: &str, timeout: Duration) -> bool {
        self.wait_marks(name, 1, timeout)
    }

    /// Waits until scripts have reached the mark of this name `times` times in all.
    pub fn wait_marks(&self, name: &str, times: usize, timeout: Duration) -> bool {
        self.wait_until(timeout, |s| s.marks.get(name).is_some_and(|count| *count >= times))
    }

    /// Waits until `count` connections were accepted in all.
    pub fn wait_connections(&self, count: usize, timeout: Duration) -> bool {
        self.wait_until(timeout, |s| s.connections.len() >= count)
    }

    /// Waits until exactly `count` connections have not ended yet.
    pub fn wait_open(&self, count: usize, timeout: Duration) -> bool {
        self.wait_until(timeout, |s| s.open() == count)
    }

    /// Waits until `count` request heads were received in all, on any connections.
    pub fn wait_heads(&self, count: usize, timeout: Duration) -> bool {
        self.wait_until(timeout, |s| s.order.len() >= count)
    }

    /// Waits until a proxy has opened `count` tunnels in all.
    pub fn wait_tunnels(&self, count: usize, timeout: Duration) -> bool {
        self.wait_until(timeout, |s| s.tunnels().count() >= count)
    }

    /// Waits until every connection accepted so far is closed on this side too.
    pub fn wait_idle(&self, timeout: Duration) -> bool {
        self.wait_until(timeout, |s| s.connections.iter().all(|record| record.closed))
    }

    /// Waits until the script of every connection accepted so far waits for a request head or has ended:
    /// what was to be sent before is sent.
    pub fn wait_listening(&self, timeout: Duration) -> bool {
        self.wait_until(timeout, |s| {
            s.connections.iter().all(|record| record.awaits_head || record.ended.is_some())
        })
    }

    /// Waits for the end of a connection. Returns which side ended it, and when that was seen. A connection
    /// that was not accepted yet is waited for as well.
    pub fn wait_ended(&self, connection: usize, timeout: Duration) -> Option<(Ended, Instant)> {
        self.wait(timeout, |s| s.connections.get(connection).and_then(|record| record.ended))
    }

    /// How many connections were accepted in all.
    pub fn connections(&self) -> usize {
        self.read(|s| s.connections.len())
    }

    /// How many connections have not ended yet.
    pub fn open_connections(&self) -> usize {
        self.read(State::open)
    }

    /// The highest number of connections that were open at the same time. Never more than there
    /// were: a connection that the client closed before it opened the next one is not counted with
    /// that. A connection that was closed before it was accepted may be missed.
    pub fn most_open(&self) -> usize {
        self.read(|s| s.most_open)
    }

    /// The request heads received on a connection, each with its blank line.
    pub fn heads(&self, connection: usize) -> Vec<String> {
        self.of(connection, |record| record.heads.clone()).unwrap_or_default()
    }

    /// All request heads in the order in which they arrived, each with the number of its
    /// connection.
    pub fn accepted_order(&self) -> Vec<(usize, String)> {
        let head = |s: &State, (at, number): (usize, usize)| {
            (at, s.connections.get(at).and_then(|r| r.heads.get(number).cloned()))
        };
        let all = self.read(|s| s.order.iter().map(|item| head(s, *item)).collect::<Vec<_>>());
        all.into_iter().filter_map(|(at, head)| Some((at, head?))).collect()
    }

    /// The request bodies received on a connection, decoded, one for each head that was answered or
    /// followed by `recv body`.
    pub fn bodies(&self, connection: usize) -> Vec<Vec<u8>> {
        self.of(connection, |record| record.bodies.clone()).unwrap_or_default()
    }

    /// The bytes that the script has taken from a connection: heads as they came, bodies without
    /// their chunk framing, plain if there is TLS, at most 16 MiB.
    pub fn received(&self, connection: usize) -> Vec<u8> {
        self.of(connection, |record| record.received.clone()).unwrap_or_default()
    }

    /// How often scripts have reached a mark.
    pub fn marks(&self, name: &str) -> usize {
        self.read(|s| s.marks.get(name).copied().unwrap_or(0))
    }

    /// Which side ended a connection; `None` while it is open, and for one that was not accepted.
    pub fn ended(&self, connection: usize) -> Option<Ended> {
        self.of(connection, |record| record.ended).flatten().map(|(how, _)| how)
    }

    /// What was wrong with what the peer sent, such as the TLS alert with which it refused the
    /// certificate.
    pub fn broken(&self, connection: usize) -> Option<String> {
        self.of(connection, |record| record.broken.clone()).flatten()
    }

    /// The tunnels that a proxy has opened, by connection: `host:port` as the client asked for it.
    pub fn tunnels(&self) -> Vec<String> {
        self.read(|s| s.tunnels().map(|(_, to)| to.clone()).collect())
    }

    /// How many tunnels of a proxy have not ended yet.
    pub fn open_tunnels(&self) -> usize {
        self.read(|s| s.tunnels().filter(|(record, _)| record.ended.is_none()).count())
    }

    /// Opens the record of connection `index`; records are opened in order of acceptance.
    pub(crate) fn accepted(&self, index: usize, socket: RawFd) {
        self.write(|state| {
            while state.connections.len() <= index {
                state.connections.push(Record::default());
            }
            state.connections[index].socket = Some(socket);
            state.most_open = state.most_open.max(state.count_open()).max(1);
        });
    }

    /// The socket of connection `index` is about to be closed on this side.
    pub(crate) fn leaving(&self, index: usize) {
        self.record(index, |record| record.socket = None);
    }

    /// Changes connection `index` and wakes the waiting threads.
    pub(crate) fn record(&self, index: usize, change: impl FnOnce(&mut Record)) {
        self.write(|state| state.connections.get_mut(index).map_or((), change));
    }

    /// Notes a request head.
    pub(crate) fn head(&self, index: usize, head: &str) {
        self.write(|state| {
            let Some(record) = state.connections.get_mut(index) else {
                return;
            };
            state.order.push((index, record.heads.len()));
            record.heads.push(head.to_owned());
        });
    }

    /// Notes an end, now, unless one was noted before.
    pub(crate) fn note_end(&self, index: usize, how: Ended) {
        self.record(index, |record| {
            record.ended.get_or_insert_with(|| (how, Instant::now()));
        });
    }

    pub(crate) fn mark(&self, name: &str) {
        self.write(|state| *state.marks.entry(name.to_owned()).or_default() += 1);
    }

    /// The barrier of this name, made by the first call.
    pub(crate) fn latch(&self, name: &str) -> io::Result<Arc<Latch>> {
        let mut state = self.lock();
        if let Some(latch) = state.latches.get(name) {
            return Ok(Arc::clone(latch));
        }
        let latch = Arc::new(Latch::new()?);
        state.latches.insert(name.to_owned(), Arc::clone(&latch));
        Ok(latch)
    }

    fn of<T>(&self, connection: usize, look: impl FnOnce(&Record) -> T) -> Option<T> {
        self.read(|s| s.connections.get(connection).map(look))
    }

    fn read<T>(&self, look: impl FnOnce(&State) -> T) -> T {
        look(&self.lock())
    }

    fn wait_until(&self, timeout: Duration, holds: impl Fn(&State) -> bool) -> bool {
        self.wait(timeout, |state| holds(state).then_some(())).is_some()
    }

    /// Waits until `look` finds something, at most `timeout`.
    fn wait<T>(&self, timeout: Duration, mut look: impl FnMut(&State) -> Option<T>) -> Option<T> {
        let until = Instant::now() + timeout;
        let mut state = self.lock();
        loop {
            if let Some(found) = look(&state) {
                return Some(found);
            }
            let left = until.checked_duration_since(Instant::now())?;
            let woken = self.changed.wait_timeout(state, left);
            state = woken.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn write<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let result = change(&mut self.lock());
        self.changed.notify_all();
        result
    }

    /// A panicking test must not hide the others' results behind a poisoned lock.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn open(&self) -> usize {
        self.connections.iter().filter(|record| record.ended.is_none()).count()
    }

    fn tunnels(&self) -> impl Iterator<Item = (&Record, &String)> {
        self.connections.iter().filter_map(|record| Some((record, record.tunnel.as_ref()?)))
    }

    /// How many connections are open at this instant by the kernel's account. `ended` will not do
    /// for a maximum: the thread that is to note an end may not have run yet, while the client that
    /// closed in good order has dialled the next one.
    fn count_open(&self) -> usize {
        let running = self.connections.iter().filter(|record| record.ended.is_none());
        let sockets = running.filter_map(|record| record.socket);
        let mut table: Vec<_> = sockets.map(|fd| entry(fd, libc::POLLRDHUP)).collect();
        if table.len() > self.most_open {
            poll(&mut table, Some(Instant::now()));
        }
        table.iter().filter(|line| line.revents == 0).count()
    }
}
