//! A policy for sending a request again that was not served: when the server says so by its status code, and when there
//! was no connection. Pure arithmetic but for its random bytes: what happened and the time are passed in.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant, SystemTime};

use crate::error::Error;
use crate::vocabulary::{Kind, Phase, Timeout};

/// When a client sends a request again that was not served. There is none by default: see
/// [`Client::set_retry_policy`](crate::Client::set_retry_policy), which says what is sent again.
///
/// ```
/// use std::time::Duration;
/// use hangup::{Client, RetryPolicy};
///
/// let policy = RetryPolicy::new()
///     .max_attempts(4)
///     .status_codes(&[429, 502, 503])
///     .delays(Duration::from_millis(200), Duration::from_secs(10));
/// let client = Client::default();
/// client.set_retry_policy(Some(policy))?;
/// # Ok::<(), hangup::Error>(())
/// ```
///
/// Threads: a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RetryPolicy {
    max_attempts: u32,
    status_codes: Vec<u16>,
    connect_errors: bool,
    first_delay: Duration,
    max_delay: Duration,
    max_total: Option<Duration>,
    burst: u32,
    percent: u32,
}

impl RetryPolicy {
    /// The defaults: 3 attempts, the status codes 429 and 503, connect errors, delays from 0.5 s to 30 s, 60 s from the
    /// call to the last attempt, and a budget of 10 retries and 10 percent.
    pub fn new() -> Self {
        Self {
            max_attempts: 3,
            status_codes: vec![429, 503],
            connect_errors: true,
            first_delay: Duration::from_millis(500),
            max_delay: Duration::from_secs(30),
            max_total: Some(Duration::from_secs(60)),
            burst: 10,
            percent: 10,
        }
    }

    /// How often a request is sent at most, the first time included.
    #[must_use]
    pub fn max_attempts(mut self, attempts: u32) -> Self {
        self.max_attempts = attempts;
        self
    }

    /// The status codes after which a request is sent again, from 400 to 599.
    #[must_use]
    pub fn status_codes(mut self, codes: &[u16]) -> Self {
        self.status_codes = codes.to_vec();
        self
    }

    /// Whether a request is sent again if no connection could be made for it.
    #[must_use]
    pub fn connect_errors(mut self, on: bool) -> Self {
        self.connect_errors = on;
        self
    }

    /// The delay before the second attempt, and the longest delay. Each delay is twice the one before it; of each, a
    /// random part of up to a half is left out, so that many clients do not come back at once. A Retry-After of the
    /// response replaces it; if that one is longer than the longest delay, the response is returned.
    #[must_use]
    pub fn delays(mut self, first: Duration, longest: Duration) -> Self {
        (self.first_delay, self.max_delay) = (first, longest);
        self
    }

    /// The time from the call in which the last attempt must begin; `None` is any.
    #[must_use]
    pub fn max_total(mut self, time: Option<Duration>) -> Self {
        self.max_total = time;
        self
    }

    /// The retries of all requests of the client together: at most `burst` at once, and after that `percent` of the
    /// number of requests that were served. In a long outage they add at most so much to the traffic. 0 percent
    /// is `burst` retries for ever; [`u32::MAX`] for `burst` is no budget.
    #[must_use]
    pub fn budget(mut self, burst: u32, percent: u32) -> Self {
        (self.burst, self.percent) = (burst, percent);
        self
    }

    pub(super) fn check(&self) -> Result<(), Error> {
        let bad = |what: String| Err(Error::new(Kind::InvalidArgument, what));
        if self.max_attempts == 0 {
            return bad("a retry policy of 0 attempts sends nothing: 1 is no retry".into());
        }
        if let Some(code) = self.status_codes.iter().find(|code| !(400..600).contains(*code)) {
            return bad(format!("{code} is no status code to retry after: give 400 to 599"));
        }
        if self.first_delay > self.max_delay {
            return bad("the first delay of a retry policy is longer than its longest".into());
        }
        if self.percent > 100 {
            return bad(format!("a retry budget of {} percent: give at most 100", self.percent));
        }
        Ok(())
    }
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self::new()
    }
}

