//! One connection: its id, what is known of it, its bytes, and the one reason that it ends for.
//!
//! Knows nothing of the pool that keeps it.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use super::key::PoolKey;
use crate::net::facts::ConnectionFacts;
use crate::net::probes::Probes;
use crate::net::socket::Socket;
use crate::net::stream::{Stream, Traffic};
use crate::tcp_facts::TcpFacts;
use crate::vocabulary::{CloseReason, ConnectionState};

/// A row of [`Manager::connections`](super::Manager::connections). Threads: a value.
///
/// ```
/// let manager = hangup::Manager::new(hangup::Limits::default());
/// let busy = |info: &hangup::ConnectionInfo| info.state == hangup::ConnectionState::InUse;
/// assert_eq!(manager.connections().iter().filter(|info| busy(info)).count(), 0);
/// ```
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
    /// What its dial found out; `None` while it is dialled.
    pub facts: Option<Arc<ConnectionFacts>>,
    /// What it does at the moment.
    pub state: ConnectionState,
    /// Whether it will be closed when its exchange ends.
    pub closing: bool,
    /// Since its dial began.
    pub age: Duration,
    /// Since it became idle, if it is.
    pub idle: Option<Duration>,
    /// Requests that were begun on it.
    pub requests: u64,
    /// Bytes received on the wire.
    pub bytes_in: u64,
    /// Bytes sent on the wire.
    pub bytes_out: u64,
    /// What TCP knows of it now: round-trip time, retransmissions, unacknowledged bytes, the peer's last sign of life. `None`
    /// while it is not connected, for a Unix-domain socket, and on other systems than Linux and Android.
    pub tcp_facts: Option<TcpFacts>,
}

/// What is known of a connection by the threads that list or end it. It outlives the connection.
/// Threads: any thread at any time.
#[derive(Debug)]
pub(crate) struct Record {
    pub(crate) id: u64,
    pub(crate) key: Arc<PoolKey>,
    pub(crate) opened_at: Instant,
    pub(crate) requests: AtomicU64,
    /// How its silence is judged.
    pub(crate) probes: Probes,
    /// A test says that its peer is silent.
    #[cfg(test)]
    pub(crate) is_silenced: AtomicBool,
    /// 0, or the number of the [`CloseReason`] for which it is closed when its exchange ends.
    closing: AtomicU8,
    /// A [`ConnectionState`], which counts while it is dialled.
    dialling: AtomicU8,
    /// It was handed over to the caller of its exchange, for another protocol.
    upgraded: AtomicBool,
    /// For how many milliseconds it may be idle by what the server said last; [`NOT_SAID`] if it said nothing.
    idle_ms: AtomicU64,
    wire: OnceLock<Connected>,
    /// Set when the dial is done.
    facts: OnceLock<Arc<ConnectionFacts>>,
}

/// What is known once there is a socket.
#[derive(Debug)]
struct Connected {
    socket: Arc<Socket>,
    traffic: Arc<Traffic>,
    peer: Option<SocketAddr>,
    local: Option<SocketAddr>,
}

/// A connection with its bytes. The pool owns it while it is idle, a lease while it is in use.
/// Threads: one at a time.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) record: Arc<Record>,
    pub(crate) stream: Stream,
    /// Before its last lease it was idle for so long that a silent peer is known to the system.
    pub(crate) was_long_idle: bool,
}

impl Connection {
    pub(crate) fn new(record: Arc<Record>, stream: Stream) -> Box<Self> {
        Box::new(Self { record, stream, was_long_idle: false })
    }

    /// It was idle since that time, and is used or read now.
    #[inline]
    pub(crate) fn was_idle(&mut self, since: Instant, now: Instant) {
        let idle_for = now.saturating_duration_since(since);
        self.was_long_idle = idle_for >= self.record.probes.judged_after();
    }
}

impl Record {
    /// `keep_alive`: the limit under which it is dialled.
    pub(crate) fn new(key: Arc<PoolKey>, keep_alive: Option<Duration>) -> Arc<Self> {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        Arc::new(Self {
            id: NEXT.fetch_add(1, Ordering::Relaxed),
            key,
            opened_at: Instant::now(),
            requests: AtomicU64::new(0),
            probes: Probes::after_limit(keep_alive),
            #[cfg(test)]
            is_silenced: AtomicBool::new(false),
            closing: AtomicU8::new(0),
            dialling: AtomicU8::new(ConnectionState::Resolving as u8),
            upgraded: AtomicBool::new(false),
            idle_ms: AtomicU64::new(NOT_SAID),
            wire: OnceLock::new(),
            facts: OnceLock::new(),
        })
    }

    /// Sets what the dial does at the moment.
    pub(crate) fn set_dial_state(&self, state: ConnectionState) {
        self.dialling.store(state as u8, Ordering::Relaxed);
    }

    /// From here on it speaks another protocol.
    pub(crate) fn set_upgraded(&self) {
        self.upgraded.store(true, Ordering::Relaxed);
    }

    /// There is a socket now. `peer`: where it was connected to, if that is known.
    pub(crate) fn connected(&self, stream: &Stream, peer: Option<SocketAddr>) {
        // The system replaces an address that is unspecified, and may change what stands beside one of an interface.
        let said = peer.filter(|peer| !peer.ip().is_unspecified() && !has_zone(peer));
        let inside = stream.socket().enter();
        let peer = said.or_else(|| inside.as_ref()?.peer_address());
        let local = inside.as_ref().and_then(|socket| socket.local_address());
        let (socket, traffic) = (Arc::clone(stream.socket()), Arc::clone(stream.traffic()));
        // A record has one dial, so this is the only call.
        let _ = self.wire.set(Connected { socket, traffic, peer, local });
    }

