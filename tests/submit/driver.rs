//! An event loop of the program that does the work of what it submits.

use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::{self, ThreadId};
use std::time::Duration;

use hangup::{CancelToken, Driver, Error, Kind, Phase};
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};
use testserver::{Script, Server, Step};

use crate::support::inspect::{assert_at_rest, descriptors, threads_named};
use crate::support::outcome::{REASON, assert_cancelled};
use crate::support::own_process::in_own_process;
use crate::support::submissions::{SilentServer, buffered_get, with_token};
use crate::support::{PATIENCE, client, request, wait_until};

/// A loop of the program's, with mio, which polls edge-triggered.
struct Host {
    driver: Driver,
    poll: Poll,
    events: Events,
}

impl Host {
    fn new() -> Self {
        let (driver, poll) = (Driver::new().unwrap(), Poll::new().unwrap());
        let number = driver.descriptor().as_raw_fd();
        let register = poll.registry();
        register.register(&mut SourceFd(&number), Token(7), Interest::READABLE).unwrap();
        Self { driver, poll, events: Events::with_capacity(8) }
    }

    /// Runs the loop until that is so, of which the descriptor says nothing.
    fn run_until_seen(&mut self, what: impl Fn() -> bool) {
        wait_until("what the loop does", || {
            while self.driver.drive().unwrap() {}
            self.poll.poll(&mut self.events, Some(Duration::from_millis(1))).unwrap();
            what()
        });
    }

    /// Runs the loop until that is so, which comes with what the descriptor shows.
    fn run_until(&mut self, what: impl Fn() -> bool) {
        loop {
            while self.driver.drive().unwrap() {}
            if what() {
                return;
            }
            self.poll.poll(&mut self.events, Some(PATIENCE)).unwrap();
            assert!(!self.events.is_empty(), "the descriptor did not become readable");
        }
    }
}

/// What a submission brought, and the thread that brought it.
type Brought = Arc<std::sync::Mutex<Vec<(Result<Vec<u8>, Error>, ThreadId)>>>;

/// Submits it, and has its body read.
fn submit(client: &hangup::Client, request: hangup::Request, brought: &Brought) {
    let brought = Arc::clone(brought);
    client.submit_with(request, move |outcome| {
        let body = outcome.and_then(|mut response| response.read_all(usize::MAX));
        brought.lock().unwrap().push((body, thread::current().id()));
    });
}

#[test]
fn the_loop_of_the_program_does_the_work_on_its_thread() {
    let server = Server::start(Script::answering("ok"));
    let client = client();
    let (mut host, brought) = (Host::new(), Brought::default());
    for many in [1, 100] {
        for _ in 0..many {
            host.driver.enter(|| submit(&client, buffered_get(&server.url("/"), 10), &brought));
        }
        host.run_until(|| brought.lock().unwrap().len() == many);
        for (body, _) in brought.lock().unwrap().drain(..) {
            assert_eq!(body.unwrap(), b"ok");
        }
    }
    // The first turn is of the loop's own thread; from then on it is the program's, as long as it comes in time.
    wait_until("an outcome that this thread brought", || {
        host.driver.enter(|| submit(&client, buffered_get(&server.url("/"), 10), &brought));
        host.run_until(|| !brought.lock().unwrap().is_empty());
        brought.lock().unwrap().drain(..).any(|(_, thread)| thread == thread::current().id())
    });
    assert_at_rest(client.manager());
}

#[test]
fn a_timeout_a_cancel_and_an_absent_program() {
    let (silent, answers) = (SilentServer::start(), Server::start(Script::answering("ok")));
    let client = client();
    let (mut host, brought) = (Host::new(), Brought::default());
    let outcome = |brought: &Brought| brought.lock().unwrap().pop().unwrap().0;
    let mut waits = request("GET", &silent.url());
    waits.set_timeout(hangup::Timeout::Head, Some(Duration::from_millis(30))).unwrap();
    host.driver.enter(|| submit(&client, waits, &brought));
    host.run_until(|| !brought.lock().unwrap().is_empty());
    assert_eq!(outcome(&brought).unwrap_err().kind(), Kind::TimedOut);

    let token = CancelToken::new();
    let cancelled = with_token(request("GET", &silent.url()), &token);
    host.driver.enter(|| submit(&client, cancelled, &brought));
    host.run_until_seen(|| silent.heads() == 2);
    token.fire(Some(REASON));
    host.run_until(|| !brought.lock().unwrap().is_empty());
    assert_cancelled(&outcome(&brought).unwrap_err(), Phase::Head);

    // Nothing drives: a thread of the library does.
    host.driver.enter(|| submit(&client, buffered_get(&answers.url("/"), 10), &brought));
    wait_until("the outcome", || !brought.lock().unwrap().is_empty());
    let (body, thread) = brought.lock().unwrap().pop().unwrap();
    assert_eq!(body.unwrap(), b"ok");
    assert_ne!(thread, thread::current().id());
    // The driver is dropped, and what is under way goes on.
    let token = CancelToken::new();
    let cancelled = with_token(request("GET", &silent.url()), &token);
    host.driver.enter(|| submit(&client, cancelled, &brought));
    host.run_until_seen(|| silent.heads() == 3);
    drop(host);
    token.fire(Some(REASON));
    wait_until("the outcome", || !brought.lock().unwrap().is_empty());
    assert_cancelled(&outcome(&brought).unwrap_err(), Phase::Head);
}

