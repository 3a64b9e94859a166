//! The relay: takes packets out of one TUN device and puts them into the other, or does not.
//!
//! One thread for both directions. What waits for its time is bounded, as a router's buffer is. Knows nothing of the
//! connections but the addresses and ports of those that began with a SYN here.

use super::packet::{Flow, Packet};
use crate::latch::{Latch, entry};
use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashSet, VecDeque};
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::AsRawFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// Which way a packet goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// From the client to the servers.
    ToFar,
    /// From the servers to the client.
    ToNear,
}

/// What a relay has seen. Pairs have the packets to the servers first, then those to the client.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Packets that came.
    pub packets: [u64; 2],
    /// Packets that were not passed on, whatever the reason.
    pub lost: [u64; 2],
    /// Bytes of TCP payload that came, repetitions included.
    pub payload: [u64; 2],
    /// SYNs of the client, repetitions included.
    pub syns: u64,
    /// Connections of which a SYN was seen: how often the client dialled.
    pub dials: u64,
    /// Segments that reset a connection.
    pub resets: [u64; 2],
}

/// The thread between two devices. Ends when dropped.
#[derive(Debug)]
pub(super) struct Link {
    shared: Arc<Mutex<State>>,
    stop: Arc<Latch>,
    thread: Option<JoinHandle<()>>,
}

/// How one direction treats packets.
#[derive(Debug, Default)]
pub(super) struct Conditions {
    pub(super) delay: Duration,
    /// Percent.
    pub(super) loss: f64,
    /// Bits a second.
    pub(super) rate: Option<u64>,
    pub(super) largest: Option<usize>,
    pub(super) cut: bool,
    pub(super) hold: bool,
}

