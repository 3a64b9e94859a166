//! The pool against its [`model`](super::model): random sequences of every operation, on one thread,
//! with sockets whose other ends are observed. After each step both must agree: which requester has
//! which connection, which ones wait and in which order, what is idle, what was counted.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::super::entry::Stage;
use super::super::state::State;
use super::super::{Checkout, Dialled, LeaseError, Pool};
use super::model::{
    Connection as ModelConnection, Counts, KEYS, Model, Outcome, Stage as ModelStage, origin_of,
};
use crate::manager::connection::{Connection, Record};
use crate::manager::control::{Cause, Control};
use crate::manager::key::{Origin, PoolKey};
use crate::manager::limits::Limits;
use crate::net::Stop;
use crate::net::route::Route;
use crate::net::socket::Socket;
use crate::net::stream::Stream;
use crate::net::tls::Tls;
use crate::runtime::{Notify, are_readable};
use crate::vocabulary::{CloseMode, CloseReason};

/// A step. A number picks one of the existing requesters or connections.
#[derive(Clone, Debug)]
pub(super) enum Step {
    Checkout { key: usize, fresh: bool },
    Poll(usize),
    CancelWait(usize),
    StopWaitingForDial(usize),
    Dialled { index: usize, short: bool },
    StopDialling { index: usize, goes_on: bool },
    LacksPort(usize),
    BackgroundDialled { which: usize, well: bool },
    ReserveBackgroundDials { key: usize, wanted: usize },
    SecondDial(usize),
    Lost { index: usize, ago: u64 },
    Stale(usize),
    GiveBack(usize),
    CloseLease(usize),
    Cancel(usize),
    CloseOne { which: usize, how: CloseMode },
    CloseOrigin { origin: usize, how: CloseMode },
    CloseAll(CloseMode),
    CloseIdle(u64),
    NetworkChanged,
    Change(Limits),
    Elapse(u64),
    PeerActs { which: usize, closes: bool, in_use: bool },
    Silence(usize),
    Sweep,
    Drain,
    ShutDown,
}

fn limits() -> impl Strategy<Value = Limits> {
    let most = || prop_oneof![4 => 1..5usize, 1 => Just(usize::MAX), 1 => Just(0)];
    let counts = (most(), most(), most(), most(), 0..6usize);
    let clocks = (
        proptest::option::of((20..40u64).prop_map(Duration::from_secs)),
        proptest::option::weighted(0.3, (50..90u64).prop_map(Duration::from_secs)),
        proptest::option::weighted(0.3, 1..4u64),
        proptest::option::of((1..20u64).prop_map(Duration::from_secs)),
    );
    (counts, clocks).prop_map(
        |((total, per_origin, idle_total, idle_per_origin, queue), clocks)| {
            let (idle_for, max_age, max_requests, keep_alive) = clocks;
            let (total, per_origin) = (total.saturating_mul(2), per_origin);
            Limits {
                total,
                per_origin,
                idle_total,
                idle_per_origin,
                queue,
                idle_for,
                max_age,
                max_requests,
                keep_alive,
            }
        },
    )
}

fn how() -> impl Strategy<Value = CloseMode> {
    prop_oneof![Just(CloseMode::Now), Just(CloseMode::Graceful)]
}

