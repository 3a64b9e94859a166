//! What the pool must do, in the simplest form: lists that are searched from end to end. Knows
//! nothing of locks, sockets and threads. [`proptest`](super::proptest) compares the two.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::super::state::Closed;
use crate::manager::connection::Record;
use crate::manager::limits::Limits;
use crate::vocabulary::CloseMode;

/// When the second probe of a silent peer is sent, or would be.
fn judged_after(keep_alive: Option<Duration>) -> Duration {
    let first = keep_alive.unwrap_or(Duration::from_secs(15));
    first + first.min(Duration::from_secs(3))
}

/// Two keys for each origin.
pub(super) const KEYS: usize = 6;

pub(super) fn origin_of(key: usize) -> usize {
    key / 2
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    Reserved(usize),
    Dialling(usize),
    /// Dialled in the background.
    Background,
    InUse(usize),
    Granted(usize),
    Idle,
    /// Closed, but the dialling exchange has not closed its sockets yet.
    ClosingDial,
    /// Closed; its slot is freed when the step is over.
    Closing,
    Gone,
}

pub(super) struct Connection {
    pub(super) key: usize,
    pub(super) stage: Stage,
    pub(super) since: Instant,
    pub(super) served: u64,
    pub(super) closing: bool,
    /// A dial whose connection is for any waiter.
    pub(super) background: bool,
    /// The peer sent something or closed it.
    pub(super) spoke: bool,
    /// The system got no answer from the peer.
    pub(super) silent: bool,
    /// The limit under which it was opened.
    pub(super) keep_alive: Option<Duration>,
    /// The real one, for its age.
    pub(super) record: Option<Arc<Record>>,
}

/// An exchange that asked for a connection.
#[derive(Clone, Debug, Default)]
pub(super) struct Requester {
    pub(super) key: usize,
    pub(super) fresh: bool,
    pub(super) ticket: usize,
    /// Waits for a slot.
    pub(super) queued: bool,
    /// Takes a connection that becomes free.
    pub(super) reuses: bool,
    /// Waits for a background dial.
    pub(super) promised: bool,
    pub(super) dial: Option<usize>,
    /// The connection that it was granted or uses.
    pub(super) has: Option<usize>,
    pub(super) ended: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Open(usize),
    Dial(usize),
    Wait,
    Full,
    ShutDown,
    Ended,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) opened: u64,
    pub(super) closed: u64,
    pub(super) reused: u64,
    pub(super) dials_failed: u64,
    pub(super) stale: u64,
    pub(super) swept: u64,
    pub(super) waited: u64,
    pub(super) refused: u64,
}

pub(super) struct Model {
    pub(super) now: Instant,
    pub(super) limits: Limits,
    pub(super) closed: Option<Closed>,
    pub(super) connections: Vec<Connection>,
    pub(super) requesters: Vec<Requester>,
    /// The least recently used first.
    pub(super) idle: Vec<usize>,
    pub(super) counts: Counts,
    tickets: usize,
    /// More connections than that of an origin find no port, as far as it is known.
    port_limits: [usize; KEYS / 2],
    /// A background dial that is done in this step.
    offering: Option<usize>,
}

impl Model {
    pub(super) fn new(limits: Limits, now: Instant) -> Self {
        let (connections, requesters, idle) = (Vec::new(), Vec::new(), Vec::new());
        let counts = Counts::default();
        Self {
            now,
            limits,
            closed: None,
            connections,
            requesters,
            idle,
            counts,
            tickets: 0,
            port_limits: [usize::MAX; KEYS / 2],
            offering: None,
        }
    }

    // The operations.

