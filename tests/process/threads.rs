//! Threads for work that may block: work that hangs delays only the requests that wait for it, and in a process that can
//! start no thread a request fails with a system error (EAGAIN).

use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use hangup::{CancelToken, Error, Kind, Limits, Phase, Timeout};
use testserver::{Certificate, Script, Server};

use crate::support::counted_reader::CountedReader;
use crate::support::form::{Client, Form, in_both_forms};
use crate::support::inspect::{assert_at_rest, threads_named};
use crate::support::outcome::{REASON, assert_cancelled, assert_consistent};
use crate::support::own_process::{
    BLOCKED, blocking_resolver, in_own_process, in_own_process_with, refuse_threads, thread_refuser,
};
use crate::support::submissions::{PolledSubmission, buffered_get, errors};
use crate::support::{client, fetch, get, ms, post, request, wait_until};

in_both_forms! {
    a_lookup_that_hangs_in_a_resolver_delays_only_requests_for_that_name,
    a_lookup_that_hangs_in_getaddrinfo_delays_only_requests_for_that_name,
    a_lookup_without_a_thread_is_a_system_error,
    a_lookup_waits_briefly_for_a_thread_when_all_are_busy,
    an_upload_without_a_thread_for_its_reader_is_a_system_error_or_reads_on_the_callers_thread,
    preconnect_without_a_thread_is_a_system_error,
}

/// More than the number of workers of a pool.
const MANY: usize = 300;

fn loopback() -> Vec<IpAddr> {
    vec!["127.0.0.1".parse().unwrap()]
}

/// Sends that many requests for names whose lookup hangs; half of them are cancelled. Then a request for `good` must
/// succeed.
fn many_hang_and_one_does_not(client: &Client, hung: &dyn Fn(usize) -> String, good: &str) {
    let token = CancelToken::new();
    let ask = |number| {
        let mut request = request("GET", &hung(number));
        request.set_timeout(Timeout::Resolve, None).unwrap();
        if number % 2 == 0 {
            request.set_cancel(Some(token.clone()));
        }
        PolledSubmission::new(client.submit(request))
    };
    let all: Vec<_> = (0..MANY).map(ask).collect();
    wait_until("every lookup", || threads_named("hangup-resolve").len() == MANY);
    token.fire(Some(REASON));
    let (stay, left): (Vec<_>, Vec<_>) =
        all.into_iter().enumerate().partition(|(number, _)| number % 2 == 1);
    let left = left.into_iter().map(|(_, one)| one).collect();
    errors(left).iter().for_each(|error| assert_cancelled(error, Phase::Resolve));
    let stay: Vec<_> = stay.into_iter().map(|(_, one)| one).collect();
    let begun = Instant::now();
    assert_eq!(fetch(client, good).unwrap(), b"ok");
    assert!(begun.elapsed() < ms(5000), "{:?}", begun.elapsed());
    assert!(!stay.iter().any(PolledSubmission::is_done));
    client.manager().shutdown();
    errors(stay).iter().for_each(|error| assert_eq!(error.kind(), Kind::ShutDown));
    assert_at_rest(client.manager());
}

fn a_lookup_that_hangs_in_a_resolver_delays_only_requests_for_that_name(form: Form) {
    in_own_process(
        &form.name("threads::a_lookup_that_hangs_in_a_resolver_delays_only_requests_for_that_name"),
        || {
            let server = Server::start(Script::answering("ok"));
            let client = form.client_with(Limits::default());
            let (_hold, never) = channel::<()>();
            let never = Mutex::new(never);
            client.manager().set_resolver(Some(Arc::new(move |host: &str| {
                if host.starts_with("hung") {
                    // All but the first wait for the lock, which serves the same purpose.
                    let _ = never.lock().unwrap().recv();
                }
                Ok(loopback())
            })));
            let hung = |number| format!("http://hung{number}.test:{}/", server.port());
            many_hang_and_one_does_not(
                &client,
                &hung,
                &format!("http://good.test:{}/", server.port()),
            );
        },
    );
}

fn a_lookup_that_hangs_in_getaddrinfo_delays_only_requests_for_that_name(form: Form) {
    let name =
        form.name("threads::a_lookup_that_hangs_in_getaddrinfo_delays_only_requests_for_that_name");
    let shim = blocking_resolver();
    in_own_process_with(&name, &[("LD_PRELOAD", shim.to_str().unwrap())], || {
        let server = Server::start(Script::answering("ok"));
        let client = form.client_with(Limits::default());
        let hung = |number| format!("http://n{number}.{BLOCKED}:{}/", server.port());
        many_hang_and_one_does_not(&client, &hung, &format!("http://localhost:{}/", server.port()));
    });
}

