//! The right to use a connection for one exchange, and how it is had: an idle connection, or a
//! new one that is resolved, connected and secured.
//!
//! A lease is given back exactly once: by [`Lease::give_back`] or [`Lease::close`], or by its
//! drop, which closes. A lease is not a socket: with HTTP/2 a connection will have many.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use super::connection::{Connection, Reason, Record, State};
use super::control::{Cause, Control};
use super::key::PoolKey;
use super::pool::{Pool, Refused};
use crate::error::{Error, Kind, Phase};
use crate::net::stream::Stream;
use crate::net::{Stop, dial, resolve};
use crate::wait::{Until, Want, Woken, wait};

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
        match open(&record, control, progress) {
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
    record: &Record,
    control: &Arc<Control>,
    progress: &dyn Progress,
) -> Result<Stream, NoLease> {
    let origin = &record.key.origin;
    let ended = control.arm().map_err(Stop::Io)?;
    let addresses = addresses(record, control, progress)?;
    record.step(State::Connecting);
    let deadline = progress.begin(Phase::Connect);
    if control.cause().is_some() {
        return Err(Stop::Ended.into());
    }
    let socket = dial::dial(&addresses, deadline, ended)?;
    let mut stream = Stream::plain(socket);
    record.connected(&stream);
    // Whoever ends the exchange from here on finds the socket; who did it before did not.
    if control.cause().is_some() {
        return Err(Stop::Ended.into());
    }
    if let Some(tls) = &record.key.tls {
        record.step(State::Tls);
        let deadline = progress.begin(Phase::Tls);
        stream.begin_tls(tls, &origin.host).map_err(NoLease::Error)?;
        stream.handshake(deadline)?;
        record.secured(stream.tls_version());
    }
    Ok(stream)
}

fn addresses(
    record: &Record,
    control: &Arc<Control>,
    progress: &dyn Progress,
) -> Result<Vec<SocketAddr>, NoLease> {
    let origin = &record.key.origin;
    if let Some(ip) = resolve::literal(&origin.host) {
        return Ok(vec![SocketAddr::new(ip, origin.port)]);
    }
    let deadline = progress.begin(Phase::Resolve);
    let event = control.arm().map_err(Stop::Io)?;
    let lookup = resolve::start(&origin.host, origin.port, event).map_err(Stop::Io)?;
    // One event serves the answer and the end: whichever it was, it shows.
    loop {
        if control.cause().is_some() {
            return Err(Stop::Ended.into());
        }
        match lookup.answer() {
            Some(Ok(addresses)) => {
                event.clear();
                return Ok(addresses.clone());
            }
            Some(Err(why)) => {
                let what = format!("{} can't be resolved: {why}", origin.host);
                return Err(NoLease::Error(Error::new(Kind::ResolveFailed, what)));
            }
            None => {}
        }
        match wait(Want { fd: None, event: Some(event) }, Until::new(deadline)).map_err(Stop::Io)? {
            Woken::Deadline => return Err(Stop::Deadline.into()),
            Woken::Interrupted => return Err(Stop::Interrupted.into()),
            Woken::Event | Woken::Ready { .. } => {}
        }
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
