//! What the pool shall do, said in the plainest way: lists, looked through from end to end. It
//! knows nothing of locks, sockets and threads. [`proptest`](super::proptest) compares.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::super::state::Closed;
use crate::manager::Limits;
use crate::manager::connection::Record;
use crate::vocabulary::CloseMode;

/// Two keys an origin.
pub(super) const KEYS: usize = 6;

pub(super) fn origin_of(key: usize) -> usize {
    key / 2
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    Reserved(usize),
    Dialling(usize),
    /// Dialled for nobody in particular.
    Ahead,
    InUse(usize),
    Granted(usize),
    Idle,
    /// Closed; whoever dials has not let go of it yet.
    Parting,
    /// Closed; its slot is freed when the step is over.
    Falling,
    Gone,
}

pub(super) struct Connection {
    pub(super) key: usize,
    pub(super) stage: Stage,
    pub(super) since: Instant,
    pub(super) served: u64,
    pub(super) closing: bool,
    /// A dial that is for whoever comes.
    pub(super) ahead: bool,
    /// The peer did something to it.
    pub(super) spoke: bool,
    /// The real one, for its age.
    pub(super) record: Option<Arc<Record>>,
}

/// Somebody who asked.
#[derive(Clone, Debug, Default)]
pub(super) struct Person {
    pub(super) key: usize,
    pub(super) fresh: bool,
    pub(super) ticket: usize,
    /// Needs a slot.
    pub(super) queued: bool,
    /// Would take a connection.
    pub(super) takes: bool,
    /// Waits for a dial that is for whoever comes.
    pub(super) promised: bool,
    pub(super) dial: Option<usize>,
    /// Was given it, or uses it.
    pub(super) has: Option<usize>,
    pub(super) ended: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Got {
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
    pub(super) people: Vec<Person>,
    /// The least recently used first.
    pub(super) idle: Vec<usize>,
    pub(super) counts: Counts,
    tickets: usize,
    /// A dial for whoever comes that is done just now.
    offering: Option<usize>,
}

impl Model {
    pub(super) fn new(limits: Limits, now: Instant) -> Self {
        let (connections, people, idle) = (Vec::new(), Vec::new(), Vec::new());
        let counts = Counts::default();
        Self {
            now,
            limits,
            closed: None,
            connections,
            people,
            idle,
            counts,
            tickets: 0,
            offering: None,
        }
    }

    // What the verbs do.

    pub(super) fn ask(&mut self, key: usize, fresh: bool) -> Got {
        let me = self.people.len();
        self.people.push(Person { key, fresh, ..Person::default() });
        if self.closed.is_some() {
            return Got::ShutDown;
        }
        self.expire();
        if !fresh && let Some(connection) = self.take_idle(key) {
            return self.lease(me, connection);
        }
        if !fresh && self.aheads(key) > self.promised(key).len() {
            self.counts.waited += 1;
            self.register(me);
            self.people[me].promised = true;
            return Got::Wait;
        }
        if self.has_room(key) {
            let dial = self.open(key, Stage::Dialling(me));
            self.people[me].dial = Some(dial);
            if !fresh {
                self.register(me);
            }
            return Got::Dial(dial);
        }
        let crowded = self.open_at(origin_of(key)) >= self.limits.per_origin;
        let victim = self
            .idle
            .iter()
            .copied()
            .find(|c| !crowded || origin_of(self.connections[*c].key) == origin_of(key));
        match victim {
            Some(victim) => self.fall(victim),
            None if self.queue().len() >= self.limits.queue => {
                self.counts.refused += 1;
                return Got::Full;
            }
            None => {}
        }
        self.counts.waited += 1;
        self.register(me);
        self.people[me].queued = true;
        Got::Wait
    }

    /// It has waited long enough for somebody else's dial.
    pub(super) fn stop_waiting_for_dial(&mut self, me: usize) {
        if std::mem::take(&mut self.people[me].promised) {
            self.people[me].queued = true;
            self.serve();
        }
    }

    pub(super) fn fetch(&mut self, me: usize) -> Got {
        if self.people[me].ended {
            return Got::Ended;
        }
        match (self.people[me].has, self.people[me].dial) {
            (Some(connection), _) => self.lease(me, connection),
            (None, Some(dial)) if self.connections[dial].stage == Stage::Reserved(me) => {
                self.counts.opened += 1;
                self.connections[dial].stage = Stage::Dialling(me);
                Got::Dial(dial)
            }
            _ => Got::Wait,
        }
    }

