//! Events in their order, and counters that are consistent at any time.

#[path = "../support/mod.rs"]
mod support;

mod secrets;

use std::os::fd::RawFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use hangup::{
    CancelToken, CloseMode, CloseReason, ConnectionMode, Event, EventKind, Events, Kind, Limits,
    Phase, RetryReason, Timeout,
};
use testserver::{Certificate, Script, Server, Step};

use crate::support::form::{Client, Form, in_both_forms};
use crate::support::held_responses::{enqueue, holding, occupy, release_response};
use crate::support::inspect::{assert_at_rest, sockets};
use crate::support::{PATIENCE, Random, fetch, get, ms, per_origin, request, wait_until};

in_both_forms! {
    events_come_in_order_with_ids_and_close_reasons,
    a_phase_event_carries_the_duration_of_the_phase,
    waiting_in_the_queue_and_retries_are_events,
    a_slow_subscription_loses_the_oldest_events_and_counts_them,
    two_subscriptions_get_the_same_events_and_without_one_none_are_kept,
    a_subscription_waits_for_events_and_its_descriptor_works_with_poll,
    each_connection_is_opened_once_and_closed_once_in_the_events,
    the_counters_agree_at_any_time_while_eight_threads_run,
}

/// All events that can be read now.
fn all(events: &mut Events) -> Vec<Event> {
    std::iter::from_fn(|| events.next(Some(Duration::ZERO)).unwrap()).collect()
}

/// The events without those of phases, which have a test of their own.
fn without_phases(events: &mut Events) -> Vec<(EventKind, u64)> {
    let rows = all(events).into_iter().map(|row| (row.kind, row.connection));
    rows.filter(|(what, _)| !matches!(what, EventKind::Phase(..))).collect()
}

fn events_come_in_order_with_ids_and_close_reasons(form: Form) {
    let server = Server::start(Script::answering("ok"));
    let client = form.client();
    // Before there is a subscription.
    fetch(&client, &server.url("/")).unwrap();
    let first = client.manager().connections()[0].id;
    let mut events = client.manager().events(1000).unwrap();
    fetch(&client, &server.url("/")).unwrap();
    let mut short = request("GET", &server.url("/"));
    short.set_connection_mode(ConnectionMode::CloseAfter);
    let mut short = client.send(&mut short).unwrap();
    short.read_all(10).unwrap();
    assert_eq!(short.connection_id(), first, "a short request takes an idle connection too");
    let second = get(&client, &server.url("/")).unwrap();
    let id = second.connection_id();
    drop(second);
    fetch(&client, &server.url("/")).unwrap();
    let third = client.manager().connections()[0].id;
    client.manager().close_connection(third, CloseMode::Now).unwrap();
    let events_seen = all(&mut events);
    let rows: Vec<_> = events_seen
        .iter()
        .filter(|row| !matches!(row.kind, EventKind::Phase(..)))
        .map(|row| (row.kind, row.connection))
        .collect();
    let expected = [
        (EventKind::Leased, first),
        (EventKind::Returned, first),
        (EventKind::Leased, first),
        (EventKind::Closed(CloseReason::AskedByRequest), first),
        (EventKind::Opened, id),
        (EventKind::Leased, id),
        (EventKind::Closed(CloseReason::BodyLeftUnread), id),
        (EventKind::Opened, third),
        (EventKind::Leased, third),
        (EventKind::Returned, third),
        (EventKind::Closed(CloseReason::ClosedById), third),
    ];
    assert_eq!(rows, expected);
    let origin = format!("http://127.0.0.1:{}", server.port());
    assert!(events_seen.iter().all(|row| row.origin == origin));
    // Numbers have no gap, and times never decrease.
    let numbers: Vec<u64> = events_seen.iter().map(|row| row.number).collect();
    assert_eq!(numbers, (numbers[0]..numbers[0] + events_seen.len() as u64).collect::<Vec<_>>());
    assert!(events_seen.is_sorted_by_key(|row| row.at));
    assert_eq!(events.lost(), 0);
}