    pub(super) fn checkout(&mut self, key: usize, fresh: bool) -> Outcome {
        let index = self.requesters.len();
        self.requesters.push(Requester { key, fresh, ..Requester::default() });
        if self.closed.is_some() {
            return Outcome::ShutDown;
        }
        self.close_idle_too_long();
        if !fresh && let Some(connection) = self.take_idle(key) {
            return self.lease(index, connection);
        }
        if !fresh && self.background_dials(key) > self.promised(key).len() {
            self.counts.waited += 1;
            self.register(index);
            self.requesters[index].promised = true;
            return Outcome::Wait;
        }
        if self.has_room(key) {
            let dial = self.open(key, Stage::Dialling(index));
            self.requesters[index].dial = Some(dial);
            if !fresh {
                self.register(index);
            }
            return Outcome::Dial(dial);
        }
        let crowded = self.open_at(origin_of(key)) >= self.limit(origin_of(key));
        let victim = self
            .idle
            .iter()
            .copied()
            .find(|c| !crowded || origin_of(self.connections[*c].key) == origin_of(key));
        match victim {
            Some(victim) => self.remove(victim),
            None if self.queue().len() >= self.limits.queue => {
                self.counts.refused += 1;
                return Outcome::Full;
            }
            None => {}
        }
        self.counts.waited += 1;
        self.register(index);
        self.requesters[index].queued = true;
        Outcome::Wait
    }

    /// The promised background dial takes too long.
    pub(super) fn stop_waiting_for_dial(&mut self, index: usize) {
        if std::mem::take(&mut self.requesters[index].promised) {
            self.requesters[index].queued = true;
            self.serve_waiters();
        }
    }

    pub(super) fn poll(&mut self, index: usize) -> Outcome {
        if self.requesters[index].ended {
            return Outcome::Ended;
        }
        match (self.requesters[index].has, self.requesters[index].dial) {
            (Some(connection), _) => self.lease(index, connection),
            (None, Some(dial)) if self.connections[dial].stage == Stage::Reserved(index) => {
                self.counts.opened += 1;
                self.connections[dial].stage = Stage::Dialling(index);
                Outcome::Dial(dial)
            }
            _ => Outcome::Wait,
        }
    }

    pub(super) fn cancel_wait(&mut self, index: usize) -> Outcome {
        let outcome = self.poll(index);
        if !matches!(outcome, Outcome::Wait | Outcome::Ended) {
            return outcome;
        }
        self.unregister(index);
        self.return_granted(index);
        Outcome::Wait
    }

    pub(super) fn dialled(&mut self, index: usize, dial: usize, short: bool) -> Outcome {
        self.unregister(index);
        if self.connections[dial].stage == Stage::ClosingDial {
            self.connections[dial].stage = Stage::Closing;
            return self.take_granted(index);
        }
        if !self.requesters[index].ended && self.requesters[index].has.is_none() {
            self.connections[dial].stage = Stage::InUse(index);
            self.connections[dial].served += 1;
            self.requesters[index].has = Some(dial);
            return Outcome::Dial(dial);
        }
        match short {
            true => self.remove(dial),
            false => self.offer_dialled(dial),
        }
        self.take_granted(index)
    }

    /// The dial found no free local port. Returns whether its exchange waits now.
    pub(super) fn wait_for_port(&mut self, index: usize, dial: usize) -> bool {
        let origin = origin_of(self.requesters[index].key);
        let dials = !self.requesters[index].ended
            && self.requesters[index].has.is_none()
            && self.connections[dial].stage == Stage::Dialling(index);
        let others = self.open_at(origin) - 1;
        if !dials || self.closed.is_some() || others == 0 || self.queue().len() >= self.limits.queue
        {
            return false;
        }
        self.counts.waited += 1;
        self.port_limits[origin] = others;
        self.register(index);
        self.requesters[index].queued = true;
        self.requesters[index].dial = None;
        self.remove(dial);
        self.evict(Some(origin));
        true
    }

    pub(super) fn detach_dial(&mut self, index: usize, dial: usize) -> bool {
        let it = &mut self.connections[dial];
        let goes_on = it.stage == Stage::Dialling(index) && !it.closing && self.closed.is_none();
        if goes_on {
            (it.stage, it.background) = (Stage::Background, true);
        }
        goes_on
    }

