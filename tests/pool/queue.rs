//! The queue for a connection serves requests in the order of their arrival. A request that leaves it has no effect on
//! the others (L1, L3, L4, C2, and T1 for the phase `pool`).

use std::thread;

use hangup::{
    CancelToken, CloseReason, ConnectionMode, Error, Kind, Limits, Phase, Request, Sent, Timeout,
};
use testserver::{Ended, Options, Script, Server, Step};

use crate::support::counted_reader::CountedReader;
use crate::support::form::{Form, in_both_forms};
use crate::support::held_responses::{enqueue, holding, occupy, release_response, start, targets};
use crate::support::inspect::{assert_at_rest, assert_gone, assert_sockets};
use crate::support::outcome::{REASON, assert_cancelled, assert_timed_out, cancelled, timed_out};
use crate::support::own_process::run_again_on_threads;
use crate::support::{
    MARGIN, PATIENCE, Random, fetch, get, ms, per_origin, post, request, wait_until,
};

in_both_forms! {
    l1_ten_at_once_on_one_connection_are_served_in_the_order_in_which_they_came,
    l3_a_waiter_that_is_cancelled_or_times_out_keeps_the_order_of_the_others,
    l3_after_a_thousand_random_ends_every_counter_is_back_to_zero,
    l4_a_full_queue_refuses_at_once_with_a_status_of_its_own,
    l4_with_a_queue_of_length_zero_idle_connections_still_make_room,
    c2_cancel_in_each_position_of_the_queue,
    t1_pool_against_a_limit_that_is_reached,
    the_total_limit_holds_over_origins_and_fresh_connections,
    at_the_total_limit_the_least_recently_used_idle_connection_makes_room,
    fifo_over_two_origins_at_the_total_limit,
    a_waiter_that_wants_a_fresh_connection_gets_one_and_holds_its_place,
    a_connection_closed_on_return_does_not_fail_the_next_waiter,
}

#[test]
fn submissions_on_a_pool_of_threads_queue_too() {
    run_again_on_threads(&["submitted::l1_", "submitted::l3_", "submitted::l4_", "submitted::c2_"]);
}

fn l1_ten_at_once_on_one_connection_are_served_in_the_order_in_which_they_came(form: Form) {
    let server = Server::start(holding(&["/0"]));
    let client = form.client_with(per_origin(1));
    thread::scope(|scope| {
        let mut running = vec![occupy(scope, &client, &server, "/0")];
        for number in 1..10 {
            let request = request("GET", &server.url(&format!("/{number}")));
            running.push(enqueue(scope, &client, request));
            assert_eq!(client.manager().stats().queued, number);
        }
        release_response(&server, "/0");
        running.into_iter().for_each(|one| drop(one.join().unwrap().unwrap()));
    });
    let expected: Vec<String> = (0..10).map(|number| format!("/{number}")).collect();
    assert_eq!(targets(&server), expected);
    let stats = client.manager().stats();
    assert_eq!((stats.opened, stats.reused, stats.waited), (1, 9, 9));
    assert_eq!((server.connections(), stats.queued, stats.idle), (1, 0, 1));
    assert_at_rest(client.manager());
}

