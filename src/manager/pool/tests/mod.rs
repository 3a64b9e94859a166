//! Tests of the pool: a plain [`model`] of it, random sequences of steps that compare the two
//! ([`proptest`]), single sequences ([`regressions`]), and the [`invariants`] of the state.

mod invariants;
mod model;
mod proptest;
mod regressions;
mod unanswered;

use std::sync::Arc;
use std::time::Instant;

use super::Pool;

/// Keeps the sweep's thread out of a test for the next half second: a sweep is planned already.
fn keep_sweep_out(pool: &Arc<Pool>) {
    pool.with_state(|state, _| state.sweep_at = Some(Instant::now()));
}