/// Runs `body` in a process that can be made to start no thread, with the URL of a server in this one.
#[track_caller]
fn where_threads_can_be_refused(name: &str, secure: bool, body: impl FnOnce(&str)) {
    let script = Script::answering("ok");
    let server = match secure {
        false => Server::start(script),
        true => Server::start_tls(Certificate::Good, script),
    };
    let scheme = if secure { "https" } else { "http" };
    let url = format!("{scheme}://localhost:{}/", server.port());
    let shim = thread_refuser();
    let env = [("LD_PRELOAD", shim.to_str().unwrap()), ("SERVER_OUTSIDE", &url)];
    in_own_process_with(name, &env, || {
        let outside = std::env::var("SERVER_OUTSIDE").unwrap();
        // A test that calls this more than once has a process for each call.
        if outside.starts_with("https:") == secure {
            body(&outside);
        }
    });
}

#[track_caller]
fn assert_out_of_threads(error: &Error, phase: Phase) {
    assert_eq!((error.kind(), error.phase()), (Kind::System, phase), "{error:?}");
    assert_eq!(error.os_code(), Some(libc::EAGAIN), "{error:?}");
    assert_eq!(error.timeout(), Timeout::None, "{error:?}");
    assert!(error.message().contains("thread"), "{error}");
    assert_consistent(error);
}

/// The URL with the server's address, which needs no lookup.
fn by_address(url: &str) -> String {
    url.replace("localhost", "127.0.0.1")
}

fn a_lookup_without_a_thread_is_a_system_error(form: Form) {
    for secure in [false, true] {
        let name = form.name("threads::a_lookup_without_a_thread_is_a_system_error");
        where_threads_can_be_refused(&name, secure, |url| {
            for hook in [false, true] {
                let client = form.client();
                client.set_tls_dangerously_accept_any_certificate(true).unwrap();
                if hook {
                    client.manager().set_resolver(Some(Arc::new(|_: &str| Ok(loopback()))));
                }
                // The I/O thread exists, if the form has one; no worker does.
                assert_eq!(fetch(&client, &by_address(url)).unwrap(), b"ok");
                wait_until("no worker", || threads_named("hangup-resolve").is_empty());
                refuse_threads(true);
                for _ in 0..2 {
                    let error = fetch(&client, url).unwrap_err();
                    assert_out_of_threads(&error, Phase::Resolve);
                    assert!(error.retry_safe());
                }
                // Requests that need no thread succeed, and all do when threads can be started again.
                assert_eq!(fetch(&client, &by_address(url)).unwrap(), b"ok");
                refuse_threads(false);
                if hook {
                    assert_eq!(fetch(&client, url).unwrap(), b"ok");
                }
                assert_at_rest(client.manager());
            }
        });
    }
}

fn a_lookup_waits_briefly_for_a_thread_when_all_are_busy(form: Form) {
    let name = form.name("threads::a_lookup_waits_briefly_for_a_thread_when_all_are_busy");
    where_threads_can_be_refused(&name, false, |url| {
        let client = form.client();
        let (hold, held) = channel::<()>();
        let held = Mutex::new(held);
        let inside = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&inside);
        client.manager().set_resolver(Some(Arc::new(move |_: &str| {
            counted.fetch_add(1, Ordering::SeqCst);
            let _ = held.lock().unwrap().recv();
            Ok(loopback())
        })));
        let named = |name: &str| url.replace("localhost", name);
        let first = PolledSubmission::new(client.submit(buffered_get(&named("first.test"), 10)));
        wait_until("the first lookup", || inside.load(Ordering::SeqCst) == 1);
        refuse_threads(true);
        // The only worker hangs: the next request fails with a system error, not with a timeout.
        let error = fetch(&client, &named("second.test")).unwrap_err();
        assert_out_of_threads(&error, Phase::Resolve);
        // The only worker becomes free in time, so the next request succeeds.
        let third = PolledSubmission::new(client.submit(buffered_get(&named("third.test"), 10)));
        drop(hold);
        assert_eq!(first.submission.wait().unwrap().read_all(10).unwrap(), b"ok");
        wait_until("the third", || third.is_done());
        assert_eq!(third.outcome().unwrap().read_all(10).unwrap(), b"ok");
        assert_eq!(inside.load(Ordering::SeqCst), 2, "a request that has ended causes no lookup");
        refuse_threads(false);
    });
}

