//! One run: a scenario with a failure or an end from outside at one system call, and the check of its outcome.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hangup::{CloseMode, Error, Kind, Manager};

use crate::helper::{self, Helper, Watchdog};
use crate::places::Places;
use crate::scenarios::{Outcome, Scenario, Stage};
use crate::shim::{Shim, error_text};
use crate::support::form::Form;
use crate::support::inspect::{descriptors, threads_named};
use crate::support::outcome::assert_consistent;

/// What happens in a run.
#[derive(Clone, Copy)]
pub enum Twist {
    Nothing,
    Failure { function: i32, nth: i64, error: i32, for_good: bool },
    End { nth: i64, by: End },
}

/// What ends an exchange from outside.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum End {
    Cancel,
    CloseAll,
    ShutDown,
}

/// Runs one scenario over and over.
pub struct Runner {
    pub shim: &'static Shim,
    pub form: Form,
    pub name: &'static str,
    pub scenario: Scenario,
    places: &'static Places,
    helper: &'static Helper,
    watchdog: &'static Watchdog,
    /// The descriptors of this process when nothing runs.
    descriptors: usize,
    pub runs: u32,
    pub violations: Vec<String>,
}

impl Runner {
    pub fn new(name: &'static str, scenario: Scenario, form: Form, places: Places) -> Self {
        let shim: &'static Shim = Box::leak(Box::new(Shim::loaded()));
        let helper: &'static Helper = Box::leak(Box::new(Helper::start(shim)));
        let places: &'static Places = Box::leak(Box::new(places));
        let watchdog = Watchdog::start(shim);
        let (descriptors, runs, violations) = (descriptors().len(), 0, Vec::new());
        Self { shim, form, name, scenario, places, helper, watchdog, descriptors, runs, violations }
    }

    /// A run without a failure. Returns how often each function is called, and last how often any of them.
    pub fn measure(&mut self) -> Vec<i64> {
        // The second run does not create what a process creates only once.
        self.cold(Twist::Nothing);
        self.descriptors = descriptors().len();
        self.run(Twist::Nothing);
        self.shim.functions().map(|function| self.shim.calls(function)).collect()
    }

    /// Whether the run reached the call of the twist.
    pub fn run(&mut self, twist: Twist) -> bool {
        self.runs += 1;
        let label = self.label(twist);
        self.watchdog.begins(label.clone());
        let reached = match self.try_run(twist) {
            Ok(reached) => reached,
            Err(why) => {
                eprintln!("violation: {label}: {why}");
                self.violations.push(format!("{label}: {why}"));
                true
            }
        };
        self.watchdog.begins(format!("after {label}"));
        reached
    }

    /// The first run of a process, which also creates what a process creates only once.
    pub fn cold(&mut self, twist: Twist) {
        self.descriptors = usize::MAX;
        self.run(twist);
    }

    fn try_run(&self, twist: Twist) -> Result<bool, String> {
        let stage = Stage::new(self.form, self.places, self.helper);
        (self.scenario.prepare)(&stage).map_err(|error| format!("while preparing: {error:?}"))?;
        self.arm(twist, &stage);
        let outcome = (self.scenario.act)(&stage);
        self.shim.disarm();
        helper::drop_hook();
        let reached = match twist {
            Twist::Nothing => true,
            Twist::Failure { function, nth, .. } => self.shim.calls(function) >= nth,
            Twist::End { nth, .. } => self.shim.all_calls() >= nth,
        };
        if helper::was_stuck() {
            return Err("a lock is held over a system call".to_owned());
        }
        self.judge(twist, &outcome)?;
        if let Some(account) = stage.source.take() {
            // A submitted body is dropped by its own thread, soon.
            wait_until("the body source to be dropped", || Arc::strong_count(&account) == 1)?;
            let drops = account.drops.load(std::sync::atomic::Ordering::SeqCst);
            ensure(drops == 1, || format!("the body source was dropped {drops} times"))?;
        }
        if self.scenario.goes_on && !matches!(twist, Twist::End { by: End::ShutDown, .. }) {
            let again = stage.client.get(&self.places.plain("/"), Some(Duration::from_secs(10)));
            let again = again.and_then(|mut response| response.read_all(10));
            let again = again.map_err(|error| format!("the next request failed: {error:?}"))?;
            ensure(again == b"ok", || format!("the next request got {again:?}"))?;
        }
        at_rest(stage.client.manager())?;
        drop(stage);
        wait_until("the I/O thread to end", || threads_named("hangup-io").is_empty())?;
        wait_until("the descriptors to be closed", || descriptors().len() <= self.allowed())
            .map_err(|why| format!("{why}: {:?}", described()))?;
        Ok(reached)
    }

