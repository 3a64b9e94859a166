//! Closing a response early without losing its connection: the rest of the body is read and thrown
//! away, if it is short and comes soon. The caller waits 2 ms at most; a worker does the rest.

use std::time::{Duration, Instant};

use super::response_body::IncomingBody;
use crate::error::Error;
use crate::net::Stop;
use crate::runtime::WorkerPool;
use crate::vocabulary::{Kind, Timeout};

impl IncomingBody {
    /// Reads the rest for a short time, so that the connection can be kept; closes it if that is not
    /// enough.
    pub(crate) fn close_gracefully(&mut self) {
        if self.is_over() {
            // A connection that waits to be taken is in the way of nothing, and of no use to other requests.
            return self.close();
        }
        // The rest is thrown away, so it need not be held for a decoder.
        if self.is_held_at_end() {
            return self.close();
        }
        let _ = self.let_go();
        if self.left.is_some_and(|left| left > MAX_BYTES) {
            return self.close();
        }
        let start = Instant::now();
        let mut left = MAX_BYTES;
        if self.drain(start + DRAIN_WAIT, &mut left) {
            let mut rest = self.detach();
            // Without a thread for it the job is dropped, and the connection is closed by that.
            let _ = DRAINS.run(move || {
                let until = start + time_for_rest(rest.round_trip());
                rest.drain(until, &mut left);
                rest.close();
            });
        } else {
            self.close();
            self.closed = true;
        }
    }

    /// Reads a redirect's body and throws it away, so that the next hop can have the connection; closes
    /// it if that body is long or slow.
    ///
    /// # Errors
    /// An end of the exchange from outside is one of the whole call.
    #[cold]
    pub(crate) fn discard(mut self) -> Result<(), Error> {
        if self.left.is_none_or(|left| left <= MAX_REDIRECT_BYTES) {
            self.drain(Instant::now() + LEAST_TIME, &mut { MAX_REDIRECT_BYTES });
        }
        self.close();
        let ends_the_call = |failure: &Error| match failure.kind() {
            Kind::TimedOut => matches!(failure.timeout(), Timeout::Total | Timeout::Token),
            kind => matches!(kind, Kind::Cancelled | Kind::ShutDown | Kind::Forked),
        };
        self.failed.take().filter(ends_the_call).map_or(Ok(()), Err)
    }

    /// The smoothed round-trip time to the peer, if the system knows it.
    fn round_trip(&mut self) -> Option<Duration> {
        Some(self.running.as_mut()?.body.stream()?.tcp_info()?.rtt)
    }

    /// Reads and throws away, until the end, a failure, or so many bytes. Returns `true` if the deadline
    /// came first.
    fn drain(&mut self, deadline: Instant, left: &mut u64) -> bool {
        if self.left.is_some_and(|left| left <= SHORT as u64) {
            return self.drain_through(&mut [0; SHORT], deadline, left);
        }
        self.drain_through(&mut [0; 8 * 1024], deadline, left)
    }

    fn drain_through(&mut self, scratch: &mut [u8], deadline: Instant, left: &mut u64) -> bool {
        self.draining = true;
        loop {
            if self.check().is_err() {
                return false;
            }
            let Some(running) = &mut self.running else { return false };
            running.body.set_drain_deadline(deadline);
            match self.read_piece(scratch) {
                Ok(got) if got > 0 && got as u64 <= *left => *left -= got as u64,
                Ok(_) => return false,
                Err(Stop::Deadline(Timeout::None)) => return true,
                Err(stop) => {
                    self.fail(stop);
                    return false;
                }
            }
        }
    }
}

/// How long the rest may take, from the close on.
fn time_for_rest(round_trip: Option<Duration>) -> Duration {
    let on_the_way = round_trip.unwrap_or_default().saturating_mul(ROUND_TRIPS);
    on_the_way.saturating_add(MACHINES_TIME).clamp(LEAST_TIME, MAX_TIME)
}

