//! The network forgets connections, as a NAT does: nothing on them arrives any more, and new connections are made as before.
//! A request on such a connection is not acknowledged, which tells that the connection is lost.

use std::thread;
use std::time::Instant;

use hangup::{Body, CloseReason, EventKind, Kind, Sent};
use testserver::network::Direction;
use testserver::{Script, Step};

use crate::kept::{Kept, SOON, ok_or, report, story};
use crate::support::form::{Form, in_both_forms};
use crate::support::network::plain_and_tls;
use crate::support::outcome::assert_consistent;
use crate::support::{PATIENCE, fetch, get, ms, wait_until};

in_both_forms! {
    an_idle_connection_that_died_costs_a_get_little_more_than_a_second,
    a_post_on_an_idle_connection_that_died_fails_and_says_so,
    a_connection_that_never_answered_is_lost_as_any_other,
    without_retries_a_get_fails_and_the_next_one_succeeds,
    of_eight_dead_connections_one_request_at_most_is_late,
    eight_requests_at_once_on_dead_connections_all_succeed,
    an_upload_that_stops_is_sent_again_where_it_may_be,
    an_upload_that_the_server_did_not_read_and_that_died_is_sent_again,
    an_upload_that_asks_before_it_sends_its_body_is_sent_again,
    a_post_whose_connection_carries_nothing_back_is_sent_once_and_fails,
}

const LOST: [EventKind; 4] = [
    EventKind::Suspected,
    EventKind::Probed,
    EventKind::Lost,
    EventKind::Closed(CloseReason::PeerSilent),
];

fn an_idle_connection_that_died_costs_a_get_little_more_than_a_second(form: Form) {
    let name = "lost::an_idle_connection_that_died_costs_a_get_little_more_than_a_second";
    plain_and_tls(&form.name(name), |network, tls| {
        let mut kept = Kept::new(form, network, tls, Script::answering("ok"));
        assert_eq!(network.kill_flows(), 1);
        let begun = Instant::now();
        let mut response = get(&kept.client, &kept.server.url("/again")).unwrap();
        report("GET after an idle connection died", form, tls, begun);
        assert!(begun.elapsed() < SOON, "{:?}", begun.elapsed());
        assert_eq!(response.attempts(), 2);
        assert_eq!(response.read_all(10).unwrap(), b"ok");
        assert_eq!(story(kept.of_first()), LOST);
        assert_eq!(kept.reason(), Some(CloseReason::PeerSilent));
        assert_eq!(network.counts().dials, 2, "the dial that told is the one that is used");
        assert_eq!((kept.server.connections(), kept.came("/again")), (2, 1));
        // The next one finds it.
        assert!(get(&kept.client, &kept.server.url("/")).unwrap().reused());
    });
}

fn a_post_on_an_idle_connection_that_died_fails_and_says_so(form: Form) {
    let name = "lost::a_post_on_an_idle_connection_that_died_fails_and_says_so";
    plain_and_tls(&form.name(name), |network, tls| {
        let mut kept = Kept::new(form, network, tls, Script::answering("ok"));
        network.kill_flows();
        let mut post = kept.request("POST", "/pay");
        post.set_body(Body::bytes(b"once"));
        let begun = Instant::now();
        let error = kept.client.send(&mut post).unwrap_err();
        report("POST after an idle connection died", form, tls, begun);
        assert!(begun.elapsed() < SOON, "{:?}", begun.elapsed());
        assert_eq!(error.kind(), Kind::PeerSilent, "{error:?}");
        assert_eq!((error.retry_safe(), error.reused(), error.attempts()), (false, true, 1));
        assert_eq!((error.sent(), error.connection_id()), (Sent::All, Some(kept.first)));
        assert_consistent(&error);
        assert_eq!(story(kept.of_first()), LOST);
        // The connection that told serves the next request at once.
        let begun = Instant::now();
        assert_eq!(kept.client.send(&mut post).unwrap().status_code(), 200);
        assert!(begun.elapsed() < ms(900), "{:?}", begun.elapsed());
        assert_eq!((network.counts().dials, kept.came("/pay")), (2, 1));
    });
}

