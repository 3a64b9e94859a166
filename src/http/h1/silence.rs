//! What an exchange does while the peer of a reused connection is silent: it looks at what the system knows, dials a
//! second connection if that is suspicious, and gives its own one up if the second one is made and nothing of the
//! request was acknowledged meanwhile.
//!
//! If the dial does not succeed, the network is away and not this connection alone: nothing changes. Short waits come
//! here never.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::large_segments::{LargeSegments, although_small};
use crate::error::Error;
use crate::http::exchange::Exchange;
use crate::manager::{DialOutcome, EventKind, Lease, SecondDial};
use crate::net::Stop;
use crate::net::silence::{FIRST_LOOK, Look, time_for_an_answer};
use crate::net::stream::Stream;
use crate::net::tcp_info::TcpInfo;
use crate::runtime::{Notify, WaitUntil};
use crate::timeouts::Deadline;
use crate::vocabulary::{Kind, Timeout};

/// What an exchange waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Awaited {
    /// The head of the response.
    Head,
    /// Room to send more; `listen`: or what the peer sends meanwhile.
    Room { listen: bool },
}

/// What was found out in one silence.
struct Suspicion {
    /// When the wait began.
    began: Instant,
    /// Since when the peer is suspected, if it is.
    since: Option<Instant>,
    dial: Option<SecondDial>,
    /// The peer's program has the connection: a listener whose queue was full took no part of it until now.
    is_proven: bool,
    /// When the dial was seen to have succeeded, if what was sent before that does not count.
    back: Option<Instant>,
    /// When the next dial may begin.
    next_dial: Instant,
    pause: Duration,
    /// The connection is new, and its large segments may get lost.
    large: Option<LargeSegments>,
    /// The segments of the second connection are small for that reason.
    dials_small: bool,
}

/// The time of the first look at a wait that began then, or the end of the wait if that comes first. A wait that the
/// look ends, ends by [`Timeout::None`], and [`wait_in_silence`] goes on with it.
#[inline]
pub(super) fn first_look(began: Instant, until: WaitUntil) -> WaitUntil {
    let look = began + FIRST_LOOK;
    match until.at {
        Some(at) if at <= look => until,
        _ => WaitUntil { at: Some(look), timeout: Timeout::None, ..until },
    }
}

/// Goes on with a wait that began at that time and was long. Returns when there may be what is awaited, or when
/// nothing is suspicious about the wait for a head; `false` if nothing is known of this connection, and no other look
/// is worth while.
///
/// # Errors
/// [`Kind::PeerSilent`] if the connection is lost; what ends any wait.
#[cold]
#[inline(never)]
pub(super) fn wait_in_silence(
    lease: &mut Lease,
    exchange: &Exchange,
    awaited: Awaited,
    began: Instant,
    until: WaitUntil,
) -> Result<bool, Stop> {
    let large = LargeSegments::of(lease, exchange);
    let may_be_lost = exchange.reused;
    let shared = Arc::clone(exchange.shared());
    let wake = shared.register_wake();
    let mut suspicion = Suspicion::new(began, lease.has_shown_life(), large);
    loop {
        wake.clear();
        exchange.check()?;
        let now = Instant::now();
        if until.at.is_some_and(|at| at <= now) {
            return Err(Stop::Deadline(until.timeout));
        }
        let Some(info) = lease.stream().ok_or(Stop::Ended)?.tcp_info() else { return Ok(false) };
        let large = suspicion.suspects_large_segments(&info);
        if !may_be_lost && !large {
            suspicion.is_over(exchange, &info);
            return Ok(false);
        }
        let again = match (Look::at(&info, began, now), awaited) {
            (Look::Acknowledged, Awaited::Head) => {
                suspicion.is_over(exchange, &info);
                return Ok(true);
            }
            (Look::Acknowledged, Awaited::Room { .. }) => {
                suspicion.is_over(exchange, &info);
                Some(now + FIRST_LOOK)
            }
            (Look::Early(pause), _) => {
                // Without a sign of life it is the answer to what was just sent again that is waited for.
                if suspicion.has_ended(&info, now) {
                    suspicion.is_over(exchange, &info);
                }
                Some(now + pause)
            }
            (Look::Silent, _) => suspicion.go_on(exchange, lease, &info, &wake, now)?,
        };
        let stream = lease.stream().ok_or(Stop::Ended)?;
        if wait(stream, awaited, &wake, again, until)? {
            suspicion.ends_with_input(exchange, stream);
            return Ok(true);
        }
    }
}

impl Suspicion {
    fn new(began: Instant, is_proven: bool, large: Option<LargeSegments>) -> Self {
        Self {
            began,
            since: None,
            dial: None,
            is_proven,
            back: None,
            next_dial: began,
            pause: FIRST_LOOK,
            large,
            dials_small: false,
        }
    }

    fn suspects_large_segments(&self, info: &TcpInfo) -> bool {
        self.large.as_ref().is_some_and(|large| large.are_suspected(info))
    }