fn l3_a_waiter_that_is_cancelled_or_times_out_keeps_the_order_of_the_others(form: Form) {
    const ROUNDS: u64 = 10;
    let (mut left, mut random) = (0, Random::new(3));
    for round in 0..ROUNDS {
        let server = Server::start(holding(&["/held"]));
        let client = form.client_with(per_origin(1));
        let mut expected = vec!["/held".to_owned()];
        thread::scope(|scope| {
            let held = occupy(scope, &client, &server, "/held");
            let mut staying = Vec::new();
            let mut leaving = Vec::new();
            for number in 0..50 {
                let target = format!("/{round}/{number}");
                let mut request = request("GET", &server.url(&target));
                let token = CancelToken::new();
                request.set_cancel(Some(token.clone()));
                let (clock, limit) = (
                    [Timeout::Pool, Timeout::Total][random.below(2) as usize],
                    ms(1 + random.below(30)),
                );
                match random.below(10) {
                    0..6 => leaving.push((enqueue(scope, &client, request), token)),
                    6..9 => {
                        request.set_timeout(clock, Some(limit)).unwrap();
                        leaving.push((enqueue(scope, &client, request), token));
                    }
                    _ => {
                        expected.push(target);
                        staying.push(enqueue(scope, &client, request));
                    }
                }
            }
            left += leaving.len();
            while !leaving.is_empty() {
                let pick = random.below(leaving.len() as u64) as usize;
                let (running, token) = leaving.swap_remove(pick);
                token.fire(Some(REASON));
                left_the_queue(&running.join().unwrap().unwrap_err());
            }
            assert_eq!(client.manager().stats().queued, staying.len() as u64);
            release_response(&server, "/held");
            held.join().unwrap().unwrap();
            staying.into_iter().for_each(|one| drop(one.join().unwrap().unwrap()));
        });
        assert_eq!(targets(&server), expected);
        let stats = client.manager().stats();
        assert_eq!((stats.queued, stats.opened, stats.closed, stats.idle), (0, 1, 0, 1));
        assert_at_rest(client.manager());
    }
    println!("{left} left the queue");
}

/// Checks the error of a request that waited for a connection until it was cancelled or timed out.
#[track_caller]
fn left_the_queue(error: &Error) {
    match error.kind() {
        Kind::Cancelled => assert_cancelled(error, Phase::Pool),
        Kind::TimedOut => {
            assert!([Timeout::Pool, Timeout::Total].contains(&error.timeout()), "{error:?}");
            assert_timed_out(error, error.timeout(), Phase::Pool);
        }
        _ => panic!("{error:?}"),
    }
    assert_eq!((error.sent(), error.retry_safe()), (Sent::Nothing, true));
    assert_eq!((error.connection_id(), error.reused()), (None, false));
}

fn l3_after_a_thousand_random_ends_every_counter_is_back_to_zero(form: Form) {
    let server = Server::start(Script::answering("ok"));
    let client = form.client_with(per_origin(2));
    let mut ends = [0, 0, 0];
    thread::scope(|scope| {
        let workers: Vec<_> = (0..10)
            .map(|worker| {
                let (client, server) = (&client, &server);
                scope.spawn(move || {
                    let (mut random, mut ends) = (Random::new(worker), [0, 0, 0]);
                    for _ in 0..150 {
                        let token = CancelToken::new();
                        let mut request = request("GET", &server.url("/"));
                        request.set_cancel(Some(token.clone()));
                        request.set_timeout(Timeout::Pool, Some(ms(1 + random.below(4)))).unwrap();
                        if random.below(3) > 0 {
                            token.after(std::time::Duration::from_micros(random.below(3000)));
                        }
                        if random.below(5) == 0 {
                            request.set_connection_mode(ConnectionMode::Fresh);
                        }
                        match client.send(&mut request).and_then(|mut r| r.read_all(10)) {
                            Ok(body) => {
                                assert_eq!(body, b"ok");
                                ends[0] += 1;
                            }
                            Err(error) => {
                                assert_eq!(error.kind(), Kind::TimedOut, "{error:?}");
                                ends[1 + usize::from(error.phase() == Phase::Pool)] += 1;
                            }
                        }
                    }
                    ends
                })
            })
            .collect();
        for worker in workers {
            let more = worker.join().unwrap();
            ends.iter_mut().zip(more).for_each(|(sum, more)| *sum += more);
        }
    });
    println!("{} well, {} ended in an exchange, {} in the queue", ends[0], ends[1], ends[2]);
    assert!(ends[0] > 0 && ends[2] > 0, "{ends:?}");
    wait_until("dials that go on", || client.manager().stats().dialling == 0);
    assert_at_rest(client.manager());
    let stats = client.manager().stats();
    assert!(stats.queued == 0 && stats.idle <= 2, "{stats:?}");
    assert!(server.most_open() <= 2, "{}", server.most_open());
    // Both slots are free.
    thread::scope(|scope| {
        let all = [0, 1].map(|_| start(scope, &client, request("GET", &server.url("/"))));
        all.into_iter().for_each(|one| assert_eq!(one.join().unwrap().unwrap(), b"ok"));
    });
}