fn a_connection_that_never_answered_is_lost_as_any_other(form: Form) {
    let name = "lost::a_connection_that_never_answered_is_lost_as_any_other";
    plain_and_tls(&form.name(name), |network, tls| {
        let kept = Kept::new(form, network, tls, Script::answering("ok"));
        let client = &kept.client;
        client.manager().close_all(hangup::CloseMode::Now);
        client.preconnect(&kept.server.url("/"), 1).unwrap();
        wait_until("the connection", || client.manager().stats().idle == 1);
        network.kill_flows();
        let begun = Instant::now();
        let mut response = get(&kept.client, &kept.server.url("/again")).unwrap();
        report("GET on a connection that never answered", form, tls, begun);
        assert!(begun.elapsed() < SOON, "{:?}", begun.elapsed());
        assert_eq!((response.attempts(), response.read_all(10).unwrap()), (2, b"ok".to_vec()));
    });
}

fn without_retries_a_get_fails_and_the_next_one_succeeds(form: Form) {
    let name = "lost::without_retries_a_get_fails_and_the_next_one_succeeds";
    plain_and_tls(&form.name(name), |network, tls| {
        let kept = Kept::new(form, network, tls, Script::answering("ok"));
        network.kill_flows();
        let mut once = kept.request("GET", "/once");
        once.set_retries(false);
        let error = kept.client.send(&mut once).unwrap_err();
        assert_eq!((error.kind(), error.retry_safe()), (Kind::PeerSilent, true), "{error:?}");
        assert_eq!(kept.client.send(&mut once).unwrap().attempts(), 1);
        assert_eq!(kept.came("/once"), 1);
    });
}

/// That many connections that are idle.
pub fn fill(kept: &Kept, count: usize) {
    let all: Vec<_> =
        (0..count).map(|_| get(&kept.client, &kept.server.url("/")).unwrap()).collect();
    for mut response in all {
        response.read_all(10).unwrap();
    }
    assert_eq!(kept.client.manager().stats().idle, count as u64);
}

fn of_eight_dead_connections_one_request_at_most_is_late(form: Form) {
    let name = "lost::of_eight_dead_connections_one_request_at_most_is_late";
    plain_and_tls(&form.name(name), |network, tls| {
        let kept = Kept::new(form, network, tls, Script::answering("ok"));
        fill(&kept, 8);
        assert_eq!(network.kill_flows(), 8);
        let mut late = Vec::new();
        for number in 0..10 {
            let begun = Instant::now();
            assert_eq!(fetch(&kept.client, &kept.server.url("/again")).unwrap(), b"ok");
            if begun.elapsed() > ms(800) {
                late.push((number, begun.elapsed()));
            }
        }
        println!("numbers: late after eight connections died: {late:?}");
        assert!(late.len() <= 1, "{late:?}");
        assert_eq!(kept.came("/again"), 10);
        // The others are not kept either.
        wait_until("the end of the dead", || kept.client.manager().connections().len() == 1);
    });
}

fn eight_requests_at_once_on_dead_connections_all_succeed(form: Form) {
    let name = "lost::eight_requests_at_once_on_dead_connections_all_succeed";
    plain_and_tls(&form.name(name), |network, tls| {
        let kept = Kept::new(form, network, tls, Script::answering("ok"));
        fill(&kept, 8);
        network.kill_flows();
        let begun = Instant::now();
        thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    assert_eq!(fetch(&kept.client, &kept.server.url("/again")).unwrap(), b"ok");
                });
            }
        });
        report("eight GETs at once on dead connections", form, tls, begun);
        assert!(begun.elapsed() < SOON, "{:?}", begun.elapsed());
        assert_eq!(kept.came("/again"), 8);
        assert!(network.counts().dials <= 16, "{:?}", network.counts());
    });
}

fn an_upload_that_stops_is_sent_again_where_it_may_be(form: Form) {
    let name = "lost::an_upload_that_stops_is_sent_again_where_it_may_be";
    plain_and_tls(&form.name(name), |network, tls| {
        // More than the buffers of both sockets and of the relay hold.
        let large = vec![7; 24 << 20];
        for method in ["PUT", "POST"] {
            let upload = vec![Step::head(), Step::mark("begun"), Step::body(), Step::send(DONE)];
            let kept = Kept::new(form, network, tls, ok_or([("/up", upload)]));
            network.set_rate(Some(40_000_000));
            let mut request = kept.request(method, "/up");
            request.set_body(Body::bytes(&large));
            thread::scope(|scope| {
                let running = scope.spawn(|| kept.client.send(&mut request));
                assert!(kept.server.wait_mark("begun", PATIENCE));
                network.kill_flows();
                network.set_rate(None);
                let begun = Instant::now();
                let outcome = running.join().unwrap();
                report(&format!("{method} that stopped"), form, tls, begun);
                // The whole of it is sent again on a debug build.
                assert!(begun.elapsed() < SOON * 3, "{:?}", begun.elapsed());
                match outcome {
                    Ok(response) => assert_eq!((method, response.attempts()), ("PUT", 2)),
                    Err(error) => {
                        assert_eq!((method, error.kind()), ("POST", Kind::PeerSilent), "{error:?}");
                        assert_eq!((error.sent(), error.retry_safe()), (Sent::Part, false));
                    }
                }
            });
            assert_eq!(kept.reason(), Some(CloseReason::PeerSilent), "{method}");
        }
    });
}

