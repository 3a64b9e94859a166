//! How many descriptors blocked calls need: one each, for a socket or an eventfd, and a few for all of them together.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::thread;

use hangup::{
    CancelToken, CloseMode, ConnectionMode, ConnectionState, Kind, Limits, Phase, Timeout,
};
use testserver::{BlackHole, Script, Server, Step};

use super::limit_descriptors;
use crate::support::inspect::{assert_at_rest, descriptors, sleeps};
use crate::support::outcome::cancelled;
use crate::support::own_process::{in_own_process, in_own_process_with};
use crate::support::submissions::SilentServer;
use crate::support::{client, client_with, fetch, get, per_origin, request, wait_until};

/// How many calls are blocked at once.
const CALLS: usize = 200;

/// Descriptors for all of them together, in addition to one each.
const FEW: usize = 24;

/// How many eventfd(2) descriptors this process has.
fn eventfds() -> usize {
    let is_one = |fd: &i32| {
        let link = std::fs::read_link(format!("/proc/self/fd/{fd}"));
        link.is_ok_and(|link| link.to_string_lossy().contains("eventfd"))
    };
    descriptors().iter().filter(|fd| is_one(fd)).count()
}

/// How many epoll(7) descriptors this process has.
pub(super) fn epolls() -> usize {
    let is_one = |fd: &i32| {
        let link = std::fs::read_link(format!("/proc/self/fd/{fd}"));
        link.is_ok_and(|link| link.to_string_lossy().contains("eventpoll"))
    };
    descriptors().iter().filter(|fd| is_one(fd)).count()
}

/// Limits this process to its open descriptors, one for each call, and a few. Returns the earlier limit.
fn leave_room() -> i32 {
    let open = descriptors();
    let mut free = (0..).filter(|number| !open.contains(number));
    limit_descriptors(free.nth(CALLS + FEW).unwrap())
}

/// Blocks [`CALLS`] calls of `url` in that phase, with as many free descriptors and a few more. Some are cancelled, and a
/// shutdown ends the others.
fn blocked_in(phase: Phase, url: &str, limits: Limits, hang: bool) {
    let client = client_with(limits);
    client.set_tls_dangerously_accept_any_certificate(true).unwrap();
    let (_hold, held) = channel::<()>();
    let held = std::sync::Mutex::new(held);
    if hang {
        client.manager().set_resolver(Some(Arc::new(move |_: &str| {
            let _ = held.lock().unwrap().recv();
            Err::<Vec<IpAddr>, String>("never".into())
        })));
    }
    let soft = leave_room();
    let one = |token: Option<&CancelToken>| {
        let mut request = request("GET", url);
        Timeout::ALL.iter().filter(|clock| clock.can_be_set()).for_each(|clock| {
            request.set_timeout(*clock, None).unwrap();
        });
        request.set_cancel(token.cloned());
        client.send(&mut request)
    };
    let state = match phase {
        Phase::Resolve => ConnectionState::Resolving,
        Phase::Connect => ConnectionState::Connecting,
        Phase::Tls => ConnectionState::Tls,
        _ => ConnectionState::InUse,
    };
    let blocked = || {
        client.manager().connections().iter().filter(|connection| connection.state == state).count()
    };
    thread::scope(|scope| {
        let all: Vec<_> = (0..CALLS - 1).map(|_| scope.spawn(|| one(None))).collect();
        wait_until("calls that are blocked", || blocked() == CALLS - 1);
        for _ in 0..3 {
            let token = CancelToken::new();
            let wait = |thread| wait_until("one more", || blocked() == CALLS && sleeps(thread));
            cancelled("beside many others", &token, phase, || one(Some(&token)), wait);
            // A background dial may go on for a moment.
            wait_until("one less", || blocked() == CALLS - 1);
        }
        client.manager().shutdown();
        for one in all {
            let error = one.join().unwrap().unwrap_err();
            assert_eq!((error.kind(), error.phase()), (Kind::ShutDown, phase), "{error:?}");
        }
    });
    limit_descriptors(soft);
    assert_at_rest(client.manager());
}

/// Runs [`blocked_in`] in a process of its own, against a server in this one that accepts connections and never writes.
fn blocked_at_a_silent_server(name: &str, phase: Phase, scheme: &str, limits: Limits) {
    let silent = SilentServer::start();
    let url = silent.url().replace("http:", &format!("{scheme}:"));
    in_own_process_with(name, &[("SILENT_OUTSIDE", &url)], || {
        let url = std::env::var("SILENT_OUTSIDE").unwrap();
        blocked_in(phase, &url, limits, false);
        wait_until("the end of all but one", || eventfds() <= 1);
    });
}

#[test]
fn calls_that_wait_for_a_head_need_one_descriptor_each() {
    let name = "descriptors::calls_that_wait_for_a_head_need_one_descriptor_each";
    blocked_at_a_silent_server(name, Phase::Head, "http", Limits::default());
}

#[test]
fn calls_in_a_handshake_need_one_descriptor_each() {
    let name = "descriptors::calls_in_a_handshake_need_one_descriptor_each";
    blocked_at_a_silent_server(name, Phase::Tls, "https", Limits::default());
}

