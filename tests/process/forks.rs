//! Forked children: they work independently of what the parent's threads were doing, and do not touch the parent's
//! connections (P1).

use std::net::IpAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use hangup::{
    CancelToken, CloseMode, CloseReason, ConnectionState, Kind, Limits, Manager, Phase, Timeout,
};
use testserver::{BlackHole, Certificate, Script, Server, Step, certs};

use super::HALF;
use super::descriptors::epolls;
use crate::support::form::{Client, Form, in_both_forms};
use crate::support::inspect::{assert_at_rest, descriptor_target, descriptors, sockets};
use crate::support::own_process::{in_own_process, in_own_process_with};
use crate::support::{PATIENCE, fetch, get, ms, request, wait_until};

in_both_forms! {
    p1_a_child_gets_new_connections_and_its_parents_are_untouched,
    p1_a_child_works_regardless_of_what_its_parents_threads_were_doing,
    p1_a_child_does_not_wait_for_a_parents_thread_that_reads_the_systems_roots,
    p1_a_child_that_lives_on_does_not_keep_its_parents_connections_open,
    p1_a_child_looks_names_up_itself,
    p1_a_child_leaves_its_parents_stream_alone,
}

/// A child that was forked.
struct Child(libc::pid_t);

/// Forks; the child runs `body` and exits, as a program does that returns from main.
fn fork(body: impl FnOnce()) -> Child {
    // SAFETY: no pointers. The child uses what this test is about, and its own memory.
    let child = unsafe { libc::fork() };
    assert!(child >= 0);
    if child == 0 {
        // SAFETY: no pointers. A child that hangs is ended.
        unsafe { libc::alarm(30) };
        let well = catch_unwind(AssertUnwindSafe(body)).is_ok();
        // SAFETY: handlers of atexit(3) run, as they would in any program.
        unsafe { libc::exit(i32::from(!well)) };
    }
    Child(child)
}

impl Child {
    /// Waits for its end, which must be a success.
    #[track_caller]
    fn join(self) {
        let mut status = 0;
        // SAFETY: a valid pointer to where the status goes.
        let ended = unsafe { libc::waitpid(self.0, &raw mut status, 0) };
        assert_eq!(ended, self.0);
        assert!(libc::WIFEXITED(status), "ended by signal {}", libc::WTERMSIG(status));
        assert_eq!(libc::WEXITSTATUS(status), 0, "the child panicked");
    }

    /// Kills the child.
    fn kill(self) {
        // SAFETY: a child of ours that was not waited for yet, so that its number is still its.
        unsafe { libc::kill(self.0, libc::SIGKILL) };
        // SAFETY: NULL for the status, which is optional.
        unsafe { libc::waitpid(self.0, std::ptr::null_mut(), 0) };
    }
}

/// Whether any process has a socket that is connecting to that port (proc(5)).
fn is_connecting_to(port: u16) -> bool {
    let table = std::fs::read_to_string("/proc/self/net/tcp").unwrap();
    let peer = format!(":{port:04X}");
    table.lines().any(|row| {
        let mut fields = row.split_ascii_whitespace().skip(2);
        fields.next().is_some_and(|to| to.ends_with(&peer)) && fields.next() == Some("02")
    })
}

/// The work of a child that does not use hangup.
fn sleep_until_killed() {
    loop {
        thread::sleep(Duration::from_secs(1));
    }
}

/// Sends requests in a child, by name: over new connections that are then reused, plain and with TLS.
fn work(client: &Client, urls: &[String]) {
    let known: Vec<u64> = client.manager().connections().iter().map(|open| open.id).collect();
    assert_eq!(known, [0; 0], "a child has no connections");
    assert_eq!(client.manager().stats().idle, 0);
    for url in urls {
        for round in 0..3 {
            let mut response = get(client, url).unwrap();
            assert_eq!(response.reused(), round > 0, "{url}");
            assert_eq!(response.read_all(10).unwrap(), b"ok");
        }
    }
    assert_eq!(client.manager().connections().len(), urls.len());
    assert_at_rest(client.manager());
}

