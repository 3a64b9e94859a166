//! Effects on the process: signals, descriptors, threads, the order in which handles are freed, and the return of all
//! counts to their base line (P2-P4, P6, C16). Forked children (P1) are in `forks.rs`, the signal masks of the library's
//! threads in `signals.rs`, the descriptors of blocked calls in `descriptors.rs`, a lack of threads in `threads.rs`.

#[path = "../support/mod.rs"]
mod support;

mod descriptors;
mod forks;
mod signals;
mod threads;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use hangup::{
    Body, CancelToken, CloseMode, ConnectionMode, Error, Kind, Limits, Manager, Phase, Timeout,
};
use testserver::{BlackHole, Certificate, Script, Server, Step};

use crate::support::counted_reader::CountedReader;
use crate::support::form::{Client, Form, in_both_forms};
use crate::support::inspect::{
    assert_at_rest, assert_gone, assert_sockets, closes_on_exec, descriptors, sockets, threads,
};
use crate::support::outcome::{assert_consistent, assert_in_time, assert_timed_out};
use crate::support::own_process::{in_own_process, in_own_process_with};
use crate::support::{Random, fetch, get, ms, post, request, wait_until};

in_both_forms! {
    p2_a_peer_that_resets_an_upload_raises_no_sigpipe,
    p2_every_descriptor_is_closed_on_exec,
    p3_a_response_that_is_kept_after_its_end_holds_no_descriptor,
    p3_out_of_descriptors_is_an_error_and_then_it_recovers,
    p4_handles_are_freed_in_any_order_from_any_thread_in_any_state,
    p4_a_response_outlives_its_client_and_manager,
    p6_two_thousand_mixed_exchanges_with_faults_return_to_the_base_line,
    c16_without_an_interrupt_check_signals_do_not_end_a_blocked_call,
}

const HALF: &str = "HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\nten bytes.";

fn p2_a_peer_that_resets_an_upload_raises_no_sigpipe(form: Form) {
    in_own_process(&form.name("p2_a_peer_that_resets_an_upload_raises_no_sigpipe"), || {
        // Rust's runtime ignores the signal; a C program's does not.
        // SAFETY: the default action, set before any other thread looks.
        unsafe { libc::signal(libc::SIGPIPE, libc::SIG_DFL) };
        let plain = Script::every(vec![Step::head(), Step::Rst]);
        let closing = Script::every(vec![Step::head(), Step::Close]);
        let servers = [
            Server::start(plain.clone()),
            Server::start(closing),
            Server::start_tls(Certificate::Good, plain),
        ];
        for server in &servers {
            for _ in 0..10 {
                let client = form.tls_client();
                let (source, account) = CountedReader::endless();
                let mut request = post(&server.url("/"), source.chunked());
                let error = client.send(&mut request).unwrap_err();
                let gone = [Kind::PeerReset, Kind::PeerClosed];
                assert!(gone.contains(&error.kind()), "{error:?}");
                account.assert_dropped_once();
                assert_gone(client.manager(), server.port());
            }
        }
    });
}

fn p2_every_descriptor_is_closed_on_exec(form: Form) {
    in_own_process(&form.name("p2_every_descriptor_is_closed_on_exec"), || {
        let plain = Server::start(Script::answering("ok"));
        let secure = Server::start_tls(Certificate::Good, Script::answering("ok"));
        let hole = BlackHole::new();
        let before = descriptors();
        let client = form.tls_client();
        // Idle connections, one in use, one being dialled, one after a lookup, and the timer of a token.
        fetch(&client, &plain.url("/")).unwrap();
        fetch(&client, &secure.url("/")).unwrap();
        fetch(&client, &format!("http://localhost:{}/", plain.port())).unwrap();
        let _open = get(&client, &plain.url("/")).unwrap();
        let token = CancelToken::new();
        let mut request = request("GET", &hole.url("/"));
        request.set_cancel(Some(token.clone()));
        thread::scope(|scope| {
            let work = scope.spawn(|| client.send(&mut request).map(drop));
            wait_until("a dial", || client.manager().stats().dialling == 1);
            token.after(ms(60_000));
            let new: Vec<i32> =
                descriptors().into_iter().filter(|fd| !before.contains(fd)).collect();
            assert!(new.len() >= 4, "{new:?}");
            let left_open: Vec<&i32> = new.iter().filter(|fd| !closes_on_exec(**fd)).collect();
            assert!(left_open.is_empty(), "{left_open:?} of {new:?}");
            token.fire(None);
            assert!(work.join().unwrap().is_err());
        });
    });
}

