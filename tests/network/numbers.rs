//! How long it takes when connections die: the numbers of benches/README.md. No tests: they are printed, and take minutes.
//!
//! ```text
//! cargo test --test network -- --ignored --nocapture --test-threads 1 numbers::
//! ```

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use hangup::{Body, ConnectionMode, Error};
use testserver::network::{Direction, Network, set_sysctl};
use testserver::{Script, Step};

use crate::alive::under_loss;
use crate::kept::{Kept, ok_or, slowly};
use crate::lost::fill;
use crate::support::form::{Form, Response};
use crate::support::network::in_network;
use crate::support::{fetch, ms, request, wait_until};

#[test]
#[ignore = "takes minutes; its numbers are looked at"]
fn after_an_idle_connection_died() {
    in_network("numbers::after_an_idle_connection_died", |network| {
        for method in ["GET", "POST"] {
            for form in FORMS {
                let tries = (0..5).map(|_| {
                    let kept = Kept::new(form, network, false, Script::answering("ok"));
                    network.kill_flows();
                    one(&kept, method)
                });
                tell(&format!("{method} after an idle connection died, {form:?}"), tries.collect());
            }
        }
    });
}

#[test]
#[ignore = "takes minutes; its numbers are looked at"]
fn after_its_probes_failed() {
    in_network("numbers::after_its_probes_failed", |network| {
        for wait in [20, 26] {
            let kept = Kept::new(Form::Blocking, network, false, Script::answering("ok"));
            network.kill_flows();
            thread::sleep(Duration::from_secs(wait));
            let post = one(&kept, "POST");
            tell(&format!("POST {wait} s after an idle connection died"), vec![post]);
        }
    });
}

#[test]
#[ignore = "takes minutes; its numbers are looked at"]
fn after_eight_idle_connections_died() {
    in_network("numbers::after_eight_idle_connections_died", |network| {
        let kept = Kept::new(Form::Blocking, network, false, Script::answering("ok"));
        fill(&kept, 8);
        network.kill_flows();
        let times = (0..10).map(|_| {
            let begun = Instant::now();
            fetch(&kept.client, &kept.server.url("/")).unwrap();
            begun.elapsed().as_millis().to_string()
        });
        let times: Vec<String> = times.collect();
        println!("numbers: ten GETs after eight idle connections died: {} ms", times.join(", "));
    });
}

#[test]
#[ignore = "takes minutes; its numbers are looked at"]
fn after_the_system_gave_a_connection_up() {
    in_network("numbers::after_the_system_gave_a_connection_up", |network| {
        set_sysctl("net/ipv4/tcp_retries2", "4").unwrap();
        let kept = Kept::new(Form::Blocking, network, false, Script::answering("ok"));
        cut(network, true);
        let (began, outcome) = thread::scope(|scope| {
            let running = scope.spawn(|| one(&kept, "GET"));
            wait_until("the end of the connection", || kept.reason().is_some());
            cut(network, false);
            (Instant::now(), running.join().unwrap())
        });
        let after = began.elapsed().as_millis();
        println!("numbers: GET on a connection that ended with {:?}", kept.reason());
        println!("numbers: answered {after} ms after the path was there again");
        tell("GET on a connection that the system gave up (tcp_retries2 = 4)", vec![outcome]);
    });
}

#[test]
#[ignore = "takes minutes; its numbers are looked at"]
fn dials_under_loss() {
    in_network("numbers::dials_under_loss", |network| {
        for form in FORMS {
            let before = network.counts();
            let times = times_of_dials(form, network, 2000);
            let at = |percent: usize| times[times.len() * percent / 100].as_millis();
            let slow = times.iter().filter(|time| **time > ms(1000)).count();
            println!(
                "numbers: 2,000 dials at 100 ms and 5 % loss, {form:?}: p50 {} ms, p95 {} ms, p99 {} ms, over a second {} %, \
                 SYNs {}",
                at(50),
                at(95),
                at(99),
                slow as f64 / 20.0,
                network.counts().syns - before.syns
            );
        }
    });
}

#[test]
#[ignore = "takes minutes; its numbers are looked at"]
fn requests_under_loss() {
    many("numbers::requests_under_loss", Form::Blocking);
}