fn p1_a_child_gets_new_connections_and_its_parents_are_untouched(form: Form) {
    in_own_process(
        &form.name("forks::p1_a_child_gets_new_connections_and_its_parents_are_untouched"),
        || {
            let plain = Server::start(Script::answering("ok"));
            let secure = Server::start_tls(Certificate::Good, Script::answering("ok"));
            let half =
                Server::start(Script::every(vec![Step::head(), Step::send(HALF), Step::Stall]));
            let slow = vec![Step::head(), Step::send(HALF), Step::wait_for("rest")];
            let slow =
                Server::start(Script::every([slow, vec![Step::send("ten others")]].concat()));
            let client = form.tls_client();
            let urls = [plain.url("/"), secure.url("/")];
            urls.iter().for_each(|url| assert_eq!(fetch(&client, url).unwrap(), b"ok"));
            let mut open = get(&client, &slow.url("/")).unwrap();
            assert_eq!(open.read(&mut [0; 10]).unwrap(), 10);
            let mut doomed = Some(get(&client, &half.url("/")).unwrap());
            let token = CancelToken::new();
            let mut inherited = request("GET", &half.url("/"));
            inherited.set_cancel(Some(token.clone()));
            let mut held = Some(client.send(&mut inherited).unwrap());
            let child = fork(|| {
                let ports = [plain.port(), secure.port(), half.port(), slow.port()];
                let of_port =
                    |port| sockets(port).into_iter().filter_map(|held| descriptor_target(held.fd));
                let theirs: Vec<_> = ports.into_iter().flat_map(of_port).collect();
                assert_eq!(theirs.len(), 5, "{theirs:?}");
                work(&client, &urls);
                // The parent's exchanges cannot go on in the child.
                for _ in 0..2 {
                    assert_eq!(open.read(&mut [0; 10]).unwrap_err().kind(), Kind::Forked);
                }
                token.fire(None);
                drop(held.take());
                let mut doomed = doomed.take().unwrap();
                doomed.close_handle().close();
                assert!(doomed.read_all(100).is_err());
                drop(doomed);
                let open = descriptors().into_iter().filter_map(descriptor_target);
                let left: Vec<_> = open.filter(|one| theirs.contains(one)).collect();
                assert!(left.is_empty(), "its parent's five are closed here: {left:?}");
                fork(|| work(&client, &urls)).join();
                client.manager().close_all(CloseMode::Now);
                work(&client, &urls);
            });
            child.join();
            // The child sent no byte and closed nothing.
            for (server, connections) in [(&plain, 1), (&secure, 1), (&half, 2), (&slow, 1)] {
                assert!((0..connections).all(|number| server.ended(number).is_none()));
            }
            for (url, server) in urls.iter().zip([&plain, &secure]) {
                let mut response = get(&client, url).unwrap();
                assert!(response.reused());
                assert_eq!(response.read_all(10).unwrap(), b"ok");
                assert_eq!(server.heads(0).len(), 2);
            }
            slow.release("rest");
            assert_eq!(open.read_all(100).unwrap(), b"ten others");
            for response in [&mut doomed, &mut held] {
                assert_eq!(response.as_mut().unwrap().read(&mut [0; 10]).unwrap(), 10);
            }
        },
    );
}

/// Sets a resolver that blocks in this process and returns a result in children.
fn blocking_here(client: &Client) -> Arc<AtomicBool> {
    let (me, inside) = (std::process::id(), Arc::new(AtomicBool::new(false)));
    let entered = Arc::clone(&inside);
    client.manager().set_resolver(Some(Arc::new(move |host: &str| {
        while std::process::id() == me && host == "blocked.test" {
            entered.store(true, Ordering::SeqCst);
            thread::sleep(ms(5));
        }
        Ok(vec!["127.0.0.1".parse::<IpAddr>().unwrap()])
    })));
    inside
}