fn l4_a_full_queue_refuses_at_once_with_a_status_of_its_own(form: Form) {
    let server = Server::start(holding(&["/held"]));
    let client = form.client_with(Limits { queue: 2, ..per_origin(1) });
    thread::scope(|scope| {
        let held = occupy(scope, &client, &server, "/held");
        let waiting = [0, 1].map(|_| enqueue(scope, &client, request("GET", &server.url("/"))));
        let (source, account) = CountedReader::endless();
        let begun = std::time::Instant::now();
        let error = client.send(&mut post(&server.url("/"), source.chunked())).unwrap_err();
        assert!(begun.elapsed() < MARGIN);
        assert_eq!((error.kind(), error.phase()), (Kind::QueueFull, Phase::Pool), "{error:?}");
        assert_eq!((error.sent(), error.retry_safe()), (Sent::Nothing, true));
        assert_eq!(error.timeout(), Timeout::None);
        account.assert_dropped_once();
        let stats = client.manager().stats();
        assert_eq!((stats.queued, stats.refused), (2, 1));
        // A request that leaves the queue makes room; one that need not wait is never refused.
        release_response(&server, "/held");
        held.join().unwrap().unwrap();
        waiting.into_iter().for_each(|one| drop(one.join().unwrap().unwrap()));
        assert_eq!(fetch(&client, &server.url("/")).unwrap(), b"ok");
    });
    assert_at_rest(client.manager());
}

fn l4_with_a_queue_of_length_zero_idle_connections_still_make_room(form: Form) {
    let (one, other) = (Server::start(holding(&["/held"])), Server::start(Script::answering("ok")));
    let client = form.client_with(Limits { queue: 0, total: 1, ..Limits::default() });
    fetch(&client, &other.url("/")).unwrap();
    thread::scope(|scope| {
        // The other origin's idle connection is closed to make room.
        let held = occupy(scope, &client, &one, "/held");
        let error = get(&client, &other.url("/")).unwrap_err();
        assert_eq!(error.kind(), Kind::QueueFull, "{error:?}");
        release_response(&one, "/held");
        held.join().unwrap().unwrap();
    });
    assert_eq!(fetch(&client, &other.url("/")).unwrap(), b"ok");
    assert!(other.most_open() <= 1 && one.most_open() <= 1);
}

fn c2_cancel_in_each_position_of_the_queue(form: Form) {
    for position in 0..5 {
        let server = Server::start(holding(&["/held"]));
        let client = form.client_with(per_origin(1));
        let token = CancelToken::new();
        thread::scope(|scope| {
            let held = occupy(scope, &client, &server, "/held");
            let put = |number: usize| {
                enqueue(scope, &client, request("GET", &server.url(&format!("/{number}"))))
            };
            let before: Vec<_> = (0..position).map(put).collect();
            let mut after = Vec::new();
            let (source, account) = CountedReader::endless();
            let mut request = post(&server.url("/cancelled"), source.chunked());
            request.set_cancel(Some(token.clone()));
            let error = cancelled(
                &format!("in the queue at {position}"),
                &token,
                Phase::Pool,
                || client.send(&mut request),
                |_| {
                    let queued = || client.manager().stats().queued;
                    wait_until("its place", || queued() == position as u64 + 1);
                    after.extend((position + 1..5).map(put));
                },
            );
            assert_eq!((error.sent(), error.retry_safe()), (Sent::Nothing, true));
            account.assert_dropped_once();
            assert_eq!(account.reads(), 0);
            let stats = client.manager().stats();
            assert_eq!((stats.queued, stats.in_use, stats.dialling), (4, 1, 0));
            release_response(&server, "/held");
            held.join().unwrap().unwrap();
            before.into_iter().chain(after).for_each(|one| drop(one.join().unwrap().unwrap()));
        });
        let rest = (0..5).filter(|number| *number != position).map(|number| format!("/{number}"));
        let expected: Vec<String> = ["/held".to_owned()].into_iter().chain(rest).collect();
        assert_eq!(targets(&server), expected);
        assert_eq!(server.connections(), 1);
        assert_at_rest(client.manager());
    }
}

