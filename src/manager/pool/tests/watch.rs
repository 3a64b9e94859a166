//! What comes on idle connections is found by the next sweep, whatever they do meanwhile, and a sweep costs as much as
//! has happened.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use super::super::entry::Watched;
use super::super::{Checkout, Dialled, Pool};
use super::keep_sweep_out;
use crate::manager::connection::Connection;
use crate::manager::control::{Cause, Control};
use crate::manager::key::{Origin, PoolKey};
use crate::manager::limits::Limits;
use crate::net::route::Route;
use crate::net::socket::Socket;
use crate::net::stream::Stream;
use crate::net::tls::Tls;
use crate::runtime::InputWatch;
use crate::vocabulary::{CloseMode, CloseReason};

/// A pool, and the peers of its connections by id.
struct Case {
    pool: Arc<Pool>,
    key: Arc<PoolKey>,
    now: Instant,
    peers: Mutex<HashMap<u64, UnixStream>>,
}

/// A connection in use.
struct InUse {
    control: Arc<Control>,
    connection: Box<Connection>,
}

impl Case {
    fn new() -> Self {
        let limits = Limits {
            idle_total: usize::MAX,
            idle_per_origin: usize::MAX,
            idle_for: None,
            ..Limits::default()
        };
        let pool = Pool::new(limits);
        let origin = Origin::parse("http://127.0.0.1:80").unwrap();
        let key = PoolKey::new(origin, &Tls::standard(), &Arc::new(Route::default()));
        Self { pool, key, now: Instant::now(), peers: Mutex::default() }
    }

    /// An idle connection, or a new one whose socket is made by `connect`.
    fn take(&self, fresh: bool, connect: impl FnOnce(u64) -> Stream) -> InUse {
        let control = Control::new(&self.pool);
        let mut checkout = self.pool.checkout(&self.key, &control, fresh, self.now).unwrap();
        // There are no limits, but the dial of an exchange that was given another connection may be promised.
        while let Checkout::Wait { .. } = checkout {
            thread::yield_now();
            checkout = self.pool.poll(&control).unwrap();
        }
        let connection = match checkout {
            Checkout::Open(connection) => connection,
            Checkout::Dial(record) => {
                let stream = connect(record.id);
                record.connected(&stream, None);
                let connection = Connection::new(record, stream);
                match self.pool.dialled(connection, &control, false, self.now).unwrap() {
                    Dialled::Mine(connection) | Dialled::Other(connection) => connection,
                }
            }
            Checkout::Wait { .. } => unreachable!("the loop waits for another outcome"),
        };
        InUse { control, connection }
    }

    fn pair(&self, id: u64) -> Stream {
        let (here, there) = UnixStream::pair().unwrap();
        self.peers.lock().unwrap().insert(id, there);
        Stream::plain(Socket::new(std::os::fd::OwnedFd::from(here).into()))
    }

    fn give_back(&self, it: InUse) -> u64 {
        keep_sweep_out(&self.pool, self.now);
        let id = it.connection.record.id;
        assert!(self.pool.give_back(it.connection, &it.control, self.now));
        id
    }

    fn idle(&self) -> u64 {
        self.give_back(self.take(true, |id| self.pair(id)))
    }

    fn use_it(&self, id: u64) -> InUse {
        let it = self.take(false, |_| panic!("it is idle"));
        assert_eq!(it.connection.record.id, id);
        it
    }

    fn peer_sends(&self, id: u64) {
        (&self.peers.lock().unwrap()[&id]).write_all(b"x").unwrap();
    }

    fn sweep(&self) {
        self.pool.sweep(self.now);
    }

    fn watched(&self, id: u64) -> Watched {
        self.pool.with_state(|state, _| state.entries.get(id).unwrap().watched)
    }

    /// How many idle connections the sweeps since the last call have looked at.
    fn visits(&self) -> usize {
        self.pool.with_state(|state, _| std::mem::take(&mut state.visits))
    }