fn step() -> impl Strategy<Value = Step> {
    let any = || 0..64usize;
    prop_oneof![
        12 => (0..KEYS, prop::bool::weighted(0.2)).prop_map(|(key, fresh)| Step::Checkout { key, fresh }),
        8 => any().prop_map(Step::Poll),
        3 => any().prop_map(Step::CancelWait),
        2 => any().prop_map(Step::StopWaitingForDial),
        8 => (any(), prop::bool::weighted(0.2)).prop_map(|(index, short)| Step::Dialled { index, short }),
        3 => (any(), prop::bool::ANY).prop_map(|(index, goes_on)| Step::StopDialling { index, goes_on }),
        3 => any().prop_map(Step::LacksPort),
        2 => (any(), prop::bool::weighted(0.7))
            .prop_map(|(which, well)| Step::BackgroundDialled { which, well }),
        1 => (0..KEYS, 0..4usize).prop_map(|(key, wanted)| Step::ReserveBackgroundDials { key, wanted }),
        2 => any().prop_map(Step::SecondDial),
        1 => (any(), 0..20u64).prop_map(|(index, ago)| Step::Lost { index, ago }),
        1 => any().prop_map(Step::Stale),
        8 => any().prop_map(Step::GiveBack),
        2 => any().prop_map(Step::CloseLease),
        3 => any().prop_map(Step::Cancel),
        2 => (any(), how()).prop_map(|(which, how)| Step::CloseOne { which, how }),
        1 => (0..KEYS / 2, how()).prop_map(|(origin, how)| Step::CloseOrigin { origin, how }),
        1 => how().prop_map(Step::CloseAll),
        1 => (0..30u64).prop_map(Step::CloseIdle),
        1 => Just(Step::NetworkChanged),
        2 => limits().prop_map(Step::Change),
        2 => (1..15u64).prop_map(Step::Elapse),
        2 => (any(), prop::bool::ANY, prop::bool::ANY)
            .prop_map(|(which, closes, in_use)| Step::PeerActs { which, closes, in_use }),
        1 => any().prop_map(Step::Silence),
        2 => Just(Step::Sweep),
    ]
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let end = prop_oneof![Just(Step::Drain), Just(Step::ShutDown)];
    // Most of it before the end, if there is one, and some after it.
    let all = (prop::collection::vec(step(), 1..120), proptest::option::weighted(0.3, end));
    (all, prop::collection::vec(step(), 0..20)).prop_map(|((mut steps, end), after)| {
        if let Some(end) = end {
            steps.push(end);
            steps.extend(after);
        }
        steps
    })
}

/// Background dials of several keys that are promised to waiters and closed together. Random steps
/// lead there too seldom.
fn steps_with_promises() -> impl Strategy<Value = Vec<Step>> {
    let dials =
        (0..KEYS, 1..3usize).prop_map(|(key, wanted)| Step::ReserveBackgroundDials { key, wanted });
    let waits = prop_oneof![
        8 => (0..KEYS).prop_map(|key| Step::Checkout { key, fresh: false }),
        1 => (0..64usize).prop_map(Step::Cancel),
        1 => (0..64usize).prop_map(Step::CloseLease),
    ];
    let close = prop_oneof![
        how().prop_map(Step::CloseAll),
        (0..KEYS / 2, how()).prop_map(|(origin, how)| Step::CloseOrigin { origin, how }),
        Just(Step::NetworkChanged),
    ];
    let before = (prop::collection::vec(dials, 2..6), prop::collection::vec(waits, 2..10));
    (before, close, prop::collection::vec(step(), 0..20)).prop_map(
        |((mut steps, waits), close, after)| {
            steps.extend(waits);
            steps.push(close);
            steps.extend(after);
            steps
        },
    )
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    Waits,
    Dials(usize),
    Uses,
    Over,
}

/// An exchange, as the real pool sees it.
pub(super) struct Requester {
    pub(super) control: Arc<Control>,
    /// Set when the pool wakes it.
    event: Arc<Notify>,
    pub(super) phase: Phase,
    connection: Option<Box<Connection>>,
}

pub(super) struct Harness {
    pub(super) pool: Arc<Pool>,
    pub(super) model: Model,
    keys: Vec<Arc<PoolKey>>,
    pub(super) requesters: Vec<Requester>,
    /// The background dials: the model's and the real one.
    pub(super) background: Vec<(usize, Arc<Record>, Arc<Control>)>,
    /// The other ends of the sockets, by id.
    peers: HashMap<u64, std::os::unix::net::UnixStream>,
    drains: Vec<Arc<Notify>>,
}