/// A policy with its budget, which all requests of a client share. Threads: any thread at any time.
#[derive(Debug)]
pub(super) struct Retrying {
    policy: RetryPolicy,
    /// Thousandths of a retry.
    budget: AtomicI64,
}

/// What of a call its next attempt depends on.
pub(super) struct Circumstances {
    /// Attempts at the hop so far.
    pub(super) attempts: u32,
    /// When the call began.
    pub(super) called: Instant,
    /// When the call must be over.
    pub(super) deadline: Option<Instant>,
    pub(super) now: Instant,
    /// Sending the request twice is the same as once.
    pub(super) repeatable: bool,
    pub(super) body_replayable: bool,
}

impl Retrying {
    pub(super) fn new(policy: RetryPolicy) -> Self {
        let budget = AtomicI64::new(i64::from(policy.burst).saturating_mul(ONE));
        Self { policy, budget }
    }

    /// A request got a response with that status code: if it was served, the budget grows.
    pub(super) fn note_response(&self, status: u16) {
        if status >= 500 || self.policy.status_codes.contains(&status) {
            return;
        }
        let most = i64::from(self.policy.burst).saturating_mul(ONE);
        let more = i64::from(self.policy.percent) * ONE / 100;
        let _ = self.budget.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| {
            (left < most).then(|| left.saturating_add(more).min(most))
        });
    }

    /// The delay after which the request is to be sent again that got this response; `None`: not at all.
    pub(super) fn after_status(
        &self,
        status: u16,
        retry_after: Option<&[u8]>,
        case: &Circumstances,
        parse_date: impl Fn(&[u8]) -> Option<SystemTime>,
    ) -> Option<Duration> {
        if !self.policy.status_codes.contains(&status) {
            return None;
        }
        let asked = retry_after.and_then(|value| delay_of(value, parse_date));
        // With 429 nothing was done (RFC 6585 section 4); with 503 and a time to come back neither (RFC 9110 section
        // 15.6.4). What other responses left undone is not known.
        let nothing_done = status == 429 || (status == 503 && asked.is_some());
        if !case.repeatable && !nothing_done {
            return None;
        }
        self.delay(asked, case)
    }

    /// The same for a request that failed.
    pub(super) fn after_failure(&self, failure: &Error, case: &Circumstances) -> Option<Duration> {
        let unconnected = match failure.kind() {
            Kind::ResolveFailed | Kind::ConnectFailed | Kind::ProxyFailed => true,
            Kind::PeerClosed | Kind::PeerReset | Kind::PeerSilent => is_dial(failure.phase()),
            Kind::TimedOut => {
                is_dial(failure.phase())
                    && !matches!(failure.timeout(), Timeout::Total | Timeout::Token)
            }
            _ => false,
        };
        if !self.policy.connect_errors
            || !unconnected
            || !failure.retry_may_help()
            || failure.bytes_sent() > 0
        {
            return None;
        }
        self.delay(None, case)
    }

    fn delay(&self, asked: Option<Duration>, case: &Circumstances) -> Option<Duration> {
        let RetryPolicy { max_attempts, first_delay, max_delay, max_total, .. } = self.policy;
        if case.attempts >= max_attempts || !case.body_replayable {
            return None;
        }
        let delay = asked.unwrap_or_else(|| backoff(first_delay, max_delay, case.attempts));
        if delay > max_delay {
            return None;
        }
        let begin = case.now.checked_add(delay)?;
        let last = max_total.and_then(|time| case.called.checked_add(time));
        // What would come too late is not waited for.
        let in_time = last.into_iter().chain(case.deadline).all(|last| begin < last);
        (in_time && self.spend()).then_some(delay)
    }

    fn spend(&self) -> bool {
        if self.policy.burst == u32::MAX {
            return true;
        }
        let spent = self.budget.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| {
            (left >= ONE).then_some(left - ONE)
        });
        spent.is_ok()
    }
}