    fn reason(&self, id: u64) -> Option<CloseReason> {
        self.pool.close_reason_of(id)
    }
}

#[test]
fn a_sweep_sees_each_connection_once_after_each_use() {
    let case = Case::new();
    let ids: Vec<u64> = (0..300).map(|_| case.idle()).collect();
    case.sweep();
    assert_eq!(case.visits(), 300);
    assert!(ids.iter().all(|id| case.watched(*id) == Watched::Yes));
    case.sweep();
    assert_eq!(case.visits(), 0, "nothing has happened");
    case.give_back(case.use_it(ids[299]));
    case.peer_sends(ids[7]);
    case.sweep();
    assert_eq!(case.visits(), 1);
    assert_eq!(case.reason(ids[7]), Some(CloseReason::ProtocolError));
    assert_eq!(case.pool.stats(case.now).idle, 299);
    // A hundred ends at once are all found, and the others stay.
    case.peers.lock().unwrap().retain(|id, _| *id > ids[100]);
    case.sweep();
    let stats = case.pool.stats(case.now);
    assert_eq!((stats.idle, stats.swept, case.visits()), (199, 101, 0));
}

#[test]
fn what_was_reported_while_the_connection_was_in_use_is_found_when_it_is_idle() {
    let case = Case::new();
    for closes in [false, true] {
        let id = case.idle();
        case.sweep();
        let it = case.use_it(id);
        match closes {
            true => drop(case.peers.lock().unwrap().remove(&id)),
            false => case.peer_sends(id),
        }
        // The watch reports it once, and not again.
        case.sweep();
        case.sweep();
        assert_eq!(case.watched(id), Watched::Reported);
        case.give_back(it);
        case.sweep();
        let expected = if closes { CloseReason::PeerClosed } else { CloseReason::ProtocolError };
        assert_eq!(case.reason(id), Some(expected));
    }
}

#[test]
fn what_was_reported_and_read_while_the_connection_was_in_use_does_not_close_it() {
    let case = Case::new();
    let id = case.idle();
    case.sweep();
    let mut it = case.use_it(id);
    case.peer_sends(id);
    case.sweep();
    assert_eq!(it.connection.stream.try_read(&mut [0; 9]).unwrap(), Some(1));
    case.give_back(it);
    case.sweep();
    assert_eq!((case.watched(id), case.reason(id)), (Watched::Yes, None));
    case.peer_sends(id);
    case.sweep();
    assert_eq!(case.reason(id), Some(CloseReason::ProtocolError));
}

#[test]
fn a_checkout_between_the_report_and_the_look_does_not_hide_it() {
    let case = Case::new();
    let id = case.idle();
    case.sweep();
    case.peer_sends(id);
    // The sweep takes the report, and another thread uses the connection before it is looked at.
    let watch = case.pool.with_state(|state, _| state.watch.clone()).unwrap();
    let (ids, more) = watch.take_reports();
    assert_eq!((&*ids, more), (&[id][..], false));
    let idle = case.pool.with_state(|state, _| state.reported(&ids));
    let it = case.use_it(id);
    case.pool.look_at(&idle, case.now);
    case.give_back(it);
    case.pool.look_at(&idle, case.now);
    assert_eq!((case.watched(id), case.reason(id)), (Watched::Reported, None));
    case.sweep();
    assert_eq!(case.reason(id), Some(CloseReason::ProtocolError));
}

#[test]
fn reports_of_connections_that_are_gone_are_passed_over() {
    let case = Case::new();
    let (gone, stays) = (case.idle(), case.idle());
    case.sweep();
    // As after a fork: a copy of the descriptor keeps the socket open and registered.
    let it = case.use_it(stays);
    let copy = it.connection.stream.socket().second().unwrap().unwrap();
    case.give_back(it);
    case.peer_sends(gone);
    case.pool.close_one(gone, CloseMode::Now);
    case.peers.lock().unwrap().remove(&stays);
    case.sweep();
    assert_eq!(case.reason(stays), Some(CloseReason::PeerClosed));
    drop(copy);
    case.sweep();
    assert_eq!(case.pool.stats(case.now).swept, 1);
}

