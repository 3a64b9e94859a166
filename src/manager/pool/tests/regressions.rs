//! Single sequences of steps that failed once, or that random ones would contain too seldom.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::super::lru::IdleRow;
use super::model::KEYS;
use super::proptest::{Harness, Phase, Step};
use crate::manager::limits::Limits;
use crate::vocabulary::CloseMode;

/// Runs these steps on a pool with these limits.
fn run(limits: Limits, steps: &[Step]) -> Harness {
    let mut harness = Harness::new(limits);
    steps.iter().for_each(|step| harness.step(step));
    harness
}

fn checkout(key: usize) -> Step {
    Step::Checkout { key, fresh: false }
}

const DIALLED: Step = Step::Dialled { index: 0, short: false };

#[test]
fn an_ended_waiter_does_not_hide_the_waiters_behind_it() {
    let limits = Limits { total: 1, ..Limits::default() };
    // Two exchanges wait for a slot of another origin. The first is cancelled, and has not taken its
    // waiter out when the only connection comes back.
    let steps =
        [checkout(0), DIALLED, checkout(2), checkout(2), Step::Cancel(1), Step::GiveBack(0)];
    let mut harness = run(limits, &steps);
    harness.step(&Step::Poll(1));
    assert!(matches!(harness.requesters[2].phase, Phase::Dials(_)), "it was given the slot");
    harness.finish();
}

#[test]
fn an_idle_connection_makes_room_for_a_waiter_that_new_limits_let_dial() {
    let narrow = Limits { total: 2, per_origin: 1, ..Limits::default() };
    let wide = Limits { per_origin: 2, ..narrow };
    let steps = [checkout(0), DIALLED, checkout(2), DIALLED, Step::GiveBack(1), checkout(0)];
    let mut harness = run(narrow, &steps);
    // At first the limit of the origin holds the waiter up, then only an idle connection elsewhere.
    harness.step(&Step::Change(wide));
    harness.step(&Step::Poll(0));
    assert!(matches!(harness.requesters[2].phase, Phase::Dials(_)), "it was given the slot");
    harness.finish();
}

#[test]
fn limits_that_overlap_close_no_more_than_they_must() {
    let dial = |key| [checkout(key), DIALLED];
    let mut steps: Vec<Step> = (0..8).flat_map(|n| dial(n % KEYS)).collect();
    steps.extend((0..8).map(|_| Step::GiveBack(0)));
    let mut harness = run(Limits::default(), &steps);
    harness.step(&Step::Change(Limits { total: 6, idle_total: 4, ..Limits::default() }));
    assert_eq!(harness.pool.stats(harness.model.now).idle, 4);
    // Expired ones are closed at once too.
    harness.step(&Step::Change(Limits { max_requests: Some(1), ..Limits::default() }));
    assert_eq!(harness.pool.stats(harness.model.now).idle, 0);
    harness.finish();
}

#[test]
fn a_dial_that_is_closed_keeps_its_slot_until_its_sockets_are_gone() {
    let limits = Limits { total: 1, ..Limits::default() };
    let first = Step::CloseOne { which: 0, how: CloseMode::Now };
    let mut harness = run(limits, &[checkout(0), checkout(0), first]);
    assert!(harness.pool.list(harness.model.now).is_empty());
    harness.step(&Step::Poll(0));
    assert_eq!(harness.requesters[1].phase, Phase::Waits, "its sockets may still be there");
    harness.step(&Step::StopDialling { index: 0, goes_on: true });
    harness.step(&Step::Poll(0));
    assert!(matches!(harness.requesters[1].phase, Phase::Dials(_)));
    harness.finish();
}

#[test]
fn an_exchange_that_was_granted_a_connection_is_not_ended_with_the_dial_that_it_leaves() {
    // One exchange uses a connection; another dials, and is granted the connection of the first.
    let steps = [checkout(0), DIALLED, checkout(0), Step::GiveBack(0)];
    let mut harness = run(Limits::default(), &steps);
    let dial = harness.requesters[1].control.connection();
    let dial = harness.model.all(|c| c.record.as_ref().is_some_and(|r| r.id != dial));
    harness.step(&Step::CloseOne { which: dial[0], how: CloseMode::Now });
    harness.step(&Step::StopDialling { index: 0, goes_on: true });
    assert_eq!(harness.requesters[1].phase, Phase::Uses);
    harness.finish();
}