impl Harness {
    pub(super) fn new(limits: Limits) -> Self {
        let pool = Pool::new(limits);
        let key = |index: usize| {
            let origin = Origin::parse(&format!("http://127.0.0.1:{}", 80 + origin_of(index)));
            let local = (index % 2 == 1).then_some(IpAddr::V4(Ipv4Addr::LOCALHOST));
            let route = Route { local, ..Route::default() };
            PoolKey::new(origin.unwrap(), &Tls::standard(), &Arc::new(route))
        };
        Self {
            pool,
            model: Model::new(limits, Instant::now()),
            keys: (0..KEYS).map(key).collect(),
            requesters: Vec::new(),
            background: Vec::new(),
            peers: HashMap::new(),
            drains: Vec::new(),
        }
    }

    pub(super) fn step(&mut self, step: &Step) {
        // Keeps the sweep's thread out of this: a sweep is planned already.
        let planned = Some(self.model.now);
        self.pool.with_state(|state, _| state.sweep_at = planned);
        let now = self.model.now;
        match step {
            Step::Checkout { key, fresh } => self.checkout(*key, *fresh),
            Step::Poll(n) => self.with(*n, |p| p == Phase::Waits, Self::poll),
            Step::CancelWait(n) => self.with(*n, |p| p == Phase::Waits, Self::cancel_wait),
            Step::StopWaitingForDial(n) => self.with(
                *n,
                |p| p == Phase::Waits,
                |harness, p| {
                    harness.pool.stop_waiting_for_dial(&harness.requesters[p].control);
                    harness.model.stop_waiting_for_dial(p);
                },
            ),
            Step::Dialled { index, short } => {
                self.with(
                    *index,
                    |p| matches!(p, Phase::Dials(_)),
                    |harness, p| harness.dialled(p, *short),
                );
            }
            Step::StopDialling { index, goes_on } => self.with(
                *index,
                |p| matches!(p, Phase::Dials(_)),
                |harness, p| harness.stop_dialling(p, *goes_on),
            ),
            Step::LacksPort(n) => self.with(*n, |p| matches!(p, Phase::Dials(_)), Self::lacks_port),
            Step::BackgroundDialled { which, well } => self.background_dialled(*which, *well),
            Step::ReserveBackgroundDials { key, wanted } => {
                self.reserve_background_dials(*key, *wanted)
            }
            Step::SecondDial(n) => self.with(*n, |p| p == Phase::Uses, Self::second_dial),
            Step::Lost { index, ago } => {
                let since = now - Duration::from_secs(*ago);
                self.with(*index, |p| p == Phase::Uses, |harness, p| harness.lost(p, since));
            }
            Step::Stale(n) => self.with(*n, |p| p == Phase::Uses, Self::stale),
            Step::GiveBack(n) => self.with(*n, |p| p == Phase::Uses, Self::give_back),
            Step::CloseLease(n) => self.with(*n, |p| p == Phase::Uses, Self::close_lease),
            Step::Cancel(n) => self.with(
                *n,
                |p| p != Phase::Over,
                |harness, p| {
                    harness.requesters[p].control.end(Cause::Cancelled);
                    harness.model.cancel(p);
                },
            ),
            Step::CloseOne { which, how } => self.close_one(*which, *how),
            Step::CloseOrigin { origin, how } => {
                let real = self.keys[origin * 2].origin.clone();
                let closed = self.pool.close(*how, Cause::ClosedByOrigin, |r| r.key.origin == real);
                let mut mine = self.model.listed();
                mine.retain(|c| origin_of(self.model.connections[*c].key) == *origin);
                assert_eq!(closed, mine.len());
                self.model.close_all(&mine, *how);
            }
            Step::CloseAll(how) => {
                let closed = self.pool.close(*how, Cause::ClosedByAll, |_| true);
                let mine = self.model.listed();
                assert_eq!(closed, mine.len());
                self.model.close_all(&mine, *how);
            }
            Step::CloseIdle(secs) => {
                let old = Duration::from_secs(*secs);
                let closed = self.pool.close_idle(old, CloseReason::IdleTooLong, now);
                assert_eq!(closed, self.model.close_idle(old));
            }
            Step::NetworkChanged => {
                let mine = self.model.listed().len();
                assert_eq!(
                    self.pool.close(CloseMode::Graceful, Cause::NetworkChanged, |_| true),
                    mine
                );
                self.model.network_changed();
            }
            Step::Change(limits) => {
                let change = |now: &mut Limits| {
                    *now = *limits;
                    Ok::<(), ()>(())
                };
                self.pool.change_limits(now, change).unwrap();
                self.model.change(*limits);
            }
            Step::Elapse(secs) => self.model.now += Duration::from_secs(*secs),
            Step::PeerActs { which, closes, in_use } => self.peer_acts(*which, *closes, *in_use),
            Step::Silence(which) => self.silence(*which),
            Step::Sweep => {
                self.pool.sweep(now);
                self.model.sweep();
            }
            Step::Drain => {
                let event = Arc::new(Notify::new().unwrap());
                let empty = self.pool.drain(&event);
                assert_eq!(empty, self.model.drain());
                if !empty {
                    self.drains.push(event);
                }
            }
            Step::ShutDown => {
                self.pool.shut_down();
                self.model.shut_down();
            }
        }
        self.model.finish_step();
        self.compare();
    }