fn p1_a_child_works_regardless_of_what_its_parents_threads_were_doing(form: Form) {
    in_own_process(
        &form.name("forks::p1_a_child_works_regardless_of_what_its_parents_threads_were_doing"),
        || {
            let server = Server::start(Script::answering("ok"));
            let silent = Server::start(Script::every(vec![Step::Stall]));
            let stalled = Server::start(Script::every(vec![Step::head(), Step::Stall]));
            let hole = BlackHole::new();
            let manager = Arc::new(Manager::new(Limits {
                per_origin: 1,
                idle_for: Some(ms(300)),
                ..Limits::default()
            }));
            let client = form.of(hangup::Client::new(manager));
            client.set_tls_roots(certs().ca().as_bytes()).unwrap();
            let inside = blocking_here(&client);
            let token = CancelToken::new();
            let ask = |url: String| {
                let mut request = request("GET", &url);
                request.set_cancel(Some(token.clone()));
                client.send(&mut request).map(drop).unwrap_err().kind()
            };
            let silent_url = format!("https://localhost:{}/", silent.port());
            let by_name = format!("http://blocked.test:{}/", server.port());
            thread::scope(|scope| {
                // Threads in the resolver, in connect, in TLS, at the wait for a head, in the queue, and a timer.
                let urls = [
                    by_name.clone(),
                    hole.url("/"),
                    silent_url,
                    stalled.url("/"),
                    stalled.url("/"),
                ];
                let all: Vec<_> = urls.into_iter().map(|url| scope.spawn(|| ask(url))).collect();
                wait_until("the hook", || inside.load(Ordering::SeqCst));
                wait_until("the dials", || client.manager().stats().dialling == 3);
                wait_until("the queue", || client.manager().stats().queued == 1);
                token.after(Duration::from_secs(60));
                // In the background: the dial of a cancelled exchange, a preconnect, and the sweep.
                let mut left = request("GET", &format!("https://127.0.0.1:{}/", silent.port()));
                left.set_timeout(Timeout::Total, Some(ms(50))).unwrap();
                assert_eq!(client.send(&mut left).unwrap_err().kind(), Kind::TimedOut);
                let ahead = format!("https://127.0.0.2:{}/", hole.port());
                client.preconnect(&ahead, 1).unwrap();
                assert_eq!(fetch(&client, &server.url("/")).unwrap(), b"ok");
                let children: Vec<_> = (0..3)
                    .map(|_| fork(|| in_the_child(&client, &by_name, &server.url("/"))))
                    .collect();
                children.into_iter().for_each(Child::join);
                // The parent is not affected.
                assert_eq!(fetch(&client, &server.url("/")).unwrap(), b"ok");
                token.fire(None);
                for one in all {
                    assert_eq!(one.join().unwrap(), Kind::Cancelled);
                }
            });
            wait_until("the dials that go on", || client.manager().stats().dialling == 0);
            assert!(silent.wait_ended(0, PATIENCE).is_some(), "the child does not keep it open");
            assert!(stalled.wait_ended(0, PATIENCE).is_some());
        },
    );
}

/// Uses the resolver, the workers, the timer and the sweep in a child.
fn in_the_child(client: &Client, by_name: &str, url: &str) {
    let manager = client.manager();
    assert_eq!((manager.stats().dialling, manager.stats().queued), (0, 0));
    assert_eq!(fetch(client, by_name).unwrap(), b"ok");
    // A preconnect, in the background.
    assert_eq!(client.preconnect(url, 1).unwrap(), 1);
    wait_until("a dial ahead", || manager.stats().idle == 2);
    let mut response = get(client, url).unwrap();
    assert!(response.reused());
    let id = response.connection_id();
    assert_eq!(response.read_all(10).unwrap(), b"ok");
    wait_until("the sweep", || manager.stats().idle == 0);
    assert_eq!(manager.close_reason(id), Some(CloseReason::IdleTooLong));
    // A deadline that is set while a call waits.
    let hole = BlackHole::new();
    let token = CancelToken::new();
    let mut request = request("GET", &hole.url("/"));
    request.set_cancel(Some(token.clone()));
    thread::scope(|scope| {
        let work = scope.spawn(|| client.send(&mut request).map(drop).unwrap_err());
        wait_until("a dial", || {
            manager.connections().iter().any(|c| c.state == ConnectionState::Connecting)
        });
        token.after(ms(50));
        let error = work.join().unwrap();
        assert_eq!((error.kind(), error.timeout()), (Kind::TimedOut, Timeout::Token));
    });
    manager.shutdown();
    assert_eq!(get(client, url).unwrap_err().kind(), Kind::ShutDown);
}