fn is_dial(phase: Phase) -> bool {
    matches!(phase, Phase::Resolve | Phase::Connect | Phase::Proxy | Phase::Tls)
}

/// Twice the first delay for each attempt more, less a random part of up to a half.
fn backoff(first: Duration, longest: Duration, attempts: u32) -> Duration {
    let factor = 2_u32.saturating_pow(attempts.saturating_sub(1));
    let whole = first.saturating_mul(factor).min(longest);
    let random = getrandom::u32().unwrap_or(u32::MAX / 2);
    whole - whole.mul_f64(f64::from(random) / f64::from(u32::MAX) / 2.0)
}

/// The value of a Retry-After field (RFC 9110 section 10.2.3): seconds, or a date.
fn delay_of(value: &[u8], parse_date: impl Fn(&[u8]) -> Option<SystemTime>) -> Option<Duration> {
    let value = value.trim_ascii();
    if !value.is_empty() && value.iter().all(u8::is_ascii_digit) {
        let seconds = value.iter().fold(0_u64, |number, digit| {
            number.saturating_mul(10).saturating_add(u64::from(digit - b'0'))
        });
        return Some(Duration::from_secs(seconds));
    }
    let date = parse_date(value)?;
    Some(date.duration_since(SystemTime::now()).unwrap_or(Duration::ZERO))
}