#[test]
fn calls_in_the_queue_need_one_descriptor_each() {
    let name = "descriptors::calls_in_the_queue_need_one_descriptor_each";
    in_own_process(name, || {
        let server = Server::start(Script::every(vec![Step::mark("in"), Step::Stall]));
        // A request that waits for its head has the only connection.
        let limits = Limits { total: 1, ..per_origin(1) };
        blocked_in_queue(&server, limits);
    });
}

fn blocked_in_queue(server: &Server, limits: Limits) {
    let client = client_with(limits);
    thread::scope(|scope| {
        let first = scope.spawn(|| get(&client, &server.url("/")));
        wait_until("the first", || client.manager().stats().in_use == 1);
        let soft = leave_room();
        let rest: Vec<_> =
            (0..CALLS).map(|_| scope.spawn(|| get(&client, &server.url("/")))).collect();
        wait_until("a queue", || client.manager().stats().queued == CALLS as u64);
        client.manager().shutdown();
        for one in rest {
            let error = one.join().unwrap().unwrap_err();
            assert_eq!((error.kind(), error.phase()), (Kind::ShutDown, Phase::Pool), "{error:?}");
        }
        assert_eq!(first.join().unwrap().unwrap_err().kind(), Kind::ShutDown);
        limit_descriptors(soft);
    });
    assert_at_rest(client.manager());
}

#[test]
fn calls_in_a_connect_need_one_descriptor_each() {
    in_own_process("descriptors::calls_in_a_connect_need_one_descriptor_each", || {
        let hole = BlackHole::new();
        blocked_in(Phase::Connect, &hole.url("/"), Limits::default(), false);
    });
}

#[test]
fn calls_in_a_lookup_need_one_descriptor_each() {
    in_own_process("descriptors::calls_in_a_lookup_need_one_descriptor_each", || {
        blocked_in(Phase::Resolve, "http://hung.test:1/", Limits::default(), true);
    });
}

#[test]
fn a_dialling_call_takes_a_connection_that_becomes_free() {
    in_own_process("descriptors::a_dialling_call_takes_a_connection_that_becomes_free", || {
        let server = Server::start(Script::answering("ok"));
        let hole = BlackHole::at(([127, 0, 0, 9], server.port()).into()).unwrap();
        let client = client();
        let url = format!("http://two.test:{}/", server.port());
        client.manager().set_address("two.test", &["127.0.0.1".parse().unwrap()]).unwrap();
        assert_eq!(fetch(&client, &url).unwrap(), b"ok");
        let before = eventfds();
        // From now on dials never complete.
        client.manager().set_address("two.test", &["127.0.0.9".parse().unwrap()]).unwrap();
        thread::scope(|scope| {
            for _ in 0..CALLS {
                scope.spawn(|| assert_eq!(fetch(&client, &url).unwrap(), b"ok"));
            }
        });
        assert_eq!(server.connections(), 1);
        client.manager().shutdown();
        drop(hole);
        wait_until("the end of the dials", || client.manager().connections().is_empty());
        wait_until("no more than before", || eventfds() <= before);
    });
}

#[test]
fn all_idle_connections_together_need_one_descriptor_more() {
    in_own_process("descriptors::all_idle_connections_together_need_one_descriptor_more", || {
        let server = Server::start(Script::answering("ok"));
        let client = client();
        let before = epolls();
        for _ in 0..20 {
            let mut request = request("GET", &server.url("/"));
            request.set_connection_mode(ConnectionMode::Fresh);
            client.send(&mut request).unwrap().read_all(10).unwrap();
        }
        wait_until("the first sweep", || epolls() == before + 1);
        assert_eq!(client.manager().stats().idle, 20);
        client.manager().close_all(CloseMode::Now);
        assert_eq!(epolls(), before, "closed with the last connection");
        // It comes back with the next idle connection, and another manager has its own.
        let other = client_with(Limits::default());
        for client in [&client, &other] {
            assert_eq!(fetch(client, &server.url("/")).unwrap(), b"ok");
        }
        wait_until("the next sweeps", || epolls() == before + 2);
        drop((client, other));
        assert_eq!(epolls(), before);
    });
}

#[test]
fn without_a_descriptor_to_watch_with_idle_connections_are_watched_all_the_same() {
    let name =
        "descriptors::without_a_descriptor_to_watch_with_idle_connections_are_watched_all_the_same";
    in_own_process(name, || {
        // A FIN without a close, which would free a descriptor of this process.
        let ending = vec![Step::answer(200, "ok"), Step::wait_for("go"), Step::Fin, Step::Stall];
        let server = Server::start(Script::every(ending));
        let client = client();
        let before = epolls();
        let requests: Vec<_> = (0..2)
            .map(|_| {
                let mut request = request("GET", &server.url("/"));
                request.set_connection_mode(ConnectionMode::Fresh);
                client.send(&mut request).unwrap().read_all(10).unwrap()
            })
            .collect();
        assert_eq!(requests, [b"ok", b"ok"]);
        // No number is free any more.
        let open = descriptors();
        let highest = *open.last().unwrap();
        let holes = (0..highest).filter(|number| !open.contains(number)).count();
        let plugs: Vec<_> = (0..holes).map(|_| std::fs::File::open("/dev/null").unwrap()).collect();
        let is_polled = epolls() == before;
        let soft = limit_descriptors(highest + 1);
        server.release("go");
        wait_until("the ends to be seen", || client.manager().stats().swept == 2);
        limit_descriptors(soft);
        drop(plugs);
        println!("polled: {is_polled}");
        assert_at_rest(client.manager());
    });
}
