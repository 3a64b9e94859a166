//! Tests of the pool: a plain [`model`] of it, random sequences of steps that compare the two
//! ([`proptest`]), single sequences ([`regressions`]), and the [`invariants`] of the state.

mod invariants;
mod model;
mod proptest;
mod regressions;
mod unanswered;
mod watch;

use std::sync::Arc;
use std::time::Instant;

use super::Pool;

/// Keeps the sweep's thread out of a test in which the next connection becomes idle at that time: a sweep is planned
/// already.
fn keep_sweep_out(pool: &Arc<Pool>, now: Instant) {
    pool.with_state(|state, _| state.sweep_at = Some(now));
}
