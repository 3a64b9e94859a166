//! The lookup of names: address overrides, a resolver in place of getaddrinfo, and the cache.

use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use hangup::{
    CancelToken, CloseMode, ConnectionMode, ConnectionState, Kind, Limits, Phase, Timeout,
};
use testserver::{Addresses, Manner, Script, Server};

use super::addresses::{NAME, SOON};
use crate::support::form::{Client, Form, in_both_forms};
use crate::support::inspect::{assert_at_rest, assert_gone};
use crate::support::outcome::{assert_timed_out, cancelled, ended_from_outside};
use crate::support::{MARGIN, fetch, get, ms, request, wait_until};

in_both_forms! {
    an_address_override_replaces_the_lookup_of_a_name,
    the_outcome_of_a_resolver_is_the_outcome_of_the_lookup,
    a_resolver_that_blocks_delays_no_cancel_or_timeout,
    a_resolver_that_blocks_does_not_delay_a_shutdown,
    a_lookups_result_is_cached_until_it_expires,
    a_name_whose_cached_address_cannot_be_connected_to_is_looked_up_again,
    a_result_is_cached_for_as_long_as_the_resolver_says,
    a_lookup_begun_before_a_network_change_is_not_cached,
    sixteen_concurrent_requests_share_one_lookup,
}

fn a_name_whose_cached_address_cannot_be_connected_to_is_looked_up_again(form: Form) {
    let server = Server::start(Script::answering("moved"));
    let client = form.client();
    let moved = Arc::new(AtomicUsize::new(0));
    let asked = Arc::clone(&moved);
    // Nothing listens at the first address; the name has another one from the second lookup on.
    let count = hooked(&client, move |_| {
        let first = asked.fetch_add(1, Ordering::SeqCst) == 0;
        Ok(vec![if first { "127.0.0.77" } else { "127.0.0.1" }.parse().unwrap()])
    });
    let url = format!("http://moving.test:{}/", server.port());
    assert_eq!(fetch(&client, &url).unwrap_err().kind(), Kind::ConnectFailed);
    assert_eq!(fetch(&client, &url).unwrap(), b"moved");
    assert_eq!(count.load(Ordering::SeqCst), 2);
}

fn loopback() -> Vec<IpAddr> {
    vec!["127.0.0.1".parse().unwrap()]
}

/// Sets `hook` as the resolver. Returns the counter of its calls.
fn hooked(
    client: &Client,
    hook: impl Fn(&str) -> Result<Vec<IpAddr>, String> + Send + Sync + 'static,
) -> Arc<AtomicUsize> {
    let count = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&count);
    client.manager().set_resolver(Some(Arc::new(move |host: &str| {
        counted.fetch_add(1, Ordering::SeqCst);
        hook(host)
    })));
    count
}

/// Blocks resolvers until it is opened.
#[derive(Clone, Default)]
struct Door(Arc<(Mutex<bool>, Condvar)>);

impl Door {
    fn pass(&self) {
        let (open, changed) = &*self.0;
        drop(changed.wait_while(open.lock().unwrap(), |open| !*open).unwrap());
    }

    fn open(&self) {
        *self.0.0.lock().unwrap() = true;
        self.0.1.notify_all();
    }
}

fn url(port: u16) -> String {
    format!("http://{NAME}:{port}/")
}

/// A GET over a new connection.
fn fresh(client: &Client, url: &str) -> Vec<u8> {
    let mut request = request("GET", url);
    request.set_connection_mode(ConnectionMode::Fresh);
    client.send(&mut request).unwrap().read_all(10).unwrap()
}

fn an_address_override_replaces_the_lookup_of_a_name(form: Form) {
    let server = Server::start(Script::echoing());
    let client = form.client();
    let count = hooked(&client, |host| Err(format!("{host} was asked for")));
    client.manager().set_address("By-Hand.Test", &loopback()).unwrap();
    let head = fetch(&client, &format!("http://by-hand.TEST:{}/", server.port())).unwrap();
    // The Host header still has the name.
    let host = format!("Host: by-hand.test:{}\r\n", server.port());
    assert!(String::from_utf8(head).unwrap().contains(&host));
    client.manager().set_address("by-hand.test", &[]).unwrap();
    // The open connection is used; a new one needs a lookup.
    assert!(get(&client, &format!("http://by-hand.test:{}/", server.port())).unwrap().reused());
    client.manager().close_all(CloseMode::Now);
    let error = get(&client, &format!("http://by-hand.test:{}/", server.port())).unwrap_err();
    assert_eq!((error.kind(), error.phase()), (Kind::ResolveFailed, Phase::Resolve));
    assert!(error.message().contains("by-hand.test was asked for"), "{error}");
    assert_eq!(count.load(Ordering::SeqCst), 1);
    for bad in ["", "a:1", "http://a", "a b"] {
        let error = client.manager().set_address(bad, &loopback()).unwrap_err();
        assert_eq!(error.kind(), Kind::InvalidArgument, "{bad:?}");
    }
}

