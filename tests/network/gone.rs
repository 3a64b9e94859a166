//! The system gives a connection up: its repetitions are not acknowledged, its address or its link is gone.

use std::thread;
use std::time::Instant;

use hangup::{Body, CloseReason, Kind};
use testserver::Script;
use testserver::network::{Direction, Network, set_sysctl};

use crate::kept::{Kept, report};
use crate::support::form::{Form, in_both_forms};
use crate::support::network::plain_and_tls;
use crate::support::{ms, wait_until};

in_both_forms! {
    what_the_system_gives_up_is_sent_again_on_a_fresh_connection,
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
