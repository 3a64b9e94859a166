//! The pool against its [`model`](super::model): random sequences of everything that can be done
//! to it, on one thread, with sockets whose other ends are watched. After each step both must say
//! the same: who has what, who waits and in which order, what is idle, what was counted.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::super::state::Stage;
use super::super::{Checkout, Dialled, LeaseError, Pool};
use super::model::{Counts, Got, KEYS, Model, Stage as Its, origin_of};
use crate::manager::Limits;
use crate::manager::connection::{Connection, Record};
use crate::manager::control::{Cause, Control};
use crate::manager::key::{Origin, PoolKey};
use crate::net::Stop;
use crate::net::route::Route;
use crate::net::socket::Socket;
use crate::net::stream::Stream;
use crate::net::tls::Tls;
use crate::runtime::{Notify, readable_now};
use crate::vocabulary::{CloseMode, CloseReason};

/// A step. Numbers pick one of those that are there.
#[derive(Clone, Debug)]
pub(super) enum Step {
    Ask { key: usize, fresh: bool },
    Fetch(usize),
    Leave(usize),
    Insist(usize),
    Dialled { who: usize, short: bool },
    StopDialling { who: usize, goes_on: bool },
    DialledAhead { which: usize, well: bool },
    Ahead { key: usize, wanted: usize },
    Dead(usize),
    GiveBack(usize),
    CloseMine(usize),
    Cancel(usize),
    CloseOne { which: usize, how: CloseMode },
    CloseOrigin { origin: usize, how: CloseMode },
    CloseAll(CloseMode),
    CloseIdle(u64),
    Retire,
    Change(Limits),
    Pass(u64),
    PeerActs { which: usize, closes: bool },
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
    );
    (counts, clocks).prop_map(
        |((total, per_origin, idle_total, idle_per_origin, queue), clocks)| {
            let (idle_for, max_age, max_requests) = clocks;
            let keep_alive = None;
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
        12 => (0..KEYS, prop::bool::weighted(0.2)).prop_map(|(key, fresh)| Step::Ask { key, fresh }),
        8 => any().prop_map(Step::Fetch),
        3 => any().prop_map(Step::Leave),
        2 => any().prop_map(Step::Insist),
        8 => (any(), prop::bool::weighted(0.2)).prop_map(|(who, short)| Step::Dialled { who, short }),
        3 => (any(), prop::bool::ANY).prop_map(|(who, goes_on)| Step::StopDialling { who, goes_on }),
        2 => (any(), prop::bool::weighted(0.7))
            .prop_map(|(which, well)| Step::DialledAhead { which, well }),
        1 => (0..KEYS, 0..4usize).prop_map(|(key, wanted)| Step::Ahead { key, wanted }),
        1 => any().prop_map(Step::Dead),
        8 => any().prop_map(Step::GiveBack),
        2 => any().prop_map(Step::CloseMine),
        3 => any().prop_map(Step::Cancel),
        2 => (any(), how()).prop_map(|(which, how)| Step::CloseOne { which, how }),
        1 => (0..KEYS / 2, how()).prop_map(|(origin, how)| Step::CloseOrigin { origin, how }),
        1 => how().prop_map(Step::CloseAll),
        1 => (0..30u64).prop_map(Step::CloseIdle),
        1 => Just(Step::Retire),
        2 => limits().prop_map(Step::Change),
        2 => (1..15u64).prop_map(Step::Pass),
        1 => (any(), prop::bool::ANY).prop_map(|(which, closes)| Step::PeerActs { which, closes }),
        1 => Just(Step::Sweep),
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

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    Waits,
    Dials(usize),
    Uses,
    Over,
}

/// Somebody who asked the real pool.
pub(super) struct Person {
    pub(super) control: Arc<Control>,
    /// What wakes it, all the time.
    event: Arc<Notify>,
    pub(super) phase: Phase,
    connection: Option<Box<Connection>>,
}

pub(super) struct World {
    pub(super) pool: Arc<Pool>,
    pub(super) model: Model,
    keys: Vec<Arc<PoolKey>>,
    pub(super) people: Vec<Person>,
    /// The model's dials for nobody, and the real ones.
    pub(super) ahead: Vec<(usize, Arc<Record>, Arc<Control>)>,
    /// The other ends of the sockets, by id.
    peers: HashMap<u64, std::os::unix::net::UnixStream>,
    drains: Vec<Arc<Notify>>,
}

impl World {
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
            people: Vec::new(),
            ahead: Vec::new(),
            peers: HashMap::new(),
            drains: Vec::new(),
        }
    }

    pub(super) fn step(&mut self, step: &Step) {
        // The sweep's thread has no part in this.
        self.pool.lock().sweep_at = Some(self.model.now);
        let now = self.model.now;
        match step {
            Step::Ask { key, fresh } => self.ask(*key, *fresh),
            Step::Fetch(n) => self.with(*n, |p| p == Phase::Waits, Self::fetch),
            Step::Leave(n) => self.with(*n, |p| p == Phase::Waits, Self::leave),
            Step::Insist(n) => self.with(
                *n,
                |p| p == Phase::Waits,
                |me, p| {
                    me.pool.stop_waiting_for_dial(&me.people[p].control);
                    me.model.stop_waiting_for_dial(p);
                },
            ),
            Step::Dialled { who, short } => {
                self.with(*who, |p| matches!(p, Phase::Dials(_)), |me, p| me.dialled(p, *short));
            }
            Step::StopDialling { who, goes_on } => self.with(
                *who,
                |p| matches!(p, Phase::Dials(_)),
                |me, p| me.stop_dialling(p, *goes_on),
            ),
            Step::DialledAhead { which, well } => self.background_dialled(*which, *well),
            Step::Ahead { key, wanted } => self.dial_ahead(*key, *wanted),
            Step::Dead(n) => self.with(*n, |p| p == Phase::Uses, Self::dead),
            Step::GiveBack(n) => self.with(*n, |p| p == Phase::Uses, Self::give_back),
            Step::CloseMine(n) => self.with(*n, |p| p == Phase::Uses, Self::close_lease),
            Step::Cancel(n) => self.with(
                *n,
                |p| p != Phase::Over,
                |me, p| {
                    me.people[p].control.end(Cause::Cancelled);
                    me.model.cancel(p);
                },
            ),
            Step::CloseOne { which, how } => self.close_one(*which, *how),
            Step::CloseOrigin { origin, how } => {
                let real = self.keys[origin * 2].origin.clone();
                let closed = self.pool.close(*how, Cause::ClosedByOrigin, |r| r.key.origin == real);
                let mut mine = self.model.listed();
                mine.retain(|c| origin_of(self.model.connections[*c].key) == *origin);
                assert_eq!(closed, mine.len());
                mine.into_iter().for_each(|c| self.model.close(c, *how));
            }
            Step::CloseAll(how) => {
                let closed = self.pool.close(*how, Cause::ClosedByAll, |_| true);
                let mine = self.model.listed();
                assert_eq!(closed, mine.len());
                mine.into_iter().for_each(|c| self.model.close(c, *how));
            }
            Step::CloseIdle(secs) => {
                let old = Duration::from_secs(*secs);
                let closed = self.pool.close_idle(old, CloseReason::IdleTooLong, now);
                assert_eq!(closed, self.model.close_idle(old));
            }
            Step::Retire => {
                let mine = self.model.listed().len();
                assert_eq!(
                    self.pool.close(CloseMode::Graceful, Cause::NetworkChanged, |_| true),
                    mine
                );
                self.model.retire();
            }
            Step::Change(limits) => {
                let change = |now: &mut Limits| {
                    *now = *limits;
                    Ok::<(), ()>(())
                };
                self.pool.change_limits(now, change).unwrap();
                self.model.change(*limits);
            }
            Step::Pass(secs) => self.model.now += Duration::from_secs(*secs),
            Step::PeerActs { which, closes } => self.peer_acts(*which, *closes),
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
        self.model.settle();
        self.compare();
    }

    /// Does something with one of those who are that far.
    fn with(
        &mut self,
        n: usize,
        which: impl Fn(Phase) -> bool,
        what: impl FnOnce(&mut Self, usize),
    ) {
        let those: Vec<usize> =
            (0..self.people.len()).filter(|p| which(self.people[*p].phase)).collect();
        if !those.is_empty() {
            what(self, those[n % those.len()]);
        }
    }

    fn ask(&mut self, key: usize, fresh: bool) {
        let control = Control::new(&self.pool);
        let armed = control.register_wake();
        let event = Arc::clone(&armed);
        std::mem::forget(armed);
        let answer = self.pool.checkout(&self.keys[key], &control, fresh, self.model.now);
        let got = self.model.ask(key, fresh);
        let who = self.people.len();
        self.people.push(Person { control, event, phase: Phase::Over, connection: None });
        self.take(who, answer, got);
    }

    /// Both say the same; goes on from there.
    fn take(&mut self, who: usize, answer: Result<Checkout, LeaseError>, got: Got) {
        let person = &mut self.people[who];
        person.phase = match (answer, got) {
            (Ok(Checkout::Open(connection)), Got::Open(which)) => {
                let record = self.model.connections[which].record.as_ref().unwrap();
                assert_eq!(connection.record.id, record.id, "another connection than expected");
                person.connection = Some(connection);
                Phase::Uses
            }
            (Ok(Checkout::Dial(record)), Got::Dial(which)) => {
                assert_eq!(record.key, self.keys[self.model.connections[which].key]);
                self.model.connections[which].record = Some(record);
                Phase::Dials(which)
            }
            (Ok(Checkout::Wait { .. }), Got::Wait) => Phase::Waits,
            (Err(LeaseError::ShutDown), Got::ShutDown) => Phase::Over,
            (Err(LeaseError::QueueFull(most)), Got::Full) => {
                assert_eq!(most, self.model.queue().len());
                Phase::Over
            }
            // It has to leave by itself.
            (Err(LeaseError::Stop(Stop::Ended)), Got::Ended) => Phase::Waits,
            (answer, got) => panic!("the pool says {answer:?}, the model {got:?}"),
        };
    }

    fn fetch(&mut self, who: usize) {
        let control = Arc::clone(&self.people[who].control);
        self.people[who].event.clear();
        let answer = self.pool.poll(&control);
        let got = self.model.fetch(who);
        self.take(who, answer, got);
        if got == Got::Ended {
            self.leave(who);
        }
    }

    fn leave(&mut self, who: usize) {
        let control = Arc::clone(&self.people[who].control);
        let answer = self.pool.cancel_wait(&control, self.model.now);
        self.people[who].event.clear();
        let got = self.model.leave(who);
        let left = matches!(got, Got::Wait);
        self.take(who, Ok(answer), got);
        if left {
            self.people[who].phase = Phase::Over;
        }
    }

    fn dialled(&mut self, who: usize, short: bool) {
        let Phase::Dials(dial) = self.people[who].phase else { return };
        let connection = self.connect(self.model.connections[dial].record.clone().unwrap());
        let control = &self.people[who].control;
        let answer = self.pool.dialled(connection, control, short, self.model.now);
        let got = self.model.dialled(who, dial, short);
        let person = &mut self.people[who];
        let (connection, which) = match (answer, got) {
            (Ok(Dialled::Mine(connection)), Got::Dial(which)) => (connection, which),
            (Ok(Dialled::Other(connection)), Got::Open(which)) => (connection, which),
            (Err(LeaseError::Stop(Stop::Ended)), Got::Ended) => {
                person.phase = Phase::Over;
                return;
            }
            (answer, got) => panic!("the pool says {answer:?}, the model {got:?}"),
        };
        let record = self.model.connections[which].record.as_ref().unwrap();
        assert_eq!(connection.record.id, record.id);
        (person.phase, person.connection) = (Phase::Uses, Some(connection));
    }

    /// The dial failed, or its exchange was ended or given another connection.
    fn stop_dialling(&mut self, who: usize, goes_on: bool) {
        let Phase::Dials(dial) = self.people[who].phase else { return };
        let record = self.model.connections[dial].record.clone().unwrap();
        let control = Arc::clone(&self.people[who].control);
        if goes_on {
            let background = Control::detached(&self.pool);
            let real = self.pool.detach_dial(record.id, &control, &background);
            assert_eq!(real, self.model.detach_dial(who, dial));
            if real {
                self.ahead.push((dial, Arc::clone(&record), background));
            }
        }
        let now = self.model.now;
        let given = self.pool.stop_dialling(record.id, &control, CloseReason::DialFailed, now);
        let got = self.model.stop_dialling(who, dial);
        self.people[who].phase = match (&given, got) {
            (Some(given), Got::Open(which)) => {
                let record = self.model.connections[which].record.as_ref().unwrap();
                assert_eq!(given.record.id, record.id);
                Phase::Uses
            }
            (None, Got::Ended) => Phase::Over,
            (given, got) => panic!("the pool gives {given:?}, the model {got:?}"),
        };
        self.people[who].connection = given;
    }

    fn dial_ahead(&mut self, key: usize, wanted: usize) {
        let make = || Control::detached(&self.pool);
        let slots = self.pool.reserve_background_dials(&self.keys[key], wanted, make);
        let closed = self.model.closed.is_some();
        let dials = self.model.ahead(key, wanted);
        assert_eq!(slots.is_err(), closed);
        let slots = slots.unwrap_or_default();
        assert_eq!(slots.len(), dials.len());
        for ((record, control), dial) in slots.into_iter().zip(dials) {
            self.model.connections[dial].record = Some(Arc::clone(&record));
            self.ahead.push((dial, record, control));
        }
    }

    fn background_dialled(&mut self, which: usize, well: bool) {
        if self.ahead.is_empty() {
            return;
        }
        let (dial, record, control) = self.ahead.swap_remove(which % self.ahead.len());
        if well {
            let connection = self.connect(record);
            self.pool.background_dialled(connection, &control, self.model.now);
        } else {
            self.pool.close_lease(record.id, &control, CloseReason::DialFailed);
        }
        self.model.background_dialled(dial, well);
    }

    fn dead(&mut self, who: usize) {
        let Some(which) = self.model.people[who].has else { return };
        // A new connection is never looked at.
        if self.model.connections[which].served < 2 {
            return;
        }
        let connection = self.people[who].connection.take().unwrap();
        connection.record.end();
        let control = Arc::clone(&self.people[who].control);
        let answer = self.pool.replace(connection.record.id, &control, self.model.now);
        let got = self.model.replace(who, which);
        self.people[who].event.clear();
        self.take(who, answer, got);
    }

    fn give_back(&mut self, who: usize) {
        let person = &mut self.people[who];
        let connection = person.connection.take().unwrap();
        person.phase = Phase::Over;
        assert!(self.pool.give_back(connection, &person.control, self.model.now));
        self.model.give_back(who);
    }

    fn close_lease(&mut self, who: usize) {
        let person = &mut self.people[who];
        let connection = person.connection.take().unwrap();
        person.phase = Phase::Over;
        self.pool.close_lease(connection.record.id, &person.control, CloseReason::AskedByRequest);
        self.model.close_lease(who);
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
        self.model.close(which, how);
    }

    fn peer_acts(&mut self, which: usize, closes: bool) {
        let idle = &self.model.idle;
        if idle.is_empty() {
            return;
        }
        let which = idle[which % idle.len()];
        let it = &mut self.model.connections[which];
        it.spoke = true;
        let peer = &self.peers[&it.record.as_ref().unwrap().id];
        match closes {
            true => peer.shutdown(std::net::Shutdown::Write).unwrap(),
            false => drop((&*peer).write(b"HTTP/1.1 408 Request Timeout\r\n\r\n")),
        }
    }

    /// A dial that succeeds.
    fn connect(&mut self, record: Arc<Record>) -> Box<Connection> {
        let (here, there) = std::os::unix::net::UnixStream::pair().unwrap();
        there.set_nonblocking(true).unwrap();
        let stream = Stream::plain(Socket::new(std::os::fd::OwnedFd::from(here).into()));
        record.connected(&stream);
        self.peers.insert(record.id, there);
        Box::new(Connection { record, stream })
    }

    pub(super) fn compare(&mut self) {
        let stats = self.pool.stats(self.model.now);
        self.model.expire();
        self.model.settle();
        self.let_the_ended_go();
        self.bind();
        self.pool.lock().check();
        self.compare_connections();
        self.compare_people();
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
        assert_eq!(self.pool.list(self.model.now).len(), self.model.listed().len());
    }

    /// Whose exchange was ended in the middle lets go of what is left of its connection.
    fn let_the_ended_go(&mut self) {
        for (who, person) in self.people.iter_mut().enumerate() {
            if person.phase == Phase::Uses && self.model.people[who].ended {
                let connection = person.connection.take().unwrap();
                self.pool.close_lease(
                    connection.record.id,
                    &person.control,
                    CloseReason::Cancelled,
                );
                self.model.people[who].has = None;
                person.phase = Phase::Over;
            }
        }
    }

    /// Finds the real ones of those that the model has just opened.
    fn bind(&mut self) {
        let state = self.pool.lock();
        for it in &mut self.model.connections {
            if let (Its::Reserved(who), None) = (it.stage, &it.record) {
                let id = self.people[who].control.connection();
                it.record = Some(Arc::clone(&state.entries[&id].record));
            }
        }
    }

    fn compare_connections(&mut self) {
        let state = self.pool.lock();
        let listed = self.model.known();
        assert_eq!(state.entries.len(), listed.len());
        let control = |who: usize| &self.people[who].control;
        for which in listed {
            let it = &self.model.connections[which];
            let id = it.record.as_ref().unwrap().id;
            let entry = &state.entries[&id];
            let same = match (&entry.stage, it.stage) {
                (Stage::Reserved(c), Its::Reserved(who))
                | (Stage::Dialling(c), Its::Dialling(who))
                | (Stage::InUse(c), Its::InUse(who))
                | (Stage::Granted { to: c, .. }, Its::Granted(who)) => Arc::ptr_eq(c, control(who)),
                (Stage::Dialling(c), Its::Ahead) => c.is_detached(),
                (Stage::Idle { since, .. }, Its::Idle) => *since == it.since,
                _ => false,
            };
            assert!(same, "{:?} is {:?} in the model", entry.stage, it.stage);
            assert_eq!(entry.record.is_closing().is_some(), it.closing);
            assert_eq!(entry.record.served(), it.served);
            assert_eq!(entry.record.key, self.keys[it.key]);
        }
        let idle: Vec<u64> = (self.model.idle.iter())
            .map(|which| self.model.connections[*which].record.as_ref().unwrap().id)
            .collect();
        assert_eq!(state.ages.from(0).map(|row| row.id).collect::<Vec<_>>(), idle);
        assert_eq!(state.parting.len(), self.model.all(|c| c.stage == Its::Parting).len());
        assert_eq!(state.open, self.model.count(|_| true));
        // What is gone is closed on the wire.
        self.peers.retain(|id, peer| {
            let open = state.entries.contains_key(id);
            let mut byte = [0];
            let quiet = matches!(
                peer.read(&mut byte), Err(error) if error.kind() == std::io::ErrorKind::WouldBlock
            );
            assert_eq!(quiet, open, "connection {id} on the wire, and in the pool");
            open
        });
    }

    fn compare_people(&self) {
        let state = self.pool.lock();
        let queue: Vec<usize> = state
            .waiters
            .iter()
            .filter(|(ticket, w)| state.groups[state.lines[w.line].group].blocked.contains(ticket))
            .map(|(_, waiter)| self.number(&waiter.control))
            .collect();
        assert_eq!(queue, self.model.queue());
        for (key, real) in self.keys.iter().enumerate() {
            let line = state.keys.get(real).map(|line| &state.lines[*line]);
            let promised = line.into_iter().flat_map(|line| &line.promised);
            let promised: Vec<usize> =
                promised.map(|ticket| self.number(&state.waiters[ticket].control)).collect();
            assert_eq!(promised, self.model.promised(key));
        }
        for (who, person) in self.people.iter().enumerate() {
            let its = &self.model.people[who];
            let ended = person.control.cause().is_some_and(|cause| cause != Cause::Done);
            assert_eq!(ended, its.ended);
            // Nobody sleeps through what is for them.
            let reserved = |d: usize| self.model.connections[d].stage == Its::Reserved(who);
            let news = match person.phase {
                Phase::Waits => ended || its.has.is_some() || its.dial.is_some_and(reserved),
                Phase::Dials(dial) => {
                    let parting = self.model.connections[dial].stage == Its::Parting;
                    ended || its.has.is_some() || parting
                }
                Phase::Uses | Phase::Over => false,
            };
            assert!(!news || person.event.is_set(), "nobody woke {who}");
        }
    }

    fn number(&self, control: &Arc<Control>) -> usize {
        self.people.iter().position(|p| Arc::ptr_eq(&p.control, control)).unwrap()
    }

    /// Everybody stops; nothing is left.
    pub(super) fn finish(mut self) {
        while let Some(who) = self.people.iter().position(|p| p.phase != Phase::Over) {
            match self.people[who].phase {
                Phase::Waits => self.leave(who),
                Phase::Dials(_) => self.stop_dialling(who, false),
                _ => self.close_lease(who),
            }
            self.model.settle();
            self.compare();
        }
        while !self.ahead.is_empty() {
            self.step(&Step::DialledAhead { which: 0, well: false });
        }
        self.step(&Step::CloseIdle(0));
        self.pool.lock().assert_empty();
        assert!(self.peers.is_empty());
        let told = self.drains.iter().map(|event| readable_now(&[event.fd()])[0]);
        assert!(told.into_iter().all(|told| told), "a drain that does not end");
    }
}

/// As many as fit in a few seconds; with HANGUP_LONG in the environment, in some minutes.
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
        let mut world = World::new(limits);
        for step in &steps {
            world.step(step);
        }
        world.finish();
    }
}
