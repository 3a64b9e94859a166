//! The I/O thread starts when it is needed and ends when it is not, in this process and in a forked child.

use std::sync::Arc;
use std::thread;

use hangup::{CancelToken, Client, CloseMode, Manager, Phase};
use testserver::{Script, Server, Step};

use crate::support::form::block_on;
use crate::support::inspect::{assert_at_rest, descriptors, threads_named};
use crate::support::outcome::{REASON, assert_cancelled};
use crate::support::own_process::in_own_process;
use crate::support::submissions::{
    PolledSubmission, SilentServer, TEN_OF_100, buffered_get, errors, with_token,
};
use crate::support::{PATIENCE, Random, client, fetch, request, wait_until};

#[test]
fn the_io_thread_begins_with_the_first_submission_and_ends_with_the_last_manager() {
    let name =
        "io_thread::the_io_thread_begins_with_the_first_submission_and_ends_with_the_last_manager";
    in_own_process(name, || {
        let server = Server::start(Script::answering("ok"));
        let there = || threads_named("hangup-io").len();
        fetch(&client(), &server.url("/")).unwrap();
        let gone = |before: &[i32]| {
            wait_until("the end of the thread", || there() == 0);
            let new = || descriptors().into_iter().filter(|fd| !before.contains(fd)).count();
            wait_until("the descriptors of before", || new() == 0);
        };
        let before = descriptors();
        for _ in 0..3 {
            let (one, other) = (client(), client());
            fetch(&one, &server.url("/")).unwrap();
            assert_eq!(there(), 0, "blocking calls need none");
            one.submit(buffered_get(&server.url("/"), 10)).wait().unwrap();
            assert_eq!(there(), 1);
            let mut last = other.submit(request("GET", &server.url("/"))).wait().unwrap();
            assert_eq!(there(), 1, "all share it");
            drop(one);
            other.submit(buffered_get(&server.url("/"), 10)).wait().unwrap();
            assert_eq!(there(), 1);
            // A response keeps its manager alive.
            drop(other);
            assert_eq!(block_on(last.read_async(10)).unwrap(), b"ok");
            assert_eq!(there(), 1);
            drop(last);
            wait_until("the server's ends", || server.open_connections() == 0);
            gone(&before);
        }
        // Requests in progress are completed, because their outcomes are still wanted.
        let (silent, token) = (SilentServer::start(), CancelToken::new());
        let before = descriptors();
        let client = client();
        let late =
            PolledSubmission::new(client.submit(with_token(request("GET", &silent.url()), &token)));
        drop(client);
        wait_until("its head", || silent.heads() == 1);
        assert_eq!(there(), 1);
        token.fire(Some(REASON));
        assert_cancelled(&errors(vec![late])[0], Phase::Head);
        silent.held.lock().unwrap().clear();
        gone(&before);
    });
}

#[test]
fn after_a_fork_the_child_submits_and_the_parents_go_on() {
    in_own_process("io_thread::after_a_fork_the_child_submits_and_the_parents_go_on", || {
        let half = vec![Step::head(), Step::send(TEN_OF_100), Step::wait_for("rest")];
        let rest = vec![Step::Fill { bytes: 90, byte: 'x' }, Step::eof()];
        let slow = Server::start(Script::every([half, rest].concat()));
        let answers = Server::start(Script::answering("ok"));
        let client = client();
        let all: Vec<_> = (0..50)
            .map(|_| PolledSubmission::new(client.submit(buffered_get(&slow.url("/"), 100))))
            .collect();
        assert!(slow.wait_heads(50, PATIENCE));
        let shared = Manager::shared();
        let other = Client::new(Arc::clone(&shared));
        other.submit(buffered_get(&answers.url("/"), 10)).wait().unwrap();
        for round in 0..3 {
            // SAFETY: no pointers. The child uses what this test is about, and its own memory.
            let child = unsafe { libc::fork() };
            if child == 0 {
                // SAFETY: no pointers. A child that hangs is ended.
                unsafe { libc::alarm(30) };
                assert!(threads_named("hangup-io").is_empty());
                // With the manager of the submissions, the shared manager, and a new one.
                for client in [&client, &other, &crate::support::client()] {
                    let mine: Vec<_> = (0..20)
                        .map(|_| client.submit(buffered_get(&answers.url("/"), 10)))
                        .collect();
                    for one in mine {
                        assert_eq!(one.wait().unwrap().read_all(10).unwrap(), b"ok");
                    }
                }
                assert_eq!(threads_named("hangup-io").len(), 1);
                drop(client);
                // SAFETY: handlers of atexit(3) run, as they would in any program.
                unsafe { libc::exit(0) };
            }
            if round == 0 {
                // Meanwhile the parent submits more.
                other.submit(buffered_get(&answers.url("/"), 10)).wait().unwrap();
            }
            let mut status = 0;
            // SAFETY: a valid pointer to where the status goes.
            assert_eq!(unsafe { libc::waitpid(child, &raw mut status, 0) }, child);
            assert_eq!(status, 0);
        }
        assert!(!all.iter().any(PolledSubmission::is_done));
        assert_eq!(threads_named("hangup-io").len(), 1);
        slow.release("rest");
        wait_until("every outcome", || all.iter().all(PolledSubmission::is_done));
        for one in all {
            assert_eq!(one.outcome().unwrap().read_all(100).unwrap().len(), 100);
        }
        assert_eq!(slow.connections(), 50);
    });
}

