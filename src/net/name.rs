//! A host's name on its way to addresses, as a step of a dial: it can be left and taken up again.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use super::Stop;
use super::patience::Patience;
use super::resolve::{Lookup, Resolver, Unresolved, literal};
use crate::error::Error;
use crate::runtime::{Notify, no_thread};
use crate::vocabulary::Kind;

/// Threads: one at a time.
pub(super) enum Name {
    Unasked,
    Asked(Lookup),
    Known(Vec<SocketAddr>),
}

impl Name {
    /// Waits for its addresses; a literal is its own.
    pub(super) fn resolve(
        &mut self,
        resolver: &Arc<Resolver>,
        host: &str,
        port: u16,
        patience: &Patience<'_>,
        event: &Arc<Notify>,
    ) -> Result<(), Stop> {
        if let Some(address) = literal(host) {
            *self = Self::Known(vec![SocketAddr::new(address, port)]);
        }
        match self {
            Self::Known(_) => return Ok(()),
            // Taken up again, maybe with another event.
            Self::Asked(lookup) => lookup.tell(event),
            Self::Unasked => {
                *self = Self::Asked(resolver.start(host, port, event).map_err(Stop::NoThread)?);
            }
        }
        // One event serves the answer and the end: whichever it was, it shows.
        while let Self::Asked(lookup) = self {
            match lookup.answer() {
                Some(Ok(addresses)) => *self = Self::Known(addresses),
                Some(Err(Unresolved::NoThread)) => return Err(Stop::NoThread(no_thread())),
                Some(Err(Unresolved::Said(why))) => {
                    let what = format!("{host} can't be resolved: {why}");
                    return Err(Error::new(Kind::ResolveFailed, what).into());
                }
                None => match lookup.begin_by() {
                    None => patience.told()?,
                    Some(by) if by <= Instant::now() => {
                        return Err(Stop::NoThread(no_thread()));
                    }
                    Some(by) => patience.told_by(by)?,
                },
            }
        }
        Ok(())
    }
}