    /// The dial is done.
    pub(crate) fn dialled(&self, stream: &Stream) {
        let wire = self.wire.get();
        let (peer, local) = wire.map_or((None, None), |wire| (wire.peer, wire.local));
        let tls = stream.tls_facts();
        let _ = self.facts.set(Arc::new(ConnectionFacts { id: self.id, peer, local, tls }));
    }

    /// What is known since the dial is done.
    pub(crate) fn facts(&self) -> Option<&Arc<ConnectionFacts>> {
        self.facts.get()
    }

    /// The local address and the peer's, once connected; `None` also for a Unix-domain socket.
    pub(crate) fn ends(&self) -> Option<(SocketAddr, SocketAddr)> {
        let wire = self.wire.get()?;
        Some((wire.local?, wire.peer?))
    }

    pub(crate) fn socket(&self) -> Option<Arc<Socket>> {
        self.wire.get().map(|wire| Arc::clone(&wire.socket))
    }

    /// Has the system probe the peer when it is silent, whether or not an exchange waits for it.
    pub(crate) fn begin_probes(&self) {
        if let Some(wire) = self.wire.get() {
            wire.socket.begin_probes();
        }
    }

    /// The server does not keep it for longer than that.
    pub(crate) fn limit_idle(&self, idle_for: Duration) {
        let ms = u64::try_from(idle_for.as_millis()).unwrap_or(NOT_SAID);
        self.idle_ms.store(ms, Ordering::Relaxed);
    }

    /// How long it may be idle, if the server said so.
    pub(crate) fn idle_limit(&self) -> Option<Duration> {
        let ms = self.idle_ms.load(Ordering::Relaxed);
        (ms != NOT_SAID).then(|| Duration::from_millis(ms))
    }

    pub(crate) fn requests_served(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }

    /// Whether the system asked the peer for a sign of life, and got none in time. Asks the system.
    pub(crate) fn is_silent(&self) -> bool {
        #[cfg(test)]
        if self.is_silenced.load(Ordering::Relaxed) {
            return true;
        }
        let info = self.wire.get().and_then(|wire| wire.socket.enter()?.tcp_info());
        info.is_some_and(|info| self.probes.are_unanswered(&info))
    }

    /// Ends the socket, if there is one yet. Idempotent.
    pub(crate) fn end(&self) {
        if let Some(wire) = self.wire.get() {
            wire.socket.end();
        }
    }

    /// Closes this process's copy of the descriptor and sends nothing.
    pub(crate) fn forget(&self) {
        if let Some(wire) = self.wire.get() {
            wire.socket.forget();
        }
    }

    /// Marks it to be closed when its exchange ends. The first reason counts.
    pub(crate) fn close_after(&self, reason: CloseReason) {
        let _ =
            self.closing.compare_exchange(0, reason as u8, Ordering::Relaxed, Ordering::Relaxed);
    }

    /// Why it is to be closed when its exchange ends, if it is.
    pub(crate) fn close_reason(&self) -> Option<CloseReason> {
        match self.closing.load(Ordering::Relaxed) {
            0 => None,
            number => CloseReason::ALL.iter().copied().find(|reason| *reason as u8 == number),
        }
    }

    pub(crate) fn info(&self, placement: Placement, now: Instant) -> ConnectionInfo {
        let wire = self.wire.get();
        let traffic = wire.map(|wire| &wire.traffic);
        let facts = self.facts.get();
        let tls = facts.and_then(|facts| facts.tls.as_ref());
        let count = |counter: Option<&AtomicU64>| counter.map_or(0, |c| c.load(Ordering::Relaxed));
        let (state, idle) = match placement {
            Placement::Dialling => (self.dial_state(), None),
            Placement::InUse if self.upgraded.load(Ordering::Relaxed) => {
                (ConnectionState::Upgraded, None)
            }
            Placement::InUse => (ConnectionState::InUse, None),
            Placement::Idle(since) => {
                (ConnectionState::Idle, Some(now.saturating_duration_since(since)))
            }
        };
        ConnectionInfo {
            id: self.id,
            origin: self.key.origin.to_string(),
            peer: wire.and_then(|wire| wire.peer),
            local: wire.and_then(|wire| wire.local),
            tls: tls.map(|tls| tls.version),
            facts: facts.map(Arc::clone),
            state,
            closing: self.close_reason().is_some(),
            age: now.saturating_duration_since(self.opened_at),
            idle,
            requests: self.requests.load(Ordering::Relaxed),
            bytes_in: count(traffic.map(|t| &t.bytes_in)),
            bytes_out: count(traffic.map(|t| &t.bytes_out)),
            tcp_facts: None,
        }
    }

    /// Before the end: keeps what TCP knows, for the error of the exchange that is ended.
    pub(super) fn keep_tcp_info(&self) {
        if let Some(wire) = self.wire.get() {
            wire.socket.keep_tcp_info();
        }
    }

    /// What TCP knows of it now. Asks the system.
    pub(crate) fn tcp_facts(&self) -> Option<TcpFacts> {
        Some(self.wire.get()?.socket.enter()?.tcp_info()?.facts())
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

fn has_zone(address: &SocketAddr) -> bool {
    matches!(address, SocketAddr::V6(v6) if v6.scope_id() != 0 || v6.flowinfo() != 0)
}

/// The server said nothing about idle connections.
const NOT_SAID: u64 = u64::MAX;

/// What the pool does with a connection.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Placement {
    Dialling,
    InUse,
    Idle(Instant),
}
