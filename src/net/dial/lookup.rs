//! The lookup of a host name, as a step of a dial: it can be left and resumed.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use crate::error::Error;
use crate::net::Stop;
use crate::net::dns::{Lookup, Resolver, Unresolved, parse_literal};
use crate::net::wait_context::WaitContext;
use crate::runtime::{Notify, no_thread};
use crate::vocabulary::Kind;

/// Threads: one at a time.
pub(super) enum HostLookup {
    NotStarted,
    Running(Lookup),
    Known(Vec<SocketAddr>),
}

impl HostLookup {
    /// Waits for the addresses. A literal address needs no lookup.
    pub(super) fn resolve(
        &mut self,
        resolver: &Arc<Resolver>,
        host: &str,
        port: u16,
        context: &WaitContext<'_>,
        event: &Arc<Notify>,
    ) -> Result<(), Stop> {
        if let Some(address) = parse_literal(host) {
            *self = Self::Known(vec![SocketAddr::new(address, port)]);
        }
        match self {
            Self::Known(_) => return Ok(()),
            // Resumed, maybe with another notification.
            Self::Running(lookup) => lookup.tell(event),
            Self::NotStarted => {
                *self = Self::Running(resolver.start(host, port, event).map_err(Stop::NoThread)?);
            }
        }
        // The notification serves the result and the request to stop, so both are looked at.
        while let Self::Running(lookup) = self {
            match lookup.answer() {
                Some(Ok(addresses)) => *self = Self::Known(addresses),
                Some(Err(Unresolved::NoThread)) => return Err(Stop::NoThread(no_thread())),
                Some(Err(Unresolved::Failed(why, code))) => {
                    let what = format!("{host} can't be resolved: {why}");
                    let error = Error::new(Kind::ResolveFailed, what);
                    return Err(match code {
                        Some(code) => error.with_resolver_code(code.number, code.may_recover),
                        None => error,
                    }
                    .into());
                }
                None => match lookup.begin_by() {
                    None => context.wait_for_event()?,
                    Some(by) if by <= Instant::now() => {
                        return Err(Stop::NoThread(no_thread()));
                    }
                    Some(by) => context.wait_for_event_by(by)?,
                },
            }
        }
        Ok(())
    }
}