fn a_phase_event_carries_the_duration_of_the_phase(form: Form) {
    let steps = vec![
        Step::sleep(30),
        Step::Tls(Certificate::Good),
        Step::head(),
        Step::sleep(40),
        Step::send("HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\nten bytes."),
        Step::sleep(50),
        Step::send("ten others"),
    ];
    let server = Server::start(Script::every(steps));
    let client = form.tls_client();
    let mut events = client.manager().events(100).unwrap();
    let mut response = get(&client, &format!("https://127.0.0.1:{}/", server.port())).unwrap();
    response.read_all(100).unwrap();
    let (id, timings) = (response.connection_id(), response.timings());
    let events_seen = all(&mut events);
    let mut phases = Vec::new();
    for row in &events_seen {
        if let EventKind::Phase(phase, took) = row.kind {
            assert_eq!(row.connection, id);
            phases.push((phase, took));
        }
    }
    let order: Vec<Phase> = phases.iter().map(|(phase, _)| *phase).collect();
    // The first phase is the wait for a connection, which takes almost no time here.
    let expected =
        [Phase::Pool, Phase::Connect, Phase::Tls, Phase::Write, Phase::Head, Phase::Read];
    assert_eq!(order, expected);
    // These are the response's own timings. A phase that ends late shortens the next one, so their sum is compared with
    // the times of the server.
    let mut sum = Duration::ZERO;
    for (phase, took) in phases {
        let said = match phase {
            Phase::Connect => timings.connect,
            Phase::Tls => timings.tls,
            Phase::Write => timings.write,
            Phase::Head => timings.head,
            Phase::Read => timings.read,
            _ => timings.pool,
        };
        assert_eq!(Some(took), said, "{phase}");
        sum += took;
    }
    assert!(sum >= ms(115), "{sum:?}");
}

fn waiting_in_the_queue_and_retries_are_events(form: Form) {
    let server = Server::start(holding(&["/held"]));
    let client = form.client_with(per_origin(1));
    let mut events = client.manager().events(100).unwrap();
    thread::scope(|scope| {
        let held = occupy(scope, &client, &server, "/held");
        let next = enqueue(scope, &client, request("GET", &server.url("/")));
        release_response(&server, "/held");
        held.join().unwrap().unwrap();
        next.join().unwrap().unwrap();
    });
    let id = client.manager().connections()[0].id;
    let expected = [
        (EventKind::Opened, id),
        (EventKind::Leased, id),
        (EventKind::Queued, 0),
        // The connection goes from one request to the next without becoming idle.
        (EventKind::Leased, id),
        (EventKind::Returned, id),
    ];
    assert_eq!(without_phases(&mut events), expected);

    let lost = vec![Step::answer(200, "ok"), Step::head(), Step::Close];
    let server = Server::start(Script::new(vec![lost, vec![Step::answer(200, "again")]]));
    let client = form.client();
    fetch(&client, &server.url("/")).unwrap();
    let lost = client.manager().connections()[0].id;
    let mut events = client.manager().events(100).unwrap();
    let mut response = get(&client, &server.url("/")).unwrap();
    assert_eq!((response.attempts(), response.read_all(10).unwrap()), (2, b"again".to_vec()));
    let id = response.connection_id();
    let events_seen = without_phases(&mut events);
    let expected = [
        (EventKind::Leased, lost),
        (EventKind::Closed(CloseReason::PeerClosed), lost),
        (EventKind::Retried(RetryReason::ConnectionLost, Duration::ZERO), lost),
        (EventKind::Opened, id),
        (EventKind::Leased, id),
        (EventKind::Returned, id),
    ];
    assert_eq!(events_seen, expected);
    assert_eq!(client.manager().stats().retried, 1);
}

