//! One connection as the pool lists it: its record, its slot, and what it does at the moment; and the list, which counts
//! what its connections do.

use std::collections::HashMap;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::time::Instant;

use super::id_hasher::BuildIdHasher;
use super::slot::Slot;
use crate::manager::connection::{Connection, Placement, Record};
use crate::manager::control::Control;

#[derive(Debug)]
pub(super) struct Entry {
    pub(super) record: Arc<Record>,
    /// Changed by [`Listed::set_stage`] only, which counts.
    stage: Stage,
    pub(super) slot: Slot,
    /// A background dial: its connection is for any waiter. It is counted in its key's entry.
    pub(super) background: bool,
    pub(super) watched: Watched,
    /// When the sweep looks whether it has expired by a limit of its own. It stands in the list of those times.
    pub(super) expires: Option<Instant>,
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
    /// The sweep has the connection, and reads what came.
    Probed,
    /// The connection is out of the entry: the running critical section is about to set another stage.
    Taken,
}

/// Whether the watch for input ([`InputWatch`](crate::runtime::InputWatch)) has a connection's socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Watched {
    /// It does not: the sweep polls the connection while it is idle.
    No,
    Yes,
    /// It does, and has reported input or an end that may not have been read. It does not report that again, so the
    /// sweep polls the connection as soon as it is idle.
    Reported,
}

/// All entries, by id. Threads: one at a time, under the pool's lock.
#[derive(Debug, Default)]
pub(super) struct Entries {
    by_id: HashMap<u64, Entry, BuildIdHasher>,
    counts: StageCounts,
}

/// How many entries are in the stages that are rare. The path of a request on an open connection changes none of these
/// numbers: what is in use is the rest, and the idle ones have lists.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct StageCounts {
    pub(super) reserved: usize,
    pub(super) dialling: usize,
    pub(super) probed: usize,
}

/// An entry in the list. Its stage can be changed.
pub(super) struct Listed<'a> {
    entry: &'a mut Entry,
    counts: &'a mut StageCounts,
}

/// What is left of an entry that was taken out of the list.
#[derive(Debug)]
pub(super) struct Unlisted {
    pub(super) record: Arc<Record>,
    pub(super) stage: Stage,
    pub(super) slot: Slot,
    pub(super) background: bool,
}

impl Entry {
    pub(super) fn stage(&self) -> &Stage {
        &self.stage
    }
}

impl Entries {
    pub(super) fn insert(&mut self, record: &Arc<Record>, stage: Stage, slot: Slot) {
        self.counts.enter(&stage);
        let (record, id) = (Arc::clone(record), record.id);
        let (background, watched, expires) = (false, Watched::No, None);
        self.by_id.insert(id, Entry { record, stage, slot, background, watched, expires });
    }

    /// Takes an entry out; returns when it was to be looked at again, too.
    pub(super) fn remove(&mut self, id: u64) -> Option<(Unlisted, Option<Instant>)> {
        let Entry { record, stage, slot, background, expires, .. } = self.by_id.remove(&id)?;
        self.counts.leave(&stage);
        Some((Unlisted { record, stage, slot, background }, expires))
    }

    /// Forgets all of them; returns their records and their owners.
    pub(super) fn drain(&mut self) -> impl Iterator<Item = Unlisted> {
        self.counts = StageCounts::default();
        self.by_id.drain().map(|(_, Entry { record, stage, slot, background, .. })| Unlisted {
            record,
            stage,
            slot,
            background,
        })
    }

    #[inline]
    pub(super) fn get(&self, id: u64) -> Option<&Entry> {
        self.by_id.get(&id)
    }

    #[inline]
    pub(super) fn get_mut(&mut self, id: u64) -> Option<Listed<'_>> {
        let Self { by_id, counts } = self;
        by_id.get_mut(&id).map(|entry| Listed { entry, counts })
    }

    pub(super) fn values(&self) -> impl Iterator<Item = &Entry> {
        self.by_id.values()
    }

    pub(super) fn ids(&self) -> impl Iterator<Item = u64> {
        self.by_id.keys().copied()
    }

    pub(super) fn len(&self) -> usize {
        self.by_id.len()
    }

    pub(super) fn counts(&self) -> StageCounts {
        self.counts
    }
}

impl Listed<'_> {
    /// The one way to another stage. Returns the former one.
    #[inline]
    pub(super) fn set_stage(&mut self, stage: Stage) -> Stage {
        self.counts.enter(&stage);
        let former = std::mem::replace(&mut self.entry.stage, stage);
        self.counts.leave(&former);
        former
    }

    /// Takes the connection out, if it is idle, and sets another stage.
    #[inline]
    pub(super) fn take_idle(&mut self, stage: Stage) -> Option<Box<Connection>> {
        if !matches!(self.entry.stage, Stage::Idle { .. }) {
            return None;
        }
        match self.set_stage(stage) {
            Stage::Idle { connection, .. } => Some(connection),
            _ => None,
        }
    }

    /// Input that was reported was looked for, and there is none.
    pub(super) fn was_read(&mut self) {
        if self.entry.watched == Watched::Reported {
            self.entry.watched = Watched::Yes;
        }
    }
}

impl Deref for Listed<'_> {
    type Target = Entry;

    #[inline]
    fn deref(&self) -> &Entry {
        self.entry
    }
}

impl DerefMut for Listed<'_> {
    #[inline]
    fn deref_mut(&mut self) -> &mut Entry {
        self.entry
    }
}

impl StageCounts {
    #[inline]
    pub(super) fn enter(&mut self, stage: &Stage) {
        if let Some(count) = self.of(stage) {
            *count += 1;
        }
    }

    #[inline]
    fn leave(&mut self, stage: &Stage) {
        if let Some(count) = self.of(stage) {
            *count -= 1;
        }
    }

    #[inline]
    fn of(&mut self, stage: &Stage) -> Option<&mut usize> {
        match stage {
            Stage::Reserved(_) => Some(&mut self.reserved),
            Stage::Dialling(_) => Some(&mut self.dialling),
            Stage::Probed => Some(&mut self.probed),
            Stage::InUse(_) | Stage::Granted { .. } | Stage::Idle { .. } | Stage::Taken => None,
        }
    }
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
            Self::Probed | Self::Taken => Placement::Idle(record.opened_at),
        }
    }

    /// The control of the exchange that owns the connection, if one does.
    pub(super) fn owner(&self) -> Option<&Arc<Control>> {
        match self {
            Self::Reserved(control)
            | Self::Dialling(control)
            | Self::InUse(control)
            | Self::Granted { to: control, .. } => Some(control),
            Self::Idle { .. } | Self::Probed | Self::Taken => None,
        }
    }
}