fn p1_a_child_does_not_wait_for_a_parents_thread_that_reads_the_systems_roots(form: Form) {
    let name = &form
        .name("forks::p1_a_child_does_not_wait_for_a_parents_thread_that_reads_the_systems_roots");
    // An open of the FIFO for reading blocks until there is a writer.
    let path = std::env::temp_dir().join(format!("hangup-roots-{}", std::process::id()));
    let path_text = path.to_str().unwrap().to_owned();
    in_own_process_with(name, &[("SSL_CERT_FILE", &path_text)], || {
        let path = std::env::var("SSL_CERT_FILE").unwrap();
        let c_path = std::ffi::CString::new(path.clone()).unwrap();
        // SAFETY: a C string for the call only.
        assert_eq!(unsafe { libc::mkfifo(c_path.as_ptr(), 0o600) }, 0);
        let server = Server::start_tls(Certificate::Good, Script::answering("ok"));
        let client = form.client();
        let url = server.url("/");
        thread::scope(|scope| {
            let first = scope.spawn(|| fetch(&client, &url));
            wait_until("TLS", || {
                client.manager().connections().iter().any(|c| c.state == ConnectionState::Tls)
            });
            thread::sleep(ms(100));
            let child = fork(|| {
                // The child has other roots; whether it trusts the server does not matter here.
                // SAFETY: the only thread of this process.
                unsafe { std::env::set_var("SSL_CERT_FILE", "/no/such/file") };
                let error = fetch(&client, &url).unwrap_err();
                assert_eq!((error.kind(), error.phase()), (Kind::TlsFailed, Phase::Tls));
            });
            child.join();
            std::fs::write(&path, certs().ca()).unwrap();
            assert_eq!(first.join().unwrap().unwrap(), b"ok");
        });
        std::fs::remove_file(&path).unwrap();
    });
}

fn p1_a_child_that_lives_on_does_not_keep_its_parents_connections_open(form: Form) {
    in_own_process(
        &form.name("forks::p1_a_child_that_lives_on_does_not_keep_its_parents_connections_open"),
        || {
            let silent = Server::start(Script::every(vec![Step::Stall]));
            let proxy = Server::start(Script::every(vec![Step::head(), Step::Stall]));
            let plain = Server::start(Script::answering("ok"));
            let client = form.tls_client();
            assert_eq!(fetch(&client, &plain.url("/")).unwrap(), b"ok");
            let child = Mutex::new(None);
            let in_dial = |url: String, server: &Server| {
                let mut request = request("GET", &url);
                request.set_timeout(Timeout::Connect, Some(ms(600))).unwrap();
                request.set_timeout(Timeout::Tls, Some(ms(600))).unwrap();
                thread::scope(|scope| {
                    let work = scope.spawn(|| client.send(&mut request).map(drop).unwrap_err());
                    assert!(server.wait_connections(1, PATIENCE));
                    let open = || client.manager().connections();
                    wait_until("a dial", || {
                        open().iter().any(|c| c.bytes_out > 0 && c.peer.is_some())
                    });
                    // This child does not use hangup.
                    *child.lock().unwrap() = Some(fork(sleep_until_killed));
                    assert_eq!(work.join().unwrap().kind(), Kind::TimedOut);
                });
                let begun = Instant::now();
                let seen = server.wait_ended(0, Duration::from_secs(5));
                assert!(seen.is_some(), "{url}: {:?}", begun.elapsed());
            };
            // Checked while the socket connects: a later listener must not accept it.
            let hole = BlackHole::new();
            let mut request = request("GET", &hole.url("/"));
            request.set_timeout(Timeout::Connect, Some(ms(600))).unwrap();
            thread::scope(|scope| {
                let work = scope.spawn(|| client.send(&mut request).map(drop).unwrap_err());
                wait_until("a SYN", || is_connecting_to(hole.port()));
                *child.lock().unwrap() = Some(fork(sleep_until_killed));
                assert_eq!(work.join().unwrap().kind(), Kind::TimedOut);
            });
            assert!(!is_connecting_to(hole.port()));
            child.lock().unwrap().take().unwrap().kill();
            in_dial(format!("https://localhost:{}/", silent.port()), &silent);
            child.lock().unwrap().take().unwrap().kill();
            client.set_proxy(Some(&format!("127.0.0.1:{}", proxy.port()))).unwrap();
            in_dial("https://localhost:1/".to_owned(), &proxy);
            client.manager().close_all(CloseMode::Now);
            assert!(plain.wait_ended(0, Duration::from_secs(5)).is_some());
            child.lock().unwrap().take().unwrap().kill();
        },
    );
}