    /// Applies a step to one of the requesters in a phase that fits.
    fn with(
        &mut self,
        n: usize,
        which: impl Fn(Phase) -> bool,
        what: impl FnOnce(&mut Self, usize),
    ) {
        let those: Vec<usize> =
            (0..self.requesters.len()).filter(|p| which(self.requesters[*p].phase)).collect();
        if !those.is_empty() {
            what(self, those[n % those.len()]);
        }
    }

    fn checkout(&mut self, key: usize, fresh: bool) {
        let control = Control::new(&self.pool);
        let armed = control.register_wake();
        let event = Arc::clone(&armed);
        std::mem::forget(armed);
        let real = self.pool.checkout(&self.keys[key], &control, fresh, self.model.now);
        let outcome = self.model.checkout(key, fresh);
        let index = self.requesters.len();
        self.requesters.push(Requester { control, event, phase: Phase::Over, connection: None });
        self.compare_outcome(index, real, outcome);
    }

    /// Compares what the pool and the model return, and goes on from there.
    fn compare_outcome(
        &mut self,
        index: usize,
        real: Result<Checkout, LeaseError>,
        outcome: Outcome,
    ) {
        let requester = &mut self.requesters[index];
        requester.phase = match (real, outcome) {
            (Ok(Checkout::Open(connection)), Outcome::Open(which)) => {
                let record = self.model.connections[which].record.as_ref().unwrap();
                assert_eq!(connection.record.id, record.id, "another connection than expected");
                requester.connection = Some(connection);
                Phase::Uses
            }
            (Ok(Checkout::Dial(record)), Outcome::Dial(which)) => {
                assert_eq!(record.key, self.keys[self.model.connections[which].key]);
                self.model.connections[which].record = Some(record);
                Phase::Dials(which)
            }
            (Ok(Checkout::Wait { .. }), Outcome::Wait) => Phase::Waits,
            (Err(LeaseError::ShutDown), Outcome::ShutDown) => Phase::Over,
            (Err(LeaseError::QueueFull(most)), Outcome::Full) => {
                assert_eq!(most, self.model.queue().len());
                Phase::Over
            }
            // An ended exchange still has to cancel its wait.
            (Err(LeaseError::Stop(Stop::Ended)), Outcome::Ended) => Phase::Waits,
            (real, outcome) => panic!("the pool returns {real:?}, the model {outcome:?}"),
        };
    }

    fn poll(&mut self, index: usize) {
        let control = Arc::clone(&self.requesters[index].control);
        self.requesters[index].event.clear();
        let real = self.pool.poll(&control);
        let outcome = self.model.poll(index);
        self.compare_outcome(index, real, outcome);
        if outcome == Outcome::Ended {
            self.cancel_wait(index);
        }
    }

    fn cancel_wait(&mut self, index: usize) {
        let control = Arc::clone(&self.requesters[index].control);
        let real = self.pool.cancel_wait(&control, self.model.now);
        self.requesters[index].event.clear();
        let outcome = self.model.cancel_wait(index);
        let left = matches!(outcome, Outcome::Wait);
        self.compare_outcome(index, Ok(real), outcome);
        if left {
            self.requesters[index].phase = Phase::Over;
        }
    }

