//! Limits that are changed while connections are idle, in use and waited for (L8).

use std::thread;

use hangup::{CloseReason, ConnectionMode, Kind, Limits, Manager};
use testserver::{Script, Server, Step};

use super::idle::{idle, open, read};
use crate::support::form::{Client, Form, Response, in_both_forms};
use crate::support::held_responses::{enqueue, holding, occupy, release_response};
use crate::support::inspect::{assert_at_rest, assert_gone, only_socket, sockets};
use crate::support::{fetch, get, ms, per_origin, request, wait_until};

in_both_forms! {
    l8_a_lower_connection_limit_closes_idle_connections_at_once_and_others_on_return,
    l8_a_lower_idle_limit_closes_the_surplus_at_once,
    l8_a_raised_limit_admits_requests_that_wait_already,
    l8_a_shorter_queue_refuses_new_requests_and_keeps_waiting_ones,
    l8_shorter_idle_timeouts_apply_at_once_to_idle_connections,
    l8_longer_idle_timeouts_apply_to_connections_that_are_idle_already,
    l8_the_kernels_probes_are_for_connections_opened_from_now_on,
    a_connection_of_one_exchange_has_its_peer_probed_when_a_wait_is_long,
    limits_without_room_for_a_connection_fail_every_request_at_once,
}

fn change(manager: &Manager, change: impl Fn(&mut Limits)) {
    let step = |limits: &mut Limits| {
        change(limits);
        Ok(())
    };
    manager.change_limits(step).unwrap();
}

/// Three idle connections, and two responses of which nothing was read.
fn three_idle_two_open(client: &Client, server: &Server) -> (Vec<u64>, Vec<Response>) {
    let mut all = open(client, server, 5);
    let open = all.split_off(3);
    (read(all), open)
}

fn l8_a_lower_connection_limit_closes_idle_connections_at_once_and_others_on_return(form: Form) {
    let lower: [fn(&mut Limits, usize); 2] =
        [|limits, to| limits.total = to, |limits, to| limits.per_origin = to];
    for lower in lower {
        let server = Server::start(Script::answering("ok"));
        let client = form.client();
        let (ids, open) = three_idle_two_open(&client, &server);
        // The least recently used connection is closed.
        change(client.manager(), |limits| lower(limits, 4));
        assert_eq!((idle(&client), sockets(server.port()).len()), (ids[1..].to_vec(), 4));
        assert_eq!(client.manager().close_reason(ids[0]), Some(CloseReason::PoolFull));
        // Idle connections are closed at once, connections in use when they are returned.
        change(client.manager(), |limits| lower(limits, 1));
        assert_eq!((client.manager().stats().idle, client.manager().stats().in_use), (0, 2));
        assert_eq!(sockets(server.port()).len(), 2);
        let open = read(open);
        assert_eq!(client.manager().close_reason(open[0]), Some(CloseReason::PoolFull));
        assert_eq!(idle(&client), [open[1]], "the last one is within the limit");
        // After the limit is raised more connections are allowed.
        change(client.manager(), |limits| lower(limits, 3));
        let again = super::idle::open(&client, &server, 3);
        assert_eq!(client.manager().stats().in_use, 3);
        read(again);
        assert_eq!(client.manager().stats().idle, 3);
    }
}

fn l8_a_lower_idle_limit_closes_the_surplus_at_once(form: Form) {
    let lower: [fn(&mut Limits, usize); 2] =
        [|limits, to| limits.idle_total = to, |limits, to| limits.idle_per_origin = to];
    for lower in lower {
        let server = Server::start(Script::answering("ok"));
        let client = form.client();
        let (ids, open) = three_idle_two_open(&client, &server);
        change(client.manager(), |limits| lower(limits, 1));
        assert_eq!(idle(&client), ids[2..]);
        assert_eq!(client.manager().close_reason(ids[1]), Some(CloseReason::PoolFull));
        assert_eq!((sockets(server.port()).len(), client.manager().stats().in_use), (3, 2));
        // The others when they are returned: the newest stays.
        let open = read(open);
        assert_eq!(idle(&client), [open[1]]);
        change(client.manager(), |limits| lower(limits, 0));
        assert_gone(client.manager(), server.port());
        change(client.manager(), |limits| lower(limits, 5));
        read(super::idle::open(&client, &server, 4));
        assert_eq!(client.manager().stats().idle, 4);
    }
}

