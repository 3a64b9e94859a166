//! The system gives a connection up: its repetitions are not acknowledged, its address or its link is gone.

use std::net::{IpAddr, Ipv4Addr};
use std::thread;
use std::time::Instant;

use hangup::{Body, CloseReason, Kind};
use testserver::Script;
use testserver::network::{Direction, Network, set_sysctl};

use crate::kept::{Kept, SOON, ok_or, report, slowly};
use crate::support::form::{Form, in_both_forms};
use crate::support::network::plain_and_tls;
use crate::support::{PATIENCE, get, ms, wait_until};

in_both_forms! {
    what_the_system_gives_up_is_sent_again_on_a_fresh_connection,
    a_request_just_after_the_address_was_replaced_is_answered_on_the_new_one,
    a_request_goes_on_when_the_link_is_up_again,
}

fn cut(network: &Network, cut: bool) {
    for direction in [Direction::ToFar, Direction::ToNear] {
        network.set_cut(direction, cut);
    }
}

fn what_the_system_gives_up_is_sent_again_on_a_fresh_connection(form: Form) {
    let name = "gone::what_the_system_gives_up_is_sent_again_on_a_fresh_connection";
    plain_and_tls(&form.name(name), |network, tls| {
        // ETIMEDOUT after some seconds in place of a quarter of an hour (tcp(7)).
        if let Err(error) = set_sysctl("net/ipv4/tcp_retries2", "2") {
            println!("skipped: the system permits no setting in /proc/sys/net: {error}");
            return;
        }
        for method in ["GET", "POST"] {
            let kept = Kept::new(form, network, tls, Script::answering("ok"));
            cut(network, true);
            thread::scope(|scope| {
                let begun = Instant::now();
                let running = scope.spawn(|| {
                    let mut request = kept.request(method, "/again");
                    request.set_body(Body::bytes(b"once"));
                    kept.client.send(&mut request)
                });
                wait_until("the end of the connection", || kept.reason().is_some());
                thread::sleep(ms(100));
                cut(network, false);
                let outcome = running.join().unwrap();
                report(&format!("{method} after ETIMEDOUT"), form, tls, begun);
                match outcome {
                    Ok(response) => {
                        assert_eq!((method, response.status_code()), ("GET", 200));
                        assert_eq!(response.attempts(), 2);
                    }
                    Err(error) => {
                        assert_eq!((method, error.kind()), ("POST", Kind::PeerSilent), "{error:?}");
                        assert_eq!(error.os_code(), Some(libc::ETIMEDOUT));
                        assert!(!error.retry_safe());
                    }
                }
            });
            assert_eq!(kept.reason(), Some(CloseReason::PeerUnreachable), "{method}");
            assert_eq!(kept.came("/again"), usize::from(method == "GET"));
        }
    });
}

/// As when a laptop is in another network: what is sent from the old address is never answered.
fn a_request_just_after_the_address_was_replaced_is_answered_on_the_new_one(form: Form) {
    let name = "gone::a_request_just_after_the_address_was_replaced_is_answered_on_the_new_one";
    plain_and_tls(&form.name(name), |network, tls| {
        for watches in [true, false] {
            network.set_near_address(network.near_ip()).unwrap();
            let kept = Kept::new(form, network, tls, Script::answering("ok"));
            kept.client.manager().set_network_watch(watches);
            let [a, b, number, _] = network.near_ip().octets();
            let other = Ipv4Addr::new(a, b, number, 9);
            network.set_near_address(other).unwrap();
            let begun = Instant::now();
            let mut response = get(&kept.client, &kept.server.url("/")).unwrap();
            report(&format!("GET from a new address, network watch {watches}"), form, tls, begun);
            assert!(begun.elapsed() < SOON, "{:?}", begun.elapsed());
            assert_eq!(response.connection_facts().local.unwrap().ip(), IpAddr::from(other));
            assert_eq!(response.read_all(10).unwrap(), b"ok");
        }
    });
}

fn a_request_goes_on_when_the_link_is_up_again(form: Form) {
    let name = "gone::a_request_goes_on_when_the_link_is_up_again";
    plain_and_tls(&form.name(name), |network, tls| {
        for method in ["GET", "POST"] {
            let slow = slowly(2500);
            let kept = Kept::new(form, network, tls, ok_or([("/slow", slow)]));
            thread::scope(|scope| {
                let running = scope.spawn(|| {
                    let mut request = kept.request(method, "/slow");
                    request.set_body(Body::bytes(b"once"));
                    kept.client.send(&mut request)
                });
                assert!(kept.server.wait_mark("asked", PATIENCE));
                network.set_near_up(false).unwrap();
                thread::sleep(ms(1500));
                network.set_near_up(true).unwrap();
                let mut response = running.join().unwrap().unwrap();
                assert_eq!((response.attempts(), response.reused()), (1, true));
                assert_eq!(response.read_all(10).unwrap(), b"slow");
            });
            assert_eq!(kept.came("/slow"), 1);
        }
    });
}
