//! One connection: its id, its states, and the one reason it ended for.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use super::key::PoolKey;
use crate::net::socket::Socket;
use crate::net::stream::{Stream, Traffic};
use crate::vocabulary::{CloseReason, ConnectionState};

/// A row of [`Manager::connections`](super::Manager::connections). Threads: a value.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ConnectionInfo {
    /// Unique in the process, never used again.
    pub id: u64,
    /// Scheme, host and port.
    pub origin: String,
    /// The peer's address, once connected.
    pub peer: Option<SocketAddr>,
    /// The local address, once connected.
    pub local: Option<SocketAddr>,
    /// The TLS version, for example "TLSv1.3".
    pub tls: Option<&'static str>,
    /// What it is doing.
    pub state: ConnectionState,
    /// Whether it will be closed when its exchange ends.
    pub closing: bool,
    /// Since it began to be dialled.
    pub age: Duration,
    /// Since it became idle, if it is.
    pub idle: Option<Duration>,
    /// Requests begun on it.
    pub requests: u64,
    /// Bytes received on the wire.
    pub bytes_in: u64,
    /// Bytes sent on the wire.
    pub bytes_out: u64,
}

/// What is known of a connection, for whoever lists or ends it. Threads: any thread at any time.
#[derive(Debug)]
pub(crate) struct Record {
    pub(crate) id: u64,
    pub(crate) key: Arc<PoolKey>,
    pub(crate) born: Instant,
    pub(crate) requests: AtomicU64,
    /// Asked to close when its exchange ends; the reason is kept with it.
    closing: AtomicU8,
    dialling: AtomicU8,
    wire: OnceLock<Connected>,
    tls: OnceLock<&'static str>,
}

/// What is known once there is a socket.
#[derive(Debug)]
struct Connected {
    socket: Arc<Socket>,
    traffic: Arc<Traffic>,
    peer: Option<SocketAddr>,
    local: Option<SocketAddr>,
}

/// A connection whole: what is known of it, and its bytes. It is owned by the pool while idle
/// and by a lease while in use.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) record: Arc<Record>,
    pub(crate) stream: Stream,
}

impl Record {
    pub(crate) fn new(key: Arc<PoolKey>) -> Arc<Self> {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        Arc::new(Self {
            id: NEXT.fetch_add(1, Ordering::Relaxed),
            key,
            born: Instant::now(),
            requests: AtomicU64::new(0),
            closing: AtomicU8::new(0),
            dialling: AtomicU8::new(ConnectionState::Resolving as u8),
            wire: OnceLock::new(),
            tls: OnceLock::new(),
        })
    }

    /// The next step of a dial.
    pub(crate) fn step(&self, state: ConnectionState) {
        self.dialling.store(state as u8, Ordering::Relaxed);
    }

    pub(crate) fn connected(&self, stream: &Stream) {
        let addresses = stream.socket().enter().map(|socket| socket.addresses());
        let (peer, local) = addresses.unwrap_or_default();
        let (socket, traffic) = (Arc::clone(stream.socket()), Arc::clone(stream.traffic()));
        // A record has one dial, so this is the only time.
        let _ = self.wire.set(Connected { socket, traffic, peer, local });
    }

    pub(crate) fn secured(&self, version: Option<&'static str>) {
        if let Some(version) = version {
            let _ = self.tls.set(version);
        }
    }

    pub(crate) fn socket(&self) -> Option<Arc<Socket>> {
        self.wire.get().map(|wire| Arc::clone(&wire.socket))
    }

    pub(crate) fn served(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }

    /// Ends the socket, if there is one yet.
    pub(crate) fn end(&self) {
        if let Some(wire) = self.wire.get() {
            wire.socket.end();
        }
    }

    /// Closes this process's copy of the descriptor without a word on the wire.
    pub(crate) fn forget(&self) {
        if let Some(wire) = self.wire.get() {
            wire.socket.forget();
        }
    }

    /// Asks for a close after the exchange. The first reason counts.
    pub(crate) fn close_after(&self, reason: CloseReason) {
        let _ =
            self.closing.compare_exchange(0, reason as u8, Ordering::Relaxed, Ordering::Relaxed);
    }

    pub(crate) fn is_closing(&self) -> Option<CloseReason> {
        match self.closing.load(Ordering::Relaxed) {
            0 => None,
            number => CloseReason::ALL.iter().copied().find(|reason| *reason as u8 == number),
        }
    }

    pub(crate) fn info(&self, at: Where, now: Instant) -> ConnectionInfo {
        let wire = self.wire.get();
        let traffic = wire.map(|wire| &wire.traffic);
        let count = |counter: Option<&AtomicU64>| counter.map_or(0, |c| c.load(Ordering::Relaxed));
        let (state, idle) = match at {
            Where::Dialling => (self.dial_state(), None),
            Where::InUse => (ConnectionState::InUse, None),
            Where::Idle(since) => {
                (ConnectionState::Idle, Some(now.saturating_duration_since(since)))
            }
        };
        ConnectionInfo {
            id: self.id,
            origin: self.key.origin.to_string(),
            peer: wire.and_then(|wire| wire.peer),
            local: wire.and_then(|wire| wire.local),
            tls: self.tls.get().copied(),
            state,
            closing: self.is_closing().is_some(),
            age: now.saturating_duration_since(self.born),
            idle,
            requests: self.requests.load(Ordering::Relaxed),
            bytes_in: count(traffic.map(|t| &t.bytes_in)),
            bytes_out: count(traffic.map(|t| &t.bytes_out)),
        }
    }

    fn dial_state(&self) -> ConnectionState {
        let number = self.dialling.load(Ordering::Relaxed);
        ConnectionState::ALL
            .iter()
            .copied()
            .find(|state| *state as u8 == number)
            .unwrap_or(ConnectionState::Resolving)
    }
}

/// Where the pool has a connection.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Where {
    Dialling,
    InUse,
    Idle(Instant),
}
