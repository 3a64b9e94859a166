//! Hundreds of concurrent submissions that end at random by every possible cause: each has one outcome, and nothing
//! leaks.

use std::collections::BTreeMap;
use std::thread;
use std::time::{Duration, Instant};

use hangup::{
    CancelToken, Client, CloseMode, ConnectionMode, Kind, Limits, Request, Response, Timeout,
};
use testserver::{Script, Server, Step};

use super::io_thread::io_threads;
use crate::support::counted_reader::CountedReader;
use crate::support::form::block_on;
use crate::support::inspect::{assert_at_rest, sockets, threads_named};
use crate::support::outcome::assert_consistent;
use crate::support::own_process::{in_own_process, in_own_process_with};
use crate::support::submissions::{PolledSubmission, TEN_OF_100};
use crate::support::{PATIENCE, Random, client_with, ms, request, trusting, wait_until};

/// What servers do, by path.
fn server(secure: bool) -> Server {
    let big = Step::Fill { bytes: 300_000, byte: 'x' };
    let head = Step::send("HTTP/1.1 200 OK\r\nContent-Length: 300000\r\n\r\n");
    let all = [
        ("/big", vec![Step::head(), head, big]),
        ("/stall", vec![Step::head(), Step::Stall]),
        ("/half", vec![Step::head(), Step::send(TEN_OF_100), Step::Stall]),
        ("/close", vec![Step::head(), Step::send(TEN_OF_100), Step::Close]),
        ("/reset", vec![Step::head(), Step::Rst]),
        ("/refused", vec![Step::head(), Step::send(TEN_OF_100), Step::eof()]),
        ("*", vec![Step::answer(200, "ok")]),
    ];
    let all = all.map(|(path, steps)| (path.to_owned(), steps));
    let steps = vec![Step::forever(vec![Step::ByPath(all.into())])];
    match secure {
        false => Server::start(Script::every(steps)),
        true => Server::start_tls(testserver::Certificate::Good, Script::every(steps)),
    }
}

const PATHS: [&str; 8] = ["/ok", "/ok", "/big", "/stall", "/half", "/close", "/reset", "/refused"];

/// One exchange and the handles that may end it.
struct Exchange {
    token: CancelToken,
    state: State,
}

enum State {
    Sent(PolledSubmission),
    Came(Response),
    Over,
}

fn any_request(servers: &[Server], token: &CancelToken, random: &mut Random) -> Request {
    let pick = |random: &mut Random, count: usize| random.below(count as u64) as usize;
    let server = &servers[pick(random, servers.len())];
    let path = PATHS[pick(random, PATHS.len())];
    let mut request = request(if path == "/refused" { "POST" } else { "GET" }, &server.url(path));
    if path == "/refused" {
        request.set_body(CountedReader::pieces(30, 10_000, |_| {}).0.chunked());
    }
    request.set_cancel(Some(token.clone()));
    request.set_connection_mode(
        [
            ConnectionMode::Keep,
            ConnectionMode::Keep,
            ConnectionMode::CloseAfter,
            ConnectionMode::Fresh,
        ][pick(random, 4)],
    );
    if random.below(3) == 0 {
        request.set_timeout(Timeout::Total, Some(ms(1 + random.below(60)))).unwrap();
    }
    if random.below(3) == 0 {
        request.set_buffer_body(Some(200_000));
    }
    request
}

impl Exchange {
    fn begin(client: &Client, servers: &[Server], random: &mut Random) -> Self {
        let token = CancelToken::new();
        let request = any_request(servers, &token, random);
        let state = State::Sent(PolledSubmission::new(client.submit(request)));
        Self { token, state }
    }