/// Sets how many I/O threads share the submissions from now on.
pub(super) fn io_threads(count: usize) {
    // The function is in the C ABI only.
    unsafe extern "C" {
        fn hangup_set_io_threads(count: usize, error: *mut *mut std::ffi::c_void) -> i32;
    }
    // SAFETY: NULL for the error, which is optional.
    assert_eq!(unsafe { hangup_set_io_threads(count, std::ptr::null_mut()) }, 0);
}

#[test]
fn several_io_threads_share_the_work_and_end_it_as_one() {
    in_own_process("io_thread::several_io_threads_share_the_work_and_end_it_as_one", || {
        io_threads(3);
        let (silent, client) = (SilentServer::start(), client());
        let token = CancelToken::new();
        let submit = || client.submit(with_token(request("GET", &silent.url()), &token));
        let all: Vec<_> = (0..300).map(|_| PolledSubmission::new(submit())).collect();
        wait_until("all of the heads", || silent.heads() == 300);
        assert_eq!(threads_named("hangup-io").len(), 3);
        token.fire(Some(REASON));
        errors(all).iter().for_each(|error| assert_cancelled(error, Phase::Head));
        wait_until("every close", || silent.ended() == 300);
        assert_at_rest(client.manager());
        // A reused connection is read by the thread that runs the request.
        let server = Server::start(Script::answering("ok"));
        for round in 0..20 {
            let mut response = client.submit(buffered_get(&server.url("/"), 10)).wait().unwrap();
            assert_eq!(response.reused(), round > 0);
            assert_eq!(response.read_all(10).unwrap(), b"ok");
            let mut body = client.submit(request("GET", &server.url("/"))).wait().unwrap();
            assert_eq!(block_on(body.read_async(10)).unwrap(), b"ok");
        }
        assert_eq!(server.connections(), 1);
        drop(client);
        wait_until("the end of the threads", || threads_named("hangup-io").is_empty());
    });
}