fn a_slow_subscription_loses_the_oldest_events_and_counts_them(form: Form) {
    let server = Server::start(Script::answering("ok"));
    let client = form.client();
    let mut quick = client.manager().events(1).unwrap();
    let mut slow = client.manager().events(4).unwrap();
    let mut received_events = 0;
    for _ in 0..10 {
        fetch(&client, &server.url("/")).unwrap();
        received_events += all(&mut quick).len() as u64 + quick.lost();
        assert!(quick.lost() < 10_000);
    }
    assert!(received_events > 0);
    let events_seen = all(&mut slow);
    // Both subscriptions share a buffer of the larger capacity.
    assert_eq!(events_seen.len(), 4);
    assert_eq!(slow.lost(), events_seen[0].number - 1);
    assert!(slow.lost() > 20, "{}", slow.lost());
    assert_eq!(client.manager().events(0).unwrap_err().kind(), Kind::InvalidArgument);
}

fn two_subscriptions_get_the_same_events_and_without_one_none_are_kept(form: Form) {
    let server = Server::start(Script::answering("ok"));
    let client = form.client();
    let mut one = client.manager().events(100).unwrap();
    fetch(&client, &server.url("/")).unwrap();
    let mut other = client.manager().events(100).unwrap();
    fetch(&client, &server.url("/")).unwrap();
    let (first, second) = (all(&mut one), all(&mut other));
    assert!(!second.is_empty() && first.len() > second.len());
    let tail = &first[first.len() - second.len()..];
    let same = |(a, b): (&Event, &Event)| (a.number, a.kind) == (b.number, b.kind);
    assert!(tail.iter().zip(&second).all(same), "the second gets the events after its beginning");
    drop(one);
    fetch(&client, &server.url("/")).unwrap();
    assert!(!all(&mut other).is_empty(), "one that left takes nothing from the others");
    drop(other);
    fetch(&client, &server.url("/")).unwrap();
    let mut late = client.manager().events(100).unwrap();
    assert!(all(&mut late).is_empty());
    client.manager().close_all(CloseMode::Now);
    let events_seen = all(&mut late);
    assert_eq!(
        (events_seen.len(), events_seen[0].number),
        (1, 1),
        "numbered since there is a subscription"
    );
}

fn a_subscription_waits_for_events_and_its_descriptor_works_with_poll(form: Form) {
    let server = Server::start(Script::answering("ok"));
    let client = form.client();
    let mut events = client.manager().events(100).unwrap();
    let fd = events.descriptor();
    assert!(!readable(fd));
    let begun = Instant::now();
    assert!(events.next(Some(ms(50))).unwrap().is_none());
    assert!(begun.elapsed() >= ms(50));
    thread::scope(|scope| {
        let waits = scope.spawn(|| events.next(Some(PATIENCE)).unwrap().unwrap());
        fetch(&client, &server.url("/")).unwrap();
        assert_eq!(waits.join().unwrap().kind, EventKind::Opened);
    });
    // The descriptor is readable while there are more events.
    assert!(readable(fd));
    assert!(!all(&mut events).is_empty());
    assert!(!readable(fd));
    client.manager().close_all(CloseMode::Now);
    assert!(readable(fd));
}

fn readable(fd: RawFd) -> bool {
    let mut entry = libc::pollfd { fd, events: libc::POLLIN, revents: 0 };
    // SAFETY: one valid entry.
    unsafe { libc::poll(&raw mut entry, 1, 0) == 1 }
}

fn each_connection_is_opened_once_and_closed_once_in_the_events(form: Form) {
    let server = Server::start(Script::answering("ok"));
    let client = form.client_with(per_origin(4));
    let mut events = client.manager().events(1_000_000).unwrap();
    thread::scope(|scope| {
        for worker in 0..4 {
            let (client, server) = (&client, &server);
            scope.spawn(move || anything(client, server, worker, 200));
        }
    });
    wait_until("the last dials", || client.manager().stats().dialling == 0);
    client.manager().close_all(CloseMode::Now);
    let stats = client.manager().stats();
    let mut open = std::collections::HashMap::new();
    let (mut opened, mut closed, mut queued) = (0, 0, 0);
    for row in all(&mut events) {
        let leased = open.get(&row.connection).copied();
        match row.kind {
            EventKind::Opened => {
                assert_eq!(open.insert(row.connection, false), None, "{row:?}");
                opened += 1;
            }
            EventKind::Leased => drop(open.insert(row.connection, true)),
            EventKind::Returned => drop(open.insert(row.connection, false)),
            EventKind::Closed(_) => {
                assert!(open.remove(&row.connection).is_some(), "{row:?}");
                closed += 1;
            }
            EventKind::Queued => queued += 1,
            _ => continue,
        }
        let early = matches!(row.kind, EventKind::Leased | EventKind::Returned);
        assert!(!early || leased.is_some(), "{row:?} of one that was never opened or is closed");
    }
    assert!(open.is_empty(), "{open:?}");
    assert_eq!((opened, closed, queued), (stats.opened, stats.closed, stats.waited));
    assert_eq!(events.lost(), 0);
}

