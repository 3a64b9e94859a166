//! Connections that are suspected to be dead: the slot of the dial that finds out, and what is closed with one that
//! was lost.

use std::sync::Arc;
use std::time::Instant;

use super::dials::BackgroundSlot;
use super::entry::Stage;
use super::lock::Pool;
use crate::manager::control::Control;
use crate::manager::event_log::EventKind;
use crate::manager::key::PoolKey;
use crate::vocabulary::CloseReason;

impl Pool {
    /// Takes a slot for a second connection of that key, beside one that is suspected; `None` if the limits allow no
    /// more, or the pool gives no connections any more. If the origin has as many as it may have, an idle one of them
    /// makes room.
    pub(crate) fn reserve_second_dial(
        &self,
        suspected: u64,
        key: &Arc<PoolKey>,
        new_control: impl Fn() -> Arc<Control>,
    ) -> Option<BackgroundSlot> {
        // The slot of the one that makes room is free after its socket was closed, which is after the first call.
        self.try_second_dial(suspected, key, &new_control, true)
            .or_else(|| self.try_second_dial(suspected, key, &new_control, false))
    }

    fn try_second_dial(
        &self,
        suspected: u64,
        key: &Arc<PoolKey>,
        new_control: &impl Fn() -> Arc<Control>,
        make_room: bool,
    ) -> Option<BackgroundSlot> {
        self.with_state(|state, deferred| {
            if state.closed.is_some() {
                return None;
            }
            // The suspected connection has the key, so that its entry is there.
            let key_id = *state.key_index.get(&**key)?;
            if !state.has_room(key_id) {
                if make_room {
                    state.evict_from_origin(state.keys[key_id].origin_id, deferred);
                }
                return None;
            }
            let control = new_control();
            let owner = Arc::clone(&control);
            let record = state.take_slot(key_id, || Stage::Dialling(owner));
            control.set_connection(record.id);
            state.mark_background(record.id);
            state.record_event_of(EventKind::Probed, suspected, Some(key), deferred);
            state.record_event(EventKind::Opened, &record, deferred);
            Some((record, control))
        })
    }

    /// Records what is thought of a connection whose peer is silent.
    pub(crate) fn note_suspicion(&self, what: EventKind, connection: u64, key: &Arc<PoolKey>) {
        self.with_state(|state, deferred| {
            state.record_event_of(what, connection, Some(key), deferred);
        });
    }

    /// A connection was lost without a word. What took it away may have taken others as well: the idle connections of
    /// its origin that have not been in use since then, and so have shown no sign of life, are closed.
    pub(crate) fn lost(&self, connection: u64, key: &Arc<PoolKey>, since: Instant) {
        self.with_state(|state, deferred| {
            state.record_event_of(EventKind::Lost, connection, Some(key), deferred);
            let Some(&origin_id) = state.origin_index.get(&key.origin) else { return };
            let keys = state.origins[origin_id].key_ids.iter();
            let rows = keys.flat_map(|key_id| state.keys[*key_id].idle.iter_from(0));
            let silent: Vec<u64> =
                rows.filter(|row| row.since <= since).map(|row| row.id).collect();
            for id in silent {
                state.remove(id, CloseReason::PeerSilent, deferred);
            }
        });
    }
}
