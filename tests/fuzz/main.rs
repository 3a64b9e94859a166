//! Fuzzing: malformed input from a generator that depends only on the number of the case.
//!
//! `cargo test` runs a few hundred cases of each kind, the same ones each time. With `HANGUP_FUZZ_SECONDS` (`make fuzz`)
//! the tests run for that time; `HANGUP_FUZZ_FROM` is the number of the first case. A failure names its case, and
//! `HANGUP_FUZZ_CASE` runs that case alone.

#[path = "../support/mod.rs"]
mod support;

#[path = "../c/abi.rs"]
mod abi;

mod calls;
mod differential;
mod mutate;
mod origin;
mod responses;
mod texts;

use std::time::{Duration, Instant};

#[test]
fn malformed_responses_have_one_outcome_in_every_form_and_cross_no_exchange() {
    let mut responses = responses::Responses::new();
    fuzz("responses", 400, |number| responses.run(number));
    responses.finish().unwrap();
}

#[test]
fn other_clients_differ_only_as_listed() {
    let mut differential = differential::Differential::new();
    fuzz("differential", 200, |number| differential.run(number));
}

#[test]
fn random_calls_of_the_abi_from_several_threads_neither_panic_nor_leak() {
    calls::run(number("HANGUP_FUZZ_FROM").unwrap_or(1), number("HANGUP_FUZZ_SECONDS"));
}

#[test]
fn the_random_calls_include_every_function() {
    assert_eq!(calls::forgotten(), [""; 0]);
}

#[test]
fn texts_are_refused_or_sent_as_they_were_meant() {
    let texts = texts::Texts::new();
    fuzz("texts", 1000, |number| texts.run(number));
}

/// Runs cases, and fails with the first ten failures.
fn fuzz(what: &str, smoke: u64, mut run: impl FnMut(u64) -> Result<(), String>) {
    if let Some(case) = number("HANGUP_FUZZ_CASE") {
        return run(case).unwrap();
    }
    let from = number("HANGUP_FUZZ_FROM").unwrap_or(1);
    let time = number("HANGUP_FUZZ_SECONDS").map(Duration::from_secs);
    let (begun, mut cases, mut failures) = (Instant::now(), 0, Vec::new());
    while time.map_or(cases < smoke, |time| begun.elapsed() < time) && failures.len() < 10 {
        if let Err(why) = run(from + cases) {
            failures.push(format!("{what}, case {}: {why}", from + cases));
        }
        cases += 1;
    }
    println!("numbers: {what}: {cases} cases, {:?}", begun.elapsed());
    assert!(failures.is_empty(), "{}", failures.join("\n\n"));
}

/// The value of an environment variable.
fn number(name: &str) -> Option<u64> {
    Some(std::env::var(name).ok()?.parse().expect("a number"))
}