#[test]
fn what_can_not_be_watched_is_polled_until_it_can() {
    let case = Case::new();
    let first = case.idle();
    case.sweep();
    let watch = case.pool.with_state(|state, _| state.watch.clone()).unwrap();
    // The watch refuses this one: it has its descriptor already, under another number.
    let it = case.take(true, |id| case.pair(id));
    let socket = Arc::clone(it.connection.stream.socket());
    watch.add(socket.enter().unwrap().descriptor(), u64::MAX).unwrap();
    let refused = case.give_back(it);
    let after = case.idle();
    for _ in 0..3 {
        case.sweep();
        let seen = [first, refused, after].map(|id| case.watched(id));
        assert_eq!(seen, [Watched::Yes, Watched::No, Watched::No]);
    }
    case.peer_sends(refused);
    case.sweep();
    assert_eq!(case.reason(refused), Some(CloseReason::ProtocolError));
    drop(socket);
    case.peers.lock().unwrap().remove(&first);
    case.sweep();
    assert_eq!(case.reason(first), Some(CloseReason::PeerClosed));
    case.sweep();
    assert_eq!(case.watched(after), Watched::Yes);
    case.visits();
    case.sweep();
    assert_eq!(case.visits(), 0);
}

#[test]
fn a_watch_that_was_given_up_meanwhile_watches_nothing() {
    let case = Case::new();
    case.idle();
    case.sweep();
    let old = case.pool.with_state(|state, _| state.watch.clone()).unwrap();
    case.pool.close(CloseMode::Now, Cause::ClosedByAll, |_| true);
    case.pool.with_state(|state, _| assert!(state.watch.is_none(), "nothing is open"));
    // A sweep that is under way has the old watch, and meets a new connection.
    let id = case.idle();
    let idle = case.pool.with_state(|state, _| state.newly_idle().unwatched);
    assert!(case.pool.have_watched(&old, idle).is_empty());
    assert_eq!(case.watched(id), Watched::No);
    drop(old);
    case.sweep();
    assert_eq!(case.watched(id), Watched::Yes);
    case.peer_sends(id);
    case.sweep();
    assert_eq!(case.reason(id), Some(CloseReason::ProtocolError));
}

#[test]
fn sweeps_beside_exchanges_miss_nothing() {
    const THREADS: u64 = 4;
    const ROUNDS: u64 = 200;
    let case = Case::new();
    let is_over = AtomicBool::new(false);
    let spoken = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for worker in 0..THREADS {
            let (case, spoken) = (&case, &spoken);
            scope.spawn(move || {
                for round in 0..ROUNDS {
                    let mut it = case.take(round % 8 == 0, |id| case.pair(id));
                    let id = it.connection.record.id;
                    // The peer may have sent something before: as an exchange does, all of it is read, but not what
                    // comes after that.
                    let mut peers = case.peers.lock().unwrap();
                    let before =
                        peers.get(&id).is_some_and(|peer| (&*peer).write_all(b"response").is_ok());
                    let mut left = [0; 64];
                    let got = it.connection.stream.try_read(&mut left);
                    let is_whole = before && matches!(got, Ok(Some(8)));
                    if round % 16 == worker {
                        match round % 3 {
                            0 => drop(peers.remove(&id)),
                            _ => drop((&peers[&id]).write_all(b"late")),
                        }
                        spoken.lock().unwrap().push(id);
                    }
                    drop(peers);
                    if is_whole {
                        case.give_back(it);
                    } else {
                        // It got more than its response, or an end.
                        it.connection.record.end();
                        let reason = CloseReason::ProtocolError;
                        case.pool.close_lease(id, &it.control, reason);
                    }
                }
            });
        }
        let (case, is_over) = (&case, &is_over);
        let sweeper = scope.spawn(move || {
            while !is_over.load(Ordering::Relaxed) {
                case.sweep();
            }
        });
        let until = Instant::now() + Duration::from_secs(60);
        while case.pool.stats(case.now).reused < THREADS * ROUNDS / 4 && Instant::now() < until {
            thread::yield_now();
        }
        is_over.store(true, Ordering::Relaxed);
        sweeper.join().unwrap();
    });
    case.sweep();
    case.sweep();
    let spoken = spoken.into_inner().unwrap();
    assert!(!spoken.is_empty());
    let open: Vec<u64> = case.pool.list(case.now).iter().map(|row| row.id).collect();
    assert!(spoken.iter().all(|id| !open.contains(id)), "{spoken:?} {open:?}");
    case.pool.with_state(|state, _| state.check());
    // The others are there, and open.
    for id in open {
        let mut byte = [0];
        let peers = case.peers.lock().unwrap();
        peers[&id].set_nonblocking(true).unwrap();
        let got = (&peers[&id]).read(&mut byte);
        assert_eq!(got.unwrap_err().kind(), std::io::ErrorKind::WouldBlock);
    }
}