fn p3_a_response_that_is_kept_after_its_end_holds_no_descriptor(form: Form) {
    in_own_process(
        &form.name("p3_a_response_that_is_kept_after_its_end_holds_no_descriptor"),
        || {
            let server = Server::start(Script::answering("ok"));
            let client = form.client();
            let mut request = request("GET", &server.url("/"));
            request.set_connection_mode(ConnectionMode::Fresh);
            let mut read = || {
                let mut response = client.send(&mut request).unwrap();
                assert_eq!(response.read_all(2).unwrap(), b"ok");
                response
            };
            // This also opens the descriptors that are opened once and kept: the eventfd for a thread's waits.
            let mut kept = vec![read()];
            client.manager().close_all(CloseMode::Now);
            wait_until("the server's end of it", || server.open_connections() == 0);
            let before = descriptors();
            kept.extend((0..30).map(|_| read()));
            client.manager().close_all(CloseMode::Now);
            wait_until("the descriptors of before", || descriptors() == before);
            drop(kept);
        },
    );
}

fn p3_out_of_descriptors_is_an_error_and_then_it_recovers(form: Form) {
    let server = Server::start(Script::answering("ok"));
    let secure = Server::start_tls(Certificate::Good, Script::answering("ok"));
    let by_name = format!("http://localhost:{}/", server.port());
    // The servers run in this process, with its descriptors.
    let (plain, tls) = (server.url("/"), secure.url("/"));
    let env = [("P3_PLAIN", plain.as_str()), ("P3_NAME", &by_name), ("P3_TLS", &tls)];
    in_own_process_with(
        &form.name("p3_out_of_descriptors_is_an_error_and_then_it_recovers"),
        &env,
        || {
            let urls = ["P3_PLAIN", "P3_NAME", "P3_TLS"].map(|name| std::env::var(name).unwrap());
            let client = form.client();
            client.set_tls_dangerously_accept_any_certificate(true).unwrap();
            // This opens the descriptors that are opened once and kept.
            urls.iter().for_each(|url| drop(fetch(&client, url).unwrap()));
            client.manager().close_all(CloseMode::Now);
            // The worker of a lookup may keep its descriptor for a moment.
            let mut base = descriptors();
            wait_until("descriptors at rest", || {
                thread::sleep(ms(20));
                let now = descriptors();
                std::mem::replace(&mut base, now.clone()) == now
            });
            let mut refused = 0;
            for url in &urls {
                for room in 0..6 {
                    // All numbers below the highest are in use, and this many are free above it.
                    let highest = *base.last().unwrap();
                    let holes = highest as usize + 1 - base.len();
                    let open = |_| std::fs::File::open("/dev/null").unwrap();
                    let plugs: Vec<std::fs::File> = (0..holes).map(open).collect();
                    let soft = limit_descriptors(highest + 1 + room);
                    let outcome = fetch(&client, url);
                    drop(plugs);
                    limit_descriptors(soft);
                    if let Err(error) = outcome {
                        refused += 1;
                        let kinds = [Kind::System, Kind::ResolveFailed];
                        assert!(kinds.contains(&error.kind()), "{url}, room for {room}: {error:?}");
                        assert_consistent(&error);
                        if error.kind() == Kind::System {
                            assert_eq!(error.os_code(), Some(libc::EMFILE), "{error:?}");
                            assert!(error.message().contains("descriptors"), "{error}");
                        }
                        assert!(error.retry_safe());
                    }
                    assert_at_rest(client.manager());
                    client.manager().close_all(CloseMode::Now);
                    wait_until("the descriptors of before", || descriptors() == base);
                    // Requests succeed again at once.
                    assert_eq!(fetch(&client, url).unwrap(), b"ok");
                    client.manager().close_all(CloseMode::Now);
                    wait_until("the descriptors of before", || descriptors() == base);
                }
            }
            assert!(refused >= 3, "{refused}");
            println!("{refused} of 18 refused");
        },
    );
}

/// Sets the soft limit on descriptors, and returns the earlier one.
fn limit_descriptors(to: i32) -> i32 {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: a valid structure, for the call only.
    unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) };
    let before = limit.rlim_cur;
    limit.rlim_cur = to as u64;
    // SAFETY: as above.
    assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) }, 0);
    before as i32
}

