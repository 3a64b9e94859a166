//! Single sequences of steps that went wrong once, or would be met too seldom by chance.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::super::deferred::Aftermath;
use super::super::lru::Idle;
use super::model::KEYS;
use super::proptest::{Phase, Step, World};
use crate::manager::Limits;
use crate::vocabulary::CloseMode;

/// Runs these steps on a pool with these limits.
fn run(limits: Limits, steps: &[Step]) -> World {
    let mut world = World::new(limits);
    steps.iter().for_each(|step| world.step(step));
    world
}

fn ask(key: usize) -> Step {
    Step::Ask { key, fresh: false }
}

const CONNECTS: Step = Step::Dialled { who: 0, short: false };

#[test]
fn who_is_about_to_leave_does_not_hide_who_waits_behind() {
    let limits = Limits { total: 1, ..Limits::default() };
    // Two wait for a slot at another origin; the first of them is cancelled, and has not left yet
    // when the only connection comes back.
    let steps = [ask(0), CONNECTS, ask(2), ask(2), Step::Cancel(1), Step::GiveBack(0)];
    let mut world = run(limits, &steps);
    world.step(&Step::Fetch(1));
    assert!(matches!(world.people[2].phase, Phase::Dials(_)), "it was given the slot");
    world.finish();
}

#[test]
fn what_is_idle_makes_room_for_who_may_dial_by_new_limits() {
    let narrow = Limits { total: 2, per_origin: 1, ..Limits::default() };
    let wide = Limits { per_origin: 2, ..narrow };
    let steps = [ask(0), CONNECTS, ask(2), CONNECTS, Step::GiveBack(1), ask(0)];
    let mut world = run(narrow, &steps);
    // Held up by its origin, and then only by what is idle elsewhere.
    world.step(&Step::Change(wide));
    world.step(&Step::Fetch(0));
    assert!(matches!(world.people[2].phase, Phase::Dials(_)), "it was given the slot");
    world.finish();
}

#[test]
fn limits_that_overlap_close_no_more_than_they_must() {
    let dial = |key| [ask(key), CONNECTS];
    let mut steps: Vec<Step> = (0..8).flat_map(|n| dial(n % KEYS)).collect();
    steps.extend((0..8).map(|_| Step::GiveBack(0)));
    let mut world = run(Limits::default(), &steps);
    world.step(&Step::Change(Limits { total: 6, idle_total: 4, ..Limits::default() }));
    assert_eq!(world.pool.stats(world.model.now).idle, 4);
    // Worn ones go at once too.
    world.step(&Step::Change(Limits { max_requests: Some(1), ..Limits::default() }));
    assert_eq!(world.pool.stats(world.model.now).idle, 0);
    world.finish();
}

#[test]
fn a_dial_that_is_closed_keeps_its_slot_until_its_sockets_are_gone() {
    let limits = Limits { total: 1, ..Limits::default() };
    let first = Step::CloseOne { which: 0, how: CloseMode::Now };
    let mut world = run(limits, &[ask(0), ask(0), first]);
    assert!(world.pool.list(world.model.now).is_empty());
    world.step(&Step::Fetch(0));
    assert_eq!(world.people[1].phase, Phase::Waits, "its sockets may still be there");
    world.step(&Step::StopDialling { who: 0, goes_on: true });
    world.step(&Step::Fetch(0));
    assert!(matches!(world.people[1].phase, Phase::Dials(_)));
    world.finish();
}

#[test]
fn who_was_given_a_connection_is_not_ended_with_the_dial_it_leaves() {
    // One uses a connection, another dials, and is given the first one's.
    let steps = [ask(0), CONNECTS, ask(0), Step::GiveBack(0)];
    let mut world = run(Limits::default(), &steps);
    let dial = world.people[1].control.connection();
    let dial = world.model.all(|c| c.record.as_ref().is_some_and(|r| r.id != dial));
    world.step(&Step::CloseOne { which: dial[0], how: CloseMode::Now });
    world.step(&Step::StopDialling { who: 0, goes_on: true });
    assert_eq!(world.people[1].phase, Phase::Uses);
    world.finish();
}

#[test]
fn after_a_shutdown_no_dial_goes_on() {
    let mut world = run(Limits::default(), &[ask(0), Step::ShutDown]);
    world.step(&Step::StopDialling { who: 0, goes_on: true });
    assert!(world.ahead.is_empty());
    world.finish();
}

#[test]
fn a_connection_that_was_only_looked_at_keeps_its_place() {
    let mut steps: Vec<Step> = (0..3).flat_map(|_| [ask(0), CONNECTS]).collect();
    steps.extend((0..3).map(|_| Step::GiveBack(0)));
    let mut world = run(Limits::default(), &steps);
    let (pool, now) = (Arc::clone(&world.pool), world.model.now);
    for row in 0..3 {
        let mut after = Aftermath::default();
        let mut state = pool.lock();
        let Idle { id, stamp, since } = *state.ages.from(0).nth(row).unwrap();
        let connection = state.pick(id).unwrap();
        state.put_back(connection, (since, stamp), now, &mut after);
        drop(state);
        world.compare();
    }
    world.finish();
}

#[test]
fn a_sweep_that_never_came_is_planned_again() {
    let limits = Limits { idle_for: None, ..Limits::default() };
    let world = run(limits, &[ask(0), CONNECTS, Step::GiveBack(0)]);
    let plan = |planned, secs| {
        let mut after = Aftermath::default();
        let mut state = world.pool.lock();
        state.sweep_at = planned;
        state.plan_sweep(world.model.now + Duration::from_secs(secs), &mut after);
        drop(state);
        after.sweep.take().is_some()
    };
    let now = Instant::now();
    assert!(plan(None, 0) && !plan(Some(now), 0) && plan(Some(now), 60));
    world.finish();
}