    pub(super) fn leave(&mut self, me: usize) -> Got {
        let got = self.fetch(me);
        if !matches!(got, Got::Wait | Got::Ended) {
            return got;
        }
        self.unregister(me);
        self.pass_on(me);
        Got::Wait
    }

    pub(super) fn dialled(&mut self, me: usize, dial: usize, short: bool) -> Got {
        self.unregister(me);
        if self.connections[dial].stage == Stage::Parting {
            self.connections[dial].stage = Stage::Falling;
            return self.take_given(me);
        }
        if !self.people[me].ended && self.people[me].has.is_none() {
            self.connections[dial].stage = Stage::InUse(me);
            self.connections[dial].served += 1;
            self.people[me].has = Some(dial);
            return Got::Dial(dial);
        }
        match short {
            true => self.fall(dial),
            false => self.offer_dialled(dial),
        }
        self.take_given(me)
    }

    pub(super) fn detach_dial(&mut self, me: usize, dial: usize) -> bool {
        let it = &mut self.connections[dial];
        let goes_on = it.stage == Stage::Dialling(me) && !it.closing && self.closed.is_none();
        if goes_on {
            (it.stage, it.ahead) = (Stage::Ahead, true);
        }
        goes_on
    }

    pub(super) fn stop_dialling(&mut self, me: usize, dial: usize) -> Got {
        self.unregister(me);
        match self.connections[dial].stage {
            Stage::Parting => self.connections[dial].stage = Stage::Falling,
            Stage::Dialling(owner) if owner == me => self.fall(dial),
            _ => {}
        }
        self.take_given(me)
    }

    pub(super) fn background_dialled(&mut self, dial: usize, well: bool) {
        match self.connections[dial].stage {
            Stage::Parting => self.connections[dial].stage = Stage::Falling,
            _ if well => self.offer_dialled(dial),
            _ => self.fall(dial),
        }
    }

    pub(super) fn ahead(&mut self, key: usize, wanted: usize) -> Vec<usize> {
        let wanted = wanted.min(self.limits.idle_per_origin).min(self.limits.idle_total);
        let there = self.count(|c| c.key == key && (c.stage == Stage::Idle || c.ahead));
        let mut dials = Vec::new();
        while self.closed.is_none() && there + dials.len() < wanted && self.has_room(key) {
            let dial = self.open(key, Stage::Ahead);
            self.connections[dial].ahead = true;
            dials.push(dial);
        }
        dials
    }

    /// The connection that was given is dead.
    pub(super) fn replace(&mut self, me: usize, dead: usize) -> Got {
        self.counts.stale += 1;
        self.counts.reused -= 1;
        self.fall(dead);
        self.people[me].has = None;
        if self.closed.is_some() {
            return Got::ShutDown;
        }
        let key = self.people[me].key;
        if let Some(connection) = self.take_idle(key) {
            return self.lease(me, connection);
        }
        // In the same slot, whatever the limits are by now.
        self.connections[dead].stage = Stage::Gone;
        let dial = self.enter(key, Stage::Dialling(me));
        self.people[me].dial = Some(dial);
        self.register(me);
        Got::Dial(dial)
    }

    pub(super) fn give_back(&mut self, me: usize) {
        if let Some(connection) = self.people[me].has.take() {
            self.offer(connection);
        }
    }

    pub(super) fn close_lease(&mut self, me: usize) {
        if let Some(connection) = self.people[me].has.take()
            && self.connections[connection].stage == Stage::InUse(me)
        {
            self.fall(connection);
        }
    }

    pub(super) fn cancel(&mut self, me: usize) {
        if std::mem::replace(&mut self.people[me].ended, true) {
            return;
        }
        if let Some(connection) = self.people[me].has
            && self.connections[connection].stage == Stage::InUse(me)
        {
            self.fall(connection);
        }
    }

    pub(super) fn close(&mut self, which: usize, how: CloseMode) {
        let stage = self.connections[which].stage;
        match (stage, how) {
            (Stage::Falling | Stage::Parting | Stage::Gone, _) => {}
            (Stage::Idle, _) => self.fall(which),
            (Stage::Ahead, _) => self.part(which),
            (_, CloseMode::Graceful) => self.connections[which].closing = true,
            // Somebody who dials, and was given another one, goes on with that.
            (Stage::Dialling(who), CloseMode::Now) if self.people[who].has.is_some() => {
                self.part(which)
            }
            (
                Stage::Reserved(who)
                | Stage::Dialling(who)
                | Stage::InUse(who)
                | Stage::Granted(who),
                CloseMode::Now,
            ) => {
                if std::mem::replace(&mut self.people[who].ended, true) {
                    self.connections[which].closing = true;
                } else if matches!(stage, Stage::Dialling(_)) {
                    self.part(which);
                } else {
                    self.fall(which);
                }
            }
        }
    }

