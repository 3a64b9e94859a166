//! When several causes end one exchange at the same moment, exactly one of them becomes the outcome, and the next user
//! of the connection is not affected (C11-C13, C15).

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Barrier, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use hangup::{
    CancelToken, CloseMode, CloseReason, ConnectionMode, Error, Kind, Manager, Phase, Sent, Timeout,
};
use testserver::{Script, Server, Step};

use super::{get_with, with_token};
use crate::support::counted_reader::CountedReader;
use crate::support::form::{Client, Form, in_both_forms};
use crate::support::inspect::{assert_at_rest, assert_gone, assert_sockets, sleeps};
use crate::support::outcome::{
    REASON, assert_cancelled, assert_consistent, ended_from_outside, report,
};
use crate::support::{Aim, MARGIN, PATIENCE, Random, get, ms, post, request, wait_until};

in_both_forms! {
    c12_a_response_and_a_cancel_together_are_a_whole_response_or_cancelled,
    c13_eight_threads_fire_at_once_and_it_ends_once,
    a_hundred_waiters_of_one_token_are_gone_in_an_instant,
    cancel_races_give_back_and_reuse_and_the_next_user_never_feels_it,
    close_by_id_races_give_back_and_ends_this_exchange_or_none,
    c15_timeout_cancel_close_and_peer_together_end_as_exactly_one_of_them,
    ending_exchanges_never_touches_another_managers_connections,
}

/// A server with a connection for each round, on each of which it does `before`, waits for "go <round>", and does `after`.
fn in_rounds(rounds: usize, before: &[Step], after: &[Step]) -> Server {
    let round = |n| [before, &[Step::wait_for(&format!("go {n}"))], after].concat();
    Server::start(Script::new((0..rounds).map(round).collect()))
}

fn c12_a_response_and_a_cancel_together_are_a_whole_response_or_cancelled(form: Form) {
    const ROUNDS: usize = 500;
    let body = "whole ".repeat(100);
    let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    let server = in_rounds(ROUNDS, &[Step::head()], &[Step::send(&answer)]);
    let client = form.client();
    client.set_connection_mode(ConnectionMode::CloseAfter);
    let (mut whole, mut aim) = (0, Aim::new(12));
    for round in 0..ROUNDS {
        let token = CancelToken::new();
        let outcome = thread::scope(|scope| {
            let work = scope.spawn(|| get_with(&client, &server.url("/"), &token));
            assert!(server.wait_heads(round + 1, PATIENCE));
            server.release(&format!("go {round}"));
            aim.wait();
            token.fire(Some(REASON));
            work.join().unwrap()
        });
        aim.was(outcome.is_err());
        match outcome {
            Ok(got) => {
                assert_eq!(got, body.as_bytes());
                whole += 1;
            }
            Err(error) => {
                assert_eq!((error.kind(), error.reason()), (Kind::Cancelled, Some(REASON)));
                assert_consistent(&error);
            }
        }
        assert_at_rest(client.manager());
    }
    assert_gone(client.manager(), server.port());
    println!("{whole} of {ROUNDS} responses were whole, the others cancelled");
    assert!(whole > 0 && whole < ROUNDS, "{whole}: the two never met");
}

fn c13_eight_threads_fire_at_once_and_it_ends_once(form: Form) {
    let steps = vec![Step::head(), Step::body(), Step::mark("head"), Step::Stall];
    let server = Server::start(Script::every(steps));
    let client = form.client();
    let mut latencies = Vec::new();
    for round in 1..=200 {
        let token = CancelToken::new();
        let (source, account) = CountedReader::pieces(1, 10, |_| {});
        let mut request = with_token(post(&server.url("/"), source.chunked()), &token);
        let (outcome, took) = ended_from_outside(
            || client.send(&mut request).map(drop),
            |_| assert!(server.wait_marks("head", round, PATIENCE)),
            || {
                let together = Barrier::new(8);
                thread::scope(|scope| {
                    for _ in 0..8 {
                        scope.spawn(|| {
                            together.wait();
                            token.fire(Some(REASON));
                        });
                    }
                });
            },
        );
        assert_cancelled(&outcome.unwrap_err(), Phase::Head);
        latencies.push(took);
        account.assert_dropped_once();
        assert_at_rest(client.manager());
    }
    assert_gone(client.manager(), server.port());
    let stats = client.manager().stats();
    assert_eq!((stats.opened, stats.closed), (200, 200));
    latencies.sort_unstable();
    report("by eight threads at once, median of 200", "cancel", latencies[100]);
    assert!(latencies[100] < MARGIN);
}