fn an_upload_without_a_thread_for_its_reader_is_a_system_error_or_reads_on_the_callers_thread(
    form: Form,
) {
    for secure in [false, true] {
        let name = form.name(
            "threads::an_upload_without_a_thread_for_its_reader_is_a_system_error_or_reads_on_the_callers_thread",
        );
        where_threads_can_be_refused(&name, secure, |url| {
            let url = by_address(url);
            let client = form.client();
            client.set_tls_dangerously_accept_any_certificate(true).unwrap();
            assert_eq!(fetch(&client, &url).unwrap(), b"ok");
            refuse_threads(true);
            let (source, account) = CountedReader::pieces(3, 5, |_| {});
            let outcome = client.send(&mut post(&url, source.chunked()));
            match form {
                // The caller's thread reads the body.
                Form::Blocking => assert_eq!(outcome.unwrap().read_all(10).unwrap(), b"ok"),
                Form::Submitted => {
                    assert_out_of_threads(&outcome.unwrap_err(), Phase::Write);
                    assert_eq!(account.reads(), 0);
                }
            }
            account.assert_dropped_once();
            refuse_threads(false);
            let (source, _) = CountedReader::pieces(3, 5, |_| {});
            let mut again = client.send(&mut post(&url, source.chunked())).unwrap();
            assert_eq!(again.read_all(10).unwrap(), b"ok");
            assert_at_rest(client.manager());
        });
    }
}

#[test]
fn an_upload_that_waits_for_a_thread_for_its_reader_times_out() {
    let name = "threads::an_upload_that_waits_for_a_thread_for_its_reader_times_out";
    where_threads_can_be_refused(name, false, |url| {
        let url = by_address(url);
        let client = client();
        let (go, gone) = channel::<()>();
        let inside = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&inside);
        let (source, _) = CountedReader::pieces(1, 5, move |_| {
            counted.fetch_add(1, Ordering::SeqCst);
            let _ = gone.recv();
        });
        let blocked = PolledSubmission::new(client.submit(post(&url, source.chunked())));
        wait_until("a reader that blocks", || inside.load(Ordering::SeqCst) == 1);
        refuse_threads(true);
        let upload = || CountedReader::pieces(1, 5, |_| {});
        let ((by_total, one), (by_token, two), (patient, three)) = (upload(), upload(), upload());
        let mut by_total = post(&url, by_total.chunked());
        by_total.set_timeout(Timeout::Total, Some(ms(50))).unwrap();
        let token = CancelToken::new();
        let mut by_token = post(&url, by_token.chunked());
        by_token.set_cancel(Some(token.clone()));
        let all = [by_total, by_token, post(&url, patient.chunked())];
        let all = all.map(|request| PolledSubmission::new(client.submit(request)));
        token.fire(Some(REASON));
        let [by_total, by_token, patient] = <[Error; 3]>::try_from(errors(all.into())).unwrap();
        assert_eq!((by_total.kind(), by_total.timeout()), (Kind::TimedOut, Timeout::Total));
        assert_eq!(by_token.kind(), Kind::Cancelled);
        assert_out_of_threads(&patient, Phase::Write);
        [one, two, three].iter().for_each(|account| account.assert_dropped_once());
        drop(go);
        assert_eq!(blocked.submission.wait().unwrap().read_all(10).unwrap(), b"ok");
        refuse_threads(false);
    });
}

fn preconnect_without_a_thread_is_a_system_error(form: Form) {
    let name = form.name("threads::preconnect_without_a_thread_is_a_system_error");
    where_threads_can_be_refused(&name, false, |url| {
        let client = form.client();
        refuse_threads(true);
        let error = client.preconnect(&by_address(url), 2).unwrap_err();
        assert_out_of_threads(&error, Phase::None);
        assert_at_rest(client.manager());
        refuse_threads(false);
        assert_eq!(client.preconnect(&by_address(url), 2).unwrap(), 2);
        wait_until("two connections", || client.manager().stats().idle == 2);
        assert!(get(&client, &by_address(url)).unwrap().reused());
    });
}

#[test]
fn the_first_submission_without_a_thread_is_a_system_error() {
    let name = "threads::the_first_submission_without_a_thread_is_a_system_error";
    where_threads_can_be_refused(name, false, |url| {
        for engine in ["fibers", "threads"] {
            // SAFETY: no other thread reads the environment meanwhile.
            unsafe { std::env::set_var("HANGUP_ENGINE", engine) };
            let client = client();
            refuse_threads(true);
            for _ in 0..2 {
                let outcome = client.submit(buffered_get(&by_address(url), 10)).wait();
                assert_out_of_threads(&outcome.unwrap_err(), Phase::None);
            }
            refuse_threads(false);
            let mut response = client.submit(buffered_get(&by_address(url), 10)).wait().unwrap();
            assert_eq!(response.read_all(10).unwrap(), b"ok");
            drop((response, client));
            wait_until("the end of the thread", || {
                engine == "threads" || threads_named("hangup-io").is_empty()
            });
        }
    });
}