#[test]
fn futures_that_are_polled_in_it_are_its_work() {
    let pieces = vec![Step::head(), Step::send("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nabc")];
    let rest = vec![Step::wait_for("rest"), Step::send("def")];
    let server = Server::start(Script::every([pieces, rest].concat()));
    let client = client();
    let mut host = Host::new();
    let url = server.url("/");
    let work = async {
        let mut response = client.submit(request("GET", &url)).await?;
        let mut body = response.read_async(10).await?;
        server.release("rest");
        while body.len() < 6 {
            body.extend(response.read_async(10).await?);
        }
        Ok::<_, Error>(body)
    };
    let mut work = Box::pin(work);
    let woken = Arc::new(Woken(AtomicUsize::new(1)));
    let waker = std::task::Waker::from(Arc::clone(&woken));
    let body = loop {
        host.run_until(|| woken.0.load(Ordering::SeqCst) > 0);
        woken.0.store(0, Ordering::SeqCst);
        let mut context = std::task::Context::from_waker(&waker);
        let polled = host.driver.enter(|| work.as_mut().poll(&mut context));
        if let std::task::Poll::Ready(body) = polled {
            break body.unwrap();
        }
    };
    assert_eq!(body, b"abcdef");
}

struct Woken(AtomicUsize);

impl std::task::Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

#[test]
fn its_thread_and_its_descriptors_end_with_it_and_a_forked_child_makes_its_own() {
    let name =
        "driver::its_thread_and_its_descriptors_end_with_it_and_a_forked_child_makes_its_own";
    in_own_process(name, || {
        let server = Server::start(Script::answering("ok"));
        let client = client();
        let before = descriptors();
        let (mut host, brought) = (Host::new(), Brought::default());
        let one = |host: &mut Host| {
            host.driver.enter(|| submit(&client, buffered_get(&server.url("/"), 10), &brought));
            host.run_until(|| !brought.lock().unwrap().is_empty());
            assert_eq!(brought.lock().unwrap().pop().unwrap().0.unwrap(), b"ok");
        };
        one(&mut host);
        assert_eq!(threads_named("hangup-io").len(), 1);
        // SAFETY: no pointers. The child uses what this test is about, and its own memory.
        let child = unsafe { libc::fork() };
        if child == 0 {
            // SAFETY: no pointers. A child that hangs is ended.
            unsafe { libc::alarm(30) };
            assert_eq!(host.driver.drive().unwrap_err().kind(), Kind::Forked);
            // A thread of the library does what the parent's driver can't.
            host.driver.enter(|| submit(&client, buffered_get(&server.url("/"), 10), &brought));
            wait_until("the outcome", || !brought.lock().unwrap().is_empty());
            assert_eq!(brought.lock().unwrap().pop().unwrap().0.unwrap(), b"ok");
            drop(host);
            one(&mut Host::new());
            // SAFETY: no pointers.
            unsafe { libc::_exit(0) };
        }
        let mut status = 0;
        // SAFETY: a valid pointer to where the status goes.
        assert_eq!(unsafe { libc::waitpid(child, &raw mut status, 0) }, child);
        assert_eq!(status, 0);
        one(&mut host);
        drop(host);
        drop(client);
        wait_until("the end of the thread", || threads_named("hangup-io").is_empty());
        let new = || descriptors().into_iter().filter(|fd| !before.contains(fd)).count();
        wait_until("the descriptors of before", || new() == 0);
    });
}