fn a_hundred_waiters_of_one_token_are_gone_in_an_instant(form: Form) {
    let steps = vec![Step::head(), Step::mark("head"), Step::Stall];
    let server = Server::start(Script::every(steps));
    let client = form.client();
    let token = CancelToken::new();
    let (url, client, token) = (server.url("/"), &client, &token);
    let (errors, took) = ended_from_outside(
        || {
            thread::scope(|scope| {
                let run = || get_with(client, &url, token).unwrap_err();
                let all: Vec<_> = (0..100).map(|_| scope.spawn(run)).collect();
                all.into_iter().map(|one| one.join().unwrap()).collect::<Vec<Error>>()
            })
        },
        |tid| {
            assert!(server.wait_marks("head", 100, PATIENCE));
            wait_until("all asleep", || sleeps(tid));
        },
        || token.fire(Some(REASON)),
    );
    report("a hundred at once", "cancel", took);
    errors.iter().for_each(|error| assert_cancelled(error, Phase::Head));
    assert!(took < MARGIN * 4);
    assert_gone(client.manager(), server.port());
}

fn cancel_races_give_back_and_reuse_and_the_next_user_never_feels_it(form: Form) {
    const ROUNDS: usize = 2000;
    let server = Server::start(Script::echoing());
    let client = form.client();
    let (mut cancelled, mut reused) = (0, 0);
    let (fire, fired) = (Barrier::new(2), Barrier::new(2));
    // The token of this round, and whether it was fired too early in the last one.
    let current = Mutex::new((CancelToken::new(), false));
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut aim = Aim::new(7);
            for _ in 0..ROUNDS {
                fire.wait();
                let (token, too_early) = current.lock().unwrap().clone();
                aim.was(too_early);
                // From before the exchange to after its connection was returned.
                aim.wait();
                token.fire(Some(REASON));
                fired.wait();
            }
        });
        let mut too_early = false;
        for round in 0..ROUNDS {
            let token = CancelToken::new();
            *current.lock().unwrap() = (token.clone(), too_early);
            fire.wait();
            let mine = get_with(&client, &server.url(&format!("/mine/{round}")), &token);
            let next = get(&client, &server.url(&format!("/next/{round}")));
            let next = next.and_then(|mut next| {
                reused += usize::from(next.reused());
                next.read_all(usize::MAX)
            });
            fired.wait();
            too_early = mine.is_err();
            match mine {
                Ok(body) => assert!(body.starts_with(format!("GET /mine/{round} ").as_bytes())),
                Err(error) => {
                    assert_eq!(error.kind(), Kind::Cancelled, "{error:?}");
                    assert_consistent(&error);
                    cancelled += 1;
                }
            }
            let next =
                next.unwrap_or_else(|error| panic!("round {round}: the next user: {error:?}"));
            assert!(next.starts_with(format!("GET /next/{round} ").as_bytes()));
        }
    });
    println!("{cancelled} of {ROUNDS} were cancelled, {reused} next users had a used connection");
    assert!(cancelled > 0 && cancelled < ROUNDS && reused > 0);
    assert_at_rest(client.manager());
    assert_sockets(server.port(), client.manager().stats().idle as usize);
}

fn close_by_id_races_give_back_and_ends_this_exchange_or_none(form: Form) {
    const ROUNDS: usize = 1000;
    let server = Server::start(Script::echoing());
    let client = form.client();
    let manager = client.manager();
    let (mut aim, mut closed, mut gone) = (Aim::new(3), 0, 0);
    for round in 0..ROUNDS {
        let how = if round % 4 == 0 { CloseMode::Graceful } else { CloseMode::Now };
        // The connection that this round will use: an idle one, so that its id is known.
        while manager.stats().idle == 0 {
            get(&client, &server.url("/")).unwrap().read_all(10_000).unwrap();
        }
        let id = manager.connections()[0].id;
        let start = Barrier::new(2);
        let (outcome, answer) = thread::scope(|scope| {
            let work = scope.spawn(|| {
                start.wait();
                let mut response = get(&client, &server.url(&format!("/{round}")))?;
                let body = response.read_all(10_000)?;
                Ok::<_, Error>((response.connection_id(), body))
            });
            start.wait();
            aim.wait();
            let answer = manager.close_connection(id, how);
            (work.join().unwrap(), answer)
        });
        assert!(
            answer.is_ok(),
            "it was idle or in use: {answer:?}, {outcome:?}, {:?}",
            manager.close_reason(id)
        );
        aim.was(outcome.is_err());
        assert_eq!(manager.close_reason(id), Some(CloseReason::ClosedById), "{outcome:?}");
        match outcome {
            // Without an error: on that connection or, if that was closed before, on another one.
            Ok((_, body)) => {
                assert!(body.starts_with(format!("GET /{round} ").as_bytes()));
                gone += 1;
            }
            Err(error) => {
                assert_eq!(
                    (error.kind(), error.connection_id()),
                    (Kind::Closed, Some(id)),
                    "{error:?}"
                );
                assert_eq!(how, CloseMode::Now, "graceful ends nothing");
                assert_consistent(&error);
                closed += 1;
            }
        }
        assert_at_rest(manager);
        assert!(manager.connections().iter().all(|row| row.id != id));
    }
    println!("{closed} of {ROUNDS} were closed in the exchange, {gone} before or after it");
    assert!(closed > 0 && gone > 0);
}

