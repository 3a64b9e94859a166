//! One connection as the pool lists it: its record, its slot, and what it does at the moment.

use std::sync::Arc;
use std::time::Instant;

use super::slot::Slot;
use crate::manager::connection::{Connection, Placement, Record};
use crate::manager::control::Control;

#[derive(Debug)]
pub(super) struct Entry {
    pub(super) record: Arc<Record>,
    pub(super) stage: Stage,
    pub(super) slot: Slot,
    /// A background dial: its connection is for any waiter. It is counted in its key's entry.
    pub(super) background: bool,
}

/// What a connection does, and which exchange owns it.
///
/// Every stage has at most one owner, because HTTP/1.1 serves one exchange at a time. A connection
/// that serves several (HTTP/2) gets a stage of its own beside `InUse`: `Shared`, with the list of
/// its exchanges' controls in a box, so that an entry does not grow. It counts as idle while that
/// list is empty. [`State::entry_of`](super::state::State::entry_of) and
/// [`State::close`](super::state::State::close) are the places that ask for the owner.
#[derive(Debug)]
pub(super) enum Stage {
    /// A slot was given to a waiter, which has not begun to dial.
    Reserved(Arc<Control>),
    /// Dialled by the exchange with that control, or in the background under a detached one.
    Dialling(Arc<Control>),
    InUse(Arc<Control>),
    /// Given to a waiter, which has not taken it yet.
    Granted {
        connection: Box<Connection>,
        to: Arc<Control>,
    },
    Idle {
        connection: Box<Connection>,
        since: Instant,
        seq: u64,
    },
    /// The connection is out of the entry: the sweep probes it, or the running critical section is
    /// about to set another stage.
    Probing,
}

impl Stage {
    /// Whether there is only a slot, and no dial or connection yet.
    pub(super) fn is_reserved(&self) -> bool {
        matches!(self, Self::Reserved(_))
    }

    pub(super) fn placement(&self, record: &Record) -> Placement {
        match self {
            Self::Reserved(_) | Self::Dialling(_) => Placement::Dialling,
            Self::InUse(_) | Self::Granted { .. } => Placement::InUse,
            Self::Idle { since, .. } => Placement::Idle(*since),
            Self::Probing => Placement::Idle(record.opened_at),
        }
    }

    /// The control of the exchange that owns the connection, if one does.
    pub(super) fn owner(&self) -> Option<&Arc<Control>> {
        match self {
            Self::Reserved(control)
            | Self::Dialling(control)
            | Self::InUse(control)
            | Self::Granted { to: control, .. } => Some(control),
            Self::Idle { .. } | Self::Probing => None,
        }
    }
}