fn p1_a_child_leaves_its_parents_stream_alone(form: Form) {
    in_own_process(&form.name("forks::p1_a_child_leaves_its_parents_stream_alone"), || {
        let switch = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: lines\r\n\r\n";
        let steps = vec![Step::head(), Step::send(switch), Step::Echo];
        let plain = Server::start(Script::every(steps.clone()));
        let secure = Server::start_tls(Certificate::Good, Script::every(steps));
        for server in [plain, secure] {
            let client = form.tls_client();
            let mut asking = request("GET", &server.url("/"));
            asking.add_header("Upgrade", "lines").unwrap();
            let stream = client.send(&mut asking).unwrap().take_stream().unwrap();
            let number = stream.descriptor();
            let mut copy = Some(stream.clone());
            thread::scope(|scope| {
                // A read is under way while the process forks.
                let reader = scope.spawn(|| stream.read_exactly(12).unwrap());
                stream.write_all(b"before").unwrap();
                wait_until("the echo", || client.manager().connections()[0].bytes_in > 0);
                let child = fork(|| {
                    for error in [
                        stream.read(1).unwrap_err(),
                        stream.write_all(b"from the child").unwrap_err(),
                        stream.shutdown_write().unwrap_err(),
                        stream.set_timeout(Timeout::Read, None).unwrap_err(),
                    ] {
                        assert_eq!(error.kind(), Kind::Forked, "{error}");
                    }
                    stream.close();
                    drop(copy.take());
                    assert_eq!(client.manager().connections().len(), 0);
                });
                child.join();
                stream.write_all(b" after").unwrap();
                assert_eq!(reader.join().unwrap(), b"before after");
            });
            assert_eq!(number.is_some(), server.url("/").starts_with("http:"));
            stream.close();
            assert_at_rest(client.manager());
        }
    });
}

fn p1_a_child_looks_names_up_itself(form: Form) {
    in_own_process(&form.name("forks::p1_a_child_looks_names_up_itself"), || {
        let server = Server::start(Script::answering("ok"));
        let client = form.client();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let pids = Arc::clone(&asked);
        client.manager().set_resolver(Some(Arc::new(move |_: &str| {
            pids.lock().unwrap().push(std::process::id());
            Ok(vec!["127.0.0.1".parse::<IpAddr>().unwrap()])
        })));
        let url = format!("http://asked.test:{}/", server.port());
        assert_eq!(fetch(&client, &url).unwrap(), b"ok");
        let parent = std::process::id();
        fork(|| {
            work(&client, std::slice::from_ref(&url));
            assert_eq!(*asked.lock().unwrap(), [parent, std::process::id()]);
            // Address overrides are kept in the child.
            client.manager().set_resolver(None);
            client.manager().set_address("asked.test", &["127.0.0.1".parse().unwrap()]).unwrap();
            client.manager().close_all(CloseMode::Now);
            work(&client, std::slice::from_ref(&url));
        })
        .join();
        client.manager().close_all(CloseMode::Now);
        assert_eq!(fetch(&client, &url).unwrap(), b"ok");
        assert_eq!(*asked.lock().unwrap(), [parent]);
    });
}

#[test]
fn p1_a_child_watches_its_own_idle_connections_and_not_its_parents() {
    let name = "forks::p1_a_child_watches_its_own_idle_connections_and_not_its_parents";
    in_own_process(name, || {
        let of_parent = vec![Step::answer(200, "ok"), Step::wait_for("go"), Step::Close];
        let of_child = vec![Step::answer(200, "ok"), Step::sleep(20), Step::Close];
        let server = Server::start(Script::new(vec![of_parent, of_child]));
        let before = epolls();
        let client = crate::support::client();
        assert_eq!(fetch(&client, &server.url("/")).unwrap(), b"ok");
        wait_until("the first sweep", || epolls() == before + 1);
        // A fork inside the sweep would leave its descriptor open in the child. The next one is half a second away.
        std::thread::sleep(Duration::from_millis(250));
        let child = fork(|| {
            assert_eq!(client.manager().stats().idle, 0);
            assert_eq!(epolls(), before, "its parent's is closed here");
            assert_eq!(fetch(&client, &server.url("/")).unwrap(), b"ok");
            wait_until("the sweep of the child", || client.manager().stats().swept == 1);
        });
        child.join();
        let stats = client.manager().stats();
        assert_eq!((stats.idle, stats.swept), (1, 0));
        server.release("go");
        wait_until("the sweep of the parent", || client.manager().stats().swept == 1);
        assert_at_rest(client.manager());
    });
}