/// The outcomes that are allowed when all causes coincide, each with its close reason.
fn judge(error: &Error, manager: &Manager) {
    assert_consistent(error);
    let why = error.connection_id().and_then(|id| manager.close_reason(id));
    let (reason, clock, whys): (_, &[Timeout], &[CloseReason]) = match error.kind() {
        Kind::Cancelled => (Some(REASON), &[Timeout::None], &[CloseReason::Cancelled]),
        Kind::TimedOut => (None, &[Timeout::Total, Timeout::Token], &[CloseReason::TimedOut]),
        Kind::Closed => (None, &[Timeout::None], &[CloseReason::ClosedById]),
        Kind::PeerClosed => (None, &[Timeout::None], &[CloseReason::PeerClosed]),
        Kind::PeerReset => (None, &[Timeout::None], &[CloseReason::PeerReset]),
        _ => panic!("none of the four: {error:?}"),
    };
    assert_eq!(error.reason(), reason, "{error:?}");
    assert!(clock.contains(&error.timeout()), "{error:?}");
    if error.connection_id().is_none() {
        // On a busy machine the timeout can expire before the dial: then there is no connection to close.
        assert_eq!((error.sent(), error.phase()), (Sent::Nothing, Phase::None), "{error:?}");
        return;
    }
    assert!(why.is_some_and(|why| whys.contains(&why)), "{why:?} for {error:?}");
}

fn c15_timeout_cancel_close_and_peer_together_end_as_exactly_one_of_them(form: Form) {
    let half = Step::send("HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\nten bytes.");
    let in_the_head = [Step::head()];
    let in_the_body = [Step::head(), half];
    let mut ends = BTreeMap::new();
    for before in [&in_the_head[..], &in_the_body[..]] {
        // More than there are rounds: every connection is used once.
        let server = in_rounds(300, before, &[Step::Close]);
        let client = form.client();
        for round in 0..250 {
            let error = all_at_once(&client, &server, round);
            judge(&error, client.manager());
            assert_at_rest(client.manager());
            *ends.entry(error.kind().to_string()).or_insert(0) += 1;
        }
        assert_gone(client.manager(), server.port());
    }
    println!("{ends:?}");
    assert!(ends.len() > 1, "{ends:?}: they never met");
}

/// One exchange that its timeout, its token, a close by its id and its peer all end within the same 400 us.
fn all_at_once(client: &Client, server: &Server, round: u64) -> Error {
    let limit = ms(10);
    let index = server.connections();
    let token = CancelToken::new();
    let mut request = with_token(request("GET", &server.url("/")), &token);
    match round % 2 {
        0 => request.set_timeout(Timeout::Total, Some(limit)).unwrap(),
        _ => token.after(limit),
    }
    let begun = Instant::now();
    let wait_for_the_moment = |seed| {
        let early = Duration::from_micros(Random::new(round * 3 + seed).below(400));
        while begun.elapsed() < limit - early {
            thread::yield_now();
        }
    };
    let error = thread::scope(|scope| {
        let work = scope.spawn(|| client.send(&mut request)?.read_all(1000));
        let arrived = || !server.heads(index).is_empty() || work.is_finished();
        wait_until("the request", arrived);
        let id = client.manager().connections().first().map_or(0, |row| row.id);
        scope.spawn(|| {
            wait_for_the_moment(0);
            server.release(&format!("go {index}"));
        });
        scope.spawn(move || {
            wait_for_the_moment(1);
            // The connection may be closed by now, which is an allowed outcome.
            let _ = client.manager().close_connection(id, CloseMode::Now);
        });
        wait_for_the_moment(2);
        token.fire(Some(REASON));
        work.join().unwrap().expect_err("half a response at most")
    });
    assert!(error.kind() != Kind::TimedOut || begun.elapsed() >= limit);
    if error.connection_id().is_some() && error.bytes_sent() > 0 {
        assert!(server.wait_connections(index + 1, PATIENCE));
    }
    error
}

fn ending_exchanges_never_touches_another_managers_connections(form: Form) {
    // Descriptor numbers are reused at once: a socket that is ended too late is another exchange's.
    let server = Server::start(Script::echoing());
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        for seed in 0..2 {
            let (server, done) = (&server, &done);
            scope.spawn(move || {
                let (client, mut aim) = (form.client(), Aim::new(seed));
                while !done.load(Ordering::SeqCst) {
                    let token = CancelToken::new();
                    let outcome = thread::scope(|scope| {
                        let work = scope.spawn(|| get_with(&client, &server.url("/"), &token));
                        aim.wait();
                        token.fire(None);
                        work.join().unwrap()
                    });
                    aim.was(outcome.is_err());
                }
            });
        }
        let victim = form.client();
        for round in 0..1500 {
            let mut request = request("GET", &server.url(&format!("/victim/{round}")));
            if round % 3 == 0 {
                request.set_connection_mode(ConnectionMode::CloseAfter);
            }
            let outcome = victim.send(&mut request).and_then(|mut r| r.read_all(10_000));
            if outcome.is_err() || victim.manager().stats().stale > 0 {
                done.store(true, Ordering::SeqCst);
                panic!("round {round}: {outcome:?}, {:?}", victim.manager().stats());
            }
        }
        done.store(true, Ordering::SeqCst);
    });
}