/// While the window of the server is closed nothing is unacknowledged, and the system asks whether it is open again.
fn an_upload_that_the_server_did_not_read_and_that_died_is_sent_again(form: Form) {
    let name = "lost::an_upload_that_the_server_did_not_read_and_that_died_is_sent_again";
    plain_and_tls(&form.name(name), |network, tls| {
        // More than the buffers of both sockets hold.
        let large = vec![7; 14 << 20];
        let first = [Step::answer(200, "ok"), Step::head(), Step::mark("begun"), Step::Stall];
        let next = [Step::head(), Step::body(), Step::send(DONE)];
        let kept = Kept::new(form, network, tls, Script::new(vec![first.to_vec(), next.to_vec()]));
        let mut put = kept.request("PUT", "/up");
        put.set_body(Body::bytes(&large));
        thread::scope(|scope| {
            let running = scope.spawn(|| kept.client.send(&mut put));
            assert!(kept.server.wait_mark("begun", PATIENCE));
            // The buffers are full, and a second of stillness shows nothing suspicious.
            thread::sleep(ms(1500));
            assert!(!running.is_finished());
            network.kill_flows();
            let begun = Instant::now();
            let response = running.join().unwrap().unwrap();
            report("PUT that was not read and died", form, tls, begun);
            assert!(begun.elapsed() < SOON * 4, "{:?}", begun.elapsed());
            assert_eq!(response.attempts(), 2);
        });
        assert_eq!(kept.server.bodies(1)[0].len(), large.len());
    });
}

fn an_upload_that_asks_before_it_sends_its_body_is_sent_again(form: Form) {
    let name = "lost::an_upload_that_asks_before_it_sends_its_body_is_sent_again";
    plain_and_tls(&form.name(name), |network, tls| {
        let kept = Kept::new(form, network, tls, Script::answering("ok"));
        network.kill_flows();
        let mut put = kept.request("PUT", "/up");
        put.add_header("Expect", "100-continue").unwrap();
        put.set_body(Body::bytes(b"not before it is asked for"));
        let begun = Instant::now();
        let response = kept.client.send(&mut put).unwrap();
        report("PUT with Expect after an idle connection died", form, tls, begun);
        assert!(begun.elapsed() < SOON, "{:?}", begun.elapsed());
        assert_eq!((response.attempts(), kept.came("/up")), (2, 1));
    });
}

const DONE: &str = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";

fn a_post_whose_connection_carries_nothing_back_is_sent_once_and_fails(form: Form) {
    let name = "lost::a_post_whose_connection_carries_nothing_back_is_sent_once_and_fails";
    plain_and_tls(&form.name(name), |network, tls| {
        let kept = Kept::new(form, network, tls, Script::answering("ok"));
        let held = crate::support::inspect::only_socket(kept.server.port()).local.port();
        network.set_filter(Some(Box::new(move |direction, packet| {
            let old = packet.segment().is_some_and(|segment| segment.destination == held);
            direction == Direction::ToNear && old
        })));
        let mut post = kept.request("POST", "/pay");
        post.set_body(Body::bytes(b"once"));
        let error = kept.client.send(&mut post).unwrap_err();
        // It was answered, and the client cannot know.
        assert_eq!((error.kind(), error.retry_safe()), (Kind::PeerSilent, false), "{error:?}");
        assert_eq!(
            (kept.came("/pay"), kept.server.bodies(0).last().unwrap()),
            (1, &b"once".to_vec())
        );
        // A GET may be asked for twice, and is.
        assert_eq!(fetch(&kept.client, &kept.server.url("/")).unwrap(), b"ok");
    });
}