/// Sets the timeout that ends the wait.
type Set = fn(&mut Request);

fn t1_pool_against_a_limit_that_is_reached(form: Form) {
    let server = Server::start(holding(&["/held"]));
    let client = form.client_with(per_origin(1));
    let limit = ms(150);
    let sets: [(Timeout, Set); 3] = [
        (Timeout::Pool, |request| request.set_timeout(Timeout::Pool, Some(ms(150))).unwrap()),
        (Timeout::Total, |request| request.set_timeout(Timeout::Total, Some(ms(150))).unwrap()),
        (Timeout::Token, |request| {
            let token = CancelToken::new();
            token.after(ms(150));
            request.set_cancel(Some(token));
        }),
    ];
    thread::scope(|scope| {
        let held = occupy(scope, &client, &server, "/held");
        for (clock, set) in sets {
            let mut request = request("GET", &server.url("/"));
            set(&mut request);
            let what = format!("the queue by {clock}");
            let error = timed_out(&what, clock, Phase::Pool, limit, || client.send(&mut request));
            assert_eq!((error.sent(), error.retry_safe()), (Sent::Nothing, true));
            let stats = client.manager().stats();
            assert_eq!((stats.queued, stats.in_use, stats.dialling), (0, 1, 0));
        }
        release_response(&server, "/held");
        held.join().unwrap().unwrap();
    });
    assert_eq!((server.connections(), client.manager().stats().idle), (1, 1));
}

fn the_total_limit_holds_over_origins_and_fresh_connections(form: Form) {
    let servers = [0, 1, 2, 3].map(|_| Server::start(holding(&["/held"])));
    let client = form.client_with(Limits { total: 3, ..Limits::default() });
    thread::scope(|scope| {
        let busy: Vec<_> =
            servers[..3].iter().map(|server| occupy(scope, &client, server, "/held")).collect();
        let mut fresh = request("GET", &servers[0].url("/"));
        fresh.set_connection_mode(ConnectionMode::Fresh);
        let fourth = enqueue(scope, &client, request("GET", &servers[3].url("/")));
        let fresh = enqueue(scope, &client, fresh);
        assert_eq!(client.manager().stats().queued, 2);
        assert_eq!(servers[3].connections(), 0);
        // The returned connection is another origin's: it is closed, and the first waiter gets its slot.
        release_response(&servers[1], "/held");
        assert_eq!(fourth.join().unwrap().unwrap(), b"ok");
        assert_eq!(fresh.join().unwrap().unwrap(), b"ok");
        assert_eq!(servers[0].connections(), 2);
        [0, 2].iter().for_each(|number| release_response(&servers[*number], "/held"));
        busy.into_iter().for_each(|one| drop(one.join().unwrap().unwrap()));
    });
    let stats = client.manager().stats();
    assert!(stats.idle <= 3 && stats.queued == 0, "{stats:?}");
    assert_at_rest(client.manager());
}