fn p4_handles_are_freed_in_any_order_from_any_thread_in_any_state(form: Form) {
    for seed in 0..200 {
        let mut random = Random::new(seed);
        let server =
            Server::start(Script::every(vec![Step::head(), Step::send(HALF), Step::Stall]));
        let port = server.port();
        let manager = Arc::new(Manager::new(Limits::default()));
        let client = form.of(hangup::Client::new(Arc::clone(&manager)));
        let parent = CancelToken::new();
        let token = parent.child();
        let mut request = post(&server.url("/"), Body::bytes(b"body"));
        request.set_cancel(Some(token.clone()));
        let mut response = client.send(&mut request).unwrap();
        // Unread, half read, ended by its token, its close handle, its manager, or its peer.
        match seed % 6 {
            0 => {}
            1 => assert_eq!(response.read(&mut [0; 10]).unwrap(), 10),
            2 => parent.fire(Some("gone")),
            3 => response.close_handle().close(),
            4 => manager.shutdown(),
            _ => drop(manager.close_all(CloseMode::Now)),
        }
        let stopper = response.close_handle();
        let mut things: Vec<Box<dyn Send>> = vec![
            Box::new(manager),
            Box::new(client),
            Box::new(request),
            Box::new(token),
            Box::new(parent),
            Box::new(response),
            Box::new(stopper),
            Box::new(server),
        ];
        while !things.is_empty() {
            let thing = things.swap_remove(random.below(things.len() as u64) as usize);
            match random.below(2) {
                0 => drop(thing),
                _ => thread::spawn(move || drop(thing)).join().unwrap(),
            }
        }
        assert_eq!(sockets(port), [], "seed {seed}");
    }
}

fn p4_a_response_outlives_its_client_and_manager(form: Form) {
    let steps =
        vec![Step::head(), Step::send(HALF), Step::wait_for("rest"), Step::send("ten others")];
    let server = Server::start(Script::every(steps));
    let mut response = {
        let client = form.client();
        get(&client, &server.url("/")).unwrap()
    };
    server.release("rest");
    let body = thread::spawn(move || response.read_all(100)).join().unwrap();
    assert_eq!(body.unwrap(), b"ten bytes.ten others");
    // Without its client and manager the connection is of no further use.
    wait_until("the last socket's end", || sockets(server.port()).is_empty());
}

/// Scripts with every kind of network fault, in turn.
fn faults() -> Vec<Vec<Step>> {
    let ok = || Step::times(3, vec![Step::answer(200, "fine")]);
    vec![
        vec![ok(), Step::Close],
        vec![Step::Close],
        vec![Step::head(), Step::Rst],
        vec![Step::head(), Step::send("HTTP/1.1 20"), Step::Close],
        vec![Step::head(), Step::send(HALF), Step::Rst],
        vec![ok(), Step::head(), Step::send(HALF), Step::Close],
        vec![Step::head(), Step::send("nonsense\r\n\r\n")],
        vec![Step::head(), Step::send(HALF), Step::Stall],
        vec![Step::head(), Step::Stall],
        vec![Step::answer(200, "fine"), Step::send("unasked")],
        vec![ok(), Step::answer(204, ""), Step::Rst],
    ]
}

fn p6_two_thousand_mixed_exchanges_with_faults_return_to_the_base_line(form: Form) {
    in_own_process(
        &form.name("p6_two_thousand_mixed_exchanges_with_faults_return_to_the_base_line"),
        || {
            let mut server = Server::start(Script::new((0..250).flat_map(|_| faults()).collect()));
            let url = server.url("/");
            // After this run everything that is started once and kept exists.
            let warm = Server::start(Script::answering("ok"));
            let client = form.client();
            fetch(&client, &warm.url("/")).unwrap();
            client.manager().close_all(CloseMode::Now);
            let (base_threads, base) = (threads(), descriptors());
            let (done, well) = (AtomicUsize::new(0), AtomicUsize::new(0));
            let accounts = std::sync::Mutex::new(Vec::new());
            thread::scope(|scope| {
                for worker in 0..8 {
                    let (client, url, done, well, accounts) =
                        (&client, &url, &done, &well, &accounts);
                    scope.spawn(move || {
                        let mut random = Random::new(worker);
                        for _ in 0..250 {
                            let (source, account) = CountedReader::pieces(3, 1000, |_| {});
                            if mixed(client, url, source, &mut random).is_ok() {
                                well.fetch_add(1, Ordering::SeqCst);
                            }
                            accounts.lock().unwrap().push(account);
                            done.fetch_add(1, Ordering::SeqCst);
                        }
                    });
                }
            });
            let well = well.into_inner();
            println!("{well} of 2000 went well; {:?}", client.manager().stats());
            assert!(well > 100 && well < 1900, "{well}");
            accounts.into_inner().unwrap().iter().for_each(|account| account.assert_dropped_once());
            // Draining closes may go on for a moment.
            wait_until("rest", || client.manager().stats().in_use == 0);
            assert_at_rest(client.manager());
            assert_sockets(server.port(), client.manager().stats().idle as usize);
            client.manager().close_all(CloseMode::Now);
            assert_eq!(sockets(server.port()), []);
            server.stop();
            // Timer threads end after an idle time.
            wait_until("the threads of before", || threads() <= base_threads);
            let mine = |fd: &i32| base.contains(fd);
            // A thread closes its thread-local descriptors a moment after it was joined.
            wait_until("the descriptors of before", || descriptors().iter().all(mine));
            drop(client);
            drop(warm);
        },
    );
}

