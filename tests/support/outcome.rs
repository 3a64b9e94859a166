//! Checks of an exchange's outcome: the error that a cancel, a close or a timeout must give to its caller.

use std::fmt::Debug;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use hangup::{CancelToken, Error, Kind, Phase, Sent, Timeout};

use super::{MARGIN, PATIENCE, inspect, wait_until};

/// Runs `work` on a thread of its own, where it blocks; then calls `end` on this thread. Returns the outcome of `work`
/// and its delay after the start of `end`. `ready` gets the id of the blocked thread and returns when the thread is at the
/// point where it is to be ended. For a submission, every I/O thread sleeps by then.
#[track_caller]
pub fn ended_from_outside<T: Send>(
    work: impl FnOnce() -> T + Send,
    ready: impl FnOnce(i32),
    end: impl FnOnce(),
) -> (T, Duration) {
    std::thread::scope(|scope| {
        let (sender, receiver) = mpsc::channel();
        let worker = scope.spawn(move || {
            sender.send(inspect::thread_number()).unwrap();
            let outcome = work();
            (outcome, Instant::now())
        });
        let tid = receiver.recv_timeout(PATIENCE).unwrap();
        ready(tid);
        wait_until("a thread that is blocked", || inspect::sleeps(tid) && inspect::io_sleeps());
        let fired = Instant::now();
        end();
        let (outcome, ended) = worker.join().expect("the blocked call does not panic");
        (outcome, ended.saturating_duration_since(fired))
    })
}

/// Cancels `work` while it is blocked, and asserts that it ended as a cancelled exchange ends.
#[track_caller]
pub fn cancelled<T: Debug + Send>(
    what: &str,
    token: &CancelToken,
    phase: Phase,
    work: impl FnOnce() -> Result<T, Error> + Send,
    ready: impl FnOnce(i32),
) -> Error {
    let (outcome, took) = ended_from_outside(work, ready, || token.fire(Some(REASON)));
    report(what, "cancel", took);
    let error = outcome.expect_err("a cancelled exchange is an error");
    assert_cancelled(&error, phase);
    assert!(took < MARGIN, "{what}: the cancel took {took:?}");
    error
}

/// The error of a cancelled exchange, with [`REASON`].
#[track_caller]
pub fn assert_cancelled(error: &Error, phase: Phase) {
    assert_eq!(error.kind(), Kind::Cancelled, "{error:?}");
    assert_eq!(error.phase(), phase, "{error:?}");
    assert_eq!(error.reason(), Some(REASON));
    assert_eq!(error.timeout(), Timeout::None);
    assert!(error.message().contains("cancelled"), "{error}");
    assert!(error.to_string().contains(REASON), "{error}");
    assert_consistent(error);
}

/// Runs `work`, which must end by that timeout in that phase after `limit`: not before, and not much later.
#[track_caller]
pub fn timed_out<T: Debug>(
    what: &str,
    clock: Timeout,
    phase: Phase,
    limit: Duration,
    work: impl FnOnce() -> Result<T, Error>,
) -> Error {
    let begun = Instant::now();
    let outcome = work();
    let took = begun.elapsed();
    let error = outcome.expect_err("a timeout is an error");
    assert_timed_out(&error, clock, phase);
    assert_in_time(what, limit, took);
    error
}

#[track_caller]
pub fn assert_timed_out(error: &Error, clock: Timeout, phase: Phase) {
    assert_eq!(error.kind(), Kind::TimedOut, "{error:?}");
    assert_eq!((error.timeout(), error.phase()), (clock, phase), "{error:?}");
    assert_eq!(error.reason(), None);
    assert!(error.message().contains("timed out"), "{error}");
    assert_consistent(error);
}

/// Asserts that `took` is at least `limit`, and exceeds it by less than [`MARGIN`].
#[track_caller]
pub fn assert_in_time(what: &str, limit: Duration, took: Duration) {
    assert!(took >= limit, "{what}: {took:?}, before its time of {limit:?}");
    report(what, "clock", took - limit);
    assert!(took < limit + MARGIN, "{what}: {took:?} instead of {limit:?}");
}

/// Asserts that the facts of an error do not contradict each other.
#[track_caller]
pub fn assert_consistent(error: &Error) {
    let timed_out = error.kind() == Kind::TimedOut;
    assert_eq!(error.timeout() != Timeout::None, timed_out, "{error:?}");
    assert!(error.reason().is_none() || error.kind() == Kind::Cancelled, "{error:?}");
    assert_eq!(error.sent() == Sent::Nothing, error.bytes_sent() == 0, "{error:?}");
    assert!(!error.response_started() || error.connection_id().is_some(), "{error:?}");
    assert!(error.sent() != Sent::Nothing || error.retry_safe(), "{error:?}");
    let dialling = matches!(error.phase(), Phase::Resolve | Phase::Connect | Phase::Tls);
    assert!(!dialling || error.sent() == Sent::Nothing, "{error:?}");
    assert!(!dialling || !error.reused(), "{error:?}");
    assert!(!error.message().is_empty());
}

/// Prints a latency into the output of the test.
pub fn report(what: &str, by: &str, late: Duration) {
    println!("latency {by:6} {:9.3} ms  {what}", late.as_secs_f64() * 1000.0);
}

/// The reason that the tests cancel with.
pub const REASON: &str = "the user left";
