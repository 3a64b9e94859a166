//! Torture: each scenario is run with the Nth call of each system function failing, for every N, and with an end from
//! outside (a cancel, a close, a shutdown) before the Nth call of any of them. In each run there is one outcome within a
//! bound, which is correct, the next request succeeds, and no slot, descriptor or thread leaks.
//!
//! `cargo test` makes a selection of these runs, and with `HANGUP_TORTURE=all` (`make torture`) all of them.
//! `HANGUP_TORTURE=function,nth,error` or `HANGUP_TORTURE=Cancel,nth` makes a single run.

#[path = "../support/mod.rs"]
mod support;

mod helper;
mod places;
mod run;
mod scenarios;
mod shim;

use std::time::Duration;

use places::{Places, Servers};
use run::{End, Runner, Twist};
use scenarios::SCENARIOS;
use shim::Shim;
use support::form::Form;
use support::own_process::in_own_process_with;

/// Two tests for each scenario: `tls::blocking` and `tls::submitted`.
macro_rules! tortures {
    ($($scenario:ident),* $(,)?) => {
        $(mod $scenario {
            use crate::support::form::Form;
            #[test] fn blocking() { crate::torture(stringify!($scenario), Form::Blocking); }
            #[test] fn submitted() { crate::torture(stringify!($scenario), Form::Submitted); }
        })*

        #[test]
        fn every_scenario_is_run() {
            let names: Vec<&str> = SCENARIOS.iter().map(|(name, _)| *name).collect();
            assert_eq!(names, [$(stringify!($scenario)),*]);
        }
    };
}

tortures! {
    new_connection,
    reused_connection,
    retried,
    tls,
    tls_stream,
    unix_socket,
    upload,
    upload_file,
    expect_continue,
    proxy,
    connect,
    socks,
    redirect,
    whole,
    stream,
    upgrade,
    upgrade_in_tls,
    tunnel,
    polite_close,
    cancel,
    drain,
}

/// Runs a scenario in a child, whose servers are here.
fn torture(name: &'static str, form: Form) {
    let test = format!("{name}::{}", format!("{form:?}").to_lowercase());
    let Some(places) = Places::inherited() else {
        let servers = Servers::start(LIFE);
        let shim = Shim::build();
        let preload = shim.to_str().expect("a path in UTF-8");
        let variable = servers.variable();
        let env = [("LD_PRELOAD", preload), (Places::VARIABLE, &variable)];
        in_own_process_with(&test, &env, || {});
        // A failure to start a thread needs a process that has not started one yet.
        for nth in 1..=COLD {
            let nth = nth.to_string();
            in_own_process_with(
                &test,
                &[&env[..], &[(COLD_VARIABLE, nth.as_str())]].concat(),
                || {},
            );
        }
        return;
    };
    in_own_process_with(&test, &[], || in_the_child(name, form, places));
}

fn in_the_child(name: &'static str, form: Form, places: Places) {
    // SAFETY: no pointers.
    unsafe { libc::alarm(LIFE.as_secs() as u32) };
    let (_, scenario) = SCENARIOS.iter().find(|(known, _)| *known == name).expect("a scenario");
    let mut runner = Runner::new(name, *scenario, form, places);
    if let Ok(nth) = std::env::var(COLD_VARIABLE) {
        let nth = nth.parse().expect("a number");
        let function = named(runner.shim, "pthread_create").expect("it is known");
        runner.cold(Twist::Failure { function, nth, error: libc::EAGAIN, for_good: true });
    } else {
        let mode = std::env::var("HANGUP_TORTURE").unwrap_or_default();
        match mode.as_str() {
            "" => all(&mut runner, 7),
            "all" => all(&mut runner, 1),
            one => {
                runner.measure();
                let twist = parse(runner.shim, one).expect("function,nth,error or Cancel,nth");
                runner.run(twist);
            }
        }
    }
    println!("numbers: {runner}");
    assert!(runner.violations.is_empty(), "{runner}:\n{}", runner.violations.join("\n"));
}

/// One of every `share` runs: the same ones each time, and different ones for each scenario.
fn all(runner: &mut Runner, share: usize) {
    let calls = runner.measure();
    let mut number = runner.name.len() + usize::from(runner.form == Form::Blocking);
    let mut is_chosen = || {
        number += 1;
        number.is_multiple_of(share)
    };
    for function in runner.shim.functions() {
        // A function that this run does not call may be called when another one fails.
        let some = calls[function as usize];
        for error in runner.shim.errors(function) {
            for nth in 1..=some + some / 4 {
                if !is_chosen() {
                    continue;
                }
                if !runner.run(Twist::Failure { function, nth, error, for_good: false }) {
                    break;
                }
                if LASTING.contains(&error) {
                    runner.run(Twist::Failure { function, nth, error, for_good: true });
                }
            }
        }
    }
    let some: i64 = calls.iter().sum();
    for by in [End::Cancel, End::CloseAll, End::ShutDown] {
        for nth in 1..=some + some / 4 {
            if is_chosen() && !runner.run(Twist::End { nth, by }) {
                break;
            }
        }
    }
}

/// Parses the text of a twist.
fn parse(shim: &Shim, text: &str) -> Option<Twist> {
    let fields: Vec<&str> = text.split(',').collect();
    let number = |place: usize| fields.get(place)?.parse::<i64>().ok();
    let by = [End::Cancel, End::CloseAll, End::ShutDown];
    if let Some(by) = by.into_iter().find(|by| format!("{by:?}") == fields[0]) {
        return Some(Twist::End { nth: number(1)?, by });
    }
    let (function, error) = (named(shim, fields[0])?, number(2)? as i32);
    Some(Twist::Failure { function, nth: number(1)?, error, for_good: fields.len() > 3 })
}

fn named(shim: &Shim, name: &str) -> Option<i32> {
    shim.functions().find(|function| shim.name(*function) == name)
}

/// The errors of a system that lacks a resource, which every call returns.
const LASTING: [i32; 4] = [libc::EMFILE, libc::ENOMEM, libc::ENOBUFS, libc::ENOSPC];

/// No process of these scenarios starts more threads.
const COLD: i32 = 3;
const COLD_VARIABLE: &str = "HANGUP_TORTURE_COLD";
const LIFE: Duration = Duration::from_secs(580);