    fn dialled(&mut self, index: usize, short: bool) {
        let Phase::Dials(dial) = self.requesters[index].phase else { return };
        let connection = self.connect(self.model.connections[dial].record.clone().unwrap());
        let control = &self.requesters[index].control;
        let real = self.pool.dialled(connection, control, short, self.model.now);
        let outcome = self.model.dialled(index, dial, short);
        let requester = &mut self.requesters[index];
        let (connection, which) = match (real, outcome) {
            (Ok(Dialled::Mine(connection)), Outcome::Dial(which)) => (connection, which),
            (Ok(Dialled::Other(connection)), Outcome::Open(which)) => (connection, which),
            (Err(LeaseError::Stop(Stop::Ended)), Outcome::Ended) => {
                requester.phase = Phase::Over;
                return;
            }
            (real, outcome) => panic!("the pool returns {real:?}, the model {outcome:?}"),
        };
        let record = self.model.connections[which].record.as_ref().unwrap();
        assert_eq!(connection.record.id, record.id);
        (requester.phase, requester.connection) = (Phase::Uses, Some(connection));
    }

    /// The dial failed, or its exchange was ended or given another connection.
    fn stop_dialling(&mut self, index: usize, goes_on: bool) {
        let Phase::Dials(dial) = self.requesters[index].phase else { return };
        let record = self.model.connections[dial].record.clone().unwrap();
        let control = Arc::clone(&self.requesters[index].control);
        if goes_on {
            let background = Control::detached(&self.pool);
            let real = self.pool.detach_dial(record.id, &control, &background);
            assert_eq!(real, self.model.detach_dial(index, dial));
            if real {
                self.background.push((dial, Arc::clone(&record), background));
            }
        }
        let now = self.model.now;
        let given = self.pool.stop_dialling(record.id, &control, CloseReason::DialFailed, now);
        let outcome = self.model.stop_dialling(index, dial);
        self.requesters[index].phase = match (&given, outcome) {
            (Some(given), Outcome::Open(which)) => {
                let record = self.model.connections[which].record.as_ref().unwrap();
                assert_eq!(given.record.id, record.id);
                Phase::Uses
            }
            (None, Outcome::Ended) => Phase::Over,
            (given, outcome) => panic!("the pool returns {given:?}, the model {outcome:?}"),
        };
        self.requesters[index].connection = given;
    }

    /// The dial found no free local port.
    fn lacks_port(&mut self, index: usize) {
        let Phase::Dials(dial) = self.requesters[index].phase else { return };
        let id = self.model.connections[dial].record.as_ref().unwrap().id;
        let control = Arc::clone(&self.requesters[index].control);
        let fresh = self.model.requesters[index].fresh;
        self.requesters[index].event.clear();
        let waits = self.pool.wait_for_port(id, &control, fresh);
        assert_eq!(waits, self.model.wait_for_port(index, dial));
        match waits {
            true => self.requesters[index].phase = Phase::Waits,
            false => self.stop_dialling(index, false),
        }
    }

    fn reserve_background_dials(&mut self, key: usize, wanted: usize) {
        let make = || Control::detached(&self.pool);
        let slots = self.pool.reserve_background_dials(&self.keys[key], wanted, make);
        let closed = self.model.closed.is_some();
        let dials = self.model.background(key, wanted);
        assert_eq!(slots.is_err(), closed);
        let slots = slots.unwrap_or_default();
        assert_eq!(slots.len(), dials.len());
        for ((record, control), dial) in slots.into_iter().zip(dials) {
            self.model.connections[dial].record = Some(Arc::clone(&record));
            self.background.push((dial, record, control));
        }
    }

    /// The peer of a connection in use is silent.
    fn second_dial(&mut self, index: usize) {
        // An exchange that was ended has no connection any more.
        let Some(which) = self.model.requesters[index].has else { return };
        let record = Arc::clone(self.model.connections[which].record.as_ref().unwrap());
        let make = || Control::detached(&self.pool);
        let slot = self.pool.reserve_second_dial(record.id, &record.key, make);
        let dial = self.model.second_dial(self.model.connections[which].key);
        assert_eq!(slot.is_some(), dial.is_some());
        if let (Some((record, control)), Some(dial)) = (slot, dial) {
            self.model.connections[dial].record = Some(Arc::clone(&record));
            self.background.push((dial, record, control));
        }
    }

