//! A network that does all of it in turn, while many requests are under way: each request ends, no POST comes twice, and
//! nothing is left.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use hangup::{Body, Kind, Timeout};
use testserver::network::{Direction, Network};
use testserver::{Script, Step};

use crate::kept::{SOON, repeated};
use crate::support::form::{Form, in_both_forms};
use crate::support::inspect::wait_at_rest;
use crate::support::network::plain_and_tls;
use crate::support::{Random, fetch, ms, request, trusting, wait_until};

in_both_forms! {
    in_a_bad_network_each_request_ends_and_no_post_comes_twice,
}

/// Disturbs the network once, and repairs it.
fn disturb(network: &Network, random: &mut Random) {
    let directions = [Direction::ToFar, Direction::ToNear];
    let one = directions[random.below(2) as usize];
    let time = ms(100 + random.below(1800));
    match random.below(6) {
        0 => drop(network.kill_flows()),
        1 => drop(network.kill_flows_where(|flow| flow.near.port() % 3 == 0)),
        2 => {
            network.set_cut(one, true);
            thread::sleep(time);
            network.set_cut(one, false);
        }
        3 => {
            directions.iter().for_each(|direction| network.set_cut(*direction, true));
            thread::sleep(time);
            directions.iter().for_each(|direction| network.set_cut(*direction, false));
        }
        4 => {
            network.set_hold(one, true);
            thread::sleep(time);
            network.set_hold(one, false);
        }
        _ => {
            network.set_loss(20.0);
            thread::sleep(time);
            network.set_loss(1.0);
        }
    }
    thread::sleep(ms(random.below(600)));
}

fn in_a_bad_network_each_request_ends_and_no_post_comes_twice(form: Form) {
    let name = "chaos::in_a_bad_network_each_request_ends_and_no_post_comes_twice";
    plain_and_tls(&form.name(name), |network, tls| {
        let answer = vec![Step::answer(200, "ok")];
        let server = network.server(tls, Script::every(vec![Step::forever(answer)]));
        let client = trusting(form.client());
        network.set_delay(ms(5));
        let (over, number) = (AtomicBool::new(false), AtomicUsize::new(0));
        let [done, failed, late] = [0; 3].map(AtomicUsize::new);
        thread::scope(|scope| {
            for worker in 0..16 {
                let (client, server, over, number) = (&client, &server, &over, &number);
                let (done, failed, late) = (&done, &failed, &late);
                scope.spawn(move || {
                    let mut random = Random::new(worker);
                    while !over.load(Ordering::Relaxed) {
                        let number = number.fetch_add(1, Ordering::Relaxed);
                        let method = ["GET", "PUT", "POST"][random.below(3) as usize];
                        let mut asked = request(method, &server.url(&format!("/{number}")));
                        if method != "GET" {
                            asked.set_body(Body::bytes(&vec![7; random.below(60_000) as usize]));
                        }
                        asked.set_timeout(Timeout::Total, Some(Duration::from_secs(30))).unwrap();
                        let begun = Instant::now();
                        let outcome = client.send(&mut asked).and_then(|mut response| {
                            assert_eq!(response.status_code(), 200);
                            response.read_all(10)
                        });
                        late.fetch_max(begun.elapsed().as_millis() as usize, Ordering::Relaxed);
                        match outcome {
                            Ok(body) => {
                                assert_eq!(body, b"ok");
                                done.fetch_add(1, Ordering::Relaxed);
                            }
                            Err(error) => {
                                let gone = [Kind::PeerSilent, Kind::PeerReset, Kind::TimedOut];
                                assert!(gone.contains(&error.kind()), "{error:?}");
                                // What is sent on a fresh connection is not sent again, and may meet its death.
                                assert!(!error.reused() || method == "POST", "{method}: {error:?}");
                                failed.fetch_add(1, Ordering::Relaxed);
                            }
                        }
                        thread::sleep(ms(random.below(30)));
                    }
                });
            }
            // What dies before it is used for the first time is of no interest here.
            wait_until("a hundred responses", || done.load(Ordering::Relaxed) > 100);
            let mut random = Random::new(u64::from(tls) + 7);
            let end = Instant::now() + Duration::from_secs(10);
            while Instant::now() < end {
                disturb(network, &mut random);
            }
            network.set_loss(0.0);
            over.store(true, Ordering::Relaxed);
        });
        println!(
            "numbers: in a bad network, {form:?}, TLS {tls}: {done:?} done, {failed:?} failed, the longest took {late:?} ms"
        );
        let heads = server.accepted_order();
        let posts = heads.iter().filter(|(_, head)| head.starts_with("POST "));
        let target = |head: &str| head.split(' ').nth(1).unwrap().to_owned();
        let posts: Vec<String> = posts.map(|(_, head)| target(head)).collect();
        assert_eq!(repeated(&posts), [].into());
        let begun = Instant::now();
        assert_eq!(fetch(&client, &server.url("/")).unwrap(), b"ok");
        assert!(begun.elapsed() < SOON, "{:?}", begun.elapsed());
        wait_at_rest(client.manager());
    });
}
