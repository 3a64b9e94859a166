//! A host's name on its way to addresses, as a step of a dial: it can be left and taken up again.

use std::net::SocketAddr;
use std::sync::Arc;

use super::Stop;
use super::dial::Failure;
use super::patience::Patience;
use super::resolve::{Lookup, Resolver, literal};
use crate::error::{Error, Kind};
use crate::wait::Event;

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
        event: &Arc<Event>,
    ) -> Result<(), Failure> {
        if let Some(address) = literal(host) {
            *self = Self::Known(vec![SocketAddr::new(address, port)]);
        }
        match self {
            Self::Known(_) => return Ok(()),
            // Taken up again, maybe with another event.
            Self::Asked(lookup) => lookup.tell(event),
            Self::Unasked => {
                *self = Self::Asked(resolver.start(host, port, event).map_err(Stop::Io)?);
            }
        }
        // One event serves the answer and the end: whichever it was, it shows.
        while let Self::Asked(lookup) = self {
            match lookup.answer() {
                Some(Ok(addresses)) => *self = Self::Known(addresses),
                Some(Err(why)) => {
                    let what = format!("{host} can't be resolved: {why}");
                    return Err(Error::new(Kind::ResolveFailed, what).into());
                }
                None => patience.told()?,
            }
        }
        Ok(())
    }
}