fn the_outcome_of_a_resolver_is_the_outcome_of_the_lookup(form: Form) {
    let server = Server::start(Script::answering("ok"));
    let client = form.client();
    for (hook, words) in [
        (Box::new(|_: &str| Err("no such luck".to_owned())) as Box<Hook>, "no such luck"),
        (Box::new(|_: &str| Ok(Vec::new())), "no address"),
        (Box::new(|_: &str| panic!("a test's panic, on purpose")), "panicked"),
    ] {
        let count = hooked(&client, hook);
        for _ in 0..2 {
            let error = fetch(&client, &url(server.port())).unwrap_err();
            assert_eq!((error.kind(), error.phase()), (Kind::ResolveFailed, Phase::Resolve));
            assert!(error.message().contains(words), "{error}");
            assert!(error.message().contains(NAME) && error.retry_safe(), "{error}");
            assert_gone(client.manager(), server.port());
        }
        assert_eq!(count.load(Ordering::SeqCst), 2, "a failure is not kept");
    }
    let slow = hooked(&client, |host| {
        thread::sleep(ms(200));
        assert_eq!(host, NAME);
        Ok(loopback())
    });
    let begun = Instant::now();
    assert_eq!(fetch(&client, &url(server.port())).unwrap(), b"ok");
    assert!(begun.elapsed() >= ms(200));
    // An address needs no lookup.
    assert_eq!(fresh(&client, &server.url("/")), b"ok");
    assert_eq!(slow.load(Ordering::SeqCst), 1);
    // Without the resolver getaddrinfo is used again, and no result of the resolver is kept.
    client.manager().set_resolver(None);
    client.manager().close_all(CloseMode::Now);
    assert_eq!(fetch(&client, &url(server.port())).unwrap_err().kind(), Kind::ResolveFailed);
    assert_eq!(fetch(&client, &format!("http://localhost:{}/", server.port())).unwrap(), b"ok");
}

type Hook = dyn Fn(&str) -> Result<Vec<IpAddr>, String> + Send + Sync;

fn a_resolver_that_blocks_delays_no_cancel_or_timeout(form: Form) {
    let server = Server::start(Script::answering("ok"));
    let client = form.client();
    client.manager().set_limits(Limits { per_origin: 1, ..Limits::default() }).unwrap();
    let door = Door::default();
    let mine = door.clone();
    let count = hooked(&client, move |_| {
        mine.pass();
        Ok(loopback())
    });
    let resolving = || {
        let open = client.manager().connections();
        open.len() == 1 && open[0].state == ConnectionState::Resolving
    };
    let wait = |_| wait_until("a lookup", resolving);
    for _ in 0..5 {
        let token = CancelToken::new();
        let mut request = request("GET", &url(server.port()));
        request.set_cancel(Some(token.clone()));
        let work = || client.send(&mut request);
        cancelled("in a hook", &token, Phase::Resolve, work, wait);
        // The slot is free at once, because a lookup has no socket that another request could use.
        assert_gone(client.manager(), server.port());
    }
    let mut limited = request("GET", &url(server.port()));
    limited.set_timeout(Timeout::Resolve, Some(ms(100))).unwrap();
    let begun = Instant::now();
    assert_timed_out(&client.send(&mut limited).unwrap_err(), Timeout::Resolve, Phase::Resolve);
    assert!(begun.elapsed() >= ms(100) && begun.elapsed() < SOON);
    assert_gone(client.manager(), server.port());
    let work = || fetch(&client, &url(server.port()));
    let close = || assert_eq!(client.manager().close_all(CloseMode::Now), 1);
    let (outcome, took) = ended_from_outside(work, wait, close);
    assert_eq!(outcome.unwrap_err().kind(), Kind::Closed);
    assert!(took < MARGIN, "{took:?}");
    // All of them shared one lookup. Requests that still wait when it ends are served.
    thread::scope(|scope| {
        let late = scope.spawn(|| fetch(&client, &url(server.port())));
        wait_until("a lookup", resolving);
        door.open();
        assert_eq!(late.join().unwrap().unwrap(), b"ok");
    });
    assert_eq!(count.load(Ordering::SeqCst), 1);
    assert_at_rest(client.manager());
}