/// One retry in the budget's unit.
const ONE: i64 = 1000;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vocabulary::Sent;

    fn case(attempts: u32) -> Circumstances {
        let now = Instant::now();
        Circumstances {
            attempts,
            called: now,
            deadline: None,
            now,
            repeatable: true,
            body_replayable: true,
        }
    }

    fn retrying(policy: RetryPolicy) -> Retrying {
        policy.check().unwrap();
        Retrying::new(policy)
    }

    fn after(
        retrying: &Retrying,
        status: u16,
        field: Option<&str>,
        case: &Circumstances,
    ) -> Option<Duration> {
        retrying.after_status(status, field.map(str::as_bytes), case, |_| None)
    }

    #[test]
    fn delays_double_and_are_bounded() {
        let (first, longest) = (Duration::from_millis(500), Duration::from_secs(30));
        for (attempts, most) in [(1, 500), (2, 1000), (3, 2000), (7, 30_000), (u32::MAX, 30_000)] {
            for _ in 0..100 {
                let delay = backoff(first, longest, attempts).as_millis();
                assert!((most / 2..=most).contains(&delay), "{attempts}: {delay}");
            }
        }
    }

    #[test]
    fn a_server_says_when_to_come_back() {
        let retrying = retrying(RetryPolicy::new().budget(u32::MAX, 0));
        assert_eq!(after(&retrying, 503, Some(" 7 "), &case(1)), Some(Duration::from_secs(7)));
        assert_eq!(after(&retrying, 429, Some("0"), &case(1)), Some(Duration::ZERO));
        assert_eq!(after(&retrying, 503, Some("31"), &case(1)), None, "longer than the longest");
        assert_eq!(after(&retrying, 503, Some(&"9".repeat(100)), &case(1)), None);
        assert!(after(&retrying, 503, Some("soon"), &case(1)).unwrap() < Duration::from_secs(1));
        let past = |_: &[u8]| Some(SystemTime::UNIX_EPOCH);
        let field = Some(&b"Thu, 01 Jan 1970 00:00:00 GMT"[..]);
        assert_eq!(retrying.after_status(503, field, &case(1), past), Some(Duration::ZERO));
        assert_eq!(after(&retrying, 500, None, &case(1)), None);
    }

    #[test]
    fn what_may_not_be_done_twice_is_sent_again_only_if_nothing_was_done() {
        let retrying = retrying(RetryPolicy::new().status_codes(&[429, 502, 503]));
        let post = Circumstances { repeatable: false, ..case(1) };
        assert!(after(&retrying, 429, None, &post).is_some());
        assert!(after(&retrying, 503, Some("1"), &post).is_some());
        assert!(after(&retrying, 503, None, &post).is_none());
        assert!(after(&retrying, 502, Some("1"), &post).is_none());
        let gone = Circumstances { body_replayable: false, ..case(1) };
        assert!(after(&retrying, 429, None, &gone).is_none());
    }

    #[test]
    fn attempts_and_time_are_bounded() {
        let retrying = retrying(RetryPolicy::new().max_attempts(2));
        assert!(after(&retrying, 503, None, &case(1)).is_some());
        assert!(after(&retrying, 503, None, &case(2)).is_none());
        let now = Instant::now();
        let late = Circumstances { deadline: Some(now + Duration::from_secs(5)), ..case(1) };
        assert!(after(&retrying, 503, Some("6"), &late).is_none());
        assert!(after(&retrying, 503, Some("4"), &late).is_some());
        let old = Circumstances { now: now + Duration::from_secs(61), ..case(1) };
        assert!(after(&retrying, 503, None, &old).is_none());
    }

    #[test]
    fn the_budget_is_for_all_requests_together() {
        let retrying = retrying(RetryPolicy::new().budget(2, 50));
        let go = || after(&retrying, 503, None, &case(1)).is_some();
        assert!(go() && go() && !go());
        (0..100).for_each(|_| retrying.note_response(429));
        (0..100).for_each(|_| retrying.note_response(500));
        retrying.note_response(200);
        assert!(!go(), "half a retry");
        retrying.note_response(200);
        assert!(go() && !go());
        for _ in 0..100 {
            retrying.note_response(200);
        }
        assert!(go() && go() && !go(), "at most two are saved");
    }

    #[test]
    fn only_a_request_that_had_no_connection_failed_to_connect() {
        let retrying = retrying(RetryPolicy::new().budget(u32::MAX, 0));
        let failed = |kind, phase, timeout| {
            Error::new(kind, "").in_phase(phase).by_clock(timeout).after_sending(
                Sent::Nothing,
                0,
                false,
            )
        };
        for (kind, phase, timeout, again) in [
            (Kind::ConnectFailed, Phase::Connect, Timeout::None, true),
            (Kind::ResolveFailed, Phase::Resolve, Timeout::None, true),
            (Kind::TimedOut, Phase::Connect, Timeout::Connect, true),
            (Kind::TimedOut, Phase::Connect, Timeout::Total, false),
            (Kind::TimedOut, Phase::Head, Timeout::Head, false),
            (Kind::PeerReset, Phase::Tls, Timeout::None, true),
            (Kind::PeerReset, Phase::Head, Timeout::None, false),
            (Kind::TlsFailed, Phase::Tls, Timeout::None, false),
            (Kind::Cancelled, Phase::Connect, Timeout::None, false),
        ] {
            let failure = failed(kind, phase, timeout);
            let post = Circumstances { repeatable: false, ..case(1) };
            assert_eq!(retrying.after_failure(&failure, &post).is_some(), again, "{kind} {phase}");
        }
        let off = super::Retrying::new(RetryPolicy::new().connect_errors(false));
        let failure = failed(Kind::ConnectFailed, Phase::Connect, Timeout::None);
        assert!(off.after_failure(&failure, &case(1)).is_none());
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for policy in [
            RetryPolicy::new().max_attempts(0),
            RetryPolicy::new().status_codes(&[200]),
            RetryPolicy::new().delays(Duration::from_secs(2), Duration::from_secs(1)),
            RetryPolicy::new().budget(1, 101),
        ] {
            assert_eq!(policy.check().unwrap_err().kind(), Kind::InvalidArgument);
        }
    }
}