/// Sends that many requests of random kinds with random ends.
fn anything(client: &Client, server: &Server, seed: u64, count: usize) {
    let mut random = Random::new(seed);
    for _ in 0..count {
        let mut request = request("GET", &server.url("/"));
        let token = CancelToken::new();
        request.set_cancel(Some(token.clone()));
        match random.below(8) {
            0 => request.set_connection_mode(ConnectionMode::CloseAfter),
            1 => request.set_connection_mode(ConnectionMode::Fresh),
            2 => token.after(Duration::from_micros(random.below(1500))),
            3 => request.set_timeout(Timeout::Pool, Some(Duration::from_micros(200))).unwrap(),
            4 => drop(client.manager().close_idle(Duration::ZERO)),
            5 => drop(client.manager().close_all(CloseMode::Graceful)),
            _ => {}
        }
        match client.send(&mut request) {
            Ok(response) if random.below(6) == 0 => drop(response),
            Ok(mut response) => match response.read_all(10) {
                Ok(body) => assert_eq!(body, b"ok"),
                Err(error) => assert_eq!(error.kind(), Kind::TimedOut, "{error:?}"),
            },
            Err(error) => assert_eq!(error.kind(), Kind::TimedOut, "{error:?}"),
        }
    }
}

fn the_counters_agree_at_any_time_while_eight_threads_run(form: Form) {
    let server = Server::start(Script::answering("ok"));
    let limits = Limits { total: 6, idle_total: 3, ..Limits::default() };
    let client = form.client_with(limits);
    let done = AtomicBool::new(false);
    let looks = thread::scope(|scope| {
        let workers: Vec<_> = (0..8)
            .map(|worker| {
                let (client, server) = (&client, &server);
                scope.spawn(move || anything(client, server, worker, 300))
            })
            .collect();
        let watcher = scope.spawn(|| {
            let (mut looks, mut before) = (0, client.manager().stats());
            while !done.load(Ordering::SeqCst) {
                let now = client.manager().stats();
                let open = now.dialling + now.in_use + now.idle;
                assert_eq!(now.opened, now.closed + open, "{now:?}");
                assert!(open <= 6 && now.idle <= 3 && now.queued <= 8, "{now:?}");
                let grows = [
                    (before.opened, now.opened),
                    (before.closed, now.closed),
                    (before.waited, now.waited),
                    (before.dials_failed, now.dials_failed),
                ];
                assert!(grows.iter().all(|(before, now)| before <= now), "{before:?} {now:?}");
                let list = client.manager().connections();
                assert!(list.len() <= 6, "{list:?}");
                (looks, before) = (looks + 1, now);
            }
            looks
        });
        let ends: Vec<_> = workers.into_iter().map(|worker| worker.join()).collect();
        done.store(true, Ordering::SeqCst);
        ends.into_iter().for_each(|end| end.unwrap());
        watcher.join().unwrap()
    });
    wait_until("the last dials", || client.manager().stats().dialling == 0);
    assert_at_rest(client.manager());
    let stats = client.manager().stats();
    println!("{looks} looks; {stats:?}");
    assert!(looks > 100 && stats.queued == 0);
    assert!(server.most_open() <= 6, "{}", server.most_open());
    client.manager().close_all(CloseMode::Now);
    assert_eq!(sockets(server.port()), []);
}