    /// The connection in use is lost, on which nothing came since then.
    fn lost(&mut self, index: usize, since: Instant) {
        let Some(which) = self.model.requesters[index].has else { return };
        let record = Arc::clone(self.model.connections[which].record.as_ref().unwrap());
        self.pool.lost(record.id, &record.key, since);
        self.model.lost(self.model.connections[which].key, since);
    }

    fn background_dialled(&mut self, which: usize, well: bool) {
        if self.background.is_empty() {
            return;
        }
        let (dial, record, control) = self.background.swap_remove(which % self.background.len());
        if well {
            let connection = self.connect(record);
            self.pool.background_dialled(connection, &control, self.model.now);
        } else {
            self.pool.close_lease(record.id, &control, CloseReason::DialFailed);
        }
        self.model.background_dialled(dial, well);
    }

    fn stale(&mut self, index: usize) {
        let Some(which) = self.model.requesters[index].has else { return };
        // A new connection is never probed at checkout.
        if self.model.connections[which].served < 2 {
            return;
        }
        let connection = self.requesters[index].connection.take().unwrap();
        connection.record.end();
        let control = Arc::clone(&self.requesters[index].control);
        let reason = CloseReason::StaleAtCheckout;
        let real = self.pool.replace(connection.record.id, &control, reason, self.model.now);
        let outcome = self.model.replace(index, which);
        self.requesters[index].event.clear();
        self.compare_outcome(index, real, outcome);
    }

    fn give_back(&mut self, index: usize) {
        let requester = &mut self.requesters[index];
        let connection = requester.connection.take().unwrap();
        requester.phase = Phase::Over;
        assert!(self.pool.give_back(connection, &requester.control, self.model.now));
        self.model.give_back(index);
    }

    fn close_lease(&mut self, index: usize) {
        let requester = &mut self.requesters[index];
        let connection = requester.connection.take().unwrap();
        requester.phase = Phase::Over;
        self.pool.close_lease(
            connection.record.id,
            &requester.control,
            CloseReason::AskedByRequest,
        );
        self.model.close_lease(index);
    }

    fn close_one(&mut self, which: usize, how: CloseMode) {
        let listed = self.model.listed();
        if listed.is_empty() {
            assert!(!self.pool.close_one(u64::MAX, how));
            return;
        }
        let which = listed[which % listed.len()];
        let id = self.model.connections[which].record.as_ref().unwrap().id;
        assert!(self.pool.close_one(id, how));
        self.model.close_all(&[which], how);
    }

    /// Of an idle connection, or of one in use, whose exchange does not read that.
    fn peer_acts(&mut self, which: usize, closes: bool, in_use: bool) {
        let of_stage = |c: &ModelConnection| match c.stage {
            ModelStage::Idle => !in_use,
            ModelStage::InUse(_) | ModelStage::Granted(_) => in_use,
            _ => false,
        };
        let those = self.model.all(of_stage);
        if those.is_empty() {
            return;
        }
        let which = those[which % those.len()];
        let it = &mut self.model.connections[which];
        it.spoke = true;
        let peer = &self.peers[&it.record.as_ref().unwrap().id];
        match closes {
            true => peer.shutdown(std::net::Shutdown::Write).unwrap(),
            false => drop((&*peer).write(b"HTTP/1.1 408 Request Timeout\r\n\r\n")),
        }
    }

    /// The system gets no answer from the peer of an idle connection.
    fn silence(&mut self, which: usize) {
        let idle = &self.model.idle;
        if idle.is_empty() {
            return;
        }
        let it = &mut self.model.connections[idle[which % idle.len()]];
        it.silent = true;
        it.record.as_ref().unwrap().is_silenced.store(true, Ordering::Relaxed);
    }

