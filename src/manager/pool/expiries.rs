//! The times when connections expire by limits of their own, in their order.

use std::collections::BTreeSet;
use std::time::Instant;

/// When which connection is to be looked at: at most once each.
#[derive(Debug, Default)]
pub(super) struct Expiries(BTreeSet<(Instant, u64)>);

impl Expiries {
    /// Moves a connection from one time to another one.
    pub(super) fn set(&mut self, id: u64, from: Option<Instant>, to: Option<Instant>) {
        if let Some(from) = from {
            self.0.remove(&(from, id));
        }
        if let Some(to) = to {
            self.0.insert((to, id));
        }
    }

    /// The first one whose time has come; takes it out.
    pub(super) fn take_due(&mut self, now: Instant) -> Option<u64> {
        let (at, id) = *self.0.first()?;
        if at > now {
            return None;
        }
        self.0.pop_first();
        Some(id)
    }

    #[cfg(test)]
    pub(super) fn rows(&self) -> &BTreeSet<(Instant, u64)> {
        &self.0
    }
}