fn l8_a_raised_limit_admits_requests_that_wait_already(form: Form) {
    let raise: [fn(&mut Limits); 2] = [|limits| limits.total = 3, |limits| limits.per_origin = 3];
    for (number, raise) in raise.into_iter().enumerate() {
        let server = Server::start(holding(&["/0", "/1", "/2", "/3"]));
        let client = match number {
            0 => form.client_with(Limits { total: 1, ..Limits::default() }),
            _ => form.client_with(per_origin(1)),
        };
        thread::scope(|scope| {
            let held = occupy(scope, &client, &server, "/0");
            let waiting: Vec<_> = (1..4)
                .map(|n| enqueue(scope, &client, request("GET", &server.url(&format!("/{n}")))))
                .collect();
            change(client.manager(), raise);
            // Two of them dial; the last one keeps waiting.
            wait_until("both of them", || server.marks("/1") + server.marks("/2") == 2);
            let stats = client.manager().stats();
            assert_eq!((stats.in_use, stats.queued), (3, 1));
            (0..4).for_each(|n| release_response(&server, &format!("/{n}")));
            held.join().unwrap().unwrap();
            waiting.into_iter().for_each(|one| drop(one.join().unwrap().unwrap()));
        });
        assert_eq!(server.most_open(), 3);
        assert_at_rest(client.manager());
    }
}

fn l8_a_shorter_queue_refuses_new_requests_and_keeps_waiting_ones(form: Form) {
    let server = Server::start(holding(&["/held"]));
    let client = form.client_with(per_origin(1));
    thread::scope(|scope| {
        let held = occupy(scope, &client, &server, "/held");
        let put = || enqueue(scope, &client, request("GET", &server.url("/")));
        let mut waiting = vec![put(), put()];
        change(client.manager(), |limits| limits.queue = 1);
        assert_eq!(client.manager().stats().queued, 2);
        let refused = get(&client, &server.url("/")).unwrap_err();
        assert_eq!(refused.kind(), Kind::QueueFull);
        change(client.manager(), |limits| limits.queue = 3);
        waiting.push(put());
        release_response(&server, "/held");
        held.join().unwrap().unwrap();
        waiting.into_iter().for_each(|one| drop(one.join().unwrap().unwrap()));
    });
    assert_eq!((server.connections(), client.manager().stats().refused), (1, 1));
}

fn l8_shorter_idle_timeouts_apply_at_once_to_idle_connections(form: Form) {
    type Lower = fn(&mut Limits);
    let lower: [(Lower, CloseReason); 3] = [
        (|limits| limits.idle_for = Some(ms(1000)), CloseReason::IdleTooLong),
        (|limits| limits.max_age = Some(ms(1000)), CloseReason::TooOld),
        (|limits| limits.max_requests = Some(1), CloseReason::ServedEnough),
    ];
    for (lower, why) in lower {
        let server = Server::start(Script::answering("ok"));
        let client = form.client();
        let open = super::idle::open(&client, &server, 1);
        let id = read(super::idle::open(&client, &server, 1))[0];
        thread::sleep(ms(1010));
        change(client.manager(), lower);
        assert_eq!(client.manager().close_reason(id), Some(why));
        only_socket(server.port());
        // Exchanges in progress end well; the limit applies when the connection is returned.
        let open = read(open)[0];
        if why == CloseReason::IdleTooLong {
            assert_eq!(idle(&client), [open], "it was not idle until now");
            wait_until("the sweep, which comes earlier now", || sockets(server.port()).is_empty());
        }
        assert_gone(client.manager(), server.port());
        assert_eq!(client.manager().close_reason(open), Some(why));
    }
}

fn l8_longer_idle_timeouts_apply_to_connections_that_are_idle_already(form: Form) {
    let server = Server::start(Script::answering("ok"));
    let clocks = Limits { idle_for: Some(ms(1500)), max_age: Some(ms(1500)), ..Limits::default() };
    let client = form.client_with(Limits { max_requests: Some(2), ..clocks });
    fetch(&client, &server.url("/")).unwrap();
    client.manager().set_limits(Limits::default()).unwrap();
    // Several sweeps later.
    thread::sleep(ms(2200));
    only_socket(server.port());
    for _ in 0..3 {
        let mut response = get(&client, &server.url("/")).unwrap();
        assert!(response.reused());
        response.read_all(10).unwrap();
    }
}

