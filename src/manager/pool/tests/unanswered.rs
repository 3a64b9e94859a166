//! Connections whose peers are known to be silent are not used. The system is asked through a fake, so that no test
//! waits for its probes.

use std::net::TcpListener;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use super::super::Pool;
use super::keep_sweep_out;
use crate::manager::connection::Record;
use crate::manager::control::Control;
use crate::manager::key::{Origin, PoolKey};
use crate::manager::lease::{Lease, LeaseRequest};
use crate::manager::limits::Limits;
use crate::net::route::Route;
use crate::net::socket::Socket;
use crate::net::stream::Stream;
use crate::net::tcp_info::TcpInfo;
use crate::net::tcp_info::fake::FakeTcpInfo;
use crate::net::tls::Tls;
use crate::timeouts::Deadline;
use crate::vocabulary::CloseReason;

const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// When the second probe is sent.
const JUDGED: Duration = Duration::from_secs(18);

/// A listener, and a pool of connections to it. Nothing is accepted: the system connects and acknowledges.
struct Case {
    pool: Arc<Pool>,
    key: Arc<PoolKey>,
    listener: TcpListener,
}

impl Case {
    fn new(limits: Limits) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let origin = Origin::parse(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
        let key = PoolKey::new(origin, &Tls::standard(), &Arc::new(Route::default()));
        Self { pool: Pool::new(limits), key, listener }
    }

    fn port(&self) -> u16 {
        self.listener.local_addr().unwrap().port()
    }

    fn lease(&self, fresh: bool, retry_covers_loss: bool, now: Instant) -> Lease {
        keep_sweep_out(&self.pool, now);
        let request = LeaseRequest {
            key: &self.key,
            fresh,
            close_after: false,
            retry_covers_loss,
            now,
            begin_phase: &|_| Deadline::NEVER,
            proxy_head: None,
        };
        Lease::acquire(&self.pool, &Control::new(&self.pool), &request).unwrap()
    }

    /// Opens a connection and leaves it idle from `now` on.
    fn idle(&self, now: Instant) -> u64 {
        let lease = self.lease(true, true, now);
        let id = lease.id();
        assert!(lease.give_back(now));
        id
    }

    fn reason(&self, id: u64) -> Option<CloseReason> {
        self.pool.close_reason_of(id)
    }
}

/// What the system says after two unanswered probes.
fn unanswered(info: TcpInfo) -> Option<TcpInfo> {
    let silence = KEEP_ALIVE + Duration::from_secs(4);
    Some(TcpInfo { probes: 2, last_ack_received: silence, last_data_received: silence, ..info })
}

#[test]
fn a_connection_that_is_known_to_be_silent_is_replaced_before_anything_is_sent_on_it() {
    for retry_covers_loss in [true, false] {
        let case = Case::new(Limits::default());
        let now = Instant::now();
        let dead = [case.idle(now), case.idle(now), case.idle(now)];
        let fake = FakeTcpInfo::of_port(case.port(), unanswered);
        let lease = case.lease(false, retry_covers_loss, now + JUDGED);
        assert!(!lease.reused(), "all three are dead");
        drop(fake);
        for id in dead {
            assert_eq!(case.reason(id), Some(CloseReason::PeerSilent));
        }
        let stats = case.pool.stats(now);
        assert_eq!((stats.stale, stats.reused, stats.in_use, stats.idle), (3, 0, 1, 0));
        assert!(lease.give_back(now));
    }
}

#[test]
fn a_living_connection_among_silent_ones_is_used() {
    let case = Case::new(Limits::default());
    let now = Instant::now();
    let living = case.idle(now);
    let silent = case.idle(now);
    let row = case.pool.list(now).into_iter().find(|row| row.id == silent).unwrap();
    // The local port names the one connection.
    let _fake = FakeTcpInfo::of_port(row.local.unwrap().port(), unanswered);
    let lease = case.lease(false, false, now + JUDGED);
    assert_eq!((lease.id(), lease.reused()), (living, true));
    assert_eq!(case.reason(silent), Some(CloseReason::PeerSilent));
}

#[test]
fn the_system_is_asked_only_when_a_silent_peer_is_known_to_it() {
    let asked = Arc::new(AtomicUsize::new(0));
    for (keep_alive, idle, times) in [
        (Some(KEEP_ALIVE), JUDGED - Duration::from_millis(1), 0),
        (Some(KEEP_ALIVE), JUDGED, 1),
        (Some(KEEP_ALIVE * 4), KEEP_ALIVE * 4, 0),
        (Some(Duration::from_secs(2)), Duration::from_secs(4), 1),
        // A connector may have its sockets probed.
        (None, JUDGED, 1),
    ] {
        let case = Case::new(Limits { keep_alive, ..Limits::default() });
        let now = Instant::now();
        let id = case.idle(now);
        asked.store(0, Ordering::Relaxed);
        let counted = Arc::clone(&asked);
        let _fake = FakeTcpInfo::of_port(case.port(), move |info| {
            counted.fetch_add(1, Ordering::Relaxed);
            Some(info)
        });
        let lease = case.lease(false, true, now + idle);
        assert_eq!((lease.id(), lease.reused()), (id, true), "it answers");
        assert_eq!(asked.load(Ordering::Relaxed), times, "{keep_alive:?} {idle:?}");
        // After an exchange the time begins anew.
        assert!(lease.give_back(now + idle));
        assert!(case.lease(false, true, now + idle).reused());
        assert_eq!(asked.load(Ordering::Relaxed), times);
    }
}