    pub(super) fn stop_dialling(&mut self, index: usize, dial: usize) -> Outcome {
        self.unregister(index);
        match self.connections[dial].stage {
            Stage::ClosingDial => self.connections[dial].stage = Stage::Closing,
            Stage::Dialling(owner) if owner == index => self.remove(dial),
            _ => {}
        }
        self.take_granted(index)
    }

    pub(super) fn background_dialled(&mut self, dial: usize, well: bool) {
        match self.connections[dial].stage {
            Stage::ClosingDial => self.connections[dial].stage = Stage::Closing,
            _ if well => self.offer_dialled(dial),
            _ => self.remove(dial),
        }
    }

    pub(super) fn background(&mut self, key: usize, wanted: usize) -> Vec<usize> {
        let wanted = wanted.min(self.limits.idle_per_origin).min(self.limits.idle_total);
        let there = self.count(|c| c.key == key && (c.stage == Stage::Idle || c.background));
        let mut dials = Vec::new();
        while self.closed.is_none() && there + dials.len() < wanted && self.has_room(key) {
            let dial = self.open(key, Stage::Background);
            self.connections[dial].background = true;
            dials.push(dial);
        }
        dials
    }

    /// A second connection beside one that is suspected.
    pub(super) fn second_dial(&mut self, key: usize) -> Option<usize> {
        if self.closed.is_some() {
            return None;
        }
        if !self.has_room(key) {
            self.evict(Some(origin_of(key)));
            self.finish_step();
        }
        self.has_room(key).then(|| {
            let dial = self.open(key, Stage::Background);
            self.connections[dial].background = true;
            dial
        })
    }

    /// A connection was lost: the idle ones of its origin that were not in use since are closed.
    pub(super) fn lost(&mut self, key: usize, since: Instant) {
        let origin = origin_of(key);
        let silent = |c: &Connection| {
            c.stage == Stage::Idle && origin_of(c.key) == origin && c.since <= since
        };
        self.all(silent).iter().for_each(|c| self.remove(*c));
    }

    /// The idle connection that was given turned out to be dead.
    pub(super) fn replace(&mut self, index: usize, stale: usize) -> Outcome {
        self.counts.stale += 1;
        self.counts.reused -= 1;
        self.remove(stale);
        self.requesters[index].has = None;
        if self.closed.is_some() {
            return Outcome::ShutDown;
        }
        let key = self.requesters[index].key;
        if let Some(connection) = self.take_idle(key) {
            return self.lease(index, connection);
        }
        // In the same slot, even if the limits were lowered meanwhile.
        self.connections[stale].stage = Stage::Gone;
        let dial = self.insert(key, Stage::Dialling(index));
        self.requesters[index].dial = Some(dial);
        self.register(index);
        Outcome::Dial(dial)
    }

    pub(super) fn give_back(&mut self, index: usize) {
        if let Some(connection) = self.requesters[index].has.take() {
            self.offer(connection);
        }
    }

    pub(super) fn close_lease(&mut self, index: usize) {
        if let Some(connection) = self.requesters[index].has.take()
            && self.connections[connection].stage == Stage::InUse(index)
        {
            self.remove(connection);
        }
    }

    pub(super) fn cancel(&mut self, index: usize) {
        if std::mem::replace(&mut self.requesters[index].ended, true) {
            return;
        }
        if let Some(connection) = self.requesters[index].has
            && self.connections[connection].stage == Stage::InUse(index)
        {
            self.remove(connection);
        }
    }

    /// Closes connections, and then serves the waiters that were promised a closed dial.
    pub(super) fn close_all(&mut self, which: &[usize], how: CloseMode) {
        which.iter().for_each(|c| self.close(*c, how));
        self.serve_waiters();
    }

