//! What a call waits for between its exchanges: a delay before the request is sent again, and a function of the
//! program without which it can't be sent. A cancel, the total timeout and a shutdown end both at once.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use super::exchange::Exchange;
use crate::error::Error;
use crate::net::Stop;
use crate::runtime::{
    Notify, THREAD_WAIT, WaitFor, WaitUntil, WakeReason, WorkerPool, no_thread, wait,
};
use crate::sync::lock;
use crate::timeouts::Deadline;
use crate::vocabulary::Timeout;

impl Exchange {
    /// Waits for so long.
    ///
    /// # Errors
    /// What ended the exchange before.
    #[inline(never)]
    pub(crate) fn pause(&self, delay: Duration) -> Result<(), Error> {
        let until = Instant::now().checked_add(delay);
        let over = || until.is_some_and(|until| until <= Instant::now());
        let waited = self.wait_between(&|_| over().then_some(()), &|| until);
        waited.map_err(|stop| self.fail(stop))
    }

    /// Has a function of the program run on a thread of the library, and waits for its outcome. If the exchange ends
    /// before that, the function is left to itself, and its outcome is dropped. A panic of it is a panic here.
    ///
    /// # Errors
    /// What ended the exchange before; [`Kind::System`](crate::Kind::System) if there is no thread for it.
    #[inline(never)]
    pub(crate) fn ask<T: Send + 'static>(
        &self,
        function: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Error> {
        let asked = Asked::new();
        // The function is called only if it is still wanted: an exchange that ended must not run it later.
        let begun = self.begin_asking(&asked, function);
        if let Err(error) = begun {
            return Err(self.fail(Stop::NoThread(error)));
        }
        let begin_by = Instant::now() + THREAD_WAIT;
        let waited = self.wait_between(&|event| asked.take(event, begin_by), &|| {
            asked.is_waiting().then_some(begin_by)
        });
        match waited {
            Ok(Some(Ok(outcome))) => Ok(outcome),
            Ok(Some(Err(panic))) => resume_unwind(panic),
            Ok(None) => Err(self.fail(Stop::NoThread(no_thread()))),
            Err(stop) => {
                asked.give_up();
                Err(self.fail(stop))
            }
        }
    }

    fn begin_asking<T: Send + 'static>(
        &self,
        asked: &Arc<Asked<T>>,
        function: impl FnOnce() -> T + Send + 'static,
    ) -> std::io::Result<()> {
        let theirs = Arc::clone(asked);
        PROGRAM.run(move || {
            if theirs.begin() {
                let outcome = catch_unwind(AssertUnwindSafe(function));
                theirs.finish(outcome);
            }
        })
    }

    /// Waits until `done` returns something. `until` is when it may do so without an event.
    fn wait_between<T>(
        &self,
        done: &dyn Fn(&Arc<Notify>) -> Option<T>,
        until: &dyn Fn() -> Option<Instant>,
    ) -> Result<T, Stop> {
        let shared = self.shared();
        let _listed = self.config.manager.pool().begin_pause(&shared.control);
        let event = shared.register_wake();
        loop {
            // Cleared before the look: what happens after the look sets it again.
            event.clear();
            shared.check()?;
            if let Some(outcome) = done(&event) {
                return Ok(outcome);
            }
            let own = Deadline { at: until(), timeout: Timeout::None };
            let until = WaitUntil::of(self.timing().until(own), Instant::now());
            match wait(WaitFor { fd: None, notify: Some(&event) }, until) {
                Ok(WakeReason::Interrupted) => return Err(Stop::Interrupted),
                Ok(_) => {}
                Err(error) => return Err(Stop::Io(error)),
            }
        }
    }
}

/// A function of the program, between the exchange that waits for it and the thread that runs it.
struct Asked<T>(Mutex<State<T>>);

struct State<T> {
    stage: Stage<T>,
    /// Set when there is an outcome.
    event: Option<Arc<Notify>>,
}

enum Stage<T> {
    /// No thread has taken it up.
    Waiting,
    Running,
    Done(std::thread::Result<T>),
    /// The exchange does not want the outcome any more, or has it.
    Over,
}

impl<T> Asked<T> {
    fn new() -> Arc<Self> {
        Arc::new(Self(Mutex::new(State { stage: Stage::Waiting, event: None })))
    }

    /// A thread takes the function up; `false` if it is not wanted any more.
    fn begin(&self) -> bool {
        let stage = &mut lock(&self.0).stage;
        let wanted = matches!(stage, Stage::Waiting);
        if wanted {
            *stage = Stage::Running;
        }
        wanted
    }

    fn finish(&self, outcome: std::thread::Result<T>) {
        let mut state = lock(&self.0);
        if matches!(state.stage, Stage::Running) {
            state.stage = Stage::Done(outcome);
        }
        let event = state.event.take();
        drop(state);
        if let Some(event) = event {
            event.set();
        }
    }

    /// The outcome, if there is one; `Some(None)` if no thread has taken the function up in time.
    fn take(
        &self,
        event: &Arc<Notify>,
        begin_by: Instant,
    ) -> Option<Option<std::thread::Result<T>>> {
        let mut state = lock(&self.0);
        match &state.stage {
            Stage::Waiting if begin_by <= Instant::now() => {
                state.stage = Stage::Over;
                Some(None)
            }
            Stage::Done(_) => match std::mem::replace(&mut state.stage, Stage::Over) {
                Stage::Done(outcome) => Some(Some(outcome)),
                _ => None,
            },
            _ => {
                state.event.get_or_insert_with(|| Arc::clone(event));
                None
            }
        }
    }

    fn is_waiting(&self) -> bool {
        matches!(lock(&self.0).stage, Stage::Waiting)
    }

    fn give_up(&self) {
        let before = std::mem::replace(&mut lock(&self.0).stage, Stage::Over);
        drop(before);
    }
}

/// Each function of the program has a thread for itself: it may block.
static PROGRAM: WorkerPool = WorkerPool::for_blocking("hangup-callback");