    pub(super) fn close_idle(&mut self, idle_for: Duration) -> usize {
        let now = self.now;
        let old = |c: &Connection| c.stage == Stage::Idle && now - c.since >= idle_for;
        let old: Vec<usize> = self.all(old);
        old.iter().for_each(|c| self.fall(*c));
        old.len()
    }

    pub(super) fn retire(&mut self) {
        for c in self.listed() {
            match self.connections[c].stage {
                Stage::Idle => self.fall(c),
                Stage::Ahead => self.part(c),
                _ => self.connections[c].closing = true,
            }
        }
    }

    /// Answers whether nothing is open.
    pub(super) fn drain(&mut self) -> bool {
        self.refuse(Closed::Draining);
        for c in self.known() {
            match self.connections[c].stage {
                Stage::Idle => self.fall(c),
                Stage::Ahead => self.part(c),
                _ => self.connections[c].closing = true,
            }
        }
        self.count(|_| true) == 0
    }

    pub(super) fn shut_down(&mut self) {
        self.refuse(Closed::ShutDown);
        self.known().into_iter().for_each(|c| self.close(c, CloseMode::Now));
    }

    pub(super) fn change(&mut self, limits: Limits) {
        self.limits = limits;
        self.expire();
        for c in self.idle.clone() {
            if self.is_worn(c) {
                self.fall(c);
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
        self.serve();
    }

    pub(super) fn sweep(&mut self) {
        self.expire();
        for c in self.idle.clone() {
            if self.is_worn(c) {
                self.fall(c);
            } else if self.connections[c].spoke {
                self.counts.swept += 1;
                self.fall(c);
            }
        }
    }

    /// What happens when the step is over: slots are freed, one after the other.
    pub(super) fn settle(&mut self) {
        while let Some(c) = self.connections.iter().position(|c| c.stage == Stage::Falling) {
            self.connections[c].stage = Stage::Gone;
            self.serve();
        }
    }

    // What can be asked.

    /// Who needs a slot, in the order in which they came.
    pub(super) fn queue(&self) -> Vec<usize> {
        let mut queue: Vec<usize> =
            (0..self.people.len()).filter(|p| self.people[*p].queued).collect();
        queue.sort_by_key(|p| self.people[*p].ticket);
        queue
    }

    /// Who waits for a dial of that key that somebody else began, in the order in which they came.
    pub(super) fn promised(&self, key: usize) -> Vec<usize> {
        let waits = |p: &usize| self.people[*p].promised && self.people[*p].key == key;
        let mut waiting: Vec<usize> = (0..self.people.len()).filter(waits).collect();
        waiting.sort_by_key(|p| self.people[*p].ticket);
        waiting
    }

    /// Those that the pool shows.
    pub(super) fn listed(&self) -> Vec<usize> {
        self.all(|c| is_there(c) && !matches!(c.stage, Stage::Reserved(_)))
    }

    /// Those that it knows, and slots that are reserved.
    pub(super) fn known(&self) -> Vec<usize> {
        self.all(is_there)
    }

    pub(super) fn all(&self, which: impl Fn(&Connection) -> bool) -> Vec<usize> {
        (0..self.connections.len()).filter(|c| which(&self.connections[*c])).collect()
    }

    /// Those with a slot, of these.
    pub(super) fn count(&self, which: impl Fn(&Connection) -> bool) -> usize {
        self.all(|c| c.stage != Stage::Gone && which(c)).len()
    }

    pub(super) fn open_at(&self, origin: usize) -> usize {
        self.count(|c| origin_of(c.key) == origin)
    }

    // How it does it.

    fn staying(&self) -> usize {
        self.count(|c| !is_going(c))
    }

    fn staying_at(&self, origin: usize) -> usize {
        self.count(|c| !is_going(c) && origin_of(c.key) == origin)
    }

    fn idle_at(&self, origin: usize) -> usize {
        self.count(|c| c.stage == Stage::Idle && origin_of(c.key) == origin)
    }

    fn aheads(&self, key: usize) -> usize {
        self.count(|c| c.key == key && c.ahead)
    }

    /// Who was promised one too many, the last who came, needs a slot.
    fn keep_promises(&mut self, key: usize) {
        while self.promised(key).len() > self.aheads(key) {
            let Some(last) = self.promised(key).pop() else { return };
            (self.people[last].promised, self.people[last].queued) = (false, true);
            self.serve();
        }
    }

    fn offer_dialled(&mut self, which: usize) {
        let was_ahead = self.connections[which].ahead;
        // A dial that came to something; counted until it is known who has it.
        self.connections[which].stage = Stage::InUse(usize::MAX);
        self.offering = was_ahead.then_some(which);
        self.offer(which);
        self.offering = None;
        if was_ahead {
            self.connections[which].ahead = false;
            self.keep_promises(self.connections[which].key);
        }
    }

    fn has_room(&self, key: usize) -> bool {
        self.count(|_| true) < self.limits.total
            && self.open_at(origin_of(key)) < self.limits.per_origin
    }

    fn open(&mut self, key: usize, stage: Stage) -> usize {
        assert!(self.has_room(key), "the model itself keeps to the limits");
        self.enter(key, stage)
    }

    fn enter(&mut self, key: usize, stage: Stage) -> usize {
        self.counts.opened += u64::from(!matches!(stage, Stage::Reserved(_)));
        let (since, served) = (self.now, 0);
        let (closing, ahead, spoke, record) = (false, false, false, None);
        let it = Connection { key, stage, since, served, closing, ahead, spoke, record };
        self.connections.push(it);
        self.connections.len() - 1
    }

    fn lease(&mut self, me: usize, connection: usize) -> Got {
        self.counts.reused += 1;
        self.connections[connection].stage = Stage::InUse(me);
        self.connections[connection].served += 1;
        self.people[me].has = Some(connection);
        Got::Open(connection)
    }

    fn register(&mut self, me: usize) {
        if self.people[me].ticket == 0 {
            self.tickets += 1;
            self.people[me].ticket = self.tickets;
        }
        self.people[me].takes = !self.people[me].fresh;
    }

    fn unregister(&mut self, me: usize) {
        let person = &mut self.people[me];
        let was_in = person.takes || person.queued;
        (person.takes, person.queued, person.promised) = (false, false, false);
        if was_in {
            self.serve();
        }
    }

    fn take_given(&mut self, me: usize) -> Got {
        match self.people[me].has {
            Some(connection) if !self.people[me].ended => self.lease(me, connection),
            _ => {
                self.pass_on(me);
                Got::Ended
            }
        }
    }

    fn pass_on(&mut self, me: usize) {
        if let Some(connection) = self.people[me].has.take() {
            if self.connections[connection].stage == Stage::Granted(me) {
                self.offer(connection);
            }
        } else if let Some(dial) = self.people[me].dial
            && self.connections[dial].stage == Stage::Reserved(me)
        {
            self.fall(dial);
        }
    }

    fn is_worn(&self, which: usize) -> bool {
        let it = &self.connections[which];
        let too_old = it.record.as_ref().is_some_and(|record| {
            self.limits
                .age_of(record.id)
                .is_some_and(|age| self.now.saturating_duration_since(record.born) >= age)
        });
        too_old || self.limits.max_requests.is_some_and(|most| it.served >= most)
    }

    fn take_idle(&mut self, key: usize) -> Option<usize> {
        loop {
            let last = *self.idle.iter().rfind(|c| self.connections[**c].key == key)?;
            if !self.is_worn(last) {
                self.idle.retain(|c| *c != last);
                return Some(last);
            }
            self.fall(last);
        }
    }

    fn offer(&mut self, which: usize) {
        let key = self.connections[which].key;
        let origin = origin_of(key);
        if self.connections[which].closing
            || self.closed.is_some()
            || self.is_worn(which)
            || self.staying_at(origin) > self.limits.per_origin
            || self.staying() > self.limits.total
        {
            return self.fall(which);
        }
        let ticket = |p: &usize| self.people[*p].ticket;
        let live = |p: &usize| !self.people[*p].ended;
        let takers = (0..self.people.len()).filter(|p| self.people[*p].takes && live(p));
        let taker = takers.filter(|p| self.people[*p].key == key).min_by_key(ticket);
        let queue = self.queue();
        let at = |p: &usize| origin_of(self.people[*p].key);
        // Slots that are about to be free are for those who wait first.
        let here: Vec<usize> = queue.iter().copied().filter(|p| at(p) == origin).collect();
        let falling_here = self.count(|c| is_going(c) && origin_of(c.key) == origin);
        let seeker_here = here.iter().copied().find(live).filter(|_| here.len() > falling_here);
        let enough = queue.len() <= self.count(is_going);
        let seeker_elsewhere = queue
            .iter()
            .copied()
            .find(|p| live(p) && self.open_at(at(p)) < self.limits.per_origin)
            .filter(|_| !enough);
        let seeker = seeker_here.into_iter().chain(seeker_elsewhere).min_by_key(ticket);
        match (taker, seeker) {
            (Some(taker), Some(seeker)) if ticket(&seeker) < ticket(&taker) => self.fall(which),
            (Some(taker), _) => self.grant(taker, which),
            (None, Some(_)) => self.fall(which),
            (None, None) => self.keep(which),
        }
    }

    fn grant(&mut self, who: usize, which: usize) {
        let person = &mut self.people[who];
        (person.takes, person.queued, person.promised) = (false, false, false);
        person.has = Some(which);
        self.connections[which].stage = Stage::Granted(who);
        match self.people[who].dial {
            Some(dial) if self.connections[dial].stage == Stage::Reserved(who) => self.fall(dial),
            Some(dial) if self.connections[dial].stage == Stage::Dialling(who) => {
                self.connections[dial].ahead = true;
            }
            _ => {}
        }
    }

    fn keep(&mut self, which: usize) {
        if self.limits.idle_total == 0 || self.limits.idle_per_origin == 0 {
            return self.fall(which);
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
        oldest.map(|c| self.fall(c)).is_some()
    }

    pub(super) fn expire(&mut self) {
        if let Some(most) = self.limits.idle_for {
            self.close_idle(most);
        }
    }

    fn fall(&mut self, which: usize) {
        self.end(which, Stage::Falling);
    }

    fn part(&mut self, which: usize) {
        self.end(which, Stage::Parting);
    }

    fn end(&mut self, which: usize, how: Stage) {
        self.counts.closed +=
            u64::from(!matches!(self.connections[which].stage, Stage::Reserved(_)));
        let dialling = matches!(self.connections[which].stage, Stage::Dialling(_) | Stage::Ahead);
        self.counts.dials_failed += u64::from(dialling);
        self.connections[which].stage = how;
        self.idle.retain(|c| *c != which);
        if self.offering != Some(which) && std::mem::take(&mut self.connections[which].ahead) {
            self.keep_promises(self.connections[which].key);
        }
    }

    /// Nobody is given a connection any more.
    fn refuse(&mut self, how: Closed) {
        if self.closed != Some(Closed::ShutDown) {
            self.closed = Some(how);
        }
        for p in 0..self.people.len() {
            let person = &self.people[p];
            let runs = !person.queued && !person.promised && how == Closed::Draining;
            if (person.queued || person.takes) && !runs {
                self.people[p].ended = true;
            }
        }
    }

    /// Slots for those who wait for them.
    fn serve(&mut self) {
        while self.closed.is_none() && self.count(|_| true) < self.limits.total {
            let Some(first) = self.first_hungry(|_| true) else { return };
            self.people[first].queued = false;
            if self.people[first].ended {
                continue;
            }
            let dial = self.open(self.people[first].key, Stage::Reserved(first));
            self.people[first].dial = Some(dial);
        }
        // The first of an origin counts, whether it is about to leave or not.
        let firsts: Vec<usize> =
            (0..KEYS / 2).filter_map(|o| self.first_hungry(|p| origin_of(p.key) == o)).collect();
        let somebody = firsts.iter().any(|p| !self.people[*p].ended);
        if somebody && self.closed.is_none() && self.count(is_going) == 0 {
            self.evict(None);
        }
    }

    fn first_hungry(&self, which: impl Fn(&Person) -> bool) -> Option<usize> {
        self.queue().into_iter().find(|p| {
            let person = &self.people[*p];
            which(person) && self.open_at(origin_of(person.key)) < self.limits.per_origin
        })
    }
}

fn is_there(c: &Connection) -> bool {
    !matches!(c.stage, Stage::Falling | Stage::Parting | Stage::Gone)
}

fn is_going(c: &Connection) -> bool {
    matches!(c.stage, Stage::Falling | Stage::Parting)
}
