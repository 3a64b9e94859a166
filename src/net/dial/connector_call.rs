//! A call of the program's connector, as a step of a dial: it can be left and resumed.
//!
//! The connector may block for any time, so it runs on a worker that is waited for and never joined. If the dial is
//! dropped, what the connector returns later is closed.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::time::Instant;

use crate::net::Stop;
use crate::net::connector::{ConnectRequest, Connector};
use crate::net::wait_context::WaitContext;
use crate::runtime::{Notify, THREAD_WAIT, WorkerPool, no_thread};
use crate::sync::lock;

/// Threads: one at a time.
pub(super) struct ConnectorCall {
    job: Arc<Job>,
    /// When it is given up, unless a worker has begun it.
    begin_by: Instant,
}

struct Job {
    origin: String,
    host: String,
    port: u16,
    /// A worker has begun it.
    begun: AtomicBool,
    outcome: Mutex<Option<io::Result<socket2::Socket>>>,
    /// To be set when there is an outcome.
    waiting: Mutex<Weak<Notify>>,
}

impl ConnectorCall {
    /// Has a worker call the connector for that origin, with the host and port to connect to. An error means that
    /// there is no thread for it.
    pub(super) fn start(
        connector: &Connector,
        origin: String,
        (host, port): (&str, u16),
    ) -> io::Result<Self> {
        let job = Arc::new(Job {
            origin,
            host: host.to_owned(),
            port,
            begun: AtomicBool::new(false),
            outcome: Mutex::new(None),
            waiting: Mutex::new(Weak::new()),
        });
        let (abandoned, connector) = (Arc::downgrade(&job), connector.clone());
        WORKERS.run(move || {
            if let Some(job) = abandoned.upgrade() {
                job.run(&connector);
            }
        })?;
        Ok(Self { job, begin_by: Instant::now() + THREAD_WAIT })
    }

    /// Waits for the socket. After any stop but [`Stop::Io`] it can be called again.
    pub(super) fn run(
        &mut self,
        context: &WaitContext<'_>,
        event: &Arc<Notify>,
    ) -> Result<socket2::Socket, Stop> {
        *lock(&self.job.waiting) = Arc::downgrade(event);
        loop {
            if let Some(outcome) = lock(&self.job.outcome).take() {
                return outcome.map_err(Stop::Io);
            }
            if self.job.begun.load(Ordering::Relaxed) {
                context.wait_for_event()?;
            } else if self.begin_by <= Instant::now() {
                return Err(Stop::NoThread(no_thread()));
            } else {
                context.wait_for_event_by(self.begin_by)?;
            }
        }
    }
}

impl Job {
    fn run(&self, connector: &Connector) {
        self.begun.store(true, Ordering::Relaxed);
        let Self { origin, host, port, .. } = self;
        let request = ConnectRequest { origin, host, port: *port };
        // A callback of the program: a panic in it is a failed connect.
        let outcome = catch_unwind(AssertUnwindSafe(|| connector.connect(&request)?.prepare()))
            .unwrap_or_else(|_| Err(io::Error::other("the connector panicked")));
        *lock(&self.outcome) = Some(outcome);
        if let Some(event) = lock(&self.waiting).upgrade() {
            event.set();
        }
    }
}

static WORKERS: WorkerPool = WorkerPool::for_blocking("hangup-connect");
