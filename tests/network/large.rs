//! Large packets vanish on the way and small ones pass: an MTU black hole.

use std::time::{Duration, Instant};

use hangup::{Body, CloseReason, Kind, Request};
use testserver::network::{Direction, Network, Segment};
use testserver::{Server, Step};

use crate::kept::{ok_or, report};
use crate::support::form::{Client, Form, in_both_forms};
use crate::support::network::plain_and_tls;
use crate::support::{fetch, get, ms, trusting};

in_both_forms! {
    an_upload_into_a_black_hole_is_sent_again_in_small_segments,
    an_upload_on_a_kept_connection_into_a_black_hole_is_sent_again_in_small_segments,
    a_post_into_a_black_hole_says_what_happened_and_the_next_one_succeeds,
    large_segments_that_are_lost_with_all_others_are_no_black_hole,
}

const BODY: usize = 100_000;

/// What the issue of this behaviour allows is 3 s; a busy machine takes its time.
const SOON: Duration = Duration::from_secs(8);

/// A server behind a path on which packets of more than 1,000 bytes vanish, and a client.
fn behind_a_black_hole(form: Form, network: &Network, tls: bool) -> (Server, Client) {
    network.set_largest(Some(1000));
    let upload = vec![Step::answer(200, "took it")];
    (network.server(tls, ok_or([("/upload", upload)])), trusting(form.client()))
}

fn upload(method: &str, server: &Server) -> Request {
    let mut request = crate::support::request(method, &server.url("/upload"));
    request.set_body(Body::from(vec![b'x'; BODY]));
    request
}

/// The sizes of the bodies that came whole.
fn came(server: &Server) -> Vec<usize> {
    let bodies = (0..server.connections()).flat_map(|number| server.bodies(number));
    bodies.map(|body| body.len()).filter(|size| *size > 0).collect()
}

fn an_upload_into_a_black_hole_is_sent_again_in_small_segments(form: Form) {
    let name = "large::an_upload_into_a_black_hole_is_sent_again_in_small_segments";
    plain_and_tls(&form.name(name), |network, tls| {
        let (server, client) = behind_a_black_hole(form, network, tls);
        network.set_delay(ms(10));
        let begun = Instant::now();
        let mut response = client.send(&mut upload("PUT", &server)).unwrap();
        assert_eq!(response.read_all(100).unwrap(), b"took it");
        report("PUT into an MTU black hole", form, tls, begun);
        assert!(begun.elapsed() < SOON, "{:?}", begun.elapsed());
        assert_eq!((response.attempts(), came(&server)), (2, vec![BODY]));
        // New connections know it.
        client.manager().close_all(hangup::CloseMode::Now);
        let begun = Instant::now();
        let mut response = client.send(&mut upload("PUT", &server)).unwrap();
        assert_eq!(response.read_all(100).unwrap(), b"took it");
        report("PUT where a black hole is known", form, tls, begun);
        assert_eq!((response.attempts(), response.reused()), (1, false));
        // It may be another network now.
        network.set_largest(None);
        client.manager().network_changed();
        assert_eq!(fetch(&client, &server.url("/")).unwrap(), b"ok");
    });
}

fn an_upload_on_a_kept_connection_into_a_black_hole_is_sent_again_in_small_segments(form: Form) {
    let name =
        "large::an_upload_on_a_kept_connection_into_a_black_hole_is_sent_again_in_small_segments";
    plain_and_tls(&form.name(name), |network, tls| {
        let (server, client) = behind_a_black_hole(form, network, tls);
        for _ in 0..20 {
            assert_eq!(fetch(&client, &server.url("/")).unwrap(), b"ok");
        }
        assert_eq!(server.connections(), 1);
        let begun = Instant::now();
        let mut response = client.send(&mut upload("PUT", &server)).unwrap();
        assert_eq!(response.read_all(100).unwrap(), b"took it");
        report("PUT on a kept connection into an MTU black hole", form, tls, begun);
        assert!(begun.elapsed() < SOON, "{:?}", begun.elapsed());
        assert_eq!(came(&server), [BODY]);
    });
}

fn a_post_into_a_black_hole_says_what_happened_and_the_next_one_succeeds(form: Form) {
    let name = "large::a_post_into_a_black_hole_says_what_happened_and_the_next_one_succeeds";
    plain_and_tls(&form.name(name), |network, tls| {
        let (server, client) = behind_a_black_hole(form, network, tls);
        let error = client.send(&mut upload("POST", &server)).unwrap_err();
        assert_eq!((error.kind(), error.retry_safe()), (Kind::PeerSilent, false), "{error}");
        let message = error.message();
        assert!(message.contains("large packets seem to vanish on the path to"), "{message}");
        assert!(message.contains("MTU black hole") && message.contains("536 bytes"), "{message}");
        // With TLS the head is a segment of its own, which is small.
        let nothing = message.contains("no byte of the request was acknowledged");
        assert!(nothing || (tls && message.contains("have not been acknowledged")), "{message}");
        assert!(!error.reused() && error.retry_may_help());
        let closed = client.manager().close_reason(error.connection_id().unwrap());
        assert_eq!(closed, Some(CloseReason::PeerSilent));
        let begun = Instant::now();
        let mut response = client.send(&mut upload("POST", &server)).unwrap();
        assert_eq!(response.read_all(100).unwrap(), b"took it");
        report("POST where a black hole is known", form, tls, begun);
        assert_eq!((response.attempts(), came(&server)), (1, vec![BODY]));
        // What the server sends comes in small segments, too.
        assert!(get(&client, &server.url("/")).is_ok());
    });
}

fn large_segments_that_are_lost_with_all_others_are_no_black_hole(form: Form) {
    let name = "large::large_segments_that_are_lost_with_all_others_are_no_black_hole";
    plain_and_tls(&form.name(name), |network, tls| {
        let upload_steps = vec![Step::answer(200, "took it")];
        let server = network.server(tls, ok_or([("/upload", upload_steps)]));
        let client = trusting(form.client());
        network.set_delay(ms(20));
        let request = &mut upload("POST", &server);
        std::thread::scope(|scope| {
            // Nothing passes for a while, and then everything does.
            scope.spawn(|| {
                crate::support::wait_until("a connection", || network.counts().dials >= 1);
                network.set_filter(Some(Box::new(|direction, packet| {
                    let lost = |segment: &Segment| segment.payload > 600 || segment.syn;
                    direction == Direction::ToFar && packet.segment().is_some_and(lost)
                })));
                std::thread::sleep(ms(1600));
                network.set_filter(None);
            });
            let mut response = client.send(request).unwrap();
            assert_eq!(response.read_all(100).unwrap(), b"took it");
            assert_eq!((response.attempts(), came(&server)), (1, vec![BODY]));
            let stats = client.manager().stats();
            println!("numbers: {form:?}, TLS {tls}: {} dials while all was lost", stats.opened - 1);
        });
    });
}