    fn close(&mut self, which: usize, how: CloseMode) {
        let stage = self.connections[which].stage;
        match (stage, how) {
            (Stage::Closing | Stage::ClosingDial | Stage::Gone, _) => {}
            (Stage::Idle, _) => self.remove(which),
            (Stage::Background, _) => self.close_dial(which),
            (_, CloseMode::Graceful) => self.connections[which].closing = true,
            // A dialling exchange that was granted another connection goes on with that.
            (Stage::Dialling(index), CloseMode::Now) if self.requesters[index].has.is_some() => {
                self.close_dial(which)
            }
            (
                Stage::Reserved(index)
                | Stage::Dialling(index)
                | Stage::InUse(index)
                | Stage::Granted(index),
                CloseMode::Now,
            ) => {
                if std::mem::replace(&mut self.requesters[index].ended, true) {
                    self.connections[which].closing = true;
                } else if matches!(stage, Stage::Dialling(_)) {
                    self.close_dial(which);
                } else {
                    self.remove(which);
                }
            }
        }
    }

    pub(super) fn close_idle(&mut self, idle_for: Duration) -> usize {
        let now = self.now;
        let old = |c: &Connection| c.stage == Stage::Idle && now - c.since >= idle_for;
        let old: Vec<usize> = self.all(old);
        old.iter().for_each(|c| self.remove(*c));
        old.len()
    }

    pub(super) fn network_changed(&mut self) {
        for c in self.listed() {
            match self.connections[c].stage {
                Stage::Idle => self.remove(c),
                Stage::Background => self.close_dial(c),
                _ => self.connections[c].closing = true,
            }
        }
        self.serve_waiters();
    }

    /// Returns whether nothing is open.
    pub(super) fn drain(&mut self) -> bool {
        self.refuse(Closed::Draining);
        for c in self.known() {
            match self.connections[c].stage {
                Stage::Idle => self.remove(c),
                Stage::Background => self.close_dial(c),
                _ => self.connections[c].closing = true,
            }
        }
        self.count(|_| true) == 0
    }

    pub(super) fn shut_down(&mut self) {
        self.refuse(Closed::ShutDown);
        self.close_all(&self.known(), CloseMode::Now);
    }

    pub(super) fn change(&mut self, limits: Limits) {
        self.limits = limits;
        self.close_idle_too_long();
        for c in self.idle.clone() {
            if self.expired(c) {
                self.remove(c);
            }
        }
        for origin in 0..KEYS / 2 {
            while self.idle_at(origin) > limits.idle_per_origin
                || self.staying_at(origin) > limits.per_origin
            {
                if !self.evict(Some(origin)) {
                    break;
                }
            }
        }
        while self.idle.len() > limits.idle_total || self.staying() > limits.total {
            if !self.evict(None) {
                break;
            }
        }
        self.serve_waiters();
    }

    pub(super) fn sweep(&mut self) {
        self.close_idle_too_long();
        for c in self.idle.clone() {
            if self.expired(c) {
                self.remove(c);
            } else if self.connections[c].spoke {
                self.counts.swept += 1;
                self.remove(c);
            }
        }
        for c in self.idle.clone() {
            let it = &self.connections[c];
            let long = judged_after(it.keep_alive).max(judged_after(self.limits.keep_alive));
            if it.silent && self.now.saturating_duration_since(it.since) >= long {
                self.counts.swept += 1;
                self.remove(c);
            }
        }
    }

    /// The end of a step: slots are freed, one after the other.
    pub(super) fn finish_step(&mut self) {
        while let Some(c) = self.connections.iter().position(|c| c.stage == Stage::Closing) {
            self.connections[c].stage = Stage::Gone;
            self.serve_waiters();
        }
    }

    // Queries.

    /// The waiters for a slot, in the order of their arrival.
    pub(super) fn queue(&self) -> Vec<usize> {
        let mut queue: Vec<usize> =
            (0..self.requesters.len()).filter(|p| self.requesters[*p].queued).collect();
        queue.sort_by_key(|p| self.requesters[*p].ticket);
        queue
    }

    /// The waiters for a background dial of that key, in the order of their arrival.
    pub(super) fn promised(&self, key: usize) -> Vec<usize> {
        let waits = |p: &usize| self.requesters[*p].promised && self.requesters[*p].key == key;
        let mut waiting: Vec<usize> = (0..self.requesters.len()).filter(waits).collect();
        waiting.sort_by_key(|p| self.requesters[*p].ticket);
        waiting
    }