    /// A dial that succeeds.
    fn connect(&mut self, record: Arc<Record>) -> Box<Connection> {
        let (here, there) = std::os::unix::net::UnixStream::pair().unwrap();
        there.set_nonblocking(true).unwrap();
        let stream = Stream::plain(Socket::new(std::os::fd::OwnedFd::from(here).into()));
        record.connected(&stream, None);
        self.peers.insert(record.id, there);
        Connection::new(record, stream)
    }

    pub(super) fn compare(&mut self) {
        let stats = self.pool.stats(self.model.now);
        self.model.close_idle_too_long();
        self.model.finish_step();
        self.release_ended();
        let pool = Arc::clone(&self.pool);
        pool.with_state(|state, _| {
            self.bind_reserved(state);
            state.check();
            self.compare_connections(state);
            self.compare_requesters(state);
        });
        let counts = Counts {
            opened: stats.opened,
            closed: stats.closed,
            reused: stats.reused,
            dials_failed: stats.dials_failed,
            stale: stats.stale,
            swept: stats.swept,
            waited: stats.waited,
            refused: stats.refused,
        };
        assert_eq!(counts, self.model.counts);
        assert_eq!(stats.opened, stats.closed + stats.dialling + stats.in_use + stats.idle);
        let stage = |which: fn(ModelStage) -> bool| self.model.count(|c| which(c.stage)) as u64;
        let dialling = |s| matches!(s, ModelStage::Dialling(_) | ModelStage::Background);
        let in_use = |s| matches!(s, ModelStage::InUse(_) | ModelStage::Granted(_));
        assert_eq!(stats.dialling, stage(dialling));
        assert_eq!(stats.in_use, stage(in_use));
        assert_eq!(stats.idle, stage(|s| s == ModelStage::Idle));
        assert_eq!(self.pool.list(self.model.now).len(), self.model.listed().len());
    }

    /// An exchange that was ended in the middle closes what is left of its connection.
    fn release_ended(&mut self) {
        for (index, requester) in self.requesters.iter_mut().enumerate() {
            if requester.phase == Phase::Uses && self.model.requesters[index].ended {
                let connection = requester.connection.take().unwrap();
                self.pool.close_lease(
                    connection.record.id,
                    &requester.control,
                    CloseReason::Cancelled,
                );
                self.model.requesters[index].has = None;
                requester.phase = Phase::Over;
            }
        }
    }

    /// Finds the real connections of those that the model has just opened.
    fn bind_reserved(&mut self, state: &State) {
        for it in &mut self.model.connections {
            if let (ModelStage::Reserved(index), None) = (it.stage, &it.record) {
                let id = self.requesters[index].control.connection();
                it.record = Some(Arc::clone(&state.entries.get(id).unwrap().record));
            }
        }
    }

    fn compare_connections(&mut self, state: &State) {
        let listed = self.model.known();
        assert_eq!(state.entries.len(), listed.len());
        let control = |index: usize| &self.requesters[index].control;
        for which in listed {
            let it = &self.model.connections[which];
            let id = it.record.as_ref().unwrap().id;
            let entry = state.entries.get(id).unwrap();
            let same = match (entry.stage(), it.stage) {
                (Stage::Reserved(c), ModelStage::Reserved(index))
                | (Stage::Dialling(c), ModelStage::Dialling(index))
                | (Stage::InUse(c), ModelStage::InUse(index))
                | (Stage::Granted { to: c, .. }, ModelStage::Granted(index)) => {
                    Arc::ptr_eq(c, control(index))
                }
                (Stage::Dialling(c), ModelStage::Background) => c.is_detached(),
                (Stage::Idle { since, .. }, ModelStage::Idle) => *since == it.since,
                _ => false,
            };
            assert!(same, "{:?} is {:?} in the model", entry.stage(), it.stage);
            assert_eq!(entry.record.close_reason().is_some(), it.closing);
            assert_eq!(entry.record.requests_served(), it.served);
            assert_eq!(entry.record.key, self.keys[it.key]);
        }
        let idle: Vec<u64> = (self.model.idle.iter())
            .map(|which| self.model.connections[*which].record.as_ref().unwrap().id)
            .collect();
        assert_eq!(state.idle.iter_from(0).map(|row| row.id).collect::<Vec<_>>(), idle);
        assert_eq!(
            state.closing_dials.len(),
            self.model.all(|c| c.stage == ModelStage::ClosingDial).len()
        );
        assert_eq!(state.open, self.model.count(|_| true));
        // A connection that left the pool is closed on the wire.
        self.peers.retain(|id, peer| {
            let open = state.entries.get(*id).is_some();
            let mut byte = [0];
            let is_open = matches!(
                peer.read(&mut byte), Err(error) if error.kind() == std::io::ErrorKind::WouldBlock
            );
            assert_eq!(is_open, open, "connection {id} on the wire, and in the pool");
            open
        });
    }