    /// How many descriptors may be open: a thread that dials in the background keeps an eventfd for its next wait.
    fn allowed(&self) -> usize {
        self.descriptors.saturating_add(threads_named("hangup-dial").len())
    }

    fn arm(&self, twist: Twist, stage: &Stage) {
        match twist {
            Twist::Nothing => self.shim.count(),
            Twist::Failure { function, nth, error, for_good } => {
                self.shim.arm(function, nth, error, for_good);
            }
            Twist::End { nth, by } => {
                let (token, manager) = (stage.token.clone(), Arc::clone(stage.client.manager()));
                helper::prepare_hook(self.helper, move || match by {
                    End::Cancel => token.fire(None),
                    End::CloseAll => drop(manager.close_all(CloseMode::Now)),
                    End::ShutDown => manager.shutdown(),
                });
                self.shim.hook(nth, helper::before_the_call);
            }
        }
    }

    /// Checks that a response is correct, and that an error is one that the twist can cause.
    fn judge(&self, twist: Twist, outcome: &Outcome) -> Result<(), String> {
        let error = match outcome {
            Ok(body) => {
                let right = *body == (self.scenario.body)();
                return ensure(right, || format!("a wrong body of {} bytes", body.len()));
            }
            Err(error) => error,
        };
        let consistent = std::panic::catch_unwind(|| assert_consistent(error));
        ensure(consistent.is_ok(), || format!("an error that contradicts itself: {error:?}"))?;
        let kind = error.kind();
        let expected = (self.scenario.cancels && kind == Kind::Cancelled)
            || match twist {
                Twist::Nothing => false,
                Twist::Failure { .. } => FAILURES.contains(&kind) && !has_no_message(error),
                Twist::End { by: End::Cancel, .. } => kind == Kind::Cancelled,
                Twist::End { by: End::CloseAll, .. } => kind == Kind::Closed,
                Twist::End { by: End::ShutDown, .. } => kind == Kind::ShutDown,
            };
        ensure(expected, || format!("{error:?}"))
    }

    fn label(&self, twist: Twist) -> String {
        let Self { name, form, .. } = self;
        match twist {
            Twist::Nothing => format!("{name}, {form:?}, undisturbed"),
            Twist::Failure { function, nth, error, for_good } => {
                let (function, error) = (self.shim.name(function), error_text(error));
                let from = if for_good { " and all later ones" } else { "" };
                format!("{name}, {form:?}: {function} number {nth}{from} fails with {error}")
            }
            Twist::End { nth, by } => format!("{name}, {form:?}: {by:?} before call {nth}"),
        }
    }
}

/// The kinds of error with which a failed system call may end an exchange.
const FAILURES: [Kind; 9] = [
    Kind::System,
    Kind::ResolveFailed,
    Kind::ConnectFailed,
    Kind::TlsFailed,
    Kind::ProxyFailed,
    Kind::PeerReset,
    Kind::PeerSilent,
    Kind::PeerClosed,
    Kind::BodyFailed,
];

/// Whether the error of a failed system call has no cause in its message.
fn has_no_message(error: &Error) -> bool {
    error.kind() == Kind::System && error.os_code().is_none()
}

fn at_rest(manager: &Manager) -> Result<(), String> {
    let mut stats = manager.stats();
    let rest = wait_until("the manager to be at rest", || {
        stats = manager.stats();
        let busy = stats.dialling + stats.in_use + stats.queued;
        busy == 0 && stats.opened - stats.closed == stats.idle
    });
    rest.map_err(|why| format!("{why}: {stats:?}"))
}

fn wait_until(what: &str, mut holds: impl FnMut() -> bool) -> Result<(), String> {
    let end = Instant::now() + Duration::from_secs(10);
    while !holds() {
        ensure(Instant::now() < end, || format!("timed out waiting for {what}"))?;
        std::thread::sleep(Duration::from_micros(100));
    }
    Ok(())
}

fn ensure(holds: bool, otherwise: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(otherwise()) }
}

/// The open descriptors with their targets.
fn described() -> Vec<String> {
    let target = |fd: i32| {
        crate::support::inspect::descriptor_target(fd).map(|path| path.display().to_string())
    };
    descriptors().into_iter().filter_map(target).collect()
}

impl fmt::Display for Runner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { runs, violations, name, form, .. } = self;
        write!(f, "{name}, {form:?}: {runs} runs, {} violations", violations.len())
    }
}