    /// Ends the exchange in a random way, and counts its outcome.
    fn disturb(&mut self, random: &mut Random, ends: &mut BTreeMap<String, u32>) {
        let mut ended = |how: &str| *ends.entry(how.to_owned()).or_insert(0) += 1;
        let judge = |error: &hangup::Error| {
            use Kind::{Cancelled, Closed, PeerClosed, PeerReset, TimedOut, TooLarge};
            let may_be = [Cancelled, Closed, PeerClosed, PeerReset, TimedOut, TooLarge];
            assert!(may_be.contains(&error.kind()), "{error:?}");
            assert_consistent(error);
            error.kind().to_string()
        };
        if random.below(50) == 0 {
            self.token.fire(None);
        }
        self.state = match std::mem::replace(&mut self.state, State::Over) {
            State::Sent(one) if one.is_done() => match one.outcome() {
                Ok(response) => State::Came(response),
                Err(error) => {
                    ended(&judge(&error));
                    State::Over
                }
            },
            State::Sent(one) if random.below(100) == 0 => {
                drop(one);
                ended("dropped before its outcome");
                State::Over
            }
            State::Came(mut response) => {
                match random.below(6) {
                    0 => {
                        // A read that is begun and dropped.
                        drop(response.read_async(1 << 16));
                        ended("dropped in a read");
                    }
                    1 => {
                        response.close(CloseMode::Graceful);
                        ended("closed politely");
                    }
                    2 => ended("dropped before its end"),
                    3 => {
                        self.token.after(ms(random.below(20)));
                        match response.read_all(1 << 20) {
                            Ok(_) => ended("read here"),
                            Err(error) => ended(&judge(&error)),
                        }
                    }
                    _ => {
                        self.token.after(ms(random.below(20)));
                        loop {
                            match block_on(response.read_async(1 << 16)) {
                                Ok(piece) if piece.is_empty() => break ended("read there"),
                                Ok(_) => {}
                                Err(error) => break ended(&judge(&error)),
                            }
                        }
                    }
                }
                State::Over
            }
            state => state,
        };
    }
}

/// Keeps two hundred submissions running for some time, and then ends them.
fn two_hundred_at_any_time(time: Duration) {
    let servers = [server(false), server(true), server(false)];
    let client = trusting(client_with(Limits { total: 150, per_origin: 60, ..Limits::default() }));
    let (mut random, mut ends, mut all) = (Random::new(17), BTreeMap::new(), Vec::new());
    let begun = Instant::now();
    while begun.elapsed() < time {
        all.retain(|one: &Exchange| !matches!(one.state, State::Over));
        while all.len() < 200 {
            all.push(Exchange::begin(&client, &servers, &mut random));
        }
        all.iter_mut().for_each(|one| one.disturb(&mut random, &mut ends));
        let open = client.manager().connections();
        if !open.is_empty() {
            let id = open[random.below(open.len() as u64) as usize].id;
            let how = if random.below(2) == 0 { CloseMode::Now } else { CloseMode::Graceful };
            // The connection may be closed by now.
            let _ = client.manager().close_connection(id, how);
        }
        thread::sleep(ms(1));
    }
    all.iter().for_each(|one| one.token.fire(None));
    wait_until("the end of all", || {
        all.iter_mut().for_each(|one| one.disturb(&mut random, &mut ends));
        all.iter().all(|one| matches!(one.state, State::Over))
    });
    println!("numbers: {ends:?}; {:?}", client.manager().stats());
    assert!(ends.len() >= 8, "{ends:?}");
    // Dropped submissions and draining closes end soon, without an outcome.
    wait_until("rest", || {
        let stats = client.manager().stats();
        (stats.dialling, stats.in_use, stats.queued) == (0, 0, 0)
    });
    assert_at_rest(client.manager());
    client.manager().drain(Some(PATIENCE)).unwrap();
    let stats = client.manager().stats();
    assert_eq!((stats.opened, stats.idle), (stats.closed, 0), "{stats:?}");
    for server in &servers {
        wait_until("the last socket's end", || sockets(server.port()).is_empty());
        assert!(server.wait_idle(PATIENCE));
    }
    drop(client);
    wait_until("the end of the threads", || threads_named("hangup-io").is_empty());
}

#[test]
fn random_ends_of_every_kind_leave_one_outcome_each_and_no_leak() {
    in_own_process("chaos::random_ends_of_every_kind_leave_one_outcome_each_and_no_leak", || {
        two_hundred_at_any_time(Duration::from_secs(4));
    });
}

#[test]
fn random_ends_on_several_io_threads_leave_no_leak() {
    in_own_process("chaos::random_ends_on_several_io_threads_leave_no_leak", || {
        io_threads(3);
        two_hundred_at_any_time(Duration::from_secs(4));
    });
}

#[test]
fn random_ends_on_a_pool_of_threads_leave_no_leak() {
    let name = "chaos::random_ends_on_a_pool_of_threads_leave_no_leak";
    // Idle threads end after ten seconds.
    in_own_process_with(name, &[("HANGUP_ENGINE", "threads")], || {
        two_hundred_at_any_time(Duration::from_secs(2));
    });
}