#[test]
fn a_probe_whose_answer_is_on_its_way_closes_nothing() {
    let case = Case::new(Limits::default());
    let now = Instant::now();
    let id = case.idle(now);
    // The system's timer may be late by an eighth.
    let _fake = FakeTcpInfo::of_port(case.port(), |info| {
        let late = KEEP_ALIVE + KEEP_ALIVE / 8;
        Some(TcpInfo { probes: 1, last_ack_received: late, last_data_received: late, ..info })
    });
    case.pool.sweep(now + JUDGED * 2);
    let lease = case.lease(false, false, now + JUDGED * 2);
    assert_eq!((lease.id(), lease.reused()), (id, true));
}

#[test]
fn the_sweep_closes_silent_connections_before_any_request_comes() {
    let case = Case::new(Limits::default());
    let now = Instant::now();
    let id = case.idle(now);
    let fake = FakeTcpInfo::of_port(case.port(), unanswered);
    case.pool.sweep(now + JUDGED - Duration::from_millis(1));
    assert_eq!(case.reason(id), None, "it is too early");
    drop(fake);
    case.pool.sweep(now + JUDGED);
    assert_eq!(case.reason(id), None, "it answers");
    let _fake = FakeTcpInfo::of_port(case.port(), unanswered);
    case.pool.sweep(now + JUDGED);
    assert_eq!(case.reason(id), Some(CloseReason::PeerSilent));
    let stats = case.pool.stats(now);
    assert_eq!((stats.swept, stats.stale, stats.idle, stats.closed), (1, 0, 0, 1));
}

#[test]
fn the_system_that_gave_a_connection_up_is_named_as_the_reason() {
    // The peer resets, which is what loopback can do; the reasons of other errors are those of `Loss`.
    let case = Case::new(Limits::default());
    let now = Instant::now();
    let id = case.idle(now);
    let (peer, _) = case.listener.accept().unwrap();
    socket2::SockRef::from(&peer).set_linger(Some(Duration::ZERO)).unwrap();
    drop(peer);
    let until = Instant::now() + Duration::from_secs(10);
    while case.reason(id).is_none() && Instant::now() < until {
        case.pool.sweep(now);
    }
    assert_eq!(case.reason(id), Some(CloseReason::PeerReset));
}

#[test]
fn a_sweep_asks_for_a_bounded_number_of_connections_and_for_all_of_them_in_turn() {
    const MANY: usize = 200;
    let limits = Limits { idle_per_origin: MANY, ..Limits::default() };
    let case = Case::new(limits);
    let now = Instant::now();
    let asked = Arc::new(AtomicUsize::new(0));
    let last = AtomicU64::new(0);
    let mut peers = Vec::new();
    for _ in 0..MANY {
        last.store(case.idle(now), Ordering::Relaxed);
        peers.push(case.listener.accept().unwrap().0);
    }
    let silent = last.into_inner();
    let row = case.pool.list(now).into_iter().find(|row| row.id == silent).unwrap();
    let counted = Arc::clone(&asked);
    let _others = FakeTcpInfo::of_port(case.port(), move |info| {
        counted.fetch_add(1, Ordering::Relaxed);
        Some(info)
    });
    let _silent = FakeTcpInfo::of_port(row.local.unwrap().port(), unanswered);
    let mut sweeps = 0;
    while case.reason(silent).is_none() {
        asked.store(0, Ordering::Relaxed);
        case.pool.sweep(now + JUDGED);
        assert!(asked.load(Ordering::Relaxed) <= 64);
        sweeps += 1;
        assert!(sweeps <= MANY.div_ceil(64), "it is asked for in turn");
    }
    assert_eq!(case.pool.stats(now).idle, MANY as u64 - 1);
    // And the first ones are asked for again.
    asked.store(0, Ordering::Relaxed);
    case.pool.sweep(now + JUDGED);
    assert!(asked.load(Ordering::Relaxed) > 0);
}

#[test]
fn a_socket_of_which_the_system_knows_nothing_is_not_silent() {
    let case = Case::new(Limits::default());
    let record = Record::new(Arc::clone(&case.key), Some(KEEP_ALIVE));
    assert!(!record.is_silent(), "it has no socket yet");
    let (here, _there) = UnixStream::pair().unwrap();
    let stream = Stream::plain(Socket::new(std::os::fd::OwnedFd::from(here).into()));
    record.connected(&stream, None);
    assert!(!record.is_silent());
    record.end();
    assert!(!record.is_silent());
}