    /// The peer is still silent. Returns when to look again at the latest.
    fn go_on(
        &mut self,
        exchange: &Exchange,
        lease: &Lease,
        info: &TcpInfo,
        wake: &Arc<Notify>,
        now: Instant,
    ) -> Result<Option<Instant>, Stop> {
        if self.since.is_none() {
            if let Some(left) = time_for_an_answer(info) {
                return Ok(Some(now + left));
            }
            self.since = Some(now);
            let pool = exchange.config.manager.pool();
            pool.note_suspicion(EventKind::Suspected, exchange.connection, &exchange.config.key);
            let what = "the peer does not acknowledge the request";
            exchange.trace_silence(EventKind::Suspected, what, info);
        }
        match self.dial.as_ref().map(SecondDial::outcome) {
            Some(DialOutcome::Connected) => {
                return match self.reprieve(info, exchange.config.repeatable, now) {
                    Some(until) => Ok(Some(until)),
                    None => Err(self.gives_up(exchange, lease, info).into()),
                };
            }
            Some(DialOutcome::Running) => return Ok(None),
            Some(DialOutcome::Failed) => {
                self.dial = None;
                self.back = None;
                self.pause = (2 * self.pause).min(LONGEST_PAUSE);
                self.next_dial = now + self.pause;
            }
            None => {}
        }
        if self.next_dial <= now {
            // `None`: the limits allow no second connection, and may later.
            self.dials_small = self.suspects_large_segments(info);
            if let Some(large) = &mut self.large {
                large.dial_begins(info);
            }
            self.dial = lease.dial_second(wake, self.dials_small);
            self.next_dial = now + self.pause;
            if self.dial.is_some() {
                let what = match self.dials_small {
                    true => {
                        "a second connection with small segments is dialled, to find out whether large ones get lost"
                    }
                    false => "a second connection is dialled, to find out whether this one is lost",
                };
                exchange.trace_silence(EventKind::Probed, what, info);
                return Ok(None);
            }
        }
        Ok(Some(self.next_dial))
    }

    /// A dial that was not answered at once shows that the network was away as a whole, and is back; any dial shows that
    /// the listener has room again, if it may have had none for this connection. Then the peer may have got nothing of
    /// it, and only what the system sends again from now on tells whether it is lost. Returns when to look again,
    /// until that had time to be acknowledged. After a long silence the system sends nothing for as long again: a request
    /// that may be repeated does not wait for it.
    fn reprieve(&mut self, info: &TcpInfo, repeatable: bool, now: Instant) -> Option<Instant> {
        let at_once = self.dial.as_ref()?.accepted_in() <= info.base_rto();
        if let Some(large) = self.large.as_mut().filter(|_| self.dials_small) {
            return (!large.are_lost(info, at_once)).then(|| now + RESENT_PAUSE);
        }
        if at_once && self.is_proven {
            return None;
        }
        let back = *self.back.get_or_insert(now);
        let since = now.saturating_duration_since(back);
        if repeatable && since >= LONGEST_REPRIEVE {
            return None;
        }
        if info.unacked > 0 && info.last_data_sent >= since {
            let next = info.rto.saturating_sub(info.last_data_sent);
            return Some(now + next.clamp(SHORTEST, FIRST_LOOK));
        }
        time_for_an_answer(info).map(|left| now + left)
    }

    /// The second connection is there, and this one is still silent.
    fn gives_up(&self, exchange: &Exchange, lease: &Lease, info: &TcpInfo) -> Error {
        match self.large.as_ref().filter(|_| self.dials_small) {
            Some(large) => large.give_up(exchange, info, self.began),
            None => lost(exchange, lease, info, self.began),
        }
    }

    /// Whether the peer has shown a sign of life since it is suspected.
    fn has_ended(&self, info: &TcpInfo, now: Instant) -> bool {
        self.since.is_some_and(|since| info.silent_for() < now.saturating_duration_since(since))
    }

    /// The peer has shown a sign of life.
    fn is_over(&mut self, exchange: &Exchange, info: &TcpInfo) {
        if self.since.take().is_some() {
            let pool = exchange.config.manager.pool();
            pool.note_suspicion(EventKind::Recovered, exchange.connection, &exchange.config.key);
            let what = "the peer has shown a sign of life";
            exchange.trace_silence(EventKind::Recovered, what, info);
        }
        self.dial = None;
        self.back = None;
    }

    /// There is something to read, or room to write. It may be the end of the connection, too.
    fn ends_with_input(&mut self, exchange: &Exchange, stream: &Stream) {
        let Some(since) = self.since else { return };
        if let Some(info) = stream.tcp_info()
            && info.silent_for() < since.elapsed()
        {
            self.is_over(exchange, &info);
        }
    }
}

/// Waits for what is awaited. Returns `false` when it is time to look again.
fn wait(
    stream: &mut Stream,
    awaited: Awaited,
    wake: &Notify,
    again: Option<Instant>,
    until: WaitUntil,
) -> Result<bool, Stop> {
    let own = Deadline { at: again, timeout: Timeout::None };
    let until = WaitUntil::of(until.deadline().or(own), Instant::now());
    let (listen, wants_room) = match awaited {
        Awaited::Head => (true, false),
        Awaited::Room { listen } => (listen, true),
    };
    match stream.await_any(listen, wants_room, wake, until) {
        Err(Stop::Deadline(Timeout::None)) => Ok(false),
        other => other,
    }
}

/// The connection is lost, on which the exchange has waited since `began`. No other exchange shall wait on those that
/// may have been lost with it.
fn lost(exchange: &Exchange, lease: &Lease, info: &TcpInfo, began: Instant) -> Error {
    let what = "the second connection was made, and the request is still not acknowledged";
    exchange.trace_silence(EventKind::Lost, what, info);
    let pool = exchange.config.manager.pool();
    pool.lost(exchange.connection, &exchange.config.key, began);
    let what = format!(
        "the peer is silent on a connection that was kept, while a new one was made{}",
        although_small(lease, exchange, info),
    );
    Error::new(Kind::PeerSilent, what)
}

/// The system does not count in finer steps.
const SHORTEST: Duration = Duration::from_millis(10);
/// How often it is looked at whether a segment was sent again.
const RESENT_PAUSE: Duration = Duration::from_millis(25);
/// How long a request that may be repeated waits for what its system sends again.
const LONGEST_REPRIEVE: Duration = Duration::from_secs(4);
/// The longest time between two dials while nothing can be connected to.
const LONGEST_PAUSE: Duration = Duration::from_secs(16);
