//! The end of a manager by a drain or a shutdown, and the close of connections after a network change (X5, X6).

use std::net::{IpAddr, Ipv4Addr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use hangup::{CloseMode, CloseReason, ConnectionState, Error, Kind, Manager, Phase, Sent, Timeout};
use testserver::{BlackHole, Conduct, Ended, Proxy, ProxyOptions, ProxyStep, Script, Server, Step};

use crate::support::counted_reader::CountedReader;
use crate::support::form::{Form, in_both_forms};
use crate::support::held_responses::{enqueue, holding, occupy, release_response, start};
use crate::support::inspect::{
    assert_at_rest, assert_gone, assert_sockets, count_sockets, descriptors, sockets, wait_full,
    wait_gone,
};
use crate::support::outcome::assert_consistent;
use crate::support::own_process::in_own_process;
use crate::support::{
    MARGIN, PATIENCE, fetch, get, ms, per_origin, post, request, trusting, wait_until,
};

in_both_forms! {
    x5_a_drain_of_an_idle_manager_closes_it_and_refuses_new_requests,
    x5_a_drain_lets_running_exchanges_finish_and_refuses_waiting_requests,
    x5_a_drain_that_times_out_counts_the_open_connections_and_can_be_called_again,
    x5_a_drain_waits_for_a_requests_dial_but_not_for_a_background_dial,
    x5_concurrent_drains_all_return_when_the_manager_is_empty,
    x6_a_shutdown_ends_a_hundred_requests_in_every_phase,
    a_shutdown_takes_precedence_over_a_drain_and_a_graceful_close,
    a_network_change_closes_idle_connections_at_once_and_others_after_their_exchange,
}

const HALF: &str = "HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\nten bytes.";

#[track_caller]
fn assert_shut_down(error: &Error) {
    assert_eq!(error.kind(), Kind::ShutDown, "{error:?}");
    assert_consistent(error);
}

fn x5_a_drain_of_an_idle_manager_closes_it_and_refuses_new_requests(form: Form) {
    let server = Server::start(Script::answering("ok"));
    let client = form.client();
    let mut response = get(&client, &server.url("/")).unwrap();
    response.read_all(10).unwrap();
    client.manager().drain(Some(PATIENCE)).unwrap();
    assert_gone(client.manager(), server.port());
    let why = client.manager().close_reason(response.connection_id());
    assert_eq!(why, Some(CloseReason::ManagerShutDown));
    let (source, account) = CountedReader::endless();
    let error = client.send(&mut post(&server.url("/"), source.chunked())).unwrap_err();
    assert_shut_down(&error);
    assert_eq!((error.sent(), error.retry_safe(), account.reads()), (Sent::Nothing, true, 0));
    account.assert_dropped_once();
    assert_eq!(client.preconnect(&server.url("/"), 1).unwrap_err().kind(), Kind::ShutDown);
    // A second drain and a shutdown have no effect.
    client.manager().drain(None).unwrap();
    client.manager().shutdown();
    client.manager().drain(None).unwrap();
    assert_eq!(server.connections(), 1);
    // Another manager is not affected.
    assert_eq!(fetch(&form.client(), &server.url("/")).unwrap(), b"ok");
}

fn x5_a_drain_lets_running_exchanges_finish_and_refuses_waiting_requests(form: Form) {
    let server = Server::start(holding(&["/held", "/too"]));
    let halves = vec![Step::head(), Step::send(HALF), Step::wait_for("rest")];
    let halves = [halves, vec![Step::send("ten others"), Step::Stall]].concat();
    let other = Server::start(Script::every(halves));
    let client = form.client_with(per_origin(2));
    let mut body = get(&client, &other.url("/")).unwrap();
    thread::scope(|scope| {
        let running = ["/held", "/too"].map(|path| occupy(scope, &client, &server, path));
        let waiting = [0, 1, 2].map(|_| enqueue(scope, &client, request("GET", &server.url("/"))));
        let drain = scope.spawn(|| client.manager().drain(Some(PATIENCE)));
        for one in waiting {
            let error = one.join().unwrap().unwrap_err();
            assert_shut_down(&error);
            assert_eq!((error.phase(), error.sent()), (Phase::Pool, Sent::Nothing));
        }
        assert_shut_down(&get(&client, &server.url("/")).unwrap_err());
        assert_eq!(client.manager().stats().in_use, 3);
        release_response(&server, "/held");
        release_response(&server, "/too");
        for (one, path) in running.into_iter().zip(["/held", "/too"]) {
            assert_eq!(one.join().unwrap().unwrap(), path.as_bytes());
        }
        wait_until("two that are closed", || client.manager().stats().closed == 2);
        assert!(!drain.is_finished(), "a body is still read");
        other.release("rest");
        assert_eq!(body.read_all(100).unwrap(), b"ten bytes.ten others");
        drain.join().unwrap().unwrap();
    });
    assert_gone(client.manager(), server.port());
    assert_gone(client.manager(), other.port());
    let why = client.manager().close_reason(body.connection_id());
    assert_eq!(why, Some(CloseReason::ManagerShutDown));
}

fn x5_a_drain_that_times_out_counts_the_open_connections_and_can_be_called_again(form: Form) {
    let server = Server::start(holding(&["/0", "/1", "/2"]));
    let client = form.client();
    thread::scope(|scope| {
        let mut running: Vec<_> =
            ["/0", "/1", "/2"].iter().map(|path| occupy(scope, &client, &server, path)).collect();
        for left in [3, 2] {
            let begun = Instant::now();
            let error = client.manager().drain(Some(ms(150))).unwrap_err();
            assert_eq!(
                (error.kind(), error.timeout()),
                (Kind::TimedOut, Timeout::Total),
                "{error:?}"
            );
            assert_eq!(error.open_connections(), left);
            assert!(error.message().contains(&left.to_string()), "{error}");
            assert!(begun.elapsed() >= ms(150) && begun.elapsed() < ms(150) + MARGIN * 4);
            release_response(&server, &format!("/{}", 3 - left));
            running.remove(0).join().unwrap().unwrap();
        }
        // Exchanges that do not end by themselves are ended.
        let drain = scope.spawn(|| client.manager().drain(None));
        assert_eq!(client.manager().stats().in_use, 1);
        client.manager().shutdown();
        let error = running.remove(0).join().unwrap().unwrap_err();
        assert_shut_down(&error);
        assert_eq!(error.phase(), Phase::Head);
        drain.join().unwrap().unwrap();
    });
    assert_gone(client.manager(), server.port());
    let zero = client.manager().drain(Some(Duration::ZERO)).unwrap_err();
    assert_eq!(zero.kind(), Kind::InvalidTimeout);
}

fn x5_a_drain_waits_for_a_requests_dial_but_not_for_a_background_dial(form: Form) {
    let steps = vec![
        Step::mark("dial"),
        Step::wait_for("shake"),
        Step::Tls(testserver::Certificate::Good),
        Step::forever(vec![Step::answer(200, "ok")]),
    ];
    let server = Server::start(Script::every(steps));
    let hole = BlackHole::new();
    let fillers = count_sockets(hole.port());
    let client = trusting(form.client());
    let url = format!("https://127.0.0.1:{}/", server.port());
    client.preconnect(&hole.url("/"), 2).unwrap();
    wait_until("SYNs on their way", || sockets(hole.port()).len() >= fillers + 2);
    thread::scope(|scope| {
        let running = start(scope, &client, request("GET", &url));
        assert!(server.wait_mark("dial", PATIENCE));
        wait_until("the handshake", || tls(client.manager()));
        let begun = Instant::now();
        // Background dials are closed at once, each as soon as its thread runs.
        let left = || client.manager().drain(Some(ms(50))).unwrap_err().open_connections();
        wait_until("only the one that runs is left", || left() == 1);
        server.release("shake");
        assert_eq!(running.join().unwrap().unwrap(), b"ok");
        client.manager().drain(Some(PATIENCE)).unwrap();
        assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    });
    assert_gone(client.manager(), server.port());
    wait_until("the sockets of the others", || sockets(hole.port()).len() <= fillers);
    assert_sockets(hole.port(), fillers);
}

fn tls(manager: &Manager) -> bool {
    manager.connections().iter().any(|row| row.state == ConnectionState::Tls)
}

fn x5_concurrent_drains_all_return_when_the_manager_is_empty(form: Form) {
    let server = Server::start(holding(&["/held"]));
    let client = form.client();
    thread::scope(|scope| {
        let held = occupy(scope, &client, &server, "/held");
        let drains = [0; 4].map(|_| scope.spawn(|| client.manager().drain(Some(PATIENCE))));
        wait_until("a drain", || client.manager().connections()[0].closing);
        release_response(&server, "/held");
        assert_eq!(held.join().unwrap().unwrap(), b"/held");
        drains.into_iter().for_each(|drain| drain.join().unwrap().unwrap());
    });
    assert_gone(client.manager(), server.port());
}

/// Blocks the resolver until it is opened.
#[derive(Default)]
struct Door {
    open: Mutex<bool>,
    changed: Condvar,
    waiting: AtomicUsize,
}

impl Door {
    fn pass(&self) {
        self.waiting.fetch_add(1, Ordering::SeqCst);
        let open = self.open.lock().unwrap();
        let waited = self.changed.wait_timeout_while(open, PATIENCE * 2, |open| !*open);
        drop(waited.unwrap());
        self.waiting.fetch_sub(1, Ordering::SeqCst);
    }

    fn open(&self) {
        *self.open.lock().unwrap() = true;
        self.changed.notify_all();
    }
}

fn x6_a_shutdown_ends_a_hundred_requests_in_every_phase(form: Form) {
    in_own_process(
        &form.name("drain::x6_a_shutdown_ends_a_hundred_requests_in_every_phase"),
        || {
            // Descriptors that the library opens once and keeps are open from here on.
            fetch(&form.client(), &Server::start(Script::answering("ok")).url("/")).unwrap();
            let before = descriptors();
            every_phase(form);
            let new = || descriptors().into_iter().filter(|fd| !before.contains(fd));
            wait_until("the descriptors of before", || new().next().is_none());
        },
    );
}

/// The number of requests in each phase, and the limit on connections of an origin.
const EACH: usize = 13;

fn every_phase(form: Form) {
    let door = Arc::new(Door::default());
    let hole = BlackHole::new();
    let fillers = count_sockets(hole.port());
    let silent = Server::start(Script::every(vec![Step::mark("in"), Step::Stall]));
    let thinks = |step| Server::start(Script::every(vec![Step::head(), step, Step::Stall]));
    let (upload, head, body) =
        (thinks(Step::mark("in")), thinks(Step::mark("in")), thinks(Step::send(HALF)));
    let conduct = Conduct::Silent(ProxyStep::Request);
    let proxy = Proxy::start_with(ProxyOptions { conduct, ..ProxyOptions::default() }).unwrap();
    let client = trusting(form.client_with(per_origin(EACH)));
    let proxied = trusting(client.sibling());
    proxied.set_proxy(Some(&proxy.url())).unwrap();
    proxied.set_no_proxy("").unwrap();
    let theirs = Arc::clone(&door);
    client.manager().set_resolver(Some(Arc::new(move |_| {
        theirs.pass();
        Ok(vec![IpAddr::V4(Ipv4Addr::LOCALHOST)])
    })));
    let tls = format!("https://127.0.0.1:{}/", silent.port());
    let urls = [
        (Phase::Resolve, "http://stuck.test:8000/".to_owned()),
        (Phase::Connect, hole.url("/")),
        (Phase::Tls, tls),
        (Phase::Proxy, "https://127.0.0.1:1/".to_owned()),
        (Phase::Write, upload.url("/")),
        (Phase::Head, head.url("/")),
        (Phase::Read, body.url("/")),
        // One more than the limit of the origin.
        (Phase::Pool, head.url("/queued")),
    ];
    let ended = AtomicUsize::new(0);
    let accounts = Mutex::new(Vec::new());
    let one = |phase: Phase, url: &str| {
        let mut request = request("GET", url);
        if phase == Phase::Write {
            let (source, account) = CountedReader::endless();
            accounts.lock().unwrap().push(account);
            request = post(url, source.chunked());
        }
        // Only the shutdown may end it.
        for clock in Timeout::ALL.iter().copied().filter(|clock| clock.can_be_set()) {
            request.set_timeout(clock, None).unwrap();
        }
        let client = if phase == Phase::Proxy { &proxied } else { &client };
        let outcome = client.send(&mut request).and_then(|mut r| r.read_all(1000));
        ended.fetch_add(1, Ordering::SeqCst);
        (phase, outcome.expect_err("no server sends a complete response"))
    };
    let one = &one;
    thread::scope(|scope| {
        let mut all = Vec::new();
        for (phase, url) in &urls {
            if *phase == Phase::Pool {
                assert!(head.wait_marks("in", EACH, PATIENCE));
            }
            all.extend((0..EACH).map(|_| scope.spawn(move || one(*phase, url))));
        }
        let each = EACH as u64;
        wait_until("a lookup", || door.waiting.load(Ordering::SeqCst) > 0);
        wait_until("SYNs", || sockets(hole.port()).len() >= fillers + EACH);
        assert!(silent.wait_marks("in", EACH, PATIENCE));
        assert!(proxy.wait_heads(EACH, PATIENCE));
        assert!(upload.wait_marks("in", EACH, PATIENCE));
        wait_full(upload.port());
        assert!(body.wait_heads(EACH, PATIENCE));
        let manager = client.manager();
        wait_until("a hundred in their phases", || {
            let stats = manager.stats();
            let read = |row: &hangup::ConnectionInfo| row.bytes_in as usize == HALF.len();
            let bodies = manager.connections().into_iter().filter(read).count();
            (stats.dialling, stats.in_use, stats.queued) == (4 * each, 3 * each, each)
                && bodies == EACH
        });
        assert_eq!(ended.load(Ordering::SeqCst), 0);
        let begun = Instant::now();
        manager.shutdown();
        let errors: Vec<(Phase, Error)> = all.into_iter().map(|one| one.join().unwrap()).collect();
        println!("{} requests ended in {:?}", errors.len(), begun.elapsed());
        assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
        assert_eq!(errors.len(), 8 * EACH);
        for (phase, error) in errors {
            assert_shut_down(&error);
            assert_eq!(error.phase(), phase, "{error:?}");
        }
        let ports = [silent.port(), upload.port(), head.port(), body.port(), proxy.port(), 8000];
        for port in ports {
            assert_gone(manager, port);
        }
        assert_sockets(hole.port(), fillers);
        assert_eq!(manager.stats().queued, 0);
        assert_shut_down(&get(&client, &head.url("/")).unwrap_err());
    });
    for account in accounts.into_inner().unwrap() {
        account.assert_dropped_once();
    }
    // A blocked lookup delays no other request and ends by itself.
    assert!(door.waiting.load(Ordering::SeqCst) > 0);
    door.open();
    wait_until("the lookups", || door.waiting.load(Ordering::SeqCst) == 0);
    assert!(head.wait_idle(PATIENCE) && body.wait_idle(PATIENCE) && silent.wait_idle(PATIENCE));
}

fn a_shutdown_takes_precedence_over_a_drain_and_a_graceful_close(form: Form) {
    let server = Server::start(holding(&["/held"]));
    let client = form.client();
    thread::scope(|scope| {
        let held = occupy(scope, &client, &server, "/held");
        assert_eq!(client.manager().close_all(CloseMode::Graceful), 1);
        let drain = scope.spawn(|| client.manager().drain(None));
        thread::yield_now();
        client.manager().shutdown();
        assert_shut_down(&held.join().unwrap().unwrap_err());
        drain.join().unwrap().unwrap();
    });
    assert_gone(client.manager(), server.port());
    assert_ne!(server.wait_ended(0, PATIENCE).unwrap().0, Ended::ByServer);
}

fn a_network_change_closes_idle_connections_at_once_and_others_after_their_exchange(form: Form) {
    let server = Server::start(holding(&["/held"]));
    let client = form.client();
    let looked_up = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&looked_up);
    client.manager().set_resolver(Some(Arc::new(move |_| {
        count.fetch_add(1, Ordering::SeqCst);
        Ok(vec![IpAddr::V4(Ipv4Addr::LOCALHOST)])
    })));
    let url = |path: &str| format!("http://moving.test:{}{path}", server.port());
    thread::scope(|scope| {
        let held = start(scope, &client, request("GET", &url("/held")));
        assert!(server.wait_mark("/held", PATIENCE));
        let mut idle = get(&client, &url("/")).unwrap();
        idle.read_all(10).unwrap();
        assert_eq!(looked_up.load(Ordering::SeqCst), 1, "it is known for a while");
        assert_eq!(client.manager().network_changed(), 2);
        assert_sockets(server.port(), 1);
        let why = client.manager().close_reason(idle.connection_id());
        assert_eq!(why, Some(CloseReason::NetworkChanged));
        assert!(client.manager().connections()[0].closing);
        release_response(&server, "/held");
        assert_eq!(held.join().unwrap().unwrap(), b"/held");
        wait_gone(client.manager(), server.port());
        // The name is looked up again and a new connection made; then requests are as before.
        assert_eq!(fetch(&client, &url("/")).unwrap(), b"ok");
        assert_eq!((looked_up.load(Ordering::SeqCst), server.connections()), (2, 3));
        assert!(get(&client, &url("/")).unwrap().reused());
    });
    assert_at_rest(client.manager());
}