    /// The connections that the pool lists.
    pub(super) fn listed(&self) -> Vec<usize> {
        self.all(|c| is_listed(c) && !matches!(c.stage, Stage::Reserved(_)))
    }

    /// The connections that the pool lists, and reserved slots.
    pub(super) fn known(&self) -> Vec<usize> {
        self.all(is_listed)
    }

    pub(super) fn all(&self, which: impl Fn(&Connection) -> bool) -> Vec<usize> {
        (0..self.connections.len()).filter(|c| which(&self.connections[*c])).collect()
    }

    /// How many of the connections that have a slot match.
    pub(super) fn count(&self, which: impl Fn(&Connection) -> bool) -> usize {
        self.all(|c| c.stage != Stage::Gone && which(c)).len()
    }

    pub(super) fn open_at(&self, origin: usize) -> usize {
        self.count(|c| origin_of(c.key) == origin)
    }

    // Private helpers.

    fn staying(&self) -> usize {
        self.count(|c| !is_closing(c))
    }

    fn staying_at(&self, origin: usize) -> usize {
        self.count(|c| !is_closing(c) && origin_of(c.key) == origin)
    }

    fn idle_at(&self, origin: usize) -> usize {
        self.count(|c| c.stage == Stage::Idle && origin_of(c.key) == origin)
    }

    fn background_dials(&self, key: usize) -> usize {
        self.count(|c| c.key == key && c.background)
    }

    /// If more background dials are promised than are left, the last waiters wait for a slot.
    fn take_back_promises(&mut self, key: usize) {
        while self.promised(key).len() > self.background_dials(key) {
            let Some(last) = self.promised(key).pop() else { return };
            (self.requesters[last].promised, self.requesters[last].queued) = (false, true);
        }
    }

    fn offer_dialled(&mut self, which: usize) {
        let was_ahead = self.connections[which].background;
        // Counted as a background dial until it is decided which waiter gets the connection.
        self.connections[which].stage = Stage::InUse(usize::MAX);
        self.offering = was_ahead.then_some(which);
        self.offer(which);
        self.offering = None;
        if was_ahead {
            self.connections[which].background = false;
            self.take_back_promises(self.connections[which].key);
            self.serve_waiters();
        }
    }

    fn has_room(&self, key: usize) -> bool {
        self.count(|_| true) < self.limits.total
            && self.open_at(origin_of(key)) < self.limit(origin_of(key))
    }

    fn limit(&self, origin: usize) -> usize {
        self.limits.per_origin.min(self.port_limits[origin])
    }

    /// The limits that a lack of ports sets are there while exchanges wait for a slot.
    fn lift_port_limits(&mut self) {
        for origin in 0..KEYS / 2 {
            if self.port_limits[origin] < usize::MAX
                && !self.queue().iter().any(|p| origin_of(self.requesters[*p].key) == origin)
            {
                self.port_limits[origin] = usize::MAX;
            }
        }
    }

    fn open(&mut self, key: usize, stage: Stage) -> usize {
        assert!(self.has_room(key), "the model itself respects the limits");
        self.insert(key, stage)
    }

    fn insert(&mut self, key: usize, stage: Stage) -> usize {
        self.counts.opened += u64::from(!matches!(stage, Stage::Reserved(_)));
        let (since, served) = (self.now, 0);
        let (closing, background, spoke, silent, record) = (false, false, false, false, None);
        let keep_alive = self.limits.keep_alive;
        let it = Connection {
            key,
            stage,
            since,
            served,
            closing,
            background,
            spoke,
            silent,
            keep_alive,
            record,
        };
        self.connections.push(it);
        self.connections.len() - 1
    }

    fn lease(&mut self, index: usize, connection: usize) -> Outcome {
        self.counts.reused += 1;
        self.connections[connection].stage = Stage::InUse(index);
        self.connections[connection].served += 1;
        self.requesters[index].has = Some(connection);
        Outcome::Open(connection)
    }