fn a_resolver_that_blocks_does_not_delay_a_shutdown(form: Form) {
    let client = form.client();
    let door = Door::default();
    let mine = door.clone();
    hooked(&client, move |_| {
        mine.pass();
        Ok(loopback())
    });
    let work = || fetch(&client, &url(1));
    let wait = |_| wait_until("a lookup", || client.manager().stats().dialling == 1);
    let (outcome, took) = ended_from_outside(work, wait, || client.manager().shutdown());
    assert_eq!(outcome.unwrap_err().kind(), Kind::ShutDown);
    assert!(took < MARGIN, "{took:?}");
    assert_at_rest(client.manager());
    // The end of the manager does not wait for it either.
    drop(client);
    door.open();
}

fn a_lookups_result_is_cached_until_it_expires(form: Form) {
    let server = Server::start(Script::answering("ok"));
    let client = form.client();
    let count = hooked(&client, |_| Ok(loopback()));
    let ask = || {
        assert_eq!(fresh(&client, &url(server.port())), b"ok");
        count.load(Ordering::SeqCst)
    };
    assert!((0..20).all(|_| ask() == 1));
    client.manager().clear_addresses();
    assert_eq!((ask(), ask()), (2, 2));
    assert!(client.manager().network_changed() > 0);
    assert_eq!((ask(), ask()), (3, 3));
    // Another port of the same name needs no lookup.
    let other = Server::start(Script::answering("ok"));
    assert_eq!(fresh(&client, &url(other.port())), b"ok");
    assert_eq!(count.load(Ordering::SeqCst), 3);
    // All addresses fail, so the cached result is dropped.
    let dead = Addresses::open(&[("127.0.0.1", Manner::Refuses)]).unwrap();
    for _ in 0..2 {
        assert_eq!(fetch(&client, &url(dead.port())).unwrap_err().kind(), Kind::ConnectFailed);
    }
    assert_eq!((ask(), ask()), (5, 5));
}

fn a_result_is_cached_for_as_long_as_the_resolver_says(form: Form) {
    let server = Server::start(Script::answering("ok"));
    for (ttl, asked) in
        [(Some(Duration::ZERO), 3), (Some(Duration::MAX), 1), (Some(ms(1)), 3), (None, 1)]
    {
        let client = form.client();
        let count = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&count);
        client.manager().set_resolver_with_ttl(Some(Arc::new(move |_: &str| {
            counted.fetch_add(1, Ordering::SeqCst);
            Ok(hangup::Addresses { addresses: loopback(), ttl })
        })));
        for _ in 0..3 {
            assert_eq!(fresh(&client, &url(server.port())), b"ok");
            thread::sleep(ms(2));
        }
        assert_eq!(count.load(Ordering::SeqCst), asked, "{ttl:?}");
    }
}

fn a_lookup_begun_before_a_network_change_is_not_cached(form: Form) {
    let server = Server::start(Script::answering("ok"));
    let client = form.client();
    let (inside, door) = (Arc::new(AtomicBool::new(false)), Door::default());
    let (entered, mine) = (Arc::clone(&inside), door.clone());
    let count = hooked(&client, move |_| {
        entered.store(true, Ordering::SeqCst);
        mine.pass();
        Ok(loopback())
    });
    thread::scope(|scope| {
        let first = scope.spawn(|| fetch(&client, &url(server.port())));
        wait_until("the hook", || inside.load(Ordering::SeqCst));
        client.manager().clear_addresses();
        door.open();
        assert_eq!(first.join().unwrap().unwrap(), b"ok");
    });
    assert_eq!(fresh(&client, &url(server.port())), b"ok");
    assert_eq!(count.load(Ordering::SeqCst), 2);
}

fn sixteen_concurrent_requests_share_one_lookup(form: Form) {
    for tls in [false, true] {
        let server = match tls {
            false => Server::start(Script::answering("ok")),
            true => Server::start_tls(testserver::Certificate::Good, Script::answering("ok")),
        };
        let client = form.tls_client();
        let door = Door::default();
        let mine = door.clone();
        let count = hooked(&client, move |_| {
            mine.pass();
            Ok(loopback())
        });
        let scheme = if tls { "https" } else { "http" };
        let url = format!("{scheme}://localhost:{}/", server.port());
        thread::scope(|scope| {
            let all: Vec<_> = (0..16).map(|_| scope.spawn(|| fetch(&client, &url))).collect();
            wait_until("sixteen dials", || client.manager().stats().dialling == 16);
            door.open();
            all.into_iter().for_each(|one| assert_eq!(one.join().unwrap().unwrap(), b"ok"));
        });
        assert_eq!(count.load(Ordering::SeqCst), 1);
        // Late dials become idle: a request that was given a freed connection did not wait for its own dial.
        wait_until("late dials", || client.manager().stats().dialling == 0);
        assert_at_rest(client.manager());
    }
}