/// Each of them reads for one connection. Over a slow path that takes its time, and those that wait for a thread meanwhile
/// may be too late.
static DRAINS: WorkerPool = WorkerPool::new("hangup-drain", 64);
/// How much is read (Go 1.27's numbers, golang/go#77370).
const MAX_BYTES: u64 = 256 * 1024;
/// The same for a redirect, whose body is of no use and for which the caller waits.
const MAX_REDIRECT_BYTES: u64 = 64 * 1024;
/// What most redirects have: a few lines that name the other URL.
const SHORT: usize = 512;
/// How long it may take at least, all in all, and for a redirect, for which the caller waits.
const LEAST_TIME: Duration = Duration::from_millis(50);
/// How long in round trips. A peer that has sent nothing for a while begins with ten segments and doubles that with each
/// round trip (RFC 5681 section 3.1, RFC 6928): 100 KB need three after the first segments came.
const ROUND_TRIPS: u32 = 3;
/// What the machines at both ends take in these round trips.
const MACHINES_TIME: Duration = Duration::from_millis(25);
/// How long at most: the connection counts as in use.
const MAX_TIME: Duration = Duration::from_secs(1);
/// How long of that the caller waits: what is here already, or about to come.
const DRAIN_WAIT: Duration = Duration::from_millis(2);

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use testserver::{Script, Server, Step};

    use super::*;
    use crate::client::Client;
    use crate::manager::{Limits, Manager};
    use crate::net::tcp_info::TcpInfo;
    use crate::net::tcp_info::fake::FakeTcpInfo;
    use crate::vocabulary::{CloseMode, CloseReason};

    #[test]
    fn the_time_follows_the_round_trips_within_bounds() {
        let ms = Duration::from_millis;
        for (round_trip, time) in [
            (None, ms(50)),
            (Some(Duration::ZERO), ms(50)),
            (Some(ms(8)), ms(50)),
            (Some(ms(60)), ms(205)),
            (Some(ms(300)), ms(925)),
            (Some(ms(400)), ms(1000)),
            (Some(Duration::MAX), ms(1000)),
        ] {
            assert_eq!(time_for_rest(round_trip), time, "{round_trip:?}");
        }
    }

    /// Closes a response whose rest comes after 150 ms, on a path with that round-trip time. Returns why its connection
    /// was closed, if it was, and how long the call and all of it took.
    fn close_of_late(round_trip: Duration) -> (Option<CloseReason>, Duration, Duration) {
        let late = vec![
            Step::head(),
            Step::send("HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\nten bytes."),
            Step::SleepMs(150),
            Step::send("ten others"),
            Step::Stall,
        ];
        let server = Server::start(Script::every(late));
        let _path = FakeTcpInfo::of_port(server.port(), move |info| {
            Some(TcpInfo { rtt: round_trip, ..info })
        });
        let manager = Arc::new(Manager::new(Limits::default()));
        let client = Client::new(Arc::clone(&manager));
        let mut response = client.get(&server.url("/"), None).unwrap();
        let begun = Instant::now();
        response.close(CloseMode::Graceful);
        let call = begun.elapsed();
        while manager.stats().in_use > 0 {
            assert!(begun.elapsed() < Duration::from_secs(20));
            std::thread::sleep(Duration::from_millis(1));
        }
        (manager.close_reason(response.connection_id()), call, begun.elapsed())
    }

    #[test]
    fn what_a_far_peer_sends_is_waited_for_in_the_background() {
        let (closed, call, _) = close_of_late(Duration::from_millis(500));
        assert_eq!(closed, None, "the connection is kept");
        assert!(call < Duration::from_millis(140), "the caller does not wait: {call:?}");
    }

    #[test]
    fn what_a_near_peer_sends_late_is_not_waited_for() {
        let (closed, _, all) = close_of_late(Duration::from_millis(1));
        assert_eq!(closed, Some(CloseReason::BodyLeftUnread));
        assert!(all >= LEAST_TIME, "{all:?}");
    }
}