fn at_the_total_limit_the_least_recently_used_idle_connection_makes_room(form: Form) {
    let servers = [0, 1, 2].map(|_| Server::start(Script::answering("ok")));
    let client = form.client_with(Limits { total: 2, ..Limits::default() });
    let id = |server: &Server| {
        let mut response = get(&client, &server.url("/")).unwrap();
        response.read_all(10).unwrap();
        response.connection_id()
    };
    let (first, second) = (id(&servers[0]), id(&servers[1]));
    // The first is reused, so the second is closed.
    assert_eq!(id(&servers[0]), first);
    id(&servers[2]);
    assert_eq!(client.manager().close_reason(second), Some(CloseReason::PoolFull));
    assert_eq!(servers[1].wait_ended(0, PATIENCE).unwrap().0, Ended::Fin);
    assert_eq!(client.manager().stats().idle, 2);
    assert_eq!(id(&servers[0]), first);
    assert_sockets(servers[1].port(), 0);
}

fn fifo_over_two_origins_at_the_total_limit(form: Form) {
    // One server with two names is two origins, and it records the order of all requests.
    let server = Server::start_with(Options::default(), holding(&["/held"])).unwrap();
    let by_name = |path: String| format!("http://localhost:{}{path}", server.port());
    let client = form.client_with(Limits { total: 1, ..Limits::default() });
    client.manager().set_address("localhost", &[server.addr().ip()]).unwrap();
    thread::scope(|scope| {
        let held = occupy(scope, &client, &server, "/held");
        let all: Vec<_> = (0..8)
            .map(|number| {
                let path = format!("/{number}");
                let url = if number % 3 == 0 { server.url(&path) } else { by_name(path) };
                enqueue(scope, &client, request("GET", &url))
            })
            .collect();
        release_response(&server, "/held");
        held.join().unwrap().unwrap();
        all.into_iter().for_each(|one| drop(one.join().unwrap().unwrap()));
    });
    assert_eq!(targets(&server)[1..], (0..8).map(|n| format!("/{n}")).collect::<Vec<_>>());
    // Two consecutive requests to the same origin share a connection.
    assert_eq!(client.manager().stats().opened, 6);
    assert_eq!(server.most_open(), 1);
}

fn a_waiter_that_wants_a_fresh_connection_gets_one_and_holds_its_place(form: Form) {
    let server = Server::start(holding(&["/held", "/fresh"]));
    let client = form.client_with(per_origin(1));
    thread::scope(|scope| {
        let held = occupy(scope, &client, &server, "/held");
        let before = enqueue(scope, &client, request("GET", &server.url("/before")));
        let mut fresh = request("GET", &server.url("/fresh"));
        fresh.set_connection_mode(ConnectionMode::Fresh);
        let fresh = enqueue(scope, &client, fresh);
        let after = enqueue(scope, &client, request("GET", &server.url("/after")));
        release_response(&server, "/held");
        release_response(&server, "/fresh");
        for one in [held, before, fresh, after] {
            one.join().unwrap().unwrap();
        }
    });
    assert_eq!(targets(&server), ["/held", "/before", "/fresh", "/after"]);
    assert_eq!((server.connections(), server.heads(0).len(), server.heads(1).len()), (2, 2, 2));
    assert_eq!(server.most_open(), 1);
}

fn a_connection_closed_on_return_does_not_fail_the_next_waiter(form: Form) {
    let answer = vec![Step::answer(200, "ok"), Step::Close];
    let script = vec![
        Step::head(),
        Step::mark("/held"),
        Step::wait_for("go /held"),
        Step::send("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok"),
        Step::Close,
    ];
    let server = Server::start(Script::new(vec![script, answer]));
    let client = form.client_with(per_origin(1));
    thread::scope(|scope| {
        let held = occupy(scope, &client, &server, "/held");
        let all = [0, 1, 2].map(|_| {
            let mut short = request("GET", &server.url("/"));
            short.set_connection_mode(ConnectionMode::CloseAfter);
            enqueue(scope, &client, short)
        });
        release_response(&server, "/held");
        held.join().unwrap().unwrap();
        all.into_iter().for_each(|one| assert_eq!(one.join().unwrap().unwrap(), b"ok"));
    });
    assert_eq!((server.connections(), server.most_open()), (4, 1));
    assert_gone(client.manager(), server.port());
}