#[test]
fn fewer_io_threads_give_back_their_threads_and_descriptors() {
    in_own_process("io_thread::fewer_io_threads_give_back_their_threads_and_descriptors", || {
        let steps = vec![Step::head(), Step::send(TEN_OF_100), Step::wait_for("rest")];
        let rest = vec![Step::Fill { bytes: 90, byte: 'x' }, Step::eof()];
        let slow = Script::every([steps, rest].concat());
        let server = Server::start(Script::answering("ok"));
        let client = client();
        let many = |url: &str| -> Vec<_> {
            (0..256).map(|_| PolledSubmission::new(client.submit(buffered_get(url, 100)))).collect()
        };
        let there = || threads_named("hangup-io").len();
        fetch(&client, &server.url("/")).unwrap();
        client.submit(buffered_get(&server.url("/"), 10)).wait().unwrap();
        // An I/O thread has epoll descriptors and an eventfd.
        let polled = |fd: &i32| {
            let at = std::fs::read_link(format!("/proc/self/fd/{fd}"));
            at.is_ok_and(|at| at.to_string_lossy().contains("eventpoll"))
        };
        let own = || descriptors().iter().filter(|fd| polled(fd)).count();
        // One more watches the idle connections, while there are any.
        client.manager().close_all(CloseMode::Now);
        let (before, all_before) = (own(), descriptors().len());
        for _ in 0..3 {
            let slow = Server::start(slow.clone());
            io_threads(64);
            let all = many(&server.url("/"));
            let held = many(&slow.url("/"));
            wait_until("all of the threads", || there() == 64);
            for one in all {
                wait_until("an answer", || one.is_done());
                assert_eq!(one.outcome().unwrap().read_all(10).unwrap(), b"ok");
            }
            // One request on each connection: the script answers each connection once.
            assert!(slow.wait_heads(256, PATIENCE));
            let idle = client.manager().stats().idle;
            io_threads(1);
            // The threads complete the requests that they have in progress.
            let late = client.submit(buffered_get(&server.url("/"), 10)).wait().unwrap();
            assert!(late.reused());
            assert!(!held.iter().any(PolledSubmission::is_done));
            slow.release("rest");
            for one in held {
                wait_until("an answer", || one.is_done());
                assert_eq!(one.outcome().unwrap().read_all(100).unwrap().len(), 100);
            }
            wait_until("the end of the threads", || there() == 1);
            wait_until("the descriptors of before", || own() == before + 1);
            // Their idle connections stay idle and serve later requests.
            assert!(client.manager().stats().idle >= idle);
            for one in many(&server.url("/")) {
                wait_until("an answer", || one.is_done());
                assert_eq!(one.outcome().unwrap().read_all(10).unwrap(), b"ok");
            }
            assert_at_rest(client.manager());
            client.manager().close_all(CloseMode::Now);
            drop(slow);
            wait_until("all of the descriptors of before", || descriptors().len() <= all_before);
        }
    });
}

#[test]
fn no_submission_is_lost_while_threads_come_and_go() {
    in_own_process("io_thread::no_submission_is_lost_while_threads_come_and_go", || {
        let server = Server::start(Script::answering("ok"));
        let client = client();
        let over = std::sync::atomic::AtomicBool::new(false);
        thread::scope(|scope| {
            let submitters: Vec<_> = (0..4)
                .map(|_| {
                    scope.spawn(|| {
                        for _ in 0..300 {
                            let outcome = client.submit(buffered_get(&server.url("/"), 10)).wait();
                            assert_eq!(outcome.unwrap().read_all(10).unwrap(), b"ok");
                        }
                    })
                })
                .collect();
            scope.spawn(|| {
                let mut random = Random::new(1);
                while !over.load(std::sync::atomic::Ordering::SeqCst) {
                    io_threads(1 + random.below(8) as usize);
                    thread::sleep(crate::support::ms(1));
                }
            });
            let ended: Vec<_> = submitters.into_iter().map(|one| one.join()).collect();
            over.store(true, std::sync::atomic::Ordering::SeqCst);
            ended.into_iter().for_each(|one| one.unwrap());
        });
        io_threads(1);
        wait_until("the end of the threads", || threads_named("hangup-io").len() <= 1);
        assert_at_rest(client.manager());
    });
}

#[test]
fn managers_come_and_go_and_the_io_thread_with_them() {
    in_own_process("io_thread::managers_come_and_go_and_the_io_thread_with_them", || {
        let server = Server::start(Script::answering("ok"));
        thread::scope(|scope| {
            for seed in 0..4 {
                let server = &server;
                scope.spawn(move || {
                    let mut random = Random::new(seed);
                    for _ in 0..100 {
                        let client = client();
                        let all: Vec<_> = (0..=random.below(3))
                            .map(|_| client.submit(buffered_get(&server.url("/"), 10)))
                            .collect();
                        // Before or after the outcomes: the last reference to the manager may be a fiber's.
                        let client = (random.below(2) == 0).then_some(client);
                        for one in all {
                            assert_eq!(one.wait().unwrap().read_all(10).unwrap(), b"ok");
                        }
                        drop(client);
                    }
                });
            }
        });
        wait_until("the end of the threads", || threads_named("hangup-io").is_empty());
        wait_until("the server's ends", || server.open_connections() == 0);
    });
}