fn l8_the_kernels_probes_are_for_connections_opened_from_now_on(form: Form) {
    let server = Server::start(Script::answering("ok"));
    let client = form.client_with(Limits { keep_alive: None, ..Limits::default() });
    let first = super::idle::open(&client, &server, 1);
    let quiet = only_socket(server.port()).fd;
    change(client.manager(), |limits| limits.keep_alive = Some(ms(7000)));
    let second = super::idle::open(&client, &server, 1);
    let probed = sockets(server.port()).iter().map(|held| held.fd).find(|fd| *fd != quiet).unwrap();
    assert_eq!(option(quiet, libc::SOL_SOCKET, libc::SO_KEEPALIVE), 0);
    assert_eq!(option(probed, libc::SOL_SOCKET, libc::SO_KEEPALIVE), 1);
    assert_eq!(option(probed, libc::IPPROTO_TCP, libc::TCP_KEEPIDLE), 7);
    read(first);
    read(second);
}

fn a_connection_of_one_exchange_has_its_peer_probed_when_a_wait_is_long(form: Form) {
    let head = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n";
    let steps = vec![Step::head(), Step::send(head), Step::wait_for("probes"), Step::send("ok")];
    let server = Server::start(Script::every(steps));
    let client = form.client_with(Limits { keep_alive: Some(ms(7000)), ..Limits::default() });
    let mut request = request("GET", &server.url("/"));
    request.set_connection_mode(ConnectionMode::CloseAfter);
    let mut response = client.send(&mut request).unwrap();
    let fd = only_socket(server.port()).fd;
    let is_probed = || option(fd, libc::SOL_SOCKET, libc::SO_KEEPALIVE) == 1;
    assert!(!is_probed(), "four system calls that a short exchange does without");
    let facts = response.connection_facts().clone();
    assert_eq!(facts.peer.unwrap().port(), server.port());
    let mut body = [0; 10];
    thread::scope(|scope| {
        let reading = scope.spawn(|| response.read(&mut body).unwrap());
        wait_until("the wait is a long one", is_probed);
        assert_eq!(option(fd, libc::IPPROTO_TCP, libc::TCP_KEEPIDLE), 7);
        server.release("probes");
        assert_eq!(reading.join().unwrap(), 2);
    });
    assert_eq!(response.read(&mut body).unwrap(), 0);
    assert_gone(client.manager(), server.port());
    assert_eq!(*response.connection_facts(), facts, "also after the close");
    assert!(facts.local.is_some());
}

fn option(fd: i32, level: i32, name: i32) -> i32 {
    let (mut value, mut size) = (0i32, 4);
    // SAFETY: a valid number and its size, for the call only.
    let done = unsafe { libc::getsockopt(fd, level, name, (&raw mut value).cast(), &raw mut size) };
    assert_eq!(done, 0);
    value
}

fn limits_without_room_for_a_connection_fail_every_request_at_once(form: Form) {
    let wrong: [fn(&mut Limits); 6] = [
        |limits| limits.total = 0,
        |limits| limits.per_origin = 0,
        |limits| limits.max_requests = Some(0),
        |limits| limits.idle_for = Some(ms(0)),
        |limits| limits.max_age = Some(ms(0)),
        |limits| limits.keep_alive = Some(ms(0)),
    ];
    let server = Server::start(Script::answering("ok"));
    for wrong in wrong {
        let mut limits = Limits::default();
        wrong(&mut limits);
        let client = form.client_with(limits);
        let expected = limits.check().unwrap_err();
        // Without a timeout the request would wait without end.
        let error = client.get(&server.url("/"), None).unwrap_err();
        assert_eq!((error.kind(), error.message()), (expected.kind(), expected.message()));
        assert_eq!(client.preconnect(&server.url("/"), 1).unwrap_err().kind(), expected.kind());
        assert_eq!(server.connections(), 0);
        assert_at_rest(client.manager());
        // Another change does not repair these limits, unless it changes all of them.
        assert!(client.manager().change_limits(|_| Ok(())).is_err());
        assert_eq!(client.get(&server.url("/"), None).unwrap_err().kind(), expected.kind());
    }
    let client = form.client_with(Limits { total: 0, ..Limits::default() });
    client.manager().set_limits(Limits::default()).unwrap();
    assert_eq!(fetch(&client, &server.url("/")).unwrap(), b"ok");
}