/// One exchange of a random kind, ended in a random way.
fn mixed(
    client: &Client,
    url: &str,
    source: CountedReader,
    random: &mut Random,
) -> Result<(), Error> {
    let token = CancelToken::new();
    let mut request = match random.below(3) {
        0 => post(url, source.chunked()),
        1 => post(url, source.of_length(3000)),
        _ => request("GET", url),
    };
    request.set_cancel(Some(token.clone()));
    request.set_timeout(Timeout::Total, Some(ms(20 + random.below(200)))).unwrap();
    request.set_timeout(Timeout::Head, Some(ms(50))).unwrap();
    if random.below(4) == 0 {
        request.set_connection_mode(ConnectionMode::CloseAfter);
    }
    match random.below(10) {
        0 => token.fire(None),
        1 => token.after(Duration::from_micros(random.below(2000))),
        _ => {}
    }
    let mut response = client.send(&mut request).inspect_err(assert_consistent)?;
    match random.below(6) {
        0 => drop(response),
        1 => response.close(CloseMode::Graceful),
        2 => {
            drop(client.manager().close_connection(response.connection_id(), CloseMode::Now));
            drop(response.read_all(100));
        }
        3 => {
            response.close_handle().close();
            drop(response.read_all(100));
        }
        _ => drop(response.read_all(100).inspect_err(assert_consistent)?),
    }
    Ok(())
}

extern "C" fn nothing(_: libc::c_int) {}

fn c16_without_an_interrupt_check_signals_do_not_end_a_blocked_call(form: Form) {
    let name = &form.name("c16_without_an_interrupt_check_signals_do_not_end_a_blocked_call");
    in_own_process(name, || {
        // Without SA_RESTART: every blocking call of this process ends with EINTR.
        // SAFETY: a zeroed sigaction with a handler that does nothing.
        unsafe {
            let mut action: libc::sigaction = std::mem::zeroed();
            action.sa_sigaction = nothing as *const () as usize;
            libc::sigaction(libc::SIGUSR1, &raw const action, std::ptr::null_mut());
        }
        let steps =
            vec![Step::head(), Step::body(), Step::sleep(100), Step::send(HALF), Step::sleep(100)];
        let whole = [steps.clone(), vec![Step::send("ten others")]].concat();
        let stalled = [steps, vec![Step::Stall]].concat();
        let server = Server::start(Script::new(vec![whole, stalled]));
        let client = form.client();
        let done = AtomicBool::new(false);
        // SAFETY: the calling thread's own number.
        let me = unsafe { libc::pthread_self() };
        thread::scope(|scope| {
            let done = &done;
            scope.spawn(move || {
                while !done.load(Ordering::SeqCst) {
                    // SAFETY: the thread waits for this one at the scope's end.
                    unsafe { libc::pthread_kill(me, libc::SIGUSR1) };
                    thread::sleep(Duration::from_micros(300));
                }
            });
            let (source, _) = CountedReader::pieces(10, 100_000, |_| {});
            let mut upload = post(&server.url("/"), source.chunked());
            let whole = client.send(&mut upload).and_then(|mut response| response.read_all(100));
            // Timeouts expire at their time.
            let begun = Instant::now();
            let mut late = request("GET", &server.url("/"));
            late.set_timeout(Timeout::Head, Some(ms(60))).unwrap();
            late.set_connection_mode(ConnectionMode::Fresh);
            let error = client.send(&mut late).unwrap_err();
            let took = begun.elapsed();
            done.store(true, Ordering::SeqCst);
            assert_eq!(whole.unwrap(), b"ten bytes.ten others");
            assert_timed_out(&error, Timeout::Head, Phase::Head);
            assert_in_time("under a storm of signals", ms(60), took);
        });
        assert_eq!(server.connections(), 2);
    });
}