    fn register(&mut self, index: usize) {
        if self.requesters[index].ticket == 0 {
            self.tickets += 1;
            self.requesters[index].ticket = self.tickets;
        }
        self.requesters[index].reuses = !self.requesters[index].fresh;
    }

    fn unregister(&mut self, index: usize) {
        let requester = &mut self.requesters[index];
        let was_in = requester.reuses || requester.queued;
        (requester.reuses, requester.queued, requester.promised) = (false, false, false);
        self.lift_port_limits();
        if was_in {
            self.serve_waiters();
        }
    }

    fn take_granted(&mut self, index: usize) -> Outcome {
        match self.requesters[index].has {
            Some(connection) if !self.requesters[index].ended => self.lease(index, connection),
            _ => {
                self.return_granted(index);
                Outcome::Ended
            }
        }
    }

    fn return_granted(&mut self, index: usize) {
        if let Some(connection) = self.requesters[index].has.take() {
            if self.connections[connection].stage == Stage::Granted(index) {
                self.offer(connection);
            }
        } else if let Some(dial) = self.requesters[index].dial
            && self.connections[dial].stage == Stage::Reserved(index)
        {
            self.remove(dial);
        }
    }

    fn expired(&self, which: usize) -> bool {
        let it = &self.connections[which];
        let too_old = it.record.as_ref().is_some_and(|record| {
            self.limits
                .age_of(record.id)
                .is_some_and(|age| self.now.saturating_duration_since(record.opened_at) >= age)
        });
        too_old || self.limits.max_requests.is_some_and(|most| it.served >= most)
    }

    fn take_idle(&mut self, key: usize) -> Option<usize> {
        loop {
            let last = *self.idle.iter().rfind(|c| self.connections[**c].key == key)?;
            if !self.expired(last) {
                self.idle.retain(|c| *c != last);
                return Some(last);
            }
            self.remove(last);
        }
    }

    fn offer(&mut self, which: usize) {
        let key = self.connections[which].key;
        let origin = origin_of(key);
        if self.connections[which].closing
            || self.closed.is_some()
            || self.expired(which)
            || self.staying_at(origin) > self.limits.per_origin
            || self.staying() > self.limits.total
        {
            return self.remove(which);
        }
        let ticket = |p: &usize| self.requesters[*p].ticket;
        let live = |p: &usize| !self.requesters[*p].ended;
        let reuse_waiters =
            (0..self.requesters.len()).filter(|p| self.requesters[*p].reuses && live(p));
        let taker = reuse_waiters.filter(|p| self.requesters[*p].key == key).min_by_key(ticket);
        let queue = self.queue();
        let at = |p: &usize| origin_of(self.requesters[*p].key);
        // Slots that are about to be free go to the first waiters.
        let here: Vec<usize> = queue.iter().copied().filter(|p| at(p) == origin).collect();
        let falling_here = self.count(|c| is_closing(c) && origin_of(c.key) == origin);
        let seeker_here = here.iter().copied().find(live).filter(|_| here.len() > falling_here);
        let enough = queue.len() <= self.count(is_closing);
        let seeker_elsewhere = queue
            .iter()
            .copied()
            .find(|p| live(p) && self.open_at(at(p)) < self.limit(at(p)))
            .filter(|_| !enough);
        let seeker = seeker_here.into_iter().chain(seeker_elsewhere).min_by_key(ticket);
        match (taker, seeker) {
            (Some(taker), Some(seeker)) if ticket(&seeker) < ticket(&taker) => self.remove(which),
            (Some(taker), _) => self.grant(taker, which),
            (None, Some(_)) => self.remove(which),
            (None, None) => self.make_idle(which),
        }
    }

    fn grant(&mut self, index: usize, which: usize) {
        let requester = &mut self.requesters[index];
        (requester.reuses, requester.queued, requester.promised) = (false, false, false);
        requester.has = Some(which);
        self.lift_port_limits();
        self.connections[which].stage = Stage::Granted(index);
        match self.requesters[index].dial {
            Some(dial) if self.connections[dial].stage == Stage::Reserved(index) => {
                self.remove(dial)
            }
            Some(dial) if self.connections[dial].stage == Stage::Dialling(index) => {
                self.connections[dial].background = true;
            }
            _ => {}
        }
    }

