//! Helpers of the tests: a client for each test, checks of an exchange's outcome, request bodies that count their use,
//! and the resources that the process holds.
//!
//! Knows hangup by its public API only.

// Each test binary uses a part of them.
#![allow(dead_code, unused_imports, unused_macros)]

pub mod counted_reader;
pub mod form;
pub mod held_responses;
pub mod inspect;
pub mod network;
pub mod outcome;
pub mod own_process;
pub mod submissions;

use std::sync::Arc;
use std::time::{Duration, Instant};

use hangup::{Body, Client, Error, Limits, Manager, Request};

use self::form::{AnyClient, AnyResponse};

/// How long a test waits on a busy machine for an event that must happen, before it fails.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// How late an exchange may end before a test fails. The goal is 5 ms for a cancel and 20 ms for a timeout; the measured
/// latency is printed.
pub const MARGIN: Duration = Duration::from_millis(250);

/// A client with a manager of its own.
pub fn client() -> Client {
    Client::new(Arc::new(Manager::new(Limits::default())))
}

/// A client with a manager of its own that has these limits.
pub fn client_with(limits: Limits) -> Client {
    Client::new(Arc::new(Manager::new(limits)))
}

/// Limits with nothing but a bound on the connections of one origin.
pub fn per_origin(per_origin: usize) -> Limits {
    Limits { per_origin, ..Limits::default() }
}

/// A client that trusts the test CA.
pub fn tls_client() -> Client {
    trusting(client())
}

/// Makes a client trust the test CA.
pub fn trusting<C: AnyClient>(client: C) -> C {
    client.plain().set_tls_roots(testserver::certs().ca().as_bytes()).unwrap();
    client
}

/// GET without timeouts of its own.
pub fn get<C: AnyClient>(client: &C, url: &str) -> Result<C::Response, Error> {
    client.get(url, None)
}

/// GET, and the whole body.
pub fn fetch<C: AnyClient>(client: &C, url: &str) -> Result<Vec<u8>, Error> {
    get(client, url)?.read_all(usize::MAX)
}

/// A valid request.
pub fn request(method: &str, url: &str) -> Request {
    Request::new(method, url).unwrap()
}

/// A POST of a body.
pub fn post(url: &str, body: Body) -> Request {
    let mut request = request("POST", url);
    request.set_body(body);
    request
}

pub const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// Waits until a condition holds. Panics after [`PATIENCE`].
#[track_caller]
pub fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < end, "timed out waiting for: {what}");
        std::thread::sleep(Duration::from_micros(200));
    }
}

/// Pseudorandom numbers that are the same in each run (xorshift64*).
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    /// A number from 0 to `sides` - 1.
    pub fn below(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) % sides
    }
}

/// Random delays that hit an exchange of unknown duration in its middle: longer after an attempt that came too early,
/// shorter after one that came too late.
pub struct Aim {
    micros: u64,
    random: Random,
}

impl Aim {
    pub fn new(seed: u64) -> Self {
        Self { micros: 100, random: Random::new(seed) }
    }

    /// Waits for the next delay. Other threads run meanwhile, also on a single processor.
    pub fn wait(&mut self) {
        let time = Duration::from_micros(self.random.below(self.micros * 2));
        let end = Instant::now() + time;
        while Instant::now() < end {
            std::thread::yield_now();
        }
    }

    /// Records the outcome of the last attempt.
    pub fn was(&mut self, too_early: bool) {
        self.micros = if too_early {
            (self.micros + self.micros / 8 + 1).min(20_000)
        } else {
            self.micros - self.micros / 8
        }
        .max(8);
    }
}
