//! Responses that are closed early over a long path keep their connections.

use std::thread;
use std::time::Instant;

use hangup::CloseMode;
use testserver::{Script, Step};

use crate::support::form::{Form, in_both_forms};
use crate::support::network::plain_and_tls;
use crate::support::{MARGIN, get, ms, trusting, wait_until};

in_both_forms! {
    a_response_of_100_kb_that_is_closed_early_keeps_its_connection_at_60_ms,
    many_that_are_closed_at_once_keep_their_connections,
}

const MANY: u64 = 40;

/// A body of so many bytes for each request.
fn bodies(bytes: u64) -> Script {
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {bytes}\r\n\r\n");
    let body = Step::Fill { bytes, byte: 'x' };
    Script::every(vec![Step::forever(vec![Step::head(), Step::send(&head), body])])
}

fn a_response_of_100_kb_that_is_closed_early_keeps_its_connection_at_60_ms(form: Form) {
    let name = "early::a_response_of_100_kb_that_is_closed_early_keeps_its_connection_at_60_ms";
    plain_and_tls(&form.name(name), |network, tls| {
        let server = network.server(tls, bodies(100_000));
        network.set_delay(ms(30));
        let client = trusting(form.client());
        // On a busy machine it can be late: repeated.
        for _ in 0..10 {
            let mut response = get(&client, &server.url("/")).unwrap();
            let begun = Instant::now();
            response.close(CloseMode::Graceful);
            assert!(begun.elapsed() < ms(50) + MARGIN, "the caller does not wait");
            wait_until("the rest", || client.manager().stats().in_use == 0);
            let kept = client.manager().close_reason(response.connection_id()).is_none();
            println!("numbers: kept {kept} after {:?}, TLS {tls}", begun.elapsed());
            if kept {
                assert!(get(&client, &server.url("/")).unwrap().reused());
                return;
            }
        }
        panic!("never kept");
    });
}

fn many_that_are_closed_at_once_keep_their_connections(form: Form) {
    let name = "early::many_that_are_closed_at_once_keep_their_connections";
    plain_and_tls(&form.name(name), |network, tls| {
        let server = network.server(tls, bodies(90_000));
        network.set_delay(ms(100));
        let client = trusting(form.client());
        let mut most = 0;
        for _ in 0..5 {
            thread::scope(|scope| {
                for _ in 0..MANY {
                    scope.spawn(|| {
                        get(&client, &server.url("/")).unwrap().close(CloseMode::Graceful);
                    });
                }
            });
            wait_until("the rest", || client.manager().stats().in_use == 0);
            most = most.max(client.manager().stats().idle);
            // With eight threads most would be too late: what is not read does not fit into the buffers of the system.
            if most >= MANY * 3 / 4 {
                println!("numbers: {most} of {MANY} kept, TLS {tls}");
                return;
            }
            client.manager().close_all(CloseMode::Now);
        }
        panic!("{most} of {MANY} were kept");
    });
}
