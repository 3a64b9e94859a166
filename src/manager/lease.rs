//! The right to use a connection for one exchange, and how it is had: an idle connection, or a
//! new one that is resolved, connected and secured.
//!
//! A lease is given back exactly once: by [`Lease::give_back`] or [`Lease::close`], or by its
//! drop, which closes. A lease is not a socket: with HTTP/2 a connection will have many.

use std::sync::Arc;
use std::time::Instant;

use super::connection::{Connection, Reason, Record, State};
use super::control::{Cause, Control};
use super::key::PoolKey;
use super::pool::{Pool, Refused};
use crate::error::{Error, Phase};
use crate::net::Stop;
use crate::net::dial::{self, Dial, Failure, Plan};
use crate::net::stream::Stream;

/// Threads: one at a time; its exchange can be ended from any.
#[derive(Debug)]
pub(crate) struct Lease {
    pool: Arc<Pool>,
    control: Arc<Control>,
    connection: Option<Connection>,
    id: u64,
    reused: bool,
}

/// What the exchange wants to know while a connection is made, and how long each phase may take.
pub(crate) trait Progress {
    /// A phase begins; answers when it must be over.
    fn begin(&self, phase: Phase) -> Option<Instant>;
}

/// Why there is no connection. Who asked labels it.
#[derive(Debug)]
pub(crate) enum NoLease {
    Refused(Refused),
    Stop(Stop),
    Error(Error),
}

impl Lease {
    /// An idle connection, or a new one; never an idle one if `fresh`. `now` is the time of the call.
    pub(crate) fn acquire(
        pool: &Arc<Pool>,
        key: &Arc<PoolKey>,
        control: &Arc<Control>,
        fresh: bool,
        now: Instant,
        progress: &dyn Progress,
    ) -> Result<Self, NoLease> {
        while !fresh && let Some(connection) = pool.take_idle(key, control, now)? {
            let mut lease = Self::new(pool, control, connection, true);
            // The look at checkout: what the peer did to an idle connection is known by now.
            if lease.stream().is_some_and(Stream::is_quiet) {
                return Ok(lease);
            }
            lease.close(Reason::StaleAtCheckout);
        }
        let record = pool.begin_dial(key, control)?;
        match open(pool, &record, control, progress) {
            Ok(stream) => {
                let lease = Self::new(pool, control, Connection { record, stream }, false);
                if let Some(connection) = &lease.connection {
                    pool.dialled(&connection.record, control)?;
                }
                Ok(lease)
            }
            Err(failure) => {
                pool.close_mine(record.id, control, Reason::DialFailed);
                Err(failure)
            }
        }
    }

    fn new(pool: &Arc<Pool>, control: &Arc<Control>, connection: Connection, reused: bool) -> Self {
        let id = connection.record.id;
        let (pool, control) = (Arc::clone(pool), Arc::clone(control));
        Self { pool, control, connection: Some(connection), id, reused }
    }

    /// The bytes. `None` only after the lease was given back.
    pub(crate) fn stream(&mut self) -> Option<&mut Stream> {
        self.connection.as_mut().map(|connection| &mut connection.stream)
    }

    pub(crate) fn id(&self) -> u64 {
        self.id
    }

    pub(crate) fn reused(&self) -> bool {
        self.reused
    }

    /// Gives the connection back after an exchange that ended well; `false` if somebody had ended
    /// the exchange first, and the connection is closed.
    pub(crate) fn give_back(mut self, now: Instant) -> bool {
        match self.connection.take() {
            Some(connection) => self.pool.give_back(connection, &self.control, now),
            None => false,
        }
    }

    /// Closes the connection.
    pub(crate) fn close(mut self, reason: Reason) {
        self.end(reason);
    }

    /// Closes it after its exchange ended well, with a goodbye; `false` if somebody had ended the
    /// exchange first.
    pub(crate) fn part(mut self, reason: Reason) -> bool {
        let well = self.control.settle(Cause::Done);
        if let Some(stream) = self.stream() {
            stream.say_goodbye();
        }
        self.end(reason);
        well
    }

    /// Lets go of a connection that is the parent's, without a word on the wire.
    pub(crate) fn forget(mut self) {
        if let Some(connection) = self.connection.take() {
            connection.record.forget();
        }
    }

    fn end(&mut self, reason: Reason) {
        if let Some(connection) = self.connection.take() {
            self.pool.close_mine(connection.record.id, &self.control, reason);
            connection.record.end();
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.end(Reason::BodyLeftUnread);
    }
}

fn open(
    pool: &Pool,
    record: &Record,
    control: &Arc<Control>,
    progress: &dyn Progress,
) -> Result<Stream, NoLease> {
    let event = control.arm().map_err(Stop::Io)?;
    let key = &record.key;
    let plan = Plan {
        host: key.origin.host.clone(),
        port: key.origin.port,
        unix: key.origin.unix.as_deref().map(Into::into),
        tls: key.tls.clone(),
        route: Arc::clone(&key.route),
        keep_alive: None,
    };
    let mut dial = Dial::new(plan, Arc::clone(pool.resolver()));
    match dial.run(&Dialling { record, control, progress }, event) {
        Ok(stream) => {
            // Late answers of the dial may have set it.
            event.clear();
            record.secured(stream.tls_version());
            Ok(stream)
        }
        Err(Failure::Stop(stop)) => Err(stop.into()),
        Err(Failure::Error(error)) => Err(NoLease::Error(error)),
    }
}

/// A dial as the exchange and the list of connections see it.
struct Dialling<'a> {
    record: &'a Record,
    control: &'a Control,
    progress: &'a dyn Progress,
}

impl dial::Progress for Dialling<'_> {
    fn begin(&self, phase: Phase) -> Option<Instant> {
        self.record.step(match phase {
            Phase::Connect => State::Connecting,
            Phase::Proxy => State::Proxy,
            Phase::Tls => State::Tls,
            _ => State::Resolving,
        });
        self.progress.begin(phase)
    }

    fn connected(&self, stream: &Stream) {
        // Whoever ends the exchange from here on finds the socket; who did it before is heard of
        // before the next phase.
        self.record.connected(stream);
    }

    fn must_stop(&self) -> bool {
        self.control.cause().is_some()
    }
}

impl From<Stop> for NoLease {
    fn from(stop: Stop) -> Self {
        Self::Stop(stop)
    }
}

impl From<Refused> for NoLease {
    fn from(refused: Refused) -> Self {
        Self::Refused(refused)
    }
}