#[test]
#[ignore = "takes minutes; its numbers are looked at"]
fn submitted_requests_under_loss() {
    many("numbers::submitted_requests_under_loss", Form::Submitted);
}

#[test]
#[ignore = "takes minutes; its numbers are looked at"]
fn uploads_where_large_packets_vanish() {
    in_network("numbers::uploads_where_large_packets_vanish", |network| {
        for tls in [false, true] {
            network.set_largest(None);
            let upload = vec![Step::head(), Step::body(), Step::send(DONE)];
            let kept = Kept::new(Form::Blocking, network, tls, ok_or([("/up", upload)]));
            network.set_largest(Some(1000));
            for number in ["first", "second"] {
                let mut put = kept.request("PUT", "/up");
                put.set_body(Body::bytes(&[7; 100_000]));
                let begun = Instant::now();
                let outcome = kept.client.send(&mut put);
                let what = format!(
                    "PUT of 100 kB where packets over 1,000 bytes vanish, TLS {tls}, {number}"
                );
                tell(&what, vec![(begun.elapsed(), outcome)]);
            }
        }
    });
}

#[test]
#[ignore = "takes minutes; its numbers are looked at"]
fn a_server_that_sleeps() {
    in_network("numbers::a_server_that_sleeps", |network| {
        let script = ok_or([("/slow", slowly(30_000))]);
        let kept = Kept::new(Form::Blocking, network, false, script);
        let begun = Instant::now();
        let outcome = kept.client.send(&mut kept.request("POST", "/slow"));
        tell("POST to a server that sleeps 30 s", vec![(begun.elapsed(), outcome)]);
        println!("numbers: and the dials for it: {}", network.counts().dials - 1);
    });
}

fn many(name: &str, form: Form) {
    in_network(name, |network| {
        for tls in [false, true] {
            let told = under_loss(form, network, tls, 5000);
            let what = format!("5,000 requests at 100 ms and 5 % loss, {form:?}, TLS {tls}");
            println!("numbers: {what}: {told:?}");
        }
    });
}

/// The times of so many dials, in order, at 100 ms and 5 % loss.
pub fn times_of_dials(form: Form, network: &Network, count: usize) -> Vec<Duration> {
    const THREADS: usize = 25;
    let server = network.server(false, Script::answering("ok"));
    let client = form.client();
    network.set_delay(ms(50));
    network.set_loss(5.0);
    let (next, times) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                while next.fetch_add(1, Ordering::Relaxed) < count {
                    let mut fresh = request("GET", &server.url("/"));
                    fresh.set_connection_mode(ConnectionMode::Fresh);
                    let mut response = client.send(&mut fresh).unwrap();
                    let took = response.timings().connect.expect("a fresh connection");
                    times.lock().unwrap().push(took);
                    response.close(hangup::CloseMode::Now);
                }
            });
        }
    });
    network.set_loss(0.0);
    let mut times = times.into_inner().unwrap();
    times.sort_unstable();
    times
}

type Outcome = (Duration, Result<Response, Error>);

/// One request, and how long it took.
fn one(kept: &Kept, method: &str) -> Outcome {
    let mut request = kept.request(method, "/again");
    request.set_body(Body::bytes(b"once"));
    let begun = Instant::now();
    let outcome = kept.client.send(&mut request);
    (begun.elapsed(), outcome)
}

fn tell(what: &str, outcomes: Vec<Outcome>) {
    let one = |(took, outcome): Outcome| {
        let how = match outcome {
            Ok(response) => format!("{}, attempts {}", response.status_code(), response.attempts()),
            Err(error) => format!("{}, retry_safe {}", error.kind(), error.retry_safe()),
        };
        format!("{} ms ({how})", took.as_millis())
    };
    let all: Vec<String> = outcomes.into_iter().map(one).collect();
    println!("numbers: {what}: {}", all.join(", "));
}

fn cut(network: &Network, cut: bool) {
    for direction in [Direction::ToFar, Direction::ToNear] {
        network.set_cut(direction, cut);
    }
}

const FORMS: [Form; 2] = [Form::Blocking, Form::Submitted];

const DONE: &str = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