    fn make_idle(&mut self, which: usize) {
        if self.limits.idle_total == 0 || self.limits.idle_per_origin == 0 {
            return self.remove(which);
        }
        self.connections[which].stage = Stage::Idle;
        self.connections[which].since = self.now;
        self.idle.push(which);
        let origin = origin_of(self.connections[which].key);
        if self.idle_at(origin) > self.limits.idle_per_origin {
            self.evict(Some(origin));
        }
        if self.idle.len() > self.limits.idle_total {
            self.evict(None);
        }
    }

    fn evict(&mut self, origin: Option<usize>) -> bool {
        let fits = |c: &usize| origin.is_none_or(|o| origin_of(self.connections[*c].key) == o);
        let oldest = self.idle.iter().copied().find(fits);
        oldest.map(|c| self.remove(c)).is_some()
    }

    pub(super) fn close_idle_too_long(&mut self) {
        if let Some(most) = self.limits.idle_for {
            self.close_idle(most);
        }
    }

    fn remove(&mut self, which: usize) {
        if self.end(which, Stage::Closing) {
            self.serve_waiters();
        }
    }

    /// The caller serves the waiters.
    fn close_dial(&mut self, which: usize) {
        self.end(which, Stage::ClosingDial);
    }

    /// Returns whether it was a dial that waiters may have been promised.
    fn end(&mut self, which: usize, how: Stage) -> bool {
        self.counts.closed +=
            u64::from(!matches!(self.connections[which].stage, Stage::Reserved(_)));
        let dialling =
            matches!(self.connections[which].stage, Stage::Dialling(_) | Stage::Background);
        self.counts.dials_failed += u64::from(dialling);
        self.connections[which].stage = how;
        self.idle.retain(|c| *c != which);
        let was_background =
            self.offering != Some(which) && std::mem::take(&mut self.connections[which].background);
        if was_background {
            self.take_back_promises(self.connections[which].key);
        }
        was_background
    }

    /// Gives no connections any more.
    fn refuse(&mut self, how: Closed) {
        if self.closed != Some(Closed::ShutDown) {
            self.closed = Some(how);
        }
        for p in 0..self.requesters.len() {
            let requester = &self.requesters[p];
            let runs = !requester.queued && !requester.promised && how == Closed::Draining;
            if (requester.queued || requester.reuses) && !runs {
                self.requesters[p].ended = true;
            }
        }
    }

    /// Gives slots to the waiters for one.
    fn serve_waiters(&mut self) {
        while self.closed.is_none() && self.count(|_| true) < self.limits.total {
            let Some(first) = self.first_waiting(|_| true) else { return };
            self.requesters[first].queued = false;
            self.lift_port_limits();
            if self.requesters[first].ended {
                continue;
            }
            let dial = self.open(self.requesters[first].key, Stage::Reserved(first));
            self.requesters[first].dial = Some(dial);
        }
        // The first waiter of an origin counts, even if its exchange was ended.
        let firsts: Vec<usize> =
            (0..KEYS / 2).filter_map(|o| self.first_waiting(|p| origin_of(p.key) == o)).collect();
        let one_waits = firsts.iter().any(|p| !self.requesters[*p].ended);
        if one_waits && self.closed.is_none() && self.count(is_closing) == 0 {
            self.evict(None);
        }
    }

    fn first_waiting(&self, which: impl Fn(&Requester) -> bool) -> Option<usize> {
        self.queue().into_iter().find(|p| {
            let requester = &self.requesters[*p];
            let origin = origin_of(requester.key);
            which(requester) && self.open_at(origin) < self.limit(origin)
        })
    }
}

fn is_listed(c: &Connection) -> bool {
    !matches!(c.stage, Stage::Closing | Stage::ClosingDial | Stage::Gone)
}

fn is_closing(c: &Connection) -> bool {
    matches!(c.stage, Stage::Closing | Stage::ClosingDial)
}