    fn compare_requesters(&self, state: &State) {
        let queue: Vec<usize> = state
            .waiters
            .iter()
            .filter(|(ticket, w)| {
                state.origins[state.keys[w.key_id].origin_id].slot_waiters.contains(ticket)
            })
            .map(|(_, waiter)| self.number(&waiter.control))
            .collect();
        assert_eq!(queue, self.model.queue());
        for (key, real) in self.keys.iter().enumerate() {
            let entry = state.key_index.get(real).map(|key_id| &state.keys[*key_id]);
            let promised = entry.into_iter().flat_map(|entry| &entry.promised);
            let promised: Vec<usize> =
                promised.map(|ticket| self.number(&state.waiters[ticket].control)).collect();
            assert_eq!(promised, self.model.promised(key));
        }
        for (index, requester) in self.requesters.iter().enumerate() {
            let modelled = &self.model.requesters[index];
            let ended = requester.control.cause().is_some_and(|cause| cause != Cause::Done);
            assert_eq!(ended, modelled.ended);
            // A change that concerns a requester wakes it.
            let reserved =
                |d: usize| self.model.connections[d].stage == ModelStage::Reserved(index);
            let must_wake = match requester.phase {
                Phase::Waits => {
                    ended || modelled.has.is_some() || modelled.dial.is_some_and(reserved)
                }
                Phase::Dials(dial) => {
                    let closed = self.model.connections[dial].stage == ModelStage::ClosingDial;
                    ended || modelled.has.is_some() || closed
                }
                Phase::Uses | Phase::Over => false,
            };
            assert!(!must_wake || requester.event.is_set(), "requester {index} was not woken");
        }
    }

    fn number(&self, control: &Arc<Control>) -> usize {
        self.requesters.iter().position(|p| Arc::ptr_eq(&p.control, control)).unwrap()
    }

    /// Ends all requesters and dials; checks that nothing is left.
    pub(super) fn finish(mut self) {
        while let Some(index) = self.requesters.iter().position(|p| p.phase != Phase::Over) {
            match self.requesters[index].phase {
                Phase::Waits => self.cancel_wait(index),
                Phase::Dials(_) => self.stop_dialling(index, false),
                _ => self.close_lease(index),
            }
            self.model.finish_step();
            self.compare();
        }
        while !self.background.is_empty() {
            self.step(&Step::BackgroundDialled { which: 0, well: false });
        }
        self.step(&Step::CloseIdle(0));
        self.pool.with_state(|state, _| state.assert_empty());
        assert!(self.peers.is_empty());
        let mut drained = self.drains.iter().map(|event| are_readable(&[event.descriptor()])[0]);
        assert!(drained.all(|drained| drained), "a drain that does not end");
    }
}

/// As many as run in a few seconds; with HANGUP_LONG in the environment, in some minutes.
fn cases() -> u32 {
    if std::env::var_os("HANGUP_LONG").is_some() { 20_000 } else { 250 }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: cases(),
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn the_pool_does_what_its_model_does(limits in limits(), steps in steps()) {
        let mut harness = Harness::new(limits);
        for step in &steps {
            harness.step(step);
        }
        harness.finish();
    }

    #[test]
    fn the_pool_does_what_its_model_does_when_promised_dials_are_closed(
        limits in limits(),
        steps in steps_with_promises(),
    ) {
        let mut harness = Harness::new(limits);
        for step in &steps {
            harness.step(step);
        }
        harness.finish();
    }
}