#[test]
fn after_a_shutdown_no_dial_goes_on() {
    let mut harness = run(Limits::default(), &[checkout(0), Step::ShutDown]);
    harness.step(&Step::StopDialling { index: 0, goes_on: true });
    assert!(harness.background.is_empty());
    harness.finish();
}

#[test]
fn a_probed_connection_keeps_its_place() {
    let mut steps: Vec<Step> = (0..3).flat_map(|_| [checkout(0), DIALLED]).collect();
    steps.extend((0..3).map(|_| Step::GiveBack(0)));
    let mut harness = run(Limits::default(), &steps);
    let (pool, now) = (Arc::clone(&harness.pool), harness.model.now);
    for row in 0..3 {
        pool.with_state(|state, deferred| {
            let IdleRow { id, seq, since } = *state.idle.iter_from(0).nth(row).unwrap();
            let connection = state.take_to_probe(id, seq).unwrap();
            state.put_back(connection, (since, seq), now, deferred);
        });
        harness.compare();
    }
    harness.finish();
}

#[test]
fn a_sweep_that_never_ran_is_scheduled_again() {
    let limits = Limits { idle_for: None, ..Limits::default() };
    let harness = run(limits, &[checkout(0), DIALLED, Step::GiveBack(0)]);
    let plan = |planned, secs| {
        harness.pool.with_state(|state, deferred| {
            state.sweep_at = planned;
            state.schedule_sweep(harness.model.now + Duration::from_secs(secs), deferred);
            deferred.work().sweep.take().is_some()
        })
    };
    let now = Instant::now();
    assert!(plan(None, 0) && !plan(Some(now), 0) && plan(Some(now), 60));
    harness.finish();
}

#[test]
fn waiters_whose_dials_are_closed_together_are_served_in_the_order_of_their_arrival() {
    // Three slots: two background dials, each promised to a waiter of its own origin, leave one free
    // for the first of the two waiters. A closed dial keeps its slot until its sockets are gone.
    let limits = Limits { total: 3, ..Limits::default() };
    let dial = |key| Step::ReserveBackgroundDials { key, wanted: 1 };
    let close = Step::CloseAll(CloseMode::Graceful);
    // The ids of the connections are different in each round, and with them every order that is
    // derived from ids.
    for round in 0..64 {
        let (first, last) = if round % 2 == 0 { (0, 2) } else { (2, 0) };
        let mut steps = vec![dial(0), dial(2), checkout(first), checkout(last)];
        if round % 4 >= 2 {
            // A waiter that is ended, but has not taken itself out, is no exception.
            steps.push(Step::Cancel(1));
        }
        let mut harness = run(limits, &steps);
        harness.step(&close);
        harness.step(&Step::Poll(0));
        assert!(matches!(harness.requesters[0].phase, Phase::Dials(_)), "round {round}");
        assert_eq!(harness.requesters[1].phase, Phase::Waits);
        harness.finish();
    }
}

#[test]
fn exchanges_without_a_free_port_wait_for_the_connections_of_their_origin() {
    // One uses a connection. Two others dial, and find no port; a fourth comes later.
    let dials = [checkout(0), DIALLED, checkout(0), checkout(0)];
    let mut harness = run(Limits::default(), &dials);
    for step in [Step::LacksPort(0), Step::LacksPort(0), checkout(0)] {
        harness.step(&step);
    }
    let phases = |harness: &Harness| -> Vec<Phase> {
        harness.requesters.iter().map(|requester| requester.phase).collect()
    };
    assert_eq!(phases(&harness)[1..], [Phase::Waits; 3]);
    harness.step(&Step::GiveBack(0));
    harness.step(&Step::Poll(0));
    assert_eq!(phases(&harness)[1..], [Phase::Uses, Phase::Waits, Phase::Waits]);
    // It closes, and leaves its port to the next one only.
    harness.step(&Step::CloseLease(0));
    harness.step(&Step::Poll(0));
    harness.step(&Step::Poll(0));
    let [.., third, fourth] = phases(&harness)[..] else { panic!("four exchanges") };
    assert!(matches!(third, Phase::Dials(_)) && fourth == Phase::Waits, "{third:?} {fourth:?}");
    // Without another connection there is nothing to wait for, and the next one tries.
    harness.step(&Step::LacksPort(0));
    harness.step(&Step::Poll(0));
    let [.., third, fourth] = phases(&harness)[..] else { panic!("four exchanges") };
    assert!(third == Phase::Over && matches!(fourth, Phase::Dials(_)), "{third:?} {fourth:?}");
    harness.finish();
}