/// Returns true for a packet that is to be lost. Runs on the relay's thread and must not call its network.
pub type Filter = Box<dyn FnMut(Direction, &Packet<'_>) -> bool + Send>;

#[derive(Default)]
struct State {
    conditions: [Conditions; 2],
    filter: Option<Filter>,
    flows: HashSet<Flow>,
    killed: HashSet<Flow>,
    counts: Counts,
    random: Random,
}

impl Link {
    pub(super) fn start(near: File, far: File) -> io::Result<Link> {
        let (shared, stop) = (Arc::<Mutex<State>>::default(), Arc::new(Latch::new()?));
        let (state, latch) = (Arc::clone(&shared), Arc::clone(&stop));
        let thread = thread::Builder::new()
            .name("testserver-link".to_owned())
            .spawn(move || Relay::new([near, far]).run(&state, &latch))?;
        Ok(Link { shared, stop, thread: Some(thread) })
    }

    pub(super) fn change(&self, direction: Direction, change: impl FnOnce(&mut Conditions)) {
        change(&mut lock(&self.shared).conditions[direction as usize]);
    }

    pub(super) fn both(&self, change: impl Fn(&mut Conditions)) {
        lock(&self.shared).conditions.iter_mut().for_each(change);
    }

    pub(super) fn kill(&self, which: impl Fn(&Flow) -> bool) -> usize {
        let mut state = lock(&self.shared);
        let State { flows, killed, .. } = &mut *state;
        let before = killed.len();
        killed.extend(flows.iter().filter(|flow| which(flow)));
        killed.len() - before
    }

    pub(super) fn set_filter(&self, filter: Option<Filter>) {
        lock(&self.shared).filter = filter;
    }

    pub(super) fn counts(&self) -> Counts {
        lock(&self.shared).counts
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.stop.set();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// What the thread alone has.
struct Relay {
    /// The client's device, the servers' device: packets in direction `d` come from `devices[d]`.
    devices: [File; 2],
    queue: BinaryHeap<Reverse<UnderWay>>,
    number: u64,
    /// Bytes in `queue` and `held`.
    waiting: [usize; 2],
    held: [VecDeque<Vec<u8>>; 2],
    /// When the line of a limited rate is free again.
    free_at: [Instant; 2],
}

/// A packet under way: when it arrives, a number that keeps equal times in order, its direction.
type UnderWay = (Instant, u64, usize, Vec<u8>);

impl Relay {
    fn new(devices: [File; 2]) -> Relay {
        let held = [VecDeque::new(), VecDeque::new()];
        let free_at = [Instant::now(); 2];
        Relay { devices, queue: BinaryHeap::new(), number: 0, waiting: [0; 2], held, free_at }
    }

    fn run(mut self, shared: &Mutex<State>, stop: &Latch) {
        let mut buffer = vec![0; 65_536];
        loop {
            self.let_go(shared);
            self.deliver();
            let next = self.queue.peek().map(|Reverse((due, ..))| *due);
            let until = match self.held.iter().all(VecDeque::is_empty) {
                true => next,
                false => Some(next.unwrap_or(Instant::now() + LOOK).min(Instant::now() + LOOK)),
            };
            let mut table = [
                entry(stop.fd(), libc::POLLIN),
                entry(self.devices[0].as_raw_fd(), libc::POLLIN),
                entry(self.devices[1].as_raw_fd(), libc::POLLIN),
            ];
            wait(&mut table, until);
            if table[0].revents != 0 {
                return;
            }
            for direction in [0, 1] {
                // Bounded, so that one side's flood does not delay the other's packets.
                for _ in 0..64 {
                    // An error is no packet, or a device that is down.
                    let Ok(size) = (&self.devices[direction]).read(&mut buffer) else { break };
                    self.take(direction, &buffer[..size], shared);
                }
            }
        }
    }

    /// Decides about one packet.
    fn take(&mut self, direction: usize, bytes: &[u8], shared: &Mutex<State>) {
        let now = Instant::now();
        let mut state = lock(shared);
        let lost = state.loses(direction, &Packet::new(bytes));
        let conditions = &state.conditions[direction];
        let full = match conditions.rate {
            Some(_) => self.waiting[direction] > BUFFER,
            None => self.waiting[direction] > MOST,
        };
        if lost || full {
            state.counts.lost[direction] += 1;
            return;
        }
        if conditions.hold {
            self.waiting[direction] += bytes.len();
            self.held[direction].push_back(bytes.to_owned());
            return;
        }
        let mut due = now;
        if let Some(rate) = conditions.rate {
            let takes = bytes.len() as u64 * 8 * 1_000_000_000 / rate.max(1);
            due = self.free_at[direction].max(now) + Duration::from_nanos(takes);
            self.free_at[direction] = due;
        }
        due += conditions.delay;
        drop(state);
        if due <= now && self.queue.is_empty() {
            return self.put(direction, bytes);
        }
        self.waiting[direction] += bytes.len();
        self.number += 1;
        self.queue.push(Reverse((due, self.number, direction, bytes.to_owned())));
    }

    /// Delivers what has arrived.
    fn deliver(&mut self) {
        let now = Instant::now();
        while self.queue.peek().is_some_and(|Reverse((due, ..))| *due <= now) {
            let Some(Reverse((_, _, direction, bytes))) = self.queue.pop() else { return };
            self.waiting[direction] -= bytes.len();
            self.put(direction, &bytes);
        }
    }

    /// Passes on what was held, when that is over.
    fn let_go(&mut self, shared: &Mutex<State>) {
        for direction in [0, 1] {
            if self.held[direction].is_empty() || lock(shared).conditions[direction].hold {
                continue;
            }
            while let Some(bytes) = self.held[direction].pop_front() {
                self.waiting[direction] -= bytes.len();
                self.put(direction, &bytes);
            }
        }
    }

    fn put(&self, direction: usize, bytes: &[u8]) {
        // A device that is down takes nothing: the packet is lost, as on a cable that was pulled.
        let _ = (&self.devices[1 - direction]).write(bytes);
    }
}

impl State {
    /// Counts a packet, and decides whether it is lost.
    fn loses(&mut self, direction: usize, packet: &Packet<'_>) -> bool {
        let counts = &mut self.counts;
        counts.packets[direction] += 1;
        let flow = packet.flow(direction == Direction::ToFar as usize);
        if let Some(segment) = packet.segment() {
            counts.payload[direction] += segment.payload as u64;
            counts.resets[direction] += u64::from(segment.rst);
            if segment.syn && !segment.ack && direction == Direction::ToFar as usize {
                counts.syns += 1;
                let new = flow.is_some_and(|flow| self.flows.insert(flow));
                counts.dials += u64::from(new);
                // A NAT that sees a SYN makes a flow of it again.
                if let Some(flow) = flow {
                    self.killed.remove(&flow);
                }
            }
        }
        let conditions = &self.conditions[direction];
        let which = [Direction::ToFar, Direction::ToNear][direction];
        // Each is asked, so that the random numbers do not depend on the others.
        let unlucky = conditions.loss > 0.0 && self.random.percent() < conditions.loss;
        conditions.cut
            || unlucky
            || conditions.largest.is_some_and(|largest| packet.size() > largest)
            || flow.is_some_and(|flow| self.killed.contains(&flow))
            || self.filter.as_mut().is_some_and(|lost| lost(which, packet))
    }
}

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let State { conditions, counts, .. } = self;
        f.debug_struct("State").field("conditions", conditions).field("counts", counts).finish()
    }
}

/// xorshift64*: the same numbers in each run.
struct Random(u64);

impl Default for Random {
    fn default() -> Random {
        Random(0x9E37_79B9_7F4A_7C15)
    }
}

impl Random {
    /// From 0 to 100.
    fn percent(&mut self) -> f64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let bits = self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 11;
        bits as f64 / (1u64 << 53) as f64 * 100.0
    }
}

/// ppoll(2), which is exact to the nanosecond where poll(2) rounds up to a millisecond. A signal ends it early.
fn wait(table: &mut [libc::pollfd], until: Option<Instant>) {
    let left = until.map(|until| until.saturating_duration_since(Instant::now()));
    let time = left.map(|left| libc::timespec {
        tv_sec: left.as_secs() as libc::time_t,
        tv_nsec: left.subsec_nanos().into(),
    });
    let time = time.as_ref().map_or(std::ptr::null(), std::ptr::from_ref);
    // SAFETY: the table is one live, exclusively borrowed slice; the time is null or lives until the end of this function.
    let ready = unsafe {
        libc::ppoll(table.as_mut_ptr(), table.len() as libc::nfds_t, time, std::ptr::null())
    };
    if ready < 0 {
        table.iter_mut().for_each(|entry| entry.revents = 0);
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

/// How often it is asked whether packets are still to be held.
const LOOK: Duration = Duration::from_millis(5);

/// Bytes that wait for a line of limited rate.
const BUFFER: usize = 256 * 1024;

/// Bytes that are under way or held.
const MOST: usize = 32 * 1024 * 1024;