#[test]
fn a_hundred_thousand_idle_connections_are_counted_listed_swept_and_closed() {
    const MANY: usize = 100_000;
    let case = Case::new();
    // One socket stands for all of them: this is about the lists and the numbers.
    let (here, _there) = UnixStream::pair().unwrap();
    let socket = Socket::new(std::os::fd::OwnedFd::from(here).into());
    let control: Vec<InUse> =
        (0..MANY).map(|_| case.take(true, |_| Stream::plain(Arc::clone(&socket)))).collect();
    let stats = case.pool.stats(case.now);
    assert_eq!((stats.in_use, stats.idle, stats.opened), (MANY as u64, 0, MANY as u64));
    let ids: Vec<u64> = control.into_iter().map(|it| case.give_back(it)).collect();
    let stats = case.pool.stats(case.now);
    assert_eq!((stats.in_use, stats.idle), (0, MANY as u64));
    // The watch has one descriptor once, so it refuses the others; a real one has as many.
    let watch = Arc::new(InputWatch::open().unwrap());
    case.pool.with_state(|state, _| {
        state.watch = Some(watch);
        for id in &ids {
            state.entries.get_mut(*id).unwrap().watched = Watched::Yes;
        }
    });
    case.sweep();
    assert_eq!(case.visits(), MANY);
    case.sweep();
    assert_eq!(case.visits(), 0, "nothing has happened");
    // Only the system's probes are asked for, of a bounded number.
    case.pool.sweep(case.now + Duration::from_secs(60));
    assert!(case.visits() <= 64);
    let it = case.use_it(ids[MANY - 1]);
    let stats = case.pool.stats(case.now);
    assert_eq!((stats.in_use, stats.idle, stats.reused), (1, MANY as u64 - 1, 1));
    case.give_back(it);
    let rows = case.pool.list(case.now);
    assert_eq!(rows.iter().map(|row| row.id).collect::<Vec<_>>(), ids);
    case.pool.with_state(|state, _| state.check());
    let half = ids[MANY / 2];
    let closed = case.pool.close(CloseMode::Now, Cause::ClosedByAll, |record| record.id < half);
    assert_eq!(closed, MANY / 2);
    let stats = case.pool.stats(case.now);
    assert_eq!((stats.idle, stats.closed), (MANY as u64 / 2, MANY as u64 / 2));
    assert_eq!(case.pool.close(CloseMode::Graceful, Cause::ClosedByAll, |_| true), MANY / 2);
    let stats = case.pool.stats(case.now);
    assert_eq!((stats.idle, stats.opened, stats.closed), (0, MANY as u64, MANY as u64));
    case.pool.with_state(|state, _| state.assert_empty());
}
