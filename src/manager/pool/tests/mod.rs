//! Tests of the pool: a plain [`model`] of it, random sequences of steps that compare the two
//! ([`proptest`]), single sequences ([`regressions`]), and the [`invariants`] of the state.

mod invariants;
mod model;
mod proptest;
mod regressions;
